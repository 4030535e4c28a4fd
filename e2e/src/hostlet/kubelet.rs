//! Pods to processes, and processes back to the status of pods.
//!
//! Owns start, restart with backoff, end and status. Knows nothing of workloads. Start at [`run`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::core::v1::{Binding, Container, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::container::{Launch, command, has_program};
use super::{HostletConfig, NODE, Process, Processes, Seen, follow, volumes};

/// First wait before a container is started again; doubled each time. (A kubelet starts at 10 s:
/// tests would only wait for it.)
const BACKOFF_MIN: Duration = Duration::from_millis(300);
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// Address of every pod (RFC 5737, nobody's). Loopback would be the truth, but Kubernetes refuses it
/// in Endpoints and writes an Event about that again and again.
const POD_ADDRESS: &str = "192.0.2.1";

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// Runs until the task is aborted.
pub(super) async fn run(config: HostletConfig, processes: Processes) {
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let pods: Api<Pod> = Api::all(config.client.clone());
    tokio::spawn(follow(pods, move |seen| drop(sender.send(seen))));
    let config = Arc::new(config);
    let mut running: BTreeMap<String, watch::Sender<bool>> = BTreeMap::new();
    while let Some(seen) = inbox.recv().await {
        match seen {
            Seen::Gone(pod) => {
                if let Some(stop) = running.remove(&pod.uid().unwrap_or_default()) {
                    stop.send_replace(true);
                }
            }
            Seen::There(pod) => {
                let uid = pod.uid().unwrap_or_default();
                if pod.metadata.deletion_timestamp.is_some() {
                    match running.get(&uid) {
                        Some(stop) => drop(stop.send_replace(true)),
                        None => drop(tokio::spawn(forget(Arc::clone(&config), *pod))),
                    }
                } else if is_scheduled(&pod) && !running.contains_key(&uid) {
                    let (stop, stopped) = watch::channel(false);
                    running.insert(uid, stop);
                    let runner = Runner {
                        config: Arc::clone(&config),
                        processes: Arc::clone(&processes),
                        pod: *pod,
                        stopped,
                        containers: Arc::default(),
                    };
                    tokio::spawn(runner.run());
                } else if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none()) {
                    tokio::spawn(schedule(Arc::clone(&config), *pod));
                }
            }
        }
    }
}

fn is_scheduled(pod: &Pod) -> bool {
    let finished = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"));
    !finished && pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_deref() == Some(NODE))
}

/// Binds a pod to the one node there is.
async fn schedule(config: Arc<HostletConfig>, pod: Pod) {
    let api: Api<Pod> = api(&config, &pod);
    let binding = Binding {
        metadata: kube::api::ObjectMeta { name: pod.metadata.name.clone(), ..Default::default() },
        target: k8s_openapi::api::core::v1::ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(NODE.to_owned()),
            ..Default::default()
        },
    };
    let done: Result<Value, _> =
        api.create_subresource("binding", &pod.name_any(), &PostParams::default(), &binding).await;
    drop(done);
}

/// Confirms that a pod which never ran here is gone.
async fn forget(config: Arc<HostletConfig>, pod: Pod) {
    let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    drop(api(&config, &pod).delete(&pod.name_any(), &params).await);
}

fn api(config: &HostletConfig, pod: &Pod) -> Api<Pod> {
    Api::namespaced(config.client.clone(), &pod.namespace().unwrap_or_default())
}

/// State of one container, for the status.
#[derive(Clone, Default)]
struct State {
    running_since: Option<String>,
    last: Option<Value>,
    waiting: String,
    restarts: u32,
    finished: Option<i32>,
}

/// Runs one pod.
#[derive(Clone)]
struct Runner {
    config: Arc<HostletConfig>,
    processes: Processes,
    pod: Pod,
    stopped: watch::Receiver<bool>,
    containers: Arc<std::sync::Mutex<BTreeMap<String, State>>>,
}

impl Runner {
    async fn run(self) {
        let spec = self.pod.spec.clone().unwrap_or_default();
        if spec.containers.iter().all(|container| has_program(&self.config, container)) {
            self.run_containers(&spec.containers).await;
        } else {
            self.pretend(&spec.containers).await;
        }
        if *self.stopped.borrow() {
            forget(self.config, self.pod).await;
        }
    }

    /// Says that a pod nobody can run is ready, or done if it is one that ends.
    async fn pretend(&self, containers: &[Container]) {
        for container in containers {
            let mut state = State { running_since: Some(now()), ..State::default() };
            if self.ends() {
                state = State { finished: Some(0), ..State::default() };
            }
            self.note(&container.name, |old| *old = state.clone());
        }
        self.report().await;
        self.until_stopped().await;
    }

    async fn run_containers(&self, containers: &[Container]) {
        let runs = containers.iter().map(|container| self.run_container(container));
        futures::future::join_all(runs).await;
    }

