//! Workloads without nodes: they become ready after a delay, or fail on demand.
//!
//! Owns what a kubelet and the workload controllers would write into the status of Deployments,
//! StatefulSets, DaemonSets, ReplicaSets, Jobs, Pods, claims and LoadBalancers. No Pod is made for
//! a Deployment. On by choice ([`crate::Options::simulation`]). Start at [`Server::simulate`].

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::gc::ignore_gone;
use crate::meta;
use crate::server::Server;
use crate::store::Key;
use crate::strategy::Part;
use crate::verbs::write::{self, How};

/// On a workload or its pod template: the workload fails with this message.
const FAIL: &str = "simulate.hub/fail";
/// On a workload: milliseconds until it is ready, instead of the hub's own delay.
const READY_AFTER: &str = "simulate.hub/ready-after-ms";

/// How workloads are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulation {
    /// Time between a change of a workload and its new status.
    pub ready_after: Duration,
}

fn is_simulated(resource: &str) -> bool {
    matches!(
        resource,
        "apps/deployments"
            | "apps/statefulsets"
            | "apps/daemonsets"
            | "apps/replicasets"
            | "batch/jobs"
            | "/pods"
            | "/persistentvolumeclaims"
            | "/services"
    )
}

impl Server {
    /// Plans the next status of a workload that was just written.
    pub(crate) fn simulate(self: &Arc<Self>, key: &Key, object: &Value) {
        let Some(simulation) = self.simulation.filter(|_| is_simulated(&key.resource)) else {
            return;
        };
        if meta::is_deleting(object) || next_status(&key.resource, object, "").is_none() {
            return;
        }
        let own = object["metadata"]["annotations"][READY_AFTER].as_str();
        let own = own.and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        let delay = own.unwrap_or(simulation.ready_after);
        let (server, key) = (Arc::downgrade(self), key.clone());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let Some(server) = server.upgrade() else { return };
            if let Err(error) = server.write_simulated(&key).await {
                tracing::warn!(%error, ?key, "a simulated status could not be written");
            }
        });
    }

    async fn write_simulated(self: &Arc<Self>, key: &Key) -> Result<(), ApiError> {
        let Some(kind) = self.kind_of(key) else { return Ok(()) };
        let how = How { part: Part::Status, ..How::internal("hub-simulation") };
        let now = self.world.stamp();
        let change = |old: &Value| {
            let mut new = old.clone();
            if let Some(status) = next_status(&key.resource, old, &now) {
                new["status"] = status;
            }
            meta::metadata_mut(&mut new).remove("resourceVersion");
            Ok(new)
        };
        ignore_gone(write::modify(self, &kind, key, &how, change).await.map(drop))
    }
}

/// The status that the workload should have; `None` when it has it.
fn next_status(resource: &str, object: &Value, now: &str) -> Option<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let generation = object["metadata"]["generation"].clone();
    let seen = !generation.is_null() && status["observedGeneration"] == generation;
    let failure = object["metadata"]["annotations"][FAIL]
        .as_str()
        .or(spec["template"]["metadata"]["annotations"][FAIL].as_str());
    let n = spec["replicas"].as_i64().unwrap_or(1);
    let ready = if failure.is_some() { 0 } else { n };
    Some(match resource {
        "apps/deployments" if !seen => deployment(&generation, (n, ready), failure, now),
        "apps/statefulsets" if !seen => json!({"observedGeneration": generation, "replicas": n,
            "currentReplicas": n, "updatedReplicas": n, "readyReplicas": ready,
            "availableReplicas": ready, "collisionCount": 0, "currentRevision": "simulated",
            "updateRevision": "simulated"}),
        "apps/replicasets" if !seen => json!({"observedGeneration": generation, "replicas": n,
            "fullyLabeledReplicas": n, "readyReplicas": ready, "availableReplicas": ready}),
        "apps/daemonsets" if !seen => {
            let one = i64::from(failure.is_none());
            json!({"observedGeneration": generation, "currentNumberScheduled": 1,
                "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberMisscheduled": 0,
                "numberReady": one, "numberAvailable": one})
        }
        "batch/jobs" if status["conditions"].is_null() && spec["suspend"] != true => {
            job(spec, failure, now)
        }
        "/pods" if status["phase"] == "Pending" => pod(object, failure, now),
        "/persistentvolumeclaims" if status["phase"] == "Pending" => {
            json!({"phase": "Bound", "accessModes": spec["accessModes"],
                "capacity": spec["resources"]["requests"]})
        }
        "/services"
            if spec["type"] == "LoadBalancer" && status["loadBalancer"]["ingress"].is_null() =>
        {
            json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}})
        }
        _ => return None,
    })
}

