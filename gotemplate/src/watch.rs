//! Which maps are changed, and when templates look at what may be otherwise the next time.
//!
//! A map has its age: the count of maps that there were before. A template that changes maps of its
//! own making only does nothing that others could notice. Start at [`Span`].

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nothing was changed.
const NEVER: u64 = u64::MAX;

/// Maps made so far, by all threads: one that is older has the smaller age wherever it was made.
static MAP_COUNT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The oldest map that was changed since the last [`Asker`] asked.
    static OLDEST_CHANGED: Cell<u64> = const { Cell::new(NEVER) };
    static LAST_ASKER: Cell<u64> = const { Cell::new(0) };
    /// The oldest map that was changed since the innermost [`Span`] began; 0 if there was a look
    /// at the world.
    static OLDEST_IN_SPAN: Cell<u64> = const { Cell::new(NEVER) };
}

/// The age of a map that is made now.
pub(crate) fn next_age() -> u64 {
    MAP_COUNT.fetch_add(1, Ordering::Relaxed)
}

/// The age that the next map will have.
pub(crate) fn now() -> u64 {
    MAP_COUNT.load(Ordering::Relaxed)
}

/// A map of this age is about to change.
pub(crate) fn note_change(age: u64) {
    OLDEST_CHANGED.set(OLDEST_CHANGED.get().min(age));
    OLDEST_IN_SPAN.set(OLDEST_IN_SPAN.get().min(age));
}

/// There is a look at something that may be otherwise the next time: the world behind
/// [`Host`](crate::Host), or the passing entry of a map.
pub(crate) fn note_look() {
    OLDEST_IN_SPAN.set(0);
}

/// Somebody who wants to know of every change.
#[derive(Debug, Default)]
pub(crate) struct Asker(u64);

impl Asker {
    /// The age of the oldest map that was changed since this was asked last; greater than any if
    /// none was, and 0 if others asked in between or it was on another thread: nobody knows then.
    pub(crate) fn oldest_changed(&mut self) -> u64 {
        let oldest = OLDEST_CHANGED.replace(NEVER);
        if self.0 != 0 && LAST_ASKER.get() == self.0 {
            return oldest;
        }
        self.0 = next_age();
        LAST_ASKER.set(self.0);
        0
    }
}

/// Watches what one template does, and those it calls.
pub(crate) struct Span {
    start: u64,
    outer: u64,
}

impl Span {
    pub(crate) fn new() -> Self {
        Self { start: now(), outer: OLDEST_IN_SPAN.replace(NEVER) }
    }

    /// Whether nothing was looked at but data, and nothing changed but maps made in the span.
    pub(crate) fn is_clean(&self) -> bool {
        OLDEST_IN_SPAN.get() >= self.start
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        OLDEST_IN_SPAN.set(OLDEST_IN_SPAN.get().min(self.outer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_noticed_by_whoever_began_after_the_map_was_made() {
        let old = next_age();
        let outer = Span::new();
        let own = next_age();
        let inner = Span::new();
        note_change(own);
        assert!(!inner.is_clean());
        drop(inner);
        assert!(outer.is_clean());
        note_change(old);
        assert!(!outer.is_clean());
    }

    #[test]
    fn an_asker_knows_nothing_after_another_one_asked() {
        let (mut one, mut other) = (Asker::default(), Asker::default());
        let age = next_age();
        assert_eq!(one.oldest_changed(), 0);
        assert_eq!(one.oldest_changed(), NEVER);
        note_change(age);
        assert_eq!(one.oldest_changed(), age);
        note_change(age);
        assert_eq!(other.oldest_changed(), 0);
        assert_eq!(one.oldest_changed(), 0);
    }
}
