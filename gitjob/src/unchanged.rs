//! Leaves out the paths of a GitRepo that a commit did not touch.
//!
//! Owns what each path's bundles depended on. A path is left out only when everything that was
//! looked at while reading it, inside and outside of it, is the same as then. Start at
//! [`read_changed`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bundle_format::charts::is_exact_version;
use bundle_format::read::{
    BundleDraft, Entry, EntryKind, FileTree, Folders, Notice, ReadOutcome, ReadRequest, TreeError,
    read_bundles,
};

use crate::git::CommitTree;

/// Places outside of one path that are remembered; a path with more is always read.
const OUTSIDE_MAX: usize = 200;

/// What is remembered of a GitRepo's paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathsMemory {
    /// Everything of the request but its folders.
    request: ReadRequest,
    paths: BTreeMap<String, PathMemory>,
}

#[derive(Clone, Debug)]
struct PathMemory {
    hash: String,
    outside: BTreeMap<String, Look>,
    names: BTreeSet<String>,
    notices: Vec<Notice>,
}

/// What a look at a place outside of the path gave.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    Kind(Option<EntryKind>),
    Hash(Option<String>),
}

/// What was read, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Of the paths that were read.
    pub(crate) outcome: ReadOutcome,
    /// Bundles of the paths that were left out.
    pub(crate) unchanged: BTreeSet<String>,
    /// Notices of the paths that were left out.
    pub(crate) notices: Vec<Notice>,
    /// To be kept if everything is published.
    pub(crate) memory: PathsMemory,
}

/// Reads the paths that changed since `memory`; all of them when paths overlap, hold patterns or
/// claim one another's names.
pub(crate) fn read_changed(
    tree: &dyn CommitTree,
    request: &ReadRequest,
    memory: &PathsMemory,
) -> Reading {
    let Some(paths) = separate_paths(&request.folders) else { return read_all(tree, request) };
    let bare = ReadRequest { folders: Folders::default(), ..request.clone() };
    let is_same_request = memory.request == bare;
    let mut reading = Reading {
        memory: PathsMemory { request: bare, paths: BTreeMap::new() },
        ..Default::default()
    };
    for path in paths {
        let known =
            memory.paths.get(&path).filter(|known| is_same_request && known.holds(tree, &path));
        match known {
            Some(known) => {
                reading.unchanged.extend(known.names.iter().cloned());
                reading.notices.extend(known.notices.iter().cloned());
                reading.memory.paths.insert(path, known.clone());
            }
            None => reading.read_path(tree, request, path),
        }
    }
    match reading.is_sound() {
        true => reading,
        false => read_all(tree, request),
    }
}

fn read_all(tree: &dyn CommitTree, request: &ReadRequest) -> Reading {
    Reading { outcome: read_bundles(tree, request), ..Reading::default() }
}

