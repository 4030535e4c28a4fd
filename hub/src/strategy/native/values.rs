//! Checks of the values of built-in kinds that people get wrong, in the words of the peer.
//!
//! Owns one function per kind; what a kind requires by its type is in `rules`. Pure. Start at
//! [`check`].

use serde_json::Value;

use crate::error::Cause;
use crate::meta;
use crate::registry::Kind;

/// Reports what is wrong in one object.
pub(super) fn check(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    match &*kind.resource {
        "/configmaps" => config_map(object, causes),
        "/services" => service(object, causes),
        "/pods" => containers(&object["spec"], "spec", causes),
        "apps/deployments" | "apps/statefulsets" | "apps/daemonsets" | "apps/replicasets" => {
            workload(object, causes);
        }
        "batch/jobs" => job(&object["spec"], "spec", causes),
        "batch/cronjobs" => {
            schedule(&object["spec"]["schedule"], causes);
            job(&object["spec"]["jobTemplate"]["spec"], "spec.jobTemplate.spec", causes);
        }
        "rbac.authorization.k8s.io/roles" => rules(object, true, causes),
        "rbac.authorization.k8s.io/clusterroles" => rules(object, false, causes),
        "rbac.authorization.k8s.io/rolebindings" => binding(object, true, causes),
        "rbac.authorization.k8s.io/clusterrolebindings" => binding(object, false, causes),
        "apiextensions.k8s.io/customresourcedefinitions" => crd(object, causes),
        _ => {}
    }
}

