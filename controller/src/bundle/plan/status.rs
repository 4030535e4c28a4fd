//! What a Bundle says about itself.
//!
//! Owns its counts, display and Ready condition. Pure. Start at [`plan_status`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bundle_format::api::{
    Bundle, BundleDeployment, BundleDisplay, BundleStatus, ConditionState, PartitionStatus, labels,
    set_condition,
};
use bundle_format::options::Target;
use bundle_format::rollout::{PartitionPlan, RolloutPlan};
use bundle_format::summary::{Contribution, Tally, is_ready, ready_message};
use kube::ResourceExt;

use crate::stores::{KnownBundle, annotation};

/// The BundleDeployments of one Bundle, by namespace.
pub type Deployments = BTreeMap<String, Arc<BundleDeployment>>;

/// One cluster a Bundle goes to, and the version it shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Name of the Cluster.
    pub cluster: String,
    /// Namespace of the Cluster.
    pub namespace: String,
    /// Namespace of the BundleDeployment.
    pub home: String,
    /// The version; shared by clusters that have the same.
    pub deployment_id: Arc<str>,
}

/// What a plan came to, as far as a status needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The clusters, in the plan's order.
    pub destinations: Vec<Destination>,
    /// The partitions, in order.
    pub partitions: Vec<PartitionPlan>,
    newly_created_count: usize,
    unavailable_count: usize,
    max_unavailable_count: usize,
    unavailable_partition_count: usize,
    max_unavailable_partition_count: usize,
    /// No cluster waits for anything but its agent.
    pub is_settled: bool,
}

