//! A look at what was stored, from the same process and without a request.
//!
//! Owns nothing: a window for tests and simulations that check every change, also those that the
//! hub makes by itself (owners, namespaces, simulated workloads). Start at [`Hub::changes_after`].

use bytes::Bytes;

use crate::store::EventKind;
use crate::{Hub, StoreError};

/// One change of one object.
#[derive(Debug, Clone)]
pub struct StoredChange {
    /// The store's revision after it.
    pub revision: u64,
    /// `group/plural`; the core group is empty.
    pub resource: String,
    /// Namespace, unless the kind has none.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// The object after the change, JSON; its last state when it was deleted.
    pub object: Bytes,
    /// The object before the change, if there was one.
    pub previous: Option<Bytes>,
    /// The object is gone.
    pub is_deletion: bool,
}

impl Hub {
    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.server.store.revision()
    }

    /// Every change after `revision`, in order, none missing.
    ///
    /// # Errors
    /// When the history does not reach back that far ([`crate::Options::history_count`]).
    pub fn changes_after(&self, revision: u64) -> Result<Vec<StoredChange>, StoreError> {
        let events = self.server.store.history_after(revision)?;
        let changes = events.iter().map(|event| StoredChange {
            revision: event.revision,
            resource: event.key.resource.to_string(),
            namespace: event.key.namespace().map(str::to_owned),
            name: event.key.name().to_owned(),
            object: event.object.bytes(),
            previous: event.previous.as_ref().map(|entry| entry.bytes()),
            is_deletion: event.kind == EventKind::Deleted,
        });
        Ok(changes.collect())
    }
}
