//! Readiness rules per kind: what the numbers in the status of a built-in kind mean.
//!
//! Owns the rules and messages of the `kstatus` convention (sigs.k8s.io/cli-utils). Must not know how the result is
//! combined with an object's conditions: that is `health.rs`. Start at [`assess_kind`].

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::health::Condition;

/// How far an object got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// The controller has not finished with the newest spec.
    InProgress,
    /// It gave up.
    Failed,
    /// Spec and world agree.
    Current,
    /// Being deleted.
    Terminating,
    /// No rule could be applied.
    Unknown,
}

/// Status and the sentence that explains it.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) status: Status,
    pub(super) message: String,
}

impl Verdict {
    /// The word for this status in `nonReadyStatus[].summary.state`.
    pub(super) fn state(&self) -> &'static str {
        match self.status {
            Status::InProgress => "in-progress",
            Status::Failed => "failed",
            Status::Current => "active",
            Status::Terminating => "removing",
            Status::Unknown => "",
        }
    }
}

// A pod gets this long to find a node before it counts as failed.
const SCHEDULE_WINDOW: SignedDuration = SignedDuration::from_secs(15);

/// Judges an object by the rule of its kind, or by its `Ready` condition when there is none.
pub(super) fn assess_kind(object: &Value, conditions: &[Condition<'_>], now: Timestamp) -> Verdict {
    if let Some(verdict) = generic(object, conditions) {
        return verdict;
    }
    let group = object["apiVersion"]
        .as_str()
        .unwrap_or_default()
        .rsplit_once('/')
        .map_or("", |(group, _)| group);
    match (group, object["kind"].as_str().unwrap_or_default()) {
        ("", "Service") => service(object),
        ("", "Pod") => pod(object, conditions, now),
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "Secret" | "ConfigMap") | ("batch", "CronJob") => current("Resource is always ready"),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps" | "extensions", "DaemonSet") => daemon_set(object),
        ("apps" | "extensions", "Deployment") => deployment(object, conditions),
        ("apps" | "extensions", "ReplicaSet") => replica_set(object, conditions),
        ("policy", "PodDisruptionBudget") => current("AllowedDisruptions has been computed."),
        ("batch", "Job") => job(object, conditions),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(conditions),
        _ => by_ready_condition(conditions),
    }
}

fn current(message: impl Into<String>) -> Verdict {
    Verdict { status: Status::Current, message: message.into() }
}

fn in_progress(message: impl Into<String>) -> Verdict {
    Verdict { status: Status::InProgress, message: message.into() }
}

fn failed(message: impl Into<String>) -> Verdict {
    Verdict { status: Status::Failed, message: message.into() }
}

