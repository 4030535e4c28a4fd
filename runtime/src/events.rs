//! Kubernetes Events: one per change.
//!
//! Owns the writing and the deduplication. Knows nothing of when something is worth an Event.
//! Start at [`Events::publish`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource};

use crate::clock::Clock;

/// Last notes remembered for deduplication; more objects than this may repeat an Event.
const REMEMBERED_MAX: usize = 4096;
/// The API server's limit for a note.
const NOTE_BYTES_MAX: usize = 1024;

/// Normal or Warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Something went as planned.
    Normal,
    /// Someone should look.
    Warning,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct Occurrence<'a> {
    /// Normal or Warning.
    pub kind: EventType,
    /// CamelCase word such as `GotNewCommit`.
    pub reason: &'a str,
    /// What was being done, CamelCase.
    pub action: &'a str,
    /// Text for people; cut at 1024 bytes. Never a credential.
    pub note: &'a str,
}

/// Writes events.k8s.io Events; clones share what was written.
#[derive(Clone)]
pub struct Events {
    client: Client,
    controller: String,
    instance: String,
    clock: Clock,
    /// Last note per (object uid, reason).
    told: Arc<Mutex<BTreeMap<(String, String), String>>>,
}

impl Events {
    /// A recorder that reports as `controller` (e.g. `fleet-gitops`), from `instance` (the pod).
    #[must_use]
    pub fn new(client: Client, controller: &str, instance: &str, clock: Clock) -> Self {
        Self {
            client,
            controller: controller.to_owned(),
            instance: if instance.is_empty() { controller } else { instance }.to_owned(),
            clock,
            told: Arc::default(),
        }
    }

    /// Writes an Event about `object` unless the last one with this reason said the same.
    ///
    /// A failed write is logged and forgotten: Events never stop the work they describe.
    pub async fn publish<K>(&self, object: &K, occurrence: &Occurrence<'_>)
    where
        K: Resource<DynamicType = ()>,
    {
        let regarding = object.object_ref(&());
        let key = (regarding.uid.clone().unwrap_or_default(), occurrence.reason.to_owned());
        if !self.is_news(key, occurrence.note) {
            return;
        }
        let event = self.event(regarding, occurrence);
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            let error = bundle_format::error::chain(&error);
            tracing::debug!(reason = occurrence.reason, error, "event not written");
        }
    }

    /// Lets the next Event with this reason through even if it says the same as the last: call it
    /// when the condition behind it ended.
    pub fn clear(&self, uid: &str, reason: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.remove(&(uid.to_owned(), reason.to_owned()));
    }

    fn is_news(&self, key: (String, String), note: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&key).is_some_and(|last| last == note) {
            return false;
        }
        if told.len() >= REMEMBERED_MAX {
            told.pop_first();
        }
        told.insert(key, note.to_owned());
        true
    }

    fn event(&self, regarding: ObjectReference, occurrence: &Occurrence<'_>) -> Event {
        let now = self.clock.now();
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let stem = regarding.name.as_deref().unwrap_or("object");
        Event {
            metadata: ObjectMeta {
                // As client-go: the object's name and the time in hex; unique enough, sortable.
                name: Some(format!("{}.{:x}", cut(stem, 200), now.as_nanosecond())),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            action: Some(occurrence.action.to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(cut(occurrence.note, NOTE_BYTES_MAX).to_owned()),
            reason: Some(occurrence.reason.to_owned()),
            regarding: Some(regarding),
            reporting_controller: Some(self.controller.clone()),
            reporting_instance: Some(cut(&self.instance, 128).to_owned()),
            type_: Some(
                match occurrence.kind {
                    EventType::Normal => "Normal",
                    EventType::Warning => "Warning",
                }
                .to_owned(),
            ),
            ..Event::default()
        }
    }
}

/// The longest prefix of at most `bytes_max` bytes that ends between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
