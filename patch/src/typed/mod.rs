//! Merging, comparing and cutting values by what their schema says about maps and lists.
//!
//! Owns the meaning of granular and atomic, sets and keyed lists. Knows nothing of managers.
//! Start at [`merge()`]. The rules are those of structured-merge-diff v6, the library behind
//! server-side apply in Kubernetes 1.36.

mod check;
mod compare;
mod cut;
mod merge;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::path::{Path, PathElement, Scalar};
use crate::schema::{ListKind, Schema, Shape};

pub use check::check;
pub use compare::Comparison;
pub(crate) use compare::is_equal;
pub use cut::{fields_of, remove_fields, settle_emptied};
pub use merge::merge;

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