fn number(object: &Value, pointer: &str, default: i64) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn generic(object: &Value, conditions: &[Condition<'_>]) -> Option<Verdict> {
    if !text(object, "/metadata/deletionTimestamp").is_empty() {
        return Some(Verdict {
            status: Status::Terminating,
            message: "Resource scheduled for deletion".to_owned(),
        });
    }
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let observed = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if let (Some(generation), Some(observed)) = (generation, observed)
        && generation != observed
    {
        let kind = object["kind"].as_str().unwrap_or_default();
        return Some(in_progress(format!(
            "{kind} generation is {generation}, but latest observed generation is {observed}"
        )));
    }
    conditions.iter().find_map(|condition| match (condition.kind, condition.status) {
        ("Reconciling", "True") => Some(in_progress(condition.message)),
        ("Stalled", "True") => Some(failed(condition.message)),
        _ => None,
    })
}

fn by_ready_condition(conditions: &[Condition<'_>]) -> Verdict {
    match conditions.iter().find(|condition| condition.kind == "Ready") {
        Some(condition) if condition.status == "True" => current("Resource is Ready"),
        Some(condition) => in_progress(condition.message),
        None => current("Resource is current"),
    }
}

fn service(object: &Value) -> Verdict {
    if text(object, "/spec/type") == "LoadBalancer" && text(object, "/spec/clusterIP").is_empty() {
        return in_progress("ClusterIP not set. Service type: LoadBalancer");
    }
    current("Service is ready")
}

fn claim(object: &Value) -> Verdict {
    match text(object, "/status/phase") {
        "Bound" => current("PVC is Bound"),
        "" => in_progress("PVC is not Bound. phase: unknown"),
        phase => in_progress(format!("PVC is not Bound. phase: {phase}")),
    }
}

fn pod(object: &Value, conditions: &[Condition<'_>], now: Timestamp) -> Verdict {
    match text(object, "/status/phase") {
        "Succeeded" => current("Pod has completed successfully"),
        "Failed" => current("Pod has completed, but not successfully"),
        "Running" => running_pod(object, conditions),
        "Pending" => pending_pod(object, conditions, now),
        "" => in_progress("Pod phase not available"),
        phase => Verdict { status: Status::Unknown, message: format!("unknown phase {phase}") },
    }
}

fn running_pod(object: &Value, conditions: &[Condition<'_>]) -> Verdict {
    if conditions.iter().any(|c| c.kind == "Ready" && c.status == "True") {
        return current("Pod is Ready");
    }
    let containers = object.pointer("/status/containerStatuses").and_then(Value::as_array);
    let crashing: Vec<&str> = containers
        .into_iter()
        .flatten()
        .filter(|container| text(container, "/state/waiting/reason") == "CrashLoopBackOff")
        .map(|container| text(container, "/name"))
        .collect();
    if crashing.is_empty() {
        in_progress("Pod is running but is not Ready")
    } else {
        failed(format!("Containers in CrashLoop state: {}", crashing.join(",")))
    }
}

fn pending_pod(object: &Value, conditions: &[Condition<'_>], now: Timestamp) -> Verdict {
    let unschedulable = conditions
        .iter()
        .any(|c| c.kind == "PodScheduled" && c.status == "False" && c.reason == "Unschedulable");
    if !unschedulable {
        return in_progress("Pod is in the Pending phase");
    }
    let created = text(object, "/metadata/creationTimestamp").parse::<Timestamp>();
    match created {
        Ok(created) if now.duration_since(created) < SCHEDULE_WINDOW => {
            in_progress("Pod has not been scheduled")
        }
        _ => failed("Pod could not be scheduled"),
    }
}

fn stateful_set(object: &Value) -> Verdict {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return current("StatefulSet is using the ondelete update strategy");
    }
    let wanted = number(object, "/spec/replicas", 1);
    let replicas = number(object, "/status/replicas", 0);
    let ready = number(object, "/status/readyReplicas", 0);
    let updated = number(object, "/status/updatedReplicas", 0);
    let on_current = number(object, "/status/currentReplicas", 0);
    if wanted > replicas {
        return in_progress(format!("Replicas: {replicas}/{wanted}"));
    }
    if wanted > ready {
        return in_progress(format!("Ready: {ready}/{wanted}"));
    }
    if replicas > wanted {
        return in_progress(format!("Pending termination: {}", replicas - wanted));
    }
    if let Some(partition) =
        object.pointer("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_i64)
    {
        let goal = wanted - partition;
        return if updated < goal {
            in_progress(format!("updated: {updated}/{goal}"))
        } else {
            current(format!("Partition rollout complete. updated: {updated}"))
        };
    }
    if wanted > on_current {
        return in_progress(format!("current: {on_current}/{wanted}"));
    }
    if text(object, "/status/currentRevision") != text(object, "/status/updateRevision") {
        return in_progress("Waiting for updated revision to match current");
    }
    current(format!("All replicas scheduled as expected. Replicas: {replicas}"))
}

fn deployment(object: &Value, conditions: &[Condition<'_>]) -> Verdict {
    // Without a deadline the controller never writes the condition, so its absence proves nothing.
    let mut progressed =
        object.pointer("/spec/progressDeadlineSeconds").is_none_or(|v| v == i64::from(i32::MAX));
    let mut available = false;
    for condition in conditions {
        match (condition.kind, condition.status, condition.reason) {
            ("Progressing", _, "ProgressDeadlineExceeded") => {
                return failed("Progress deadline exceeded");
            }
            ("Progressing", "True", "NewReplicaSetAvailable") => progressed = true,
            ("Available", "True", _) => available = true,
            _ => {}
        }
    }
    let wanted = number(object, "/spec/replicas", 1);
    let replicas = number(object, "/status/replicas", 0);
    let updated = number(object, "/status/updatedReplicas", 0);
    let ready = number(object, "/status/readyReplicas", 0);
    let usable = number(object, "/status/availableReplicas", 0);
    if wanted > replicas {
        in_progress(format!("Replicas: {replicas}/{wanted}"))
    } else if wanted > updated {
        in_progress(format!("Updated: {updated}/{wanted}"))
    } else if replicas > wanted {
        in_progress(format!("Pending termination: {}", replicas - wanted))
    } else if updated > usable {
        in_progress(format!("Available: {usable}/{updated}"))
    } else if wanted > ready {
        in_progress(format!("Ready: {ready}/{wanted}"))
    } else if !progressed {
        in_progress("ReplicaSet not Available")
    } else if !available {
        in_progress("Deployment not Available")
    } else {
        current(format!("Deployment is available. Replicas: {replicas}"))
    }
}

fn replica_set(object: &Value, conditions: &[Condition<'_>]) -> Verdict {
    if conditions.iter().any(|c| c.kind == "ReplicaFailure" && c.status == "True") {
        return in_progress("Replica Failure condition. Check Pods");
    }
    let wanted = number(object, "/spec/replicas", 1);
    let replicas = number(object, "/status/replicas", 0);
    for (pointer, word) in [
        ("/status/fullyLabeledReplicas", "Labelled"),
        ("/status/availableReplicas", "Available"),
        ("/status/readyReplicas", "Ready"),
    ] {
        let count = number(object, pointer, 0);
        if wanted > count {
            return in_progress(format!("{word}: {count}/{wanted}"));
        }
    }
    if replicas > wanted {
        return in_progress(format!("Pending termination: {}", replicas - wanted));
    }
    current(format!("ReplicaSet is available. Replicas: {replicas}"))
}

fn daemon_set(object: &Value) -> Verdict {
    if object.pointer("/metadata/generation").is_none() {
        return in_progress("DaemonSet metadata.generation not found");
    }
    if object.pointer("/status/observedGeneration").is_none() {
        return in_progress("DaemonSet status.observedGeneration not found");
    }
    let Some(wanted) = object.pointer("/status/desiredNumberScheduled").and_then(Value::as_i64)
    else {
        return in_progress("Missing .status.desiredNumberScheduled");
    };
    for (pointer, word) in [
        ("/status/currentNumberScheduled", "Current"),
        ("/status/updatedNumberScheduled", "Updated"),
        ("/status/numberAvailable", "Available"),
        ("/status/numberReady", "Ready"),
    ] {
        let count = number(object, pointer, 0);
        if wanted > count {
            return in_progress(format!("{word}: {count}/{wanted}"));
        }
    }
    current(format!("All replicas scheduled as expected. Replicas: {wanted}"))
}

fn job(object: &Value, conditions: &[Condition<'_>]) -> Verdict {
    let parallel = number(object, "/spec/parallelism", 1);
    let wanted = number(object, "/spec/completions", parallel);
    let succeeded = number(object, "/status/succeeded", 0);
    let failures = number(object, "/status/failed", 0);
    for condition in conditions.iter().filter(|condition| condition.status == "True") {
        match condition.kind {
            "Complete" => {
                return current(format!("Job Completed. succeeded: {succeeded}/{wanted}"));
            }
            "Failed" => return failed(format!("Job Failed. failed: {failures}/{wanted}")),
            "Suspended" => return current("Job is suspended"),
            _ => {}
        }
    }
    if text(object, "/status/startTime").is_empty() {
        return in_progress("Job not started");
    }
    let active = number(object, "/status/active", 0);
    current(format!("Job in progress. success:{succeeded}, active: {active}, failed: {failures}"))
}

fn definition(conditions: &[Condition<'_>]) -> Verdict {
    for condition in conditions {
        match (condition.kind, condition.status) {
            ("NamesAccepted", "False") => return failed(condition.message),
            ("Established", "False") if condition.reason != "Installing" => {
                return failed(condition.message);
            }
            ("Established", "True") => return current("CRD is established"),
            _ => {}
        }
    }
    in_progress("Install in progress")
}
