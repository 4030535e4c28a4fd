//! `/scale`: the replica count of an object, whatever its kind.
//!
//! Owns the conversion between an object and `autoscaling/v1` `Scale`. Start at [`change`].

use std::sync::Arc;

use serde_json::{Value, json};

use crate::body::{self, HubResponse};
use crate::error::{ApiError, Cause};
use crate::managed_fields::Writer;
use crate::media;
use crate::meta;
use crate::registry::{Kind, ScalePaths};
use crate::server::{Call, Server};
use crate::verbs::write::{self, How};

fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    path.split('.').filter(|p| !p.is_empty()).try_fold(object, |v, p| v.get(p)).unwrap_or(&NULL)
}

fn paths(kind: &Kind) -> ScalePaths {
    kind.scale.clone().unwrap_or_else(|| ScalePaths {
        spec: ".spec.replicas".into(),
        status: ".status.replicas".into(),
        selector: None,
    })
}

fn scale_of(kind: &Kind, object: &Value) -> Value {
    let paths = paths(kind);
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    let mut spec = json!({});
    if let Some(n) = at(object, &paths.spec).as_i64().filter(|n| *n != 0) {
        spec["replicas"] = n.into();
    }
    let mut status = json!({"replicas": at(object, &paths.status).as_i64().unwrap_or(0)});
    let selector = match &paths.selector {
        Some(path) => at(object, path).as_str().map(str::to_owned),
        None => Some(selector_text(&object["spec"]["selector"])),
    };
    if let Some(selector) = selector.filter(|s| !s.is_empty()) {
        status["selector"] = selector.into();
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": spec, "status": status})
}

/// A label selector in its text form.
fn selector_text(selector: &Value) -> String {
    let exact = selector["matchLabels"].as_object().or_else(|| selector.as_object());
    let pairs =
        exact.into_iter().flatten().filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?)));
    pairs.collect::<Vec<_>>().join(",")
}

/// Answers with the object's scale.
pub(crate) fn get(server: &Server, call: &Call) -> Result<HubResponse, ApiError> {
    let entry = server.store.get(&call.key(call.name()));
    let entry = entry.ok_or_else(|| ApiError::not_found(&call.about()))?;
    Ok(body::json(200, &scale_of(&call.kind, &entry.value())))
}

/// Who scales owns the count, but only when someone owned it before; the entry has no time
/// (kube-apiserver 1.36, scripts `apply` and `patches`).
fn note_scaler(mut new: Value, old: &Value, how: &How) -> Value {
    let owned = old["metadata"]["managedFields"].as_array().into_iter().flatten();
    if !owned.into_iter().any(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null()) {
        new["metadata"]["managedFields"] = old["metadata"]["managedFields"].clone();
        return new;
    }
    let Some(entries) = new["metadata"]["managedFields"].as_array_mut() else { return new };
    let is_own =
        |entry: &Value| entry["subresource"] == "scale" && entry["manager"] == how.manager.as_str();
    if let Some(i) = entries.iter().position(is_own) {
        let mut own = entries.remove(i);
        if let Some(map) = own.as_object_mut() {
            map.remove("time");
        }
        let first_update = entries.iter().position(|e| e["operation"] == "Update");
        entries.insert(first_update.unwrap_or(entries.len()), own);
    }
    new
}

/// Changes the replica count by a `Scale` or a merge patch of one.
pub(crate) async fn change(server: &Arc<Server>, call: &Call) -> Result<HubResponse, ApiError> {
    let how = How { part: crate::strategy::Part::Main, brings_owners: true, ..How::of(call)? };

    let is_json_patch = call.content_type.starts_with("application/json-patch");
    let body = if call.content_type.contains("patch") {
        media::parse_yaml(&call.body)?
    } else {
        media::decode(&call.content_type, &call.body)?
    };
    let spec_path = paths(&call.kind).spec;
    let change = |old: &Value| {
        let mut scale = scale_of(&call.kind, old);
        if is_json_patch {
            patch::json::apply(&mut scale, body.clone())
                .map_err(|e| ApiError::bad_request(e.to_string()))?;
        } else {
            meta::metadata_mut(&mut scale).remove("resourceVersion");
            patch::json::merge(&mut scale, &body);
        }
        let mut new = old.clone();
        let revision = scale["metadata"]["resourceVersion"].take();
        new["metadata"]["resourceVersion"] = revision;
        let mut slot = &mut new;
        for part in spec_path.split('.').filter(|p| !p.is_empty()) {
            slot = &mut slot[part];
        }
        let count = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        if count < 0 {
            let why = format!("Invalid value: {count}: must be greater than or equal to 0");
            let cause = Cause::invalid("spec.replicas", why);
            return Err(ApiError::invalid("autoscaling", "Scale", call.name(), vec![cause]));
        }
        *slot = count.into();
        let now = server.world.stamp();
        Ok(note_scaler(Writer::new(&call.kind, &how, &now).note(Some(old), new), old, &how))
    };
    let done = write::modify(server, &call.kind, &call.key(call.name()), &how, change).await?;
    Ok(body::json(200, &scale_of(&call.kind, &done.object)))
}
