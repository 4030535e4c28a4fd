//! The watch that fills a cache.
//!
//! Owns the list, the watch, retries and the conversion of objects. Start at [`Feed::run`].

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, PoisonError};

use futures::stream::{BoxStream, StreamExt};
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta, PartialObjectMeta};
use kube::core::DynamicResourceScope;
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::ahead::{Word, version_of};
use super::{Change, Inner, ObjectKey, Poisoned, State};
use crate::backoff::{Backoff, Jitter};
use crate::client::optional;

/// Which objects, and where they are.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) client: Client,
    pub(super) resource: ApiResource,
    pub(super) namespace: Option<String>,
    pub(super) metadata_only: bool,
}

impl Source {
    fn api<T>(&self, namespace: Option<&str>) -> Api<T>
    where
        T: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &self.resource),
            None => Api::all_with(self.client.clone(), &self.resource),
        }
    }

    /// One object as it is now.
    pub(super) async fn get(&self, key: &ObjectKey) -> kube::Result<Option<DynamicObject>> {
        let namespace = (!key.namespace.is_empty()).then_some(key.namespace.as_str());
        let api = self.api::<DynamicObject>(namespace);
        if !self.metadata_only {
            return optional(api.get(&key.name).await);
        }
        // What is not kept is not fetched either: there are Secrets among these.
        let found = optional(api.get_metadata(&key.name).await)?;
        Ok(found.map(|object| bare(object.metadata)))
    }
}

fn bare(metadata: ObjectMeta) -> DynamicObject {
    DynamicObject { types: None, metadata, data: serde_json::Value::Null }
}

pub(super) struct Feed {
    pub(super) source: Source,
    pub(super) config: watcher::Config,
    pub(super) jitter: Jitter,
}

/// What the server said about one object.
pub(super) enum Arrival<K> {
    Good(K),
    Bad(Poisoned),
    Gone,
}

impl Feed {
    /// Feeds the cache for ever.
    pub(super) async fn run<K>(mut self, inner: &Inner<K>)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let mut stream = self.open();
        let mut attempt = 0;
        // Keys of the list that is being received; what is missing at its end was deleted.
        let mut listed: Option<BTreeSet<ObjectKey>> = None;
        loop {
            match stream.next().await {
                Some(Ok(event)) => {
                    attempt = 0;
                    let is_relisted = matches!(event, Event::InitDone);
                    inner.receive(event, &mut listed);
                    if is_relisted {
                        self.ask_for_unseen(inner).await;
                    }
                }
                Some(Err(error)) if self.refuses_streaming(&error) => {
                    tracing::debug!(kind = inner.kind(), "server has no streaming lists: paging");
                    self.config.initial_list_strategy = InitialListStrategy::ListWatch;
                    stream = self.open();
                }
                Some(Err(error)) => {
                    attempt += 1;
                    let delay = Backoff::UNAVAILABLE.delay(attempt, &mut self.jitter);
                    note_error(inner.kind(), attempt, &error);
                    tokio::time::sleep(delay).await;
                }
                None => stream = self.open(),
            }
        }
    }

    /// A list may be older than an answer we got: what it does not show of those is asked for.
    async fn ask_for_unseen<K>(&mut self, inner: &Inner<K>)
    where
        K: Resource + DeserializeOwned,
    {
        for key in inner.unseen() {
            let mut attempt = 0;
            while let Err(error) = inner.refresh(&key).await {
                attempt += 1;
                let error = bundle_format::error::chain(&error);
                tracing::debug!(kind = inner.kind(), object = %key, error, "cannot be read");
                tokio::time::sleep(Backoff::UNAVAILABLE.delay(attempt, &mut self.jitter)).await;
            }
        }
    }

    fn open(&self) -> BoxStream<'static, watcher::Result<Event<DynamicObject>>> {
        let config = self.config.clone();
        let namespace = self.source.namespace.as_deref();
        if !self.source.metadata_only {
            return watcher::watcher(self.source.api::<DynamicObject>(namespace), config).boxed();
        }
        // `Api` asks for metadata only when its type says so.
        let api = self.source.api::<PartialObjectMeta<DynamicObject>>(namespace);
        let stream = watcher::watcher(api, config);
        stream
            .map(move |event| {
                event.map(|event| match event {
                    Event::Apply(o) => Event::Apply(bare(o.metadata)),
                    Event::Delete(o) => Event::Delete(bare(o.metadata)),
                    Event::InitApply(o) => Event::InitApply(bare(o.metadata)),
                    Event::Init => Event::Init,
                    Event::InitDone => Event::InitDone,
                })
            })
            .boxed()
    }

    /// Servers without the WatchList feature answer 400 or 422 to `sendInitialEvents`.
    fn refuses_streaming(&self, error: &watcher::Error) -> bool {
        let streaming = self.config.initial_list_strategy == InitialListStrategy::StreamingList;
        let code = match error {
            watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code,
            watcher::Error::WatchError(status) => status.code,
            _ => return false,
        };
        streaming && matches!(code, 400 | 422)
    }
}

