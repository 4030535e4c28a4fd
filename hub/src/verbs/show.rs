//! Objects in the view and version that the client asked for.
//!
//! Owns the step from stored text to answered text. Pure. Start at [`object`].

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::media::View;
use crate::registry::Kind;
use crate::server::Call;
use crate::table;

/// One object as the answer to `call`.
pub(crate) fn object(call: &Call, text: &Bytes, now: Timestamp) -> Bytes {
    match call.view {
        View::Object => convert(&call.kind, text),
        View::Metadata { .. } => to_bytes(&metadata_only(&call.kind, text)),
        View::Table => {
            let value = parse(&convert(&call.kind, text));
            let revision = value["metadata"]["resourceVersion"].clone();
            let table = table::of(call, std::slice::from_ref(&value), now);
            to_bytes(&table::with_metadata(table, json!({"resourceVersion": revision})))
        }
    }
}

/// The stored text in the version of `kind`.
pub(crate) fn convert(kind: &Kind, text: &Bytes) -> Bytes {
    if kind.single_version && kind.plural != "events" {
        return text.clone();
    }
    let mut value = parse(text);
    if value["apiVersion"] == kind.api_version() {
        return text.clone();
    }
    if kind.plural == "events" {
        crate::strategy::event::convert(&mut value, &kind.group);
    }
    value["apiVersion"] = kind.api_version().into();
    to_bytes(&value)
}

/// One object of a list: built-in kinds say their kind once, in the list.
pub(crate) fn list_item(kind: &Kind, text: &Bytes) -> Bytes {
    let text = convert(kind, text);
    if kind.is_custom() {
        return text;
    }
    let mut value = parse(&text);
    if let Some(map) = value.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
    }
    to_bytes(&value)
}

/// `PartialObjectMetadata` of an object.
pub(crate) fn metadata_only(_kind: &Kind, text: &Bytes) -> Value {
    let mut value = parse(text);
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": value["metadata"].take(),
    })
}

pub(crate) fn parse(text: &Bytes) -> Value {
    serde_json::from_slice(text).unwrap_or_default()
}

pub(crate) fn to_bytes(value: &Value) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
