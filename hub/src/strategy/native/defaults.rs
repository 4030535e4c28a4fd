//! Defaults of built-in kinds.
//!
//! Owns the values that the peer fills in (its `SetDefaults_*` functions have no table to record
//! from; each line here was read off a recorded answer). Start at [`fill`].

use serde_json::{Value, json};

use crate::meta;
use crate::registry::Kind;

/// Sets `path` (dotted) to `value` where it is absent; a missing parent is made.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut slot = object;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let map = meta::object_mut(slot);
        if parts.peek().is_none() {
            map.entry(part).or_insert(value);
            return;
        }
        slot = map.entry(part).or_insert_with(|| json!({}));
    }
}

/// Visits the elements of the list at `pointer`; makes nothing that is not there.
fn each(object: &mut Value, pointer: &str, f: impl FnMut(&mut Value)) {
    let list = object.pointer_mut(pointer).and_then(Value::as_array_mut);
    list.into_iter().flatten().for_each(f);
}

/// Whether there is an object at `pointer`.
fn has(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).is_some_and(Value::is_object)
}

/// Fills the defaults of one object.
#[expect(clippy::too_many_lines, reason = "one arm per kind")]
pub(crate) fn fill(kind: &Kind, object: &mut Value) {
    match &*kind.resource {
        "/namespaces" => {
            let name = meta::text(object, "name").to_owned();
            let labels = meta::metadata_mut(object).entry("labels").or_insert_with(|| json!({}));
            labels["kubernetes.io/metadata.name"] = name.into();
        }
        "/pods" => pod(object),
        "/podtemplates" => pod_spec(object, "/template/spec"),
        "apps/deployments" => deployment(object),
        "apps/statefulsets" => stateful_set(object),
        "apps/daemonsets" => daemon_set(object),
        "apps/replicasets" => {
            put(object, "spec.replicas", json!(1));
            pod_spec(object, "/spec/template/spec");
        }
        "batch/jobs" => job(object),
        "batch/cronjobs" => cron_job(object),
        "/services" => service(object),
        "/secrets" => {
            super::merge_string_data(object);
            put(object, "type", json!("Opaque"));
        }
        "/persistentvolumeclaims" => {
            put(object, "spec.volumeMode", json!("Filesystem"));
            quantities(object, &["/spec/resources/requests", "/spec/resources/limits"]);
        }
        "/limitranges" => each(object, "/spec/limits", limit),
        "/resourcequotas" => quantities(object, &["/spec/hard"]),
        "/endpoints" => each(object, "/subsets", |subset| {
            each(subset, "/ports", |port| put(port, "protocol", json!("TCP")));
        }),
        "discovery.k8s.io/endpointslices" => {
            each(object, "/endpoints", |endpoint| put(endpoint, "conditions", json!({})));
            each(object, "/ports", |port| {
                put(port, "name", json!(""));
                put(port, "protocol", json!("TCP"));
            });
        }
        "/persistentvolumes" => {
            put(object, "spec.persistentVolumeReclaimPolicy", json!("Retain"));
            put(object, "spec.volumeMode", json!("Filesystem"));
            quantities(object, &["/spec/capacity"]);
            if has(object, "/spec/hostPath") {
                put(object, "spec.hostPath.type", json!(""));
            }
        }
        "networking.k8s.io/networkpolicies" => network_policy(object),
        "storage.k8s.io/storageclasses" => {
            put(object, "reclaimPolicy", json!("Delete"));
            put(object, "volumeBindingMode", json!("Immediate"));
        }
        "autoscaling/horizontalpodautoscalers" => {
            put(object, "spec.minReplicas", json!(1));
            put(
                object,
                "spec.metrics",
                json!([{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 80}}}]),
            );
        }
        "rbac.authorization.k8s.io/rolebindings"
        | "rbac.authorization.k8s.io/clusterrolebindings" => {
            binding(object);
        }
        "admissionregistration.k8s.io/validatingwebhookconfigurations" => webhooks(object, false),
        "admissionregistration.k8s.io/mutatingwebhookconfigurations" => webhooks(object, true),
        "scheduling.k8s.io/priorityclasses" => {
            put(object, "preemptionPolicy", json!("PreemptLowerPriority"));
        }
        _ => {}
    }
}

fn deployment(object: &mut Value) {
    put(object, "spec.replicas", json!(1));
    put(object, "spec.revisionHistoryLimit", json!(10));
    put(object, "spec.progressDeadlineSeconds", json!(600));
    put(object, "spec.strategy.type", json!("RollingUpdate"));
    if object["spec"]["strategy"]["type"] == "RollingUpdate" {
        put(object, "spec.strategy.rollingUpdate.maxUnavailable", json!("25%"));
        put(object, "spec.strategy.rollingUpdate.maxSurge", json!("25%"));
    }
    pod_spec(object, "/spec/template/spec");
}