impl Outcome {
    /// What is left of a plan once it was carried out.
    pub fn of(targets: &[Target<'_>], plan: &RolloutPlan) -> Self {
        let mut ids: BTreeMap<String, Arc<str>> = BTreeMap::new();
        let destinations = targets.iter().map(|target| {
            let id = target.deployment_id.to_string();
            let shared = ids.entry(id).or_insert_with_key(|id| Arc::from(id.as_str()));
            Destination {
                cluster: target.cluster.name.clone(),
                namespace: target.cluster.namespace.clone(),
                home: target.cluster.cluster_namespace.clone().unwrap_or_default(),
                deployment_id: Arc::clone(shared),
            }
        });
        Self {
            destinations: destinations.collect(),
            partitions: plan.partitions.clone(),
            newly_created_count: plan.newly_created_count,
            unavailable_count: plan.unavailable_count,
            max_unavailable_count: plan.max_unavailable_count,
            unavailable_partition_count: plan.unavailable_partition_count,
            max_unavailable_partition_count: plan.max_unavailable_partition_count,
            is_settled: plan.next_wake.is_none()
                && plan.unavailable_partition_count == 0
                && plan.steps.iter().all(|step| step.held_by.is_none()),
        }
    }

    /// The same plan with the clusters' state of now. `None` when a BundleDeployment is not what
    /// the plan left behind, and everything has to be planned again.
    pub fn refreshed(&self, deployments: &Deployments) -> Option<Self> {
        if deployments.len() != self.destinations.len() {
            return None;
        }
        let as_planned = self.destinations.iter().all(|destination| {
            deployments.get(&destination.home).is_some_and(|held| {
                *held.spec.deployment_id == *destination.deployment_id
                    && *held.spec.staged_deployment_id == *destination.deployment_id
            })
        });
        if !as_planned {
            return None;
        }
        let unavailable = |members: &mut dyn Iterator<Item = &Destination>| {
            members.filter(|member| !is_available(member, deployments)).count()
        };
        let mut after = self.clone();
        after.newly_created_count = 0;
        after.unavailable_count = unavailable(&mut self.destinations.iter());
        for plan in &mut after.partitions {
            let members = &plan.partition.members;
            plan.unavailable_count =
                unavailable(&mut members.iter().filter_map(|&at| self.destinations.get(at)));
            // One over its limit stops the partitions after it: that is for the planner to see.
            if plan.unavailable_count > plan.partition.max_unavailable_count {
                return None;
            }
        }
        Some(after)
    }
}

fn is_available(destination: &Destination, deployments: &Deployments) -> bool {
    deployments.get(&destination.home).and_then(|held| held.status.as_ref()).is_some_and(|status| {
        status.ready && *status.applied_deployment_id == *destination.deployment_id
    })
}

/// The status of a Bundle whose plan was carried out.
pub fn plan_status(
    known: &KnownBundle,
    outcome: &Outcome,
    deployments: &Deployments,
    now: &str,
) -> BundleStatus {
    let bundle = &known.bundle;
    let mut status = kept_part(known);
    let tally = tally(outcome.destinations.iter(), deployments);
    status.summary = tally.summary();
    status.newly_created = count(outcome.newly_created_count);
    status.unavailable = count(outcome.unavailable_count);
    status.max_unavailable = count(outcome.max_unavailable_count);
    status.unavailable_partitions = count(outcome.unavailable_partition_count);
    status.max_unavailable_partitions = count(outcome.max_unavailable_partition_count);
    status.partitions = outcome
        .partitions
        .iter()
        .map(|plan| partition_status(plan, outcome, deployments))
        .collect();
    status.display = BundleDisplay {
        ready_clusters: tally.ready_of_all(),
        state: tally.worst().map(|state| state.to_string()).unwrap_or_default(),
    };
    let ready = match is_ready(&status.summary) {
        _ if outcome.destinations.is_empty() && !may_match_nothing(bundle) => {
            status.display.state = "NoMatch".to_owned();
            no_match(bundle)
        }
        true => ConditionState::is_true(),
        false => ConditionState::is_false(ready_message(&status.summary, "Cluster")),
    };
    set_condition(&mut status.conditions, "Ready", &ready, now);
    status
}

/// The status of a Bundle that cannot be rolled out: what its clusters run is left alone and
/// still counted.
pub fn failed_status(known: &KnownBundle, message: &str, now: &str) -> BundleStatus {
    let mut status = known.bundle.status.clone().unwrap_or_default();
    status.observed_generation = known.bundle.metadata.generation.unwrap_or_default();
    set_condition(&mut status.conditions, "Ready", &ConditionState::error(message), now);
    status
}

fn kept_part(known: &KnownBundle) -> BundleStatus {
    let held = known.bundle.status.clone().unwrap_or_default();
    BundleStatus {
        conditions: held.conditions,
        oci_reference: held.oci_reference,
        observed_generation: known.bundle.metadata.generation.unwrap_or_default(),
        resources_sha256_sum: known.sha256.clone(),
        ..Default::default()
    }
}

fn tally<'a>(
    members: impl Iterator<Item = &'a Destination>,
    deployments: &Deployments,
) -> Tally<(String, String)> {
    let mut tally = Tally::new();
    for Destination { cluster, namespace, home, deployment_id } in members {
        let deployment = deployments.get(home).map(|held| &**held);
        let key = (cluster.clone(), namespace.clone());
        let contribution = Contribution::towards(deployment, deployment_id);
        tally.set(key, &format!("{namespace}/{cluster}"), contribution);
    }
    tally
}

