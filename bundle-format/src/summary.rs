//! States of deployments, and what they add up to.
//!
//! Owns the states, the counts and the Ready messages of Fleet 0.16 (fleet-flow 3.6, fleet-api
//! 1.18). Must not know caches. Start at [`deployment_state`] and [`Tally`].

pub mod resources;
mod texts;

use std::collections::BTreeMap;

use crate::api::bundle::{BundleSummary, ModifiedStatus, NonReadyResource, NonReadyStatus};
use crate::api::bundle_deployment::BundleDeployment;
use crate::api::condition::find_condition;

pub use texts::{modified_text, non_ready_text, ready_message, state_text};

/// The state of one bundle on one cluster, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BundleState {
    /// All is well.
    Ready,
    /// Deployed, but not all objects are ready.
    NotReady,
    /// No BundleDeployment yet.
    Pending,
    /// Staged, but held back.
    OutOfSync,
    /// Objects differ from what was deployed.
    Modified,
    /// The agent has not applied the version yet.
    WaitApplied,
    /// The agent could not apply the version.
    ErrApplied,
}

impl BundleState {
    /// All states, from best to worst.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::NotReady,
        Self::Pending,
        Self::OutOfSync,
        Self::Modified,
        Self::WaitApplied,
        Self::ErrApplied,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::NotReady => "NotReady",
            Self::Pending => "Pending",
            Self::OutOfSync => "OutOfSync",
            Self::Modified => "Modified",
            Self::WaitApplied => "WaitApplied",
            Self::ErrApplied => "ErrApplied",
        }
    }

    /// The state of a word on the wire.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    fn count(self, summary: &BundleSummary) -> i64 {
        match self {
            Self::Ready => summary.ready,
            Self::NotReady => summary.not_ready,
            Self::Pending => summary.pending,
            Self::OutOfSync => summary.out_of_sync,
            Self::Modified => summary.modified,
            Self::WaitApplied => summary.wait_applied,
            Self::ErrApplied => summary.err_applied,
        }
    }

    fn count_mut(self, summary: &mut BundleSummary) -> &mut i64 {
        match self {
            Self::Ready => &mut summary.ready,
            Self::NotReady => &mut summary.not_ready,
            Self::Pending => &mut summary.pending,
            Self::OutOfSync => &mut summary.out_of_sync,
            Self::Modified => &mut summary.modified,
            Self::WaitApplied => &mut summary.wait_applied,
            Self::ErrApplied => &mut summary.err_applied,
        }
    }
}

impl std::fmt::Display for BundleState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a BundleDeployment.
///
/// A failing apply outranks everything: Fleet 0.16 shows `Ready` when the version was applied once
/// and its repair fails ever since (live finding 3).
pub fn deployment_state(deployment: &BundleDeployment) -> BundleState {
    state_towards(deployment, &deployment.spec.deployment_id)
}

/// The state of a BundleDeployment that shall have `deployment_id`, whatever its spec still says.
///
/// The Bundle uses it: its status is written before its deployments are.
pub fn state_towards(deployment: &BundleDeployment, deployment_id: &str) -> BundleState {
    let no_status = Default::default();
    let status = deployment.status.as_ref().unwrap_or(&no_status);
    let deploy_failed = find_condition(&status.conditions, "Deployed")
        .is_some_and(|condition| condition.status == "False");
    if status.applied_deployment_id != deployment_id {
        match deploy_failed {
            true => BundleState::ErrApplied,
            false => BundleState::WaitApplied,
        }
    } else if deploy_failed && !deployment_id.is_empty() {
        BundleState::ErrApplied
    } else if !status.ready {
        BundleState::NotReady
    } else if deployment_id != deployment.spec.staged_deployment_id {
        BundleState::OutOfSync
    } else if !status.non_modified {
        BundleState::Modified
    } else {
        BundleState::Ready
    }
}

/// What a BundleDeployment says about itself: why it is not deployed, else not installed, else
/// not watched.
pub fn deployment_message(deployment: &BundleDeployment) -> &str {
    let Some(status) = &deployment.status else { return "" };
    // An error of an install that a newer version has replaced is nobody's business any more.
    let is_current = status.applied_deployment_id == deployment.spec.deployment_id;
    let words = |type_: &str| {
        find_condition(&status.conditions, type_).map_or("", |condition| condition.message.as_str())
    };
    let installed = if is_current { words("Installed") } else { "" };
    [words("Deployed"), installed, words("Monitored")]
        .into_iter()
        .find(|message| !message.is_empty())
        .unwrap_or("")
}

/// What one deployment adds to a summary.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// Its state.
    pub state: BundleState,
    /// Why.
    pub message: String,
    /// Objects that differ from what was deployed.
    pub modified: Vec<ModifiedStatus>,
    /// Objects that are not ready.
    pub non_ready: Vec<NonReadyStatus>,
}

