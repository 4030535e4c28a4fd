//! A running agent between two embedded API servers, its hub and its member; tests read and write plain JSON.
//!
//! Under virtual time: what is tried again after minutes is tried again at once.

use std::io::Write as _;
use std::time::Duration;

use agent::config::AgentConfig;
use agent::register::Identity;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_format::api::bundle::BundleSpec;
use bundle_format::api::options::BundleDeploymentOptions;
use bundle_format::content::{DeploymentId, Manifest, OptionsHash, deployment_values_hash};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use kube::Client;
use runtime::objects;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const SYSTEM: &str = "cattle-fleet-system";
/// Namespace of the BundleDeployments on the hub.
pub(crate) const HOME: &str = "cluster-one";
/// Namespace of the Cluster on the hub.
const CLUSTERS: &str = "clusters";
/// Namespace of most releases.
pub(crate) const WEB: &str = "web";

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

pub(crate) struct World {
    hub: Client,
    pub(crate) member: Client,
    /// Namespace on the hub of the deployments that are written and waited for.
    pub(crate) home: String,
    agents: Vec<(DropGuard, JoinHandle<()>)>,
}

impl World {
    /// A hub, an empty member, and the agent between them. Nothing on the member gets ready by itself.
    pub(crate) async fn start() -> Self {
        Self::start_with(hub::Options::default()).await
    }

    /// The same, on a member with workloads that get ready.
    pub(crate) async fn start_lively() -> Self {
        let simulation = hub::Simulation { ready_after: Duration::from_millis(500) };
        Self::start_with(hub::Options { simulation: Some(simulation), ..Default::default() }).await
    }

