//! A folder of this machine as the bundle reader sees it.
//!
//! Owns the way to disk: a capability on one folder, so that nothing outside can be read whatever a
//! link says. Must not know bundles. Start at [`DirTree::open`].

use std::io::Read as _;
use std::path::Path;

use bundle_format::read::{Entry, EntryKind, FileTree, TreeError};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType};

/// The files below one folder.
pub struct DirTree {
    root: Dir,
}

impl DirTree {
    /// Opens a folder.
    ///
    /// # Errors
    /// The folder is not there or may not be read.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        Ok(Self { root: Dir::open_ambient_dir(folder, ambient_authority())? })
    }
}

fn at(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

fn tree_error(path: &str, error: &std::io::Error) -> TreeError {
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            TreeError::NotFound { path: path.to_owned() }
        }
        _ => TreeError::Unreadable { path: path.to_owned(), reason: error.to_string() },
    }
}

fn entry_kind(kind: FileType) -> EntryKind {
    match (kind.is_dir(), kind.is_symlink()) {
        (true, _) => EntryKind::Folder,
        (_, true) => EntryKind::Link,
        _ => EntryKind::File,
    }
}

impl FileTree for DirTree {
    fn list(&self, folder: &str) -> Result<Vec<Entry>, TreeError> {
        let failed = |error: std::io::Error| tree_error(folder, &error);
        let mut entries = Vec::new();
        for entry in self.root.read_dir(at(folder)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string().map_err(|name| TreeError::Unreadable {
                path: folder.to_owned(),
                reason: format!("file name {} is not UTF-8", name.display()),
            })?;
            entries.push(Entry { name, kind: entry_kind(entry.file_type().map_err(failed)?) });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>, TreeError> {
        let failed = |error: std::io::Error| tree_error(file, &error);
        let opened = self.root.open(at(file)).map_err(failed)?;
        if opened.metadata().map_err(failed)?.is_dir() {
            return Err(TreeError::WrongKind { path: file.to_owned(), wanted: "file" });
        }
        let mut bytes = Vec::new();
        opened.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        match bytes.len() as u64 > limit {
            true => Err(TreeError::TooLarge { path: file.to_owned(), limit }),
            false => Ok(bytes),
        }
    }

    fn read_link(&self, link: &str) -> Result<String, TreeError> {
        let target =
            self.root.read_link_contents(at(link)).map_err(|error| tree_error(link, &error))?;
        target.into_os_string().into_string().map_err(|target| TreeError::Unreadable {
            path: link.to_owned(),
            reason: format!("link target {} is not UTF-8", target.display()),
        })
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        match self.root.symlink_metadata(at(path)) {
            Ok(metadata) => Ok(Some(entry_kind(metadata.file_type()))),
            Err(error) => match tree_error(path, &error) {
                TreeError::NotFound { .. } => Ok(None),
                error => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn nothing_outside_of_the_folder_can_be_read() {
        let outside = tempfile::tempdir().expect("a folder");
        let root = outside.path().join("root");
        std::fs::create_dir_all(root.join("sub")).expect("a folder");
        std::fs::write(outside.path().join("secret"), "x").expect("a file");
        std::fs::write(root.join("sub/a.yaml"), "a: 1").expect("a file");
        std::os::unix::fs::symlink("../secret", root.join("link")).expect("a link");
        let tree = DirTree::open(&root).expect("it is there");
        let names: Vec<_> =
            tree.list("").expect("root").into_iter().map(|e| (e.name, e.kind)).collect();
        assert_eq!(
            names,
            [("link".to_owned(), EntryKind::Link), ("sub".to_owned(), EntryKind::Folder)]
        );
        assert!(tree.read("link", 10).is_err());
        assert!(tree.read("../secret", 10).is_err());
        assert_eq!(tree.read_link("link"), Ok("../secret".to_owned()));
        assert_eq!(tree.read("sub/a.yaml", 4), Ok(b"a: 1".to_vec()));
        assert!(matches!(tree.read("sub/a.yaml", 3), Err(TreeError::TooLarge { .. })));
        assert_eq!(tree.entry("sub/none"), Ok(None));
    }
}