fn condition(type_: &str, holds: bool, reason: &str, message: &str, now: &str) -> Value {
    json!({"type": type_, "status": if holds { "True" } else { "False" }, "reason": reason,
        "message": message, "lastTransitionTime": now, "lastUpdateTime": now})
}

fn deployment(generation: &Value, counts: (i64, i64), failure: Option<&str>, now: &str) -> Value {
    let (wanted, ready) = counts;
    let conditions = match failure {
        None => json!([
            condition(
                "Available",
                true,
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.",
                now
            ),
            condition(
                "Progressing",
                true,
                "NewReplicaSetAvailable",
                "ReplicaSet has successfully progressed.",
                now
            ),
        ]),
        Some(message) => json!([
            condition(
                "Available",
                false,
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
                now
            ),
            condition("Progressing", false, "ProgressDeadlineExceeded", message, now),
        ]),
    };
    let mut status = json!({"observedGeneration": generation, "replicas": wanted,
        "updatedReplicas": wanted, "conditions": conditions});
    for (field, count) in [
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", wanted - ready),
    ] {
        if count != 0 {
            status[field] = count.into();
        }
    }
    status
}

fn job(spec: &Value, failure: Option<&str>, now: &str) -> Value {
    let completions = spec["completions"].as_i64().unwrap_or(1);
    let mut done = match failure {
        None => condition(
            "Complete",
            true,
            "CompletionsReached",
            "Reached expected number of succeeded pods",
            now,
        ),
        Some(message) => condition("Failed", true, "BackoffLimitExceeded", message, now),
    };
    if let Some(done) = done.as_object_mut() {
        done.remove("lastUpdateTime");
        done.insert("lastProbeTime".into(), now.into());
    }
    match failure {
        None => json!({"startTime": now, "completionTime": now, "succeeded": completions,
            "ready": 0, "terminating": 0, "conditions": [done]}),
        Some(_) => {
            json!({"startTime": now, "failed": 1, "ready": 0, "terminating": 0, "conditions": [done]})
        }
    }
}

fn pod(object: &Value, failure: Option<&str>, now: &str) -> Value {
    let containers = object["spec"]["containers"].as_array().into_iter().flatten();
    let is_ready = failure.is_none();
    let states: Vec<Value> = containers
        .map(|c| {
            let state = match failure {
                None => json!({"running": {"startedAt": now}}),
                Some(message) => json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}}),
            };
            json!({"name": c["name"], "image": c["image"], "imageID": "simulated", "ready": is_ready,
                "started": is_ready, "restartCount": 0, "state": state})
        })
        .collect();
    let conditions: Vec<Value> = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .iter()
        .map(|type_| {
            let holds = is_ready || matches!(*type_, "PodScheduled" | "Initialized");
            json!({"type": type_, "status": if holds { "True" } else { "False" }, "lastTransitionTime": now})
        })
        .collect();
    json!({"phase": if is_ready { "Running" } else { "Pending" }, "startTime": now,
        "qosClass": object["status"]["qosClass"], "conditions": conditions, "containerStatuses": states})
}
