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
    let metadata = meta::metadata_mut(crd);
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut().filter(|l| !l.iter().any(|f| f == CLEANUP)) {
        list.push(CLEANUP.into());
    }
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
}

pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
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
}

fn storage_version(crd: &Value) -> Value {
    let versions = crd["spec"]["versions"].as_array();
    let storage = versions.into_iter().flatten().find(|v| v["storage"] == true);
    storage.map(|v| v["name"].clone()).unwrap_or_default()
}
