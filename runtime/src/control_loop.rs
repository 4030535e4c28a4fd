//! The keyed work queue under every reconciler.
//!
//! Owns when a key gets its next pass. Knows nothing of what a pass does. Start at [`Queue::run`].
//!
//! Promises, each with a test:
//! - a key waits at most once in the queue, however often it is added;
//! - never two passes of one key at a time; a key added during its pass runs once more after it;
//! - at most `concurrency` passes at a time; first added, first run;
//! - under tokio's paused clock on a current-thread runtime the order repeats exactly.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bundle_format::error::{Classify, ErrorClass, chain};
use futures::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, Jitter};

/// When a key that had a successful pass is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextWake {
    /// Only when someone adds it.
    OnChange,
    /// After this time, or earlier when someone adds it.
    After(Duration),
}

impl NextWake {
    /// The earlier of two wakes.
    #[must_use]
    pub fn earliest(self, other: Self) -> Self {
        match (self, other) {
            (Self::After(a), Self::After(b)) => Self::After(a.min(b)),
            (Self::After(a), Self::OnChange) | (Self::OnChange, Self::After(a)) => Self::After(a),
            (Self::OnChange, Self::OnChange) => Self::OnChange,
        }
    }
}

/// Settings of one queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueConfig {
    /// Passes that may run at the same time; at least 1.
    pub concurrency: usize,
    /// How long passes may still run after shutdown before they are dropped.
    pub grace: Duration,
    /// Seed of the retry jitter; `None` differs from process to process.
    pub seed: Option<u64>,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { concurrency: 8, grace: Duration::from_secs(10), seed: None }
    }
}

impl QueueConfig {
    /// The default with another concurrency.
    #[must_use]
    pub fn concurrency(concurrency: usize) -> Self {
        Self { concurrency: concurrency.max(1), ..Self::default() }
    }
}

/// Numbers about a queue since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Keys that wait for a free place now.
    pub ready_count: usize,
    /// Keys that wait for their time now.
    pub delayed_count: usize,
    /// Passes that run now.
    pub running_count: usize,
    /// Passes that ended.
    pub pass_count: u64,
    /// Passes that ended with an error, conflicts included.
    pub failure_count: u64,
}

/// A handle on the queue; clones share it.
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<K> {
    name: &'static str,
    config: QueueConfig,
    state: Mutex<State<K>>,
    /// Wakes the dispatcher.
    work: Notify,
    /// Wakes those who wait for an idle queue.
    idle: Notify,
}

struct State<K> {
    ready: VecDeque<K>,
    /// The same keys as `ready`, for the look-up.
    waiting: BTreeSet<K>,
    /// Ordered by time, then by the order of adding.
    delayed: BTreeMap<(Instant, u64), K>,
    due: BTreeMap<K, (Instant, u64)>,
    running: BTreeSet<K>,
    /// Keys added during their pass.
    dirty: BTreeSet<K>,
    failures: BTreeMap<K, Failure>,
    sequence: u64,
    jitter: Jitter,
    pass_count: u64,
    failure_count: u64,
}

#[derive(Clone, Debug)]
struct Failure {
    attempts: u32,
    text: String,
}

/// How a pass ended.
enum Outcome {
    Done(NextWake),
    Failed(ErrorClass, String),
}

