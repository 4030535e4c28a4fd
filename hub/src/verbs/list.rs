//! `list`: many objects, in pages that are one snapshot.
//!
//! Owns limits, continue tokens and resource version rules of lists. Start at [`list`].

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::body::{self, HubResponse};
use crate::error::ApiError;
use crate::media::View;
use crate::selector::Selector;
use crate::server::{Call, Server};
use crate::store::{Entry, Key};
use crate::table;
use crate::verbs::show;

type Row = (Box<str>, Arc<Entry>);

/// What a list found.
pub(crate) struct Found {
    pub(crate) rows: Vec<Row>,
    pub(crate) revision: u64,
    /// Where the next page starts, and how many objects follow (unknown with a selector).
    next: Option<(Box<str>, Option<usize>)>,
}

/// Reads and checks the selectors of a request.
pub(crate) fn selector(call: &Call) -> Result<Selector, ApiError> {
    let (labels, fields) = (call.query.text("labelSelector"), call.query.text("fieldSelector"));
    let selector = Selector::parse(labels, fields).map_err(ApiError::bad_request)?;
    for path in selector.field_paths() {
        if !table::fields::is_selectable(&call.kind, path) {
            return Err(ApiError::bad_request(format!("field label not supported: {path}")));
        }
    }
    Ok(selector)
}

/// Answers with a list in the asked view.
pub(crate) fn list(server: &Server, call: &Call) -> Result<HubResponse, ApiError> {
    let found = find(server, call)?;
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".into(), found.revision.to_string().into());
    if let Some((last, remaining)) = &found.next {
        metadata.insert("continue".into(), token(found.revision, last).into());
        if let Some(count) = remaining {
            metadata.insert("remainingItemCount".into(), (*count).into());
        }
    }
    let texts = found.rows.iter().map(|(_, entry)| entry.bytes());
    match call.view {
        View::Object => {
            let texts = texts.map(|t| show::list_item(&call.kind, &t));
            if call.kind.is_custom() {
                metadata.entry("continue").or_insert_with(|| "".into());
            }
            let api_version = call.kind.api_version();
            Ok(body::raw_json(200, join(&call.kind.list_kind, &api_version, &metadata, texts)))
        }
        View::Metadata { is_list: false } => {
            let kind = &call.kind;
            let message = format!(
                "you requested PartialObjectMetadata, but the requested object is a list (*{}.{})",
                kind.internal_group(),
                kind.list_kind
            );
            Err(ApiError::new(406, "NotAcceptable", message))
        }
        View::Metadata { is_list: true } => {
            let texts = texts.map(|t| show::to_bytes(&show::metadata_only(&call.kind, &t)));
            let kind = "PartialObjectMetadataList";
            Ok(body::raw_json(200, join(kind, "meta.k8s.io/v1", &metadata, texts)))
        }
        View::Table => {
            let values: Vec<Value> =
                texts.map(|t| show::parse(&show::convert(&call.kind, &t))).collect();
            let table = table::of(call, &values, server.world.now());
            Ok(body::json(200, &table::with_metadata(table, Value::Object(metadata))))
        }
    }
}

/// Puts a list together from the items' text, without parsing them.
fn join(
    kind: &str,
    api_version: &str,
    metadata: &Map<String, Value>,
    items: impl Iterator<Item = bytes::Bytes>,
) -> bytes::Bytes {
    let head = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
    let mut text = serde_json::to_vec(&head).unwrap_or_default();
    text.pop();
    text.extend_from_slice(b",\"items\":[");
    for (i, item) in items.enumerate() {
        if i > 0 {
            text.push(b',');
        }
        text.extend_from_slice(&item);
    }
    text.extend_from_slice(b"]}");
    text.into()
}

/// Finds the objects of a request: scope, selectors, page.
pub(crate) fn find(server: &Server, call: &Call) -> Result<Found, ApiError> {
    let selector = selector(call)?;
    let scope = call.scope();
    let limit = call.query.number("limit").filter(|l| *l > 0);
    let limit = limit.and_then(|l| usize::try_from(l).ok()).unwrap_or(usize::MAX);
    let (at, after) = start(server, call)?;
    let store_error = |e| match e {
        crate::StoreError::Gone { .. } if !after.is_empty() => ApiError::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
        ),
        e => ApiError::from_store(&e, &call.kind.about("")),
    };
    if let (Some(name), true) = (selector.name(), call.kind.namespaced == scope.namespace.is_some())
    {
        let key = Key::new(&scope.resource, scope.namespace.as_deref(), name);
        let revision = server.store.revision();
        let entry = server.store.get(&key).filter(|e| selector.matches(&key, e));
        let rows = entry.map(|e| (key.path.clone(), e)).into_iter().collect();
        return Ok(Found { rows, revision, next: None });
    }
    if selector.is_everything() {
        let page = server.store.list(&scope, &after, limit, at).map_err(store_error)?;
        let last = page.entries.last().map(|(path, _)| path.clone());
        let next = last.filter(|_| page.remaining > 0).map(|l| (l, Some(page.remaining)));
        return Ok(Found { rows: page.entries, revision: page.revision, next });
    }
    let page = server.store.list(&scope, &after, usize::MAX, at).map_err(store_error)?;
    let mut matching = page.entries.into_iter().filter(|(path, entry)| {
        let key = Key { resource: scope.resource.clone(), path: path.clone() };
        selector.matches(&key, entry)
    });
    let rows: Vec<Row> = matching.by_ref().take(limit).collect();
    let more = matching.next().is_some();
    let next = rows.last().filter(|_| more).map(|(path, _)| (path.clone(), None));
    Ok(Found { rows, revision: page.revision, next })
}

/// At which revision and after which key a list starts.
fn start(server: &Server, call: &Call) -> Result<(u64, String), ApiError> {
    if let Some(text) = call.query.text("continue") {
        let bad = || ApiError::bad_request("invalid continue token: continue key is not valid");
        let raw = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        let token: Value = serde_json::from_slice(&raw).map_err(|_| bad())?;
        let (at, after) = (token["rv"].as_u64(), token["start"].as_str());
        return Ok((at.ok_or_else(bad)?, after.ok_or_else(bad)?.to_owned()));
    }
    let asked = call.query.number("resourceVersion").unwrap_or(0);
    let exact = call.query.text("resourceVersionMatch") == Some("Exact")
        || call.query.text("resourceVersionMatch").is_none()
            && call.query.number("limit").is_some_and(|l| l > 0);
    let current = server.store.revision();
    if asked > current {
        let error = crate::StoreError::Future { asked, current };
        return Err(ApiError::from_store(&error, &call.kind.about("")));
    }
    Ok((if exact { asked } else { 0 }, String::new()))
}

fn token(revision: u64, last: &str) -> String {
    URL_SAFE_NO_PAD
        .encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": last}).to_string())
}
