use serde_json::{Value, json};

use super::*;

fn deployment(value: Value) -> BundleDeployment {
    serde_json::from_value(value).expect("a BundleDeployment")
}

#[test]
fn the_state_follows_from_ids_and_conditions() {
    let ids = |deployed: &str, staged: &str| json!({"deploymentID": deployed, "stagedDeploymentID": staged});
    let failed = json!([{"type": "Deployed", "status": "False"}]);
    for (spec, status, expected) in [
        (ids("b", "b"), json!({"appliedDeploymentID": "a"}), BundleState::WaitApplied),
        (
            ids("b", "b"),
            json!({"appliedDeploymentID": "a", "conditions": failed}),
            BundleState::ErrApplied,
        ),
        (ids("b", "b"), json!({"appliedDeploymentID": "b"}), BundleState::NotReady),
        (ids("b", "c"), json!({"appliedDeploymentID": "b", "ready": true}), BundleState::OutOfSync),
        (ids("b", "b"), json!({"appliedDeploymentID": "b", "ready": true}), BundleState::Modified),
        (
            ids("b", "b"),
            json!({"appliedDeploymentID": "b", "ready": true, "nonModified": true}),
            BundleState::Ready,
        ),
        // Applied once, and its repair fails ever since: live finding 3.
        (
            ids("b", "b"),
            json!({"appliedDeploymentID": "b", "ready": true, "nonModified": true, "conditions": failed}),
            BundleState::ErrApplied,
        ),
    ] {
        let state = deployment_state(&deployment(json!({"spec": spec, "status": status})));
        assert_eq!(state, expected, "{spec} {status}");
    }
}

fn contribution(state: BundleState, message: &str) -> Contribution {
    Contribution { state, message: message.to_owned(), modified: Vec::new(), non_ready: Vec::new() }
}

#[test]
fn a_tally_is_the_same_whatever_came_first_and_what_was_there_before() {
    let mut tally = Tally::new();
    tally.set(2, "ns/b", contribution(BundleState::ErrApplied, "boom"));
    tally.set(1, "ns/a", contribution(BundleState::NotReady, ""));
    tally.set(1, "ns/a", contribution(BundleState::ErrApplied, "first"));
    tally.set(3, "ns/c", contribution(BundleState::Ready, ""));
    tally.set(4, "ns/d", contribution(BundleState::Pending, ""));
    tally.remove(&4);
    let mut other = Tally::new();
    other.set(3, "ns/c", contribution(BundleState::Ready, ""));
    other.set(1, "ns/a", contribution(BundleState::ErrApplied, "first"));
    other.set(2, "ns/b", contribution(BundleState::ErrApplied, "boom"));
    assert_eq!(tally, other);
    let summary = tally.summary();
    assert_eq!((summary.err_applied, summary.ready, summary.desired_ready), (2, 1, 3));
    assert_eq!(ready_message(&summary, "Cluster"), "ErrApplied(2) [Cluster ns/a: first]");
    assert_eq!((tally.worst(), tally.worst_message()), (Some(BundleState::ErrApplied), "first"));
    assert_eq!(tally.ready_of_all(), "1/3");
}

#[test]
fn a_message_quotes_objects_in_the_words_of_the_reference() {
    // Forms of fleet-api 1.18.
    let summary: BundleSummary = serde_json::from_value(json!({
        "notReady": 1, "waitApplied": 2, "modified": 1, "desiredReady": 4,
        "nonReadyResources": [
            {"name": "b", "bundleState": "NotReady", "nonReadyStatus": [{
                "kind": "Deployment", "apiVersion": "apps/v1", "namespace": "default", "name": "nginx",
                "summary": {"state": "updating", "transitioning": true, "message": ["x", "y"]},
            }]},
            {"name": "c", "bundleState": "Modified", "modifiedStatus": [
                {"kind": "Service", "apiVersion": "v1", "namespace": "ns", "name": "svc-test", "missing": true},
                {"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "name": "foo", "patch": "{}"},
            ]},
        ],
    }))
    .expect("a summary");
    assert_eq!(
        ready_message(&summary, "Bundle"),
        "Modified(1) [Bundle c]; NotReady(1) [Bundle b]; WaitApplied(2); \
         clusterrole.rbac.authorization.k8s.io foo modified {}; \
         deployment.apps default/nginx [progressing] x, y; service.v1 ns/svc-test missing"
    );
    assert_eq!(ready_message(&BundleSummary::default(), "Bundle"), "");
}

#[test]
fn at_most_ten_entries_are_listed() {
    let mut tally = Tally::new();
    for i in 0..12 {
        tally.set(i, &format!("c{i:02}"), contribution(BundleState::Pending, ""));
    }
    assert_eq!(tally.summary().non_ready_resources.len(), 10);
    let mut total = tally.summary();
    add_summary(&mut total, &tally.summary());
    assert_eq!((total.pending, total.non_ready_resources.len()), (24, 10));
}

#[test]
fn objects_are_merged_over_clusters() {
    let on = |cluster: &str, status: Value| {
        deployment(json!({
            "metadata": {"labels": {
                "fleet.cattle.io/cluster": cluster, "fleet.cattle.io/cluster-namespace": "ns",
            }},
            "spec": {"deploymentID": "a", "stagedDeploymentID": "a"},
            "status": status,
        }))
    };
    let objects = json!([
        {"kind": "Deployment", "apiVersion": "apps/v1", "namespace": "d", "name": "x"},
        {"kind": "Service", "apiVersion": "v1", "namespace": "d", "name": "s"},
    ]);
    let good = on(
        "b",
        json!({"appliedDeploymentID": "a", "ready": true, "nonModified": true, "resources": objects}),
    );
    let bad = on(
        "a",
        json!({"appliedDeploymentID": "a", "resources": objects, "nonReadyStatus": [
            {"kind": "Deployment", "apiVersion": "apps/v1", "namespace": "d", "name": "x",
             "summary": {"state": "updating"}},
        ]}),
    );
    let merged = resources::aggregate_resources([&good, &bad]);
    let seen: Vec<_> =
        merged.iter().map(|r| (r.type_.as_str(), r.id.as_str(), r.state.as_str())).collect();
    assert_eq!(seen, [("apps.deployment", "d/x", "updating"), ("service", "d/s", "Ready")]);
    assert_eq!(merged[0].per_cluster_state.not_ready, ["ns/a"]);
    assert_eq!(merged[0].per_cluster_state.ready, ["ns/b"]);
}
