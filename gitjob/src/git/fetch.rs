//! Gets the files of one commit.
//!
//! Owns the local object store: one bare repository per remote and access, shallow, without
//! history and without a checkout. Knows nothing of what the files mean. Start at [`fetch_tree`].

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use gix::protocol::transport::client::blocking_io::http;
use gix::remote::{Direction, fetch::Shallow, ref_map};
use reqwest::Url;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use tokio_util::sync::CancellationToken;

use super::remote::{Reference, Remote};
use super::tree::GitTree;
use super::{CommitId, GitError};
use crate::net::Credentials;

/// A repository with more packs than this is fetched anew, so that old commits do not pile up.
const PACKS_MAX: usize = 24;
/// Repositories kept on disk; the one used longest ago goes first.
const REPOSITORIES_MAX: usize = 256;

/// Bounds of one fetch.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// Fetches at the same time; each takes one thread.
    pub concurrency: usize,
    /// Longest fetch.
    pub timeout: Duration,
    /// Bytes a fetch may write.
    pub bytes_max: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { concurrency: 4, timeout: Duration::from_secs(300), bytes_max: 1024 * 1024 * 1024 }
    }
}

/// The object store of a process, in a folder of its own that it empties at start.
pub struct GitStore {
    root: PathBuf,
    limits: FetchLimits,
    threads: Arc<Semaphore>,
    slots: StdMutex<BTreeMap<String, Slot>>,
}

/// One bare repository. Who locks the folder owns it: that is the blocking [`Job`], until it
/// truly ends, and not its caller, who may go away earlier.
struct Slot {
    dir: Arc<Mutex<PathBuf>>,
    used: Instant,
}

impl GitStore {
    /// Takes over `root`, deleting what an earlier process left there.
    ///
    /// # Errors
    /// When the folder cannot be emptied or made.
    pub fn new(root: PathBuf, limits: FetchLimits) -> Result<Arc<Self>, GitError> {
        if root.exists() {
            std::fs::remove_dir_all(&root).map_err(|e| store_error(&e))?;
        }
        std::fs::create_dir_all(&root).map_err(|e| store_error(&e))?;
        Ok(Arc::new(Self {
            root,
            limits,
            threads: Arc::new(Semaphore::new(limits.concurrency.max(1))),
            slots: StdMutex::default(),
        }))
    }

    /// The folder for the objects of `remote`; lock it before use.
    fn slot(&self, remote: &Remote, commit: &CommitId) -> Arc<Mutex<PathBuf>> {
        use sha2::{Digest, Sha256};
        // The access is part of the key: what one set of credentials may read, another may not.
        let (url, _, access) = remote.key();
        let digest = Sha256::digest(format!("{url} {access} {}", commit.as_str().len()));
        let key: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= REPOSITORIES_MAX && !slots.contains_key(&key) {
            // Nobody fetches into it, nor waits to: a reference is taken only here.
            let idle = slots.iter().filter(|(_, slot)| Arc::strong_count(&slot.dir) == 1);
            let oldest = idle.min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone());
            if let Some(key) = oldest {
                slots.remove(&key);
                drop(std::fs::remove_dir_all(self.root.join(&key)));
            }
        }
        let used = Instant::now();
        let slot = slots.entry(key).or_insert_with_key(|key| {
            let dir = Arc::new(Mutex::new(self.root.join(key)));
            Slot { dir, used }
        });
        slot.used = used;
        Arc::clone(&slot.dir)
    }
}

impl Drop for GitStore {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.root));
    }
}

/// Opens the files of `commit`, fetching it when it is not here yet.
///
/// One fetch per repository at a time; callers with the same commit share it, and one that was
/// left by its caller is waited for, which its own timeout bounds. The transfer is shallow: this
/// commit alone, minus the objects earlier commits brought.
///
/// # Errors
/// [`GitError`]; of class `Conflict` when `cancel` was cancelled.
pub async fn fetch_tree(
    store: &Arc<GitStore>,
    remote: &Remote,
    commit: &CommitId,
    cancel: &CancellationToken,
) -> Result<GitTree, GitError> {
    if let Some(folder) = remote.local_folder() {
        return open_local(folder, commit.clone()).await;
    }
    let slot = store.slot(remote, commit);
    let interrupt = Arc::new(AtomicBool::new(false));
    let _interrupt_on_drop = InterruptOnDrop(Arc::clone(&interrupt));
    let work = async {
        let dir = slot.lock_owned().await;
        let folder = dir.clone();
        let thread = Arc::clone(&store.threads).acquire_owned().await;
        let thread = thread.map_err(|_| GitError::Cancelled)?;
        let job = Job { dir, remote: remote.clone(), commit: commit.clone(), limits: store.limits };
        let interrupt = Arc::clone(&interrupt);
        let done = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            job.run(&interrupt)
        });
        watch_size(done, &folder, store.limits.bytes_max, remote, commit).await
    };
    let secs = store.limits.timeout.as_secs();
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(GitError::Cancelled),
        result = tokio::time::timeout(store.limits.timeout, work) => result.unwrap_or_else(|_| {
            Err(GitError::TimedOut { commit: commit.clone(), url: remote.redacted(), secs })
        }),
    }
}