fn items(value: &Value) -> impl Iterator<Item = (usize, &Value)> {
    value.as_array().into_iter().flatten().enumerate()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn config_map(object: &Value, causes: &mut Vec<Cause>) {
    const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    for field in ["data", "binaryData"] {
        for key in object[field].as_object().into_iter().flatten().map(|(key, _)| key) {
            let at = format!("{field}[{key}]");
            if key.is_empty() || !key.chars().all(inner) {
                causes.push(Cause::invalid(&at, format!("Invalid value: {key:?}: {KEY}")));
            }
            if field == "data" && !object["binaryData"][key].is_null() {
                let why = format!("Invalid value: {key:?}: duplicate of key present in binaryData");
                causes.push(Cause::invalid(at, why));
            }
        }
    }
}

fn service(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let may_be_portless = spec["type"] == "ExternalName" || spec["clusterIP"] == "None";
    if is_empty(&spec["ports"]) && !may_be_portless {
        causes.push(Cause::required("spec.ports", ""));
    }
    let are_many = spec["ports"].as_array().is_some_and(|p| p.len() > 1);
    for (i, port) in items(&spec["ports"]) {
        let at = format!("spec.ports[{i}]");
        if are_many && is_empty(&port["name"]) {
            causes.push(Cause::required(format!("{at}.name"), ""));
        }
        for field in ["port", "targetPort"] {
            let Some(number) = port[field].as_i64() else { continue };
            if !(1..=65535).contains(&number) {
                let why =
                    format!("Invalid value: {number}: must be between 1 and 65535, inclusive");
                causes.push(Cause::invalid(format!("{at}.{field}"), why));
            }
        }
    }
}

fn containers(spec: &Value, at: &str, causes: &mut Vec<Cause>) {
    for list in ["initContainers", "containers"] {
        for (i, container) in items(&spec[list]) {
            let at = format!("{at}.{list}[{i}]");
            for field in ["name", "image"] {
                // A missing name is found by its type already.
                if is_empty(&container[field]) && (field == "image" || container[field].is_string())
                {
                    causes.push(Cause::required(format!("{at}.{field}"), ""));
                }
            }
            mounts(spec, container, &at, causes);
        }
    }
}

fn mounts(spec: &Value, container: &Value, at: &str, causes: &mut Vec<Cause>) {
    for (i, mount) in items(&container["volumeMounts"]) {
        let name = mount["name"].as_str().unwrap_or_default();
        if !items(&spec["volumes"]).any(|(_, volume)| volume["name"] == name) {
            causes.push(Cause {
                field: format!("{at}.volumeMounts[{i}].name"),
                reason: "FieldValueNotFound",
                message: format!("Not found: {name:?}"),
            });
        }
    }
}

fn workload(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let labels = &spec["template"]["metadata"]["labels"];
    let wanted = spec["selector"]["matchLabels"].as_object();
    let expressions = is_empty(&spec["selector"]["matchExpressions"]);
    let differs = wanted.is_none_or(|w| w.iter().any(|(k, v)| labels[k] != *v));
    if differs && expressions {
        let why = format!("Invalid value: {labels}: `selector` does not match template `labels`");
        causes.push(Cause::invalid("spec.template.metadata.labels", why));
    }
    containers(&spec["template"]["spec"], "spec.template.spec", causes);
}

fn job(spec: &Value, at: &str, causes: &mut Vec<Cause>) {
    let pod = &spec["template"]["spec"];
    if pod["restartPolicy"] == "Always" {
        let why = "valid values: \"OnFailure\", \"Never\"";
        causes.push(Cause::required(format!("{at}.template.spec.restartPolicy"), why));
    }
    containers(pod, &format!("{at}.template.spec"), causes);
}

/// The number of fields; what stands in them is not looked at.
fn schedule(schedule: &Value, causes: &mut Vec<Cause>) {
    const FIELDS: usize = 5;
    let Some(text) = schedule.as_str().filter(|t| !t.starts_with(['@', 'T', 'C'])) else { return };
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS {
        let why = format!(
            "Invalid value: {text:?}: expected exactly {FIELDS} fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        );
        causes.push(Cause::invalid("spec.schedule", why));
    }
}

fn rules(role: &Value, is_namespaced: bool, causes: &mut Vec<Cause>) {
    for (i, rule) in items(&role["rules"]) {
        let at = |field: &str| format!("rules[{i}].{field}");
        if is_empty(&rule["verbs"]) {
            causes.push(Cause::required(at("verbs"), "verbs must contain at least one value"));
        }
        let paths = &rule["nonResourceURLs"];
        if !is_empty(paths) {
            if is_namespaced {
                let why = format!(
                    "Invalid value: {paths}: namespaced rules cannot apply to non-resource URLs"
                );
                causes.push(Cause::invalid(at("nonResourceURLs"), why));
            } else if !is_empty(&rule["apiGroups"]) || !is_empty(&rule["resources"]) {
                let why = format!(
                    "Invalid value: {paths}: rules cannot apply to both regular resources and non-resource URLs"
                );
                causes.push(Cause::invalid(at("nonResourceURLs"), why));
            }
            continue;
        }
        for (field, what) in [("apiGroups", "api group"), ("resources", "resource")] {
            if is_empty(&rule[field]) {
                let why = format!("resource rules must supply at least one {what}");
                causes.push(Cause::required(at(field), &why));
            }
        }
    }
}

fn binding(binding: &Value, is_namespaced: bool, causes: &mut Vec<Cause>) {
    let kinds: &[&str] = if is_namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = binding["roleRef"]["kind"].as_str().unwrap_or_default();
    if !kinds.contains(&kind) {
        causes.push(Cause::unsupported("roleRef.kind", &format!("{kind:?}"), kinds));
    }
    if is_empty(&binding["roleRef"]["name"]) {
        causes.push(Cause::required("roleRef.name", ""));
    }
    for (i, subject) in items(&binding["subjects"]) {
        let at = |field: &str| format!("subjects[{i}].{field}");
        if is_empty(&subject["name"]) {
            causes.push(Cause::required(at("name"), ""));
        }
        match subject["kind"].as_str().unwrap_or_default() {
            "ServiceAccount" if !is_namespaced && is_empty(&subject["namespace"]) => {
                causes.push(Cause::required(at("namespace"), ""));
            }
            "ServiceAccount" | "User" | "Group" => {}
            other => {
                let known = ["ServiceAccount", "User", "Group"];
                causes.push(Cause::unsupported(at("kind"), &format!("{other:?}"), &known));
            }
        }
    }
}

fn crd(crd: &Value, causes: &mut Vec<Cause>) {
    let spec = &crd["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = meta::text(crd, "name");
    if name != format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"])) {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", format!("Invalid value: {name:?}: {why}")));
    }
    let scope = text(&spec["scope"]);
    let scopes = ["Cluster", "Namespaced"];
    if scope.is_empty() {
        causes.push(Cause::required("spec.scope", ""));
    } else if !scopes.contains(&scope.as_str()) {
        causes.push(Cause::unsupported("spec.scope", &format!("{scope:?}"), &scopes));
    }
    let storage = items(&spec["versions"]).filter(|(_, v)| v["storage"] == true).count();
    if storage != 1 {
        let why = format!(
            "Invalid value: {}: must have exactly one version marked as storage version",
            spec["versions"]
        );
        causes.push(Cause::invalid("spec.versions", why));
    }
    // With one version the peer has moved its schema to where it was in v1beta1.
    let is_single = spec["versions"].as_array().is_some_and(|v| v.len() == 1);
    for (i, version) in items(&spec["versions"]) {
        let own = format!("spec.versions[{i}].schema.openAPIV3Schema");
        let schema = &version["schema"]["openAPIV3Schema"];
        if !schema.is_object() {
            causes.push(Cause::required(own, ""));
            continue;
        }
        let at = if is_single { "spec.validation.openAPIV3Schema".to_owned() } else { own };
        structural(schema, &at, 0, causes);
    }
}

/// A structural schema says the type of every field.
fn structural(schema: &Value, at: &str, depth: usize, causes: &mut Vec<Cause>) {
    const MAX_DEPTH: usize = 100;
    if depth > MAX_DEPTH {
        return;
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.properties[{name}]");
        let is_typed = field["x-kubernetes-int-or-string"] == true
            || field["x-kubernetes-preserve-unknown-fields"] == true;
        if is_empty(&field["type"]) && !is_typed {
            let why = "must not be empty for specified object fields";
            causes.push(Cause::required(format!("{at}.type"), why));
        }
        if let Some(default) = field.get("default") {
            let wrong = crate::schema::check_value(default, field).into_iter();
            causes.extend(wrong.map(|cause| Cause { field: format!("{at}.default"), ..cause }));
        }
        structural(field, &at, depth + 1, causes);
    }
    if schema["items"].is_object() {
        let at = format!("{at}.items");
        if is_empty(&schema["items"]["type"])
            && schema["items"]["x-kubernetes-int-or-string"] != true
            && schema["items"]["x-kubernetes-preserve-unknown-fields"] != true
        {
            let why = "must not be empty for specified array items";
            causes.push(Cause::required(format!("{at}.type"), why));
        }
        structural(&schema["items"], &at, depth + 1, causes);
    }
    if schema["additionalProperties"].is_object() {
        let at = format!("{at}.additionalProperties");
        structural(&schema["additionalProperties"], &at, depth + 1, causes);
    }
}
