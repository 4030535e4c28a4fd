//! Watches the kinds of deployed objects for changes.
//!
//! Owns one metadata-only watch per kind, for objects with our label, and the map from object to bundle
//! deployment. Must not judge changes. Start at [`Watches::track`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bundle_format::api::labels::OBJECT_SET_HASH;
use kube::Client;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use runtime::Cache;
use runtime::cache::CacheBuilder;

use super::discovery::Resource;
use crate::plan::ObjectKey;

type Metadata = PartialObjectMeta<DynamicObject>;

/// One object changed: whose it is, which one, and the `resourceVersion` it has now (`None`: gone).
pub type OnChange = dyn Fn(&str, &ObjectKey, Option<&str>) + Send + Sync;

/// All watches on the member cluster.
pub struct Watches {
    client: Client,
    state: Arc<Mutex<State>>,
    on_change: Arc<OnChange>,
}

#[derive(Default)]
struct State {
    /// Who deployed an object.
    owners: BTreeMap<ObjectKey, Arc<str>>,
    /// What a bundle deployment is watched for.
    tracked: BTreeMap<Arc<str>, BTreeSet<ObjectKey>>,
    /// Running watches; dropping a cache ends its watch.
    running: BTreeMap<Resource, Cache<Metadata>>,
}

impl Watches {
    /// Starts with nothing to watch.
    #[must_use]
    pub fn new(client: Client, on_change: Arc<OnChange>) -> Self {
        Self { client, state: Arc::default(), on_change }
    }

    /// Watches these objects for a bundle deployment, and no others of it.
    pub fn track(&self, name: &str, objects: &[(ObjectKey, Resource)]) {
        let name: Arc<str> = name.into();
        let wanted: BTreeSet<ObjectKey> = objects.iter().map(|(key, _)| key.clone()).collect();
        let mut missing: BTreeSet<Resource> = BTreeSet::new();
        {
            let mut state = self.lock();
            let before =
                state.tracked.insert(Arc::clone(&name), wanted.clone()).unwrap_or_default();
            for key in before.difference(&wanted) {
                if state.owners.get(key) == Some(&name) {
                    state.owners.remove(key);
                }
            }
            for (key, resource) in objects {
                state.owners.insert(key.clone(), Arc::clone(&name));
                if !state.running.contains_key(resource) {
                    missing.insert(resource.clone());
                }
            }
            state.stop_unused();
        }
        // Started without the lock: a watch calls back at once with what it knows.
        for resource in missing {
            let cache = self.start(&resource);
            self.lock().running.entry(resource).or_insert(cache);
        }
        self.catch_up(&name, objects);
    }

    /// Tells of changes that came in while nobody knew whose the objects were: between their being written and now.
    fn catch_up(&self, name: &str, objects: &[(ObjectKey, Resource)]) {
        let changed: Vec<(&ObjectKey, String)> = {
            let state = self.lock();
            let known = objects.iter().filter_map(|(key, resource)| {
                let cache = state.running.get(resource)?;
                let object = cache.get(&runtime::ObjectKey::new(&key.namespace, &key.name))?;
                Some((key, object.metadata.resource_version.clone()?))
            });
            known.collect()
        };
        for (key, version) in changed {
            (self.on_change)(name, key, Some(&version));
        }
    }

    /// Ends watching for a bundle deployment.
    pub fn forget(&self, name: &str) {
        let mut state = self.lock();
        for key in state.tracked.remove(name).unwrap_or_default() {
            if state.owners.get(&key).map(AsRef::as_ref) == Some(name) {
                state.owners.remove(&key);
            }
        }
        state.stop_unused();
    }

    fn start(&self, resource: &Resource) -> Cache<Metadata> {
        let (group, version) =
            resource.api_version.rsplit_once('/').unwrap_or(("", &resource.api_version));
        let api = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: resource.api_version.clone(),
            kind: resource.kind.clone(),
            plural: resource.plural.clone(),
        };
        let cache = CacheBuilder::<Metadata>::of_resource(self.client.clone(), api)
            .labels(OBJECT_SET_HASH)
            .metadata_only()
            .shrink(|object: &mut Metadata| {
                // Only names and versions are compared; the rest would cost memory per object.
                object.metadata.labels = None;
                object.metadata.annotations = None;
                object.metadata.owner_references = None;
                object.metadata.finalizers = None;
            })
            .start();
        let (state, on_change) = (Arc::downgrade(&self.state), Arc::clone(&self.on_change));
        let (api_version, kind) = (resource.api_version.clone(), resource.kind.clone());
        cache.subscribe(move |change| {
            let Some(state) = state.upgrade() else { return };
            let key = ObjectKey {
                api_version: api_version.clone(),
                kind: kind.clone(),
                namespace: change.key.namespace.clone(),
                name: change.key.name.clone(),
            };
            let owner =
                state.lock().unwrap_or_else(PoisonError::into_inner).owners.get(&key).cloned();
            if let Some(owner) = owner {
                let version = change
                    .new
                    .as_ref()
                    .and_then(|object| object.metadata.resource_version.as_deref());
                on_change(&owner, &key, version);
            }
        });
        cache
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stop_unused(&mut self) {
        let used: BTreeSet<(&str, &str)> =
            self.owners.keys().map(|key| (key.api_version.as_str(), key.kind.as_str())).collect();
        self.running.retain(|resource, _| {
            used.contains(&(resource.api_version.as_str(), resource.kind.as_str()))
        });
    }
}
