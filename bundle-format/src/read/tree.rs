//! Files as the reader sees them, wherever they lie.
//!
//! Owns the [`FileTree`] trait, the tree in memory and the one way links are followed. Must not know
//! disks, Git or bundles. Start at [`FileTree`].

use std::collections::BTreeMap;

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; see [`FileTree::read_link`].
    Link,
    /// A Git submodule, whose files are not there.
    Submodule,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Base name.
    pub name: String,
    /// What it stands for.
    pub kind: EntryKind,
}

/// Why a tree did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Nothing there.
    #[error("{path}: no such file or folder")]
    NotFound {
        /// What was asked for.
        path: String,
    },
    /// A file where a folder was asked for, or the other way round.
    #[error("{path}: is not a {wanted}")]
    WrongKind {
        /// What was asked for.
        path: String,
        /// `file`, `folder` or `link`.
        wanted: &'static str,
    },
    /// A link whose target lies outside.
    #[error("{path}: link to {target} leaves {boundary}, which is not followed")]
    Escapes {
        /// The link.
        path: String,
        /// Its target as written.
        target: String,
        /// `the bundle` or `the repository`.
        boundary: &'static str,
    },
    /// Links that lead to links without end.
    #[error("{path}: more than {MAX_LINKS} links in a row")]
    TooManyLinks {
        /// Where it began.
        path: String,
    },
    /// A file over the limit.
    #[error("{path}: holds more than {limit} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Anything else that kept the tree from answering.
    #[error("{path}: cannot be read: {reason}")]
    Unreadable {
        /// What was asked for.
        path: String,
        /// In words.
        reason: String,
    },
}

/// Links followed before we assume a circle; the limit of Linux.
const MAX_LINKS: usize = 40;

/// Folders and files, read synchronously. Edges call it on a blocking thread.
///
/// Paths are relative to the root, parts separated by `/`, without `.`, `..` or a leading slash;
/// the root is the empty string. Implementations never follow links: this module does.
pub trait FileTree {
    /// The entries of a folder, sorted by the bytes of their names.
    ///
    /// # Errors
    /// The folder is not there or cannot be read.
    fn list(&self, folder: &str) -> Result<Vec<Entry>, TreeError>;

    /// The bytes of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// The file is not there, is none, holds more than `limit` bytes, or cannot be read.
    fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>, TreeError>;

    /// Where a link points, as written.
    ///
    /// # Errors
    /// The link is not there or is none.
    fn read_link(&self, link: &str) -> Result<String, TreeError>;

    /// The entry at a path; `None` when there is none.
    ///
    /// # Errors
    /// The folder around it cannot be read.
    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        let (folder, name) = split_path(path);
        if name.is_empty() {
            return Ok(Some(EntryKind::Folder));
        }
        match self.list(folder) {
            Ok(entries) => Ok(entries.iter().find(|entry| entry.name == name).map(|e| e.kind)),
            Err(TreeError::NotFound { .. } | TreeError::WrongKind { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Joins a folder and a path below it.
pub(crate) fn join_path(folder: &str, name: &str) -> String {
    match (folder, name) {
        ("", name) => name.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, name) => format!("{folder}/{name}"),
    }
}

/// Splits a path into the folder around it and the base name.
pub(crate) fn split_path(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Takes `.` and `..` out of a path, as far as text alone allows; `None` when it leads above the root.
pub(crate) fn clean_path(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// How far links may lead.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Boundary<'a> {
    /// Anywhere in the tree.
    Repository,
    /// Into this folder only.
    Bundle(&'a str),
}

impl Boundary<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Repository => "the repository",
            Self::Bundle(_) => "the bundle",
        }
    }

    fn holds(self, path: &str) -> bool {
        match self {
            Self::Repository | Self::Bundle("") => true,
            Self::Bundle(folder) => path
                .strip_prefix(folder)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

/// Follows every link in a path and says what stands at its end.
///
/// Guarantees: the answer lies in the boundary whenever a link was followed, and never outside
/// the tree. `..` after a link means the folder around the link's target, as in a file system.
///
/// # Errors
/// Nothing there, a link that leaves the boundary, more than [`MAX_LINKS`] links.
pub(crate) fn resolve_path(
    tree: &dyn FileTree,
    path: &str,
    boundary: Boundary<'_>,
) -> Result<(String, EntryKind), TreeError> {
    let escapes = |target: &str| TreeError::Escapes {
        path: path.to_owned(),
        target: target.to_owned(),
        boundary: boundary.name(),
    };
    let not_found = || TreeError::NotFound { path: path.to_owned() };
    let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let (mut at, mut kind, mut links) = (String::new(), EntryKind::Folder, 0);
    while let Some(part) = todo.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." if at.is_empty() => return Err(escapes(path)),
            ".." => {
                at = split_path(&at).0.to_owned();
                kind = EntryKind::Folder;
                continue;
            }
            _ if kind != EntryKind::Folder => return Err(not_found()),
            _ => {}
        }
        let next = join_path(&at, &part);
        match tree.entry(&next)?.ok_or_else(not_found)? {
            EntryKind::Link => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(TreeError::TooManyLinks { path: path.to_owned() });
                }
                let target = tree.read_link(&next)?;
                if target.starts_with('/') {
                    return Err(escapes(&target));
                }
                todo.extend(target.split('/').rev().map(str::to_owned));
            }
            found => {
                at = next;
                kind = found;
            }
        }
    }
    if links > 0 && !boundary.holds(&at) {
        return Err(escapes(&at));
    }
    Ok((at, kind))
}

/// A tree in memory: for tests, generated bundles, and files that came over the network.
#[derive(Clone, Debug, Default)]
pub struct MemTree {
    nodes: BTreeMap<String, Node>,
}

#[derive(Clone, Debug)]
enum Node {
    File(Vec<u8>),
    Link(String),
    Submodule,
}

impl MemTree {
    /// A tree of these files.
    pub fn of<P: Into<String>, B: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, B)>) -> Self {
        let nodes = files.into_iter().map(|(path, bytes)| (path.into(), Node::File(bytes.into())));
        Self { nodes: nodes.collect() }
    }

    /// Adds a link.
    #[must_use]
    pub fn with_link(mut self, path: &str, target: &str) -> Self {
        self.nodes.insert(path.to_owned(), Node::Link(target.to_owned()));
        self
    }

    /// Adds a submodule.
    #[must_use]
    pub fn with_submodule(mut self, path: &str) -> Self {
        self.nodes.insert(path.to_owned(), Node::Submodule);
        self
    }

    fn is_folder(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        path.is_empty()
            || self
                .nodes
                .range(prefix.clone()..)
                .next()
                .is_some_and(|(p, _)| p.starts_with(&prefix))
    }
}

