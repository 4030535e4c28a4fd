//! The decisions for one bundle, in order: match, place, resolve, roll out.
//!
//! Owns what follows from them: the BundleDeployments as they should be, those that should not be,
//! and the Bundle's status. Must not know clients, caches or Secrets. Start at [`plan_bundle`].

use jiff::Timestamp;

use crate::api::bundle::{
    Bundle, BundleDisplay, BundleSpec, BundleStatus, BundleTarget, PartitionStatus,
};
use crate::api::bundle_deployment::BundleDeployment;
use crate::api::labels;
use crate::api::options::BundleDeploymentOptions;
use crate::content::{ContentId, Manifest};
use crate::error::{Classify, ErrorClass};
use crate::options::values::without_machine_keys;
use crate::options::{ResolveError, Resolver, Rules, Target, add_namespace_metadata};
use crate::placement::{PlacementPolicy, place_targets};
use crate::rollout::{PartitionPlan, RolloutError, RolloutPlan, Step, plan_rollout};
use crate::summary::{Contribution, Tally, ready_message};
use crate::target::selector::{Labels, SelectorError};
use crate::target::{ClusterRef, ClusterView, is_candidate, match_targets};

/// Everything a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct BundleWorld<'a> {
    /// The Bundle, values in place.
    pub bundle: &'a Bundle,
    /// The clusters of its namespace and of those mapped to it.
    pub clusters: &'a [ClusterView],
    /// Its BundleDeployments.
    pub deployments: &'a [&'a BundleDeployment],
    /// How clusters are picked.
    pub policy: &'a PlacementPolicy,
    /// What comes into the options from outside.
    pub rules: &'a Rules,
}

/// What should be.
#[derive(Clone, Debug, PartialEq)]
pub struct BundlePlan<'a> {
    /// Which bytes the bundle is now.
    pub content: ContentId,
    /// The clusters it goes to, in the order of the rollout.
    pub targets: Vec<Target<'a>>,
    /// Which of them move now.
    pub rollout: RolloutPlan,
    /// BundleDeployments of clusters it does not go to any more.
    pub orphans: Vec<&'a BundleDeployment>,
    /// The Bundle's status, conditions left out.
    pub status: BundleStatus,
    /// The message of the Ready condition; empty when it is true.
    pub ready_message: String,
}

impl BundlePlan<'_> {
    /// When to plan again although nothing changed.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.rollout.next_wake
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A selector that Kubernetes would refuse.
    #[error("targeting error: {0}")]
    Selector(#[from] SelectorError),
    /// A cluster whose values could not be made; no BundleDeployment changes.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A strategy that means nothing.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
}

impl Classify for PlanError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Selector(error) => error.class(),
            Self::Resolve(error) => error.class(),
            Self::Rollout(error) => error.class(),
        }
    }
}

/// Decides what one bundle should be on all clusters now.
///
/// Guarantees: carried out and observed again, the same world plans no change.
///
/// # Errors
/// See [`PlanError`]; nothing may be written then.
pub fn plan_bundle<'a>(
    world: &BundleWorld<'a>,
    now: Timestamp,
) -> Result<BundlePlan<'a>, PlanError> {
    let bundle = world.bundle;
    let content = content_id(&bundle.spec);
    let targets = resolve_targets(world, &content)?;
    let strategy = bundle.spec.rollout_strategy.clone().unwrap_or_default();
    let rollout = plan_rollout(&strategy, &targets, now)?;
    let is_orphan = |deployment: &&&BundleDeployment| {
        let namespace = deployment.metadata.namespace.as_deref();
        !targets.iter().any(|target| target.cluster.cluster_namespace.as_deref() == namespace)
    };
    let orphans = world.deployments.iter().filter(is_orphan).copied().collect();
    let (status, ready_message) = summarize_targets(&bundle.spec, &targets, &rollout);
    Ok(BundlePlan { content, targets, rollout, orphans, status, ready_message })
}

/// The id of a bundle's content: computed, or recorded when the content lies elsewhere.
pub fn content_id(spec: &BundleSpec) -> ContentId {
    match spec.contents_id.is_empty() && spec.helm_op_options.is_none() {
        true => Manifest::of_bundle(spec).id(),
        false => ContentId::recorded(&spec.contents_id),
    }
}

