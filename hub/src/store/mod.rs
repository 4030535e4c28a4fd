//! Objects, revisions and the watch history, in memory or on disk.
//!
//! Owns: one monotonic revision for all objects, compare-and-set, the window of past events, who
//! is told of which change, and (in [`file`]) durability. Knows nothing of kinds, requests or
//! rules: an object is a key and JSON text. Start at [`Store::commit`].
//!
//! Invariant: a change is visible to readers and watchers only after it is durable, and the answer
//! to its writer comes only after that.

mod entry;
mod file;
mod memory;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use bytes::Bytes;
pub(crate) use entry::{Entry, Labels};
use file::Journal;
use memory::State;

/// `group/plural`, shared by every object of one resource (all versions of a kind together).
pub(crate) type ResourceId = Arc<str>;

/// Where an object lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) resource: ResourceId,
    /// `namespace/name`, or `name` for cluster-scoped kinds: the order that etcd lists in.
    pub(crate) path: Box<str>,
}

impl Key {
    pub(crate) fn new(resource: &ResourceId, namespace: Option<&str>, name: &str) -> Key {
        let path = match namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        };
        Key { resource: resource.clone(), path: path.into() }
    }

    pub(crate) fn namespace(&self) -> Option<&str> {
        self.path.split_once('/').map(|(namespace, _)| namespace)
    }

    pub(crate) fn name(&self) -> &str {
        self.path.split_once('/').map_or(&self.path, |(_, name)| name)
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    Added,
    Modified,
    Deleted,
}

/// One change, as the history keeps it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) revision: u64,
    pub(crate) kind: EventKind,
    pub(crate) key: Key,
    /// The object after the change; for a deletion its last state with the deletion's revision.
    pub(crate) object: Arc<Entry>,
    pub(crate) previous: Option<Arc<Entry>>,
    labels: OnceLock<Labels>,
    previous_labels: OnceLock<Labels>,
}

impl Event {
    pub(crate) fn new(revision: u64, kind: EventKind, key: Key, object: Arc<Entry>) -> Event {
        let (labels, previous_labels) = Default::default();
        Event { revision, kind, key, object, previous: None, labels, previous_labels }
    }

    /// Labels after the change, read once for all watchers with a selector.
    pub(crate) fn labels(&self) -> &Labels {
        self.labels.get_or_init(|| self.object.labels())
    }

    /// Labels before the change; `None` when there was no object.
    pub(crate) fn previous_labels(&self) -> Option<&Labels> {
        let previous = self.previous.as_ref()?;
        Some(self.previous_labels.get_or_init(|| previous.labels()))
    }
}

/// What a writer believes about the object it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Absent,
    Revision(u64),
}

/// One change to make.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) expect: Expect,
    /// The whole new object; with `delete` its last state, shown to watchers.
    pub(crate) object: Value,
    pub(crate) delete: bool,
}

/// A change that is done.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) object: Value,
    /// The object as it was stored.
    pub(crate) text: Bytes,
}

/// Why a change or a read was refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object exists already.
    #[error("the object exists already")]
    Exists,
    /// The object is gone or has another revision than expected.
    #[error("the object has been modified")]
    Conflict,
    /// The asked revision is older than the history window.
    #[error("too old resource version: {asked} ({oldest})")]
    Gone {
        /// The revision that was asked for.
        asked: u64,
        /// The oldest one that can still be served.
        oldest: u64,
    },
    /// The asked revision is not reached yet.
    #[error("Too large resource version: {asked}, current: {current}")]
    Future {
        /// The revision that was asked for.
        asked: u64,
        /// The newest revision.
        current: u64,
    },
    /// The data file could not be opened or written.
    #[error("data file {path}: {source}")]
    Disk {
        /// The file.
        path: String,
        /// What the file system or the database said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has the data file open.
    #[error("data file {path} is in use by another instance; stop it or choose another --data")]
    InUse {
        /// The file.
        path: String,
    },
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<(Box<str>, Arc<Entry>)>,
    /// The revision the page is a snapshot of.
    pub(crate) revision: u64,
    /// How many objects follow this page.
    pub(crate) remaining: usize,
}

/// Which objects a list or watch is about.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) resource: ResourceId,
    pub(crate) namespace: Option<Box<str>>,
}

/// Events of one scope, in order, none missing. Ends when the reader is too slow.
pub(crate) struct Subscription {
    pub(crate) backlog: Vec<Arc<Event>>,
    pub(crate) events: mpsc::Receiver<Arc<Event>>,
}

