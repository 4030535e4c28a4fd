//! What is different between two values.
//!
//! Owns equality. Merges nothing. Start at [`Comparison::new`].

use serde_json::{Map, Value};

use super::{Atom, MapKind, as_list, as_map, atom, get, index_list};
use crate::fields::FieldSet;
use crate::path::{PathElement, Scalar};
use crate::schema::Schema;

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
