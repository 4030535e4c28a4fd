//! The files of one commit, read straight from git's objects.
//!
//! Owns the look-up of folders and files by path. Knows nothing of networks or bundles. Start at
//! [`GitTree`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bundle_format::read::{Entry, EntryKind, FileTree, TreeError};
use gix::ObjectId;
use gix::objs::tree::EntryKind as GitKind;

use super::GitError;
use super::fetch::cause_of;
use super::source::CommitTree;

/// Folders remembered during one reading.
const FOLDERS_MAX: usize = 20_000;
/// Memory for decoded objects during one reading; trees are looked at more than once.
const OBJECT_CACHE_BYTES: usize = 2 * 1024 * 1024;

/// The tree of one commit. Every read is synchronous: use it on a blocking thread.
pub struct GitTree {
    repo: gix::Repository,
    root: ObjectId,
    folders: RefCell<BTreeMap<String, Arc<Folder>>>,
}

struct Folder {
    entries: Vec<(Entry, ObjectId)>,
}

pub(super) fn open_bare(dir: &Path) -> Result<gix::Repository, GitError> {
    let options = gix::open::Options::isolated();
    gix::open_opts(dir, options).map_err(|e| GitError::Store { detail: cause_of(&e) })
}

impl GitTree {
    /// Opens the tree of a commit (or of an annotated tag of one) in a bare repository.
    pub(super) fn open(dir: &Path, commit: ObjectId) -> Result<Self, GitError> {
        let mut repo = open_bare(dir)?;
        repo.object_cache_size(OBJECT_CACHE_BYTES);
        let fail = |e: gix::Error| GitError::Store { detail: cause_of(&e) };
        let tree = repo.find_object(commit).map_err(fail)?.peel_to_tree().map_err(fail)?;
        let root = tree.id;
        drop(tree);
        Ok(Self { repo, root, folders: RefCell::default() })
    }

    fn find(&self, path: &str) -> Result<(EntryKind, ObjectId), TreeError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.folder(folder)?;
        let found = folder.entries.binary_search_by(|(entry, _)| entry.name.as_str().cmp(name));
        match found {
            Ok(at) => Ok((folder.entries[at].0.kind, folder.entries[at].1)),
            Err(_) => Err(TreeError::NotFound { path: path.to_owned() }),
        }
    }

    fn folder(&self, path: &str) -> Result<Arc<Folder>, TreeError> {
        if let Some(folder) = self.folders.borrow().get(path) {
            return Ok(Arc::clone(folder));
        }
        let id = match path {
            "" => self.root,
            path => match self.find(path)? {
                (EntryKind::Folder, id) => id,
                _ => return Err(TreeError::WrongKind { path: path.to_owned(), wanted: "folder" }),
            },
        };
        let folder = Arc::new(self.read_folder(path, id)?);
        let mut folders = self.folders.borrow_mut();
        if folders.len() < FOLDERS_MAX {
            folders.insert(path.to_owned(), Arc::clone(&folder));
        }
        Ok(folder)
    }

    fn read_folder(&self, path: &str, id: ObjectId) -> Result<Folder, TreeError> {
        let unreadable = |reason: String| TreeError::Unreadable { path: path.to_owned(), reason };
        let tree = self.repo.find_tree(id).map_err(|e| unreadable(cause_of(&e)))?;
        let mut entries = Vec::new();
        for entry in tree.iter() {
            let entry = entry.map_err(|e| unreadable(cause_of(&e)))?;
            // Go keeps names as bytes; a name that is no text cannot be a resource name in JSON.
            let Ok(name) = std::str::from_utf8(entry.inner.filename) else { continue };
            let kind = match entry.inner.mode.kind() {
                GitKind::Tree => EntryKind::Folder,
                GitKind::Blob | GitKind::BlobExecutable => EntryKind::File,
                GitKind::Link => EntryKind::Link,
                GitKind::Commit => EntryKind::Submodule,
            };
            let id = entry.inner.oid.to_owned();
            entries.push((Entry { name: name.to_owned(), kind }, id));
        }
        // Git sorts folders as if their names ended in a slash.
        entries.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        Ok(Folder { entries })
    }

    fn blob(&self, path: &str, id: ObjectId, limit: u64) -> Result<Vec<u8>, TreeError> {
        let unreadable =
            |e: gix::Error| TreeError::Unreadable { path: path.to_owned(), reason: cause_of(&e) };
        let size = self.repo.find_header(id).map_err(unreadable)?.size();
        if size > limit {
            return Err(TreeError::TooLarge { path: path.to_owned(), limit });
        }
        let mut blob = self.repo.find_blob(id).map_err(unreadable)?;
        Ok(blob.take_data())
    }
}

impl CommitTree for GitTree {
    fn tree_hash(&self, path: &str) -> Option<String> {
        match path {
            "" | "." => Some(self.root.to_string()),
            path => self.find(path).ok().map(|(_, id)| id.to_string()),
        }
    }
}

impl FileTree for GitTree {
    fn list(&self, folder: &str) -> Result<Vec<Entry>, TreeError> {
        let folder = self.folder(folder)?;
        Ok(folder.entries.iter().map(|(entry, _)| entry.clone()).collect())
    }

    fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>, TreeError> {
        let (kind, id) = self.find(file)?;
        if kind != EntryKind::File {
            return Err(TreeError::WrongKind { path: file.to_owned(), wanted: "file" });
        }
        self.blob(file, id, limit)
    }

    fn read_link(&self, link: &str) -> Result<String, TreeError> {
        let (kind, id) = self.find(link)?;
        if kind != EntryKind::Link {
            return Err(TreeError::WrongKind { path: link.to_owned(), wanted: "link" });
        }
        Ok(String::from_utf8_lossy(&self.blob(link, id, 4096)?).into_owned())
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        if path.is_empty() {
            return Ok(Some(EntryKind::Folder));
        }
        match self.find(path) {
            Ok((kind, _)) => Ok(Some(kind)),
            Err(TreeError::NotFound { .. } | TreeError::WrongKind { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
