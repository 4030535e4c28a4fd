//! Git, as far as a deployer needs it: where a ref points, and the files of one commit.
//!
//! Owns remotes, credentials, the protocol and the local object store. Knows nothing of GitRepos
//! or Bundles. Start at [`remote::resolve_head`] and [`fetch::fetch_tree`].

pub mod auth;
pub mod fetch;
pub mod heads;
mod packet;
pub mod remote;
pub mod source;
pub mod tree;

pub use fetch::{GitStore, fetch_tree};
pub use heads::Heads;
pub use remote::{Reference, Remote, default_branch, resolve_head};
pub use source::{CommitTree, Source};
pub use tree::GitTree;

use runtime::{Classify, ErrorClass};

use crate::net::NetError;

/// The id of a commit: 40 or 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(String);

impl CommitId {
    /// Reads an id; `None` if the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
        (is_hex && matches!(text.len(), 40 | 64)).then(|| Self(text.to_ascii_lowercase()))
    }

    /// The hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl std::fmt::Display for CommitId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why git did not give what was asked for. Texts name the remote without credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The url cannot be used at all.
    #[error("repository {url:?}: {detail}")]
    Url {
        /// As written, unless it holds credentials.
        url: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// The server knows no such repository (or hides it).
    #[error("repository not found: {url}; check spec.repo and the credentials")]
    RepositoryNotFound {
        /// Which.
        url: String,
    },
    /// The server wants other credentials.
    #[error("authentication required: {url} refused {with}; check spec.clientSecretName")]
    Unauthorized {
        /// Which.
        url: String,
        /// `the credentials` or `a request without credentials`.
        with: &'static str,
    },
    /// The branch is not there. The first words are Fleet 0.16's.
    #[error("commit not found for branch: {branch}; {url} has no such branch")]
    BranchNotFound {
        /// Which branch.
        branch: String,
        /// Where.
        url: String,
    },
    /// Neither tag nor branch. The first words are Fleet 0.16's.
    #[error(
        "commit not found for revision: {revision}; {url} has no such tag or branch, and a commit \
         has to be written with all its digits"
    )]
    RevisionNotFound {
        /// Which revision.
        revision: String,
        /// Where.
        url: String,
    },
    /// The server does not have the commit, or does not give it.
    #[error("commit {commit} cannot be fetched from {url}: {detail}")]
    Fetch {
        /// Which commit.
        commit: CommitId,
        /// Where.
        url: String,
        /// The server's or the transport's words.
        detail: String,
    },
    /// The answer is not git's.
    #[error("{url} does not speak git over http: {detail}")]
    Protocol {
        /// Which.
        url: String,
        /// What was seen.
        detail: String,
    },
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// More than we take.
    #[error("commit {commit} of {url} needs more than {bytes_max} bytes; split the repository")]
    TooLarge {
        /// Which commit.
        commit: CommitId,
        /// Where.
        url: String,
        /// The limit.
        bytes_max: u64,
    },
    /// It took too long.
    #[error("fetching commit {commit} of {url} took longer than {secs} s")]
    TimedOut {
        /// Which commit.
        commit: CommitId,
        /// Where.
        url: String,
        /// The limit.
        secs: u64,
    },
    /// A newer commit or a shutdown made the work pointless.
    #[error("the fetch was cancelled")]
    Cancelled,
    /// The local store failed.
    #[error("local git store: {detail}")]
    Store {
        /// What happened.
        detail: String,
    },
}

impl Classify for GitError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Net(error) => error.class(),
            Self::TimedOut { .. } | Self::Store { .. } | Self::Fetch { .. } => {
                ErrorClass::Unavailable
            }
            Self::Cancelled => ErrorClass::Conflict,
            _ => ErrorClass::User,
        }
    }
}
