//! What a process remembers of each GitRepo between two passes.
//!
//! Owns nothing that must survive a restart: everything here is found again or rebuilt. Start at
//! [`RepoMemory`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use runtime::ObjectKey;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::git::CommitId;
use crate::net::Access;

/// What a build depends on; equal keys need no second build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildKey {
    /// The commit.
    pub commit: CommitId,
    /// Generation of the GitRepo.
    pub generation: i64,
    /// `spec.forceSyncGeneration`.
    pub force: i64,
    /// Labels of the GitRepo, which its Bundles inherit.
    pub labels: BTreeMap<String, String>,
    /// Versions of the Helm secrets.
    pub secrets: Vec<String>,
}

/// The last build.
#[derive(Clone, Debug)]
pub struct Built {
    /// What it was built from.
    pub key: BuildKey,
    /// What went wrong, one text per path or bundle; empty = all is published.
    pub failures: Vec<String>,
    /// A failure may pass by itself: try again at this time.
    pub retry_at: Option<Instant>,
    /// Keys of `fleet.yaml` that nobody reads.
    pub unknown_fields: Vec<String>,
    /// Submodules whose files are left out.
    pub submodules: Vec<String>,
    /// LFS pointers that were deployed as such.
    pub lfs_pointers: Vec<String>,
    /// Bundles written or deleted by this build.
    pub changed_count: usize,
}

/// A commit announced by a webhook.
#[derive(Clone, Debug)]
pub struct Hint {
    /// The commit, for the status only: what is deployed comes from the server.
    pub commit: String,
    /// When it was announced.
    pub at: Timestamp,
    /// The same on the clock that waits.
    pub since: Instant,
}

/// One Bundle as gitjob wrote it.
#[derive(Clone, Debug)]
pub struct Written {
    /// `metadata.generation` after the write.
    pub generation: i64,
    /// When.
    pub at: Instant,
}

/// What is remembered of one GitRepo.
#[derive(Clone, Debug, Default)]
pub struct RepoMemory {
    /// When the remote was last looked at.
    pub last_look: Option<Instant>,
    /// Generation, secrets and so on of that look: a difference demands a new one.
    pub looked_with: Option<(i64, i64, String)>,
    /// What that look said.
    pub head: Option<Result<CommitId, String>>,
    /// The last build.
    pub built: Option<Built>,
    /// A webhook that is not answered yet.
    pub hint: Option<Hint>,
    /// Bundles written by this process.
    pub written: BTreeMap<String, Written>,
    /// Bundles deleted by this process.
    pub deleted: BTreeSet<String>,
    /// Trust and credentials, with the versions they were read from.
    pub access: Option<(String, Access)>,
    /// Cancels the build that runs now.
    pub running: Option<CancellationToken>,
}

/// The memory of all GitRepos; clones share it.
#[derive(Clone, Default)]
pub struct Memory {
    repos: Arc<Mutex<BTreeMap<ObjectKey, RepoMemory>>>,
}

impl Memory {
    /// A copy of what is remembered of one GitRepo.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> RepoMemory {
        self.with(key, |memory| memory.clone())
    }

    /// Reads or changes what is remembered of one GitRepo.
    pub fn with<T>(&self, key: &ObjectKey, change: impl FnOnce(&mut RepoMemory) -> T) -> T {
        let mut repos = self.repos.lock().unwrap_or_else(PoisonError::into_inner);
        change(repos.entry(key.clone()).or_default())
    }

    /// Forgets a GitRepo that is gone, and stops its build.
    pub fn forget(&self, key: &ObjectKey) {
        let mut repos = self.repos.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = repos.remove(key).and_then(|memory| memory.running) {
            running.cancel();
        }
    }

    /// Stops the build of a GitRepo because its input changed.
    pub fn cancel(&self, key: &ObjectKey) {
        let repos = self.repos.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = repos.get(key).and_then(|memory| memory.running.as_ref()) {
            running.cancel();
        }
    }
}
