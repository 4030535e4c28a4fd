//! Merging, comparing and cutting values by what their schema says about maps and lists.
//!
//! Owns the meaning of granular and atomic, sets and keyed lists. Knows nothing of managers.
//! Start at [`merge`]. The rules are those of structured-merge-diff v6, the library behind
//! server-side apply in Kubernetes 1.36.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::fields::FieldSet;
use crate::path::{Path, PathElement, Scalar};
use crate::schema::{ListKind, Schema, Shape};

/// Why a value does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field the schema does not have.
    #[error("{0}: field not declared in schema")]
    Undeclared(Path),
    /// A list element that cannot be told from others.
    #[error("{path}: element {index}: {problem}")]
    Element {
        /// The list.
        path: Path,
        /// Which element, from 0.
        index: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two elements with the same key.
    #[error("{path}: duplicate entries for key {key}")]
    Duplicate {
        /// The list.
        path: Path,
        /// The key.
        key: PathElement,
    },
    /// A value of another kind than the schema has.
    #[error("{path}: expected {expected}, got {found}")]
    Kind {
        /// The field.
        path: Path,
        /// What the schema wants.
        expected: &'static str,
        /// What is there, as Go names it.
        found: &'static str,
    },
}

/// How a value is treated.
#[derive(Clone, Copy)]
enum Atom<'a> {
    /// Owned and replaced as a whole.
    Leaf,
    /// Field by field; the schema tells those of the fields.
    Map(MapKind<'a>),
    /// Element by element.
    List(Schema<'a>),
}

#[derive(Clone, Copy)]
enum MapKind<'a> {
    Typed(Schema<'a>),
    /// Nothing is known: objects below are merged, lists replaced.
    Unknown,
}

impl<'a> MapKind<'a> {
    fn field(self, name: &str) -> Option<Schema<'a>> {
        match self {
            MapKind::Typed(schema) => schema.field(name),
            MapKind::Unknown => None,
        }
    }

    fn declares(self, name: &str) -> bool {
        matches!(self, MapKind::Typed(schema) if schema.declares(name))
    }
}

/// `schema` is `None` where nothing is declared; `value` decides what it may be there.
fn atom<'a>(schema: Option<Schema<'a>>, value: Option<&Value>) -> Atom<'a> {
    let unknown = match value {
        Some(Value::Object(_) | Value::Null) | None => Atom::Map(MapKind::Unknown),
        Some(_) => Atom::Leaf,
    };
    let Some(schema) = schema else { return unknown };
    match schema.shape() {
        Shape::Any if schema.is_granular_unknown() => unknown,
        Shape::Struct | Shape::Map if schema.is_atomic_map() => Atom::Leaf,
        Shape::Struct | Shape::Map => match value {
            Some(Value::Object(_) | Value::Null) | None => Atom::Map(MapKind::Typed(schema)),
            Some(_) => Atom::Leaf,
        },
        Shape::List if schema.list_kind() != ListKind::Atomic => match value {
            Some(Value::Array(_) | Value::Null) | None => Atom::List(schema),
            Some(_) => Atom::Leaf,
        },
        _ => Atom::Leaf,
    }
}

fn as_map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object).filter(|map| !map.is_empty())
}

fn get<'v>(map: Option<&'v Map<String, Value>>, key: &str) -> Option<&'v Value> {
    map.and_then(|map| map.get(key))
}

fn as_list(value: Option<&Value>) -> Option<&Vec<Value>> {
    value.and_then(Value::as_array).filter(|list| !list.is_empty())
}

/// The step to a list element; the problem with it otherwise.
fn element_step(list: Schema<'_>, item: &Value) -> Result<PathElement, &'static str> {
    if list.list_kind() == ListKind::Set {
        return match Scalar::new(item) {
            None => Err("associative list without keys has an element that's a map type"),
            Some(Scalar::Null) => {
                Err("associative list without keys has an element that's an explicit null")
            }
            Some(value) => Ok(PathElement::Value(value)),
        };
    }
    let Some(object) = item.as_object() else {
        return Err("associative list with keys may not have non-map elements");
    };
    let mut fields = BTreeMap::new();
    for key in list.list_keys() {
        let default = list.items().and_then(|items| items.field(key)?.default_value());
        if let Some(value) = object.get(key).or(default).and_then(Scalar::new) {
            fields.insert(key.clone(), value);
        }
    }
    if fields.is_empty() {
        return Err("associative list with keys has an element that omits all key fields");
    }
    Ok(PathElement::Key(fields))
}

/// The elements of a list by their steps, in the order of the first of each. More than one
/// element may have the same step in what is stored, though not in what is applied.
type Indexed<'v> = (Vec<PathElement>, BTreeMap<PathElement, Vec<&'v Value>>);

