//! Sets of fields: what a manager owns, what a change touched.
//!
//! Owns the set operations and the wire form (`FieldsV1`). Does not know what a field holds.
//! Start at [`FieldSet`].

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::path::{Path, PathElement};
use crate::schema::{Schema, Shape};

/// Deepest nesting of a set that is read.
const MAX_DEPTH: usize = 250;

/// Why a `FieldsV1` could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The set or a part of it is no object.
    #[error("a set of fields must be an object")]
    NotAnObject,
    /// A step that cannot be read.
    #[error("{step:?} names no field: {source}")]
    Step {
        /// The step as it stands there.
        step: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Deeper than anything that is written.
    #[error("a set of fields is nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// A set of fields of an object.
///
/// A field and what is below it are members separately: owning `.spec.replicas` does not mean
/// owning `.spec`, and owning a list element does not mean owning its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    entries: BTreeMap<PathElement, Entry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    is_member: bool,
    children: FieldSet,
}

impl Entry {
    fn is_empty(&self) -> bool {
        !self.is_member && self.children.is_empty()
    }
}

impl FieldSet {
    /// The empty set.
    pub fn new() -> FieldSet {
        FieldSet::default()
    }

    /// A set of paths through fields only, e.g. `[&["metadata", "name"]]`.
    pub fn of_fields(paths: &[&[&str]]) -> FieldSet {
        let mut set = FieldSet::new();
        for path in paths {
            set.insert(&Path::of_fields(path).0);
        }
        set
    }

