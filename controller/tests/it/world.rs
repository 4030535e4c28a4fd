//! A running controller on an embedded API server; tests read and write plain JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::ControllerConfig;
use kube::Client;
use runtime::http_server::BindAddress;
use runtime::objects;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::wire::Wire;

pub(crate) const SYSTEM: &str = "cattle-fleet-system";
/// The workspace of the tests.
pub(crate) const HOME: &str = "clusters";

pub(crate) struct World {
    client: Client,
    controller: Option<Controller>,
    /// Whether the controller makes the local cluster.
    bootstraps: bool,
    /// The controller's way to the hub.
    pub(crate) wire: Wire,
}

/// A running controller; stops when dropped.
struct Controller {
    /// `host:port` of the metrics.
    metrics: String,
    /// `host:port` of the probes.
    health: String,
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Controller {
    fn start(client: Client, bootstrap: bool) -> Self {
        let stop = CancellationToken::new();
        let (metrics_address, metrics) = BindAddress::loopback().unwrap();
        let (health_address, health) = BindAddress::loopback().unwrap();
        let config = ControllerConfig {
            metrics_address,
            health_address,
            bootstrap,
            ..ControllerConfig::in_process(SYSTEM)
        };
        let running = controller::run(config, client, stop.clone());
        let task = tokio::spawn(async { running.await.expect("controller runs") });
        Self { metrics, health, stop: stop.drop_guard(), task }
    }
}

/// `clusters` → its path in the workspace; a path stays.
fn path(what: &str) -> String {
    match what.strip_prefix('/') {
        Some(_) => what.to_owned(),
        None => objects::fleet(HOME, what),
    }
}

impl World {
    /// A hub with a controller that has no local cluster.
    pub(crate) async fn start() -> Self {
        Self::start_with(json!({})).await
    }

    /// The same with more settings.
    pub(crate) async fn start_with(settings: Value) -> Self {
        Self::begin(settings, true).await
    }

    /// The same, told by its command line to make no local cluster.
    pub(crate) async fn start_without_bootstrap(settings: Value) -> Self {
        Self::begin(settings, false).await
    }

    async fn begin(settings: Value, bootstraps: bool) -> Self {
        runtime::client::install_crypto_provider();
        let hub = hub::Hub::memory();
        hub.ready().await;
        let client = Client::new(hub, "default");
        let mut world = Self { client, controller: None, bootstraps, wire: Wire::new() };
        for crd in bundle_format::api::crds::definitions() {
            world.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd).await;
        }
        for name in [SYSTEM, HOME, "other"] {
            world.post("/api/v1/namespaces", json!({"metadata": {"name": name}})).await;
        }
        world.configure("POST", settings).await;
        world.start_controller();
        world
    }

    fn start_controller(&mut self) {
        self.controller =
            Some(Controller::start(self.wire.client(self.client.clone()), self.bootstraps));
    }

    /// Ends the controller and starts another one.
    pub(crate) async fn restart(&mut self) {
        if let Some(Controller { stop, task, .. }) = self.controller.take() {
            drop(stop);
            task.await.unwrap();
        }
        self.requests();
        self.start_controller();
    }

