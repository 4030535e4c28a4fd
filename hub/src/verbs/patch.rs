//! `patch`: part of a new state.
//!
//! Owns the choice of the patch by content type; the merging itself is the crate `patch`.
//! Start at [`patch`].

use std::sync::Arc;

use serde_json::Value;

use crate::body::HubResponse;
use crate::error::{ApiError, Cause};
use crate::managed_fields::Writer;
use crate::media;
use crate::meta;
use crate::server::{Call, Server};
use crate::verbs::update::answer;
use crate::verbs::write::{self, How};

/// One patch, read.
enum Patch {
    Merge(Value),
    Json(Value),
    Strategic(Value),
    Apply(Value),
}

impl Patch {
    fn parse(call: &Call) -> Result<Patch, ApiError> {
        let media = call.content_type.split(';').next().unwrap_or_default().trim();
        let object = |patch: Value| match patch {
            Value::Object(_) => Ok(patch),
            _ => Err(ApiError::bad_request("the patch is not an object")),
        };
        match media {
            "application/merge-patch+json" => {
                Ok(Patch::Merge(object(media::parse_json(&call.body)?)?))
            }
            "application/json-patch+json" => Ok(Patch::Json(media::parse_json(&call.body)?)),
            "application/strategic-merge-patch+json" if !call.kind.is_custom() => {
                Ok(Patch::Strategic(object(media::parse_json(&call.body)?)?))
            }
            "application/apply-patch+yaml" => {
                let mut config = object(media::parse_yaml(&call.body)?)?;
                write::check_identity(&mut config, &call.kind)?;
                check_name(call, &config)?;
                Ok(Patch::Apply(config))
            }
            other => {
                let strategic = match call.kind.is_custom() {
                    true => "",
                    false => ", application/strategic-merge-patch+json",
                };
                Err(ApiError::unsupported_media(
                    other,
                    &format!(
                        "application/json-patch+json, application/merge-patch+json{strategic}, application/apply-patch+yaml"
                    ),
                ))
            }
        }
    }

    /// The object after the patch. For an apply the result carries its owners.
    fn change(&self, call: &Call, writer: &Writer<'_>, old: &Value) -> Result<Value, ApiError> {
        let mut new = old.clone();
        // The patch decides whether a resourceVersion is insisted on, not the object it changes.
        meta::metadata_mut(&mut new).remove("resourceVersion");
        match self {
            Patch::Merge(patch) => patch::json::merge(&mut new, patch),
            Patch::Strategic(patch) => {
                let result = patch::strategic::apply(&new, patch, call.kind.merge_schema());
                new = result.map_err(|e| ApiError::bad_request(e.to_string()))?;
            }
            Patch::Apply(config) => {
                new = writer.apply(Some(old), config, call.query.flag("force"))?
            }
            Patch::Json(operations) => {
                let result = patch::json::apply(&mut new, operations.clone());
                result.map_err(|e| json_patch_error(&e))?;
            }
        }
        Ok(new)
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
    let mut how = How::of(call)?;
    let patch = Patch::parse(call)?;
    let key = call.key(call.name());
    let now = server.world.stamp();
    how.brings_owners = matches!(patch, Patch::Apply(_));
    if how.brings_owners && call.query.text("fieldManager").is_none() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", vec![cause]));
    }
    if let (Patch::Apply(config), None) = (&patch, server.store.latest(&key)) {
        if call.path.subresource.is_some() {
            return Err(ApiError::not_found(&call.about()));
        }
        server.authorize_create(call)?;
        let mut object = Writer::new(&call.kind, &how, &now).apply(None, config, false)?;
        meta::metadata_mut(&mut object).insert("name".into(), call.name().into());
        let namespace = call.path.namespace.as_deref();
        match write::create(server, &call.kind, namespace, object, &how).await {
            // Someone else was faster: then this is an apply to what they made.
            Err(error) if error.reason == "AlreadyExists" => {}
            done => return Ok(answer(server, call, 201, &done?)),
        }
    }
    let change = |old: &Value| {
        let mut new = patch.change(call, &Writer::new(&call.kind, &how, &now), old)?;
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