fn index_list<'v>(list: Schema<'_>, items: Option<&'v Vec<Value>>) -> Indexed<'v> {
    let (mut order, mut found) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
    for item in items.into_iter().flatten() {
        // What cannot be named was refused before it was applied, and is not tracked otherwise.
        let Ok(step) = element_step(list, item) else { continue };
        order.push(step.clone());
        found.entry(step).or_default().push(item);
    }
    (order, found)
}

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

/// Merges `over` onto `base`: what `over` has wins, what only `base` has stays.
pub fn merge(base: Option<&Value>, over: Option<&Value>, schema: Option<Schema<'_>>) -> Value {
    merge_at(base, over, schema).unwrap_or(Value::Null)
}

fn merge_at(
    base: Option<&Value>,
    over: Option<&Value>,
    schema: Option<Schema<'_>>,
) -> Option<Value> {
    // An empty or null collection on both sides stays what it is.
    let leaf = || over.or(base).cloned();
    match atom(schema, over.or(base)) {
        Atom::Leaf => leaf(),
        Atom::Map(kind) => {
            let (base_map, over_map) = (as_map(base), as_map(over));
            if base_map.is_none() && over_map.is_none() {
                return leaf();
            }
            let keys = base_map.into_iter().flatten().chain(over_map.into_iter().flatten());
            let mut merged = Map::new();
            for (key, _) in keys {
                if !merged.contains_key(key) {
                    let (base, over) = (get(base_map, key), get(over_map, key));
                    let value = merge_at(base, over, kind.field(key));
                    merged.extend(value.map(|value| (key.clone(), value)));
                }
            }
            Some(Value::Object(merged))
        }
        Atom::List(list) => {
            let (base, over) = (as_list(base), as_list(over));
            if base.is_none() && over.is_none() {
                leaf()
            } else {
                Some(merge_lists(base, over, list))
            }
        }
    }
}

/// The order of `over` for what it has; what only `base` has keeps its neighbours as well as
/// that allows.
fn merge_lists(base: Option<&Vec<Value>>, over: Option<&Vec<Value>>, list: Schema<'_>) -> Value {
    let (base_order, base_items) = index_list(list, base);
    let (over_order, over_items) = index_list(list, over);
    let items = list.items();
    let mut shared = over_order.iter().filter(|step| base_items.contains_key(step)).peekable();
    let mut merged = Vec::with_capacity(base_order.len().max(over_order.len()));
    let mut done = BTreeSet::new();
    // How many elements of a repeated step of `base` are written already.
    let mut repeated = BTreeMap::new();
    let (mut at_base, mut at_over) = (0, 0);
    while at_base < base_order.len() || at_over < over_order.len() {
        if let Some(step) = base_order.get(at_base) {
            let is_shared = over_items.contains_key(step);
            if !is_shared {
                let count = repeated.entry(step).or_insert(0);
                merged.extend(merge_at(base_items[step].get(*count).copied(), None, items));
                *count += 1;
                at_base += 1;
                continue;
            }
            let theirs = over_order.get(at_over);
            let comes_later = theirs.is_some_and(|theirs| theirs != step)
                && shared.peek().is_some_and(|next| *next != step);
            if comes_later {
                at_base += 1;
                continue;
            }
            if theirs == Some(step) || done.contains(step) {
                at_base += 1;
            }
        }
        if let Some(step) = over_order.get(at_over) {
            done.insert(step);
            let (base, over) = (single(&base_items, step), single(&over_items, step));
            merged.extend(merge_at(base, over, items));
            at_over += 1;
            shared.next_if(|next| *next == step);
        }
    }
    Value::Array(merged)
}

/// The element of a step; one that occurs twice names nothing that could be merged with.
fn single<'v>(
    items: &BTreeMap<PathElement, Vec<&'v Value>>,
    step: &PathElement,
) -> Option<&'v Value> {
    match items.get(step).map(Vec::as_slice) {
        Some([item]) => Some(item),
        _ => None,
    }
}

/// What changed between two values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the new one.
    pub added: FieldSet,
    /// In both, and different.
    pub modified: FieldSet,
    /// Only in the old one.
    pub removed: FieldSet,
}

