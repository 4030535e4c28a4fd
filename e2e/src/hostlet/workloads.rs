//! Workloads to Pods, and Pods back to the status of workloads.
//!
//! Owns which Pods there should be and what a workload's status says. Knows nothing of processes.
//! Start at [`run`].

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{Seen, follow, send_later};

/// Kind of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
}

impl Sort {
    fn kind(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
        }
    }

    fn api_version(self) -> &'static str {
        if self == Self::Job { "batch/v1" } else { "apps/v1" }
    }
}

/// What all workloads have.
#[derive(Clone, Debug)]
struct Workload {
    sort: Sort,
    meta: ObjectMeta,
    replicas: i32,
    template: PodTemplateSpec,
    status: Value,
}

/// By uid: a workload made anew under its old name is another one.
type Uid = String;

enum Message {
    Workload(Seen<Workload>),
    Pod(Seen<Pod>),
    Again(Uid),
}

/// Runs until the task is aborted.
pub(super) async fn run(client: Client) {
    let (sender, mut inbox) = mpsc::unbounded_channel();
    watch_all(&client, &sender);
    let mut state = State { client, workloads: BTreeMap::new(), pods: BTreeMap::new() };
    while let Some(message) = inbox.recv().await {
        let Some(uid) = state.note(message) else { continue };
        let Some(workload) = state.workloads.get(&uid).cloned() else { continue };
        if state.reconcile(&workload).await.is_err() {
            // Mostly an account that is not there yet.
            send_later(&sender, Message::Again(uid), Duration::from_millis(200));
        }
    }
}

fn watch_all(client: &Client, sender: &mpsc::UnboundedSender<Message>) {
    macro_rules! watch {
        ($kind:ty, $into:expr) => {{
            let sender = sender.clone();
            let api: Api<$kind> = Api::all(client.clone());
            tokio::spawn(follow(api, move |seen| drop(sender.send($into(seen)))));
        }};
    }
    watch!(Deployment, |seen| Message::Workload(map(seen, from_deployment)));
    watch!(StatefulSet, |seen| Message::Workload(map(seen, from_stateful_set)));
    watch!(DaemonSet, |seen| Message::Workload(map(seen, from_daemon_set)));
    watch!(Job, |seen| Message::Workload(map(seen, from_job)));
    watch!(Pod, Message::Pod);
}

fn map<K>(seen: Seen<K>, into: impl Fn(K) -> Workload) -> Seen<Workload> {
    match seen {
        Seen::There(object) => Seen::There(Box::new(into(*object))),
        Seen::Gone(object) => Seen::Gone(Box::new(into(*object))),
    }
}

fn from_deployment(object: Deployment) -> Workload {
    let spec = object.spec.unwrap_or_default();
    Workload {
        sort: Sort::Deployment,
        meta: object.metadata,
        replicas: spec.replicas.unwrap_or(1),
        template: spec.template,
        status: json!(object.status),
    }
}

fn from_stateful_set(object: StatefulSet) -> Workload {
    let spec = object.spec.unwrap_or_default();
    Workload {
        sort: Sort::StatefulSet,
        meta: object.metadata,
        replicas: spec.replicas.unwrap_or(1),
        template: spec.template,
        status: json!(object.status),
    }
}

fn from_daemon_set(object: DaemonSet) -> Workload {
    let spec = object.spec.unwrap_or_default();
    Workload {
        sort: Sort::DaemonSet,
        meta: object.metadata,
        replicas: 1,
        template: spec.template,
        status: json!(object.status),
    }
}

fn from_job(object: Job) -> Workload {
    let spec = object.spec.unwrap_or_default();
    Workload {
        sort: Sort::Job,
        meta: object.metadata,
        replicas: 1,
        template: spec.template,
        status: json!(object.status),
    }
}

struct State {
    client: Client,
    workloads: BTreeMap<Uid, Workload>,
    /// Pods of each workload, by name.
    pods: BTreeMap<Uid, BTreeMap<String, Pod>>,
}

