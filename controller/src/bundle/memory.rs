//! What is worth remembering between passes; all of it can be found out again.
//!
//! Owns no truth: a restart empties it and costs a few reads. Start at [`Memory`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime::ObjectKey;
use tokio::time::{Duration, Instant};

use super::plan::status::Outcome;

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
    /// Since when nobody has been seen to need a Content.
    unneeded: BTreeMap<String, Instant>,
    /// How often something a Bundle's plan depends on has changed.
    epochs: BTreeMap<ObjectKey, u64>,
    /// Rollouts that have nothing left to do, with the epoch they were planned in.
    settled: BTreeMap<ObjectKey, (u64, Arc<Outcome>)>,
    /// What the agent of a Cluster was last found to agree with.
    agents: BTreeMap<ObjectKey, AgentMark>,
}

/// What decides how a Cluster's agent shall look: while it stays, there is nothing to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentMark {
    /// `metadata.generation` of the Cluster.
    pub generation: Option<i64>,
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Which settings of the hub.
    pub hub_version: u64,
    /// `metadata.generation` of the agent's Bundle.
    pub bundle_generation: Option<i64>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something a Bundle's plan depends on has changed: it has to be planned anew.
    pub fn mark_stale(&self, bundle: &ObjectKey) {
        *self.lock().epochs.entry(bundle.clone()).or_default() += 1;
    }

    /// Which plan of a Bundle is current; read before planning.
    pub fn epoch(&self, bundle: &ObjectKey) -> u64 {
        self.lock().epochs.get(bundle).copied().unwrap_or_default()
    }

    /// Notes that a rollout planned in that epoch has nothing left to do.
    pub fn settle(&self, bundle: &ObjectKey, epoch: u64, outcome: Arc<Outcome>) {
        self.lock().settled.insert(bundle.clone(), (epoch, outcome));
    }

    /// The rollout of a Bundle, if nothing is left to do and nothing has changed since.
    pub fn settled(&self, bundle: &ObjectKey) -> Option<Arc<Outcome>> {
        let inner = self.lock();
        let epoch = inner.epochs.get(bundle).copied().unwrap_or_default();
        let (planned, outcome) = inner.settled.get(bundle)?;
        (*planned == epoch).then(|| Arc::clone(outcome))
    }

    /// Forgets a Bundle that is gone.
    pub fn forget_bundle(&self, bundle: &ObjectKey) {
        let mut inner = self.lock();
        inner.epochs.remove(bundle);
        inner.settled.remove(bundle);
    }

    /// Whether a Cluster's agent was found to agree with these.
    pub fn agent_agrees(&self, cluster: &ObjectKey, mark: &AgentMark) -> bool {
        self.lock().agents.get(cluster) == Some(mark)
    }

    /// Notes what a Cluster's agent agrees with.
    pub fn note_agent(&self, cluster: &ObjectKey, mark: AgentMark) {
        self.lock().agents.insert(cluster.clone(), mark);
    }

    /// Forgets a Cluster that is gone.
    pub fn forget_cluster(&self, cluster: &ObjectKey) {
        self.lock().agents.remove(cluster);
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

    /// For how long nobody has been seen to need a Content; asking starts the count.
    ///
    /// Not by its creation time: that is another machine's clock.
    pub fn unneeded_for(&self, content: &str) -> Duration {
        self.lock().unneeded.entry(content.to_owned()).or_insert_with(Instant::now).elapsed()
    }

    /// Notes that somebody needs a Content, or will.
    pub fn note_needed(&self, content: &str) {
        self.lock().unneeded.remove(content);
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
        inner.unneeded.remove(content);
    }
}