fn resolve_targets<'a>(
    world: &BundleWorld<'a>,
    content: &ContentId,
) -> Result<Vec<Target<'a>>, PlanError> {
    let mut matches = match_targets(&world.bundle.spec, world.clusters)?;
    matches.retain(|found| is_candidate(world.bundle, found.cluster));
    let placed = place_targets(world.policy, matches);
    let mut by_namespace: Vec<(&str, &BundleDeployment)> = world
        .deployments
        .iter()
        .filter_map(|deployment| Some((deployment.metadata.namespace.as_deref()?, *deployment)))
        .collect();
    by_namespace.sort_by_key(|(namespace, _)| *namespace);
    let mut resolver = Resolver::new(world.bundle, content, world.rules.clone());
    let resolve = |placed: &crate::placement::Placed<'a>| {
        let target = resolver.resolve(&placed.matched)?;
        let held = target.cluster.cluster_namespace.as_deref().and_then(|wanted| {
            by_namespace.binary_search_by_key(&wanted, |(namespace, _)| *namespace).ok()
        });
        Ok(target.with_deployment(held.map(|index| by_namespace[index].1)))
    };
    placed.iter().map(resolve).collect()
}

/// The BundleDeployment of a target once its step is taken; `None` when there is none and none is
/// created. Values are in place where the step sets options; the caller moves them into the Secret.
pub fn desired_deployment(
    bundle: &Bundle,
    target: &Target<'_>,
    step: &Step,
) -> Option<BundleDeployment> {
    let mut desired = match target.deployment {
        Some(existing) => BundleDeployment { status: None, ..existing.clone() },
        None if step.create => BundleDeployment::default(),
        None => return None,
    };
    desired.metadata.name.clone_from(&bundle.metadata.name);
    desired.metadata.namespace.clone_from(&target.cluster.cluster_namespace);
    desired.metadata.labels = Some(deployment_labels(bundle, &target.cluster.cluster_ref()));
    let spec = &mut desired.spec;
    let wanted = || with_namespace_metadata(&target.options, &bundle.spec.targets);
    if step.stage {
        spec.staged_options = wanted();
        spec.staged_deployment_id = target.deployment_id.to_string();
    }
    if step.promote {
        spec.options = wanted();
        spec.deployment_id.clone_from(&spec.staged_deployment_id);
    } else if target.deployment.is_some_and(|d| !d.spec.deployment_id.is_empty()) {
        add_namespace_metadata(&mut spec.options, &bundle.spec.targets);
    }
    if step.sync_diff {
        spec.options.diff.clone_from(&target.options.diff);
    }
    spec.paused = target.is_paused;
    spec.off_schedule = target.cluster.is_off_schedule;
    spec.depends_on.clone_from(&bundle.spec.depends_on);
    spec.correct_drift.clone_from(&target.options.correct_drift);
    Some(desired)
}

fn with_namespace_metadata(
    options: &BundleDeploymentOptions,
    targets: &[BundleTarget],
) -> BundleDeploymentOptions {
    let mut options = options.clone();
    add_namespace_metadata(&mut options, targets);
    options
}

/// The labels of a BundleDeployment, that of its Content left out.
pub fn deployment_labels(bundle: &Bundle, cluster: &ClusterRef) -> Labels {
    let no_labels = Labels::new();
    let of_bundle = bundle.metadata.labels.as_ref().unwrap_or(&no_labels);
    let mut all = without_machine_keys(of_bundle);
    let ours = of_bundle.iter().filter(|(key, _)| key.starts_with("fleet.cattle.io/"));
    all.extend(ours.map(|(key, value)| (key.clone(), value.clone())));
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    all.extend([
        (labels::BUNDLE_NAME.to_owned(), text(&bundle.metadata.name)),
        (labels::BUNDLE_NAMESPACE.to_owned(), text(&bundle.metadata.namespace)),
        (labels::MANAGED.to_owned(), "true".to_owned()),
        (labels::CLUSTER.to_owned(), cluster.name.clone()),
        (labels::CLUSTER_NAMESPACE.to_owned(), cluster.namespace.clone()),
    ]);
    all
}

