//! Durability: a redb file and one thread that commits in groups.
//!
//! Owns the file's layout, its lock and the sync. Knows nothing of what the text means. While one
//! group is synced the next one gathers, so many writers share one sync. Start at [`open`].
//!
//! Why redb: one file, pure Rust, copy-on-write pages with checksums (a torn tail is the previous
//! commit again), and only the current objects are kept, so there is nothing to compact but pages.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use super::memory::State;
use super::{EventKind, Key, ResourceId, StoreError};

/// `resource NUL path` → revision (8 bytes, big endian) + JSON text.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT: u64 = 1;

/// Page cache of the database: everything is in memory already, reads happen only at the start.
const CACHE_BYTES: usize = 4 << 20;

fn disk<E: std::error::Error + Send + Sync + 'static>(path: &Path) -> impl Fn(E) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Disk { path: path.clone(), source: Arc::new(source) }
}

/// Opens the file, takes its lock and loads every object into `state`.
pub(super) fn open(path: &Path, state: &mut State) -> Result<Database, StoreError> {
    let database =
        Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(|e| match e {
            DatabaseError::DatabaseAlreadyOpen => {
                StoreError::InUse { path: path.display().to_string() }
            }
            other => disk(path)(other),
        })?;
    let setup = database.begin_write().map_err(disk(path))?;
    {
        setup.open_table(OBJECTS).map_err(disk(path))?;
        let mut meta = setup.open_table(META).map_err(disk(path))?;
        let found = meta.get("format").map_err(disk(path))?.map(|v| v.value());
        match found {
            None => drop(meta.insert("format", FORMAT).map_err(disk(path))?),
            Some(FORMAT) => {}
            Some(other) => {
                let text = format!("written by another version (format {other}, this is {FORMAT})");
                return Err(disk(path)(std::io::Error::other(text)));
            }
        }
    }
    setup.commit().map_err(disk(path))?;
    load(&database, path, state)?;
    Ok(database)
}

fn load(database: &Database, path: &Path, state: &mut State) -> Result<(), StoreError> {
    let read = database.begin_read().map_err(disk(path))?;
    let objects = read.open_table(OBJECTS).map_err(disk(path))?;
    let mut resource: ResourceId = "".into();
    for row in objects.iter().map_err(disk(path))? {
        let (key, value) = row.map_err(disk(path))?;
        let Some((r, p)) = key.value().split_once('\0') else { continue };
        if *resource != *r {
            resource = r.into();
        }
        let Some((revision, text)) = value.value().split_first_chunk::<8>() else { continue };
        let key = Key { resource: resource.clone(), path: p.into() };
        state.load(key, u64::from_be_bytes(*revision), Bytes::copy_from_slice(text));
    }
    let meta = read.open_table(META).map_err(disk(path))?;
    if let Some(revision) = meta.get("revision").map_err(disk(path))? {
        state.start_at(revision.value());
    }
    Ok(())
}

/// The committing thread and how to wake it.
pub(super) struct Journal {
    path: String,
    signal: Arc<Signal>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct Signal {
    /// (there may be work, stop)
    flags: Mutex<(bool, bool)>,
    wake: Condvar,
}

impl Journal {
    pub(super) fn start(
        database: Database,
        path: &Path,
        state: Arc<Mutex<State>>,
    ) -> Result<Arc<Journal>, StoreError> {
        let signal = Arc::new(Signal::default());
        let worker = Worker { database, state, path: path.to_owned(), signal: signal.clone() };
        let thread = std::thread::Builder::new()
            .name("hub-journal".into())
            .spawn(move || worker.run())
            .map_err(disk(path))?;
        let path = path.display().to_string();
        Ok(Arc::new(Journal { path, signal, thread: Mutex::new(Some(thread)) }))
    }

    pub(super) fn path(&self) -> String {
        self.path.clone()
    }

    pub(super) fn wake(&self) {
        self.signal.flags.lock().unwrap_or_else(PoisonError::into_inner).0 = true;
        self.signal.wake.notify_one();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.signal.flags.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.signal.wake.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The last group is synced before the file closes; a panic there was reported already.
            drop(thread.join());
        }
    }
}

struct Worker {
    database: Database,
    state: Arc<Mutex<State>>,
    path: std::path::PathBuf,
    signal: Arc<Signal>,
}

impl Worker {
    fn run(self) {
        loop {
            let stop = self.wait();
            let group = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut state.queue)
            };
            if group.is_empty() {
                if stop {
                    return;
                }
                continue;
            }
            let result = self.write(&group);
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(()) => {
                    for (event, sender) in group {
                        let entry = event.object.clone();
                        state.publish(event);
                        // A writer that went away does not undo its write.
                        drop(sender.send(Ok(entry)));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "changes refused: the data file cannot be written");
                    // What was staged after this group was built on it: all of it is undone.
                    state.abandon();
                    let later = std::mem::take(&mut state.queue);
                    for (_, sender) in group.into_iter().chain(later) {
                        drop(
                            sender.send(Err(disk(&self.path)(std::io::Error::other(
                                error.to_string(),
                            )))),
                        );
                    }
                }
            }
        }
    }

    fn wait(&self) -> bool {
        let mut flags = self.signal.flags.lock().unwrap_or_else(PoisonError::into_inner);
        while !flags.0 && !flags.1 {
            flags = self.signal.wake.wait(flags).unwrap_or_else(PoisonError::into_inner);
        }
        flags.0 = false;
        flags.1
    }

    fn write(&self, group: &[super::memory::Queued]) -> Result<(), StoreError> {
        let path = &self.path;
        let write = self.database.begin_write().map_err(disk(path))?;
        {
            let mut objects = write.open_table(OBJECTS).map_err(disk(path))?;
            let mut last = 0;
            for (event, _) in group {
                let key = format!("{}\0{}", event.key.resource, event.key.path);
                if event.kind == EventKind::Deleted {
                    objects.remove(key.as_str()).map_err(disk(path))?;
                } else {
                    let mut value = event.revision.to_be_bytes().to_vec();
                    value.extend_from_slice(&event.object.bytes());
                    objects.insert(key.as_str(), value.as_slice()).map_err(disk(path))?;
                }
                last = event.revision;
            }
            let mut meta = write.open_table(META).map_err(disk(path))?;
            meta.insert("revision", last).map_err(disk(path))?;
        }
        // redb's default durability syncs before `commit` returns.
        write.commit().map_err(disk(path))
    }
}