/// The store. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub(crate) struct Store {
    state: Arc<Mutex<State>>,
    journal: Option<Arc<Journal>>,
}

impl Store {
    /// A store that keeps nothing.
    pub(crate) fn memory(history: usize) -> Store {
        Store { state: Arc::new(Mutex::new(State::new(history))), journal: None }
    }

    /// Opens (or creates) the data file at `path` and reads all of it.
    pub(crate) fn open(path: &Path, history: usize) -> Result<Store, StoreError> {
        let mut state = State::new(history);
        let database = file::open(path, &mut state)?;
        let state = Arc::new(Mutex::new(state));
        let journal = Journal::start(database, path, state.clone())?;
        Ok(Store { state, journal: Some(journal) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held would have left a half-made change; none of the code
        // under it can panic by construction, so a poisoned lock is still a consistent state.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The newest visible revision.
    pub(crate) fn revision(&self) -> u64 {
        self.lock().revision()
    }

    /// The object as readers see it.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.lock().get(key)
    }

    /// The object as the next writer must see it: also changes that are being made durable.
    pub(crate) fn latest(&self, key: &Key) -> Option<Arc<Entry>> {
        self.lock().latest(key)
    }

    /// Up to `limit` objects after `after`, as of `at` (0: now).
    pub(crate) fn list(
        &self,
        scope: &Scope,
        after: &str,
        limit: usize,
        at: u64,
    ) -> Result<Page, StoreError> {
        self.lock().list(scope, after, limit, at)
    }

    /// Keys of the objects that name `uid` as an owner.
    pub(crate) fn owned_by(&self, uid: &str) -> Vec<Key> {
        self.lock().owned_by(uid)
    }

    /// All keys of one namespace, over all resources.
    pub(crate) fn keys_in_namespace(&self, namespace: &str) -> Vec<Key> {
        self.lock().keys_in_namespace(namespace)
    }

    /// Watches `scope`: every event after `from`, none missing. Fails when `from` is too old.
    pub(crate) fn subscribe(&self, scope: &Scope, from: u64) -> Result<Subscription, StoreError> {
        self.lock().subscribe(scope, from)
    }

    /// Every event after `revision`, of all resources.
    pub(crate) fn history_after(&self, revision: u64) -> Result<Vec<Arc<Event>>, StoreError> {
        self.lock().history_after(revision)
    }

    /// A snapshot of `scope` and every event after it.
    pub(crate) fn snapshot_and_subscribe(
        &self,
        scope: &Scope,
    ) -> Result<(Page, Subscription), StoreError> {
        let mut state = self.lock();
        let page = state.list(scope, "", usize::MAX, 0)?;
        let subscription = state.subscribe(scope, page.revision)?;
        Ok((page, subscription))
    }

    /// The newest revision, if `events` has nothing left to read: then everything up to it was seen.
    pub(crate) fn revision_if_drained(&self, events: &mpsc::Receiver<Arc<Event>>) -> Option<u64> {
        let state = self.lock();
        events.is_empty().then(|| state.revision())
    }

    /// Makes one change, or none. Done (visible, durable) when it returns `Ok`.
    pub(crate) async fn commit(&self, write: Write) -> Result<Committed, StoreError> {
        let (committed, waiter) = self.begin(write)?;
        if let Waiter::Pending(receiver) = waiter {
            receiver.await.map_err(|_| self.stopped())??;
        }
        Ok(committed)
    }

    fn begin(&self, write: Write) -> Result<(Committed, Waiter), StoreError> {
        let mut state = self.lock();
        let (event, object) = state.stage(write)?;
        let committed = Committed { object, text: event.object.bytes() };
        let Some(journal) = &self.journal else {
            state.publish(event);
            return Ok((committed, Waiter::Done));
        };
        let (sender, receiver) = oneshot::channel();
        state.queue.push((event, sender));
        journal.wake();
        Ok((committed, Waiter::Pending(receiver)))
    }

    fn stopped(&self) -> StoreError {
        let path = self.journal.as_ref().map_or_else(String::new, |j| j.path());
        let source = Arc::new(std::io::Error::other("the store has stopped"));
        StoreError::Disk { path, source }
    }
}

enum Waiter {
    Done,
    Pending(oneshot::Receiver<Result<Arc<Entry>, StoreError>>),
}