impl State {
    /// Takes in a message and says which workload it concerns.
    fn note(&mut self, message: Message) -> Option<Uid> {
        match message {
            Message::Again(uid) => Some(uid),
            Message::Workload(Seen::There(workload)) => {
                let uid = workload.meta.uid.clone()?;
                self.workloads.insert(uid.clone(), *workload);
                Some(uid)
            }
            Message::Workload(Seen::Gone(workload)) => {
                self.workloads.remove(&workload.meta.uid?);
                None
            }
            Message::Pod(Seen::There(pod)) => {
                let owner = owner(&pod)?;
                self.pods.entry(owner.clone()).or_default().insert(pod.name_any(), *pod);
                Some(owner)
            }
            Message::Pod(Seen::Gone(pod)) => {
                let owner = owner(&pod)?;
                self.pods.get_mut(&owner)?.remove(&pod.name_any());
                Some(owner)
            }
        }
    }

    async fn reconcile(&self, workload: &Workload) -> Result<(), kube::Error> {
        if workload.meta.deletion_timestamp.is_some() || is_finished(workload) {
            return Ok(());
        }
        let none = BTreeMap::new();
        let pods = self.pods.get(&uid(workload)).unwrap_or(&none);
        let wanted = wanted_pods(workload);
        let namespace = workload.meta.namespace.clone().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        for pod in pods.values() {
            let surplus = !wanted.contains_key(&pod.name_any());
            if surplus && pod.metadata.deletion_timestamp.is_none() {
                ignore_missing(api.delete(&pod.name_any(), &DeleteParams::default()).await)?;
            }
        }
        for (name, pod) in &wanted {
            if !pods.contains_key(name) {
                ignore_existing(api.create(&Default::default(), pod).await)?;
            }
        }
        let ready: Vec<&Pod> =
            pods.values().filter(|pod| wanted.contains_key(&pod.name_any())).collect();
        self.write_status(workload, &ready).await
    }

    async fn write_status(&self, workload: &Workload, pods: &[&Pod]) -> Result<(), kube::Error> {
        let Some(status) = status(workload, pods) else { return Ok(()) };
        let mut merged = workload.status.clone();
        merge(&mut merged, &status);
        if bare(&merged) == bare(&workload.status) {
            return Ok(());
        }
        let kind = workload.sort.kind();
        let resource = kube::api::ApiResource {
            group: workload.sort.api_version().split('/').next().unwrap_or_default().to_owned(),
            version: "v1".to_owned(),
            api_version: workload.sort.api_version().to_owned(),
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
        };
        let namespace = workload.meta.namespace.clone().unwrap_or_default();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &namespace, &resource);
        let patch = Patch::Merge(json!({ "status": status }));
        let name = workload.meta.name.clone().unwrap_or_default();
        ignore_missing(api.patch_status(&name, &PatchParams::default(), &patch).await)
    }
}

fn uid(workload: &Workload) -> Uid {
    workload.meta.uid.clone().unwrap_or_default()
}

fn owner(pod: &Pod) -> Option<Uid> {
    let owners = pod.metadata.owner_references.as_ref()?;
    Some(owners.iter().find(|owner| owner.controller == Some(true))?.uid.clone())
}

fn is_finished(workload: &Workload) -> bool {
    workload.sort == Sort::Job
        && ["succeeded", "failed"].iter().any(|field| workload.status[field].as_i64() > Some(0))
}

/// The Pods there should be, by name.
fn wanted_pods(workload: &Workload) -> BTreeMap<String, Pod> {
    let text = json!(workload.template).to_string();
    let digest = Sha256::digest(text.as_bytes());
    let hash: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let base = workload.meta.name.clone().unwrap_or_default();
    let count = usize::try_from(workload.replicas).unwrap_or(0);
    let name = |index| match workload.sort {
        Sort::Deployment => format!("{base}-{hash}-{index}"),
        Sort::StatefulSet => format!("{base}-{index}"),
        Sort::DaemonSet | Sort::Job => format!("{base}-{hash}"),
    };
    (0..count).map(name).map(|name| (name.clone(), pod(workload, &name, &hash))).collect()
}

fn pod(workload: &Workload, name: &str, hash: &str) -> Pod {
    let mut meta = workload.template.metadata.clone().unwrap_or_default();
    meta.name = Some(name.to_owned());
    meta.namespace = workload.meta.namespace.clone();
    meta.labels.get_or_insert_default().insert("pod-template-hash".to_owned(), hash.to_owned());
    meta.owner_references = serde_json::from_value(json!([{
        "apiVersion": workload.sort.api_version(),
        "kind": workload.sort.kind(),
        "name": workload.meta.name,
        "uid": workload.meta.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    }]))
    .ok();
    let mut spec = workload.template.spec.clone().unwrap_or_default();
    spec.node_name = Some(super::NODE.to_owned());
    Pod { metadata: meta, spec: Some(spec), status: None }
}

