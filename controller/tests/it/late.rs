//! What holds although the controller's copies are late: budgets, and what is still needed.
//!
//! Under virtual time: [`World::settle`] waits a minute, in which every delay is over.

use serde_json::{Value, json};

use crate::world::{HOME, World, deployment, object};

const DEPLOYMENTS: &str = "bundledeployments";

fn path(resource: &str, name: &str) -> String {
    format!("/apis/fleet.cattle.io/v1alpha1/{resource}/{name}")
}

/// A bundle of which one cluster at a time may change.
struct Careful {
    world: World,
    /// The namespaces of clusters `b` and `c`, which run it.
    homes: [String; 2],
}

impl Careful {
    async fn start() -> Self {
        let world = World::start().await;
        let homes = [world.cluster("b", json!({})).await, world.cluster("c", json!({})).await];
        let strategy = json!({"maxUnavailable": 1});
        let everywhere = json!([{"clusterSelector": {}}]);
        world.bundle("web", json!({"targets": everywhere, "rolloutStrategy": strategy})).await;
        for home in &homes {
            world.settle().await;
            world.report_ready(&deployment(home, "web")).await;
        }
        world.settle().await;
        Self { world, homes }
    }

    /// Another version of the files; more of the spec may change with them.
    async fn commit(&self, text: &str, more: Value) {
        let mut spec = json!({"resources": [{"name": "m.yaml", "content": text}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.world.patch("bundles/web", json!({"spec": spec})).await;
        self.world.settle().await;
    }

    async fn deployed(&self, home: &str) -> Value {
        self.world.get(&deployment(home, "web")).await
    }

    /// Whether a cluster was told to run a version that it does not run.
    async fn is_between(&self, home: &str) -> bool {
        let held = self.deployed(home).await;
        let wanted = &held["spec"]["deploymentID"];
        wanted.is_string() && *wanted != held["status"]["appliedDeploymentID"]
    }

    /// A cluster that comes before the others joins while `b` is between two versions.
    async fn join_first(&self) {
        let [b, c] = &self.homes;
        assert!(self.is_between(b).await && !self.is_between(c).await, "b goes first");
        let a = self.world.cluster("a", json!({})).await;
        self.world.settle().await;
        assert!(!self.is_between(&a).await, "one at a time");
        self.world.wire.hold(None);
        self.world.report_ready(&deployment(b, "web")).await;
        self.world.settle().await;
        assert!(self.is_between(&a).await, "then the next one");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_told_to_change_counts_before_the_copy_shows_it() {
    let careful = Careful::start().await;
    careful.world.wire.hold(Some(DEPLOYMENTS));
    careful.commit("new: 1", json!({})).await;
    careful.join_first().await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_may_have_been_told_to_change_is_looked_at() {
    let careful = Careful::start().await;
    careful.world.wire.hold(Some(DEPLOYMENTS));
    careful.world.wire.lose_answers(Some(&deployment(&careful.homes[0], "web")));
    careful.commit("new: 1", json!({})).await;
    careful.join_first().await;
}

/// Found by seed 72 of the simulation: the one that left was between two versions.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_leaves_goes_before_another_one_changes() {
    let careful = Careful::start().await;
    let [b, c] = &careful.homes;
    careful.commit("new: 1", json!({})).await;
    assert!(careful.is_between(b).await);
    careful.world.wire.requests();
    careful.commit("new: 2", json!({"targets": [{"clusterName": "c"}]})).await;
    assert!(careful.is_between(c).await);
    let requests = careful.world.wire.requests();
    let first = |method: &str, home: &str| {
        let line = format!("{method} {}", deployment(home, "web"));
        requests.iter().position(|request| request.trim_end_matches('?') == line).unwrap()
    };
    assert!(first("DELETE", b) < first("PATCH", c), "{requests:#?}");
}

#[tokio::test(start_paused = true)]
async fn values_that_come_back_are_stored_anew_although_the_copy_shows_them() {
    let careful = Careful::start().await;
    let [b, _] = &careful.homes;
    let values = |number: u32| json!({"helm": {"values": {"number": number}}});
    careful.commit("same: 1", values(1)).await;
    careful.world.wire.hold(Some("secrets"));
    for number in [2, 1] {
        careful.commit("same: 1", values(number)).await;
        let secret = careful.world.get(&format!("/api/v1/namespaces/{b}/secrets/web")).await;
        let stored = &secret["metadata"]["annotations"]["fleet.cattle.io/values-hash"];
        assert_eq!(*stored, careful.deployed(b).await["spec"]["valuesHash"], "{number}");
    }
}

/// A BundleDeployment made by nobody whom the controller knows.
async fn made_elsewhere(world: &World, home: &str, labels: Value, spec: Value) {
    let metadata = json!({"name": "elsewhere", "labels": labels});
    let made = object("BundleDeployment", metadata, spec);
    world.post(deployment(home, "").trim_end_matches('/'), made).await;
}

/// Found by seed 66 of the simulation: the deployment was 60 seconds old.
#[tokio::test(start_paused = true)]
async fn a_content_that_a_deployment_names_is_kept_although_the_copy_does_not_show_it() {
    let world = World::start().await;
    let home = world.cluster("one", json!({})).await;
    for (label, field) in
        [("content-name", "stagedDeploymentID"), ("deployed-content-name", "deploymentID")]
    {
        world.wire.hold(Some(DEPLOYMENTS));
        let made = object("Content", json!({"name": "s-needed"}), json!({}));
        world.post(path("contents", "").trim_end_matches('/'), made).await;
        let labels = json!({format!("fleet.cattle.io/{label}"): "s-needed"});
        made_elsewhere(&world, &home, labels, json!({field: "s-needed:x"})).await;
        for _ in 0..5 {
            world.settle().await;
        }
        assert!(world.get(&path("contents", "s-needed")).await.is_object(), "{label}");

        world.delete(&deployment(&home, "elsewhere")).await;
        world.wire.hold(None);
        world.settle().await;
        world.settle().await;
        assert!(world.get(&path("contents", "s-needed")).await.is_null(), "nobody needs it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_content_that_was_deleted_is_stored_anew_although_the_copy_shows_it() {
    let careful = Careful::start().await;
    let [b, c] = &careful.homes;
    let before = careful.deployed(b).await["spec"]["deploymentID"].clone();
    let content = path("contents", before.as_str().unwrap().split(':').next().unwrap());
    let resources = careful.world.get("bundles/web").await["spec"]["resources"].clone();
    careful.world.wire.hold(Some("contents"));
    careful.commit("new: 1", json!({})).await;
    for home in [b, c] {
        careful.world.report_ready(&deployment(home, "web")).await;
        careful.world.settle().await;
    }
    careful.world.settle().await;
    assert!(careful.world.get(&content).await.is_null(), "nobody needs it");

    careful.commit("", json!({"resources": resources})).await;
    assert_eq!(careful.deployed(b).await["spec"]["deploymentID"], before);
    assert!(careful.world.get(&content).await.is_object());
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_kept_although_the_copy_does_not_show_its_bundle() {
    let world = World::start().await;
    let home = world.cluster("one", json!({})).await;
    world.wire.hold(Some("bundles"));
    world.bundle("elsewhere", json!({"targets": [{"clusterSelector": {}}]})).await;
    let labels = json!({"fleet.cattle.io/managed": "true",
        "fleet.cattle.io/bundle-name": "elsewhere", "fleet.cattle.io/bundle-namespace": HOME});
    made_elsewhere(&world, &home, labels, json!({})).await;
    let uid = world.get(&deployment(&home, "elsewhere")).await["metadata"]["uid"].clone();
    world.settle().await;
    world.wire.hold(None);
    world.settle().await;
    let held = world.get(&deployment(&home, "elsewhere")).await;
    assert_eq!(held["metadata"]["uid"], uid, "{held}");
    assert!(held["spec"]["deploymentID"].is_string(), "its bundle looks after it");
}