impl FileTree for MemTree {
    fn list(&self, folder: &str) -> Result<Vec<Entry>, TreeError> {
        if !self.is_folder(folder) {
            return Err(TreeError::NotFound { path: folder.to_owned() });
        }
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut entries: BTreeMap<&str, EntryKind> = BTreeMap::new();
        for (path, node) in self.nodes.range(prefix.clone()..) {
            let Some(rest) = path.strip_prefix(&prefix) else { break };
            let (name, kind) = match (rest.split_once('/'), node) {
                (Some((name, _)), _) => (name, EntryKind::Folder),
                (None, Node::File(_)) => (rest, EntryKind::File),
                (None, Node::Link(_)) => (rest, EntryKind::Link),
                (None, Node::Submodule) => (rest, EntryKind::Submodule),
            };
            entries.insert(name, kind);
        }
        Ok(entries.into_iter().map(|(name, kind)| Entry { name: name.to_owned(), kind }).collect())
    }

    fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>, TreeError> {
        match self.nodes.get(file) {
            Some(Node::File(bytes)) if bytes.len() as u64 <= limit => Ok(bytes.clone()),
            Some(Node::File(_)) => Err(TreeError::TooLarge { path: file.to_owned(), limit }),
            None if !self.is_folder(file) => Err(TreeError::NotFound { path: file.to_owned() }),
            _ => Err(TreeError::WrongKind { path: file.to_owned(), wanted: "file" }),
        }
    }

    fn read_link(&self, link: &str) -> Result<String, TreeError> {
        match self.nodes.get(link) {
            Some(Node::Link(target)) => Ok(target.clone()),
            Some(_) => Err(TreeError::WrongKind { path: link.to_owned(), wanted: "link" }),
            None => Err(TreeError::NotFound { path: link.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(tree: &MemTree, path: &str, boundary: Boundary<'_>) -> Result<String, TreeError> {
        resolve_path(tree, path, boundary).map(|(at, _)| at)
    }

    #[test]
    fn links_are_followed_inside_the_boundary_only() {
        let tree = MemTree::of([("app/values.yaml", "a: 1"), ("shared/x.yaml", "b: 1")])
            .with_link("app/good.yaml", "sub/../values.yaml")
            .with_link("app/sub", "../app")
            .with_link("app/out.yaml", "../shared/x.yaml")
            .with_link("app/far.yaml", "../../etc/passwd")
            .with_link("app/root.yaml", "/etc/passwd")
            .with_link("app/a", "b")
            .with_link("app/b", "a");
        let inside = Boundary::Bundle("app");
        // `sub` leads to `app`, and `..` from there is the root, where no values.yaml lies.
        assert!(matches!(
            resolved(&tree, "app/good.yaml", inside),
            Err(TreeError::NotFound { .. })
        ));
        assert_eq!(resolved(&tree, "app/sub/values.yaml", inside), Ok("app/values.yaml".into()));
        assert!(matches!(resolved(&tree, "app/out.yaml", inside), Err(TreeError::Escapes { .. })));
        assert_eq!(
            resolved(&tree, "app/out.yaml", Boundary::Repository),
            Ok("shared/x.yaml".into())
        );
        for path in ["app/far.yaml", "app/root.yaml"] {
            let error = resolved(&tree, path, Boundary::Repository);
            assert!(matches!(error, Err(TreeError::Escapes { .. })), "{path}");
        }
        assert!(matches!(
            resolved(&tree, "app/a", Boundary::Repository),
            Err(TreeError::TooManyLinks { .. })
        ));
    }

    #[test]
    fn a_folder_lists_files_and_folders_in_the_order_of_their_bytes() {
        let tree = MemTree::of([("b/x", ""), ("B", ""), ("a.yaml", "")]).with_submodule("m");
        let names: Vec<_> = tree.list("").expect("root").into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["B", "a.yaml", "b", "m"]);
        assert_eq!(tree.entry("b"), Ok(Some(EntryKind::Folder)));
        assert_eq!(tree.entry("b/y"), Ok(None));
        assert!(matches!(tree.read("b/x", 0), Ok(bytes) if bytes.is_empty()));
        assert!(matches!(MemTree::of([("x", "12")]).read("x", 1), Err(TreeError::TooLarge { .. })));
    }

    #[test]
    fn a_path_is_cleaned_but_never_leads_above_the_root() {
        assert_eq!(clean_path("./a//b/../c/"), Some("a/c".into()));
        assert_eq!(clean_path("a/../.."), None);
    }
}
