//! The figures of the embedded API server, beside etcd and kube-apiserver in the same run.
//!
//! Owns the scenarios and what each figure should be. Both servers are processes of their own; the
//! same client asks them over the same TLS. Start at [`run`].

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use http::Method;
use kube::Client;
use runtime::objects;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::cluster::{ControlPlane, EtcdSync, start_bare};
use crate::measure::resident;
use crate::peers::Peers;
use crate::process::Child;

/// Starts of the hub that are measured; the middle one counts.
const STARTS: usize = 5;
/// Objects of each throughput figure.
const OBJECTS: usize = 2000;
/// Requests under way at the same time.
const AT_ONCE: usize = 32;
/// Further API servers in one process.
const FURTHER: u16 = 10;
/// BundleDeployments in the memory figure.
const DEPLOYMENTS: usize = 100_000;

/// A server under measurement; ends when it is dropped.
struct Server {
    client: Client,
    processes: Vec<Child>,
    /// From the start of its processes to the first answer of `/readyz`.
    ready_after: Duration,
    _folder: tempfile::TempDir,
}

impl Server {
    fn resident(&self) -> Result<f64> {
        self.processes.iter().map(|process| resident(process.id())).sum()
    }
}

/// Requests per second of each verb.
struct Throughput([(&'static str, f64); 3]);

/// Measures every figure and prints it.
///
/// # Errors
/// When a server does not start or refuses a request.
pub fn run() -> Result<()> {
    let peers = Peers::find()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    print(&format!("load before: {}", load.trim()));
    let hub = |more: &[&str]| start_hub(&peers, &runtime, more);
    let mut starts = (0..STARTS).map(|_| Ok(hub(&[])?.ready_after)).collect::<Result<Vec<_>>>()?;
    starts.sort();
    let start = starts[STARTS / 2].as_secs_f64() * 1000.0;
    at_most("start to ready", start, 50.0, "ms");

    let empty = hub(&[])?;
    std::thread::sleep(Duration::from_secs(1));
    let resident = empty.resident()?;
    at_most("resident, empty", resident, 20.0, "MB");
    drop(empty);
    let many = hub(&["--clusters", &(FURTHER + 1).to_string()])?;
    std::thread::sleep(Duration::from_secs(1));
    let further = (many.resident()? - resident) / f64::from(FURTHER);
    at_most("resident, each further one in the process", further, 1.0, "MB");
    drop(many);

    let in_memory = throughput(&runtime, &hub(&[])?)?;
    let folder = tempfile::tempdir()?;
    let data = folder.path().display().to_string();
    let durable = throughput(&runtime, &hub(&["--data", &data])?)?;
    drop(folder);
    let real = start_real(&peers, &runtime, EtcdSync::No)?;
    print(&format!("kube-apiserver: start to ready {:.1} s", real.ready_after.as_secs_f64()));
    print(&format!("kube-apiserver: resident, empty {:.0} MB", real.resident()?));
    at_least("in memory", &in_memory, &throughput(&runtime, &real)?, 4.0);
    drop(real);
    let real = start_real(&peers, &runtime, EtcdSync::Yes)?;
    at_least("durable", &durable, &throughput(&runtime, &real)?, 1.5);
    drop(real);

    let full = hub(&[])?;
    let started = Instant::now();
    runtime.block_on(fill(&full.client))?;
    print(&format!("{DEPLOYMENTS} BundleDeployments in {:.0} s", started.elapsed().as_secs_f64()));
    at_most(&format!("resident, {DEPLOYMENTS} BundleDeployments"), full.resident()?, 400.0, "MB");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn print(line: &str) {
    println!("{line}");
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

fn at_most(what: &str, value: f64, limit: f64, unit: &str) {
    print(&format!("{what:<46} {value:8.1} {unit}  (≤ {limit}) {}", verdict(value <= limit)));
}

fn at_least(what: &str, ours: &Throughput, real: &Throughput, factor: f64) {
    for ((verb, ours), (_, real)) in ours.0.iter().zip(&real.0) {
        let times = ours / real;
        print(&format!(
            "{verb:<7} {what:<38} {ours:8.0}/s  real {real:.0}/s, {times:.1} times (≥ {factor}) {}",
            verdict(times >= factor)
        ));
    }
}

fn start_hub(peers: &Peers, runtime: &Runtime, more: &[&str]) -> Result<Server> {
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    let mut command = Command::new(&peers.fleet);
    command.args(["hub", "--port", "0", "--kubeconfig"]).arg(&kubeconfig).args(more);
    let started = Instant::now();
    let mut process = Child::spawn("fleet hub", &mut command, &folder.path().join("log"))?;
    while !kubeconfig.exists() {
        process.check()?;
        std::thread::sleep(Duration::from_micros(200));
    }
    let client = runtime.block_on(answering(&kubeconfig, started))?;
    let ready_after = started.elapsed();
    Ok(Server { client, processes: vec![process], ready_after, _folder: folder })
}

/// A client whose server answers.
async fn answering(kubeconfig: &Path, started: Instant) -> Result<Client> {
    loop {
        // The file may be half written.
        let client = runtime::client::from_environment(Some(kubeconfig), "bench").await;
        let answer = match &client {
            Ok(client) => {
                client.request_text(http::Request::get("/readyz").body(Vec::new())?).await
            }
            Err(_) => Ok(String::new()),
        };
        match (client, answer) {
            (Ok(client), Ok(_)) => return Ok(client),
            (client, answer) if started.elapsed() > Duration::from_secs(30) => {
                client.context("the hub's kubeconfig")?;
                answer.context("the hub is not ready")?;
            }
            _ => tokio::time::sleep(Duration::from_micros(500)).await,
        }
    }
}

fn start_real(peers: &Peers, runtime: &Runtime, sync: EtcdSync) -> Result<Server> {
    let folder = tempfile::tempdir()?;
    let started = Instant::now();
    let (control_plane, processes) = start_bare(peers, folder.path(), sync, runtime.handle())?;
    let ControlPlane { client, .. } = control_plane;
    Ok(Server { client, processes, ready_after: started.elapsed(), _folder: folder })
}

const MAPS: &str = "/api/v1/namespaces/bench/configmaps";

/// A ConfigMap of about 1 kB.
fn map(name: usize, value: &str) -> Value {
    let data: Value = (0..12).map(|n| (format!("key-{n}"), json!(value.repeat(8)))).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("map-{name}"), "labels": {"app": "bench"}}, "data": data})
}

fn throughput(runtime: &Runtime, server: &Server) -> Result<Throughput> {
    let client = &server.client;
    runtime.block_on(async {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}});
        send(client, Method::POST, "/api/v1/namespaces", &namespace).await?;
        // The first requests pay for connections and caches.
        all(100, |n| send(client, Method::POST, MAPS.to_owned(), map(OBJECTS + n, "warm"))).await?;
        let create =
            all(OBJECTS, |n| send(client, Method::POST, MAPS.to_owned(), map(n, "created")))
                .await?;
        let named = |n: usize| format!("{MAPS}/map-{n}");
        let update =
            all(OBJECTS, |n| send(client, Method::PUT, named(n), map(n, "updated"))).await?;
        let patch = all(OBJECTS, |n| {
            send(client, Method::PATCH, named(n), json!({"data": {"key-3": "patched"}}))
        });
        Ok(Throughput([("create", create), ("update", update), ("patch", patch.await?)]))
    })
}

