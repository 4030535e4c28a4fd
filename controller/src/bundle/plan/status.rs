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
use bundle_format::target::ClusterView;
use kube::ResourceExt;

use crate::stores::{KnownBundle, annotation};

/// The status of a Bundle whose plan was carried out.
pub fn plan_status(
    known: &KnownBundle,
    targets: &[Target<'_>],
    plan: &RolloutPlan,
    deployments: &BTreeMap<String, Arc<BundleDeployment>>,
    now: &str,
) -> BundleStatus {
    let bundle = &known.bundle;
    let mut status = kept_part(known);
    let all: Vec<usize> = (0..targets.len()).collect();
    let tally = tally(targets, &all, deployments);
    status.summary = tally.summary();
    status.newly_created = count(plan.newly_created_count);
    status.unavailable = count(plan.unavailable_count);
    status.max_unavailable = count(plan.max_unavailable_count);
    status.unavailable_partitions = count(plan.unavailable_partition_count);
    status.max_unavailable_partitions = count(plan.max_unavailable_partition_count);
    status.partitions =
        plan.partitions.iter().map(|plan| partition_status(plan, targets, deployments)).collect();
    status.display = BundleDisplay {
        ready_clusters: tally.ready_of_all(),
        state: tally.worst().map(|state| state.to_string()).unwrap_or_default(),
    };
    let ready = match is_ready(&status.summary) {
        _ if targets.is_empty() && !may_match_nothing(bundle) => {
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

fn tally(
    targets: &[Target<'_>],
    members: &[usize],
    deployments: &BTreeMap<String, Arc<BundleDeployment>>,
) -> Tally<(String, String)> {
    let mut tally = Tally::new();
    for target in members.iter().filter_map(|&index| targets.get(index)) {
        let ClusterView { namespace, name, cluster_namespace, .. } = target.cluster;
        let deployment = cluster_namespace.as_ref().and_then(|home| deployments.get(home));
        let id = target.deployment_id.to_string();
        let contribution = Contribution::towards(deployment.map(|held| &**held), &id);
        let key = (name.clone(), namespace.clone());
        tally.set(key, &format!("{namespace}/{name}"), contribution);
    }
    tally
}

fn partition_status(
    plan: &PartitionPlan,
    targets: &[Target<'_>],
    deployments: &BTreeMap<String, Arc<BundleDeployment>>,
) -> PartitionStatus {
    PartitionStatus {
        name: plan.partition.name.clone(),
        count: count(plan.partition.members.len()),
        max_unavailable: count(plan.partition.max_unavailable_count),
        unavailable: count(plan.unavailable_count),
        summary: tally(targets, &plan.partition.members, deployments).summary(),
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

    fn known(bundle: Bundle) -> KnownBundle {
        KnownBundle { bundle, content: Default::default(), sha256: String::new() }
    }
}
