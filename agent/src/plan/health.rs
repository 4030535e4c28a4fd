//! Judges whether one live object does what it was deployed for.
//!
//! Owns the words: states such as `in-progress`, messages such as `Replicas: 0/3`. They are the words of Rancher
//! Fleet 0.16, which asks first the conditions of an object, then rules per kind; scripts and dashboards read them.
//! Must not know the cluster, a client or a clock. Start at [`assess_health`].

use jiff::Timestamp;
use serde_json::Value;

use super::hooks::{Progress, hook_progress};
use super::kinds;

/// What an object says about itself: the summary that stands in `status.nonReadyStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Lower-case word: `active`, `in-progress`, `pending`, `failed`, `removing`, …
    pub state: String,
    /// Something failed and does not get better by waiting.
    pub error: bool,
    /// On its way: not ready yet, not failed.
    pub transitioning: bool,
    /// What the object says, without repetitions.
    pub messages: Vec<String>,
}

impl Health {
    /// Tells whether a bundle deployment may count this object as ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.error && !self.transitioning
    }

    /// Prints the health the way the `Ready` condition shows it (Fleet 0.16, `observed/errors-notready-pod.yaml`).
    #[must_use]
    pub fn to_text(&self) -> String {
        let tag = match (self.transitioning, self.error) {
            (false, false) => return self.state.clone(),
            (true, false) => "[progressing]",
            (false, true) => "error]",
            (true, true) => "[progressing,error]",
        };
        if self.messages.is_empty() {
            return tag.to_owned();
        }
        format!("{tag} {}", self.messages.join(", "))
    }
}

/// Conditions where `Unknown` means "on its way" and `False` means "failed", with the state to show.
const UNKNOWN_IS_TRANSITION: &[(&str, &str)] = &[
    ("Active", "activating"),
    ("AddonDeploy", "provisioning"),
    ("AgentDeployed", "provisioning"),
    ("BackingNamespaceCreated", "configuring"),
    ("Built", "building"),
    ("CertsGenerated", "provisioning"),
    ("ConfigOK", "configuring"),
    ("Created", "creating"),
    ("CreatorMadeOwner", "configuring"),
    ("DefaultNamespaceAssigned", "configuring"),
    ("DefaultNetworkPolicyCreated", "configuring"),
    ("DefaultProjectCreated", "configuring"),
    ("DockerProvisioned", "provisioning"),
    ("Deployed", "deploying"),
    ("Drained", "draining"),
    ("Downloaded", "downloading"),
    ("etcd", "provisioning"),
    ("Inactive", "deactivating"),
    ("Initialized", "initializing"),
    ("Installed", "installing"),
    ("NodesCreated", "provisioning"),
    ("Pending", "pending"),
    ("PodScheduled", "scheduling"),
    ("Provisioned", "provisioning"),
    ("Reconciled", "reconciling"),
    ("Refreshed", "refreshed"),
    ("Registered", "registering"),
    ("Removed", "removing"),
    ("Saved", "saving"),
    ("Updated", "updating"),
    ("Updating", "updating"),
    ("Upgraded", "upgrading"),
    ("Waiting", "waiting"),
    ("InitialRolesPopulated", "activating"),
    ("ScalingActive", "pending"),
    ("AbleToScale", "pending"),
    ("RunCompleted", "running"),
    ("Processed", "processed"),
];

/// Conditions where `False` means "on its way" and `Unknown` means "failed". An empty state stands for the reason.
const FALSE_IS_TRANSITION: &[(&str, &str)] = &[
    ("Completed", "activating"),
    ("Ready", "unavailable"),
    ("Available", "updating"),
    ("BootstrapReady", ""),
    ("InfrastructureReady", ""),
    ("NodeHealthy", ""),
];

/// Conditions that are errors when they have this status, for kinds without rules of their own.
const ERRORS: &[(&str, &str)] = &[
    ("OutOfDisk", "True"),
    ("MemoryPressure", "True"),
    ("DiskPressure", "True"),
    ("NetworkUnavailable", "True"),
    ("Unschedulable", "True"),
    ("ReplicaFailure", "True"),
    ("Stalled", "True"),
    ("Failed", "True"),
];

/// Types of conditions and the status in which they count.
type ConditionRules = &'static [(&'static str, &'static str)];