    /// Waits until every delay is over; needs virtual time.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    /// Requests of the controller since the last call, sorted; short within the workspace. Contents
    /// are called `x`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let mut lines = self.wire.requests();
        for line in &mut lines {
            let short = line.replace(&path(""), "");
            *line = short.trim_end_matches('?').trim_end_matches("?&force=true").to_owned();
            let content = line.split('/').find(|part| part.starts_with("s-") && part.len() == 63);
            if let Some(content) = content.map(str::to_owned) {
                *line = line.replace(&content, "x");
            }
        }
        lines.sort();
        lines
    }

    /// Waits until the metrics say it: the controller's copies are a moment behind what we read.
    pub(crate) async fn until_told(&self, wanted: impl Fn(&str) -> bool) {
        let mut told = String::new();
        for _ in 0..200 {
            told = self.scrape(false, "/metrics").await;
            assert!(told.starts_with("HTTP/1.1 200"), "{told}");
            if wanted(&told) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never told; last: {told}");
    }

    /// Number of passes so far, by queue.
    pub(crate) async fn passes(&self) -> BTreeMap<String, u64> {
        let told = self.scrape(false, "/metrics").await;
        let mut passes = BTreeMap::new();
        for line in told.lines() {
            let Some(rest) = line.strip_prefix("controller_runtime_reconcile_total{controller=\"")
            else {
                continue;
            };
            let (queue, rest) = rest.split_once('"').unwrap();
            let count: u64 = rest.rsplit(' ').next().unwrap().parse().unwrap();
            *passes.entry(queue.to_owned()).or_default() += count;
        }
        passes
    }

    /// Writes ConfigMap `fleet-controller`.
    pub(crate) async fn configure(&self, method: &str, settings: Value) {
        let mut config = json!({"apiServerURL": "https://hub.example:6443",
            "bootstrap": {"namespace": "-"}, "manageAgent": false});
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "fleet-controller"}, "data": {"config": config.to_string()}});
        let maps = objects::core(SYSTEM, "configmaps");
        match method {
            "POST" => drop(self.post(&maps, map).await),
            _ => self.patch(&format!("{maps}/fleet-controller"), map).await,
        }
    }

    /// Reads an object; null when it is not there.
    pub(crate) async fn get(&self, what: &str) -> Value {
        objects::get(&self.client, &path(what)).await.unwrap().unwrap_or_default()
    }

    pub(crate) async fn post(&self, what: &str, body: Value) -> Value {
        objects::create(&self.client, &path(what), &body).await.unwrap()
    }

    pub(crate) async fn patch(&self, what: &str, body: Value) {
        objects::merge(&self.client, &path(what), &body).await.unwrap();
    }

    pub(crate) async fn delete(&self, what: &str) {
        objects::delete(&self.client, &path(what)).await.unwrap();
    }

    /// Waits until the object is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Value::Null;
        for _ in 0..600 {
            seen = self.get(what).await;
            if wanted(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{what} never came true; last seen: {seen:#}");
    }

    pub(crate) async fn until_gone(&self, what: &str) {
        self.until(what, Value::is_null).await;
    }

    /// Creates a Cluster in a workspace; returns the namespace of its deployments.
    pub(crate) async fn cluster_in(&self, home: &str, name: &str, labels: Value) -> String {
        let clusters = objects::fleet(home, "clusters");
        let metadata = json!({"name": name, "labels": labels});
        self.post(&clusters, object("Cluster", metadata, json!({"clientID": name}))).await;
        let cluster = self
            .until(&format!("{clusters}/{name}"), |one| one["status"]["namespace"].is_string())
            .await;
        cluster["status"]["namespace"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn cluster(&self, name: &str, labels: Value) -> String {
        self.cluster_in(HOME, name, labels).await
    }

    /// Creates a Bundle with one ConfigMap.
    pub(crate) async fn bundle(&self, name: &str, spec: Value) {
        self.bundle_with(json!({"name": name}), spec).await;
    }

    /// The same, as if it came from a GitRepo.
    pub(crate) async fn bundle_of(&self, repo: &str, name: &str, spec: Value) {
        let labels = json!({"fleet.cattle.io/repo-name": repo});
        self.bundle_with(json!({"name": name, "labels": labels}), spec).await;
    }

    async fn bundle_with(&self, metadata: Value, spec: Value) {
        let mut full = json!({"resources": [{"name": "m.yaml",
            "content": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"}]});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.post("bundles", object("Bundle", metadata, full)).await;
    }

    /// Says in the agent's stead that a deployment runs.
    pub(crate) async fn report_ready(&self, deployment: &str) {
        let held = self.get(deployment).await;
        let status = json!({"status": {"appliedDeploymentID": held["spec"]["deploymentID"],
            "release": "n/r:1", "ready": true, "nonModified": true,
            "conditions": [{"type": "Ready", "status": "True"}]}});
        self.patch(&format!("{deployment}/status"), status).await;
    }

    /// One answer of a listener: status line, headers and body.
    pub(crate) async fn scrape(&self, of_health: bool, path: &str) -> String {
        let controller = self.controller.as_ref().unwrap();
        let address = if of_health { &controller.health } else { &controller.metrics };
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}

pub(crate) fn object(kind: &str, metadata: Value, spec: Value) -> Value {
    json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": kind,
        "metadata": metadata, "spec": spec})
}

/// `(status, reason, message)` of a condition.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> (&'a str, &'a str, &'a str) {
    let all = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |one: &'a Value, key: &str| one[key].as_str().unwrap_or_default();
    let found = all.iter().find(|one| one["type"] == kind);
    found
        .map(|one| (text(one, "status"), text(one, "reason"), text(one, "message")))
        .unwrap_or_default()
}

/// Path of a BundleDeployment.
pub(crate) fn deployment(namespace: &str, name: &str) -> String {
    format!("{}/{name}", objects::fleet(namespace, "bundledeployments"))
}
