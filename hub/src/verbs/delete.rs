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
        let refuse = |why: String, reason| {
            let field = "propagationPolicy".to_owned();
            let cause = crate::error::Cause { field, reason, message: why };
            Err(ApiError::bad_options("DeleteOptions", cause))
        };
        if let (Some(policy), Some(_)) = (policy, orphan) {
            let why = format!(
                "Invalid value: {policy:?}: orphanDependents and deletionPropagation cannot be both set"
            );
            return refuse(why, "FieldValueInvalid");
        }
        let propagation = match (policy, orphan) {
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (None, None) => None,
            (Some(other), _) => {
                let why = format!(
                    "Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                );
                return refuse(why, "FieldValueNotSupported");
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
    let mut options = DeleteOptions::of(call)?;
    let key = call.key(call.name());
    let mut warnings = Vec::new();
    if &*call.kind.resource == "batch/jobs" && options.propagation.is_none() {
        options.propagation = Some(Propagation::Orphan);
        warnings.push("child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning".to_owned());
    }
    if &*call.kind.resource == "/namespaces"
        && ["default", "kube-system", "kube-public"].contains(&call.name())
    {
        return Err(ApiError::forbidden(&call.about(), "this namespace may not be deleted"));
    }
    let deleted = delete_object(server, &call.kind, &key, &options).await?;
    let kind = &call.kind;
    if !deleted.gone || returns_object(kind) {
        let text = show::object(call, &show::to_bytes(&deleted.object), server.world.now());
        return Ok(body::warn(body::raw_json(200, text), &warnings));
    }
    let mut details = json!({"name": key.name(), "kind": kind.plural,
        "uid": deleted.object["metadata"]["uid"]});
    if !kind.group.is_empty() {
        details["group"] = kind.group.as_str().into();
    }
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Success", "details": details});
    Ok(body::warn(body::json(200, &status), &warnings))
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
    let mut metadata = json!({"resourceVersion": server.store.revision().to_string()});
    if call.kind.is_custom() {
        metadata["continue"] = "".into();
    } else {
        for map in items.iter_mut().filter_map(Value::as_object_mut) {
            map.remove("apiVersion");
            map.remove("kind");
        }
    }
    Ok(body::json(
        200,
        &json!({"kind": call.kind.list_kind, "apiVersion": call.kind.api_version(),
        "metadata": metadata, "items": items}),
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
        let mut object = show::parse(&show::convert(kind, &entry.bytes()));
        check_preconditions(&object, options, entry.revision).map_err(|why| {
            // The peer puts the kind where the plural belongs.
            let resource = kind.kind.clone();
            ApiError::conflict(&crate::error::About { resource, ..about.clone() }, &why)
        })?;
        let before = object.clone();
        strategy::mark_deleted(kind, &mut object, options, &server.world.stamp());
        let gone = strategy::is_finished(kind, &object);
        if gone && &*kind.resource != "/pods" {
            // Watchers see the last state that was stored, as with the peer.
            object = before.clone();
        }
        if options.dry_run || !gone && object == before {
            return Ok(Deleted { object, gone });
        }
        let expect = Expect::Revision(entry.revision);
        let write = Write { key: key.clone(), expect, object, delete: gone };
        match server.store.commit(write).await {
            Ok(mut committed) => {
                server.after_write(key, &committed.object, gone);
                if gone {
                    // The answer is the last state that could be read.
                    meta::metadata_mut(&mut committed.object)
                        .insert("resourceVersion".into(), entry.revision.to_string().into());
                }
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
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        ));
    }
    if let Some(wanted) = options.revision.filter(|wanted| *wanted != revision) {
        return Err(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({revision}). The object might have been modified"
        ));
    }
    Ok(())
}
