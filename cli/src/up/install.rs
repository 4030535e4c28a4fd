//! What the charts install, written directly: CRDs, namespaces, configuration.
//!
//! Owns the objects that `fleet up` needs on its clusters before any process starts. Start at
//! [`install_hub`] and [`install_agent`].

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_format::api::{crds, labels};
use kube::Client;
use runtime::objects;
use serde_json::{Value, json};

use super::cluster::Cluster;

/// The workspace that the members join.
pub(super) const WORKSPACE: &str = labels::DEFAULT_NAMESPACE;

/// How long the hub may take to make the values of a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// CRDs, the system namespace, the workspace and the controller's configuration.
pub(super) async fn install_hub(hub: &Cluster) -> anyhow::Result<()> {
    let client = &hub.client;
    for crd in crds::definitions() {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        objects::ensure(client, path, &crd).await?;
    }
    for name in [labels::SYSTEM_NAMESPACE, WORKSPACE] {
        objects::ensure(client, "/api/v1/namespaces", &namespace(name)).await?;
    }
    let config = json!({
        "apiServerURL": hub.url(),
        "apiServerCA": STANDARD.encode(hub.ca()),
        // A heartbeat a minute: a person looks at this hub.
        "agentCheckinInterval": "1m",
        "agentTLSMode": "strict",
        // The members are the clusters here; the hub itself runs no agent.
        "bootstrap": {"namespace": "-"},
        "manageAgent": false,
    });
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": labels::CONTROLLER_CONFIG_NAME, "namespace": labels::SYSTEM_NAMESPACE},
        "data": {labels::CONFIG_KEY: config.to_string()}});
    objects::ensure(client, &objects::core(labels::SYSTEM_NAMESPACE, "configmaps"), &map).await?;
    Ok(())
}

/// Makes a registration token and waits for the values that a person would give to the agent's
/// chart.
pub(super) async fn registration_values(hub: &Client) -> anyhow::Result<Value> {
    let tokens = objects::fleet(WORKSPACE, "clusterregistrationtokens");
    // A name of its own each time: one of an earlier start may have expired.
    let token = json!({"apiVersion": labels::API_VERSION, "kind": "ClusterRegistrationToken",
        "metadata": {"generateName": "fleet-up-", "namespace": WORKSPACE}, "spec": {"ttl": "1h"}});
    let token = objects::create(hub, &tokens, &token).await?;
    let name = token["metadata"]["name"].as_str().unwrap_or_default();
    let secret = format!("{}/{name}", objects::core(WORKSPACE, "secrets"));
    let deadline = tokio::time::Instant::now() + TOKEN_TIMEOUT;
    loop {
        let found = objects::get(hub, &secret).await?;
        let values = found.as_ref().and_then(|s| s["data"][labels::VALUES_KEY].as_str());
        if let Some(values) = values {
            let text = STANDARD.decode(values).context("reading the values of the token")?;
            return Ok(goyaml::from_str(&String::from_utf8_lossy(&text))?);
        }
        if tokio::time::Instant::now() > deadline {
            bail!("the controller made no values for ClusterRegistrationToken {WORKSPACE}/{name}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the agent's chart writes on a member. An agent that is registered has no use for `values`.
pub(super) async fn install_agent(
    member: &Cluster,
    values: Option<&Value>,
    cluster_labels: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let client = &member.client;
    let system = labels::SYSTEM_NAMESPACE;
    objects::ensure(client, "/api/v1/namespaces", &namespace(system)).await?;
    if let Some(values) = values {
        let secret = json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": labels::AGENT_BOOTSTRAP_NAME, "namespace": system},
            "data": bootstrap_data(values)});
        objects::ensure(client, &objects::core(system, "secrets"), &secret).await?;
    }
    let config = json!({"agentTLSMode": "strict", "labels": cluster_labels,
        "clientID": member.name});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": labels::AGENT_NAME, "namespace": system},
        "data": {labels::CONFIG_KEY: config.to_string()}});
    objects::ensure(client, &objects::core(system, "configmaps"), &map).await?;
    Ok(())
}

/// The keys that the chart takes from the values of a token.
fn bootstrap_data(values: &Value) -> Value {
    const KEYS: [&str; 6] = [
        "systemRegistrationNamespace",
        "clusterNamespace",
        "token",
        "tokenName",
        "apiServerURL",
        "apiServerCA",
    ];
    let encoded = |key: &str| STANDARD.encode(values[key].as_str().unwrap_or_default());
    KEYS.iter().map(|key| ((*key).to_owned(), Value::from(encoded(key)))).collect()
}
