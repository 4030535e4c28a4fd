use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::api::options::BundleDeploymentOptions;
use crate::content::{ContentId, DeploymentId, OptionsHash};
use crate::target::ClusterView;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// How a cluster stands towards the version `new`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stand {
    New,
    Staged,
    OldReady,
    OldBroken,
    Promoted,
    Done,
}

fn id(version: &str) -> DeploymentId {
    DeploymentId {
        content: ContentId::recorded(version),
        options: OptionsHash::of(&BundleDeploymentOptions::default()),
    }
}

fn deployment(stand: Stand) -> Option<BundleDeployment> {
    let (old, new) = (id("old").to_string(), id("new").to_string());
    let (deployed, staged, applied, ready) = match stand {
        Stand::New => return None,
        Stand::Staged => ("", new.as_str(), "", false),
        Stand::OldReady => (old.as_str(), old.as_str(), old.as_str(), true),
        Stand::OldBroken => (old.as_str(), old.as_str(), old.as_str(), false),
        Stand::Promoted => (new.as_str(), new.as_str(), old.as_str(), true),
        Stand::Done => (new.as_str(), new.as_str(), new.as_str(), true),
    };
    let value = json!({
        "spec": {"deploymentID": deployed, "stagedDeploymentID": staged},
        "status": {"appliedDeploymentID": applied, "ready": ready},
    });
    Some(serde_json::from_value(value).expect("a BundleDeployment"))
}

struct Fleet {
    clusters: Vec<ClusterView>,
    deployments: Vec<Option<BundleDeployment>>,
}

fn fleet(stands: &[Stand]) -> Fleet {
    let clusters = (0..stands.len()).map(|i| ClusterView {
        name: format!("c{i:03}"),
        cluster_namespace: Some(format!("cluster-c{i:03}")),
        labels: [("ring".to_owned(), (i % 3).to_string())].into(),
        ..Default::default()
    });
    Fleet {
        clusters: clusters.collect(),
        deployments: stands.iter().map(|stand| deployment(*stand)).collect(),
    }
}

impl Fleet {
    fn targets(&self) -> Vec<Target<'_>> {
        let pairs = self.clusters.iter().zip(&self.deployments);
        pairs
            .map(|(cluster, deployment)| Target {
                cluster,
                deployment: deployment.as_ref(),
                options: Arc::new(BundleDeploymentOptions::default()),
                deployment_id: id("new"),
                is_paused: cluster.is_paused,
            })
            .collect()
    }

    fn plan(&self, strategy: serde_json::Value) -> RolloutPlan {
        let strategy = serde_json::from_value(strategy).expect("a strategy");
        plan_rollout(&strategy, &self.targets(), NOW).expect("a good strategy")
    }
}

fn promoted(plan: &RolloutPlan) -> Vec<usize> {
    plan.promoted().collect()
}

#[test]
fn without_a_strategy_everything_moves_at_once() {
    let plan = fleet(&[Stand::New, Stand::OldReady, Stand::OldBroken, Stand::Done]).plan(json!({}));
    assert_eq!(promoted(&plan), [0, 1, 2]);
    assert_eq!((plan.newly_created_count, plan.unavailable_count), (1, 3));
    assert_eq!(plan.partitions[0].partition.name, "All");
}

#[test]
fn no_more_clusters_are_unavailable_than_allowed() {
    let fresh = fleet(&[Stand::New; 6]).plan(json!({"maxUnavailable": 2}));
    assert_eq!(promoted(&fresh), [0, 1], "a first rollout keeps to the budget too");
    let gate = Gate::Budget { allowed_count: 2, unavailable_count: 2 };
    assert_eq!(fresh.steps[2].held_by, Some(gate));
    assert!(fresh.steps[2].create && fresh.steps[2].stage);

    let stands = [Stand::Done, Stand::Promoted, Stand::Staged, Stand::OldReady];
    assert_eq!(promoted(&fleet(&stands).plan(json!({"maxUnavailable": 2}))), [2]);
    // What is broken already may always be replaced.
    let stands = [Stand::OldBroken, Stand::OldBroken, Stand::OldReady];
    assert_eq!(promoted(&fleet(&stands).plan(json!({"maxUnavailable": 1}))), [0, 1]);
}

#[test]
fn partitions_go_one_after_the_other_and_clusters_in_none_go_last() {
    let strategy = json!({"maxUnavailable": "100%", "partitions": [
        {"name": "one", "maxUnavailable": 1, "clusterSelector": {"matchLabels": {"ring": "1"}}},
        {"name": "two", "clusterSelector": {"matchLabels": {"ring": "2"}}},
    ]});
    let plan = fleet(&[Stand::OldReady; 6]).plan(strategy.clone());
    assert_eq!(promoted(&plan), [1], "ring 1 is clusters 1 and 4");
    assert!(matches!(plan.steps[4].held_by, Some(Gate::PartitionBudget { .. })));
    for later in [0, 2, 3, 5] {
        let gate = Gate::EarlierPartition { partition: "one".to_owned() };
        assert_eq!(plan.steps[later].held_by, Some(gate));
        assert!(!plan.steps[later].stage);
    }
    let mut stands = [Stand::OldReady; 6];
    (stands[1], stands[4]) = (Stand::Done, Stand::Done);
    let plan = fleet(&stands).plan(strategy);
    assert_eq!(promoted(&plan), [0, 2, 3, 5], "two and then the others, both with room for all");
    assert_eq!(plan.partitions[2].partition.name, "Others");
}