/// Opens a commit of a repository on this machine in place.
async fn open_local(folder: PathBuf, commit: CommitId) -> Result<GitTree, GitError> {
    let open = move || {
        let id = gix::ObjectId::from_hex(commit.as_str().as_bytes())
            .map_err(|e| GitError::Store { detail: e.to_string() })?;
        GitTree::open(&folder, id)
    };
    let done = tokio::task::spawn_blocking(open).await;
    done.map_err(|e| GitError::Store { detail: e.to_string() })?
}

/// Stops the blocking thread at its next look when the caller goes away.
struct InterruptOnDrop(Arc<AtomicBool>);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// gix has no limit for the size of a pack, so the folder is measured while it grows.
async fn watch_size(
    mut done: tokio::task::JoinHandle<Result<GitTree, GitError>>,
    dir: &Path,
    bytes_max: u64,
    remote: &Remote,
    commit: &CommitId,
) -> Result<GitTree, GitError> {
    let before = pack_bytes(dir);
    loop {
        tokio::select! {
            biased;
            result = &mut done => {
                let failed = |e: tokio::task::JoinError| GitError::Store { detail: e.to_string() };
                return result.map_err(failed)?;
            }
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                if pack_bytes(dir).saturating_sub(before) > bytes_max {
                    let (commit, url) = (commit.clone(), remote.redacted());
                    return Err(GitError::TooLarge { commit, url, bytes_max });
                }
            }
        }
    }
}

fn packs(dir: &Path) -> impl Iterator<Item = std::fs::DirEntry> {
    std::fs::read_dir(dir.join("objects/pack")).into_iter().flatten().flatten()
}

