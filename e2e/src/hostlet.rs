//! A stand-in for nodes, kubelets and workload controllers on a machine without containers.
//!
//! Owns two halves, each driven by watches: [`workloads`] turns Deployments, StatefulSets,
//! DaemonSets and Jobs into Pods and writes their status; [`kubelet`] runs the containers of Pods
//! whose program it has as host processes, each in a mount namespace of its own, and says of every
//! other Pod that it is ready. Knows nothing of fleets. Start at [`Hostlet::start`].

mod container;
mod kubelet;
mod volumes;
mod workloads;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The one node of the cluster.
pub const NODE: &str = "hostlet";

/// What a stand-in is started with.
#[derive(Clone)]
pub struct HostletConfig {
    /// A client with the administrator's rights.
    pub client: Client,
    /// Address of the API server, for the variables of pods.
    pub server: String,
    /// Where volumes and logs go.
    pub folder: PathBuf,
    /// The folder with programs: a container whose first command word is a file here is run.
    pub programs: PathBuf,
    /// Variables of every process, besides those of the pod spec.
    pub env: Vec<(String, String)>,
}

/// A running stand-in.
#[derive(Debug)]
pub struct Hostlet {
    processes: Processes,
    tasks: Vec<JoinHandle<()>>,
    folder: PathBuf,
}

/// The processes that run now: by `namespace/pod/container`.
type Processes = Arc<Mutex<BTreeMap<String, Process>>>;

/// One container that runs as a host process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its process id, and the id of its group.
    pub id: u32,
    /// Label `app` of its pod.
    pub app: String,
}

impl Hostlet {
    /// Starts both halves.
    ///
    /// # Errors
    /// When the node cannot be written.
    pub fn start(config: HostletConfig, runtime: &Handle) -> Result<Self> {
        std::fs::create_dir_all(&config.folder)?;
        runtime.block_on(create_node(&config.client))?;
        let processes = Processes::default();
        let folder = config.folder.clone();
        let tasks = vec![
            runtime.spawn(workloads::run(config.client.clone())),
            runtime.spawn(kubelet::run(config, Arc::clone(&processes))),
        ];
        Ok(Self { processes, tasks, folder })
    }

    /// The processes of pods with this `app` label, sorted by pod.
    pub fn processes(&self, app: &str) -> Vec<Process> {
        let processes = self.processes.lock().unwrap_or_else(|e| e.into_inner());
        processes.values().filter(|process| process.app == app).cloned().collect()
    }

    /// Sends a signal to the processes of pods with this `app` label; says how many there were.
    pub fn signal(&self, app: &str, signal: Signal) -> usize {
        let processes = self.processes(app);
        for process in &processes {
            if let Some(pid) = Pid::from_raw(process.id.cast_signed()) {
                let _ = kill_process(pid, signal);
            }
        }
        processes.len()
    }

    /// What the pods with this `app` label have printed so far, and where the files are.
    pub fn logs(&self, app: &str) -> String {
        let mut files: Vec<_> = std::fs::read_dir(self.folder.join("logs"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains(&format!(".{app}")))
            .collect();
        files.sort();
        files.iter().map(|path| crate::process::tail(path, 10_000) + "\n").collect()
    }

    /// Stops watching and kills every process.
    pub fn stop(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
        let processes = self.processes.lock().unwrap_or_else(|e| e.into_inner());
        for process in processes.values() {
            if let Some(pid) = Pid::from_raw(process.id.cast_signed()) {
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
    }
}

/// A node that is ready, so that `kubectl get nodes` and pods agree.
async fn create_node(client: &Client) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = serde_json::from_value(json!({
        "metadata": { "name": NODE, "labels": {
            "kubernetes.io/os": "linux", "kubernetes.io/hostname": NODE,
        }},
    }))?;
    nodes.create(&Default::default(), &node).await?;
    let status = json!({ "status": {
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
        "capacity": { "cpu": "2", "memory": "8Gi", "pods": "1000" },
        "allocatable": { "cpu": "2", "memory": "8Gi", "pods": "1000" },
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "host processes stand in for containers",
        }],
    }});
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

/// What a watch saw.
enum Seen<K> {
    /// The object is there, new or changed.
    There(Box<K>),
    /// The object is gone.
    Gone(Box<K>),
}

/// Watches a kind for ever and passes on what it sees; objects that vanish between two watches are
/// reported gone as well.
async fn follow<K>(api: Api<K>, seen: impl Fn(Seen<K>))
where
    K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned,
    K: Clone + std::fmt::Debug + Send + 'static,
{
    let mut known: BTreeMap<String, K> = BTreeMap::new();
    let mut listed: BTreeMap<String, K> = BTreeMap::new();
    let mut events = watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.insert(object.uid().unwrap_or_default(), object.clone());
                seen(Seen::There(Box::new(object)));
            }
            Ok(watcher::Event::InitDone) => {
                let before = std::mem::replace(&mut known, std::mem::take(&mut listed));
                for (uid, object) in before {
                    if !known.contains_key(&uid) {
                        seen(Seen::Gone(Box::new(object)));
                    }
                }
            }
            Ok(watcher::Event::Apply(object)) => {
                known.insert(object.uid().unwrap_or_default(), object.clone());
                seen(Seen::There(Box::new(object)));
            }
            Ok(watcher::Event::Delete(object)) => {
                known.remove(&object.uid().unwrap_or_default());
                seen(Seen::Gone(Box::new(object)));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Sends `message` after a while; nobody listening is no error.
fn send_later<T: Send + 'static>(sender: &mpsc::UnboundedSender<T>, message: T, after: Duration) {
    let sender = sender.clone();
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        drop(sender.send(message));
    });
}
