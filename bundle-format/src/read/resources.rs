//! Which files of a folder go into its bundle.
//!
//! Owns the walk over a bundle's folder: hidden names, `.fleetignore`, links, bounds. Must not know
//! fleet.yaml. Start at [`collect_files`].

use std::collections::{BTreeMap, BTreeSet};

use super::Notice;
use super::glob::GlobError;
use super::ignore::{FILE_NAME as IGNORE_FILE, IgnoreRules};
use super::roots::MAX_DEPTH;
use super::tree::{Boundary, EntryKind, FileTree, TreeError, join_path, resolve_path, split_path};

/// Bounds on what one GitRepo may make us read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Files and folders looked at below one path.
    pub entries: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files of one bundle, before compression.
    pub bundle_bytes: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        // A Bundle object ends at about 1.5 MiB, compressed text at about ten times that. Bigger
        // ones are for OCI registries, and 64 MiB is where agents stop unpacking.
        Self { entries: 200_000, file_bytes: 32 << 20, bundle_bytes: 64 << 20 }
    }
}

/// Why the files of a bundle could not be collected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResourcesError {
    /// The tree did not answer, or a link leaves the bundle.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A `.fleetignore` that cannot be read.
    #[error("{file}: {source}")]
    Ignore {
        /// Path of the file.
        file: String,
        /// Cause.
        source: GlobError,
    },
    /// More than one bundle may hold.
    #[error("bundle holds more than {limit} bytes, biggest files: {biggest}")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
        /// Names and sizes.
        biggest: String,
    },
    /// More than one bundle may hold.
    #[error("bundle holds more than {limit} files and folders")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Folders in folders without end.
    #[error("{folder}: lies more than {MAX_DEPTH} folders deep")]
    TooDeep {
        /// Path of the folder.
        folder: String,
    },
}

/// The files of a bundle by their names relative to it.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Collects the files of a bundle's folder, all folders below included (Fleet 0.16).
///
/// Hidden names, what `.fleetignore` files name and `excluded` (names relative to the bundle) stay
/// out. Links are followed as long as they end inside the bundle.
///
/// # Errors
/// See [`ResourcesError`].
pub(crate) fn collect_files(
    tree: &dyn FileTree,
    folder: &str,
    excluded: &BTreeSet<String>,
    limits: &ReadLimits,
    notices: &mut Vec<Notice>,
) -> Result<Files, ResourcesError> {
    let (root, _) = resolve_path(tree, folder, Boundary::Repository)?;
    let mut walk = Collect {
        tree,
        root: &root,
        excluded,
        limits,
        notices,
        files: Files::new(),
        seen: 0,
        bytes: 0,
    };
    // A hidden folder is skipped even when a path names it.
    if !split_path(folder).1.starts_with('.') {
        walk.visit("", &mut Vec::new())?;
    }
    Ok(walk.files)
}

struct Collect<'a> {
    tree: &'a dyn FileTree,
    root: &'a str,
    excluded: &'a BTreeSet<String>,
    limits: &'a ReadLimits,
    notices: &'a mut Vec<Notice>,
    files: Files,
    seen: usize,
    bytes: u64,
}

