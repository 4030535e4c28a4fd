//! Commits that come from elsewhere than a Git server.
//!
//! Owns the seam for simulations and tests, which have commits in memory. Processes never set it.
//! Start at [`Source`].

use std::collections::BTreeMap;
use std::fmt::Debug;

use bundle_format::read::FileTree;

use super::{CommitId, GitError};

/// The files of one commit.
pub trait CommitTree: FileTree {
    /// The hash of everything at `path` (a folder or a file); `None` when nothing is there.
    ///
    /// Equal hashes mean equal files, names and modes below, so a path whose hash did not change
    /// need not be read.
    fn tree_hash(&self, path: &str) -> Option<String>;
}

/// Repositories by address.
pub trait Source: Debug + Send + Sync {
    /// Where the refs of a repository point, by full name (`refs/heads/main`).
    ///
    /// # Errors
    /// What a server would have answered.
    fn refs(&self, url: &str) -> Result<BTreeMap<String, CommitId>, GitError>;

    /// The files of a commit.
    ///
    /// # Errors
    /// What a server would have answered.
    fn tree(&self, url: &str, commit: &CommitId) -> Result<Box<dyn CommitTree + Send>, GitError>;
}