fn stateful_set(object: &mut Value) {
    put(object, "spec.podManagementPolicy", json!("OrderedReady"));
    put(object, "spec.replicas", json!(1));
    put(object, "spec.revisionHistoryLimit", json!(10));
    put(object, "spec.updateStrategy.type", json!("RollingUpdate"));
    if object["spec"]["updateStrategy"]["type"] == "RollingUpdate" {
        put(object, "spec.updateStrategy.rollingUpdate.partition", json!(0));
    }
    put(object, "spec.persistentVolumeClaimRetentionPolicy.whenDeleted", json!("Retain"));
    put(object, "spec.persistentVolumeClaimRetentionPolicy.whenScaled", json!("Retain"));
    each(object, "/spec/volumeClaimTemplates", |claim| {
        put(claim, "apiVersion", json!("v1"));
        put(claim, "kind", json!("PersistentVolumeClaim"));
        put(claim, "spec.volumeMode", json!("Filesystem"));
        put(claim, "status.phase", json!("Pending"));
    });
    pod_spec(object, "/spec/template/spec");
}

fn daemon_set(object: &mut Value) {
    const GENERATION: &str = "deprecated.daemonset.template.generation";
    let annotations = &mut object["metadata"]["annotations"];
    if annotations[GENERATION].is_null() {
        annotations[GENERATION] = "1".into();
    }
    put(object, "spec.revisionHistoryLimit", json!(10));
    put(object, "spec.updateStrategy.type", json!("RollingUpdate"));
    if object["spec"]["updateStrategy"]["type"] == "RollingUpdate" {
        put(object, "spec.updateStrategy.rollingUpdate.maxUnavailable", json!(1));
        put(object, "spec.updateStrategy.rollingUpdate.maxSurge", json!(0));
    }
    pod_spec(object, "/spec/template/spec");
}

fn job(object: &mut Value) {
    let Some(spec) = object.get_mut("spec") else { return };
    put(spec, "parallelism", json!(1));
    put(spec, "completions", json!(1));
    put(spec, "backoffLimit", json!(6));
    put(spec, "completionMode", json!("NonIndexed"));
    put(spec, "suspend", json!(false));
    put(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
    put(spec, "manualSelector", json!(false));
    pod_spec(spec, "/template/spec");
}

fn cron_job(object: &mut Value) {
    put(object, "spec.concurrencyPolicy", json!("Allow"));
    put(object, "spec.suspend", json!(false));
    put(object, "spec.successfulJobsHistoryLimit", json!(3));
    put(object, "spec.failedJobsHistoryLimit", json!(1));
    put(object, "spec.jobTemplate.metadata", json!({}));
    put(object, "spec.jobTemplate.spec.template.metadata", json!({}));
    pod_spec(object, "/spec/jobTemplate/spec/template/spec");
}

fn service(object: &mut Value) {
    put(object, "spec.type", json!("ClusterIP"));
    put(object, "spec.sessionAffinity", json!("None"));
    let kind = object["spec"]["type"].clone();
    if kind != "ExternalName" {
        put(object, "spec.internalTrafficPolicy", json!("Cluster"));
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        put(object, "spec.externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        put(object, "spec.allocateLoadBalancerNodePorts", json!(true));
    }
    if object["spec"]["sessionAffinity"] == "ClientIP" {
        put(object, "spec.sessionAffinityConfig.clientIP.timeoutSeconds", json!(10800));
    }
    each(object, "/spec/ports", |port| {
        put(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        put(port, "targetPort", number);
    });
}

fn network_policy(object: &mut Value) {
    let mut types = vec![json!("Ingress")];
    if object["spec"]["egress"].as_array().is_some_and(|e| !e.is_empty()) {
        types.push(json!("Egress"));
    }
    put(object, "spec.policyTypes", types.into());
    for direction in ["ingress", "egress"] {
        each(object, &format!("/spec/{direction}"), |rule| {
            each(rule, "/ports", |port| put(port, "protocol", json!("TCP")));
        });
    }
}

fn binding(object: &mut Value) {
    put(object, "roleRef.apiGroup", json!("rbac.authorization.k8s.io"));
    each(object, "/subjects", |subject| {
        if subject["kind"] != "ServiceAccount" {
            put(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
        }
    });
}

fn webhooks(object: &mut Value, mutating: bool) {
    each(object, "/webhooks", |hook| {
        put(hook, "failurePolicy", json!("Fail"));
        put(hook, "matchPolicy", json!("Equivalent"));
        put(hook, "namespaceSelector", json!({}));
        put(hook, "objectSelector", json!({}));
        put(hook, "timeoutSeconds", json!(10));
        if mutating {
            put(hook, "reinvocationPolicy", json!("Never"));
        }
        each(hook, "/rules", |rule| put(rule, "scope", json!("*")));
        if has(hook, "/clientConfig/service") {
            put(hook, "clientConfig.service.port", json!(443));
        }
    });
}

/// A pod gets more than a pod template: what admission and its own kind fill in.
fn pod(object: &mut Value) {
    pod_spec(object, "/spec");
    let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) else { return };
    put(spec, "enableServiceLinks", json!(true));
    for list in ["containers", "initContainers"] {
        each(spec, &format!("/{list}"), requests_from_limits);
    }
}

/// What admission adds to a new pod.
pub(super) fn admit_pod(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) else { return };
    put(spec, "priority", json!(0));
    put(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        put(spec, "serviceAccount", account);
    }
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        put(spec, "tolerations", json!([]));
        let Some(list) = spec["tolerations"].as_array_mut() else { continue };
        if !list.iter().any(|t| t["key"] == key || t["key"].is_null() && t["operator"] == "Exists")
        {
            list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300}));
        }
    }
}

