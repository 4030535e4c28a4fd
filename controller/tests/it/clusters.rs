//! Clusters and their registration.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::world::{HOME, SYSTEM, World, condition, deployment, object};

const REGISTRATION: &str = "cattle-fleet-clusters-system";

/// A token with values, and the labels of a request that came with it.
async fn token(world: &World) -> Value {
    let spec = json!({"ttl": "240h"});
    world
        .post(
            "clusterregistrationtokens",
            object("ClusterRegistrationToken", json!({"name": "token"}), spec),
        )
        .await;
    let secret = format!("/api/v1/namespaces/{HOME}/secrets/token");
    let held = world.until(&secret, |held| held["data"]["values"].is_string()).await;
    assert_eq!(held["type"], "fleet.cattle.io/cluster-registration-values");
    json!({"fleet.cattle.io/registration-token": "token"})
}

async fn request(world: &World, name: &str, labels: &Value, client: &str, asked: Value) -> Value {
    let spec = json!({"clientID": client, "clientRandom": format!("{name}-random"),
        "clusterLabels": asked});
    let metadata = json!({"name": name, "labels": labels});
    world.post("clusterregistrations", object("ClusterRegistration", metadata, spec)).await;
    world
        .until(&format!("clusterregistrations/{name}"), |held| held["status"]["granted"] == true)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_granted_one_credential_for_the_cluster_that_waits_for_it() {
    let world = World::start().await;
    let labels = token(&world).await;
    let namespace = world.cluster("known", json!({"env": "dev"})).await;
    let asked = json!({"env": "prod", "management.cattle.io/x": "y", "zone": "a"});
    let held = request(&world, "first", &labels, "known", asked).await;
    // The Cluster was there before: it keeps the labels its owner gave it.
    assert_eq!(held["status"]["clusterName"], "known");
    let cluster = world.get("clusters/known").await;
    assert_eq!(cluster["metadata"]["labels"]["env"], "dev", "{cluster}");

    let digest = {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest("knownfirst-random");
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let name = &format!("c-{digest}")[..63];
    let secret = format!("/api/v1/namespaces/{REGISTRATION}/secrets/{name}");
    let secret = world.until(&secret, |held| !held.is_null()).await;
    assert_eq!(secret["type"], "fleet.cattle.io/agent-credential");
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    let wanted =
        ["clusterName", "clusterNamespace", "deploymentNamespace", "systemNamespace", "token"];
    assert_eq!(keys, wanted);
    let text = |key: &str| {
        let engine = base64::engine::general_purpose::STANDARD;
        let bytes = engine.decode(secret["data"][key].as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(text("deploymentNamespace"), namespace);
    assert_eq!((text("clusterNamespace"), text("systemNamespace")), (HOME.into(), SYSTEM.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_taken_up_without_a_restart() {
    let world = World::start().await;
    let labels = token(&world).await;
    let asked = json!({"env": "dev", "fleet.cattle.io/shard-ref": "mine"});
    let held = request(&world, "first", &labels, "one", asked.clone()).await;
    let name = held["status"]["clusterName"].as_str().unwrap().to_owned();
    let held = world.get(&format!("clusters/{name}")).await;
    assert_eq!(held["metadata"]["labels"]["env"], "dev");
    assert!(held["metadata"]["labels"]["fleet.cattle.io/shard-ref"].is_null(), "{held}");

    world.configure("PATCH", json!({"ignoreClusterRegistrationLabels": true})).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let held = request(&world, "second", &labels, "two", asked).await;
    let name = held["status"]["clusterName"].as_str().unwrap().to_owned();
    let held = world.get(&format!("clusters/{name}")).await;
    assert!(held["metadata"]["labels"]["env"].is_null(), "{held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_takes_its_namespace_and_deployments_along() {
    let world = World::start().await;
    let namespace = world.cluster("one", json!({})).await;
    let targets = json!([{"name": "all", "clusterSelector": {}}]);
    world.bundle("app", json!({"targets": targets})).await;
    let path = deployment(&namespace, "app");
    world.until(&path, |held| !held.is_null()).await;
    world.delete("clusters/one").await;
    world.until_gone("clusters/one").await;
    world.until_gone(&path).await;
    let home = format!("/api/v1/namespaces/{namespace}");
    world
        .until(&home, |held| held.is_null() || held["metadata"]["deletionTimestamp"].is_string())
        .await;
    let said = |held: &Value| held["status"]["display"]["state"] == "NoMatch";
    world.until("bundles/app", said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_of_one_agent_one_is_left_and_granted() {
    let world = World::start().await;
    world.cluster("known", json!({})).await;
    let labels = json!({"fleet.cattle.io/registration-token": "token"});
    for name in ["first", "second"] {
        let spec = json!({"clientID": "known", "clientRandom": format!("{name}-random")});
        let metadata = json!({"name": name, "labels": labels});
        world.post("clusterregistrations", object("ClusterRegistration", metadata, spec)).await;
    }
    // Both could be granted from the same moment on.
    token(&world).await;
    let one_left = |held: &Value| {
        let items = held["items"].as_array().unwrap();
        items.len() == 1 && items[0]["status"]["granted"] == true
    };
    world.until("clusterregistrations", one_left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_takes_the_requests_along_that_still_wait() {
    let world = World::start().await;
    let labels = token(&world).await;
    world.cluster("known", json!({})).await;
    request(&world, "first", &labels, "known", json!({})).await;
    let seen = json!({"status": {"agent": {"lastSeen": jiff::Timestamp::now().to_string()}}});
    world.patch("clusters/known/status", seen).await;
    let is_seen = |held: &Value| held["status"]["agent"]["lastSeen"].is_string();
    world.until("clusters/known", is_seen).await;
    // Another agent asks for the same cluster, and waits for the first one to be silent.
    let spec = json!({"clientID": "known", "clientRandom": "second-random"});
    let metadata = json!({"name": "second", "labels": labels});
    world.post("clusterregistrations", object("ClusterRegistration", metadata, spec)).await;
    let waits = |held: &Value| condition(held, "Accepted").0 == "False";
    world.until("clusterregistrations/second", waits).await;
    world.delete("clusters/known").await;
    world.until_gone("clusters/known").await;
    world.until_gone("clusterregistrations/second").await;
    // Whatever the request would have caused is done when a later Cluster is.
    world.cluster("later", json!({})).await;
    let held = world.get("clusters").await;
    let names: Vec<&Value> =
        held["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(names, ["later"], "a Cluster without an agent was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expired_goes_with_its_secret() {
    let world = World::start().await;
    world
        .post(
            "clusterregistrationtokens",
            object("ClusterRegistrationToken", json!({"name": "short"}), json!({"ttl": "2s"})),
        )
        .await;
    let held = world
        .until("clusterregistrationtokens/short", |held| held["status"]["expires"].is_string())
        .await;
    assert_eq!(held["status"]["secretName"], "short", "{held}");
    world.until_gone("clusterregistrationtokens/short").await;
    world.until_gone(&format!("/api/v1/namespaces/{HOME}/secrets/short")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_counts_its_members() {
    let world = World::start().await;
    world.cluster("one", json!({"env": "dev"})).await;
    world.cluster("two", json!({"env": "prod"})).await;
    let selector = json!({"selector": {"matchLabels": {"env": "dev"}}});
    world.post("clustergroups", object("ClusterGroup", json!({"name": "dev"}), selector)).await;
    let held = world.until("clustergroups/dev", |held| held["status"]["clusterCount"] == 1).await;
    assert_eq!(condition(&held, "Processed").0, "True", "{held}");
    world.patch("clusters/two", json!({"metadata": {"labels": {"env": "dev"}}})).await;
    world.until("clustergroups/dev", |held| held["status"]["clusterCount"] == 2).await;
}
