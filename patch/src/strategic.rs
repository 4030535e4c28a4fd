//! Strategic merge patch: a merge patch that knows how lists of a type are merged.
//!
//! Owns merge keys, the `$patch`, `$retainKeys`, `$setElementOrder/…` and
//! `$deleteFromPrimitiveList/…` directives. Knows nothing of owners. Start at [`apply`].
//!
//! The peer is kube-apiserver 1.36; requests and its answers are recorded in `tests/golden`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::path::Scalar;
use crate::schema::{Schema, Shape};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER_PREFIX: &str = "$setElementOrder/";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
/// Deepest nesting of a patch.
const MAX_DEPTH: usize = 250;

/// Why a strategic merge patch could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A `$patch` that is not `delete` or `replace`. Nothing but leaving it out means merging.
    #[error("unknown patch type found: {0}")]
    UnknownDirective(String),
    /// A list element without the field that identifies it.
    #[error("map: {element} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The element.
        element: String,
        /// The field.
        key: String,
    },
    /// `$retainKeys` that leaves out what the patch sets.
    #[error("invalid patch format of retainKeys: {0} is set, but not listed")]
    RetainKeys(String),
    /// A patch list whose elements stand in another order than `$setElementOrder` has them.
    #[error("the order in patch list {field} doesn't match {ORDER_PREFIX}{field}")]
    Order {
        /// The list.
        field: String,
    },
    /// A directive that is not a list.
    #[error("{0} must be a list")]
    NotAList(String),
    /// An element of another kind than the list holds.
    #[error("{field}: lists of {expected} cannot hold {found}")]
    Element {
        /// The list.
        field: String,
        /// `objects` or `values`.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Nested deeper than anything in use.
    #[error("the patch is nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// Applies a patch. Where the schema says nothing, objects merge and lists are replaced, as in a
/// merge patch.
pub fn apply(target: &Value, patch: &Value, schema: Option<Schema<'_>>) -> Result<Value, Error> {
    let (Value::Object(target_map), Value::Object(patch)) = (target, patch) else {
        return Ok(patch.clone());
    };
    Ok(Value::Object(merge_maps(target_map.clone(), patch.clone(), schema, 0)?))
}

fn merge_maps(
    mut target: Map<String, Value>,
    mut patch: Map<String, Value>,
    schema: Option<Schema<'_>>,
    depth: usize,
) -> Result<Map<String, Value>, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::TooDeep);
    }
    match take_directive(&mut patch)?.as_deref() {
        Some("replace") => return Ok(patch),
        Some("delete") => return Ok(Map::new()),
        _ => {}
    }
    retain_keys(&mut target, &mut patch)?;
    let directives = take_list_directives(&mut patch)?;
    for (field, order) in &directives.orders {
        let key = key_of(schema.and_then(|schema| schema.field(field)));
        if !patch.get(field).is_none_or(|list| is_in_order(list, order, key)) {
            return Err(Error::Order { field: field.clone() });
        }
    }
    let mut merged_lists = BTreeSet::new();
    for (field, value) in patch {
        let below = schema.and_then(|schema| schema.field(&field));
        if value.is_null() {
            target.remove(&field);
            continue;
        }
        let old = target.remove(&field);
        let new = match (old, value) {
            (Some(Value::Object(old)), Value::Object(value)) => {
                let replaces = below.is_some_and(|below| below.has_strategy("replace"));
                let old = if replaces { Map::new() } else { old };
                Value::Object(merge_maps(old, value, below, depth + 1)?)
            }
            (Some(Value::Array(old)), Value::Array(value)) => {
                let order = directives.order_of(&field);
                merged_lists.insert(field.clone());
                {
                    let list = List { field: &field, schema: below, order };
                    Value::Array(merge_lists(&list, old, value, depth)?)
                }
            }
            (_, value) if value.get(DIRECTIVE).is_some() => continue,
            (_, value) => clean(value, depth)?,
        };
        target.insert(field, new);
    }
    // A value that one patch both adds and deletes is gone; the peer leaves that to chance.
    for (field, list) in &directives.deletions {
        delete_values(&mut target, field, list);
    }
    // An order can come without anything to merge.
    for (field, order) in &directives.orders {
        let below = schema.and_then(|schema| schema.field(field));
        if !merged_lists.contains(field)
            && let Some(Value::Array(list)) = target.get_mut(field)
        {
            let server = list.clone();
            sort_by_order(list, order, &server, key_of(below));
        }
    }
    Ok(target)
}

fn take_directive(patch: &mut Map<String, Value>) -> Result<Option<String>, Error> {
    match patch.remove(DIRECTIVE) {
        None => Ok(None),
        Some(Value::String(text)) if matches!(text.as_str(), "replace" | "delete") => {
            Ok(Some(text))
        }
        Some(Value::String(text)) => Err(Error::UnknownDirective(text)),
        Some(other) => Err(Error::UnknownDirective(other.to_string())),
    }
}