fn partition_status(
    plan: &PartitionPlan,
    outcome: &Outcome,
    deployments: &Deployments,
) -> PartitionStatus {
    let members = &plan.partition.members;
    let destinations = members.iter().filter_map(|&at| outcome.destinations.get(at));
    PartitionStatus {
        name: plan.partition.name.clone(),
        count: count(members.len()),
        max_unavailable: count(plan.partition.max_unavailable_count),
        unavailable: count(plan.unavailable_count),
        summary: tally(destinations, deployments).summary(),
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The hub's own Bundles, and those whose targets all say `doNotDeploy`, go nowhere on purpose.
fn may_match_nothing(bundle: &Bundle) -> bool {
    let id = annotation(&bundle.metadata, labels::OBJECT_SET_ID);
    let targets = bundle.spec.real_targets();
    id == Some(labels::MANAGE_AGENT_SET_ID)
        || (!targets.is_empty() && targets.iter().all(|target| target.do_not_deploy))
}

fn no_match(bundle: &Bundle) -> ConditionState {
    let targets = bundle.spec.real_targets();
    let message = match targets {
        [] => "NoMatch: the bundle has no targets".to_owned(),
        _ => {
            let named = targets.iter().map(describe_target).collect::<Vec<_>>().join("; ");
            let namespace = bundle.namespace().unwrap_or_default();
            format!("NoMatch: no cluster of namespace {namespace} matches {named}")
        }
    };
    ConditionState { status: Some(false), reason: "NoMatch".to_owned(), message }
}

fn describe_target(target: &bundle_format::api::BundleTarget) -> String {
    let mut parts = Vec::new();
    for (what, value) in
        [("clusterName", &target.cluster_name), ("clusterGroup", &target.cluster_group)]
    {
        if !value.is_empty() {
            parts.push(format!("{what} {value}"));
        }
    }
    for (what, selector) in [
        ("clusterSelector", &target.cluster_selector),
        ("clusterGroupSelector", &target.cluster_group_selector),
    ] {
        if let Some(selector) = selector {
            let json = serde_json::to_string(selector).unwrap_or_default();
            parts.push(format!("{what} {json}"));
        }
    }
    match parts.is_empty() {
        true => format!("target {:?}, which has no criterion", target.name),
        false => parts.join(" and "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle_format::api::{BundleTarget, find_condition};
    use bundle_format::content::ContentId;

    fn known(targets: Vec<BundleTarget>) -> KnownBundle {
        let mut bundle = Bundle::default();
        bundle.metadata.namespace = Some("clusters".into());
        bundle.metadata.generation = Some(4);
        bundle.spec.targets = targets;
        KnownBundle { bundle, content: ContentId::of_digest("d"), sha256: "d".into() }
    }

    fn outcome(clusters: &[&str]) -> Outcome {
        let destination = |name: &&str| Destination {
            cluster: (*name).into(),
            namespace: "clusters".into(),
            home: format!("home-{name}"),
            deployment_id: "c:o".into(),
        };
        Outcome {
            destinations: clusters.iter().map(destination).collect(),
            partitions: Vec::new(),
            newly_created_count: 0,
            unavailable_count: 0,
            max_unavailable_count: clusters.len(),
            unavailable_partition_count: 0,
            max_unavailable_partition_count: 0,
            is_settled: true,
        }
    }

    fn deployment(applied: &str) -> Arc<BundleDeployment> {
        let mut deployment = BundleDeployment::default();
        deployment.spec.deployment_id = "c:o".into();
        deployment.spec.staged_deployment_id = "c:o".into();
        let status = deployment.status.get_or_insert_default();
        status.applied_deployment_id = applied.into();
        status.ready = true;
        status.non_modified = true;
        Arc::new(deployment)
    }

    fn message(status: &BundleStatus) -> &str {
        &find_condition(&status.conditions, "Ready").unwrap().message
    }

    #[test]
    fn a_bundle_is_ready_when_every_cluster_runs_its_version() {
        let deployments = [("home-a".to_owned(), deployment("c:o"))].into();
        let status = plan_status(&known(vec![]), &outcome(&["a"]), &deployments, "t");
        assert_eq!((&*status.display.ready_clusters, &*status.display.state), ("1/1", ""));
        assert_eq!((message(&status), status.observed_generation), ("", 4));
    }

    #[test]
    fn a_cluster_that_still_runs_the_old_version_is_waited_for() {
        let deployments = [("home-a".to_owned(), deployment("old:o"))].into();
        let status = plan_status(&known(vec![]), &outcome(&["a"]), &deployments, "t");
        assert_eq!(message(&status), "WaitApplied(1) [Cluster clusters/a]");
    }

    #[test]
    fn a_bundle_that_matches_no_cluster_names_its_selector() {
        let moon = BundleTarget { cluster_name: "moon".into(), ..Default::default() };
        let status = plan_status(&known(vec![moon]), &outcome(&[]), &Deployments::new(), "t");
        assert_eq!(status.display.state, "NoMatch");
        let expected = "NoMatch: no cluster of namespace clusters matches clusterName moon";
        assert_eq!(message(&status), expected);
    }

    #[test]
    fn a_settled_rollout_is_planned_again_when_a_deployment_is_not_as_planned() {
        let plan = outcome(&["a"]);
        let mut deployments = Deployments::from([("home-a".to_owned(), deployment("old:o"))]);
        assert_eq!(plan.refreshed(&deployments).map(|plan| plan.unavailable_count), Some(1));
        let mut changed = BundleDeployment::clone(&deployments["home-a"]);
        changed.spec.deployment_id = "x:o".into();
        deployments.insert("home-a".into(), Arc::new(changed));
        assert_eq!(plan.refreshed(&deployments), None);
        assert_eq!(plan.refreshed(&Deployments::new()), None);
    }
}
