//! The commit that a folder's Git repository stands on.
//!
//! Owns the few files of a repository that say it. Must not know objects or remotes. Start at
//! [`head_commit`].

use std::path::{Path, PathBuf};

/// The commit of `HEAD` of the repository that holds a folder; `None` outside of any, or before the
/// first commit.
pub(crate) fn head_commit(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let marker = folder.ancestors().map(|folder| folder.join(".git")).find(|path| path.exists())?;
    let git_dir = git_dir(&marker)?;
    let head = read_line(&git_dir.join("HEAD"))?;
    let Some(reference) = head.strip_prefix("ref: ") else { return as_commit(&head) };
    // A linked worktree keeps HEAD to itself and shares branches with the repository it is of.
    let shared = match read_line(&git_dir.join("commondir")) {
        Some(common) => git_dir.join(common),
        None => git_dir.clone(),
    };
    [&git_dir, &shared]
        .iter()
        .find_map(|dir| as_commit(&read_line(&dir.join(reference))?))
        .or_else(|| packed(&shared, reference))
}

/// `.git` is a folder, or a file that names one.
fn git_dir(marker: &Path) -> Option<PathBuf> {
    if marker.is_dir() {
        return Some(marker.to_owned());
    }
    let line = read_line(marker)?;
    Some(marker.parent()?.join(line.strip_prefix("gitdir: ")?))
}

fn packed(git_dir: &Path, reference: &str) -> Option<String> {
    let text = std::fs::read_to_string(git_dir.join("packed-refs")).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(commit, name)| if name == reference { as_commit(commit) } else { None })
}

fn read_line(file: &Path) -> Option<String> {
    Some(std::fs::read_to_string(file).ok()?.trim().to_owned())
}

fn as_commit(text: &str) -> Option<String> {
    let is_id = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_found_from_below_through_branches_and_packed_refs() {
        let folder = tempfile::tempdir().expect("a folder");
        let git = folder.path().join(".git");
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(git.join("refs/heads")).expect("folders");
        std::fs::create_dir_all(&below).expect("folders");
        let write = |name: &str, text: &str| std::fs::write(git.join(name), text).expect("a file");
        write("HEAD", "ref: refs/heads/main\n");
        assert_eq!(head_commit(&below), None);
        let (packed, loose) = ("1".repeat(40), "2".repeat(40));
        write("packed-refs", &format!("# pack-refs\n{packed} refs/heads/main\n"));
        assert_eq!(head_commit(&below), Some(packed));
        write("refs/heads/main", &format!("{loose}\n"));
        assert_eq!(head_commit(&below), Some(loose.clone()));
        write("HEAD", &format!("{loose}\n"));
        assert_eq!(head_commit(&below), Some(loose));
    }
}