/// Paths that can be read one by one: no patterns, and none inside another.
fn separate_paths(folders: &Folders) -> Option<Vec<String>> {
    let Folders::Scan(paths) = folders else { return None };
    let mut clean: Vec<String> = Vec::new();
    for path in paths {
        let path = path.trim_matches('/').trim_start_matches("./").to_owned();
        let is_plain = !path.is_empty()
            && !path.contains(['*', '?', '[', '\\'])
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !is_plain {
            return None;
        }
        clean.push(path);
    }
    clean.sort();
    let is_nested = clean.windows(2).any(|pair| {
        pair[1].strip_prefix(&pair[0]).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    // Sorting by bytes may put `a-b` between `a` and `a/c`: compare with every shorter one.
    let is_nested = is_nested
        || clean.iter().any(|path| {
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            parents.into_iter().any(|parent| clean.binary_search(&parent.to_owned()).is_ok())
        });
    (!is_nested && clean.len() > 1).then_some(clean)
}

impl PathMemory {
    fn holds(&self, tree: &dyn CommitTree, path: &str) -> bool {
        tree.tree_hash(path).as_ref() == Some(&self.hash)
            && self.outside.iter().all(|(place, look)| match look {
                Look::Hash(hash) => tree.tree_hash(place) == *hash,
                Look::Kind(kind) => tree.entry(place).is_ok_and(|found| found == *kind),
            })
    }
}

impl Reading {
    fn read_path(&mut self, tree: &dyn CommitTree, request: &ReadRequest, path: String) {
        let request = ReadRequest { folders: Folders::Scan(vec![path.clone()]), ..request.clone() };
        let watched = WatchedTree { tree, path: &path, outside: RefCell::default() };
        let outcome = read_bundles(&watched, &request);
        let outside = watched.outside.into_inner();
        let is_lasting = outcome.failures.is_empty()
            && outside.len() <= OUTSIDE_MAX
            && outcome.drafts.iter().all(is_lasting);
        if let Some(hash) = tree.tree_hash(&path).filter(|_| is_lasting) {
            let names = outcome.drafts.iter().map(|draft| draft.name.clone()).collect();
            let own = outcome.drafts.iter().flat_map(|draft| draft.notices.iter());
            let notices = own.chain(&outcome.notices).cloned().collect();
            self.memory.paths.insert(path, PathMemory { hash, outside, names, notices });
        }
        self.outcome.drafts.extend(outcome.drafts);
        self.outcome.failures.extend(outcome.failures);
        self.outcome.notices.extend(outcome.notices);
    }

    /// Reading path by path must give what reading them together gives.
    fn is_sound(&self) -> bool {
        let mut names = self.unchanged.clone();
        let are_unique = self.outcome.drafts.iter().all(|draft| names.insert(draft.name.clone()));
        let is_nothing = |failure: &bundle_format::read::PathFailure| {
            matches!(failure.error, bundle_format::read::ReadError::NothingFound { .. })
        };
        are_unique && !self.outcome.failures.iter().any(is_nothing)
    }
}

/// Same files, same bundle: not so for a chart whose version is a range.
fn is_lasting(draft: &BundleDraft) -> bool {
    let are_fixed = draft.charts.iter().all(|chart| is_exact_version(&chart.version));
    are_fixed
        && draft.dependencies.iter().all(|wanted| is_exact_version(&wanted.version))
        && draft.problems.is_empty()
}

/// Notes every look outside of one path.
struct WatchedTree<'a> {
    tree: &'a dyn CommitTree,
    path: &'a str,
    outside: RefCell<BTreeMap<String, Look>>,
}

impl WatchedTree<'_> {
    fn is_inside(&self, place: &str) -> bool {
        place.strip_prefix(self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn note(&self, place: &str) {
        if !self.is_inside(place) {
            let look = Look::Hash(self.tree.tree_hash(place));
            self.outside.borrow_mut().insert(place.to_owned(), look);
        }
    }
}

impl FileTree for WatchedTree<'_> {
    fn list(&self, folder: &str) -> Result<Vec<Entry>, TreeError> {
        self.note(folder);
        self.tree.list(folder)
    }

    fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>, TreeError> {
        self.note(file);
        self.tree.read(file, limit)
    }

    fn read_link(&self, link: &str) -> Result<String, TreeError> {
        self.note(link);
        self.tree.read_link(link)
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        let found = self.tree.entry(path)?;
        if !self.is_inside(path) {
            // A hash noted before says more than the kind.
            let mut outside = self.outside.borrow_mut();
            outside.entry(path.to_owned()).or_insert(Look::Kind(found));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn separate(paths: &[&str]) -> Option<Vec<String>> {
        separate_paths(&Folders::Scan(paths.iter().map(|path| (*path).to_owned()).collect()))
    }

    #[test]
    fn only_plain_paths_that_do_not_overlap_are_read_one_by_one() {
        assert_eq!(separate(&["b", "/a/c/"]), Some(vec!["a/c".into(), "b".into()]));
        for whole in
            [&["a", "a/b"][..], &["a", "a-b", "a/c"], &["a", "*"], &["a", "."], &["a"], &[]]
        {
            assert_eq!(separate(whole), None, "{whole:?}");
        }
        assert!(separate(&["a", "a"]).is_none());
        assert!(separate(&["a-b", "ab"]).is_some());
    }
}