    async fn start_with(options: hub::Options) -> Self {
        runtime::client::install_crypto_provider();
        let (hub, member) = (hub::Hub::memory(), hub::Hub::open(&options).unwrap());
        hub.ready().await;
        member.ready().await;
        let (hub, member) = (Client::new(hub, "default"), Client::new(member, "default"));
        let mut world = Self { hub, member, home: HOME.to_owned(), agents: Vec::new() };
        for crd in bundle_format::api::crds::definitions() {
            let crd = serde_json::to_value(crd).unwrap();
            objects::create(&world.hub, DEFINITIONS, &crd).await.unwrap();
        }
        for name in [HOME, CLUSTERS] {
            world.add_hub_namespace(name).await;
        }
        let cluster = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "Cluster",
            "metadata": {"name": "one"}, "spec": {}});
        objects::create(&world.hub, &objects::fleet(CLUSTERS, "clusters"), &cluster).await.unwrap();
        for name in [SYSTEM, WEB] {
            world.create("/api/v1/namespaces", namespace(name)).await;
        }
        world.start_agent(AgentConfig::embedded(SYSTEM), HOME);
        world
    }

    pub(crate) async fn add_hub_namespace(&self, name: &str) {
        objects::create(&self.hub, "/api/v1/namespaces", &namespace(name)).await.unwrap();
    }

    /// Starts an agent for the deployments in a namespace of the hub.
    pub(crate) fn start_agent(&mut self, config: AgentConfig, home: &str) {
        let stop = CancellationToken::new();
        let identity = Identity {
            hub: self.hub.clone(),
            deployment_namespace: home.to_owned(),
            cluster_namespace: CLUSTERS.to_owned(),
            cluster_name: "one".to_owned(),
        };
        let (member, stopped) = (self.member.clone(), stop.clone());
        let task = tokio::spawn(async move {
            agent::run_registered(&config, identity, &member, stopped).await.unwrap();
        });
        self.agents.push((stop.drop_guard(), task));
    }

    /// Ends all agents.
    pub(crate) async fn stop(&mut self) {
        for (stop, task) in self.agents.drain(..) {
            drop(stop);
            task.await.unwrap();
        }
    }

    /// Ends the agent and starts another one.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_agent(AgentConfig::embedded(SYSTEM), HOME);
    }

    /// Creates an object on the member.
    pub(crate) async fn create(&self, path: &str, object: Value) -> Value {
        objects::create(&self.member, path, &object).await.unwrap()
    }

    /// Reads an object of the member; null when it is not there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        objects::get(&self.member, path).await.unwrap().unwrap_or_default()
    }

    /// Creates an account in the agent's namespace that may do everything with these resources in a namespace.
    pub(crate) async fn account(&self, name: &str, namespace: &str, resources: &[&str]) {
        let account = json!({"metadata": {"name": name}});
        self.create(&objects::core(SYSTEM, "serviceaccounts"), account).await;
        let rbac = |plural: &str| {
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{plural}")
        };
        let rules = json!([{"apiGroups": [""], "resources": resources, "verbs": ["*"]}]);
        self.create(&rbac("roles"), json!({"metadata": {"name": name}, "rules": rules})).await;
        let binding = json!({"metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}]});
        self.create(&rbac("rolebindings"), binding).await;
    }

    /// Deploys files with these options into namespace `web`.
    pub(crate) async fn deploy(&self, name: &str, files: &[(&str, &str)], options: Value) {
        self.deploy_with(name, files, options, json!({})).await;
    }

    /// The same with more fields of the BundleDeployment's spec.
    pub(crate) async fn deploy_with(
        &self,
        name: &str,
        files: &[(&str, &str)],
        options: Value,
        more: Value,
    ) {
        let mut all = json!({"defaultNamespace": WEB});
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let resources: Vec<Value> =
            files.iter().map(|(name, content)| json!({"name": name, "content": content})).collect();
        let bundle: BundleSpec = serde_json::from_value(json!({"resources": resources})).unwrap();
        let packed = Manifest::of_bundle(&bundle).pack();
        let content = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "Content",
            "metadata": {"name": packed.id.as_str()}, "content": STANDARD.encode(packed.gzip),
            "sha256sum": packed.sha256});
        let contents = "/apis/fleet.cattle.io/v1alpha1/contents";
        objects::ensure(&self.hub, contents, &content).await.unwrap();
        let parsed: BundleDeploymentOptions = serde_json::from_value(all.clone()).unwrap();
        let id = DeploymentId { content: packed.id, options: OptionsHash::of(&parsed) }.to_string();
        let mut spec = json!({"deploymentID": id, "stagedDeploymentID": id,
            "options": all, "stagedOptions": all});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let deployment = json!({"apiVersion": "fleet.cattle.io/v1alpha1",
            "kind": "BundleDeployment", "metadata": {"name": name}, "spec": spec});
        // Written as the hub does it: options that are gone have to go.
        let path = objects::fleet(&self.home, "bundledeployments");
        let one = format!("{path}/{name}");
        match objects::get(&self.hub, &one).await.unwrap() {
            None => drop(objects::create(&self.hub, &path, &deployment).await.unwrap()),
            Some(mut held) => {
                held["spec"] = deployment["spec"].clone();
                let put = http::Method::PUT;
                objects::send(&self.hub, put, &one, Some(&held)).await.unwrap();
            }
        }
    }

    /// Writes the Secret with the values of a deployment; returns its hash.
    pub(crate) async fn values(&self, name: &str, values: &Value) -> String {
        let text = values.to_string();
        let secret = json!({"metadata": {"name": name}, "stringData": {"values": text}});
        objects::ensure(&self.hub, &objects::core(&self.home, "secrets"), &secret).await.unwrap();
        deployment_values_hash(text.as_bytes(), b"")
    }

    /// Takes the lists out of a deployment's status: the next agent has to fill them anew.
    pub(crate) async fn forget_status(&self, name: &str) {
        let path = format!("{}/{name}/status", objects::fleet(&self.home, "bundledeployments"));
        let lists = json!({"modifiedStatus": null, "nonModified": true, "conditions": null});
        objects::merge(&self.hub, &path, &json!({"status": lists})).await.unwrap();
    }

    /// Creates a BundleDeployment with its status.
    pub(crate) async fn plant(&self, deployment: &Value) {
        let path = objects::fleet(&self.home, "bundledeployments");
        let mut object = deployment.clone();
        object["metadata"]["namespace"] = json!(self.home);
        objects::create(&self.hub, &path, &object).await.unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        let status = json!({"status": object["status"]});
        objects::merge(&self.hub, &format!("{path}/{name}/status"), &status).await.unwrap();
    }

    pub(crate) async fn delete_deployment(&self, name: &str) {
        let path = objects::fleet(&self.home, "bundledeployments");
        objects::delete(&self.hub, &format!("{path}/{name}")).await.unwrap();
    }

    /// Waits until a deployment is as wanted.
    pub(crate) async fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("{}/{name}", objects::fleet(&self.home, "bundledeployments"));
        until(&self.hub, &path, wanted).await
    }

    /// Waits until a deployment is at the version it was told, and in this state.
    pub(crate) async fn until_state(&self, name: &str, state: &str) -> Value {
        self.until(name, |held| {
            let (spec, status) = (&held["spec"], &held["status"]);
            let is_tried = status["appliedDeploymentID"] == spec["deploymentID"]
                || ["ErrApplied", "WaitApplied"].contains(&state);
            is_tried && status["display"]["state"] == state
        })
        .await
    }

    /// Waits until an object of the member is as wanted.
    pub(crate) async fn until_member(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(&self.member, path, wanted).await
    }

    pub(crate) async fn cluster(&self) -> Value {
        let path = format!("{}/one", objects::fleet(CLUSTERS, "clusters"));
        objects::get(&self.hub, &path).await.unwrap().unwrap_or_default()
    }

    /// The records of a release in namespace `web`: revision and state, oldest first.
    pub(crate) async fn history(&self, release: &str) -> Vec<(u64, String)> {
        let secrets = self.get(&objects::core(WEB, "secrets")).await;
        let all = secrets["items"].as_array().unwrap();
        let ours = all.iter().filter(|secret| secret["metadata"]["labels"]["name"] == release);
        let mut records: Vec<(u64, String)> = ours
            .map(|secret| {
                let record = record(secret);
                let status = record["info"]["status"].as_str().unwrap().to_owned();
                (record["version"].as_u64().unwrap(), status)
            })
            .collect();
        records.sort();
        records
    }
}