/// A watch that ends or expires is the rule, one that fails again and again is news.
fn note_error(kind: &str, attempt: u32, error: &watcher::Error) {
    let expired = matches!(error, watcher::Error::WatchError(status) if status.code == 410);
    let error = bundle_format::error::chain(error);
    if expired || attempt == 1 {
        tracing::debug!(kind, attempt, error, "watch interrupted");
    } else {
        tracing::warn!(kind, attempt, error, "watch fails");
    }
}

impl<K> Inner<K> {
    pub(super) fn kind(&self) -> &str {
        &self.source.resource.kind
    }
}

impl<K> Inner<K>
where
    K: Resource + DeserializeOwned,
{
    fn receive(&self, event: Event<DynamicObject>, listed: &mut Option<BTreeSet<ObjectKey>>) {
        match event {
            Event::Apply(object) => self.store(object),
            Event::Delete(object) => {
                let version = version_of(&object.metadata);
                self.place(ObjectKey::of(&object), Word::Watch(version), Arrival::Gone);
            }
            Event::Init => {
                self.write().ahead.begin_list();
                *listed = Some(BTreeSet::new());
            }
            Event::InitApply(object) => {
                if let Some(listed) = listed {
                    listed.insert(ObjectKey::of(&object));
                }
                self.store(object);
            }
            Event::InitDone => {
                for key in self.absent_from(&listed.take().unwrap_or_default()) {
                    self.place(key, Word::Watch(None), Arrival::Gone);
                }
                self.synced.send_if_modified(|done| !std::mem::replace(done, true));
            }
        }
    }

    fn store(&self, object: DynamicObject) {
        let (key, version) = (ObjectKey::of(&object), version_of(&object.metadata));
        if self.is_known(&key, object.metadata.resource_version.as_deref()) {
            self.write().ahead.admits(&key, &Word::Watch(version));
            return;
        }
        self.place(key, Word::Watch(version), self.convert(object));
    }

    pub(super) fn convert(&self, mut object: DynamicObject) -> Arrival<K> {
        object.managed_fields_mut().clear();
        let metadata = object.metadata.clone();
        match object.try_parse::<K>() {
            Ok(mut converted) => {
                if let Some(shrink) = &self.shrink {
                    shrink(&mut converted);
                }
                Arrival::Good(converted)
            }
            Err(error) => Arrival::Bad(Poisoned { metadata, error: parse_text(&error) }),
        }
    }

    /// A relist repeats what did not change; that is not news.
    fn is_known(&self, key: &ObjectKey, version: Option<&str>) -> bool {
        let state = self.read();
        let known = match (state.objects.get(key), state.poisoned.get(key)) {
            (Some(object), _) => object.meta().resource_version.as_deref(),
            (None, Some(poisoned)) => poisoned.metadata.resource_version.as_deref(),
            (None, None) => return false,
        };
        version.is_some() && known == version
    }

    fn absent_from(&self, listed: &BTreeSet<ObjectKey>) -> Vec<ObjectKey> {
        let state = self.read();
        let keys = state.objects.keys().chain(state.poisoned.keys());
        keys.filter(|key| !listed.contains(key) && !state.ahead.is_unseen(key)).cloned().collect()
    }
}

impl<K: Resource> Inner<K> {
    /// Keeps what was said of an object and tells it, unless something newer was said before.
    pub(super) fn place(&self, key: ObjectKey, word: Word, arrival: Arrival<K>) {
        let callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let change = {
            let mut state = self.write();
            if !state.ahead.admits(&key, &word) {
                return;
            }
            state.replace(key, arrival)
        };
        if let Some(poisoned) = &change.poisoned {
            let error = &poisoned.error;
            tracing::warn!(kind = self.kind(), object = %change.key, error, "object does not fit");
        }
        for callback in callbacks.iter() {
            callback(&change);
        }
    }
}

impl<K: Resource> State<K> {
    fn replace(&mut self, key: ObjectKey, arrival: Arrival<K>) -> Change<K> {
        let old = self.objects.remove(&key);
        self.poisoned.remove(&key);
        let (new, poisoned) = match arrival {
            Arrival::Good(object) => (Some(Arc::new(object)), None),
            Arrival::Bad(poisoned) => (None, Some(Arc::new(poisoned))),
            Arrival::Gone => (None, None),
        };
        for index in &mut self.indexes {
            let terms = |object: &Option<Arc<K>>| -> BTreeSet<String> {
                object.iter().flat_map(|o| (index.of)(o)).collect()
            };
            let (before, after) = (terms(&old), terms(&new));
            for term in before.difference(&after) {
                if let Some(keys) = index.keys.get_mut(term) {
                    keys.remove(&key);
                    if keys.is_empty() {
                        index.keys.remove(term);
                    }
                }
            }
            for term in after.difference(&before) {
                index.keys.entry(term.clone()).or_default().insert(key.clone());
            }
        }
        if let Some(object) = &new {
            self.objects.insert(key.clone(), Arc::clone(object));
        }
        if let Some(poisoned) = &poisoned {
            self.poisoned.insert(key.clone(), Arc::clone(poisoned));
        }
        Change { key, old, new, poisoned }
    }
}

fn parse_text(error: &kube::core::dynamic::ParseDynamicObjectError) -> String {
    use std::error::Error;
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
