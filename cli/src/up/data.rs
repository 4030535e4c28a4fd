//! The folder of one fleet: who uses it, and how its process is asked to end.
//!
//! Owns the lock, the request to end and what is removed at the end. Knows nothing of what else
//! lies in the folder. Start at [`Data::open`] and [`ask_to_end`].

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Held while a fleet runs; holds its process id.
const LOCK: &str = "lock";
/// There while somebody wants the fleet to end.
const END: &str = "end";

/// How long a fleet may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// A folder that is ours as long as this lives.
pub(super) struct Data {
    path: PathBuf,
    is_temporary: bool,
    _lock: File,
}

impl Data {
    /// Takes the folder `given`, else the user's own; in memory mode and without `given`, a new one
    /// that is removed when this is dropped.
    pub(super) fn open(given: Option<&Path>, in_memory: bool) -> anyhow::Result<Data> {
        let is_temporary = in_memory && given.is_none();
        let path = match (given, is_temporary) {
            (Some(folder), _) => folder.to_owned(),
            (None, true) => {
                let id = std::process::id();
                std::env::temp_dir().join(format!("fleet-up-{id}-{:08x}", rand::random::<u32>()))
            }
            (None, false) => default_folder()?,
        };
        let failed = || format!("cannot write to {}; choose a folder with --data", path.display());
        std::fs::create_dir_all(&path).with_context(failed)?;
        // Commands that are printed must work wherever they are pasted.
        let path = std::path::absolute(&path).with_context(failed)?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(path.join(LOCK)).with_context(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let (shown, who) = (path.display(), holder(&path));
                bail!(
                    "a fleet runs on {shown} already{who}; end it with `fleet down --data {shown}`, or choose another folder with --data"
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()))?;
        // Whoever asked for it meant another process.
        drop(std::fs::remove_file(path.join(END)));
        Ok(Data { path, is_temporary, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How the folder is named on a command line of ours; empty when it is the user's own.
    pub(super) fn argument(&self) -> String {
        match default_folder() {
            Ok(folder) if folder == self.path => String::new(),
            _ => format!(" --data {}", quoted(&self.path)),
        }
    }

    /// Whether `fleet down` was called.
    pub(super) fn is_asked_to_end(&self) -> bool {
        self.path.join(END).exists()
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        drop(std::fs::remove_file(self.path.join(END)));
        if self.is_temporary {
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

/// Asks the fleet of a folder to end and waits until it has; `false` when none runs.
pub(super) fn ask_to_end(given: Option<&Path>) -> anyhow::Result<bool> {
    let path = match given {
        Some(folder) => folder.to_owned(),
        None => default_folder()?,
    };
    let Ok(lock) = File::open(path.join(LOCK)) else { return Ok(false) };
    if !is_held(&lock)? {
        return Ok(false);
    }
    let end = path.join(END);
    std::fs::write(&end, "").with_context(|| format!("cannot write {}", end.display()))?;
    let deadline = Instant::now() + END_TIMEOUT;
    while is_held(&lock)? {
        if Instant::now() > deadline {
            bail!("the fleet on {}{} does not end", path.display(), holder(&path));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

fn is_held(lock: &File) -> anyhow::Result<bool> {
    match lock.try_lock_shared() {
        Ok(()) => lock.unlock().map(|()| false).context("unlocking"),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("looking at the lock"),
    }
}

fn holder(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join(LOCK)).unwrap_or_default();
    match text.trim() {
        "" => String::new(),
        id => format!(" (process {id})"),
    }
}

fn default_folder() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = || Some(set("HOME")?.join(".local/share"));
    let base = set("XDG_DATA_HOME").or_else(home);
    let base = base.context("neither HOME nor XDG_DATA_HOME is set; choose a folder with --data");
    Ok(base?.join("fleet-up"))
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@".contains(c);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_fleet_at_a_time_and_the_second_is_told_how_to_end_the_first() {
        let folder = tempfile::tempdir().expect("folder");
        let first = Data::open(Some(folder.path()), false).expect("free");
        let error = Data::open(Some(folder.path()), false).err().expect("taken").to_string();
        let id = format!("(process {})", std::process::id());
        assert!(error.contains(&id) && error.contains("fleet down --data"), "{error}");
        drop(first);
        Data::open(Some(folder.path()), false).expect("free again");
    }

    #[test]
    fn memory_without_a_folder_leaves_none() {
        let data = Data::open(None, true).expect("made");
        let path = data.path().to_owned();
        assert!(path.is_dir());
        drop(data);
        assert!(!path.exists());
    }

    #[test]
    fn nobody_to_end_is_no_error() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(!ask_to_end(Some(folder.path())).expect("asked"));
        drop(Data::open(Some(folder.path()), false).expect("free"));
        assert!(!ask_to_end(Some(folder.path())).expect("asked"));
    }

    #[test]
    fn paths_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(quoted(Path::new("/home/me/fleet-up")), "/home/me/fleet-up");
        assert_eq!(quoted(Path::new("/my data/it's")), r"'/my data/it'\''s'");
    }
}
