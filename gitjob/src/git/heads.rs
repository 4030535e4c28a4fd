//! One listing per remote and ref, shared by everyone who asks.
//!
//! Owns the last answers and who is asking now. Start at [`Heads::head`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::remote::{Reference, Remote, resolve_head};
use super::{CommitId, GitError};

/// Answers remembered; the one asked longest ago goes first.
const ANSWERS_MAX: usize = 4096;

type Key = (String, Reference, String);
/// Errors are shared, because they cannot be cloned.
pub type Shared = Result<CommitId, Arc<GitError>>;

/// The heads of all remotes; clones share it.
#[derive(Clone, Default)]
pub struct Heads {
    slots: Arc<StdMutex<BTreeMap<Key, Slot>>>,
}

struct Slot {
    used: Instant,
    answer: Arc<Mutex<Option<(Instant, Shared)>>>,
}

impl Heads {
    /// Where the remote's ref points, from an answer whose question was asked at `not_before` or
    /// later, and when it was asked. While one caller asks, others with the same remote wait for
    /// its answer. The answer may be an error of [`resolve_head`].
    pub async fn head(&self, remote: &Remote, not_before: Instant) -> (Instant, Shared) {
        if let Reference::Commit(commit) = &remote.reference {
            return (Instant::now(), Ok(commit.clone()));
        }
        let answer = self.slot(remote.key());
        let mut answer = answer.lock().await;
        if let Some((asked, known)) = &*answer
            && *asked >= not_before
        {
            return (*asked, known.clone());
        }
        let asked = Instant::now();
        let fresh = resolve_head(remote).await.map_err(Arc::new);
        *answer = Some((asked, fresh.clone()));
        (asked, fresh)
    }

    fn slot(&self, key: Key) -> Arc<Mutex<Option<(Instant, Shared)>>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= ANSWERS_MAX && !slots.contains_key(&key) {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone());
            oldest.and_then(|key| slots.remove(&key));
        }
        let now = Instant::now();
        let slot = slots.entry(key).or_insert_with(|| Slot { used: now, answer: Arc::default() });
        slot.used = now;
        Arc::clone(&slot.answer)
    }
}