/// Runs `count` requests, some at a time; how many per second.
async fn all<F, Fut>(count: usize, request: F) -> Result<f64>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let started = Instant::now();
    let mut answers = futures::stream::iter((0..count).map(request)).buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Sends one request. The answer is not parsed: the servers are measured, not the client.
async fn send(
    client: &Client,
    method: Method,
    path: impl AsRef<str>,
    body: impl std::borrow::Borrow<Value>,
) -> Result<()> {
    let path = path.as_ref();
    let answer = objects::send(client, method.clone(), path, Some(body.borrow())).await;
    let answer = answer.with_context(|| format!("{method} {path}"))?;
    ensure!(!answer.is_empty(), "{method} {path}: no answer");
    Ok(())
}

/// Writes BundleDeployments as a controller creates them and agents report on them.
async fn fill(client: &Client) -> Result<()> {
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for crd in bundle_format::api::crds::definitions() {
        send(client, Method::POST, crds, &crd).await?;
    }
    let clusters = DEPLOYMENTS / 100;
    all(clusters, |n| {
        let metadata = json!({"name": namespace(n)});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        send(client, Method::POST, "/api/v1/namespaces", namespace)
    })
    .await?;
    let path = |n: usize| objects::fleet(&namespace(n / 100), "bundledeployments");
    all(DEPLOYMENTS, |n| async move {
        send(client, Method::POST, path(n), deployment(n)).await?;
        send(client, Method::PATCH, format!("{}/app-{}/status", path(n), n % 100), status(n)).await
    })
    .await?;
    Ok(())
}

