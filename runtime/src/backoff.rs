//! How long to wait before trying again.
//!
//! Owns delays and their jitter. Knows nothing of what is tried. Start at [`Backoff::delay`].

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Exponential delays: `first`, `first * 2`, … up to `max`, each shortened by up to a fifth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Delay before the second attempt.
    pub first: Duration,
    /// No delay is longer than this.
    pub max: Duration,
}

impl Backoff {
    /// For the network and APIs: 200 ms to 60 s.
    pub const UNAVAILABLE: Self =
        Self { first: Duration::from_millis(200), max: Duration::from_secs(60) };
    /// For writes that someone else won: 5 ms to 1 s, because the cache may lag behind the write.
    pub const CONFLICT: Self =
        Self { first: Duration::from_millis(5), max: Duration::from_secs(1) };
    /// For broken invariants: 30 s to 15 min.
    pub const BUG: Self = Self { first: Duration::from_secs(30), max: Duration::from_secs(900) };

    /// The delay after the `attempt`-th failure in a row, counted from 1.
    #[must_use]
    pub fn delay(&self, attempt: u32, jitter: &mut Jitter) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.max);
        full.mul_f64(1.0 - 0.2 * jitter.fraction())
    }
}

/// A source of small random numbers; seeded in tests so that runs repeat.
///
/// Not for secrets: the numbers are predictable.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// Numbers that repeat for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Numbers that differ from process to process; on a simulated thread, its seed decides them.
    #[must_use]
    pub fn from_entropy() -> Self {
        let system = || std::collections::hash_map::RandomState::new().build_hasher().finish();
        Self(crate::world::seed().unwrap_or_else(system))
    }

    /// A number in `0.0..1.0`.
    pub fn fraction(&mut self) -> f64 {
        // splitmix64: one addition and two multiplications, good enough to spread retries.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `base` plus up to `share` of it, e.g. `0.1` for 0–10 % more.
    pub fn stretch(&mut self, base: Duration, share: f64) -> Duration {
        base.mul_f64(1.0 + share * self.fraction())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum() {
        let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(8) };
        let mut jitter = Jitter::seeded(7);
        for (attempt, full_secs) in [(1, 1.0), (2, 2.0), (4, 8.0), (60, 8.0)] {
            let secs = backoff.delay(attempt, &mut jitter).as_secs_f64();
            assert!(secs <= full_secs && secs >= 0.8 * full_secs, "attempt {attempt}: {secs}");
        }
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let (mut a, mut b) = (Jitter::seeded(1), Jitter::seeded(1));
        assert!((0..100).all(|_| a.fraction().to_bits() == b.fraction().to_bits()));
    }
}
