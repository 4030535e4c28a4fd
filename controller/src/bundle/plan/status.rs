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
use bundle_format::summary::{Tally, is_ready, ready_message};
use kube::ResourceExt;

use super::standing::Standing;
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
    /// BundleDeployments that the plan created.
    pub newly_created_count: usize,
    /// Clusters that do not run their version well.
    pub unavailable_count: usize,
    max_unavailable_count: usize,
    unavailable_partition_count: usize,
    max_unavailable_partition_count: usize,
    /// No cluster waits for anything but its agent.
    pub is_settled: bool,
}

impl Outcome {
    /// A settled plan in which nobody may be kept waiting.
    #[cfg(test)]
    pub(super) fn new(destinations: Vec<Destination>, partitions: Vec<PartitionPlan>) -> Self {
        Self {
            max_unavailable_count: destinations.len(),
            destinations,
            partitions,
            newly_created_count: 0,
            unavailable_count: 0,
            unavailable_partition_count: 0,
            max_unavailable_partition_count: 0,
            is_settled: true,
        }
    }

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
}

/// The status of a Bundle whose plan was carried out.
pub fn plan_status(known: &KnownBundle, standing: &Standing, now: &str) -> BundleStatus {
    let bundle = &known.bundle;
    let mut status = kept_part(known);
    let (outcome, tally) = (standing.outcome(), standing.tally());
    status.summary = tally.summary();
    status.newly_created = count(outcome.newly_created_count);
    status.unavailable = count(outcome.unavailable_count);
    status.max_unavailable = count(outcome.max_unavailable_count);
    status.unavailable_partitions = count(outcome.unavailable_partition_count);
    status.max_unavailable_partitions = count(outcome.max_unavailable_partition_count);
    status.partitions = outcome
        .partitions
        .iter()
        .zip(standing.partitions())
        .map(|(plan, tally)| partition_status(plan, tally))
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

fn partition_status(plan: &PartitionPlan, tally: &Tally<usize>) -> PartitionStatus {
    PartitionStatus {
        name: plan.partition.name.clone(),
        count: count(plan.partition.members.len()),
        max_unavailable: count(plan.partition.max_unavailable_count),
        unavailable: count(plan.unavailable_count),
        summary: tally.summary(),
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
        Outcome::new(clusters.iter().map(destination).collect(), Vec::new())
    }

    fn status(targets: Vec<BundleTarget>, clusters: &[&str], held: Deployments) -> BundleStatus {
        plan_status(&known(targets), &Standing::of(outcome(clusters), &held), "t")
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
        let status = status(vec![], &["a"], deployments);
        assert_eq!((&*status.display.ready_clusters, &*status.display.state), ("1/1", ""));
        assert_eq!((message(&status), status.observed_generation), ("", 4));
    }

    #[test]
    fn a_cluster_that_still_runs_the_old_version_is_waited_for() {
        let deployments = [("home-a".to_owned(), deployment("old:o"))].into();
        let status = status(vec![], &["a"], deployments);
        assert_eq!(message(&status), "WaitApplied(1) [Cluster clusters/a]");
    }

    #[test]
    fn a_bundle_that_matches_no_cluster_names_its_selector() {
        let moon = BundleTarget { cluster_name: "moon".into(), ..Default::default() };
        let status = status(vec![moon], &[], Deployments::new());
        assert_eq!(status.display.state, "NoMatch");
        let expected = "NoMatch: no cluster of namespace clusters matches clusterName moon";
        assert_eq!(message(&status), expected);
    }
}
