//! The only exits of a render: time, randomness and the cluster.
//!
//! Owns the [`Host`] trait and its two plain implementations. Knows nothing of clocks, sockets or
//! random sources: the caller brings them. Start at [`Host`].

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value as Json;

/// What a template may ask of the world.
///
/// Guarantees: templates reach nothing else, so the same template, data and host give the same
/// bytes.
pub trait Host: Debug + Send + Sync {
    /// The present moment, in nanoseconds since the Unix epoch.
    fn now_unix_nanos(&self) -> i128;

    /// Fills `buffer` with random bytes.
    fn fill_random(&self, buffer: &mut [u8]);

    /// An object of the cluster, or a list when `name` is empty. `Ok(None)` means "not found".
    ///
    /// # Errors
    /// A message for the chart's author, when the cluster could not be asked.
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Json>, String>;

    /// The local time zone's offset from UTC in seconds at the given moment.
    fn utc_offset_seconds(&self, _unix_seconds: i64) -> i32 {
        0
    }
}

/// A host whose clock stands still and whose random bytes come from a seed: for tests, previews
/// and renders that must be repeatable. It finds no object.
#[derive(Debug)]
pub struct FixedHost {
    now_unix_nanos: i128,
    state: AtomicU64,
}

impl FixedHost {
    /// A host with the given moment and seed.
    #[must_use]
    pub fn new(now_unix_nanos: i128, seed: u64) -> Self {
        Self { now_unix_nanos, state: AtomicU64::new(seed) }
    }
}

impl Default for FixedHost {
    fn default() -> Self {
        Self::new(0, 0x5eed)
    }
}

impl Host for FixedHost {
    fn now_unix_nanos(&self) -> i128 {
        self.now_unix_nanos
    }

    // splitmix64: short, well distributed, and no secret ever depends on it.
    fn fill_random(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let seed = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }

    fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Option<Json>, String> {
        Ok(None)
    }
}
