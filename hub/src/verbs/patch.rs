//! `patch`: part of a new state.
//!
//! Owns the choice of the patch by content type; the merging itself is the crate `patch`.
//! Start at [`patch`].

use std::sync::Arc;

use patch::schema::{ListKind, Schema};
use serde_json::Value;

use crate::body::HubResponse;
use crate::error::ApiError;
use crate::media;
use crate::meta;
use crate::registry::Kind;
use crate::server::{Call, Server};
use crate::verbs::update::answer;
use crate::verbs::write::{self, How};

/// One patch, read.
enum Patch {
    Merge(Value),
    Json(Value),
    Apply(Value),
}

impl Patch {
    fn parse(call: &Call) -> Result<Patch, ApiError> {
        let media = call.content_type.split(';').next().unwrap_or_default().trim();
        match media {
            "application/merge-patch+json" => {
                let patch = media::parse_json(&call.body)?;
                if !patch.is_object() {
                    return Err(ApiError::bad_request("the merge patch is not an object"));
                }
                Ok(Patch::Merge(patch))
            }
            "application/json-patch+json" => Ok(Patch::Json(media::parse_json(&call.body)?)),
            "application/apply-patch+yaml" => {
                let mut object = media::parse_yaml(&call.body)?;
                write::check_identity(&mut object, &call.kind)?;
                Ok(Patch::Apply(object))
            }
            other => Err(ApiError::unsupported_media(
                other,
                "application/apply-patch+yaml, application/json-patch+json, application/merge-patch+json",
            )),
        }
    }

    fn apply(&self, kind: &Kind, old: &Value) -> Result<Value, ApiError> {
        let mut new = old.clone();
        // The patch decides whether a resourceVersion is insisted on, not the object it changes.
        meta::metadata_mut(&mut new).remove("resourceVersion");
        match self {
            Patch::Merge(patch) => patch::json::merge(&mut new, patch),
            Patch::Apply(applied) => merge_applied(&mut new, applied, kind.merge_schema()),
            Patch::Json(operations) => {
                let result = patch::json::apply(&mut new, operations.clone());
                result.map_err(|e| json_patch_error(&e))?;
            }
        }
        Ok(new)
    }
}

/// Puts what is applied into the live object. Fields that a manager no longer applies stay: who
/// owns what is not tracked yet.
fn merge_applied(live: &mut Value, applied: &Value, schema: Option<Schema<'_>>) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) => {
            for (key, value) in applied {
                let field = schema.and_then(|s| s.field(key));
                merge_applied(live.entry(key.as_str()).or_insert(Value::Null), value, field);
            }
        }
        (Value::Array(live), Value::Array(applied))
            if schema.is_some_and(|s| s.list_kind() == ListKind::Map) =>
        {
            let keys = schema.map(Schema::list_keys).unwrap_or_default();
            let items = schema.and_then(Schema::items);
            for value in applied {
                let same = |other: &&mut Value| keys.iter().all(|k| other[k] == value[k]);
                match live.iter_mut().find(same) {
                    Some(found) => merge_applied(found, value, items),
                    None => live.push(value.clone()),
                }
            }
        }
        (Value::Array(live), Value::Array(applied))
            if schema.is_some_and(|s| s.list_kind() == ListKind::Set) =>
        {
            for value in applied {
                if !live.contains(value) {
                    live.push(value.clone());
                }
            }
        }
        (live, applied) => *live = applied.clone(),
    }
}

fn json_patch_error(error: &patch::json::Error) -> ApiError {
    match error {
        patch::json::Error::Malformed(_) => ApiError::bad_request(error.to_string()),
        patch::json::Error::TooLong { .. } => {
            ApiError::new(413, "RequestEntityTooLarge", error.to_string())
        }
        patch::json::Error::Refused(_) => {
            let message =
                format!("the server rejected our request due to an error in our request: {error}");
            ApiError::new(422, "Invalid", message)
        }
    }
}

/// Changes the object by the patch in the body and answers with the result.
pub(crate) async fn patch(server: &Arc<Server>, call: &Call) -> Result<HubResponse, ApiError> {
    let how = How::of(call)?;
    let patch = Patch::parse(call)?;
    let key = call.key(call.name());
    if let (Patch::Apply(object), None) = (&patch, server.store.latest(&key)) {
        let mut object = object.clone();
        meta::metadata_mut(&mut object).insert("name".into(), call.name().into());
        let namespace = call.path.namespace.as_deref();
        let done = write::create(server, &call.kind, namespace, object, &how).await?;
        return Ok(answer(server, call, 201, &done));
    }
    let change = |old: &Value| {
        let mut new = patch.apply(&call.kind, old)?;
        check_name(call, &new)?;
        write::check_identity(&mut new, &call.kind)?;
        Ok(new)
    };
    let done = write::modify(server, &call.kind, &key, &how, change).await?;
    Ok(answer(server, call, 200, &done))
}

fn check_name(call: &Call, new: &Value) -> Result<(), ApiError> {
    let (found, name) = (meta::text(new, "name"), call.name());
    if found == name {
        return Ok(());
    }
    let message =
        format!("the name of the object ({found}) does not match the name on the URL ({name})");
    Err(ApiError::bad_request(message))
}
