//! What the server told us directly, ahead of the watch.
//!
//! Owns the promise that a copy never falls behind an answer it was given: what the watch or a list
//! shows of that object is passed over as long as it is older. Start at [`Cache::take_in`].

use std::collections::BTreeMap;

use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::DeserializeOwned;

use super::feed::Arrival;
use super::{Cache, Inner, ObjectKey};

/// How far the watch is, and what is known beyond that. Versions of one store can be compared: they
/// are its revisions (promised since Kubernetes 1.35, true since there is etcd).
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The newest version that the watch has shown: every change up to it is in the copy.
    shown: u64,
    /// Objects taken from answers that the watch has not shown yet, and their versions.
    unseen: BTreeMap<ObjectKey, u64>,
}

/// Who says how an object stands.
#[derive(Debug)]
pub(super) enum Word {
    /// The watch or a list, at that version; without one when the object is not in the list.
    Watch(Option<u64>),
    /// An answer to a request of ours, at that version.
    Answer(u64),
    /// An answer that there is no such object; that version of it had not been shown.
    Denial(u64),
}

pub(super) fn version_of(meta: &ObjectMeta) -> Option<u64> {
    meta.resource_version.as_ref()?.parse().ok()
}

impl Ahead {
    /// A list begins; it may be older than what the watch has shown.
    pub(super) fn begin_list(&mut self) {
        self.shown = 0;
    }

    pub(super) fn is_unseen(&self, key: &ObjectKey) -> bool {
        self.unseen.contains_key(key)
    }

    /// Notes what is said of an object; returns whether it is no older than what the copy has.
    pub(super) fn admits(&mut self, key: &ObjectKey, word: &Word) -> bool {
        let unseen = self.unseen.get(key).copied();
        let is_news = match *word {
            Word::Watch(version) => {
                self.shown = self.shown.max(version.unwrap_or_default());
                unseen.is_none_or(|unseen| version.is_some_and(|version| version >= unseen))
            }
            Word::Answer(version) => version > self.shown.max(unseen.unwrap_or_default()),
            Word::Denial(version) => unseen == Some(version),
        };
        match *word {
            Word::Answer(version) if is_news => drop(self.unseen.insert(key.clone(), version)),
            Word::Watch(_) | Word::Denial(_) if is_news => drop(self.unseen.remove(key)),
            _ => {}
        }
        is_news
    }
}

impl<K: Resource> Cache<K> {
    /// Takes in an object as the server returned it when we wrote it. From now on the copy shows it,
    /// or something newer, however late the watch is.
    pub fn take_in(&self, mut object: K) {
        let Some(version) = version_of(object.meta()) else { return };
        object.meta_mut().managed_fields = None;
        if let Some(shrink) = &self.inner.shrink {
            shrink(&mut object);
        }
        let key = ObjectKey::of_meta(object.meta());
        self.inner.place(key, Word::Answer(version), Arrival::Good(object));
    }
}

impl<K: Resource + DeserializeOwned> Cache<K> {
    /// Asks the server for one object: the copy shows what it answers, or something newer. For a
    /// write of which nobody knows whether it was done.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached; an absent object is no error.
    pub async fn refresh(&self, key: &ObjectKey) -> kube::Result<()> {
        self.inner.refresh(key).await
    }
}

impl<K> Inner<K> {
    /// What answers told and the watch did not.
    pub(super) fn unseen(&self) -> Vec<ObjectKey> {
        self.read().ahead.unseen.keys().cloned().collect()
    }
}

impl<K: Resource + DeserializeOwned> Inner<K> {
    pub(super) async fn refresh(&self, key: &ObjectKey) -> kube::Result<()> {
        let unseen = self.read().ahead.unseen.get(key).copied();
        match (self.source.get(key).await?, unseen) {
            (Some(object), _) => {
                if let Some(version) = version_of(&object.metadata) {
                    self.place(key.clone(), Word::Answer(version), self.convert(object));
                }
            }
            (None, Some(version)) => {
                self.place(key.clone(), Word::Denial(version), Arrival::Gone);
            }
            // Either it never was, or the watch will show how it went.
            (None, None) => {}
        }
        Ok(())
    }
}
