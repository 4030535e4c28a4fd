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
            other => Err(ApiError::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                go_kind(&other)
            ))),
        };
        let json = || {
            serde_json::from_slice(&call.body).map_err(|error| {
                let why = media::go_words(&error);
                ApiError::bad_request(format!("error decoding patch: {why}"))
            })
        };
        match media {
            "application/merge-patch+json" => Ok(Patch::Merge(object(json()?)?)),
            "application/json-patch+json" => match json()? {
                Value::Array(list) if list.len() > MAX_OPERATIONS_COUNT => {
                    let message = format!(
                        "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS_COUNT}, got {}",
                        list.len()
                    );
                    Err(ApiError::new(413, "RequestEntityTooLarge", message))
                }
                list @ Value::Array(_) => Ok(Patch::Json(list)),
                other => Err(ApiError::bad_request(format!(
                    "error decoding patch: json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
                    go_kind(&other)
                ))),
            },
            "application/strategic-merge-patch+json" if !call.kind.is_custom() => {
                Ok(Patch::Strategic(object(json()?)?))
            }
            "application/apply-patch+yaml" => {
                let mut config = object(media::parse_yaml(&call.body)?)?;
                let text = |field: &str| config[field].as_str().unwrap_or_default();
                let (found, kind) = (text("apiVersion"), text("kind"));
                if found != call.kind.api_version() || kind != call.kind.kind {
                    // Go writes a group, a slash and a version, whatever of them there is.
                    let slash = if found.contains('/') { "" } else { "/" };
                    return Err(ApiError::bad_request(format!(
                        "invalid object type: {slash}{found}, Kind={kind}"
                    )));
                }
                if meta::text(&config, "name").is_empty() {
                    meta::metadata_mut(&mut config).insert("name".into(), call.name().into());
                }
                check_name(call, &config)?;
                Ok(Patch::Apply(config))
            }
            other if other.is_empty() || !other.contains("patch") => {
                let message = "415: Unsupported Media Type";
                Err(ApiError::generic(415, "UnsupportedMediaType", message))
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
                new = result.map_err(|e| ApiError::plain(e.to_string()))?;
            }
            Patch::Apply(config) => {
                new = writer.apply(Some(old), config, call.query.flag("force"))?
            }
            Patch::Json(operations) => {
                for operation in operations.as_array().into_iter().flatten() {
                    let operation = lenient(&new, operation);
                    let result = patch::json::apply(&mut new, Value::Array(vec![operation]));
                    result.map_err(|e| json_patch_error(&e))?;
                }
            }
        }
        Ok(new)
    }
}

fn json_patch_error(error: &patch::json::Error) -> ApiError {
    match error {
        patch::json::Error::TooLong { .. } => {
            ApiError::new(413, "RequestEntityTooLarge", error.to_string())
        }
        patch::json::Error::Malformed(_) | patch::json::Error::Refused(_) => {
            // The peer does not say which operation it was.
            let message = "the server rejected our request due to an error in our request";
            ApiError::generic(422, "Invalid", message)
        }
    }
}

/// Most operations of one patch.
const MAX_OPERATIONS_COUNT: usize = 10_000;

/// The peer's library adds what a `replace` does not find in a map.
fn lenient(object: &Value, operation: &Value) -> Value {
    let mut operation = operation.clone();
    let path = operation["path"].as_str().unwrap_or_default().to_owned();
    let parent = path.rsplit_once('/').and_then(|(parent, _)| object.pointer(parent));
    let is_missing = parent.is_some_and(Value::is_object) && object.pointer(&path).is_none();
    if operation["op"] == "replace" && is_missing {
        operation["op"] = "add".into();
    }
    operation
}

/// A JSON type in the words of Go's decoder.
fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
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
        if let Some(uid) = config["metadata"]["uid"].as_str() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(ApiError::conflict(&call.about(), &why));
        }
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
        let home = meta::text(&new, "namespace");
        if !home.is_empty() && call.path.namespace.as_deref().is_some_and(|n| n != home) {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        write::check_identity(&mut new, &call.kind)?;
        Ok(new)
    };
    let done = write::modify(server, &call.kind, &key, &how, change).await;
    let done = done.map_err(|error| match (&patch, call.kind.is_custom()) {
        (Patch::Merge(_) | Patch::Json(_), false) => as_patch_error(call, error),
        _ => error,
    })?;
    Ok(answer(server, call, 200, &done))
}

/// What a patched object of a built-in kind is refused for when it is read is the patch's fault.
fn as_patch_error(call: &Call, error: ApiError) -> ApiError {
    let kind = &call.kind;
    let start =
        format!("{0} in version {1:?} cannot be handled as a {0}: ", kind.kind, kind.version);
    let Some(why) = error.message.strip_prefix(&start) else { return error };
    let cause = Cause::invalid("patch", format!("Invalid value: {why}"));
    ApiError::invalid("", "", "", vec![cause])
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
