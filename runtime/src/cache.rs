//! A local copy of one kind, kept fresh by one watch.
//!
//! Owns the copy, its indexes and the callbacks on change. Knows nothing of what the objects mean.
//! Start at [`CacheBuilder`].
//!
//! Objects arrive as raw JSON and are converted one by one. One that does not convert is kept as
//! [`Poisoned`] and reported; it never fails the watch or hides its neighbours.
//!
//! A watch can be late by minutes. Who decides on what it wrote itself gives the answers to the copy:
//! [`Cache::take_in`], [`Cache::refresh`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::api::{ApiResource, ObjectMeta};
use kube::runtime::watcher::{self, InitialListStrategy, ListSemantic};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::ahead::Ahead;
use self::feed::Source;
use crate::backoff::Jitter;

mod ahead;
mod feed;

/// Namespace and name; the namespace is empty for cluster-scoped objects.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectKey {
    /// A key of a namespaced object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// A key of a cluster-scoped object.
    pub fn cluster_scoped(name: impl Into<String>) -> Self {
        Self { namespace: String::new(), name: name.into() }
    }

    /// The key of an object.
    pub fn of<K: Resource>(object: &K) -> Self {
        Self::of_meta(object.meta())
    }

    /// The key of an object's metadata.
    #[must_use]
    pub fn of_meta(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

impl Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An object that exists but does not fit its Rust type.
#[derive(Clone, Debug)]
pub struct Poisoned {
    /// Its metadata, enough to write a condition.
    pub metadata: ObjectMeta,
    /// What does not fit, e.g. ``invalid type: string "x", expected i64``.
    pub error: String,
}

/// One change of one object. `old` and `new` are both `None` when only its poison changed.
#[derive(Debug)]
pub struct Change<K> {
    /// Whose change.
    pub key: ObjectKey,
    /// The object before, if there was one that converted.
    pub old: Option<Arc<K>>,
    /// The object now; `None` when it is gone or poisoned.
    pub new: Option<Arc<K>>,
    /// Set when the object exists but does not convert.
    pub poisoned: Option<Arc<Poisoned>>,
}

impl<K> Change<K> {
    /// The object is gone from the API (a poisoned one is not).
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.new.is_none() && self.poisoned.is_none()
    }
}

type Callback<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;
type IndexFn<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;
type ShrinkFn<K> = Box<dyn Fn(&mut K) + Send + Sync>;

struct Index<K> {
    name: &'static str,
    of: IndexFn<K>,
    keys: BTreeMap<String, BTreeSet<ObjectKey>>,
}

struct State<K> {
    objects: BTreeMap<ObjectKey, Arc<K>>,
    poisoned: BTreeMap<ObjectKey, Arc<Poisoned>>,
    indexes: Vec<Index<K>>,
    ahead: Ahead,
}

struct Inner<K> {
    source: Source,
    state: RwLock<State<K>>,
    /// Held while a change is stored and told, so that a late subscriber misses nothing.
    callbacks: Mutex<Vec<Callback<K>>>,
    shrink: Option<ShrinkFn<K>>,
    synced: watch::Sender<bool>,
}

/// A started cache; clones share it and the last one ends the watch.
pub struct Cache<K> {
    inner: Arc<Inner<K>>,
    _watch: Arc<DropGuard>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), _watch: Arc::clone(&self._watch) }
    }
}

/// Says what to watch and what to keep.
///
/// ```no_run
/// # use runtime::cache::CacheBuilder;
/// # use k8s_openapi::api::core::v1::ConfigMap;
/// # async fn example(client: kube::Client, queue: runtime::Queue<runtime::ObjectKey>) {
/// let maps = CacheBuilder::<ConfigMap>::new(client)
///     .namespace("fleet-local")
///     .index("by-app", |m| m.metadata.labels.iter().flatten().map(|(_, v)| v.clone()).collect())
///     .start();
/// maps.subscribe(move |change| queue.add(change.key.clone()));
/// maps.synced().await;
/// # }
/// ```
pub struct CacheBuilder<K> {
    client: Client,
    resource: ApiResource,
    namespace: Option<String>,
    config: watcher::Config,
    metadata_only: bool,
    shrink: Option<ShrinkFn<K>>,
    indexes: Vec<Index<K>>,
    seed: Option<u64>,
}

impl<K> CacheBuilder<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// All objects of `K` in all namespaces.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::of_resource(client, ApiResource::erase::<K>(&()))
    }
}

