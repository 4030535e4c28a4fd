//! What is worth remembering between passes; all of it can be found out again.
//!
//! Owns no truth: a restart empties it and costs a few reads. Start at [`Memory`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bundle_format::options::memo::Memo;
use runtime::ObjectKey;
use tokio::time::{Duration, Instant};

use super::plan::standing::Standing;

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
    settled: BTreeMap<ObjectKey, (u64, Standing)>,
    /// Namespaces of the BundleDeployments that changed since the last pass over their Bundle.
    reports: BTreeMap<ObjectKey, BTreeSet<String>>,
    /// Bundles whose last pass left their status to the next one.
    untold: BTreeSet<ObjectKey>,
    /// BundleDeployments of which nobody knows whether a write was done, by Bundle.
    doubted: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// Options that were made from templates, by Bundle.
    options: BTreeMap<ObjectKey, Memo>,
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

/// What the last pass over a Bundle left, and what happened since.
#[derive(Debug)]
pub struct LastPass {
    /// Which plan is current.
    pub epoch: u64,
    /// How its clusters stood, if nothing was left to do and nothing but reports has come since.
    pub settled: Option<Standing>,
    /// Namespaces of the BundleDeployments that changed.
    pub reports: BTreeSet<String>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something a Bundle's plan depends on has changed: it has to be planned anew.
    pub fn mark_stale(&self, bundle: &ObjectKey) {
        *self.lock().epochs.entry(bundle.clone()).or_default() += 1;
    }

    /// Notes that a rollout planned in that epoch has nothing left to do.
    pub fn settle(&self, bundle: &ObjectKey, epoch: u64, standing: Standing) {
        self.lock().settled.insert(bundle.clone(), (epoch, standing));
    }

    /// Begins a pass: takes what the last one left. From now on reports are noted for the next one;
    /// the pass itself must look at BundleDeployments only after this.
    pub fn begin_pass(&self, bundle: &ObjectKey) -> LastPass {
        let mut inner = self.lock();
        let reports = std::mem::take(inner.reports.entry(bundle.clone()).or_default());
        let epoch = inner.epochs.get(bundle).copied().unwrap_or_default();
        let settled = inner.settled.remove(bundle);
        let settled = settled.filter(|(planned, _)| *planned == epoch);
        LastPass { epoch, settled: settled.map(|(_, standing)| standing), reports }
    }

    /// Notes that a BundleDeployment of that namespace changed. Before the first pass there is
    /// nothing to note: it looks at all of them.
    pub fn note_report(&self, bundle: &ObjectKey, home: &str) {
        if let Some(reports) = self.lock().reports.get_mut(bundle) {
            reports.insert(home.to_owned());
        }
    }

    /// Notes that a write of a BundleDeployment failed, or was done and only its answer failed.
    pub fn doubt(&self, bundle: &ObjectKey, deployment: &ObjectKey) {
        self.lock().doubted.entry(bundle.clone()).or_default().insert(deployment.clone());
    }

    /// The BundleDeployments of a Bundle of which the local copy may know too little.
    pub fn doubted(&self, bundle: &ObjectKey) -> BTreeSet<ObjectKey> {
        self.lock().doubted.get(bundle).cloned().unwrap_or_default()
    }

    /// Notes that the local copy knows them all again.
    pub fn end_doubts(&self, bundle: &ObjectKey) {
        self.lock().doubted.remove(bundle);
    }

    /// Takes the options that the last pass over a Bundle made from templates.
    pub fn take_options(&self, bundle: &ObjectKey) -> Memo {
        self.lock().options.remove(bundle).unwrap_or_default()
    }

    /// Keeps such options for the next pass.
    pub fn keep_options(&self, bundle: &ObjectKey, memo: Memo) {
        self.lock().options.insert(bundle.clone(), memo);
    }

    /// Whether a pass may leave the status to the next one: never twice in a row.
    pub fn leave_status(&self, bundle: &ObjectKey) -> bool {
        let mut inner = self.lock();
        let is_first = inner.untold.insert(bundle.clone());
        if !is_first {
            inner.untold.remove(bundle);
        }
        is_first
    }

    /// Notes that a Bundle said how it stands.
    pub fn note_status(&self, bundle: &ObjectKey) {
        self.lock().untold.remove(bundle);
    }

    /// Forgets a Bundle that is gone.
    pub fn forget_bundle(&self, bundle: &ObjectKey) {
        let mut inner = self.lock();
        inner.epochs.remove(bundle);
        inner.settled.remove(bundle);
        inner.reports.remove(bundle);
        inner.options.remove(bundle);
        inner.untold.remove(bundle);
        inner.doubted.remove(bundle);
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