async fn until(client: &Client, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Value::Null;
    for _ in 0..4_800 {
        seen = objects::get(client, path).await.unwrap().unwrap_or_default();
        if wanted(&seen) {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("{path} never came true; last seen: {seen:#}");
}

fn namespace(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

/// A release record as it stands in its Secret.
pub(crate) fn record(secret: &Value) -> Value {
    // Helm packs the text in base64, Kubernetes packs it once more.
    let outer = STANDARD.decode(secret["data"]["release"].as_str().unwrap()).unwrap();
    let gzip = STANDARD.decode(outer).unwrap();
    serde_json::from_reader(GzDecoder::new(gzip.as_slice())).unwrap()
}

/// The Secret of a release record, changed, as another one.
pub(crate) fn rewrite(secret: &Value, change: impl Fn(&mut Value)) -> Value {
    let mut record = record(secret);
    change(&mut record);
    rewrite_record(secret, &record)
}

/// The Secret of a release record with this record in it.
pub(crate) fn rewrite_record(secret: &Value, record: &Value) -> Value {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(record.to_string().as_bytes()).unwrap();
    let packed = STANDARD.encode(STANDARD.encode(gzip.finish().unwrap()));
    let (name, version) = (record["name"].as_str().unwrap(), &record["version"]);
    let mut labels = secret["metadata"]["labels"].clone();
    labels["name"] = json!(name);
    labels["version"] = json!(version.to_string());
    labels["status"] = record["info"]["status"].clone();
    json!({"kind": "Secret", "type": secret["type"], "data": {"release": packed},
        "metadata": {"name": format!("sh.helm.release.v1.{name}.v{version}"), "labels": labels}})
}

/// Message of a condition.
pub(crate) fn message<'a>(object: &'a Value, kind: &str) -> &'a str {
    let all = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = all.iter().find(|one| one["type"] == kind);
    found.and_then(|one| one["message"].as_str()).unwrap_or_default()
}

/// Path of a ConfigMap in namespace `web`.
pub(crate) fn config_map(name: &str) -> String {
    format!("{}/{name}", objects::core(WEB, "configmaps"))
}

/// A manifest with one ConfigMap whose key `v` holds this.
pub(crate) fn map_text(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{v: \"{value}\"}}\n"
    )
}
