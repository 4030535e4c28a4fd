//! What a process remembers of each GitRepo between two passes.
//!
//! Owns nothing that must survive a restart: everything here is found again or rebuilt. Start at
//! [`RepoMemory`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bundle_format::api::GitRepoStatus;
use jiff::Timestamp;
use runtime::ObjectKey;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::git::CommitId;
use crate::net::Access;
use crate::unchanged::PathsMemory;

/// What a build depends on; equal keys need no second build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuildKey {
    /// The commit.
    pub(crate) commit: CommitId,
    /// Generation of the GitRepo.
    pub(crate) generation: i64,
    /// `spec.forceSyncGeneration`.
    pub(crate) force: i64,
    /// Labels of the GitRepo, which its Bundles inherit.
    pub(crate) labels: BTreeMap<String, String>,
    /// Versions of the Helm secrets.
    pub(crate) secrets: Vec<String>,
}

/// The last build.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// What it was built from.
    pub(crate) key: BuildKey,
    /// What went wrong, one text per path or bundle; empty = all is published.
    pub(crate) failures: Vec<String>,
    /// A failure may pass by itself: try again at this time.
    pub(crate) retry_at: Option<Instant>,
    /// Keys of `fleet.yaml` that nobody reads.
    pub(crate) unknown_fields: Vec<String>,
    /// Submodules whose files are left out.
    pub(crate) submodules: Vec<String>,
    /// LFS pointers that were deployed as such.
    pub(crate) lfs_pointers: Vec<String>,
    /// Bundles written or deleted by this build.
    pub(crate) changed_count: usize,
}

/// A commit announced by a webhook.
#[derive(Clone, Debug)]
pub(crate) struct Hint {
    /// The commit, for the status only: what is deployed comes from the server.
    pub(crate) commit: String,
    /// When it was announced.
    pub(crate) at: Timestamp,
    /// The same on the clock that waits.
    pub(crate) since: Instant,
    /// Its commit was not seen yet.
    pub(crate) is_open: bool,
}

/// One Bundle as gitjob wrote it: what counts while the cache still shows an older one.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Which object it was.
    pub(crate) uid: String,
    /// `metadata.generation` after the write.
    pub(crate) generation: i64,
    /// What it was made from.
    pub(crate) digest: String,
    /// A later write failed, and may have been done all the same.
    pub(crate) is_doubtful: bool,
    /// When.
    pub(crate) at: Instant,
}

impl Written {
    /// A Bundle of which nothing is known.
    pub(crate) fn unknown(uid: String, at: Instant) -> Self {
        Self { uid, generation: 0, digest: String::new(), is_doubtful: true, at }
    }
}

/// A status that was written, for the moment in which the cache does not show it yet.
#[derive(Clone, Debug)]
pub(crate) struct Reported {
    /// `resourceVersion` before the write.
    pub(crate) before: String,
    /// `resourceVersion` after it.
    pub(crate) after: String,
    /// The status after it.
    pub(crate) status: GitRepoStatus,
}

/// What is remembered of one GitRepo.
#[derive(Clone, Debug, Default)]
pub(crate) struct RepoMemory {
    /// When the remote was last looked at.
    pub(crate) last_look: Option<Instant>,
    /// Generation, secrets and so on of that look: a difference demands a new one.
    pub(crate) looked_with: Option<(i64, i64, String)>,
    /// What that look said.
    pub(crate) head: Option<Result<CommitId, String>>,
    /// The last build.
    pub(crate) built: Option<Built>,
    /// The last webhook.
    pub(crate) hint: Option<Hint>,
    /// Bundles written by this process.
    pub(crate) written: BTreeMap<String, Written>,
    /// Bundles that were created while others wait to be deleted.
    pub(crate) successors: BTreeSet<String>,
    /// Trust and credentials, with the versions they were read from.
    pub(crate) access: Option<(String, Access)>,
    /// What each path's bundles were made from.
    pub(crate) paths: PathsMemory,
    /// The status as last written.
    pub(crate) reported: Option<Reported>,
    /// Cancels the build that runs now.
    pub(crate) running: Option<CancellationToken>,
}

/// The memory of all GitRepos; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    repos: Arc<Mutex<BTreeMap<ObjectKey, RepoMemory>>>,
}

impl Memory {
    /// A copy of what is remembered of one GitRepo.
    #[must_use]
    pub(crate) fn get(&self, key: &ObjectKey) -> RepoMemory {
        self.with(key, |memory| memory.clone())
    }

    /// Reads or changes what is remembered of one GitRepo.
    pub(crate) fn with<T>(&self, key: &ObjectKey, change: impl FnOnce(&mut RepoMemory) -> T) -> T {
        let mut repos = self.repos.lock().unwrap_or_else(PoisonError::into_inner);
        change(repos.entry(key.clone()).or_default())
    }

    /// Forgets a GitRepo that is gone, and stops its build.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        let mut repos = self.repos.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = repos.remove(key).and_then(|memory| memory.running) {
            running.cancel();
        }
    }

    /// Stops the build of a GitRepo because its input changed.
    pub(crate) fn cancel(&self, key: &ObjectKey) {
        let repos = self.repos.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = repos.get(key).and_then(|memory| memory.running.as_ref()) {
            running.cancel();
        }
    }
}