    /// Is nothing in it?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a field. The object itself, which the empty path names, is never a member.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut set = self;
        for step in parents {
            set = &mut set.entries.entry(step.clone()).or_default().children;
        }
        set.entries.entry(last.clone()).or_default().is_member = true;
    }

    /// Is this very field a member?
    pub fn contains(&self, path: &[PathElement]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let parent = parents
            .iter()
            .try_fold(self, |set, step| set.entries.get(step).map(|entry| &entry.children));
        parent.is_some_and(|set| set.contains_step(last))
    }

    pub(crate) fn contains_step(&self, step: &PathElement) -> bool {
        self.entries.get(step).is_some_and(|entry| entry.is_member)
    }

    /// What is below a field, if anything is.
    pub(crate) fn below(&self, step: &PathElement) -> Option<&FieldSet> {
        self.entries.get(step).map(|entry| &entry.children).filter(|set| !set.is_empty())
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut result = self.clone();
        for (step, entry) in &other.entries {
            let ours = result.entries.entry(step.clone()).or_default();
            ours.is_member |= entry.is_member;
            if !entry.children.is_empty() {
                ours.children = ours.children.union(&entry.children);
            }
        }
        result
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |ours, theirs| match theirs {
            None => ours.clone(),
            Some(theirs) => Entry {
                is_member: ours.is_member && !theirs.is_member,
                children: ours.children.difference(&theirs.children),
            },
        })
    }

    /// What is in this set and neither in the other nor below one of its members.
    #[must_use]
    pub fn recursive_difference(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |ours, theirs| match theirs {
            None => ours.clone(),
            Some(theirs) if theirs.is_member => Entry::default(),
            Some(theirs) => Entry {
                is_member: ours.is_member,
                children: ours.children.recursive_difference(&theirs.children),
            },
        })
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |ours, theirs| {
            theirs.map_or_else(Entry::default, |theirs| Entry {
                is_member: ours.is_member && theirs.is_member,
                children: ours.children.intersection(&theirs.children),
            })
        })
    }

    fn combine(&self, other: &FieldSet, one: impl Fn(&Entry, Option<&Entry>) -> Entry) -> FieldSet {
        let pairs = self.entries.iter().map(|(step, entry)| {
            let combined = one(entry, other.entries.get(step));
            (step.clone(), combined)
        });
        FieldSet { entries: pairs.filter(|(_, entry)| !entry.is_empty()).collect() }
    }

    /// Adds the declared fields above the members: with `.a.b` in the set `.a` comes in too,
    /// unless it is the key of a free map.
    #[must_use]
    pub fn with_named_parents(&self, schema: Option<Schema<'_>>) -> FieldSet {
        let entries = self.entries.iter().map(|(step, entry)| {
            let (below, is_declared) = match (step, schema) {
                (PathElement::Field(name), Some(schema)) => {
                    (schema.field(name), schema.declares(name))
                }
                (_, Some(schema)) if schema.shape() == Shape::List => (schema.items(), false),
                _ => (None, false),
            };
            let is_member = entry.is_member || (is_declared && !entry.children.is_empty());
            let children = entry.children.with_named_parents(below);
            (step.clone(), Entry { is_member, children })
        });
        FieldSet { entries: entries.collect() }
    }

    /// All members: at each level first its own, then those further down.
    pub fn paths(&self) -> Vec<Path> {
        let mut found = Vec::new();
        self.collect_paths(&mut Vec::new(), &mut found);
        found
    }

    fn collect_paths(&self, parents: &mut Vec<PathElement>, found: &mut Vec<Path>) {
        for (step, _) in self.entries.iter().filter(|(_, entry)| entry.is_member) {
            let path = parents.iter().chain([step]).cloned().collect();
            found.push(Path(path));
        }
        for (step, entry) in &self.entries {
            parents.push(step.clone());
            entry.children.collect_paths(parents, found);
            parents.pop();
        }
    }

    /// Writes the set as `FieldsV1`: `{"f:spec":{"f:replicas":{}}}`.
    pub fn encode(&self) -> Value {
        let mut object = Map::new();
        for (step, entry) in &self.entries {
            let mut below = entry.children.encode();
            if entry.is_member
                && !entry.children.is_empty()
                && let Some(pairs) = below.as_object_mut()
            {
                pairs.insert(".".to_owned(), Value::Object(Map::new()));
            }
            object.insert(step.encode(), below);
        }
        Value::Object(object)
    }

    /// Reads a `FieldsV1`; steps of kinds that are not known are left out, as Kubernetes does.
    pub fn decode(fields: &Value) -> Result<FieldSet, Error> {
        Self::decode_level(fields, 0)
    }

    fn decode_level(fields: &Value, depth: usize) -> Result<FieldSet, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        let mut set = FieldSet::new();
        for (text, below) in fields.as_object().ok_or(Error::NotAnObject)? {
            let step = PathElement::parse(text)
                .map_err(|source| Error::Step { step: text.clone(), source })?;
            let Some(step) = step else { continue };
            let children = Self::decode_level(below, depth + 1)?;
            // Without anything below it, the field itself is meant.
            let is_member = below.get(".").is_some() || children.is_empty();
            set.entries.insert(step, Entry { is_member, children });
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_come_back_as_they_were_written() {
        let wire = json!({"f:metadata": {"f:labels": {".": {}, "f:a:b": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}},
            "f:finalizers": {"v:\"x\"": {}, "v:1": {}}}});
        let set = FieldSet::decode(&wire).expect("readable");
        assert_eq!(set.encode(), wire);
        let shown: Vec<String> = set.paths().iter().map(Path::to_string).collect();
        assert_eq!(shown[2], ".spec.finalizers[=1]", "{shown:?}");
        assert_eq!(shown[4], ".spec.ports[port=80,protocol=\"TCP\"]");
    }

    #[test]
    fn a_member_survives_the_removal_of_what_is_below_it() {
        let both = FieldSet::of_fields(&[&["a"], &["a", "b"]]);
        let below = FieldSet::of_fields(&[&["a", "b"]]);
        assert_eq!(both.difference(&below), FieldSet::of_fields(&[&["a"]]));
        assert_eq!(both.recursive_difference(&FieldSet::of_fields(&[&["a"]])), FieldSet::new());
        assert_eq!(both.intersection(&below), below);
    }
}
