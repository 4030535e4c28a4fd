//! Does a configuration fit its schema?
//!
//! Owns the refusals. Merges nothing. Start at [`check`].

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Error, element_step};
use crate::path::{Path, PathElement};
use crate::schema::{ListKind, Schema, Shape};

/// Checks a configuration that is to be applied.
pub fn check(value: &Value, schema: Schema<'_>) -> Result<(), Error> {
    check_at(value, Some(schema), &mut Vec::new())
}

fn check_at(
    value: &Value,
    schema: Option<Schema<'_>>,
    path: &mut Vec<PathElement>,
) -> Result<(), Error> {
    let Some(schema) = schema else { return Ok(()) };
    check_shape(value, schema, path)?;
    match (schema.shape(), value) {
        (Shape::Struct | Shape::Map, Value::Object(map)) => {
            for (name, below) in map {
                path.push(PathElement::Field(name.clone()));
                match schema.field(name) {
                    None if !schema.is_granular_unknown() => {
                        return Err(Error::Undeclared(Path(path.clone())));
                    }
                    field => check_at(below, field, path)?,
                }
                path.pop();
            }
            Ok(())
        }
        (Shape::List, Value::Array(items)) => check_list(items, schema, path),
        _ => Ok(()),
    }
}

fn check_list(
    items: &[Value],
    schema: Schema<'_>,
    path: &mut Vec<PathElement>,
) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let step = match schema.list_kind() {
            ListKind::Atomic => PathElement::Index(index as i64),
            _ => element_step(schema, item).map_err(|problem| Error::Element {
                path: Path(path.clone()),
                index,
                problem,
            })?,
        };
        if !seen.insert(step.clone()) {
            return Err(Error::Duplicate { path: Path(path.clone()), key: step });
        }
        path.push(step);
        check_at(item, schema.items(), path)?;
        path.pop();
    }
    Ok(())
}

fn check_shape(value: &Value, schema: Schema<'_>, path: &[PathElement]) -> Result<(), Error> {
    let expected = match (schema.shape(), value) {
        (_, Value::Null) | (Shape::Any, _) => return Ok(()),
        (Shape::Struct | Shape::Map, value) if !value.is_object() => "map",
        (Shape::List, value) if !value.is_array() => "list",
        (Shape::Integer | Shape::Number, value) if !value.is_number() => "numeric (int or float)",
        (Shape::String, value) if !value.is_string() => "string",
        (Shape::Boolean, value) if !value.is_boolean() => "boolean",
        (Shape::IntOrString, Value::Object(_) | Value::Array(_) | Value::Bool(_)) => "any scalar",
        _ => return Ok(()),
    };
    let found = match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    Err(Error::Kind { path: Path(path.to_vec()), expected, found })
}
