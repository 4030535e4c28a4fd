//! From values to sets of fields, and values without a set of fields.
//!
//! Owns what becomes of emptied collections. Merges nothing. Start at [`fields_of`].

use serde_json::{Map, Value};

use super::{Atom, atom, element_step, index_list, single};
use crate::fields::FieldSet;
use crate::path::PathElement;
use crate::schema::Schema;

/// The fields a value has.
pub fn fields_of(value: &Value, schema: Schema<'_>) -> FieldSet {
    let mut set = FieldSet::new();
    collect_fields(value, Some(schema), &mut Vec::new(), &mut set);
    set
}

fn collect_fields(
    value: &Value,
    schema: Option<Schema<'_>>,
    path: &mut Vec<PathElement>,
    set: &mut FieldSet,
) {
    match atom(schema, Some(value)) {
        Atom::Leaf => set.insert(path),
        Atom::Map(kind) => {
            for (key, below) in value.as_object().into_iter().flatten() {
                path.push(PathElement::Field(key.clone()));
                collect_fields(below, kind.field(key), path, set);
                let is_empty = below.is_null() || below.as_object().is_some_and(Map::is_empty);
                if is_empty || !kind.declares(key) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Atom::List(list) => {
            let (_, items) = index_list(list, value.as_array());
            for (step, found) in items {
                path.push(step);
                if let [one] = found.as_slice() {
                    collect_fields(one, list.items(), path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
    }
}

/// Cuts fields out of a value. A collection of which nothing is left becomes null, which counts
/// as a field of its own where the result is looked at again; see [`settle_emptied`].
pub fn remove_fields(value: &Value, fields: &FieldSet, schema: Schema<'_>) -> Value {
    remove_at(value, fields, Some(schema))
}

/// Settles the nulls that [`remove_fields`] left in `value` where `before` had more: a collection
/// that `config` has empty is empty, any other is gone.
///
/// The peer stores null and then refuses it where null is not allowed (golden `widget-maps`).
pub fn settle_emptied(
    value: &mut Value,
    before: &Value,
    config: Option<&Value>,
    schema: Option<Schema<'_>>,
) {
    match (atom(schema, Some(before)), value, before) {
        (Atom::Map(kind), Value::Object(map), Value::Object(before)) => {
            let is_emptied = |(key, below): &(&String, &mut Value)| {
                below.is_null() && before.get(*key).is_some_and(|before| !before.is_null())
            };
            let emptied: Vec<String> =
                map.iter_mut().filter(is_emptied).map(|(key, _)| key.clone()).collect();
            for key in emptied {
                match config.and_then(|config| config.get(&key)).filter(|v| !v.is_null()) {
                    Some(empty) => map.insert(key, empty.clone()),
                    None => map.remove(&key),
                };
            }
            for (key, below) in map.iter_mut() {
                if let Some(before) = before.get(key) {
                    let config = config.and_then(|config| config.get(key));
                    settle_emptied(below, before, config, kind.field(key));
                }
            }
        }
        (Atom::List(list), Value::Array(items), Value::Array(before)) => {
            let (_, before) = index_list(list, Some(before));
            let (_, config) = index_list(list, config.and_then(Value::as_array));
            for item in items {
                let Ok(step) = element_step(list, item) else { continue };
                if let Some(before) = single(&before, &step) {
                    settle_emptied(item, before, single(&config, &step), list.items());
                }
            }
        }
        _ => {}
    }
}

fn remove_at(value: &Value, fields: &FieldSet, schema: Option<Schema<'_>>) -> Value {
    match (atom(schema, Some(value)), value) {
        (Atom::Map(kind), Value::Object(map)) if !map.is_empty() => {
            let mut kept = Map::new();
            for (key, below) in map {
                let step = PathElement::Field(key.clone());
                if fields.contains_step(&step) {
                    continue;
                }
                let rest = match fields.below(&step) {
                    Some(fields) => remove_at(below, fields, kind.field(key)),
                    None => below.clone(),
                };
                kept.insert(key.clone(), rest);
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        (Atom::List(list), Value::Array(items)) if !items.is_empty() => {
            let keep = |item: &Value| {
                let Ok(step) = element_step(list, item) else { return Some(item.clone()) };
                if fields.contains_step(&step) {
                    return None;
                }
                Some(match fields.below(&step) {
                    Some(fields) => remove_at(item, fields, list.items()),
                    None => item.clone(),
                })
            };
            let kept: Vec<Value> = items.iter().filter_map(keep).collect();
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        // Fields below something that is owned as a whole cannot go alone; the whole goes.
        (Atom::Leaf, Value::Object(_) | Value::Array(_)) => Value::Null,
        (_, value) => value.clone(),
    }
}