/// The same for the kinds whose conditions mean something else.
const ERRORS_BY_KIND: &[(&str, &str, ConditionRules)] = &[
    ("helm.cattle.io/v1", "HelmChart", &[("Failed", "True")]),
    (
        "v1",
        "Node",
        &[("MemoryPressure", "True"), ("DiskPressure", "True"), ("NetworkUnavailable", "True")],
    ),
    (
        "apps/v1",
        "Deployment",
        &[("ReplicaFailure", "True"), ("Stalled", "True"), ("Progressing", "False")],
    ),
];

/// One entry of `status.conditions`.
#[derive(Clone, Copy)]
pub(super) struct Condition<'a> {
    pub(super) kind: &'a str,
    pub(super) status: &'a str,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

/// Judges one live object.
///
/// `now` decides only how long a pod may wait for a node. The order of the rules is that of Fleet 0.16: what an
/// object's own conditions say wins over the rules per kind, whose message is added all the same.
#[must_use]
pub fn assess_health(object: &Value, now: Timestamp) -> Health {
    let conditions = conditions(object);
    let mut health = Health::default();
    from_status_summary(object, &mut health);
    from_error_conditions(object, &conditions, &mut health);
    from_transition_conditions(&conditions, &mut health);
    from_spec_and_phase(object, &mut health);

    let verdict = kinds::assess_kind(object, &conditions, now);
    if health.state.is_empty() {
        health.state = verdict.state().to_owned();
        health.messages.push(verdict.message.clone());
        health.take_flags(&verdict);
    }
    from_load_balancer(object, &mut health);
    health.take_flags(&verdict);
    health.messages.push(verdict.message);

    if health.state.is_empty() {
        health.state = "active".to_owned();
    }
    health.state = health.state.to_lowercase();
    health.messages = without_repetitions(health.messages);
    health
}

/// What an operation that waits for objects asks of jobs (`helm.waitForJobs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// They are ready as soon as they run.
    #[default]
    JobsRun,
    /// They are ready when they are complete.
    JobsComplete,
}

/// Judges one live object for an operation that waits for it.
#[must_use]
pub fn assess_progress(object: &Value, patience: Patience, now: Timestamp) -> Health {
    let mut health = assess_health(object, now);
    let is_job = object["kind"] == "Job" && hook_progress(object) == Progress::Running;
    if patience == Patience::JobsComplete && is_job && health.is_ready() {
        health.transitioning = true;
    }
    health
}

/// Takes those entries out of `status.conditions` that `ignore.conditions` of the bundle names.
///
/// A condition goes when it has every field of one entry with that value.
pub fn drop_ignored_conditions<'a, I, F>(object: &mut Value, ignored: I)
where
    I: IntoIterator<Item = F> + Clone,
    F: IntoIterator<Item = (&'a str, &'a str)>,
{
    let Some(list) = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) else {
        return;
    };
    list.retain(|condition| {
        !ignored.clone().into_iter().any(|entry| {
            entry
                .into_iter()
                .all(|(key, value)| condition.get(key).and_then(Value::as_str) == Some(value))
        })
    });
}

impl Health {
    fn take_flags(&mut self, verdict: &kinds::Verdict) {
        match verdict.status {
            kinds::Status::InProgress | kinds::Status::Terminating => self.transitioning = true,
            kinds::Status::Failed => self.error = true,
            kinds::Status::Current | kinds::Status::Unknown => {}
        }
    }

    fn say(&mut self, state: &str, message: &str) {
        self.state = state.to_owned();
        self.messages.push(message.to_owned());
    }
}

fn conditions(object: &Value) -> Vec<Condition<'_>> {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|condition| Condition {
            kind: text_at(condition, "type"),
            status: text_at(condition, "status"),
            reason: text_at(condition, "reason"),
            message: text_at(condition, "message"),
        })
        .collect()
}