fn namespace(cluster: usize) -> String {
    format!("cluster-fleet-default-member-{cluster}-{cluster:012x}")
}

fn deployment_id(n: usize) -> String {
    format!("s-{:064x}:{:064x}", n % 100, n * 7919)
}

fn deployment(n: usize) -> Value {
    let (cluster, app) = (n / 100, n % 100);
    let id = deployment_id(n);
    let options = json!({
        "defaultNamespace": format!("team-{app}"), "helm": {"releaseName": format!("app-{app}"),
            "chart": "./chart", "values": {"replicas": 3, "color": "green",
            "image": {"repository": "registry.example.com/team/app", "tag": format!("1.2.{app}")},
            "cluster": {"name": format!("member-{cluster}"), "region": "eu-central"}}},
        "ignore": {}, "keepResources": false,
    });
    json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "BundleDeployment",
        "metadata": {"name": format!("app-{app}"), "labels": {
            "fleet.cattle.io/bundle-name": format!("app-{app}"),
            "fleet.cattle.io/bundle-namespace": "fleet-default",
            "fleet.cattle.io/cluster": format!("member-{cluster}"),
            "fleet.cattle.io/cluster-namespace": "fleet-default",
            "fleet.cattle.io/commit": format!("{app:040x}"),
            "fleet.cattle.io/repo-name": "apps",
            "fleet.cattle.io/managed": "true"}},
        "spec": {"deploymentID": id, "stagedDeploymentID": id, "options": options,
            "stagedOptions": options, "correctDrift": {"enabled": true}}})
}

fn status(n: usize) -> Value {
    let now = "2026-08-01T12:00:00Z";
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "lastUpdateTime": now,
        "lastTransitionTime": now})
    };
    let conditions = ["Deployed", "Installed", "Monitored", "Ready"].map(condition);
    let app = n % 100;
    let resource = |kind: &str, version: &str| {
        json!({"apiVersion": version, "kind": kind,
        "namespace": format!("team-{app}"), "name": format!("app-{app}"), "createdAt": now})
    };
    json!({"status": {"appliedDeploymentID": deployment_id(n), "release": format!("team-{app}/app-{app}:1"),
        "ready": true, "nonModified": true, "syncGeneration": 1,
        "display": {"deployed": "True", "monitored": "True", "state": "Ready"},
        "resources": [resource("Deployment", "apps/v1"), resource("ConfigMap", "v1"),
            resource("Service", "v1")],
        "resourceCounts": {"ready": 3, "desiredReady": 3, "waitApplied": 0, "modified": 0,
            "orphaned": 0, "missing": 0, "unknown": 0, "notReady": 0},
        "conditions": conditions}})
}