#[test]
fn no_more_partitions_are_unavailable_than_allowed() {
    let rings = ["0", "1", "2"].map(|ring| {
        json!({"name": ring, "maxUnavailable": 0, "clusterSelector": {"matchLabels": {"ring": ring}}})
    });
    let mut stands = [Stand::OldReady; 6];
    // Replacing what is broken costs no cluster's availability, but its partition stays unavailable.
    (stands[0], stands[1], stands[2]) = (Stand::OldBroken, Stand::OldBroken, Stand::OldBroken);
    for (allowed, moved) in [(0, vec![0]), (1, vec![0, 1]), (2, vec![0, 1, 2])] {
        let strategy = json!({"partitions": rings, "maxUnavailablePartitions": allowed});
        let plan = fleet(&stands).plan(strategy);
        assert_eq!(promoted(&plan), moved, "{allowed} allowed");
        assert_eq!(plan.max_unavailable_partition_count, allowed);
    }
}

#[test]
fn automatic_partitions_are_named_by_their_bounds() {
    let plan = fleet(&[Stand::OldReady; 6]).plan(
        json!({"autoPartitionThreshold": 5, "autoPartitionSize": "50%", "maxUnavailable": 1}),
    );
    let names: Vec<_> = plan.partitions.iter().map(|p| p.partition.name.as_str()).collect();
    assert_eq!(names, ["Partition 0 - 3", "Partition 3 - 6"]);
    assert_eq!(promoted(&plan), [0]);
    assert_eq!((plan.unavailable_partition_count, plan.max_unavailable_partition_count), (1, 0));
}

#[test]
fn at_most_max_new_deployments_are_created_in_one_pass() {
    let plan = fleet(&[Stand::New; 60]).plan(json!({}));
    assert_eq!((plan.newly_created_count, promoted(&plan).len()), (50, 50));
    assert_eq!(plan.steps[50].held_by, Some(Gate::MaxNew { allowed_count: 50 }));
    assert_eq!(plan.next_wake, Some(NOW));
    assert_eq!(fleet(&[Stand::Done; 60]).plan(json!({})).next_wake, None);
}

#[test]
fn a_paused_cluster_is_staged_but_not_promoted() {
    let mut fleet = fleet(&[Stand::OldReady, Stand::OldReady]);
    fleet.clusters[0].is_paused = true;
    let plan = fleet.plan(json!({}));
    assert_eq!(promoted(&plan), [1]);
    assert!(plan.steps[0].stage);
    assert_eq!(plan.steps[0].held_by, Some(Gate::Paused));
}

#[test]
fn a_limit_that_means_nothing_is_an_error_in_the_words_of_the_reference() {
    let strategy = serde_json::from_value(json!({"maxUnavailable": "abc"})).expect("a strategy");
    let error = plan_rollout(&strategy, &fleet(&[Stand::New]).targets(), NOW).expect_err("abc");
    assert_eq!(
        error.to_string(),
        "invalid maxUnavailable, must be int or percentage (ending with %): abc"
    );
}

/// Small, repeatable and good enough to shuffle states.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn a_plan_never_exceeds_a_budget() {
    let all = [
        Stand::New,
        Stand::Staged,
        Stand::OldReady,
        Stand::OldBroken,
        Stand::Promoted,
        Stand::Done,
    ];
    let strategies = [
        json!({"maxUnavailable": 1}),
        json!({"maxUnavailable": 0}),
        json!({"maxUnavailable": "30%"}),
        json!({"maxUnavailable": 3, "autoPartitionThreshold": 1, "autoPartitionSize": 2}),
        json!({"maxUnavailable": 3, "maxUnavailablePartitions": 1, "partitions": [
            {"clusterSelector": {"matchLabels": {"ring": "1"}}, "maxUnavailable": 1},
            {"clusterSelector": {}, "maxUnavailable": "20%"},
        ]}),
    ];
    let mut random = 7;
    for round in 0..2000 {
        let stands: Vec<Stand> = (0..next_random(&mut random) % 12)
            .map(|_| all[(next_random(&mut random) % all.len() as u64) as usize])
            .collect();
        let fleet = fleet(&stands);
        let plan = fleet.plan(strategies[round % strategies.len()].clone());
        let targets = fleet.targets();
        let before = targets.iter().filter(|target| is_unavailable(target)).count();
        let after = (0..targets.len())
            .filter(|&i| is_unavailable(&targets[i]) || plan.steps[i].promote)
            .count();
        assert!(after <= before.max(plan.max_unavailable_count), "{stands:?} {plan:?}");
        assert_eq!(after, plan.unavailable_count, "{stands:?}");
        for PartitionPlan { partition, .. } in &plan.partitions {
            let count = |test: &dyn Fn(usize) -> bool| {
                partition.members.iter().filter(|&&member| test(member)).count()
            };
            let before = count(&|i| is_unavailable(&targets[i]));
            let after = count(&|i| is_unavailable(&targets[i]) || plan.steps[i].promote);
            assert!(after <= before.max(partition.max_unavailable_count), "{stands:?} {plan:?}");
        }
    }
}