impl Comparison {
    /// Compares two values of a type.
    pub fn new(old: Option<&Value>, new: Option<&Value>, schema: Schema<'_>) -> Comparison {
        let mut found = Comparison::default();
        found.compare(old, new, Some(schema), &mut Vec::new());
        found
    }

    /// Leaves fields out, and what is below them.
    pub fn exclude(&mut self, ignored: &FieldSet) {
        self.added = self.added.recursive_difference(ignored);
        self.modified = self.modified.recursive_difference(ignored);
        self.removed = self.removed.recursive_difference(ignored);
    }

    fn compare(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        schema: Option<Schema<'_>>,
        path: &mut Vec<PathElement>,
    ) {
        match (old, new) {
            (None, Some(_)) => self.added.insert(path),
            (Some(_), None) => self.removed.insert(path),
            _ => {}
        }
        let (old_atom, new_atom) = (atom(schema, old.or(new)), atom(schema, new.or(old)));
        match (old_atom, new_atom) {
            (Atom::Map(_), Atom::Map(kind)) => self.compare_maps(old, new, kind, path),
            (Atom::List(_), Atom::List(list)) => self.compare_lists(old, new, list, path),
            (old_atom, new_atom) => {
                self.compare_leaves(old, new, path);
                // A value that changed its kind: what was below it goes, what is below it comes.
                if let Atom::Map(kind) = old_atom {
                    self.compare_maps(old, None, kind, path);
                }
                if let Atom::Map(kind) = new_atom {
                    self.compare_maps(None, new, kind, path);
                }
            }
        }
    }

    fn compare_leaves(&mut self, old: Option<&Value>, new: Option<&Value>, path: &[PathElement]) {
        if let (Some(old), Some(new)) = (old, new)
            && !is_equal(old, new)
        {
            self.modified.insert(path);
        }
    }

    fn compare_maps(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        kind: MapKind<'_>,
        path: &mut Vec<PathElement>,
    ) {
        let (old_map, new_map) = (as_map(old), as_map(new));
        if old_map.is_none() && new_map.is_none() {
            return self.compare_leaves(old, new, path);
        }
        let is_new = |key: &&String| old_map.is_none_or(|map| !map.contains_key(*key));
        let old_keys = old_map.into_iter().flat_map(Map::keys);
        let keys = old_keys.chain(new_map.into_iter().flat_map(Map::keys).filter(is_new));
        for key in keys {
            path.push(PathElement::Field(key.clone()));
            self.compare(get(old_map, key), get(new_map, key), kind.field(key), path);
            path.pop();
        }
    }

    fn compare_lists(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        list: Schema<'_>,
        path: &mut Vec<PathElement>,
    ) {
        if as_list(old).is_none() && as_list(new).is_none() {
            return self.compare_leaves(old, new, path);
        }
        let (_, old_items) = index_list(list, as_list(old));
        let (_, new_items) = index_list(list, as_list(new));
        let is_new = |step: &&PathElement| !old_items.contains_key(*step);
        for step in old_items.keys().chain(new_items.keys().filter(is_new)) {
            let old = old_items.get(step).map_or(&[][..], Vec::as_slice);
            let new = new_items.get(step).map_or(&[][..], Vec::as_slice);
            path.push(step.clone());
            self.compare_elements(old, new, list, path);
            path.pop();
        }
    }

    /// Elements that share a step are compared as one value.
    fn compare_elements(
        &mut self,
        old: &[&Value],
        new: &[&Value],
        list: Schema<'_>,
        path: &mut Vec<PathElement>,
    ) {
        match (old.len(), new.len()) {
            (0 | 1, 0 | 1) => {
                self.compare(old.first().copied(), new.first().copied(), list.items(), path);
            }
            (2.., 2..) => {
                if old.len() != new.len() || !old.iter().zip(new).all(|(a, b)| is_equal(a, b)) {
                    self.modified.insert(path);
                }
            }
            (2.., _) => {
                if let Some(new) = new.first() {
                    self.compare(None, Some(new), list.items(), path);
                }
                self.removed.insert(path);
            }
            (_, _) => {
                if let Some(old) = old.first() {
                    self.compare(Some(old), None, list.items(), path);
                }
                self.added.insert(path);
            }
        }
    }
}

/// Equal as JSON, 1 and 1.0 being the same number.
pub(crate) fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let same =
                |(key, value): (&String, &Value)| b.get(key).is_some_and(|v| is_equal(value, v));
            a.len() == b.len() && a.iter().all(same)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b))
        }
        (Value::Number(_), Value::Number(_)) => Scalar::new(a) == Scalar::new(b),
        _ => a == b,
    }
}

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
