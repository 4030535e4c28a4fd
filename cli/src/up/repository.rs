//! The repository that `fleet up` deploys: a folder, an address, or a copy of the quickstart.
//!
//! Owns the making of that copy and the watch on local commits. Start at [`Source::choose`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use notify::Watcher as _;

/// How long a server may take to name its default branch.
const DEFAULT_BRANCH_TIMEOUT: Duration = Duration::from_secs(30);

/// The files of `examples/quickstart`.
const QUICKSTART: [(&str, &str); 8] = [
    ("README.md", include_str!("../../../examples/quickstart/README.md")),
    (
        "namespace/greeting.yaml",
        include_str!("../../../examples/quickstart/namespace/greeting.yaml"),
    ),
    (
        "namespace/namespace.yaml",
        include_str!("../../../examples/quickstart/namespace/namespace.yaml"),
    ),
    ("web/Chart.yaml", include_str!("../../../examples/quickstart/web/Chart.yaml")),
    ("web/fleet.yaml", include_str!("../../../examples/quickstart/web/fleet.yaml")),
    ("web/values.yaml", include_str!("../../../examples/quickstart/web/values.yaml")),
    (
        "web/templates/configmap.yaml",
        include_str!("../../../examples/quickstart/web/templates/configmap.yaml"),
    ),
    (
        "web/templates/deployment.yaml",
        include_str!("../../../examples/quickstart/web/templates/deployment.yaml"),
    ),
];

/// Where the commits come from.
pub(super) struct Source {
    /// As it stands in the GitRepo: an address, or `file://` and a folder.
    pub(super) url: String,
    pub(super) branch: String,
    /// The folder, when it is one on this machine.
    pub(super) folder: Option<PathBuf>,
    /// It is our copy of the quickstart.
    pub(super) is_quickstart: bool,
    /// It was made by this process.
    is_new: bool,
    /// Folders that change with a commit, and whether what is below counts as well.
    watched: Vec<(PathBuf, notify::RecursiveMode)>,
}

impl Source {
    /// Reads `--repo`; without it, copies the quickstart into `data` (once).
    pub(super) async fn choose(
        repo: Option<&str>,
        branch: Option<&str>,
        data: &Path,
    ) -> anyhow::Result<Source> {
        let Some(repo) = repo else {
            let folder = data.join("quickstart");
            let is_new = !folder.join(".git").exists();
            if is_new {
                write_quickstart(&folder)?;
            }
            let source = Source::local(&folder, branch)?;
            return Ok(Source { is_quickstart: true, is_new, ..source });
        };
        let is_remote = repo.contains("://") || (repo.contains('@') && repo.contains(':'));
        if !is_remote {
            return Source::local(Path::new(repo), branch);
        }
        let branch = match branch {
            Some(branch) => branch.to_owned(),
            None => default_branch(repo).await?,
        };
        let (url, watched) = (repo.to_owned(), Vec::new());
        Ok(Source { url, branch, folder: None, is_quickstart: false, is_new: false, watched })
    }

    fn local(folder: &Path, branch: Option<&str>) -> anyhow::Result<Source> {
        let shown = folder.display();
        let folder = folder.canonicalize().with_context(|| format!("--repo {shown}"))?;
        let repository =
            gix::open_opts(&folder, gix::open::Options::isolated()).with_context(|| {
                format!("{shown} is no Git repository; run `git init` and commit in it")
            })?;
        let head = repository.head_name().context("reading HEAD")?;
        let branch = match (branch, head) {
            (Some(branch), _) => branch.to_owned(),
            (None, Some(name)) => name.shorten().to_string(),
            (None, None) => bail!("HEAD of {shown} is on no branch; name one with --branch"),
        };
        let has_commit = repository.try_find_reference(&format!("refs/heads/{branch}"));
        if has_commit.context("reading branches")?.is_none() {
            bail!(
                "branch {branch} of {shown} has no commit yet; commit, or name another with --branch"
            );
        }
        let url = format!("file://{}", folder.display());
        // In a linked worktree the refs are elsewhere than HEAD.
        let common = repository.common_dir();
        let watched = vec![
            (common.join("refs"), notify::RecursiveMode::Recursive),
            (common.to_owned(), notify::RecursiveMode::NonRecursive),
        ];
        let (is_quickstart, is_new) = (false, false);
        Ok(Source { url, branch, folder: Some(folder), is_quickstart, is_new, watched })
    }

    /// Calls `wake` whenever a ref of a local repository moves; ends when the result is dropped.
    pub(super) fn watch_commits(
        &self,
        wake: impl Fn() + Send + 'static,
    ) -> anyhow::Result<notify::RecommendedWatcher> {
        let on_event = move |event: notify::Result<notify::Event>| {
            // A lost event is no harm: the repository is polled as well.
            if event.is_ok_and(|e| !e.kind.is_access()) {
                wake();
            }
        };
        let mut watcher = notify::recommended_watcher(on_event)?;
        for (folder, mode) in &self.watched {
            let failed = || format!("watching {}", folder.display());
            watcher.watch(folder, *mode).with_context(failed)?;
        }
        Ok(watcher)
    }

