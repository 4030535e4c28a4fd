//! What is worth remembering between passes; all of it can be found out again.
//!
//! Owns no truth: a restart empties it and costs a few reads. Start at [`Memory`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared between all passes.
#[derive(Debug, Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Reference counts as last written, by Content.
    counts: BTreeMap<String, usize>,
    /// Contents that somebody has needed since the start.
    referenced: BTreeSet<String>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reference count last written for a Content.
    pub fn count_of(&self, content: &str) -> Option<usize> {
        self.lock().counts.get(content).copied()
    }

    /// Notes the reference count written for a Content.
    pub fn set_count(&self, content: &str, count: usize) {
        self.lock().counts.insert(content.to_owned(), count);
    }

    /// Notes that a Content is needed now.
    pub fn note_referenced(&self, content: &str) {
        let mut inner = self.lock();
        if !inner.referenced.contains(content) {
            inner.referenced.insert(content.to_owned());
        }
    }

    /// Whether somebody has needed a Content since the start.
    pub fn was_referenced(&self, content: &str) -> bool {
        self.lock().referenced.contains(content)
    }

    /// Forgets a Content that is gone.
    pub fn forget_count(&self, content: &str) {
        let mut inner = self.lock();
        inner.counts.remove(content);
        inner.referenced.remove(content);
    }
}