fn text_at<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Kinds of the Rancher family carry a summary of their own.
fn from_status_summary(object: &Value, health: &mut Health) {
    let filled = |name: &str| {
        object.pointer(name).and_then(Value::as_object).filter(|summary| !summary.is_empty())
    };
    let Some(summary) = filled("/status/display").or_else(|| filled("/status/summary")) else {
        return;
    };
    if let Some(state) = summary.get("state").and_then(Value::as_str) {
        health.state = state.to_owned();
    }
    if let Some(transitioning) = summary.get("transitioning").and_then(Value::as_bool) {
        health.transitioning = transitioning;
    }
    if let Some(error) = summary.get("error").and_then(Value::as_bool) {
        health.error = error;
    }
    if let Some(message) = summary.get("message").and_then(Value::as_str) {
        health.messages.push(message.to_owned());
    }
}

fn from_error_conditions(object: &Value, conditions: &[Condition<'_>], health: &mut Health) {
    let (version, kind) = (text_at(object, "apiVersion"), text_at(object, "kind"));
    let rules = ERRORS_BY_KIND
        .iter()
        .find(|(rule_version, rule_kind, _)| *rule_version == version && *rule_kind == kind)
        .map_or(ERRORS, |(_, _, rules)| *rules);
    for condition in conditions {
        if !rules.contains(&(condition.kind, condition.status)) {
            continue;
        }
        health.error = true;
        health.messages.push(condition.message.to_owned());
        if health.state.is_empty() || health.state == "active" {
            health.state = "error".to_owned();
        }
    }
}

fn from_transition_conditions(conditions: &[Condition<'_>], health: &mut Health) {
    for condition in conditions {
        let Some(state) = lookup(UNKNOWN_IS_TRANSITION, condition.kind) else { continue };
        if condition.status == "False" {
            health.error = true;
            health.say(state, condition.message);
        } else if condition.status == "Unknown" && health.state.is_empty() {
            health.transitioning = true;
            health.say(state, condition.message);
        }
    }
    if health.state.is_empty()
        && let Some(condition) =
            conditions.iter().find(|c| c.kind == "Reconciling" && c.status == "True")
    {
        health.transitioning = true;
        health.say("reconciling", condition.message);
    }
    // `Ready` speaks last: a more exact condition of the same object has the better message.
    let mut not_ready = None;
    for condition in conditions {
        if !health.state.is_empty() {
            break;
        }
        if condition.kind == "Ready" && condition.status == "False" {
            not_ready = Some(condition.message);
            continue;
        }
        let Some(state) = lookup(FALSE_IS_TRANSITION, condition.kind) else { continue };
        let state = if state.is_empty() { condition.reason } else { state };
        match condition.status {
            "False" => health.transitioning = true,
            "Unknown" => health.error = true,
            _ => continue,
        }
        health.say(state, condition.message);
    }
    if let (true, Some(message)) = (health.state.is_empty(), not_ready) {
        health.transitioning = true;
        health.say("unavailable", message);
    }
}

fn from_spec_and_phase(object: &Value, health: &mut Health) {
    if health.state.is_empty() {
        let active = object.pointer("/spec/active");
        if active.is_some_and(|value| value == true || value == "true") {
            health.state = "active".to_owned();
        } else if active.is_some_and(|value| value == false || value == "false") {
            health.state = "inactive".to_owned();
        }
    }
    match object.pointer("/status/phase").and_then(Value::as_str) {
        Some("Succeeded") => {
            health.state = "succeeded".to_owned();
            health.transitioning = false;
        }
        Some("Bound") => {
            health.state = "bound".to_owned();
            health.transitioning = false;
        }
        Some(phase) if !phase.is_empty() && health.state.is_empty() => {
            health.state = phase.to_owned()
        }
        _ => {}
    }
}

fn from_load_balancer(object: &Value, health: &mut Health) {
    let waits = (health.state.is_empty() || health.state == "active")
        && text_at(object, "kind") == "Service"
        && object.pointer("/spec/type").and_then(Value::as_str) == Some("LoadBalancer");
    let has_address = object
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    if waits && !has_address {
        health.transitioning = true;
        health.say("pending", "Load balancer is being provisioned");
    }
}

fn lookup(table: &[(&'static str, &'static str)], key: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == key).map(|(_, state)| *state)
}

fn without_repetitions(messages: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for message in messages {
        let message = message.trim();
        if !message.is_empty() && !kept.iter().any(|known| known == message) {
            kept.push(message.to_owned());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn assess(object: Value) -> Health {
        assess_health(&object, "2026-11-21T05:00:00Z".parse().expect("a time"))
    }

    // The words below were recorded from Rancher Fleet 0.16 (observed/hub-bundledeployment.yaml).
    #[test]
    fn load_balancer_without_address_is_pending() {
        let health = assess(json!({"apiVersion": "v1", "kind": "Service",
            "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.7"}, "status": {"loadBalancer": {}}}));
        assert_eq!(health.state, "pending");
        assert_eq!(
            health.to_text(),
            "[progressing] Service is ready, Load balancer is being provisioned"
        );
    }

    // observed/errors-notready-pod.yaml
    #[test]
    fn pending_pod_says_its_phase() {
        let health =
            assess(json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Pending"}}));
        assert_eq!(health.state, "pending");
        assert_eq!(health.to_text(), "[progressing] Pod is in the Pending phase");
    }

    // observed/trace-commit.md
    #[test]
    fn deployment_of_an_older_generation_is_in_progress() {
        let health = assess(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"generation": 4}, "spec": {"replicas": 1, "progressDeadlineSeconds": 600},
            "status": {"observedGeneration": 3, "replicas": 1, "conditions": [
                {"type": "Available", "status": "True"}, {"type": "Progressing", "status": "True"}]}}));
        assert_eq!(health.state, "in-progress");
        assert_eq!(
            health.to_text(),
            "[progressing] Deployment generation is 4, but latest observed generation is 3"
        );
    }

    // observed/kubectl-tables.txt
    #[test]
    fn stateful_set_without_pods_counts_replicas() {
        let health = assess(
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"replicas": 3}, "status": {}}),
        );
        assert_eq!(health.to_text(), "[progressing] Replicas: 0/3");
    }

    #[test]
    fn available_deployment_is_ready() {
        let health = assess(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"generation": 1}, "spec": {"replicas": 1, "progressDeadlineSeconds": 600},
            "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                "availableReplicas": 1, "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]}}));
        assert!(health.is_ready(), "{health:?}");
        assert_eq!(health.state, "active");
    }

    #[test]
    fn a_job_that_runs_is_ready_unless_its_end_is_waited_for() {
        let running = json!({"apiVersion": "batch/v1", "kind": "Job",
            "status": {"startTime": "2026-01-01T00:00:00Z", "active": 1}});
        let mut complete = running.clone();
        complete["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
        let now = "2026-01-01T00:00:01Z".parse().unwrap();
        for (job, patience, is_ready) in [
            (&running, Patience::JobsRun, true),
            (&running, Patience::JobsComplete, false),
            (&complete, Patience::JobsComplete, true),
        ] {
            let health = assess_progress(job, patience, now);
            assert_eq!(health.is_ready(), is_ready, "{patience:?}: {health:?}");
        }
    }

    #[test]
    fn job_that_failed_is_an_error() {
        let health = assess(json!({"apiVersion": "batch/v1", "kind": "Job",
            "status": {"failed": 2, "conditions": [{"type": "Failed", "status": "True", "message": "gave up"}]}}));
        assert!(health.error);
        assert_eq!(health.messages, ["gave up", "Job Failed. failed: 2/1"]);
    }

    #[test]
    fn custom_resource_that_says_not_ready_is_unavailable() {
        let health = assess(json!({"apiVersion": "example.com/v1", "kind": "Widget",
            "status": {"conditions": [{"type": "Ready", "status": "False", "message": "no gears"}]}}));
        assert_eq!(health.to_text(), "[progressing] no gears");
        assert_eq!(health.state, "unavailable");
    }

    #[test]
    fn object_without_status_is_ready() {
        assert!(assess(json!({"apiVersion": "example.com/v1", "kind": "Widget"})).is_ready());
        assert!(assess(json!({"apiVersion": "v1", "kind": "ConfigMap"})).is_ready());
    }

    #[test]
    fn ignored_condition_does_not_count() {
        let mut object = json!({"apiVersion": "example.com/v1", "kind": "Widget",
            "status": {"conditions": [{"type": "Active", "status": "False", "message": "off"}]}});
        drop_ignored_conditions(&mut object, [[("type", "Active"), ("status", "True")]]);
        assert!(!assess(object.clone()).is_ready());
        drop_ignored_conditions(&mut object, [[("type", "Active"), ("status", "False")]]);
        assert!(assess(object).is_ready());
    }
}
