//! Objects that clients send as protobuf: `kubectl create namespace`, `auth can-i`, typed clients.
//!
//! Owns the decoding of `application/vnd.kubernetes.protobuf` to JSON, by a recorded table of field
//! numbers, so that every built-in kind is readable. Answers are always JSON. Start at [`decode`].
//!
//! The wire form does not tell "zero" from "not set" for Go fields that are no pointers (they are
//! always sent), so zero values are left out, as `omitempty` would; [`KEPT_ZERO`] lists pointers.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::builtin;
use crate::error::ApiError;

/// What every enveloped object starts with.
const MAGIC: &[u8] = b"k8s\0";

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 100;

/// Pointer fields whose zero says something.
const KEPT_ZERO: [&str; 16] = [
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "backoffLimit",
    "completions",
    "controller",
    "blockOwnerDeletion",
    "enableServiceLinks",
    "gracePeriodSeconds",
    "immutable",
    "minReplicas",
    "optional",
    "parallelism",
    "partition",
    "replicas",
    "runAsNonRoot",
    "terminationGracePeriodSeconds",
];

/// Field number → (JSON name, type, form).
type Message = BTreeMap<String, (String, String, String)>;

static MESSAGES: LazyLock<BTreeMap<String, Message>> = LazyLock::new(|| {
    let mut text = Vec::new();
    let data: &[u8] = include_bytes!("../api/protobuf.json.gz");
    let read = flate2::read::GzDecoder::new(data).read_to_end(&mut text);
    // Our own file; a test reads it.
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
});

/// Reads one enveloped object.
pub(crate) fn decode(body: &Bytes) -> Result<Value, ApiError> {
    let envelope = body.strip_prefix(MAGIC).ok_or_else(|| bad("no k8s envelope"))?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in fields(envelope)? {
        match field {
            (1, Wire::Bytes(meta)) => {
                for inner in fields(meta)? {
                    match inner {
                        (1, Wire::Bytes(text)) => api_version = utf8(text)?,
                        (2, Wire::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let name = type_of(&api_version, &kind)
        .ok_or_else(|| bad(&format!("{api_version} {kind} is not a built-in kind")))?;
    let mut object = message(name, raw, 0)?;
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    Ok(object)
}

fn type_of(api_version: &str, kind: &str) -> Option<&'static str> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    builtin::type_name(group, version, kind)
        // Options travel in the version of the object they are about.
        .or_else(|| {
            (kind == "DeleteOptions")
                .then_some("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
        })
}

fn bad(why: &str) -> ApiError {
    ApiError::bad_request(format!("the protobuf body cannot be read: {why}"))
}

fn utf8(bytes: &[u8]) -> Result<String, ApiError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| bad("a text is not UTF-8"))
}

/// One value as it stands on the wire.
#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> Result<u64, ApiError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| bad("cut short"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(bad("a number is too long"))
}

fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Wire<'_>)>, ApiError> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let length = match tag & 7 {
            0 => {
                found.push((tag >> 3, Wire::Number(varint(&mut bytes)?)));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).map_err(|_| bad("a length is too large"))?,
            5 => 4,
            other => return Err(bad(&format!("wire type {other}"))),
        };
        let (value, rest) = bytes.split_at_checked(length).ok_or_else(|| bad("cut short"))?;
        bytes = rest;
        let number = |v: &[u8]| v.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        let wire = if tag & 7 == 2 { Wire::Bytes(value) } else { Wire::Number(number(value)) };
        found.push((tag >> 3, wire));
    }
    Ok(found)
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Result<Value, ApiError> {
    if depth > MAX_DEPTH {
        return Err(bad("nested too deeply"));
    }
    if let Some(value) = special(name, bytes)? {
        return Ok(value);
    }
    let table = MESSAGES.get(name).ok_or_else(|| bad(&format!("no table of {name}")))?;
    let mut object = Map::new();
    for (number, wire) in fields(bytes)? {
        // A field of a newer release: dropped, as the peer does.
        let Some((field, kind, form)) = table.get(&number.to_string()) else { continue };
        match form.as_str() {
            "m" => {
                let Wire::Bytes(pair) = wire else { return Err(bad("a map entry is no message")) };
                let (key, value) = map_entry(kind, pair, depth)?;
                crate::meta::object_mut(object.entry(field.as_str()).or_insert(Value::Null))
                    .insert(key, value);
            }
            "r" => {
                let value = scalar_or_message(kind, wire, depth)?;
                let list = object.entry(field.as_str()).or_insert_with(|| json!([]));
                list.as_array_mut().into_iter().for_each(|list| list.push(value.clone()));
            }
            "n" => {
                let value = scalar_or_message(kind, wire, depth)?;
                object.extend(value.as_object().cloned().unwrap_or_default());
            }
            _ => {
                let value = scalar_or_message(kind, wire, depth)?;
                if says_something(field, &value) {
                    object.insert(field.clone(), value);
                }
            }
        }
    }
    Ok(Value::Object(object))
}

fn says_something(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Bool(false) => KEPT_ZERO.contains(&field),
        Value::Number(n) if n.as_f64() == Some(0.0) => KEPT_ZERO.contains(&field),
        // `emptyDir: {}` and the like are pointers: present means set. Embedded structs come empty
        // too, but their fields are dropped by the same rule where it matters.
        Value::Object(map) => {
            !map.is_empty()
                || !matches!(
                    field,
                    "status"
                        | "resources"
                        | "metadata"
                        | "strategy"
                        | "updateStrategy"
                        | "spec"
                        | "state"
                        | "lastState"
                )
        }
        _ => true,
    }
}

