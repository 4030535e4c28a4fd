//! What was read of the member a moment ago.
//!
//! Owns the answers and their age. Must not make calls. Start at [`Recent::get`].
//!
//! A commit to a hundred paths is a hundred deployments at once, and each of them asks for the same
//! account and the same namespace: one answer serves those that ask within a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an answer serves. Whoever makes or deletes an account cannot expect more of a
/// deployment that starts in the same second.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Answers by what was asked for.
#[derive(Debug, Default)]
pub struct Recent {
    answers: Mutex<BTreeMap<String, (Instant, bool)>>,
}

impl Recent {
    /// Whether the object was there, if that was asked less than a second before `now`.
    #[must_use]
    pub fn get(&self, name: &str, now: Instant) -> Option<bool> {
        let answers = self.lock();
        let young = answers.get(name).filter(|(at, _)| now.duration_since(*at) < MAX_AGE);
        young.map(|(_, found)| *found)
    }

    /// Notes what was asked at `asked_at`: the answer is as old as the question.
    pub fn note(&self, name: &str, found: bool, asked_at: Instant) {
        let mut answers = self.lock();
        // The old ones go: whoever asks for a thousand namespaces must not be remembered for it.
        answers.retain(|_, (at, _)| asked_at.duration_since(*at) < MAX_AGE);
        answers.insert(name.to_owned(), (asked_at, found));
    }

    /// Forgets an answer that turned out wrong.
    pub fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, bool)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_serves_for_a_second_after_its_question_and_no_longer() {
        let recent = Recent::default();
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(recent.get("a", start), None);
        recent.note("a", true, start);
        recent.note("b", false, after(600));
        let both = |now| (recent.get("a", now), recent.get("b", now));
        assert_eq!(both(after(999)), (Some(true), Some(false)));
        assert_eq!(both(after(1000)), (None, Some(false)));
        recent.forget("b");
        assert_eq!(recent.get("b", after(1000)), None);
    }
}
