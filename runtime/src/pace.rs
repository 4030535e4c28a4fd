//! How often an object's summary is written while what it sums up keeps changing.
//!
//! Owns the time of the last write per key. Knows nothing of what is written. Start at
//! [`Pace::delay`].
//!
//! Promises: the first change after a calm time is told after the shortest delay; while changes keep
//! coming, there is at most one write per window; the last change is always told.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Spreads the passes of keys whose passes end in a write each.
#[derive(Debug)]
pub struct Pace<K> {
    shortest: Duration,
    written: Mutex<BTreeMap<K, Instant>>,
}

impl<K: Ord + Clone> Pace<K> {
    /// No pass comes earlier than `shortest` after the change that asked for it: changes that come
    /// together are told together.
    #[must_use]
    pub fn new(shortest: Duration) -> Self {
        Self { shortest, written: Mutex::default() }
    }

    /// How long the pass of a key that changed now has to wait, so that its last write and the next
    /// are `window` apart.
    #[must_use]
    pub fn delay(&self, key: &K, window: Duration) -> Duration {
        let since = self.lock().get(key).map(Instant::elapsed);
        let left = since.map_or(Duration::ZERO, |since| window.saturating_sub(since));
        left.max(self.shortest)
    }

    /// Notes that a key's summary was written now.
    pub fn note_write(&self, key: &K) {
        self.lock().insert(key.clone(), Instant::now());
    }

    /// Forgets a key that is gone.
    pub fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, Instant>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_millis(250);
    const WINDOW: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_change_after_a_calm_time_is_told_soon_and_the_next_waits_for_the_window() {
        let pace = Pace::new(SHORTEST);
        assert_eq!(pace.delay(&"a", WINDOW), SHORTEST);
        pace.note_write(&"a");
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(pace.delay(&"a", WINDOW), Duration::from_millis(1500));
        assert_eq!(pace.delay(&"b", WINDOW), SHORTEST, "keys do not slow one another down");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(pace.delay(&"a", WINDOW), SHORTEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_changes_in_ten_seconds_are_five_writes_and_the_last_is_told() {
        let pace = Pace::new(SHORTEST);
        let (mut due, mut writes, mut told) = (None::<Instant>, 0, 0);
        let started = Instant::now();
        let mut change = 0;
        while change < 1000 || due.is_some() {
            tokio::time::advance(Duration::from_millis(10)).await;
            if change < 1000 {
                change += 1;
                let at = Instant::now() + pace.delay(&(), WINDOW);
                due = Some(due.map_or(at, |known| known.min(at)));
            }
            if due.is_some_and(|at| at <= Instant::now()) {
                (due, writes, told) = (None, writes + 1, change);
                pace.note_write(&());
            }
        }
        assert_eq!(told, 1000);
        assert!((5..=7).contains(&writes), "{writes} writes");
        assert!(started.elapsed() <= Duration::from_secs(10) + WINDOW + SHORTEST);
    }
}