fn pack_bytes(dir: &Path) -> u64 {
    packs(dir).filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

/// The blocking part.
struct Job {
    dir: OwnedMutexGuard<PathBuf>,
    remote: Remote,
    commit: CommitId,
    limits: FetchLimits,
}

impl Job {
    fn run(&self, interrupt: &AtomicBool) -> Result<GitTree, GitError> {
        let id = gix::ObjectId::from_hex(self.commit.as_str().as_bytes())
            .map_err(|e| GitError::Store { detail: e.to_string() })?;
        let repo = self.open()?;
        if repo.find_reference(&self.local_ref()).is_err() {
            let fetched = self.receive(&repo, self.commit.as_str(), interrupt);
            fetched.or_else(|error| self.receive_by_name(&repo, error, interrupt))?;
        }
        // A new handle: the old one does not know packs that came since it was opened.
        GitTree::open(&self.dir, id)
    }

    /// Opens the bare repository, or makes it; starts over when too many packs piled up.
    fn open(&self) -> Result<gix::Repository, GitError> {
        let dir = self.dir.as_path();
        let many_packs = || packs(dir).count() > 2 * PACKS_MAX;
        if dir.exists() && many_packs() {
            std::fs::remove_dir_all(dir).map_err(|e| store_error(&e))?;
        }
        if dir.join("HEAD").exists() && dir.join("objects").is_dir() {
            return super::tree::open_bare(dir);
        }
        if dir.exists() {
            // Half made or half removed by a job that did not end, as when the machine has no room
            // left. (After a SIGKILL the whole root is emptied by the next process.)
            std::fs::remove_dir_all(dir).map_err(|e| store_error(&e))?;
        }
        std::fs::create_dir_all(dir).map_err(|e| store_error(&e))?;
        let hash = match self.commit.as_str().len() {
            64 => Some(gix::hash::Kind::Sha256),
            _ => None,
        };
        let options = gix::create::Options { object_hash: hash, ..Default::default() };
        let isolated = gix::open::Options::isolated();
        gix::ThreadSafeRepository::init_opts(dir, gix::create::Kind::Bare, options, isolated)
            .map(|repo| repo.to_thread_local())
            .map_err(|e| GitError::Store { detail: cause_of(&e) })
    }

    /// Marks a commit whose objects are all here.
    fn local_ref(&self) -> String {
        format!("refs/fleet/{}", self.commit)
    }

    /// Fetches `wanted` (an id or a full ref name) into the local ref.
    fn receive(
        &self,
        repo: &gix::Repository,
        wanted: &str,
        interrupt: &AtomicBool,
    ) -> Result<(), GitError> {
        let url = self.remote.fetch_url();
        let spec = format!("+{wanted}:{}", self.local_ref());
        let receive = || -> gix::Result<()> {
            let remote = repo
                .remote_at_without_url_rewrite(url.as_str())?
                .with_refspecs([spec.as_str()], Direction::Fetch)?
                .with_fetch_tags(gix::remote::fetch::Tags::None);
            let options = http_options(&self.remote, &url, self.limits.timeout);
            let connection = remote
                .connect(Direction::Fetch)?
                .with_transport_options(Box::new(options))
                // Never ask the machine's credential helpers, never prompt.
                .with_credentials(|_| Ok(None));
            connection
                .prepare_fetch(gix::progress::Discard, ref_map::Options::default())?
                .with_shallow(Shallow::DepthAtRemote(NonZeroU32::MIN))
                .receive(gix::progress::Discard, interrupt)?;
            Ok(())
        };
        receive().map_err(|error| {
            if interrupt.load(Ordering::Relaxed) {
                return GitError::Cancelled;
            }
            GitError::Fetch {
                commit: self.commit.clone(),
                url: self.remote.redacted(),
                detail: cause_of(&error),
            }
        })
    }

    /// Some servers give only what a ref names: fetch the ref and see whether it is the commit.
    fn receive_by_name(
        &self,
        repo: &gix::Repository,
        first: GitError,
        interrupt: &AtomicBool,
    ) -> Result<(), GitError> {
        let names = match (&first, &self.remote.reference) {
            (GitError::Fetch { .. }, Reference::Branch(name)) => vec![format!("refs/heads/{name}")],
            (GitError::Fetch { .. }, Reference::Revision(name)) => {
                vec![format!("refs/tags/{name}"), format!("refs/heads/{name}")]
            }
            _ => return Err(first),
        };
        for name in names {
            if self.receive(repo, &name, interrupt).is_err() {
                continue;
            }
            let got = repo.find_reference(&self.local_ref()).ok();
            let got = got.and_then(|reference| reference.into_fully_peeled_id().ok());
            if got.is_some_and(|id| id.detach() == self.commit.as_str()) {
                return Ok(());
            }
            // The ref moved on meanwhile: the mark would claim what is not here.
            if let Ok(reference) = repo.find_reference(&self.local_ref()) {
                drop(reference.delete());
            }
        }
        Err(first)
    }
}

/// Credentials go as a header, which makes gix refuse redirects; the address is already where the
/// listing found the repository.
fn http_options(remote: &Remote, url: &Url, timeout: Duration) -> http::Options {
    let own_origin = Url::parse(&remote.redacted()).is_ok_and(|own| own.origin() == url.origin());
    let header = remote.access.credentials.as_ref().and_then(Credentials::header);
    let header = header.filter(|_| own_origin);
    let extra_headers = header
        .and_then(|value| value.to_str().ok().map(|text| format!("Authorization: {text}")))
        .into_iter()
        .collect();
    // Those that cannot be read failed the listing before.
    let extra = remote.certificates().unwrap_or_default();
    let skips_tls = remote.access.insecure_skip_tls;
    let backend = http::reqwest::Options {
        configure_client: Some(Box::new(move |builder| {
            let builder = builder
                .timeout(timeout)
                .connect_timeout(Duration::from_secs(10))
                .tls_danger_accept_invalid_certs(skips_tls);
            Ok(match extra.is_empty() {
                true => builder,
                false => builder.tls_certs_merge(extra.clone()),
            })
        })),
        configure_request: None,
    };
    http::Options {
        extra_headers,
        user_agent: Some(concat!("fleet/", env!("CARGO_PKG_VERSION")).to_owned()),
        backend: Some(Arc::new(StdMutex::new(backend))),
        ..http::Options::default()
    }
}

fn store_error(error: &std::io::Error) -> GitError {
    GitError::Store { detail: error.to_string() }
}

/// The innermost cause, which is the one that says something.
pub(super) fn cause_of(error: &gix::Error) -> String {
    error.probable_cause().to_string()
}
