//! Checks of built-in kinds that clients and tests rely on.
//!
//! Owns required fields (from the recorded types) and immutable fields. Start at [`check`].

use patch::schema::{Schema, Shape};
use serde_json::Value;

use crate::error::Cause;
use crate::registry::Kind;

/// Reports required fields that are missing below `spec`.
pub(crate) fn check(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    if let Some(schema) = kind.merge_schema().and_then(|s| s.field("spec"))
        && object["spec"].is_object()
    {
        required(&object["spec"], schema, "spec", causes, 0);
    }
}

fn required(value: &Value, schema: Schema<'_>, path: &str, causes: &mut Vec<Cause>, depth: usize) {
    const MAX_DEPTH: usize = 50;
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(map) => {
            if schema.shape() == Shape::Struct {
                let missing = schema.required().iter().filter(|f| !map.contains_key(f.as_str()));
                causes.extend(missing.map(|f| Cause::required(format!("{path}.{f}"), "")));
            }
            for (key, child) in map {
                if let Some(field) = schema.field(key) {
                    required(child, field, &format!("{path}.{key}"), causes, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            let Some(element) = schema.items() else { return };
            for (i, item) in items.iter().enumerate() {
                required(item, element, &format!("{path}[{i}]"), causes, depth + 1);
            }
        }
        _ => {}
    }
}

/// Reports changes of fields that may not change.
pub(crate) fn check_update(kind: &Kind, old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let mut same = |path: &str, a: &Value, b: &Value| {
        if a != b {
            causes.push(Cause::invalid(path, format!("Invalid value: {b}: field is immutable")));
        }
    };
    let (was, is) = (&old["spec"], &new["spec"]);
    match &*kind.resource {
        "apps/deployments" | "apps/daemonsets" | "apps/replicasets" => {
            same("spec.selector", &was["selector"], &is["selector"]);
        }
        "batch/jobs" => {
            same("spec.template", &was["template"], &is["template"]);
            same("spec.selector", &was["selector"], &is["selector"]);
        }
        "/services" if !was["clusterIP"].is_null() && is["type"] != "ExternalName" => {
            same("spec.clusterIPs[0]", &was["clusterIP"], &is["clusterIP"]);
        }
        "/secrets" => same("type", &old["type"], &new["type"]),
        "rbac.authorization.k8s.io/rolebindings"
        | "rbac.authorization.k8s.io/clusterrolebindings"
            if old["roleRef"] != new["roleRef"] =>
        {
            let message = format!("Invalid value: {}: cannot change roleRef", new["roleRef"]);
            causes.push(Cause::invalid("roleRef", message));
        }
        "apps/statefulsets" => {
            let allowed = [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ];
            let fixed = |spec: &Value| {
                let rows = spec.as_object().into_iter().flatten();
                rows.filter(|(k, _)| !allowed.contains(&k.as_str()))
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect::<std::collections::BTreeMap<_, _>>()
            };
            if fixed(was) != fixed(is) {
                causes.push(Cause {
                    field: "spec".into(),
                    reason: "FieldValueForbidden",
                    message: "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden".into(),
                });
            }
        }
        "/configmaps" if old["immutable"] == true => {
            same("data", &old["data"], &new["data"]);
        }
        _ => {}
    }
}
