//! Git repositories in memory.
//!
//! Owns commits and branches; may be out of reach. Start at [`Repositories::commit`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bundle_format::read::{Entry, EntryKind, FileTree, MemTree, TreeError};
use gitjob::git::{CommitId, CommitTree, GitError, Source};
use sha2::{Digest, Sha256};

/// Files by path.
pub(crate) type Files = BTreeMap<String, String>;

/// All repositories of a world, by address.
#[derive(Debug, Default)]
pub(crate) struct Repositories {
    state: Mutex<BTreeMap<String, Repository>>,
}

#[derive(Debug, Default)]
struct Repository {
    head: Option<CommitId>,
    commits: BTreeMap<CommitId, Arc<Files>>,
    /// Answers of this kind are left to give: an outage.
    is_down: bool,
}

impl Repositories {
    /// Makes `files` the head of `main`.
    pub(crate) fn commit(&self, url: &str, files: &Files) -> CommitId {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let repo = state.entry(url.to_owned()).or_default();
        let text = format!("{} {files:?}", repo.commits.len());
        let hex: String = Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect();
        let id = CommitId::parse(&hex[..40]).expect("40 hex digits");
        repo.commits.insert(id.clone(), Arc::new(files.clone()));
        repo.head = Some(id.clone());
        id
    }

    /// Takes the server of a repository away, or brings it back.
    pub(crate) fn set_down(&self, url: &str, is_down: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.entry(url.to_owned()).or_default().is_down = is_down;
    }

    fn with<T>(
        &self,
        url: &str,
        look: impl FnOnce(&Repository) -> Option<T>,
    ) -> Result<T, GitError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = || GitError::RepositoryNotFound { url: url.to_owned() };
        let repo = state.get(url).ok_or_else(missing)?;
        if repo.is_down {
            return Err(GitError::Store { detail: "the server is down".to_owned() });
        }
        look(repo).ok_or_else(missing)
    }
}

impl Source for Repositories {
    fn refs(&self, url: &str) -> Result<BTreeMap<String, CommitId>, GitError> {
        let head = self.with(url, |repo| repo.head.clone())?;
        Ok(BTreeMap::from([("refs/heads/main".to_owned(), head)]))
    }

    fn tree(&self, url: &str, commit: &CommitId) -> Result<Box<dyn CommitTree + Send>, GitError> {
        let files = self.with(url, |repo| repo.commits.get(commit).cloned())?;
        let tree = MemTree::of(files.iter().map(|(path, text)| (path.clone(), text.clone())));
        Ok(Box::new(Tree { files, tree }))
    }
}

struct Tree {
    files: Arc<Files>,
    tree: MemTree,
}

impl CommitTree for Tree {
    fn tree_hash(&self, path: &str) -> Option<String> {
        let path = if path == "." { "" } else { path };
        let prefix = format!("{path}/");
        let below = |file: &str| path.is_empty() || file == path || file.starts_with(&prefix);
        let held: Vec<_> = self.files.iter().filter(|(file, _)| below(file)).collect();
        (!held.is_empty()).then(|| {
            let digest = Sha256::digest(format!("{held:?}"));
            digest.iter().map(|b| format!("{b:02x}")).collect()
        })
    }
}

impl FileTree for Tree {
    fn list(&self, folder: &str) -> Result<Vec<Entry>, TreeError> {
        self.tree.list(folder)
    }

    fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>, TreeError> {
        self.tree.read(file, limit)
    }

    fn read_link(&self, link: &str) -> Result<String, TreeError> {
        self.tree.read_link(link)
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        self.tree.entry(path)
    }
}
