//! The state that readers see: tables, history ring, subscribers, owner index.
//!
//! Owns the rules of revisions; pure but for channel sends. Knows nothing of files or kinds.
//! Start at [`State::stage`] and [`State::publish`].

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{
    Entry, Event, EventKind, Expect, Key, Page, ResourceId, Scope, StoreError, Subscription, Write,
};

/// Events a watcher may lag behind before its watch is ended (it resumes from the history).
const SUBSCRIBER_QUEUE_COUNT: usize = 4096;

/// Text held by the history, at most, before the oldest events are dropped.
const HISTORY_BYTES: usize = 64 << 20;

type Table = BTreeMap<Box<str>, Arc<Entry>>;
pub(super) type Queued = (Arc<Event>, oneshot::Sender<Result<Arc<Entry>, StoreError>>);
/// A scope as a map key: one resource, in one namespace or in all.
type ScopeKey = (ResourceId, Option<Box<str>>);

pub(super) struct State {
    tables: BTreeMap<ResourceId, Table>,
    /// Newest revision given out, and newest one that is visible.
    last_staged: u64,
    last_visible: u64,
    /// Changes given out but not yet durable: what the next writer must build on.
    pending: BTreeMap<Key, (u64, Option<Arc<Entry>>)>,
    pub(super) queue: Vec<Queued>,
    history: VecDeque<Arc<Event>>,
    history_limit: usize,
    history_bytes: usize,
    /// Watches can start at this revision or later.
    oldest: u64,
    /// Objects that came from disk.
    loaded_count: usize,
    subscribers: HashMap<ScopeKey, Vec<mpsc::Sender<Arc<Event>>>>,
    /// Owner uid → objects that name it.
    owned: BTreeMap<Box<str>, BTreeSet<Key>>,
}

impl State {
    pub(super) fn new(history_limit: usize) -> State {
        State {
            tables: BTreeMap::new(),
            last_staged: 1,
            last_visible: 1,
            pending: BTreeMap::new(),
            queue: Vec::new(),
            history: VecDeque::new(),
            history_limit,
            history_bytes: 0,
            oldest: 1,
            loaded_count: 0,
            subscribers: HashMap::new(),
            owned: BTreeMap::new(),
        }
    }

    /// Puts an object read from disk. Only before the first [`State::stage`].
    pub(super) fn load(&mut self, key: Key, revision: u64, bytes: Bytes) {
        let entry = Entry::new(revision, bytes);
        self.loaded_count += 1;
        // Nobody has changed these lately; a few plain ones make a start fast.
        let packed = (self.loaded_count > self.history_limit).then(|| entry.packed()).flatten();
        let entry = Arc::new(packed.unwrap_or(entry));
        self.index_owners(&key, None, Some(&entry));
        self.tables.entry(key.resource).or_default().insert(key.path, entry);
        self.start_at(revision);
    }

    /// Continues counting after `revision`; history before it is unknown.
    pub(super) fn start_at(&mut self, revision: u64) {
        self.last_staged = self.last_staged.max(revision);
        self.last_visible = self.last_staged;
        self.oldest = self.last_staged;
    }

    pub(super) fn revision(&self) -> u64 {
        self.last_visible
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.tables.get(&key.resource)?.get(&key.path).cloned()
    }

    pub(super) fn latest(&self, key: &Key) -> Option<Arc<Entry>> {
        match self.pending.get(key) {
            Some((_, entry)) => entry.clone(),
            None => self.get(key),
        }
    }

    /// Checks a change against the newest state and gives it a revision; nobody sees it yet.
    pub(super) fn stage(&mut self, write: Write) -> Result<(Arc<Event>, Value), StoreError> {
        let Write { key, expect, mut object, delete } = write;
        let previous = self.latest(&key);
        match (expect, &previous) {
            (Expect::Absent, None) => {}
            (Expect::Absent, Some(_)) => return Err(StoreError::Exists),
            (Expect::Revision(revision), Some(entry)) if entry.revision == revision => {}
            (Expect::Revision(_), _) => return Err(StoreError::Conflict),
        }
        self.last_staged += 1;
        let revision = self.last_staged;
        object["metadata"]["resourceVersion"] = Value::String(revision.to_string());
        let text = serde_json::to_vec(&object).unwrap_or_default();
        let entry = Arc::new(Entry::new(revision, text.into()));
        let kind = match (delete, &previous) {
            (true, _) => EventKind::Deleted,
            (false, Some(_)) => EventKind::Modified,
            (false, None) => EventKind::Added,
        };
        self.pending.insert(key.clone(), (revision, (!delete).then(|| entry.clone())));
        let mut event = Event::new(revision, kind, key, entry);
        event.previous = previous;
        Ok((Arc::new(event), object))
    }