impl Collect<'_> {
    fn visit(&mut self, folder: &str, rules: &mut Vec<IgnoreRules>) -> Result<(), ResourcesError> {
        if folder.matches('/').count() >= MAX_DEPTH {
            return Err(ResourcesError::TooDeep { folder: join_path(self.root, folder) });
        }
        let entries = self.tree.list(&join_path(self.root, folder))?;
        let rule_count = rules.len();
        if entries.iter().any(|entry| entry.name == IGNORE_FILE) {
            rules.push(self.read_rules(folder)?);
        }
        for entry in entries {
            self.seen += 1;
            if self.seen > self.limits.entries {
                return Err(ResourcesError::TooMany { limit: self.limits.entries });
            }
            let name = join_path(folder, &entry.name);
            let is_folder = entry.kind == EntryKind::Folder;
            let is_ignored = rules.iter().any(|rule| rule.ignores(&entry.name, is_folder));
            if is_ignored || entry.name.starts_with('.') {
                continue;
            }
            match entry.kind {
                EntryKind::Folder => self.visit(&name, rules)?,
                EntryKind::Submodule => {
                    let path = join_path(self.root, &name);
                    self.notices.push(Notice::Submodule { path });
                }
                EntryKind::File | EntryKind::Link if self.excluded.contains(&name) => {}
                EntryKind::File | EntryKind::Link => self.take(name)?,
            }
        }
        rules.truncate(rule_count);
        Ok(())
    }

    fn read_rules(&self, folder: &str) -> Result<IgnoreRules, ResourcesError> {
        let file = join_path(&join_path(self.root, folder), IGNORE_FILE);
        let (at, _) = resolve_path(self.tree, &file, Boundary::Repository)?;
        let text = self.tree.read(&at, self.limits.file_bytes)?;
        IgnoreRules::parse(&String::from_utf8_lossy(&text))
            .map_err(|source| ResourcesError::Ignore { file, source })
    }

    fn take(&mut self, name: String) -> Result<(), ResourcesError> {
        let path = join_path(self.root, &name);
        let (at, kind) = resolve_path(self.tree, &path, Boundary::Bundle(self.root))?;
        if kind != EntryKind::File {
            return Err(TreeError::WrongKind { path, wanted: "file" }.into());
        }
        let bytes = self.tree.read(&at, self.limits.file_bytes)?;
        if bytes.starts_with(b"version https://git-lfs.github.com/spec/v1") {
            self.notices.push(Notice::LfsPointer { path });
        }
        self.bytes += bytes.len() as u64;
        self.files.insert(name, bytes);
        match self.bytes > self.limits.bundle_bytes {
            true => Err(ResourcesError::TooLarge {
                limit: self.limits.bundle_bytes,
                biggest: biggest_files(&self.files),
            }),
            false => Ok(()),
        }
    }
}

/// The three biggest files with their sizes, for a message.
pub(crate) fn biggest_files(files: &Files) -> String {
    let mut sizes: Vec<_> = files.iter().map(|(name, bytes)| (bytes.len(), name)).collect();
    sizes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let texts = sizes.iter().take(3).map(|(size, name)| format!("{name} ({size} bytes)"));
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tree::MemTree;
    use super::*;

    fn collect(tree: &MemTree, folder: &str, limits: &ReadLimits) -> Result<Files, ResourcesError> {
        let excluded = BTreeSet::from(["fleet.yaml".to_owned(), "values.yaml".to_owned()]);
        collect_files(tree, folder, &excluded, limits, &mut Vec::new())
    }

    fn names(tree: &MemTree, folder: &str) -> Vec<String> {
        let files = collect(tree, folder, &ReadLimits::default()).expect("a good folder");
        files.into_keys().collect()
    }

    #[test]
    fn everything_below_goes_in_but_hidden_and_excluded_names() {
        let tree = MemTree::of([
            ("a/fleet.yaml", ""),
            ("a/values.yaml", ""),
            ("a/sub/fleet.yaml", ""),
            ("a/sub/values.yaml", ""),
            ("a/.helmignore", ""),
            ("a/.hidden/x.yaml", ""),
            ("a/x.json", ""),
            ("b/y", ""),
        ]);
        assert_eq!(names(&tree, "a"), ["sub/fleet.yaml", "sub/values.yaml", "x.json"]);
        assert_eq!(names(&tree, "a/.hidden"), Vec::<String>::new());
    }

    #[test]
    fn a_fleetignore_holds_for_its_folder_and_below_and_not_beside_it() {
        let tree = MemTree::of([
            ("a/.fleetignore", "charts/*\n"),
            ("a/one/.fleetignore", "*.md\n"),
            ("a/one/x.md", ""),
            ("a/one/deep/x.md", ""),
            ("a/one/charts/x", ""),
            ("a/onetwo/x.md", ""),
        ]);
        assert_eq!(names(&tree, "a"), ["onetwo/x.md"]);
    }

    #[test]
    fn a_link_that_leaves_the_bundle_is_an_error_and_one_inside_is_a_file() {
        let tree = MemTree::of([("a/x", "text"), ("b/y", "")]).with_link("a/l", "x");
        assert_eq!(names(&tree, "a"), ["l", "x"]);
        let error = collect(&tree.with_link("a/m", "../b/y"), "a", &ReadLimits::default());
        assert!(matches!(error, Err(ResourcesError::Tree(TreeError::Escapes { .. }))));
    }

    #[test]
    fn bounds_hold() {
        let tree = MemTree::of([("a/x", "12345"), ("a/y", "12345")]);
        let bytes = collect(&tree, "a", &ReadLimits { bundle_bytes: 9, ..Default::default() });
        assert!(matches!(bytes, Err(ResourcesError::TooLarge { .. })));
        let entries = collect(&tree, "a", &ReadLimits { entries: 1, ..Default::default() });
        assert!(matches!(entries, Err(ResourcesError::TooMany { limit: 1 })));
    }
}