fn summarize_targets(
    spec: &BundleSpec,
    targets: &[Target<'_>],
    rollout: &RolloutPlan,
) -> (BundleStatus, String) {
    let tally_of = |members: &mut dyn Iterator<Item = usize>| {
        let mut tally = Tally::new();
        for index in members {
            let target = &targets[index];
            let wanted = target.deployment_id.to_string();
            let contribution = Contribution::towards(target.deployment, &wanted);
            tally.set(index, &target.cluster.cluster_ref().to_string(), contribution);
        }
        tally
    };
    let partition = |plan: &PartitionPlan| PartitionStatus {
        name: plan.partition.name.clone(),
        count: plan.partition.members.len() as i64,
        max_unavailable: plan.partition.max_unavailable_count as i64,
        unavailable: plan.unavailable_count as i64,
        summary: tally_of(&mut plan.partition.members.iter().copied()).summary(),
    };
    let tally = tally_of(&mut (0..targets.len()));
    let summary = tally.summary();
    let is_matched = !targets.is_empty();
    let ready_message = match is_matched {
        true => ready_message(&summary, "Cluster"),
        false => no_match_message(spec),
    };
    let state = match is_matched {
        true => tally.worst().map_or("", |state| state.as_str()),
        false => NO_MATCH,
    };
    let status = BundleStatus {
        summary,
        newly_created: rollout.newly_created_count as i64,
        unavailable: rollout.unavailable_count as i64,
        max_unavailable: rollout.max_unavailable_count as i64,
        unavailable_partitions: rollout.unavailable_partition_count as i64,
        max_unavailable_partitions: rollout.max_unavailable_partition_count as i64,
        partitions: rollout.partitions.iter().map(partition).collect(),
        display: BundleDisplay { ready_clusters: tally.ready_of_all(), state: state.to_owned() },
        ..Default::default()
    };
    (status, ready_message)
}

/// The state of a bundle that goes nowhere (Fleet 0.16 calls it ready: live finding 4).
pub const NO_MATCH: &str = "NoMatch";

fn no_match_message(spec: &BundleSpec) -> String {
    let targets = spec.real_targets().iter().map(|target| {
        let mut shown = serde_json::Map::new();
        let json = serde_json::to_value(target).unwrap_or_default();
        for key in
            ["name", "clusterName", "clusterGroup", "clusterSelector", "clusterGroupSelector"]
        {
            if let Some(value) = json.get(key).filter(|value| **value != "") {
                shown.insert(key.to_owned(), value.clone());
            }
        }
        serde_json::Value::Object(shown).to_string()
    });
    let listed = targets.take(4).collect::<Vec<_>>().join(", ");
    format!("{NO_MATCH}: no cluster matches the targets [{listed}]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn world(
        bundle: &Bundle,
        clusters: &[ClusterView],
        deployments: &[&BundleDeployment],
    ) -> (BundleStatus, String, Vec<BundleDeployment>) {
        let world = BundleWorld {
            bundle,
            clusters,
            deployments,
            policy: &PlacementPolicy::default(),
            rules: &Rules::default(),
        };
        let plan = plan_bundle(&world, Timestamp::UNIX_EPOCH).expect("a plan");
        let desired = plan.targets.iter().zip(&plan.rollout.steps);
        let desired = desired.filter_map(|(target, step)| desired_deployment(bundle, target, step));
        let desired = desired.collect();
        (plan.status, plan.ready_message, desired)
    }

    fn bundle() -> Bundle {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "fleet", "labels": {
                "team": "x", "fleet.cattle.io/commit": "c", "objectset.rio.cattle.io/hash": "h",
            }},
            "spec": {
                "targets": [{"name": "dev", "clusterSelector": {"matchLabels": {"env": "dev"}}, "namespaceLabels": {"a": "b"}}],
                "resources": [{"name": "a.yaml", "content": "a: 1"}],
            },
        }))
        .expect("a bundle")
    }

    fn cluster(name: &str) -> ClusterView {
        ClusterView {
            name: name.to_owned(),
            namespace: "fleet".to_owned(),
            labels: [("env".to_owned(), "dev".to_owned())].into(),
            cluster_namespace: Some(format!("cluster-{name}")),
            ..Default::default()
        }
    }

    #[test]
    fn a_plan_carried_out_plans_no_change() {
        let (bundle, clusters) = (bundle(), [cluster("a")]);
        let (status, message, first) = world(&bundle, &clusters, &[]);
        assert_eq!(
            (status.display.ready_clusters.as_str(), message.as_str()),
            ("0/1", "Pending(1) [Cluster fleet/a]")
        );
        let labels = first[0].metadata.labels.as_ref().expect("some");
        assert_eq!(labels.get("fleet.cattle.io/commit").map(String::as_str), Some("c"));
        assert!(!labels.contains_key("objectset.rio.cattle.io/hash"));
        assert_eq!(first[0].spec.options.namespace_labels["a"], "b");
        assert_eq!(first[0].spec.deployment_id, first[0].spec.staged_deployment_id);
        let (_, _, second) = world(&bundle, &clusters, &[&first[0]]);
        assert_eq!(second, first);
    }

    #[test]
    fn a_bundle_that_goes_nowhere_is_not_ready_and_names_its_selector() {
        let (status, message, _) = world(&bundle(), &[], &[]);
        assert_eq!(status.display.state, "NoMatch");
        assert!(
            message.contains(r#""clusterSelector":{"matchLabels":{"env":"dev"}}"#),
            "{message}"
        );
    }
}