    /// Makes a staged change visible and tells the watchers. In the order of staging.
    pub(super) fn publish(&mut self, event: Arc<Event>) {
        let key = &event.key;
        if self.pending.get(key).is_some_and(|(revision, _)| *revision == event.revision) {
            self.pending.remove(key);
        }
        self.last_visible = event.revision;
        let now = (event.kind != EventKind::Deleted).then(|| event.object.clone());
        self.index_owners(key, event.previous.as_ref(), now.as_ref());
        match now {
            Some(entry) => {
                let table = self.tables.entry(key.resource.clone()).or_default();
                table.insert(key.path.clone(), entry);
            }
            None => {
                if let Some(table) = self.tables.get_mut(&key.resource) {
                    table.remove(&key.path);
                }
            }
        }
        self.remember(&event);
        self.tell(&event);
    }

    /// Forgets every change that could not be made durable.
    pub(super) fn abandon(&mut self) {
        self.pending.clear();
    }

    fn remember(&mut self, event: &Arc<Event>) {
        self.history_bytes += event.object.len();
        self.history.push_back(event.clone());
        while self.history.len() > self.history_limit || self.history_bytes > HISTORY_BYTES {
            let Some(dropped) = self.history.pop_front() else { break };
            self.history_bytes -= dropped.object.len();
            self.oldest = dropped.revision;
            self.pack(&dropped);
        }
    }

    /// Packs the object of an event that left the window, unless it was changed since.
    fn pack(&mut self, event: &Event) {
        let table = self.tables.get_mut(&event.key.resource);
        let Some(entry) = table.and_then(|table| table.get_mut(&event.key.path)) else { return };
        if Arc::ptr_eq(entry, &event.object)
            && let Some(packed) = entry.packed()
        {
            *entry = Arc::new(packed);
        }
    }

    fn tell(&mut self, event: &Arc<Event>) {
        let resource = &event.key.resource;
        let namespace = event.key.namespace().map(Box::from);
        let scopes =
            [Some((resource.clone(), None)), namespace.map(|n| (resource.clone(), Some(n)))];
        for scope in scopes.into_iter().flatten() {
            let Some(senders) = self.subscribers.get_mut(&scope) else { continue };
            senders.retain(|sender| sender.try_send(event.clone()).is_ok());
            if senders.is_empty() {
                self.subscribers.remove(&scope);
            }
        }
    }

    pub(super) fn subscribe(
        &mut self,
        scope: &Scope,
        from: u64,
    ) -> Result<Subscription, StoreError> {
        if from > self.last_visible {
            return Err(StoreError::Future { asked: from, current: self.last_visible });
        }
        if from < self.oldest {
            return Err(StoreError::Gone { asked: from, oldest: self.oldest });
        }
        let start = self.history.partition_point(|e| e.revision <= from);
        let backlog = self.history.range(start..).filter(|e| in_scope(&e.key, scope)).cloned();
        let backlog = backlog.collect();
        let (sender, events) = mpsc::channel(SUBSCRIBER_QUEUE_COUNT);
        let key = (scope.resource.clone(), scope.namespace.clone());
        let senders = self.subscribers.entry(key).or_default();
        senders.retain(|s| !s.is_closed());
        senders.push(sender);
        Ok(Subscription { backlog, events })
    }

    pub(super) fn history_after(&self, revision: u64) -> Result<Vec<Arc<Event>>, StoreError> {
        if revision < self.oldest {
            return Err(StoreError::Gone { asked: revision, oldest: self.oldest });
        }
        let start = self.history.partition_point(|event| event.revision <= revision);
        Ok(self.history.range(start..).cloned().collect())
    }