/// What a container may use at most is what it asks for, unless it says otherwise.
fn requests_from_limits(container: &mut Value) {
    let limits = container["resources"]["limits"].as_object().cloned().unwrap_or_default();
    for (resource, amount) in limits {
        let requests = &mut container["resources"]["requests"];
        if requests[&resource].is_null() {
            requests[&resource] = amount;
        }
    }
}

fn limit(limit: &mut Value) {
    quantities(limit, &["/default", "/defaultRequest", "/max", "/min", "/maxLimitRequestRatio"]);
    if limit["type"] == "Container" {
        let defaults = limit["default"].as_object().cloned().unwrap_or_default();
        for (resource, amount) in defaults {
            let requests = &mut limit["defaultRequest"];
            if requests[&resource].is_null() {
                requests[&resource] = amount;
            }
        }
    }
}

/// Quantities are texts; a client may send a number.
fn quantities(object: &mut Value, pointers: &[&str]) {
    for pointer in pointers {
        let map = object.pointer_mut(pointer).and_then(Value::as_object_mut);
        for amount in map.into_iter().flat_map(|m| m.values_mut()).filter(|v| v.is_number()) {
            let milli = amount.as_f64().map(|n| n * 1000.0).filter(|m| m.fract() == 0.0);
            *amount = match milli {
                Some(m) if m % 1000.0 != 0.0 => format!("{m}m").into(),
                _ => amount.to_string().into(),
            };
        }
    }
}

fn pod_spec(object: &mut Value, pointer: &str) {
    let Some(spec) = object.pointer_mut(pointer).filter(|s| s.is_object()) else { return };
    put(spec, "dnsPolicy", json!("ClusterFirst"));
    put(spec, "restartPolicy", json!("Always"));
    put(spec, "schedulerName", json!("default-scheduler"));
    put(spec, "securityContext", json!({}));
    put(spec, "terminationGracePeriodSeconds", json!(30));
    if let Some(account) = spec["serviceAccountName"].as_str().map(str::to_owned) {
        put(spec, "serviceAccount", account.into());
    } else if let Some(account) = spec["serviceAccount"].as_str().map(str::to_owned) {
        put(spec, "serviceAccountName", account.into());
    }
    let host_network = spec["hostNetwork"] == true;
    for list in ["containers", "initContainers"] {
        each(spec, &format!("/{list}"), |c| container(c, host_network));
    }
    each(spec, "/volumes", volume);
}

fn container(c: &mut Value, host_network: bool) {
    put(c, "terminationMessagePath", json!("/dev/termination-log"));
    put(c, "terminationMessagePolicy", json!("File"));
    put(c, "resources", json!({}));
    quantities(c, &["/resources/limits", "/resources/requests"]);
    let image = c["image"].as_str().unwrap_or_default();
    let tag = image.rsplit('/').next().and_then(|n| n.split_once(':')).map(|(_, tag)| tag);
    let is_latest = !image.contains('@') && tag.is_none_or(|t| t == "latest");
    put(c, "imagePullPolicy", json!(if is_latest { "Always" } else { "IfNotPresent" }));
    each(c, "/ports", |port| {
        put(port, "protocol", json!("TCP"));
        if host_network {
            let number = port["containerPort"].clone();
            put(port, "hostPort", number);
        }
    });
    each(c, "/env", |env| {
        if has(env, "/valueFrom/fieldRef") {
            put(env, "valueFrom.fieldRef.apiVersion", json!("v1"));
        }
    });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = c.get_mut(probe).filter(|p| p.is_object()) else { continue };
        for (field, value) in [
            ("timeoutSeconds", 1),
            ("periodSeconds", 10),
            ("successThreshold", 1),
            ("failureThreshold", 3),
        ] {
            put(probe, field, json!(value));
        }
        if has(probe, "/httpGet") {
            put(probe, "httpGet.path", json!("/"));
            put(probe, "httpGet.scheme", json!("HTTP"));
        }
    }
}

fn volume(v: &mut Value) {
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if has(v, &format!("/{source}")) {
            put(v, &format!("{source}.defaultMode"), json!(420));
        }
    }
    if has(v, "/hostPath") {
        put(v, "hostPath.type", json!(""));
    }
    each(v, "/projected/sources", |s| {
        if has(s, "/serviceAccountToken") {
            put(s, "serviceAccountToken.expirationSeconds", json!(3600));
        }
        each(s, "/downwardAPI/items", |i| put(i, "fieldRef.apiVersion", json!("v1")));
    });
}
