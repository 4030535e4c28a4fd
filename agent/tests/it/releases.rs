//! Release records: what is kept, what is taken back, and whose releases go.

use std::time::Duration;

use agent::config::AgentConfig;
use runtime::objects;
use serde_json::{Value, json};

use crate::world::{HOME, SYSTEM, WEB, World, config_map, map_text, message, record, rewrite};

const CLAIM: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";
const WORKLOAD: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n\
                        spec:\n  selector: {matchLabels: {a: d}}\n  template:\n    \
                        metadata: {labels: {a: d}}\n    \
                        spec: {containers: [{name: c, image: i}]}\n";

fn secret_path() -> String {
    format!("{}/s", objects::core(WEB, "secrets"))
}

fn record_path(release: &str, version: u32) -> String {
    format!("{}/sh.helm.release.v1.{release}.v{version}", objects::core(WEB, "secrets"))
}

fn states(pairs: &[(u64, &str)]) -> Vec<(u64, String)> {
    pairs.iter().map(|(version, state)| (*version, (*state).to_owned())).collect()
}

async fn deploy_map(world: &World, value: &str, options: Value) {
    world.deploy("app", &[("m.yaml", &map_text("m", value))], options).await;
}

#[tokio::test(start_paused = true)]
async fn two_records_are_kept_unless_the_bundle_says_otherwise() {
    let world = World::start().await;
    for value in 1..=4 {
        deploy_map(&world, &value.to_string(), json!({})).await;
        world.until_state("app", "Ready").await;
    }
    assert_eq!(world.history("app").await, states(&[(3, "superseded"), (4, "deployed")]));
    for value in 5..=7 {
        deploy_map(&world, &value.to_string(), json!({"helm": {"maxHistory": 3}})).await;
        world.until_state("app", "Ready").await;
    }
    let wanted = states(&[(5, "superseded"), (6, "superseded"), (7, "deployed")]);
    assert_eq!(world.history("app").await, wanted);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_get_ready_in_time_is_taken_back_when_it_is_atomic() {
    let world = World::start().await;
    deploy_map(&world, "1", json!({})).await;
    world.until_state("app", "Ready").await;
    let (map, limits) = (map_text("m", "2"), json!({"timeoutSeconds": 10, "atomic": true}));
    let files = [("m.yaml", map.as_str()), ("d.yaml", WORKLOAD)];
    world.deploy("app", &files, json!({"helm": limits})).await;
    let held = world.until_state("app", "NotReady").await;
    let words = message(&held, "Installed");
    let start = "not installed: release app failed, and has been rolled back due to atomic being \
                 set: timed out waiting for the condition";
    assert!(words.starts_with(start), "{words}");
    assert_eq!(world.get(&config_map("m")).await["data"]["v"], "1");
    let workload = "/apis/apps/v1/namespaces/web/deployments/d";
    assert_eq!(world.get(workload).await, Value::Null);
    assert_eq!(world.history("app").await, states(&[(1, "deployed"), (2, "failed")]));
    // Without it, the new version stays as far as it came.
    world.deploy("app", &files, json!({"helm": {"timeoutSeconds": 10}})).await;
    let late = |held: &Value| message(held, "Installed").starts_with("not installed: timed out");
    world.until("app", late).await;
    assert_ne!(world.get(workload).await, Value::Null);
    assert_eq!(world.get(&config_map("m")).await["data"]["v"], "2");
}

#[tokio::test(start_paused = true)]
async fn with_a_time_limit_a_release_is_deployed_when_its_objects_are_ready() {
    let world = World::start_lively().await;
    let slow = WORKLOAD.replace(
        "{name: d}\nspec",
        "{name: d, annotations: {simulate.hub/ready-after-ms: \"5000\"}}\nspec",
    );
    world.deploy("app", &[("d.yaml", &slow)], json!({"helm": {"timeoutSeconds": 60}})).await;
    let path = record_path("app", 1);
    let pending = world.until_member(&path, |held| !held.is_null()).await;
    assert_eq!(record(&pending)["info"]["status"], "pending-install");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(record(&world.get(&path).await)["info"]["status"], "pending-install");
    world.until_state("app", "Ready").await;
    assert_eq!(world.history("app").await, states(&[(1, "deployed")]));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_changed_is_made_anew_by_force_only() {
    let world = World::start().await;
    world.deploy("app", &[("s.yaml", CLAIM)], json!({})).await;
    world.until_state("app", "Ready").await;
    let uid = world.get(&secret_path()).await["metadata"]["uid"].clone();
    let changed = format!("{CLAIM}type: example.com/other\n");
    world.deploy("app", &[("s.yaml", &changed)], json!({})).await;
    world.until_state("app", "ErrApplied").await;
    assert_eq!(world.get(&secret_path()).await["metadata"]["uid"], uid);
    world.deploy("app", &[("s.yaml", &changed)], json!({"helm": {"force": true}})).await;
    world.until_state("app", "Ready").await;
    let held = world.get(&secret_path()).await;
    assert_eq!(held["type"], "example.com/other");
    assert_ne!(held["metadata"]["uid"], uid);
}

#[tokio::test(start_paused = true)]
async fn a_release_somebody_left_half_way_is_finished() {
    let mut world = World::start().await;
    // The agent died in the middle of its second version.
    deploy_map(&world, "1", json!({})).await;
    world.until_state("app", "Ready").await;
    world.stop().await;
    let first = world.get(&record_path("app", 1)).await;
    let second = rewrite(&first, |record| {
        record["version"] = json!(2);
        record["info"]["status"] = json!("pending-upgrade");
    });
    world.create(&objects::core(WEB, "secrets"), second).await;
    deploy_map(&world, "2", json!({})).await;
    world.restart().await;
    world.until_state("app", "Ready").await;
    assert_eq!(world.get(&config_map("m")).await["data"]["v"], "2");
    let history = world.history("app").await;
    assert_eq!(history.last().unwrap().1, "deployed", "{history:?}");
    let is_open = |(_, state): &(u64, String)| state.starts_with("pending");
    assert!(!history.iter().any(is_open), "{history:?}");
    // Somebody else's first version never ended.
    let foreign = rewrite(&first, |record| {
        record["name"] = json!("other");
        record["info"]["status"] = json!("pending-install");
    });
    world.create(&objects::core(WEB, "secrets"), foreign).await;
    world.deploy("other", &[("late.yaml", &map_text("late", "1"))], json!({})).await;
    world.until_state("other", "Ready").await;
    let history = world.history("other").await;
    assert_eq!(history.last().unwrap().1, "deployed", "{history:?}");
    assert!(!history.iter().any(is_open), "{history:?}");
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_deployment_went_unseen_is_uninstalled() {
    let mut world = World::start().await;
    let often = json!({"metadata": {"name": "fleet-agent"},
        "data": {"config": "{\"garbageCollectionInterval\": \"1m\"}"}});
    world.create(&objects::core(SYSTEM, "configmaps"), often).await;
    deploy_map(&world, "1", json!({})).await;
    world.until_state("app", "Ready").await;
    let (held, map) = (world.get(&record_path("app", 1)).await, world.get(&config_map("m")).await);
    world.stop().await;
    world.delete_deployment("app").await;
    world.restart().await;
    world.until_member(&config_map("m"), Value::is_null).await;
    world.until_member(&record_path("app", 1), Value::is_null).await;
    // It comes back, from a backup say, while the agent runs.
    for (path, mut object) in [("configmaps", map), ("secrets", held)] {
        for field in ["uid", "resourceVersion", "creationTimestamp"] {
            object["metadata"][field] = Value::Null;
        }
        world.create(&objects::core(WEB, path), object).await;
    }
    world.until_member(&config_map("m"), Value::is_null).await;
    world.until_member(&record_path("app", 1), Value::is_null).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_that_moved_while_nobody_looked_leaves_nothing_behind() {
    let mut world = World::start().await;
    deploy_map(&world, "1", json!({"helm": {"releaseName": "old"}})).await;
    world.until_state("app", "Ready").await;
    let held = world.get(&record_path("old", 1)).await;
    deploy_map(&world, "1", json!({"helm": {"releaseName": "new"}})).await;
    world.until("app", |held| held["status"]["release"] == "web/new:1").await;
    world.until_member(&record_path("old", 1), Value::is_null).await;
    assert_ne!(world.get(&config_map("m")).await, Value::Null);
    // The agent that deployed the new one died before it removed the old one.
    world.stop().await;
    let left = rewrite(&held, |_| ());
    world.create(&objects::core(WEB, "secrets"), left).await;
    world.restart().await;
    world.until_member(&record_path("old", 1), Value::is_null).await;
    assert_ne!(world.get(&config_map("m")).await, Value::Null);
    assert_eq!(world.history("new").await, states(&[(1, "deployed")]));
}

#[tokio::test(start_paused = true)]
async fn releases_of_another_agent_are_left_alone() {
    let mut world = World::start().await;
    world.stop().await;
    let other = AgentConfig::embedded("other-system");
    world.start_agent(other.clone(), HOME);
    deploy_map(&world, "1", json!({})).await;
    world.until_state("app", "Ready").await;
    world.stop().await;
    world.delete_deployment("app").await;
    world.restart().await;
    // Two rounds of the collection, at least.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_ne!(world.get(&config_map("m")).await, Value::Null);
    assert_eq!(world.history("app").await, states(&[(1, "deployed")]));
    world.start_agent(other, HOME);
    world.until_member(&config_map("m"), Value::is_null).await;
}

#[tokio::test(start_paused = true)]
async fn two_agents_with_scopes_share_a_cluster() {
    let mut world = World::start().await;
    let second = "cluster-two";
    world.add_hub_namespace(second).await;
    let scoped = AgentConfig { scope: "two".to_owned(), ..AgentConfig::embedded("two-system") };
    world.start_agent(scoped, second);
    deploy_map(&world, "1", json!({})).await;
    world.until_state("app", "Ready").await;
    world.home = second.to_owned();
    // The same deployment, from another hub's point of view, in another namespace.
    world
        .deploy("app", &[("m.yaml", &map_text("m", "2"))], json!({"defaultNamespace": "two"}))
        .await;
    world.until_state("app", "Ready").await;
    let theirs = format!("{}/m", objects::core("two", "configmaps"));
    let label =
        |object: &Value| object["metadata"]["labels"]["objectset.rio.cattle.io/hash"].clone();
    let (one, two) = (world.get(&config_map("m")).await, world.get(&theirs).await);
    assert_eq!((&one["data"]["v"], &two["data"]["v"]), (&json!("1"), &json!("2")));
    assert_ne!(label(&one), label(&two));
    world.delete_deployment("app").await;
    world.until_member(&theirs, Value::is_null).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_ne!(world.get(&config_map("m")).await, Value::Null);
}

#[tokio::test(start_paused = true)]
async fn resources_stay_where_the_bundle_keeps_them() {
    let world = World::start().await;
    let options = json!({"keepResources": true, "helm": {"releaseName": "other-name"}});
    deploy_map(&world, "1", options).await;
    world.until_state("app", "Ready").await;
    world.delete_deployment("app").await;
    world.until_member(&record_path("other-name", 1), Value::is_null).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.get(&config_map("m")).await["data"]["v"], "1");
}

#[tokio::test(start_paused = true)]
async fn definitions_outlive_their_bundle_unless_it_takes_them_along() {
    let world = World::start().await;
    for (group, options) in
        [("stays.example", json!({})), ("goes.example", json!({"deleteCRDResources": true}))]
    {
        let definition = format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
             metadata: {{name: things.{group}}}\n\
             spec:\n  group: {group}\n  scope: Namespaced\n  \
             names: {{kind: Thing, plural: things, singular: thing, listKind: ThingList}}\n  \
             versions:\n  - name: v1\n    served: true\n    storage: true\n    \
             schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}\n"
        );
        let name = group.replace('.', "-");
        let map = map_text(&name, "1");
        world.deploy(&name, &[("crd.yaml", &definition), ("m.yaml", &map)], options).await;
        world.until_state(&name, "Ready").await;
        world.delete_deployment(&name).await;
        world.until_member(&config_map(&name), Value::is_null).await;
        world.until_member(&record_path(&name, 1), Value::is_null).await;
    }
    let path = |group: &str| {
        format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.{group}")
    };
    world.until_member(&path("goes.example"), Value::is_null).await;
    assert_ne!(world.get(&path("stays.example")).await, Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_forced_sync_is_a_new_revision_of_the_same_objects() {
    let world = World::start().await;
    deploy_map(&world, "1", json!({})).await;
    world.until_state("app", "Ready").await;
    deploy_map(&world, "1", json!({"forceSyncGeneration": 3})).await;
    let held = world.until("app", |held| held["status"]["syncGeneration"] == 3).await;
    assert_eq!(held["status"]["release"], "web/app:2");
    assert_eq!(world.history("app").await, states(&[(1, "superseded"), (2, "deployed")]));
}
