//! Agents that the hub installs and looks after.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::{Hub, Listening, User};
use kube::Client;
use runtime::objects;
use serde_json::{Value, json};

use crate::world::{HOME, SYSTEM, World, condition, deployment, object};

const LOCAL: &str = "fleet-local";
const LOCAL_CLUSTER: &str = "/apis/fleet.cattle.io/v1alpha1/namespaces/fleet-local/clusters/local";
const AGENT: &str = "/apis/apps/v1/namespaces/cattle-fleet-system/deployments/fleet-agent";

/// A cluster that the hub reaches by a kubeconfig.
struct Member {
    client: Client,
    kubeconfig: String,
    _listening: Listening,
}

impl Member {
    async fn start() -> Self {
        runtime::client::install_crypto_provider();
        let hub = Hub::memory();
        hub.ready().await;
        let listening = hub.listen("127.0.0.1:0".parse().unwrap(), &[]).await.unwrap();
        let identity = hub.client_identity(&User::administrator()).unwrap();
        let encode = |text: &str| STANDARD.encode(text);
        let cluster = json!({"server": format!("https://{}", listening.address()),
            "certificate-authority-data": encode(hub.ca_certificate())});
        let user = json!({"client-certificate-data": encode(&identity.certificate),
            "client-key-data": encode(&identity.key)});
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]});
        let kubeconfig = kubeconfig.to_string();
        Self { client: Client::new(hub, "default"), kubeconfig, _listening: listening }
    }

    /// Reads an object; null when it is not there.
    async fn get(&self, path: &str) -> Value {
        objects::get(&self.client, path).await.unwrap().unwrap_or_default()
    }

    /// A text of a Secret in the agent's namespace.
    async fn secret_text(&self, name: &str, key: &str) -> String {
        let held = self.get(&format!("{}/{name}", objects::core(SYSTEM, "secrets"))).await;
        let bytes = STANDARD.decode(held["data"][key].as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

/// Creates a Cluster with the kubeconfig of a member.
async fn import(world: &World, member: &Member, name: &str, labels: Value) {
    let secret = json!({"metadata": {"name": "kubeconfig"},
        "stringData": {"value": member.kubeconfig}});
    world.post(&objects::core(HOME, "secrets"), secret).await;
    let spec = json!({"kubeConfigSecret": "kubeconfig"});
    let metadata = json!({"name": name, "labels": labels});
    world.post("clusters", object("Cluster", metadata, spec)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_a_kubeconfig_gets_its_agent_and_a_new_one_when_that_is_asked_for() {
    let world = World::start().await;
    let member = Member::start().await;
    import(&world, &member, "one", json!({"env": "dev"})).await;
    let held = world.until("clusters/one", |held| condition(held, "Imported").0 == "True").await;
    assert_ne!(held["spec"]["clientID"].as_str().unwrap_or_default(), "", "chosen once");
    assert_eq!(held["status"]["agentDeployedGeneration"], 0);
    let agent = member.get(AGENT).await;
    assert_eq!(
        agent["metadata"]["annotations"]["objectset.rio.cattle.io/id"],
        "fleet-agent-bootstrap"
    );
    let text = member.secret_text("fleet-agent-bootstrap", "token").await;
    assert!(text.split('.').count() == 3, "a token");
    let map = member.get(&format!("{}/fleet-agent", objects::core(SYSTEM, "configmaps"))).await;
    let config: Value = serde_json::from_str(map["data"]["config"].as_str().unwrap()).unwrap();
    assert_eq!(config["clientID"], held["spec"]["clientID"]);
    assert_eq!(config["labels"], json!({"env": "dev"}));

    // The agent registered meanwhile; a new one has to do that anew.
    let credential = json!({"metadata": {"name": "fleet-agent"}});
    objects::create(&member.client, &objects::core(SYSTEM, "secrets"), &credential).await.unwrap();
    world.patch("clusters/one", json!({"spec": {"redeployAgentGeneration": 7}})).await;
    let is_done = |held: &Value| held["status"]["agentDeployedGeneration"] == 7;
    world.until("clusters/one", is_done).await;
    let again = member.get(AGENT).await;
    assert_ne!(again["metadata"]["uid"], agent["metadata"]["uid"]);
    let credential = format!("{}/fleet-agent", objects::core(SYSTEM, "secrets"));
    assert_eq!(member.get(&credential).await, Value::Null);
    // Asked once, done once.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(member.get(AGENT).await["metadata"]["uid"], again["metadata"]["uid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_learns_the_new_address_of_its_hub_by_being_installed_anew() {
    let world = World::start().await;
    let member = Member::start().await;
    import(&world, &member, "one", json!({})).await;
    let at = |url: &'static str| move |held: &Value| held["status"]["apiServerURL"] == url;
    world.until("clusters/one", at("https://hub.example:6443")).await;
    let before = member.get(AGENT).await["metadata"]["uid"].clone();
    let ca_hash = world.get("clusters/one").await["status"]["apiServerCAHash"].clone();
    world.configure("PATCH", json!({"apiServerURL": "https://new.example"})).await;
    world.until("clusters/one", at("https://new.example")).await;
    let second = member.get(AGENT).await["metadata"]["uid"].clone();
    assert_ne!(second, before);
    let url = member.secret_text("fleet-agent-bootstrap", "apiServerURL").await;
    assert_eq!(url, "https://new.example");
    let ca = STANDARD.encode("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n");
    let settings = json!({"apiServerURL": "https://new.example", "apiServerCA": ca});
    world.configure("PATCH", settings).await;
    world.until("clusters/one", |held| held["status"]["apiServerCAHash"] != ca_hash).await;
    assert_ne!(member.get(AGENT).await["metadata"]["uid"], second);
    let told = member.secret_text("fleet-agent-bootstrap", "apiServerCA").await;
    assert!(told.contains("BEGIN CERTIFICATE"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_somebody_else_looks_after_are_left_alone() {
    let world = World::start_with(json!({"manageAgent": true})).await;
    let member = Member::start().await;
    let elsewhere = json!({"fleet.cattle.io/cluster-management": "rancher"});
    import(&world, &member, "elsewhere", elsewhere).await;
    let unmanaged = json!({"fleet.cattle.io/non-managed-agent": "true"});
    let unmanaged = world.cluster("unmanaged", unmanaged).await;
    let managed = world.cluster("managed", json!({})).await;
    let path = deployment(&managed, "fleet-agent-managed");
    world.until(&path, |held| held["spec"]["deploymentID"].is_string()).await;
    let said = |held: &Value| held["status"]["display"]["readyClusters"] == "0/0";
    world.until("bundles/fleet-agent-unmanaged", said).await;
    let path = deployment(&unmanaged, "fleet-agent-unmanaged");
    assert_eq!(world.get(&path).await, Value::Null);
    assert_eq!(world.get("bundles/fleet-agent-elsewhere").await, Value::Null);
    assert_eq!(member.get(AGENT).await, Value::Null);
    let held = world.get("clusters/elsewhere").await;
    assert_eq!(held["status"]["agentDeployedGeneration"], Value::Null, "{held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_bootstrap_there_is_no_local_cluster() {
    let settings = json!({"bootstrap": {"namespace": LOCAL}});
    let world = World::start_without_bootstrap(settings.clone()).await;
    // What is done first is done when a Cluster is.
    world.cluster("one", json!({})).await;
    assert_eq!(world.get(&format!("/api/v1/namespaces/{LOCAL}")).await, Value::Null);
    let world = World::start_with(settings).await;
    world.until(LOCAL_CLUSTER, |held| condition(held, "Imported").0 == "True").await;
    assert_ne!(world.get(AGENT).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_agent_goes_when_it_is_switched_off_and_comes_back() {
    let on = json!({"bootstrap": {"namespace": LOCAL}, "manageAgent": true});
    let off = json!({"bootstrap": {"namespace": LOCAL, "localAgentDisabled": true},
        "manageAgent": true});
    let world = World::start_with(on.clone()).await;
    let bundle = "/apis/fleet.cattle.io/v1alpha1/namespaces/fleet-local/bundles/fleet-agent-local";
    world.until(LOCAL_CLUSTER, |held| condition(held, "Imported").0 == "True").await;
    world.until(bundle, |held| !held.is_null()).await;
    world.configure("PATCH", off.clone()).await;
    world.until_gone(bundle).await;
    world.until_gone(AGENT).await;
    assert_ne!(world.get(LOCAL_CLUSTER).await, Value::Null);
    world.configure("PATCH", on).await;
    world.until(bundle, |held| !held.is_null()).await;
    world.until(AGENT, |held| !held.is_null()).await;
    // A hub that never had one does not get one either.
    let world = World::start_with(off).await;
    world.until(LOCAL_CLUSTER, |held| held["status"]["namespace"].is_string()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((world.get(AGENT).await, world.get(bundle).await), (Value::Null, Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_its_owner_is_taken_away_and_nothing_else() {
    let mut world = World::start().await;
    let own = world.cluster("one", json!({})).await;
    let managed = json!({"fleet.cattle.io/managed": "true"});
    let of_cluster = json!({"fleet.cattle.io/cluster": "gone",
        "fleet.cattle.io/cluster-namespace": HOME});
    let of_request = json!({"fleet.cattle.io/cluster-registration": "gone",
        "fleet.cattle.io/cluster-registration-namespace": HOME});
    for (name, labels) in [("lost", managed.clone()), ("theirs", json!({}))] {
        let metadata = json!({"name": name, "labels": labels, "annotations": of_cluster});
        world.post("/api/v1/namespaces", json!({"metadata": metadata})).await;
        let metadata = json!({"name": name, "labels": labels, "annotations": of_request});
        world.post(&objects::core(HOME, "serviceaccounts"), json!({"metadata": metadata})).await;
    }
    world.until_gone("/api/v1/namespaces/lost").await;
    world.restart().await;
    world.until_gone(&format!("{}/lost", objects::core(HOME, "serviceaccounts"))).await;
    let accounts = format!("{}/theirs", objects::core(HOME, "serviceaccounts"));
    for path in ["/api/v1/namespaces/theirs", &format!("/api/v1/namespaces/{own}"), &accounts] {
        let held = world.get(path).await;
        assert!(held["metadata"]["deletionTimestamp"].is_null() && !held.is_null(), "{path}");
    }
}
