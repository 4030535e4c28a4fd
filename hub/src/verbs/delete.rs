//! `delete` and `deletecollection`.
//!
//! Owns preconditions, propagation and the choice between "gone" and "waits for finalizers".
//! Start at [`delete_object`].

use std::sync::Arc;

use serde_json::{Value, json};

use crate::StoreError;
use crate::body::{self, HubResponse};
use crate::error::ApiError;
use crate::media;
use crate::meta;
use crate::registry::Kind;
use crate::server::{Call, Server};
use crate::store::{Expect, Key, Write};
use crate::strategy;
use crate::verbs::{list, show};

/// What becomes of the objects owned by a deleted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// How a deletion is meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: Option<String>,
    pub(crate) revision: Option<u64>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    fn of(call: &Call) -> Result<DeleteOptions, ApiError> {
        let mut body = if call.body.is_empty() {
            json!({})
        } else {
            media::decode(&call.content_type, &call.body)?
        };
        if call.path.subresource.as_deref() == Some("eviction") {
            body = body["deleteOptions"].take();
        }
        let policy = body["propagationPolicy"].as_str().or(call.query.text("propagationPolicy"));
        let orphan = body["orphanDependents"].as_bool();
        let propagation = match (policy, orphan) {
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (None, None) => None,
            (Some(other), _) => {
                return Err(ApiError::bad_request(format!(
                    "propagationPolicy: Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \"Orphan\""
                )));
            }
        };
        let preconditions = &body["preconditions"];
        let revision = preconditions["resourceVersion"].as_str();
        let grace = body["gracePeriodSeconds"].as_i64();
        Ok(DeleteOptions {
            uid: preconditions["uid"].as_str().map(str::to_owned),
            revision: revision.map(|r| r.parse().unwrap_or(0)),
            propagation,
            grace_seconds: grace.or_else(|| call.query.text("gracePeriodSeconds")?.parse().ok()),
            dry_run: call.query.is_dry_run()
                || body["dryRun"].as_array().is_some_and(|d| !d.is_empty()),
        })
    }
}

/// A deletion that was accepted.
pub(crate) struct Deleted {
    pub(crate) object: Value,
    /// False while finalizers hold the object.
    pub(crate) gone: bool,
}

/// Deletes one object.
pub(crate) async fn delete(server: &Arc<Server>, call: &Call) -> Result<HubResponse, ApiError> {
    let options = DeleteOptions::of(call)?;
    let key = call.key(call.name());
    let deleted = delete_object(server, &call.kind, &key, &options).await?;
    let kind = &call.kind;
    if !deleted.gone || returns_object(kind) {
        let text = show::object(call, &show::to_bytes(&deleted.object), server.world.now());
        return Ok(body::raw_json(200, text));
    }
    let mut details = json!({"name": key.name(), "kind": kind.plural,
        "uid": deleted.object["metadata"]["uid"]});
    if !kind.group.is_empty() {
        details["group"] = kind.group.as_str().into();
    }
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Success", "details": details});
    Ok(body::json(200, &status))
}

/// Kinds whose deletion answers with the object.
fn returns_object(kind: &Kind) -> bool {
    matches!(
        &*kind.resource,
        "/pods"
            | "/services"
            | "/serviceaccounts"
            | "/persistentvolumeclaims"
            | "/persistentvolumes"
            | "/resourcequotas"
            | "/podtemplates"
    ) || kind.group == "storage.k8s.io" && kind.plural != "csistoragecapacities"
}

/// Deletes every object that the selectors match.
pub(crate) async fn delete_collection(
    server: &Arc<Server>,
    call: &Call,
) -> Result<HubResponse, ApiError> {
    let options = DeleteOptions::of(call)?;
    let found = list::find(server, call)?;
    let mut items = Vec::new();
    for (path, _) in found.rows {
        let key = Key { resource: call.kind.resource.clone(), path };
        match delete_object(server, &call.kind, &key, &options).await {
            Ok(deleted) => items.push(deleted.object),
            // Another request was faster: gone is gone.
            Err(error) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(body::json(
        200,
        &json!({"kind": call.kind.list_kind, "apiVersion": call.kind.api_version(),
        "metadata": {"resourceVersion": server.store.revision().to_string()}, "items": items}),
    ))
}

/// Deletes an object, or marks it as being deleted while finalizers hold it.
pub(crate) async fn delete_object(
    server: &Arc<Server>,
    kind: &Kind,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    let about = kind.about(key.name());
    loop {
        let entry = server.store.latest(key).ok_or_else(|| ApiError::not_found(&about))?;
        let mut object = show::parse(&show::convert(kind, &entry.bytes));
        check_preconditions(&object, options, entry.revision)
            .map_err(|why| ApiError::conflict(&about, &why))?;
        let before = object.clone();
        strategy::mark_deleted(kind, &mut object, options, &server.world.stamp());
        let gone = strategy::is_finished(kind, &object);
        if gone {
            // Watchers see the last state that was stored, as with the peer.
            object = before.clone();
        }
        if options.dry_run || !gone && object == before {
            return Ok(Deleted { object, gone });
        }
        let expect = Expect::Revision(entry.revision);
        let write = Write { key: key.clone(), expect, object, delete: gone };
        match server.store.commit(write).await {
            Ok(committed) => {
                server.after_write(key, &committed.object, gone);
                return Ok(Deleted { object: committed.object, gone });
            }
            Err(StoreError::Conflict) if options.revision.is_none() => {}
            Err(error) => return Err(ApiError::from_store(&error, &about)),
        }
    }
}

fn check_preconditions(
    object: &Value,
    options: &DeleteOptions,
    revision: u64,
) -> Result<(), String> {
    let uid = meta::text(object, "uid");
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        return Err(format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
        ));
    }
    if let Some(wanted) = options.revision.filter(|wanted| *wanted != revision) {
        return Err(format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {revision}"
        ));
    }
    Ok(())
}
