//! Who owns which fields of an object: `metadata.managedFields`.
//!
//! Owns the entries, their identity, order and wire form. Merges nothing. Start at [`Managed`].

use serde_json::{Map, Value, json};

use crate::fields::{self, FieldSet};

/// Most entries of updates; the oldest are put together beyond that (kube-apiserver 1.36).
const MAX_UPDATE_MANAGERS: usize = 10;
/// The name under which old updates are put together.
const OLD_UPDATES_MANAGER: &str = "ancient-changes";

/// Why `managedFields` could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not `Apply` or `Update`.
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    /// An entry without a version.
    #[error("apiVersion must not be empty")]
    ApiVersion,
    /// Not `FieldsV1`.
    #[error("invalid fieldsType {found:?} in managed fields entry {index}")]
    FieldsType {
        /// What stands there.
        found: String,
        /// Which entry, from 0.
        index: usize,
    },
    /// The set of an entry.
    #[error("managed fields entry {index}: {source}")]
    Fields {
        /// Which entry, from 0.
        index: usize,
        /// What is wrong with it.
        source: fields::Error,
    },
}

/// How an owner came by its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Any other write.
    Update,
}

/// Who owns fields. Two requests of one owner are equal here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// The field manager's name.
    pub name: String,
    /// Applied or updated.
    pub operation: Operation,
    /// The version of the last request. It belongs to the identity of updates only.
    pub api_version: String,
    /// `status` and the like; empty for the object itself.
    pub subresource: String,
}

impl Manager {
    fn is_same(&self, other: &Manager) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// The fields of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The owner.
    pub manager: Manager,
    /// When it last changed something, as RFC 3339 with seconds; empty if never.
    pub time: String,
    /// What it owns.
    pub fields: FieldSet,
}

/// All owners of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Managed {
    /// In the order of `managedFields`.
    pub entries: Vec<Entry>,
}

impl Managed {
    /// Reads the `managedFields` of an object; without any there are no owners.
    pub fn decode(object: &Value) -> Result<Managed, Error> {
        let list = object["metadata"]["managedFields"].as_array();
        let entries = list.into_iter().flatten().enumerate().map(|(i, e)| decode_entry(i, e));
        Ok(Managed { entries: entries.collect::<Result<_, _>>()? })
    }

    /// Writes the owners into an object, in the order Kubernetes writes them.
    pub fn encode_into(mut self, object: &mut Value) {
        self.cap_updates();
        self.entries.sort_by(|a, b| {
            let key = |entry: &Entry| (entry.manager.operation, entry.time.clone());
            let name = |entry: &Entry| {
                let manager = entry.manager.clone();
                (manager.name, manager.api_version, manager.subresource)
            };
            key(a).cmp(&key(b)).then_with(|| name(a).cmp(&name(b)))
        });
        let Some(metadata) = metadata_of(object) else { return };
        if self.entries.is_empty() {
            metadata.remove("managedFields");
            return;
        }
        let entries = self.entries.iter().map(encode_entry).collect();
        metadata.insert("managedFields".to_owned(), Value::Array(entries));
    }

    /// The fields of an owner.
    pub(crate) fn get(&self, manager: &Manager) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.manager.is_same(manager))
    }

    /// The entry of an owner, made when there is none.
    pub(crate) fn entry(&mut self, manager: &Manager) -> &mut Entry {
        let found = self.entries.iter().position(|entry| entry.manager.is_same(manager));
        let at = found.unwrap_or(self.entries.len());
        if found.is_none() {
            let manager = manager.clone();
            self.entries.push(Entry { manager, time: String::new(), fields: FieldSet::new() });
        }
        &mut self.entries[at]
    }

    pub(crate) fn others(&self, manager: &Manager) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| !entry.manager.is_same(manager))
    }

    pub(crate) fn drop_empty(&mut self) {
        self.entries.retain(|entry| !entry.fields.is_empty());
    }

    /// Everything that anyone owns.
    pub(crate) fn union(&self) -> FieldSet {
        self.entries.iter().fold(FieldSet::new(), |all, entry| all.union(&entry.fields))
    }

    /// Puts the oldest updates of a version together until few enough are left.
    fn cap_updates(&mut self) {
        let is_update = |entry: &Entry| entry.manager.operation == Operation::Update;
        let mut updates: Vec<Entry> = Vec::new();
        let mut kept: Vec<Entry> = Vec::new();
        for entry in self.entries.drain(..) {
            if is_update(&entry) { updates.push(entry) } else { kept.push(entry) }
        }
        updates.sort_by(|a, b| (&a.time, &a.manager).cmp(&(&b.time, &b.manager)));
        let mut at = 1;
        while updates.len() > MAX_UPDATE_MANAGERS && at < updates.len() {
            let version = updates[at].manager.api_version.clone();
            let older = updates[..at].iter().position(|e| e.manager.api_version == version);
            match older {
                None => at += 1,
                Some(older) => {
                    let entry = updates.remove(at);
                    let bucket = &mut updates[older];
                    bucket.fields = bucket.fields.union(&entry.fields);
                    bucket.time = entry.time;
                    bucket.manager.name = OLD_UPDATES_MANAGER.to_owned();
                    bucket.manager.subresource = String::new();
                }
            }
        }
        kept.append(&mut updates);
        self.entries = kept;
    }
}

pub(crate) fn metadata_of(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let object = object.as_object_mut()?;
    object.entry("metadata").or_insert_with(|| json!({})).as_object_mut()
}

fn decode_entry(index: usize, entry: &Value) -> Result<Entry, Error> {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let operation = match entry["operation"].as_str() {
        Some("Apply") => Operation::Apply,
        Some("Update") => Operation::Update,
        _ => return Err(Error::Operation),
    };
    if text("apiVersion").is_empty() {
        return Err(Error::ApiVersion);
    }
    if text("fieldsType") != "FieldsV1" {
        return Err(Error::FieldsType { found: text("fieldsType"), index });
    }
    let empty = Value::Object(Map::new());
    let fields = entry.get("fieldsV1").filter(|fields| !fields.is_null()).unwrap_or(&empty);
    let fields = FieldSet::decode(fields).map_err(|source| Error::Fields { index, source })?;
    let manager = Manager {
        name: text("manager"),
        operation,
        api_version: text("apiVersion"),
        subresource: text("subresource"),
    };
    Ok(Entry { manager, time: text("time"), fields })
}

fn encode_entry(entry: &Entry) -> Value {
    let manager = &entry.manager;
    let mut object = json!({
        "apiVersion": manager.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields.encode(),
        "operation": if manager.operation == Operation::Apply { "Apply" } else { "Update" },
    });
    let optional =
        [("manager", &manager.name), ("subresource", &manager.subresource), ("time", &entry.time)];
    for (key, text) in optional {
        if !text.is_empty() {
            object[key] = Value::String(text.clone());
        }
    }
    object
}
