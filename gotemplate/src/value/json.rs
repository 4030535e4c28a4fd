//! Values from JSON and as JSON.
//!
//! Start at [`from_json`] and [`to_json`].

use std::sync::Arc;

use minijinja::value::{Value, ValueKind};
use serde_json::Value as Json;

use super::{
    Dict, GoObject, Kind, MAX_DATA_DEPTH, as_dict, as_float, as_list, as_native, dict, int64,
    kind_of, list, nil,
};
use crate::error::FuncError;

/// A value from JSON, with numbers as they stand: integers become `int64`, others `float64`.
/// Decode with Go's rules (`goyaml::json::go_number_value`) first where every number is a float.
#[must_use]
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => nil(),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => int64(whole),
            None => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => list(items.iter().map(from_json).collect()),
        Json::Object(entries) => dict(
            entries.iter().map(|(key, item)| (Arc::from(key.as_str()), from_json(item))).collect(),
        ),
    }
}

/// A value from JSON as Go decodes it into an empty interface: every number is a `float64`.
#[must_use]
pub fn from_json_floats(json: &Json) -> Value {
    match json {
        Json::Number(number) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        Json::Array(items) => list(items.iter().map(from_json_floats).collect()),
        Json::Object(entries) => dict(
            entries
                .iter()
                .map(|(key, item)| (Arc::from(key.as_str()), from_json_floats(item)))
                .collect(),
        ),
        other => from_json(other),
    }
}

/// A value as JSON; bytes become base64. Floats stay floats: `goyaml` writes whole ones without a
/// point, as Go does.
///
/// # Errors
/// When the value contains itself, or a number that JSON does not have.
pub fn to_json(value: &Value) -> Result<Json, FuncError> {
    to_json_at(value, 0)
}

fn to_json_at(value: &Value, depth: usize) -> Result<Json, FuncError> {
    if depth > MAX_DATA_DEPTH {
        return Err("json: unsupported value: encountered a cycle".into());
    }
    Ok(match kind_of(value) {
        Kind::Nil => Json::Null,
        Kind::Bool => Json::Bool(value.is_true()),
        Kind::Int => value.as_i64().map_or(Json::Null, Json::from),
        Kind::Float => float_to_json(as_float(value).unwrap_or_default())?,
        Kind::Str => Json::String(value.as_str().unwrap_or_default().to_owned()),
        Kind::Bytes => {
            use base64::Engine as _;
            let bytes = value.as_bytes().unwrap_or_default();
            Json::String(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        Kind::List => {
            let items = as_list(value).unwrap_or_default();
            let items: Result<_, _> = items.iter().map(|i| to_json_at(i, depth + 1)).collect();
            Json::Array(items?)
        }
        Kind::Map => {
            let entries = as_dict(value).map(Dict::snapshot).unwrap_or_default();
            let mut object = serde_json::Map::new();
            for (key, item) in &entries {
                object.insert(key.to_string(), to_json_at(item, depth + 1)?);
            }
            Json::Object(object)
        }
        Kind::Native => as_native(value).map_or(Json::Null, GoObject::to_json),
        Kind::Foreign => foreign_to_json(value, depth)?,
    })
}

fn float_to_json(number: f64) -> Result<Json, FuncError> {
    serde_json::Number::from_f64(number).map(Json::Number).ok_or_else(|| {
        FuncError::new(format!("json: unsupported value: {}", crate::print::float_text(number)))
    })
}

// Maps and lists that a `.j2` template wrote down.
fn foreign_to_json(value: &Value, depth: usize) -> Result<Json, FuncError> {
    let Ok(items) = value.try_iter() else { return Ok(Json::String(value.to_string())) };
    if value.kind() != ValueKind::Map {
        let items: Result<_, _> = items.map(|item| to_json_at(&item, depth + 1)).collect();
        return Ok(Json::Array(items?));
    }
    let mut object = serde_json::Map::new();
    for key in items {
        let item = value.get_item(&key).unwrap_or_default();
        object.insert(key.to_string(), to_json_at(&item, depth + 1)?);
    }
    Ok(Json::Object(object))
}

#[cfg(test)]
mod tests {
    use super::super::Entries;
    use super::*;

    #[test]
    fn a_map_that_contains_itself_is_refused_as_json() {
        let map = dict(Entries::new());
        as_dict(&map).unwrap().insert("self", map.clone());
        assert!(to_json(&map).is_err());
    }
}