impl<K> CacheBuilder<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// All objects of a kind known only at run time (`K` is then usually `DynamicObject`).
    #[must_use]
    pub fn of_resource(client: Client, resource: ApiResource) -> Self {
        Self {
            client,
            resource,
            namespace: None,
            config: watcher::Config::default().streaming_lists(),
            metadata_only: false,
            shrink: None,
            indexes: Vec::new(),
            seed: None,
        }
    }

    /// Lists are read page by page from the newest state; those that are streamed may be older.
    #[must_use]
    pub fn newest(mut self) -> Self {
        self.config.initial_list_strategy = InitialListStrategy::ListWatch;
        self.config.list_semantic = ListSemantic::MostRecent;
        self
    }

    /// How many objects one page of such a list has, 500 unless told.
    #[must_use]
    pub fn page_size(mut self, count: u32) -> Self {
        self.config.page_size = Some(count);
        self
    }

    /// Only one namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Only objects that match a label selector, as on the command line of kubectl.
    #[must_use]
    pub fn labels(mut self, selector: &str) -> Self {
        self.config = self.config.labels(selector);
        self
    }

    /// Only objects that match a field selector, e.g. `metadata.name=x`.
    #[must_use]
    pub fn fields(mut self, selector: &str) -> Self {
        self.config = self.config.fields(selector);
        self
    }

    /// Asks the server for metadata only. `K` must convert without spec and status:
    /// `PartialObjectMeta<T>`, or a type whose other fields are optional.
    #[must_use]
    pub fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self
    }

    /// Drops what nobody reads before an object is kept. (`managedFields` always go.)
    #[must_use]
    pub fn shrink(mut self, shrink: impl Fn(&mut K) + Send + Sync + 'static) -> Self {
        self.shrink = Some(Box::new(shrink));
        self
    }

    /// Adds an index: [`Cache::by_index`] finds the objects for which `of` gave a term.
    #[must_use]
    pub fn index(
        mut self,
        name: &'static str,
        of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.indexes.push(Index { name, of: Box::new(of), keys: BTreeMap::new() });
        self
    }

    /// Seeds the jitter of reconnects, for simulations.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the watch on the current tokio runtime.
    #[must_use]
    pub fn start(self) -> Cache<K> {
        let state = State {
            objects: BTreeMap::new(),
            poisoned: BTreeMap::new(),
            indexes: self.indexes,
            ahead: Ahead::default(),
        };
        let source = Source {
            client: self.client,
            resource: self.resource,
            namespace: self.namespace,
            metadata_only: self.metadata_only,
        };
        let inner = Arc::new(Inner {
            source: source.clone(),
            state: RwLock::new(state),
            callbacks: Mutex::new(Vec::new()),
            shrink: self.shrink,
            synced: watch::Sender::new(false),
        });
        let stop = CancellationToken::new();
        let feed = feed::Feed {
            source,
            config: self.config,
            jitter: self.seed.map_or_else(Jitter::from_entropy, Jitter::seeded),
        };
        tokio::spawn({
            let (inner, stop) = (Arc::clone(&inner), stop.clone());
            async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = feed.run(&inner) => {}
                }
            }
        });
        Cache { inner, _watch: Arc::new(stop.drop_guard()) }
    }
}

impl<K> Cache<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Waits for the first complete list. Decide nothing before: absence proves nothing yet.
    pub async fn synced(&self) {
        let mut synced = self.inner.synced.subscribe();
        // The sender lives in `inner`, which we hold: waiting cannot fail.
        drop(synced.wait_for(|done| *done).await);
    }

    /// Whether the first list is complete.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.inner.synced.borrow()
    }

    /// One object. `None` also for a poisoned one: ask [`Cache::exists`] before deleting things
    /// because an object is absent.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.inner.read().objects.get(key).cloned()
    }

    /// Whether the object is in the API, converted or poisoned.
    #[must_use]
    pub fn exists(&self, key: &ObjectKey) -> bool {
        let state = self.inner.read();
        state.objects.contains_key(key) || state.poisoned.contains_key(key)
    }

    /// Why an object that exists does not convert.
    #[must_use]
    pub fn poisoned_at(&self, key: &ObjectKey) -> Option<Arc<Poisoned>> {
        self.inner.read().poisoned.get(key).cloned()
    }

    /// All objects that do not convert, by key.
    #[must_use]
    pub fn poisoned(&self) -> Vec<Arc<Poisoned>> {
        self.inner.read().poisoned.values().cloned().collect()
    }

    /// All objects, by key.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<K>> {
        self.inner.read().objects.values().cloned().collect()
    }

    /// All objects of one namespace, by name.
    #[must_use]
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        let state = self.inner.read();
        let from = ObjectKey::new(namespace, "");
        let in_namespace =
            state.objects.range(from..).take_while(|(k, _)| k.namespace == namespace);
        in_namespace.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// The objects for which the index function gave `term`, by key. An index that was not
    /// declared finds nothing.
    #[must_use]
    pub fn by_index(&self, index: &str, term: &str) -> Vec<Arc<K>> {
        let state = self.inner.read();
        let keys = state.indexes.iter().find(|i| i.name == index).and_then(|i| i.keys.get(term));
        keys.into_iter().flatten().filter_map(|k| state.objects.get(k).cloned()).collect()
    }

    /// Number of objects for which the index function gave `term`.
    #[must_use]
    pub fn count_index(&self, index: &str, term: &str) -> usize {
        let state = self.inner.read();
        let keys = state.indexes.iter().find(|i| i.name == index).and_then(|i| i.keys.get(term));
        keys.map_or(0, BTreeSet::len)
    }

    /// Number of objects kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.read().objects.len()
    }

    /// No object is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `callback` for every object there is (with `old` empty) and for every later change.
    ///
    /// Callbacks run one after another on the watch task: they should add to a queue and return.
    /// They may read any cache, and must not subscribe to this one.
    pub fn subscribe(&self, callback: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let mut callbacks = self.inner.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<Change<K>> = {
            let state = self.inner.read();
            let good = state.objects.iter().map(|(key, object)| Change {
                key: key.clone(),
                old: None,
                new: Some(Arc::clone(object)),
                poisoned: None,
            });
            let bad = state.poisoned.iter().map(|(key, poisoned)| Change {
                key: key.clone(),
                old: None,
                new: None,
                poisoned: Some(Arc::clone(poisoned)),
            });
            good.chain(bad).collect()
        };
        known.iter().for_each(&callback);
        callbacks.push(Box::new(callback));
    }
}

impl<K> Inner<K> {
    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<K>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
