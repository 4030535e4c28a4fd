//! Which folders become bundles.
//!
//! Owns the paths of a GitRepo: patterns, the walk below a match, the rule that makes a folder a
//! bundle. Must not know what goes into a bundle. Start at [`find_roots`].

use super::glob::{Glob, GlobError, has_glob};
use super::tree::{
    Boundary, EntryKind, FileTree, TreeError, clean_path, join_path, resolve_path, split_path,
};

/// The names of a `fleet.yaml`, the preferred one first.
pub(crate) const FLEET_YAML_NAMES: [&str; 2] = ["fleet.yaml", "fleet.yml"];

/// Why the folders of one path were not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The path leads out of the repository.
    #[error("path {path:?} leads out of the repository")]
    Escapes {
        /// The path as written.
        path: String,
    },
    /// The path is a pattern that cannot be read.
    #[error(transparent)]
    Pattern(#[from] GlobError),
    /// The tree did not answer.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// More folders than anyone keeps in one GitRepo.
    #[error(
        "path {path:?} holds more than {limit} files and folders; name the folders of bundles more narrowly"
    )]
    TooMany {
        /// The path as written.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// Folders in folders without end.
    #[error("path {path:?} holds folders more than {limit} deep")]
    TooDeep {
        /// The path as written.
        path: String,
        /// The limit.
        limit: usize,
    },
}

/// The most folders one path may hold one in another.
pub(crate) const MAX_DEPTH: usize = 100;

/// The folders at or below a path that are bundles, in the order of the walk.
///
/// A path may be a shell pattern. `/` and the empty path mean the root (Fleet 0.16 finds nothing
/// there and says so in no status: live finding 15).
///
/// # Errors
/// See [`RootsError`]. A path that matches nothing is no error here: it has no folders.
pub(crate) fn find_roots(
    tree: &dyn FileTree,
    path: &str,
    max_entries: usize,
) -> Result<Vec<String>, RootsError> {
    let escapes = || RootsError::Escapes { path: path.to_owned() };
    let pattern = clean_path(path.trim_start_matches('/')).ok_or_else(escapes)?;
    let mut walk = Walk { tree, path, max_entries, seen: 0, roots: Vec::new() };
    for folder in match_folders(tree, &pattern)? {
        walk.visit_top(&folder)?;
    }
    Ok(walk.roots)
}

/// The folders that a pattern names, part by part; links to folders count.
fn match_folders(tree: &dyn FileTree, pattern: &str) -> Result<Vec<String>, RootsError> {
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let glob = has_glob(part).then(|| Glob::parse(part)).transpose()?;
        let mut next = Vec::new();
        for folder in &found {
            match &glob {
                None => next.push(join_path(folder, part)),
                Some(glob) => {
                    let (at, _) = resolve_path(tree, folder, Boundary::Repository)?;
                    let entries = tree.list(&at)?;
                    let names = entries.iter().filter(|entry| glob.matches(&entry.name));
                    next.extend(names.map(|entry| join_path(folder, &entry.name)));
                }
            }
        }
        next = next
            .into_iter()
            .filter_map(|path| existing_folder(tree, path).transpose())
            .collect::<Result<_, _>>()?;
        found = next;
    }
    Ok(found)
}