    async fn run_container(&self, container: &Container) {
        let mut backoff = BACKOFF_MIN;
        while !*self.stopped.borrow() {
            let started = Instant::now();
            let Ok(code) = self.run_once(container).await else {
                // Mostly a volume whose object is not there yet: not a restart.
                self.note(&container.name, |state| state.waiting = "ContainerCreating".to_owned());
                self.report().await;
                tokio::time::sleep(BACKOFF_MIN).await;
                continue;
            };
            let message = crate::process::tail(&self.log(container), 5);
            if self.ends() {
                self.note(&container.name, |state| state.finished = Some(code));
                return self.report().await;
            }
            if *self.stopped.borrow() {
                return;
            }
            if started.elapsed() > 4 * BACKOFF_MAX {
                backoff = BACKOFF_MIN;
            }
            self.note(&container.name, |state| {
                state.running_since = None;
                state.restarts += 1;
                state.waiting = "CrashLoopBackOff".to_owned();
                state.last = Some(json!({ "terminated": {
                    "exitCode": code, "reason": "Error", "message": message, "finishedAt": now(),
                }}));
            });
            self.report().await;
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                () = self.until_stopped() => return,
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One life of a container; its exit code.
    async fn run_once(&self, container: &Container) -> Result<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        let folder = self.folder();
        let volumes =
            volumes::materialize(&self.config.client, &self.pod, &folder.join("volumes")).await?;
        let log = self.log(container);
        std::fs::create_dir_all(log.parent().unwrap_or(&folder))?;
        let launch = Launch {
            config: &self.config,
            pod: &self.pod,
            container,
            folder: &folder,
            volumes: &volumes,
            log: &log,
        };
        let mut child = command(&launch).await?.spawn()?;
        let id = child.id();
        let mut ended = tokio::task::spawn_blocking(move || child.wait());
        let key = format!("{}/{}", self.folder().display(), container.name);
        let app = self.pod.labels().get("app").cloned().unwrap_or_default();
        self.lock().insert(key.clone(), Process { id, app });
        self.note(&container.name, |state| state.running_since = Some(now()));
        self.report().await;
        let status = tokio::select! {
            status = &mut ended => status??,
            () = self.until_stopped() => {
                signal(id, Signal::TERM);
                match tokio::time::timeout(GRACE, &mut ended).await {
                    Ok(status) => status??,
                    Err(_) => { signal(id, Signal::KILL); ended.await?? }
                }
            }
        };
        signal(id, Signal::KILL);
        self.lock().remove(&key);
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Process>> {
        self.processes.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn folder(&self) -> PathBuf {
        let namespace = self.pod.namespace().unwrap_or_default();
        self.config.folder.join(namespace).join(self.pod.name_any())
    }

    fn log(&self, container: &Container) -> PathBuf {
        let namespace = self.pod.namespace().unwrap_or_default();
        let name = format!("{namespace}.{}.{}.log", self.pod.name_any(), container.name);
        self.config.folder.join("logs").join(name)
    }

    /// Whether the pod is one that ends by itself.
    fn ends(&self) -> bool {
        let policy = self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        policy.is_some_and(|policy| policy != "Always")
    }

    async fn until_stopped(&self) {
        let mut stopped = self.stopped.clone();
        drop(stopped.wait_for(|stop| *stop).await);
    }

    fn note(&self, container: &str, change: impl Fn(&mut State)) {
        let mut states = self.containers.lock().unwrap_or_else(|e| e.into_inner());
        change(states.entry(container.to_owned()).or_default());
    }

    /// Writes the pod's status.
    async fn report(&self) {
        let patch = Patch::Merge(json!({ "status": self.status() }));
        let done = api(&self.config, &self.pod)
            .patch_status(&self.pod.name_any(), &PatchParams::default(), &patch)
            .await;
        // A pod that is gone has no status; anything else shows in the tests as not ready.
        drop(done);
    }

    fn status(&self) -> Value {
        let states = self.containers.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let spec = self.pod.spec.clone().unwrap_or_default();
        let find = |container: &Container| states.get(&container.name).cloned().unwrap_or_default();
        let all: Vec<(Container, State)> =
            spec.containers.into_iter().map(|c| (c.clone(), find(&c))).collect();
        let ready = all.iter().all(|(_, state)| state.running_since.is_some());
        let begun = ready || all.iter().any(|(_, state)| state.restarts > 0);
        let phase = if all.iter().all(|(_, state)| state.finished == Some(0)) {
            "Succeeded"
        } else if all.iter().any(|(_, state)| state.finished.is_some_and(|code| code != 0)) {
            "Failed"
        } else if begun {
            "Running"
        } else {
            "Pending"
        };
        let condition = |kind: &str, status: bool| {
            json!({ "type": kind, "status": if status { "True" } else { "False" },
                "lastTransitionTime": now() })
        };
        json!({
            "phase": phase,
            "hostIP": "127.0.0.1", "podIP": POD_ADDRESS, "podIPs": [{ "ip": POD_ADDRESS }],
            "startTime": self.pod.metadata.creation_timestamp,
            "conditions": [
                condition("PodScheduled", true), condition("Initialized", true),
                condition("ContainersReady", ready), condition("Ready", ready),
            ],
            "containerStatuses": all.iter().map(|(container, state)| json!({
                "name": container.name,
                "image": container.image,
                "imageID": "",
                "ready": state.running_since.is_some(),
                "started": state.running_since.is_some(),
                "restartCount": state.restarts,
                "state": container_state(state),
                "lastState": state.last,
            })).collect::<Vec<_>>(),
        })
    }
}

fn container_state(state: &State) -> Value {
    if let Some(code) = state.finished {
        let reason = if code == 0 { "Completed" } else { "Error" };
        return json!({ "terminated": { "exitCode": code, "reason": reason } });
    }
    match &state.running_since {
        Some(since) => json!({ "running": { "startedAt": since } }),
        None => json!({ "waiting": { "reason": state.waiting } }),
    }
}

fn signal(id: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(id.cast_signed()) {
        let _ = kill_process_group(pid, signal);
    }
}

/// The time as Kubernetes writes it.
pub(super) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