    /// Removes the copy of the quickstart that this process made.
    pub(super) fn forget(&self) {
        if let (Some(folder), true) = (&self.folder, self.is_new) {
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

/// Asks a server which branch is meant when none is named.
async fn default_branch(repo: &str) -> anyhow::Result<String> {
    let fetcher = Arc::new(gitjob::net::Fetcher::of_process());
    let link = gitjob::git::remote::Link::new(fetcher, DEFAULT_BRANCH_TIMEOUT);
    let any = gitjob::git::Reference::of_spec("", "");
    let remote = gitjob::git::Remote::new(repo, any, gitjob::net::Access::default(), &link)?;
    let asked = gitjob::git::default_branch(&remote).await;
    let shown = remote.redacted();
    let failed = || format!("asking {shown} for its default branch; name one with --branch");
    asked
        .with_context(failed)?
        .with_context(|| format!("{shown} has no default branch; name one with --branch"))
}

fn write_quickstart(folder: &Path) -> anyhow::Result<()> {
    for (name, text) in QUICKSTART {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    commit_all(folder).with_context(|| format!("making {} a Git repository", folder.display()))
}

/// Makes the folder a repository whose first commit has the quickstart.
fn commit_all(folder: &Path) -> anyhow::Result<()> {
    let options = gix::create::Options::default();
    let open = gix::open::Options::isolated();
    let repository: gix::Repository = gix::ThreadSafeRepository::init_opts(
        folder,
        gix::create::Kind::WithWorktree,
        options,
        open,
    )?
    .into();
    let tree = write_tree(&repository, &QUICKSTART.map(|(name, text)| (name, text)))?;
    let when = gix::date::Time::now_utc().to_string();
    let signature = gix::actor::SignatureRef {
        name: "fleet up".into(),
        email: "fleet-up@localhost".into(),
        time: &when,
    };
    let parents: [gix::ObjectId; 0] = [];
    repository.commit_as(
        signature,
        signature,
        "refs/heads/main",
        "The quickstart",
        tree,
        parents,
    )?;
    // HEAD of a new repository may name another branch.
    std::fs::write(folder.join(".git/HEAD"), "ref: refs/heads/main\n")?;
    name_author(&folder.join(".git/config"))?;
    let mut index = repository.index_from_tree(&tree)?;
    index.write(gix::index::write::Options::default())?;
    Ok(())
}

/// Without a name git refuses to commit, and on a fresh machine nobody has told it one.
fn name_author(config: &Path) -> std::io::Result<()> {
    let mut text = std::fs::read_to_string(config)?;
    text.push_str("[user]\n\tname = fleet up\n\temail = fleet-up@localhost\n");
    std::fs::write(config, text)
}

/// Writes the tree of `files` (path, text), folders first.
fn write_tree(
    repository: &gix::Repository,
    files: &[(&str, &str)],
) -> anyhow::Result<gix::ObjectId> {
    use gix::objs::tree::{Entry, EntryKind};
    let mut entries = Vec::new();
    let mut folders: Vec<&str> =
        files.iter().filter_map(|(name, _)| Some(name.split_once('/')?.0)).collect();
    folders.dedup();
    for folder in folders {
        let inside: Vec<(&str, &str)> = files
            .iter()
            .filter_map(|(name, text)| Some((name.strip_prefix(folder)?.strip_prefix('/')?, *text)))
            .collect();
        let oid = write_tree(repository, &inside)?;
        entries.push(Entry { mode: EntryKind::Tree.into(), filename: folder.into(), oid });
    }
    for (name, text) in files.iter().filter(|(name, _)| !name.contains('/')) {
        let oid = repository.write_blob(text)?.detach();
        entries.push(Entry { mode: EntryKind::Blob.into(), filename: (*name).into(), oid });
    }
    entries.sort();
    Ok(repository.write_object(&gix::objs::Tree { entries })?.detach())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_quickstart_is_a_repository_with_one_commit_of_all_its_files() {
        let data = tempfile::tempdir().expect("folder");
        let source = Source::choose(None, None, data.path()).await.expect("made");
        assert_eq!(source.branch, "main");
        let folder = source.folder.expect("local");
        let repository = gix::open_opts(&folder, gix::open::Options::isolated()).expect("opens");
        let tree = repository.head_tree().expect("a commit");
        for (name, text) in QUICKSTART {
            let entry = tree.lookup_entry_by_path(name).expect("readable").expect(name);
            assert_eq!(entry.object().expect("a blob").data, text.as_bytes(), "{name}");
        }
        // A second start finds it as it is.
        Source::choose(None, None, data.path()).await.expect("kept");
    }

    #[tokio::test]
    async fn a_folder_that_is_no_repository_is_refused_with_the_fix() {
        let data = tempfile::tempdir().expect("folder");
        let path = data.path().to_str().expect("text");
        let error = Source::choose(Some(path), None, data.path()).await.err().expect("refused");
        assert!(error.to_string().contains("git init"), "{error}");
    }
}