/// With `$retainKeys` only the named fields survive, whoever set them.
fn retain_keys(
    target: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), Error> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let keys = directive.as_array().ok_or_else(|| Error::NotAList(RETAIN_KEYS.to_owned()))?;
    let keys: BTreeSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let is_set = |(key, value): &(&String, &Value)| !key.starts_with('$') && !value.is_null();
    if let Some((missing, _)) =
        patch.iter().filter(is_set).find(|(key, _)| !keys.contains(key.as_str()))
    {
        return Err(Error::RetainKeys(missing.clone()));
    }
    target.retain(|key, _| keys.contains(key.as_str()));
    Ok(())
}

/// The directives that stand beside a list and not in it.
#[derive(Default)]
struct ListDirectives {
    orders: Vec<(String, Vec<Value>)>,
    deletions: Vec<(String, Vec<Value>)>,
}

impl ListDirectives {
    fn order_of(&self, field: &str) -> Option<&[Value]> {
        let found = self.orders.iter().find(|(name, _)| name == field);
        found.map(|(_, order)| order.as_slice())
    }
}

fn take_list_directives(patch: &mut Map<String, Value>) -> Result<ListDirectives, Error> {
    let names: Vec<String> = patch.keys().filter(|key| key.starts_with('$')).cloned().collect();
    let mut found = ListDirectives::default();
    for name in names {
        let kind = match (name.strip_prefix(ORDER_PREFIX), name.strip_prefix(DELETE_PREFIX)) {
            (Some(field), _) => Some((field.to_owned(), &mut found.orders)),
            (_, Some(field)) => Some((field.to_owned(), &mut found.deletions)),
            // A field that merely looks like one.
            _ => None,
        };
        if let Some((field, kind)) = kind {
            match patch.remove(&name) {
                Some(Value::Array(list)) => kind.push((field, list)),
                _ => return Err(Error::NotAList(name)),
            }
        }
    }
    Ok(found)
}

fn delete_values(target: &mut Map<String, Value>, field: &str, deleted: &[Value]) {
    let Some(Value::Array(list)) = target.get_mut(field) else { return };
    list.retain(|item| !deleted.contains(item));
    if list.is_empty() {
        target.remove(field);
    }
}

fn key_of(list: Option<Schema<'_>>) -> Option<&str> {
    list.filter(|list| list.has_strategy("merge")).and_then(Schema::merge_key)
}

/// A list and what is known about it.
struct List<'a> {
    field: &'a str,
    schema: Option<Schema<'a>>,
    /// The order that the patch asks for.
    order: Option<&'a [Value]>,
}

fn merge_lists(
    list: &List<'_>,
    old: Vec<Value>,
    patch: Vec<Value>,
    depth: usize,
) -> Result<Vec<Value>, Error> {
    let &List { field, schema, order } = list;
    let merges = schema.is_some_and(|schema| schema.has_strategy("merge"));
    if !merges {
        return patch.into_iter().map(|item| strip(item, depth)).collect();
    }
    let before = old.clone();
    let items = schema.and_then(Schema::items);
    let holds_objects =
        items.is_some_and(|items| matches!(items.shape(), Shape::Struct | Shape::Map | Shape::Any));
    let key = key_of(schema);
    // The patch's own order counts where it names none.
    let own_order: Vec<Value> =
        patch.iter().filter(|item| item.get(DIRECTIVE).is_none()).cloned().collect();
    let deleted: Vec<Value> =
        patch.iter().filter(|item| item.get(DIRECTIVE).is_some()).cloned().collect();
    let mut merged = match key {
        Some(key) if holds_objects => merge_objects(field, old, patch, (key, items), depth)?,
        _ => merge_values(old, patch),
    };
    // Without an order of its own the patch moves what it deletes and adds again.
    let kept = match key {
        Some(key) if order.is_none() => without_deleted(before, &deleted, key),
        _ => before,
    };
    sort_by_order(&mut merged, order.unwrap_or(&own_order), &kept, key);
    Ok(merged)
}

fn without_deleted(mut list: Vec<Value>, deleted: &[Value], key: &str) -> Vec<Value> {
    list.retain(|item| !deleted.iter().any(|deleted| deleted.get(key) == item.get(key)));
    list
}

/// Are the elements of `list` in `order`, in the same sequence?
fn is_in_order(list: &Value, order: &[Value], key: Option<&str>) -> bool {
    let id = |item: &Value| key.map_or(Some(item.clone()), |key| item.get(key).cloned());
    let mut order = order.iter();
    let added = list.as_array().into_iter().flatten();
    added
        .filter(|item| item.get(DIRECTIVE).is_none())
        .all(|item| order.any(|wanted| id(wanted) == id(item)))
}

/// Scalars are merged as a set.
fn merge_values(old: Vec<Value>, patch: Vec<Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let mut is_new = |item: &Value| Scalar::new(item).is_none_or(|item| seen.insert(item));
    old.into_iter().chain(patch).filter(|item| is_new(item)).collect()
}