    pub(super) fn list(
        &self,
        scope: &Scope,
        after: &str,
        limit: usize,
        at: u64,
    ) -> Result<Page, StoreError> {
        if at > self.last_visible {
            return Err(StoreError::Future { asked: at, current: self.last_visible });
        }
        let table = self.tables.get(&scope.resource);
        let prefix = scope.namespace.as_ref().map_or_else(String::new, |n| format!("{n}/"));
        let start = if after.is_empty() {
            Bound::Included(prefix.as_str())
        } else {
            Bound::Excluded(after)
        };
        let rows = table.into_iter().flat_map(|t| t.range::<str, _>((start, Bound::Unbounded)));
        let rows = rows.take_while(|(path, _)| path.starts_with(&prefix));
        if at == 0 || at == self.last_visible {
            let mut rows = rows.map(|(p, e)| (p.clone(), e.clone()));
            let entries: Vec<_> = rows.by_ref().take(limit).collect();
            let remaining = rows.count();
            return Ok(Page { entries, revision: self.last_visible, remaining });
        }
        let past = self.changed_since(scope, at)?;
        let mut merged: BTreeMap<Box<str>, Arc<Entry>> =
            rows.map(|(p, e)| (p.clone(), e.clone())).collect();
        for (path, entry) in past {
            if &*path <= after && !after.is_empty() {
                continue;
            }
            match entry {
                Some(entry) => merged.insert(path, entry),
                None => merged.remove(&path),
            };
        }
        let remaining = merged.len().saturating_sub(limit);
        Ok(Page { entries: merged.into_iter().take(limit).collect(), revision: at, remaining })
    }

    /// For every object changed after `at`: what it was then.
    fn changed_since(
        &self,
        scope: &Scope,
        at: u64,
    ) -> Result<BTreeMap<Box<str>, Option<Arc<Entry>>>, StoreError> {
        if at < self.oldest {
            return Err(StoreError::Gone { asked: at, oldest: self.oldest });
        }
        let start = self.history.partition_point(|e| e.revision <= at);
        let mut was = BTreeMap::new();
        for event in self.history.range(start..).filter(|e| in_scope(&e.key, scope)) {
            was.entry(event.key.path.clone()).or_insert_with(|| event.previous.clone());
        }
        Ok(was)
    }

    pub(super) fn owned_by(&self, uid: &str) -> Vec<Key> {
        self.owned.get(uid).into_iter().flatten().cloned().collect()
    }

    pub(super) fn keys_in_namespace(&self, namespace: &str) -> Vec<Key> {
        let prefix = format!("{namespace}/");
        let mut keys = Vec::new();
        for (resource, table) in &self.tables {
            let rows = table.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
            for (path, _) in rows.take_while(|(path, _)| path.starts_with(&prefix)) {
                keys.push(Key { resource: resource.clone(), path: path.clone() });
            }
        }
        keys
    }

    fn index_owners(&mut self, key: &Key, old: Option<&Arc<Entry>>, new: Option<&Arc<Entry>>) {
        let uids =
            |entry: Option<&Arc<Entry>>| entry.map(|e| owner_uids(&e.bytes())).unwrap_or_default();
        let (before, after) = (uids(old), uids(new));
        for uid in before.difference(&after) {
            if let Some(keys) = self.owned.get_mut(uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.owned.remove(uid);
                }
            }
        }
        for uid in after.difference(&before) {
            self.owned.entry(uid.clone()).or_default().insert(key.clone());
        }
    }
}

fn in_scope(key: &Key, scope: &Scope) -> bool {
    key.resource == scope.resource
        && scope.namespace.as_ref().is_none_or(|n| key.namespace() == Some(n))
}

/// The uids in `metadata.ownerReferences`, without reading the rest of the object.
fn owner_uids(text: &[u8]) -> BTreeSet<Box<str>> {
    #[derive(serde::Deserialize)]
    struct Object {
        metadata: Metadata,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        #[serde(default)]
        owner_references: Vec<Owner>,
    }
    #[derive(serde::Deserialize)]
    struct Owner {
        uid: Box<str>,
    }
    // Most objects have no owner: a scan for the word is thirty times cheaper than a parse.
    const WORD: &[u8] = b"\"ownerReferences\"";
    if !text.windows(WORD.len()).any(|w| w == WORD) {
        return BTreeSet::new();
    }
    let object: Result<Object, _> = serde_json::from_slice(text);
    object
        .map(|o| o.metadata.owner_references.into_iter().map(|o| o.uid).collect())
        .unwrap_or_default()
}
