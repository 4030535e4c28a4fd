//! What the agent remembers of its deployments between two passes.
//!
//! Owns that memory. All of it may be lost: records on the member and statuses on the hub bring it back. Must not
//! make calls. Start at [`Memory`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bundle_format::api::BundleDeployment;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::live::releases::OwnedRelease;
use crate::monitor::Monitored;
use crate::plan::ObjectKey;
use crate::release::ReleaseName;

/// What is known between passes. All of it can be lost: records and statuses bring it back.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) monitored: BTreeMap<String, Monitored>,
    pub(crate) owned: BTreeMap<ReleaseName, String>,
    pub(crate) waiting: BTreeSet<String>,
    pub(crate) awaiting_kind: BTreeSet<String>,
    pub(crate) failures: BTreeMap<String, Failure>,
}

/// A version that could not be deployed. Objects of the last one change meanwhile, and each change asks for a pass:
/// none of them may try the same thing again before its time.
#[derive(Clone, Default)]
pub(crate) struct Failure {
    generation: Option<i64>,
    count: u32,
    not_before: Option<Instant>,
}

impl Memory {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an object changed; returns whether its deployment needs a pass.
    pub fn note_change(&self, name: &str, key: &ObjectKey, version: Option<&str>) -> bool {
        self.lock()
            .monitored
            .get_mut(name)
            .is_some_and(|monitored| monitored.note_change(key, version))
    }

    /// Deployments that wait for others.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        self.lock().waiting.iter().cloned().collect()
    }

    /// Deployments that wait for a kind to be served; they may try again at once.
    #[must_use]
    pub fn release_awaiting_kind(&self) -> Vec<String> {
        let mut state = self.lock();
        let names: Vec<String> = state.awaiting_kind.iter().cloned().collect();
        for name in &names {
            if let Some(failure) = state.failures.get_mut(name) {
                failure.not_before = None;
            }
        }
        names
    }

    /// Takes over what was found on the member cluster; returns the names of its bundle deployments.
    pub fn learn_owned(&self, found: Vec<OwnedRelease>) -> BTreeSet<String> {
        let mut state = self.lock();
        for OwnedRelease { bundle_id, release } in found {
            state.owned.insert(release, bundle_id);
        }
        state.owned.values().cloned().collect()
    }

    pub(crate) fn releases_of(&self, name: &str) -> Vec<ReleaseName> {
        let state = self.lock();
        state
            .owned
            .iter()
            .filter(|(_, owner)| *owner == name)
            .map(|(release, _)| release.clone())
            .collect()
    }

    pub(crate) fn is_owned_by(&self, release: &ReleaseName, name: &str) -> bool {
        self.lock().owned.get(release).is_some_and(|owner| owner == name)
    }

    /// Counts a failure of this very input; the first one is 1.
    pub(crate) fn count_failure(&self, deployment: &BundleDeployment) -> u32 {
        let mut state = self.lock();
        let failure = state.failures.entry(deployment.name_any()).or_default();
        if failure.generation != deployment.metadata.generation {
            *failure = Failure { generation: deployment.metadata.generation, ..Failure::default() };
        }
        failure.count = failure.count.saturating_add(1);
        failure.count
    }

    /// How long the same input must still rest after it failed.
    pub(crate) fn hold(&self, deployment: &BundleDeployment) -> Option<Duration> {
        let state = self.lock();
        let failure = state.failures.get(&deployment.name_any())?;
        let same = failure.generation == deployment.metadata.generation;
        let left = failure.not_before?.saturating_duration_since(Instant::now());
        (same && !left.is_zero()).then_some(left)
    }

    /// Lets the input rest after a failure.
    pub(crate) fn hold_until(&self, name: &str, delay: Duration) {
        if let Some(failure) = self.lock().failures.get_mut(name) {
            failure.not_before = Some(Instant::now() + delay);
        }
    }
}