impl Contribution {
    /// What a BundleDeployment adds.
    pub fn of_deployment(deployment: &BundleDeployment) -> Self {
        Self::towards(Some(deployment), &deployment.spec.deployment_id)
    }

    /// What a target adds that shall have `deployment_id`; without a deployment it is pending.
    pub fn towards(deployment: Option<&BundleDeployment>, deployment_id: &str) -> Self {
        let Some(deployment) = deployment else {
            let (modified, non_ready) = (Vec::new(), Vec::new());
            return Self {
                state: BundleState::Pending,
                message: String::new(),
                modified,
                non_ready,
            };
        };
        let state = state_towards(deployment, deployment_id);
        let lists = deployment.status.as_ref().filter(|_| state != BundleState::Ready);
        Self {
            state,
            message: deployment_message(deployment).to_owned(),
            modified: lists.map(|status| status.modified_status.clone()).unwrap_or_default(),
            non_ready: lists.map(|status| status.non_ready_status.clone()).unwrap_or_default(),
        }
    }
}

/// The most entries of `nonReadyResources`.
const MAX_NON_READY: usize = 10;

/// A summary that is kept up to date: one change costs one step, however many deployments there are.
///
/// Keys order the entries: the first ten that are not ready are listed, so that the same set gives
/// the same text whatever came first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally<K: Ord> {
    counts: BundleSummary,
    states: BTreeMap<K, BundleState>,
    non_ready: BTreeMap<K, NonReadyResource>,
}

impl<K: Ord + Clone> Tally<K> {
    /// An empty tally.
    pub fn new() -> Self {
        Self {
            counts: BundleSummary::default(),
            states: BTreeMap::new(),
            non_ready: BTreeMap::new(),
        }
    }

    /// Sets what one deployment adds, in place of what it added before. `name` is what messages
    /// call it.
    pub fn set(&mut self, key: K, name: &str, contribution: Contribution) {
        self.remove(&key);
        let state = contribution.state;
        *state.count_mut(&mut self.counts) += 1;
        self.counts.desired_ready += 1;
        if state != BundleState::Ready {
            let resource = NonReadyResource {
                name: name.to_owned(),
                bundle_state: state.as_str().to_owned(),
                message: contribution.message,
                modified_status: contribution.modified,
                non_ready_status: contribution.non_ready,
            };
            self.non_ready.insert(key.clone(), resource);
        }
        self.states.insert(key, state);
    }

    /// Takes out what one deployment added.
    pub fn remove(&mut self, key: &K) {
        if let Some(state) = self.states.remove(key) {
            *state.count_mut(&mut self.counts) -= 1;
            self.counts.desired_ready -= 1;
            self.non_ready.remove(key);
        }
    }

    /// True when nothing was added.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The state of one deployment.
    pub fn state(&self, key: &K) -> Option<BundleState> {
        self.states.get(key).copied()
    }

    /// The states of all deployments, in key order.
    pub fn states(&self) -> impl Iterator<Item = (&K, BundleState)> {
        self.states.iter().map(|(key, state)| (key, *state))
    }

    /// The summary.
    pub fn summary(&self) -> BundleSummary {
        let listed = self.non_ready.values().take(MAX_NON_READY).cloned();
        BundleSummary { non_ready_resources: listed.collect(), ..self.counts.clone() }
    }

    /// The worst state; `None` when all are ready or there are none.
    pub fn worst(&self) -> Option<BundleState> {
        worst_state(&self.counts)
    }

    /// The message of the first deployment in the worst state.
    pub fn worst_message(&self) -> &str {
        let Some(worst) = self.worst() else { return "" };
        let first = self.non_ready.values().find(|entry| entry.bundle_state == worst.as_str());
        first.map_or("", |entry| entry.message.as_str())
    }

    /// `ready/all`, as the display columns show it.
    pub fn ready_of_all(&self) -> String {
        format!("{}/{}", self.counts.ready, self.counts.desired_ready)
    }
}

/// The worst state of a summary; `None` when all are ready or there are none.
pub fn worst_state(summary: &BundleSummary) -> Option<BundleState> {
    let mut from_worst = BundleState::ALL.into_iter().rev();
    from_worst.find(|state| *state != BundleState::Ready && state.count(summary) > 0)
}

/// True when all are ready.
pub fn is_ready(summary: &BundleSummary) -> bool {
    summary.ready == summary.desired_ready
}

/// Adds a summary to another: a cluster's to its group's. At most ten entries stay listed.
pub fn add_summary(total: &mut BundleSummary, part: &BundleSummary) {
    for state in BundleState::ALL {
        *state.count_mut(total) += state.count(part);
    }
    total.desired_ready += part.desired_ready;
    let room = MAX_NON_READY.saturating_sub(total.non_ready_resources.len());
    total.non_ready_resources.extend(part.non_ready_resources.iter().take(room).cloned());
}

#[cfg(test)]
mod tests;
