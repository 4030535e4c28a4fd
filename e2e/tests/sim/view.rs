//! Copies of all stores, kept by following every change.
//!
//! Owns the copies and the order of changes. Judges nothing. Start at [`View::follow`].

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use hub::{Hub, StoredChange};
use serde_json::Value;

/// Which object: `group/plural`, namespace (empty without), name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let resource = self.resource.trim_start_matches('/');
        write!(f, "{resource} {}/{}", self.namespace, self.name)
    }
}

/// One change of one object of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) cluster: String,
    pub(crate) key: Key,
    pub(crate) revision: u64,
    pub(crate) old: Option<Value>,
    /// `None` when the object is gone.
    pub(crate) new: Option<Value>,
}

impl Change {
    /// Of one cluster's change as its store tells it.
    pub(crate) fn of(cluster: &str, stored: &StoredChange) -> Self {
        let read = |text: &[u8]| serde_json::from_slice(text).unwrap_or_default();
        Self {
            cluster: cluster.to_owned(),
            key: Key {
                resource: stored.resource.clone(),
                namespace: stored.namespace.clone().unwrap_or_default(),
                name: stored.name.clone(),
            },
            revision: stored.revision,
            old: stored.previous.as_deref().map(read),
            new: (!stored.is_deletion).then(|| read(&stored.object)),
        }
    }

    /// The object, or what it was.
    pub(crate) fn object(&self) -> &Value {
        self.new.as_ref().or(self.old.as_ref()).unwrap_or(&Value::Null)
    }
}

/// One cluster's objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) revision: u64,
    pub(crate) objects: BTreeMap<Key, Value>,
}

impl Store {
    /// All objects of a resource.
    pub(crate) fn all<'a>(
        &'a self,
        resource: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        let from =
            Key { resource: resource.to_owned(), namespace: String::new(), name: String::new() };
        self.objects.range(from..).take_while(move |(key, _)| key.resource == resource)
    }

    /// One object.
    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Value> {
        let key = Key {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        self.objects.get(&key)
    }
}

/// All clusters' objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) clusters: BTreeMap<String, Store>,
}

impl View {
    /// Takes over one change.
    pub(crate) fn take(&mut self, change: &Change) {
        let store = self.clusters.entry(change.cluster.clone()).or_default();
        store.revision = change.revision;
        match &change.new {
            Some(object) => store.objects.insert(change.key.clone(), object.clone()),
            None => store.objects.remove(&change.key),
        };
    }

    /// What changed in a cluster since the last look; not taken over yet.
    pub(crate) fn follow(&self, name: &str, hub: &Hub) -> Result<Vec<Change>> {
        let known = self.clusters.get(name).map_or(1, |store| store.revision);
        if known == hub.revision() {
            return Ok(Vec::new());
        }
        let changes = hub.changes_after(known).with_context(|| format!("history of {name}"))?;
        Ok(changes.iter().map(|stored| Change::of(name, stored)).collect())
    }

    /// The hub's objects.
    pub(crate) fn hub(&self) -> &Store {
        self.store("hub")
    }

    /// A cluster's objects; none for one that is not there.
    pub(crate) fn store(&self, name: &str) -> &Store {
        static NONE: Store = Store { revision: 0, objects: BTreeMap::new() };
        self.clusters.get(name).unwrap_or(&NONE)
    }
}
