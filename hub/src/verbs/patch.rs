//! `patch`: part of a new state.
//!
//! Owns the choice of the patch by content type; the merging itself is the crate `patch`.
//! Start at [`patch`].

use std::sync::Arc;

use serde_json::Value;

use crate::body::HubResponse;
use crate::error::ApiError;
use crate::media;
use crate::meta;
use crate::server::{Call, Server};
use crate::verbs::update::answer;
use crate::verbs::write::{self, How};

/// One patch, read.
enum Patch {
    Merge(Value),
    Json(Value),
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
            other => Err(ApiError::unsupported_media(
                other,
                "application/json-patch+json, application/merge-patch+json",
            )),
        }
    }

    fn apply(&self, old: &Value) -> Result<Value, ApiError> {
        let mut new = old.clone();
        // The patch decides whether a resourceVersion is insisted on, not the object it changes.
        meta::metadata_mut(&mut new).remove("resourceVersion");
        match self {
            Patch::Merge(patch) => patch::json::merge(&mut new, patch),
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
    let how = How::of(call)?;
    let patch = Patch::parse(call)?;
    let key = call.key(call.name());
    let change = |old: &Value| {
        let mut new = patch.apply(old)?;
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
