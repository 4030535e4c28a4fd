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
    super::values::check(kind, object, causes);
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
                causes.extend(missing.map(|f| {
                    // The one required field whose message says more.
                    let detail = if f == "pathType" { "pathType must be specified" } else { "" };
                    Cause::required(format!("{path}.{f}"), detail)
                }));
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
#[expect(clippy::too_many_lines, reason = "one arm per kind")]
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
        "/services"
            if !was["clusterIP"].is_null()
                && is["type"] != "ExternalName"
                && was["clusterIP"] != is["clusterIP"] =>
        {
            let why = format!("Invalid value: [{}]: may not change once set", is["clusterIP"]);
            causes.push(Cause::invalid("spec.clusterIPs[0]", why));
        }
        "/pods" => {
            const MAY_CHANGE: [&str; 5] = [
                "containers",
                "initContainers",
                "activeDeadlineSeconds",
                "tolerations",
                "terminationGracePeriodSeconds",
            ];
            if differs_but_for(was, is, &MAY_CHANGE) && is["nodeName"] == was["nodeName"] {
                let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
                causes.push(Cause::forbidden("spec", why));
            }
        }
        "/persistentvolumeclaims" => {
            let may_change = ["resources", "volumeAttributesClassName", "volumeName"];
            if differs_but_for(was, is, &may_change) {
                let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
                causes.push(Cause::forbidden("spec", why));
            }
        }
        "/secrets" if old["immutable"] != true => same("type", &old["type"], &new["type"]),
        "rbac.authorization.k8s.io/rolebindings"
        | "rbac.authorization.k8s.io/clusterrolebindings"
            if old["roleRef"] != new["roleRef"] =>
        {
            let role = &new["roleRef"];
            let go = serde_json::json!({"APIGroup": role["apiGroup"], "Kind": role["kind"],
                "Name": role["name"]});
            let message = format!("Invalid value: {go}: cannot change roleRef");
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
            if differs_but_for(was, is, &allowed) {
                causes.push(Cause {
                    field: "spec".into(),
                    reason: "FieldValueForbidden",
                    message: "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden".into(),
                });
            }
        }
        "/configmaps" | "/secrets" if old["immutable"] == true => {
            let mut fixed = |field: &str| {
                let why = "field is immutable when `immutable` is set";
                causes.push(Cause::forbidden(field, why));
            };
            if new["immutable"] != true {
                fixed("immutable");
            }
            for field in ["data", "binaryData"].into_iter().filter(|f| old[f] != new[f]) {
                fixed(field);
            }
        }
        _ => {}
    }
}

/// Whether any field but those differs.
fn differs_but_for(was: &Value, is: &Value, fields: &[&str]) -> bool {
    let fixed = |spec: &Value| {
        let rows = spec.as_object().into_iter().flatten();
        let fixed = rows.filter(|(k, _)| !fields.contains(&k.as_str()));
        fixed.map(|(k, v)| (k.clone(), v.clone())).collect::<serde_json::Map<_, _>>()
    };
    fixed(was) != fixed(is)
}