fn existing_folder(tree: &dyn FileTree, path: String) -> Result<Option<String>, TreeError> {
    match resolve_path(tree, &path, Boundary::Repository) {
        Ok((_, EntryKind::Folder)) => Ok(Some(path)),
        Ok(_) | Err(TreeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

struct Walk<'a> {
    tree: &'a dyn FileTree,
    path: &'a str,
    max_entries: usize,
    seen: usize,
    roots: Vec<String>,
}

impl Walk<'_> {
    /// The folder that the path itself names: also a bundle when it only holds manifests.
    fn visit_top(&mut self, folder: &str) -> Result<(), RootsError> {
        if split_path(folder).1 == ".git" {
            return Ok(());
        }
        if has_fleet_yaml(self.tree, folder)? || self.has_loose_manifests(folder, 0)? {
            self.roots.push(folder.to_owned());
        }
        // A link to a folder may be named, but nothing is looked for below it.
        if self.tree.entry(folder)? == Some(EntryKind::Folder) {
            self.visit_below(folder, 0)?;
        }
        Ok(())
    }

    /// Folders below: bundles when they hold a `fleet.yaml`.
    fn visit_below(&mut self, folder: &str, depth: usize) -> Result<(), RootsError> {
        self.check_depth(depth)?;
        for entry in self.tree.list(folder)? {
            self.count()?;
            if entry.kind != EntryKind::Folder || entry.name == ".git" {
                continue;
            }
            let below = join_path(folder, &entry.name);
            if has_fleet_yaml(self.tree, &below)? {
                self.roots.push(below.clone());
            }
            self.visit_below(&below, depth + 1)?;
        }
        Ok(())
    }

    /// True when a manifest lies here or below, folders with a `fleet.yaml` of their own left out.
    fn has_loose_manifests(&mut self, folder: &str, depth: usize) -> Result<bool, RootsError> {
        self.check_depth(depth)?;
        let (at, _) = resolve_path(self.tree, folder, Boundary::Repository)?;
        let mut folders = Vec::new();
        for entry in self.tree.list(&at)? {
            self.count()?;
            match entry.kind {
                EntryKind::Folder => folders.push(join_path(&at, &entry.name)),
                _ if entry.name.ends_with(".yaml") || entry.name.ends_with(".yml") => {
                    return Ok(true);
                }
                _ => {}
            }
        }
        for below in folders {
            if !has_fleet_yaml(self.tree, &below)? && self.has_loose_manifests(&below, depth + 1)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn count(&mut self) -> Result<(), RootsError> {
        self.seen += 1;
        match self.seen > self.max_entries {
            true => {
                Err(RootsError::TooMany { path: self.path.to_owned(), limit: self.max_entries })
            }
            false => Ok(()),
        }
    }

    fn check_depth(&self, depth: usize) -> Result<(), RootsError> {
        match depth > MAX_DEPTH {
            true => Err(RootsError::TooDeep { path: self.path.to_owned(), limit: MAX_DEPTH }),
            false => Ok(()),
        }
    }
}

fn has_fleet_yaml(tree: &dyn FileTree, folder: &str) -> Result<bool, TreeError> {
    Ok(find_fleet_yaml(tree, folder)?.is_some())
}

/// The `fleet.yaml` of a folder: its path with links followed.
pub(crate) fn find_fleet_yaml(
    tree: &dyn FileTree,
    folder: &str,
) -> Result<Option<String>, TreeError> {
    for name in FLEET_YAML_NAMES {
        match resolve_path(tree, &join_path(folder, name), Boundary::Repository) {
            Ok((at, EntryKind::File)) => return Ok(Some(at)),
            Ok(_) | Err(TreeError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::tree::MemTree;
    use super::*;

    fn roots(files: &[&str], path: &str) -> Vec<String> {
        let tree = MemTree::of(files.iter().map(|file| (*file, "")));
        find_roots(&tree, path, 1000).expect("a good path")
    }

    #[test]
    fn a_folder_with_a_fleet_yaml_is_a_bundle_and_so_is_a_path_with_loose_manifests() {
        let files = ["s/a/fleet.yaml", "s/a/nested/fleet.yml", "s/b/fleet.yaml", "s/plain/cm.yaml"];
        assert_eq!(roots(&files, "s"), ["s", "s/a", "s/a/nested", "s/b"]);
        assert_eq!(roots(&files, "s/plain"), ["s/plain"]);
        assert_eq!(roots(&files, "s/*"), ["s/a", "s/a/nested", "s/b", "s/plain"]);
        assert_eq!(roots(&files, "/s/b/"), ["s/b"]);
        assert_eq!(roots(&files, "nope"), Vec::<String>::new());
    }

    #[test]
    fn loose_manifests_are_yaml_outside_folders_with_a_fleet_yaml() {
        assert_eq!(roots(&["p/a.json", "p/sub/b.txt"], "p"), Vec::<String>::new());
        assert_eq!(roots(&["p/sub/fleet.yaml", "p/sub/b.yaml"], "p"), ["p/sub"]);
        assert_eq!(roots(&["p/.hidden/b.yml"], "p"), ["p"]);
        assert_eq!(roots(&["p/.git/fleet.yaml", "p/x/fleet.yml"], "p"), ["p/x"]);
    }

    #[test]
    fn the_root_is_named_by_a_dot_a_slash_or_nothing() {
        for path in ["", ".", "/", "./"] {
            assert_eq!(roots(&["a.yaml"], path), [""], "{path:?}");
        }
    }

    #[test]
    fn a_path_out_of_the_repository_is_refused_and_the_walk_has_bounds() {
        let tree = MemTree::of([("a/b.yaml", ""), ("a/c.txt", "")]).with_link("out", "../x");
        assert!(matches!(find_roots(&tree, "../x", 9), Err(RootsError::Escapes { .. })));
        assert!(matches!(find_roots(&tree, "out", 9), Err(RootsError::Tree(_))));
        assert!(matches!(find_roots(&tree, ".", 2), Err(RootsError::TooMany { .. })));
    }
}
