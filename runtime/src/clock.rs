//! Wall time that tests can hold still.
//!
//! Owns the question "what time is it". Must not be asked by pure code: that takes `now` as an
//! argument. Start at [`Clock::now`].

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the wall time; cheap to clone.
///
/// [`Clock::system`] reads the machine's clock. [`Clock::starting_at`] derives the time from
/// tokio's, so a runtime with paused time moves both together.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Tokio { origin: Timestamp, started: Instant },
}

impl Clock {
    /// The clock of the machine; on a simulated thread, the simulation's.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `origin` now and moves with tokio's time. For tests and simulations.
    #[must_use]
    pub fn starting_at(origin: Timestamp) -> Self {
        Self(Source::Tokio { origin, started: Instant::now() })
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => crate::world::now(),
            Source::Tokio { origin, started } => {
                origin.checked_add(started.elapsed()).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// The current time as Kubernetes writes it: `2026-01-31T12:00:00Z`, whole seconds.
    #[must_use]
    pub fn now_text(&self) -> String {
        time_text(self.now())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// Writes `time` as Kubernetes does in `metav1.Time`: RFC 3339, UTC, whole seconds.
#[must_use]
pub fn time_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_tokio_clock_follows_paused_time() {
        let clock = Clock::starting_at("2026-01-31T23:59:50Z".parse().unwrap());
        tokio::time::advance(Duration::from_secs(15)).await;
        assert_eq!(clock.now_text(), "2026-02-01T00:00:05Z");
    }
}