fn map_entry(kind: &str, pair: &[u8], depth: usize) -> Result<(String, Value), ApiError> {
    let empty = if kind == "s" || kind == "y" { json!("") } else { json!({}) };
    let (mut key, mut value) = (String::new(), empty);
    for field in fields(pair)? {
        match field {
            (1, Wire::Bytes(text)) => key = utf8(text)?,
            (2, wire) => value = scalar_or_message(kind, wire, depth)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn scalar_or_message(kind: &str, wire: Wire<'_>, depth: usize) -> Result<Value, ApiError> {
    Ok(match (kind, wire) {
        ("b", Wire::Number(n)) => (n != 0).into(),
        // Two's complement in 64 bits, also for int32.
        ("i", Wire::Number(n)) => (n.cast_signed()).into(),
        ("d", Wire::Number(n)) => f64::from_bits(n).into(),
        ("s", Wire::Bytes(bytes)) => utf8(bytes)?.into(),
        ("y", Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (name, Wire::Bytes(bytes)) => message(name, bytes, depth + 1)?,
        (name, Wire::Number(_)) => return Err(bad(&format!("{name} is written as a number"))),
    })
}

/// Types whose JSON is not an object of their fields.
fn special(name: &str, bytes: &[u8]) -> Result<Option<Value>, ApiError> {
    let short = name.rsplit('.').next().unwrap_or(name);
    let first_bytes = || -> Result<&[u8], ApiError> {
        let found = fields(bytes)?.into_iter().find_map(|(n, w)| match (n, w) {
            (1, Wire::Bytes(bytes)) => Some(bytes),
            _ => None,
        });
        Ok(found.unwrap_or_default())
    };
    Ok(Some(match short {
        "Time" | "MicroTime" => time(bytes, short == "MicroTime")?,
        "Quantity" => utf8(first_bytes()?)?.into(),
        "FieldsV1" | "RawExtension" | "JSON" => {
            let raw = first_bytes()?;
            serde_json::from_slice(raw).map_err(|_| bad("embedded JSON is malformed"))?
        }
        "IntOrString" => {
            let (mut is_text, mut number, mut text) = (false, 0, String::new());
            for field in fields(bytes)? {
                match field {
                    (1, Wire::Number(n)) => is_text = n == 1,
                    (2, Wire::Number(n)) => number = n.cast_signed(),
                    (3, Wire::Bytes(bytes)) => text = utf8(bytes)?,
                    _ => {}
                }
            }
            if is_text { text.into() } else { number.into() }
        }
        "ExtraValue" => {
            let texts: Result<Vec<String>, ApiError> = fields(bytes)?
                .into_iter()
                .filter_map(|(_, w)| if let Wire::Bytes(b) = w { Some(utf8(b)) } else { None })
                .collect();
            texts?.into()
        }
        _ => return Ok(None),
    }))
}

fn time(bytes: &[u8], is_micro: bool) -> Result<Value, ApiError> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    for field in fields(bytes)? {
        match field {
            (1, Wire::Number(n)) => seconds = n.cast_signed(),
            (2, Wire::Number(n)) => nanos = n.cast_signed(),
            _ => {}
        }
    }
    // The zero time of Go: not set.
    if bytes.is_empty() || seconds <= 0 {
        return Ok(Value::Null);
    }
    let nanos = i32::try_from(nanos).unwrap_or(0);
    let stamp = jiff::Timestamp::new(seconds, nanos).map_err(|_| bad("a time is out of range"))?;
    let format = if is_micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(stamp.strftime(format).to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_as_kubectl_sends_it_is_read() {
        // The request body of `kubectl create namespace demo`, kubectl 1.32.4.
        let body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x1c\x0a\x14\x0a\x04demo\x12\0\x1a\0\"\0*\x002\08\0B\0\x12\0\x1a\x02\x0a\0\x1a\0\"\0";
        let object = decode(&Bytes::from_static(body)).expect("read");
        assert_eq!(
            object,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}})
        );
    }

    #[test]
    fn garbage_is_an_error_and_never_more() {
        for body in [
            &b""[..],
            b"k8s\0",
            b"k8s\0\x0a\xff",
            b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x05\x0a\x20",
        ] {
            assert!(decode(&Bytes::copy_from_slice(body)).is_err());
        }
        assert!(MESSAGES.len() > 300);
    }
}