/// What the status should hold; `None` when it is too early to say.
fn status(workload: &Workload, pods: &[&Pod]) -> Option<Value> {
    let generation = workload.meta.generation;
    let (total, wanted) = (pods.len(), workload.replicas);
    let ready = pods.iter().filter(|pod| has_condition(pod, "Ready")).count();
    Some(match workload.sort {
        Sort::Deployment => json!({
            "observedGeneration": generation,
            "replicas": total, "updatedReplicas": total,
            "readyReplicas": ready, "availableReplicas": ready,
            "unavailableReplicas": usize::try_from(wanted).unwrap_or(0).saturating_sub(ready),
            "conditions": deployment_conditions(workload, ready),
        }),
        Sort::StatefulSet => json!({
            "observedGeneration": generation,
            "replicas": total, "currentReplicas": total, "updatedReplicas": total,
            "readyReplicas": ready, "availableReplicas": ready,
            "currentRevision": "hostlet", "updateRevision": "hostlet",
        }),
        Sort::DaemonSet => json!({
            "observedGeneration": generation,
            "desiredNumberScheduled": 1, "currentNumberScheduled": total,
            "updatedNumberScheduled": total, "numberReady": ready, "numberAvailable": ready,
            "numberMisscheduled": 0,
        }),
        Sort::Job => return job_status(workload, pods.first()?),
    })
}

fn deployment_conditions(workload: &Workload, ready: usize) -> Value {
    let done = ready >= usize::try_from(workload.replicas).unwrap_or(0);
    let condition = |kind: &str, status: bool, reason: &str| {
        let status = if status { "True" } else { "False" };
        let old = workload.status["conditions"].as_array().and_then(|all| {
            all.iter().find(|old| old["type"] == kind && old["status"] == status).cloned()
        });
        let since = old.map_or_else(|| json!(now()), |old| old["lastTransitionTime"].clone());
        json!({
            "type": kind, "status": status, "reason": reason, "message": "",
            "lastTransitionTime": since, "lastUpdateTime": since,
        })
    };
    let progress = if done { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
    let available = if done { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" };
    json!([condition("Available", done, available), condition("Progressing", true, progress)])
}

fn job_status(workload: &Workload, pod: &Pod) -> Option<Value> {
    let phase = pod.status.as_ref()?.phase.as_deref()?;
    let start = workload.status["startTime"].as_str().map_or_else(now, str::to_owned);
    let condition = |kind: &str, reason: &str| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": "",
            "lastTransitionTime": now(), "lastProbeTime": now(),
        })
    };
    let common = json!({ "startTime": start, "uncountedTerminatedPods": {}, "ready": 0 });
    let mut status = match phase {
        "Succeeded" => json!({
            "active": 0, "succeeded": 1, "completionTime": now(),
            "conditions": [
                condition("SuccessCriteriaMet", "CompletionsReached"),
                condition("Complete", "CompletionsReached"),
            ],
        }),
        "Failed" => json!({
            "active": 0, "failed": 1,
            "conditions": [
                condition("FailureTarget", "BackoffLimitExceeded"),
                condition("Failed", "BackoffLimitExceeded"),
            ],
        }),
        _ => json!({ "active": 1, "terminating": 0 }),
    };
    merge(&mut status, &common);
    Some(status)
}

fn has_condition(pod: &Pod, kind: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|one| one.type_ == kind && one.status == "True")
}

/// A value without what the API server leaves out when it stores it: null, zero and empty text.
fn bare(value: &Value) -> Value {
    let is_nothing = |value: &Value| value.is_null() || *value == 0 || *value == "";
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().map(|(key, value)| (key.clone(), bare(value)));
            Value::Object(kept.filter(|(_, value)| !is_nothing(value)).collect())
        }
        Value::Array(items) => items.iter().map(bare).collect(),
        other => other.clone(),
    }
}

/// JSON merge patch.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        merge(&mut target[key], value);
    }
}

fn now() -> String {
    super::kubelet::now()
}

fn ignore_missing<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

fn ignore_existing<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error),
    }
}