impl<K> Queue<K>
where
    K: Ord + Clone + Debug + Send + Sync + 'static,
{
    /// Makes an empty queue; `name` appears in logs and metrics.
    #[must_use]
    pub fn new(name: &'static str, config: QueueConfig) -> Self {
        let jitter = config.seed.map_or_else(Jitter::from_entropy, Jitter::seeded);
        let state = State {
            ready: VecDeque::new(),
            waiting: BTreeSet::new(),
            delayed: BTreeMap::new(),
            due: BTreeMap::new(),
            running: BTreeSet::new(),
            dirty: BTreeSet::new(),
            failures: BTreeMap::new(),
            sequence: 0,
            jitter,
            pass_count: 0,
            failure_count: 0,
        };
        let shared = Shared {
            name,
            config,
            state: Mutex::new(state),
            work: Notify::new(),
            idle: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The name given to [`Queue::new`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// Asks for a pass as soon as a place is free; a delay the key waits for ends now.
    pub fn add(&self, key: K) {
        self.lock().add(key);
        self.shared.work.notify_one();
    }

    /// Asks for a pass after `delay`, unless one comes earlier anyway.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.lock().add_at(key, Instant::now() + delay);
        self.shared.work.notify_one();
    }

    /// Forgets the delay and the failure count of a key, e.g. because its object is gone.
    pub fn forget(&self, key: &K) {
        let mut state = self.lock();
        state.failures.remove(key);
        if let Some(at) = state.due.remove(key) {
            state.delayed.remove(&at);
        }
    }

    /// No pass runs and no key waits for one; keys that wait for their time do not count.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lock().is_idle()
    }

    /// Waits until [`Queue::is_idle`].
    pub async fn idle(&self) {
        loop {
            let changed = self.shared.idle.notified();
            if self.is_idle() {
                return;
            }
            changed.await;
        }
    }

    /// Current numbers.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        let state = self.lock();
        QueueStats {
            ready_count: state.ready.len(),
            delayed_count: state.delayed.len(),
            running_count: state.running.len(),
            pass_count: state.pass_count,
            failure_count: state.failure_count,
        }
    }

    /// Runs passes until `shutdown`, then lets running ones end within the grace time.
    ///
    /// It may run again later (a lost leadership that was regained), but never twice at a time: keys
    /// whose passes were dropped then come first. A pass that panics counts as an error of class `Bug`.
    pub async fn run<F, Fut, E>(&self, shutdown: CancellationToken, reconcile: F)
    where
        F: Fn(K) -> Fut + Send + Sync,
        Fut: Future<Output = Result<NextWake, E>> + Send + 'static,
        E: Classify + Send + 'static,
    {
        let mut passes: JoinSet<(K, Outcome)> = JoinSet::new();
        while !shutdown.is_cancelled() {
            let next_due = self.lock().promote_due(Instant::now());
            while passes.len() < self.shared.config.concurrency {
                let Some(key) = self.lock().start_next() else { break };
                let pass = reconcile(key.clone());
                passes.spawn(async move {
                    let outcome = match AssertUnwindSafe(pass).catch_unwind().await {
                        Ok(Ok(wake)) => Outcome::Done(wake),
                        Ok(Err(error)) => Outcome::Failed(error.class(), chain(&error)),
                        Err(_) => Outcome::Failed(ErrorClass::Bug, "the pass panicked".to_owned()),
                    };
                    (key, outcome)
                });
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = passes.join_next() => self.finish_joined(ended),
                () = self.shared.work.notified() => {}
                () = sleep_until(next_due) => {}
            }
        }
        let drain = async {
            while let Some(ended) = passes.join_next().await {
                self.finish_joined(ended);
            }
        };
        if tokio::time::timeout(self.shared.config.grace, drain).await.is_err() {
            tracing::warn!(queue = self.name(), "passes still running at shutdown were dropped");
            passes.shutdown().await;
            self.lock().restart_running();
        }
    }

    fn finish_joined(&self, ended: Result<(K, Outcome), tokio::task::JoinError>) {
        // A pass task is never aborted before the drain ends and never panics (caught inside).
        if let Ok((key, outcome)) = ended {
            self.finish(key, outcome);
        }
    }

    fn finish(&self, key: K, outcome: Outcome) {
        let mut state = self.lock();
        state.running.remove(&key);
        state.pass_count += 1;
        match outcome {
            Outcome::Done(wake) => {
                state.failures.remove(&key);
                if let NextWake::After(delay) = wake {
                    state.add_at(key.clone(), Instant::now() + delay);
                }
            }
            Outcome::Failed(class, text) => self.note_failure(&mut state, &key, class, text),
        }
        if state.dirty.remove(&key) {
            state.add(key);
        }
        if state.is_idle() {
            self.shared.idle.notify_waiters();
        }
    }

    fn note_failure(&self, state: &mut State<K>, key: &K, class: ErrorClass, error: String) {
        state.failure_count += 1;
        let queue = self.name();
        let previous = state.failures.get(key);
        let attempt = previous.map_or(0, |f| f.attempts).saturating_add(1);
        let is_new = previous.is_none_or(|f| f.text != error);
        match class {
            ErrorClass::User if is_new => {
                tracing::warn!(queue, ?key, error, "waiting for a change")
            }
            ErrorClass::User => tracing::debug!(queue, ?key, error, "still waiting for a change"),
            ErrorClass::Conflict => tracing::debug!(queue, ?key, error, "conflict, reading again"),
            ErrorClass::Unavailable => tracing::warn!(queue, ?key, attempt, error, "will retry"),
            ErrorClass::Bug => tracing::error!(queue, ?key, attempt, error, "internal error"),
        }
        let backoff = match class {
            ErrorClass::User => None,
            ErrorClass::Conflict => Some(Backoff::CONFLICT),
            ErrorClass::Unavailable => Some(Backoff::UNAVAILABLE),
            ErrorClass::Bug => Some(Backoff::BUG),
        };
        if let Some(backoff) = backoff {
            let delay = backoff.delay(attempt, &mut state.jitter);
            state.add_at(key.clone(), Instant::now() + delay);
        }
        state.failures.insert(key.clone(), Failure { attempts: attempt, text: error });
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone> State<K> {
    fn add(&mut self, key: K) {
        if let Some(at) = self.due.remove(&key) {
            self.delayed.remove(&at);
        }
        if self.running.contains(&key) {
            self.dirty.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: K, at: Instant) {
        if self.waiting.contains(&key) || self.dirty.contains(&key) {
            return;
        }
        if let Some(&known) = self.due.get(&key) {
            if known.0 <= at {
                return;
            }
            self.delayed.remove(&known);
        }
        self.sequence += 1;
        let slot = (at, self.sequence);
        self.due.insert(key.clone(), slot);
        self.delayed.insert(slot, key);
    }

    /// Moves keys whose time has come; returns the time of the next one.
    fn promote_due(&mut self, now: Instant) -> Option<Instant> {
        while let Some((&slot, _)) = self.delayed.first_key_value() {
            if slot.0 > now {
                return Some(slot.0);
            }
            if let Some(key) = self.delayed.remove(&slot) {
                self.add(key);
            }
        }
        None
    }

    fn start_next(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    /// Puts the keys of dropped passes back.
    fn restart_running(&mut self) {
        self.dirty.clear();
        for key in std::mem::take(&mut self.running) {
            self.add(key);
        }
    }

    fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.running.is_empty() && self.dirty.is_empty()
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
