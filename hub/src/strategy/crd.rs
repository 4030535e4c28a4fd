//! The rules of CustomResourceDefinition: names, conditions, stored versions.
//!
//! Owns what the peer's CRD controllers write; here it is there at once. Start at [`fill`].

use serde_json::{Value, json};

use crate::meta;

/// Held by a CRD until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Fills the defaults of a CRD.
pub(crate) fn fill(crd: &mut Value) {
    let spec = meta::object_mut(&mut crd["spec"]);
    spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"}));
    let names = meta::object_mut(spec.entry("names").or_insert_with(|| json!({})));
    let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    names.entry("singular").or_insert_with(|| kind.to_lowercase().into());
    names.entry("listKind").or_insert_with(|| format!("{kind}List").into());
}

pub(crate) fn prepare_create(crd: &mut Value, now: &str) {
    let condition = |type_: &str, reason: &str, message: &str| {
        json!({"type": type_, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": now})
    };
    crd["status"] = json!({
        "acceptedNames": crd["spec"]["names"],
        "storedVersions": [storage_version(crd)],
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    });
    say_unknown_rules(crd, now);
}

/// The condition of a CRD some of whose rules are not enforced here.
const RULES: &str = "ValidationRulesNotEvaluated";

/// Says in the status which rules this server stores but does not enforce.
fn say_unknown_rules(crd: &mut Value, now: &str) {
    let unknown = crate::rules::unknown(&crd["spec"]["versions"]);
    let Some(conditions) = crd["status"]["conditions"].as_array_mut() else { return };
    let message = format!("this server does not evaluate: {}", unknown.join("; "));
    let same = conditions.iter().any(|c| c["type"] == RULES && c["message"] == message);
    if same && !unknown.is_empty() {
        return;
    }
    conditions.retain(|c| c["type"] != RULES);
    if !unknown.is_empty() {
        conditions.push(json!({"type": RULES, "status": "True", "reason": "NoCelEngine",
            "message": message, "lastTransitionTime": now}));
    }
}

pub(crate) fn prepare_update(old: &Value, new: &mut Value, now: &str) {
    if meta::is_deleting(old) {
        return;
    }
    let names = new["spec"]["names"].clone();
    let version = storage_version(new);
    let status = &mut new["status"];
    status["acceptedNames"] = names;
    if let Some(stored) = status["storedVersions"].as_array_mut()
        && !stored.contains(&version)
    {
        stored.push(version);
    }
    say_unknown_rules(new, now);
}

fn storage_version(crd: &Value) -> Value {
    let versions = crd["spec"]["versions"].as_array();
    let storage = versions.into_iter().flatten().find(|v| v["storage"] == true);
    storage.map(|v| v["name"].clone()).unwrap_or_default()
}