fn merge_objects(
    field: &str,
    mut old: Vec<Value>,
    patch: Vec<Value>,
    (key, items): (&str, Option<Schema<'_>>),
    depth: usize,
) -> Result<Vec<Value>, Error> {
    let mut changes = Vec::new();
    let mut replaces = false;
    for item in patch {
        let Value::Object(object) = item else {
            let (field, found) = (field.to_owned(), item.to_string());
            return Err(Error::Element { field, expected: "objects", found });
        };
        match object.get(DIRECTIVE).and_then(Value::as_str) {
            Some("delete") => {
                let id = merge_id(&object, key)?;
                old.retain(|item| item.get(key) != Some(&id));
            }
            // One such element replaces the whole list by the others.
            Some("replace") => replaces = true,
            Some(other) => return Err(Error::UnknownDirective(other.to_owned())),
            None => changes.push(object),
        }
    }
    if replaces {
        return Ok(changes.into_iter().map(Value::Object).collect());
    }
    for change in changes {
        let id = merge_id(&change, key)?;
        match old.iter().position(|item| item.get(key) == Some(&id)) {
            Some(at) => {
                let before = old[at].as_object().cloned().unwrap_or_default();
                old[at] = Value::Object(merge_maps(before, change, items, depth + 1)?);
            }
            None => old.push(strip(Value::Object(change), depth)?),
        }
    }
    Ok(old)
}

fn merge_id(object: &Map<String, Value>, key: &str) -> Result<Value, Error> {
    object.get(key).cloned().ok_or_else(|| Error::NoMergeKey {
        element: Value::Object(object.clone()).to_string(),
        key: key.to_owned(),
    })
}

/// What is new comes without nulls, and without objects that carry a directive: there is nothing
/// it could work on. Other fields of such an object go with it, as in the peer.
fn clean(value: Value, depth: usize) -> Result<Value, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::TooDeep);
    }
    let is_directed = |value: &Value| value.get(DIRECTIVE).is_some();
    Ok(match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(_, v)| !v.is_null() && !is_directed(v));
            let cleaned = kept.map(|(key, value)| Ok((key, clean(value, depth + 1)?)));
            Value::Object(cleaned.collect::<Result<_, Error>>()?)
        }
        Value::Array(items) => {
            let kept = items.into_iter().filter(|item| !is_directed(item));
            Value::Array(kept.map(|item| clean(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        other => other,
    })
}

/// What comes into a list as a whole loses its directives only: the peer keeps them until the
/// object is read as its type, which does not know them (golden `smp-new-with-directives`).
fn strip(value: Value, depth: usize) -> Result<Value, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::TooDeep);
    }
    let is_directive = |key: &str| {
        key == DIRECTIVE
            || key == RETAIN_KEYS
            || key.starts_with(ORDER_PREFIX)
            || key.starts_with(DELETE_PREFIX)
    };
    Ok(match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(key, v)| !v.is_null() && !is_directive(key));
            let stripped = kept.map(|(key, value)| Ok((key, strip(value, depth + 1)?)));
            Value::Object(stripped.collect::<Result<_, Error>>()?)
        }
        Value::Array(items) => {
            let stripped = items.into_iter().map(|item| strip(item, depth + 1));
            Value::Array(stripped.collect::<Result<_, _>>()?)
        }
        other => other,
    })
}

/// Brings a list into the order that the patch asks for. What only the server has keeps its
/// place behind the neighbours it had there.
fn sort_by_order(list: &mut Vec<Value>, order: &[Value], server: &[Value], key: Option<&str>) {
    let id = |item: &Value| match key {
        Some(key) => item.get(key).cloned(),
        None => Some(item.clone()),
    };
    let place = |ids: &[Option<Value>], item: &Value| {
        let wanted = id(item);
        ids.iter().position(|known| *known == wanted)
    };
    let order: Vec<Option<Value>> = order.iter().map(id).collect();
    let server: Vec<Option<Value>> = server.iter().map(id).collect();
    let (mut named, mut only_server): (Vec<Value>, Vec<Value>) =
        std::mem::take(list).into_iter().partition(|item| place(&order, item).is_some());
    named.sort_by_key(|item| place(&order, item));
    only_server.sort_by_key(|item| place(&server, item));
    let (mut named, mut only_server) =
        (named.into_iter().peekable(), only_server.into_iter().peekable());
    while let (Some(ours), Some(theirs)) = (named.peek(), only_server.peek()) {
        let comes_first = match (place(&server, ours), place(&server, theirs)) {
            (Some(ours), Some(theirs)) => theirs < ours,
            // New in the patch: before what only the server has.
            (None, _) => false,
            (_, None) => false,
        };
        list.extend(if comes_first { only_server.next() } else { named.next() });
    }
    list.extend(named);
    list.extend(only_server);
}
