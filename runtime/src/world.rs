//! The three things of the outside that a simulation replaces: wall time, chance, and threads for
//! long work.
//!
//! Owns the switch, one for each thread, because a simulation is one thread: everything that runs on
//! it draws from one seeded source and sees one virtual clock. Processes never switch. Must not know
//! who asks. Start at [`simulate`].

use std::cell::RefCell;
use std::marker::PhantomData;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::TryRngCore;
use tokio::task::JoinError;
use tokio::time::Instant;

use crate::backoff::Jitter;

thread_local! {
    static SIMULATED: RefCell<Option<Simulated>> = const { RefCell::new(None) };
}

struct Simulated {
    chance: Jitter,
    origin: Timestamp,
    started: Instant,
    jump: SignedDuration,
}

/// This thread's simulation; it ends when this is dropped.
#[must_use]
pub struct Simulation {
    /// The switch belongs to the thread that set it.
    _not_send: PhantomData<*const ()>,
}

/// Makes this thread a simulated one: `seed` decides all chance, and wall time starts at `origin`
/// and moves with tokio's clock. Call it on a current-thread runtime with paused time.
pub fn simulate(seed: u64, origin: Timestamp) -> Simulation {
    let simulated = Simulated {
        chance: Jitter::seeded(seed),
        origin,
        started: Instant::now(),
        jump: SignedDuration::ZERO,
    };
    SIMULATED.set(Some(simulated));
    Simulation { _not_send: PhantomData }
}

impl Simulation {
    /// Moves the wall clock, and nothing else, by `by`: what an administrator or NTP does.
    pub fn jump(&self, by: SignedDuration) {
        with(|world| world.jump = world.jump.checked_add(by).unwrap_or(world.jump));
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        SIMULATED.set(None);
    }
}

fn with<T>(look: impl FnOnce(&mut Simulated) -> T) -> Option<T> {
    SIMULATED.with_borrow_mut(|world| world.as_mut().map(look))
}

/// Whether this thread is a simulated one.
#[must_use]
pub fn is_simulated() -> bool {
    SIMULATED.with_borrow(Option::is_some)
}

/// The wall time.
#[must_use]
pub fn now() -> Timestamp {
    let simulated = with(|world| {
        let elapsed: Duration = world.started.elapsed();
        let moved = world.origin.checked_add(elapsed).and_then(|time| time.checked_add(world.jump));
        moved.unwrap_or(Timestamp::MAX)
    });
    simulated.unwrap_or_else(Timestamp::now)
}

/// The system gave no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoChance;

/// Fills `buffer` with numbers nobody can guess.
///
/// # Errors
/// When the system has none.
pub fn fill_random(buffer: &mut [u8]) -> Result<(), NoChance> {
    let simulated = with(|world| {
        for byte in buffer.iter_mut() {
            // Truncation is the point: the highest byte of each number.
            *byte = (world.chance.fraction() * 256.0) as u8;
        }
    });
    match simulated {
        Some(()) => Ok(()),
        None => rand::rngs::OsRng.try_fill_bytes(buffer).map_err(|_| NoChance),
    }
}

/// A seed for what only has to differ from process to process, such as the jitter of retries.
#[must_use]
pub(crate) fn seed() -> Option<u64> {
    with(|world| world.chance.fraction().to_bits())
}

/// Runs work that blocks or computes for long on a thread of its own, so that it holds nobody up. A
/// simulated thread has no others: there it is done in place, because when another thread ends
/// would not repeat.
///
/// # Errors
/// When the work panicked.
pub async fn on_thread<T, F>(work: F) -> Result<T, JoinError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if is_simulated() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "2026-01-31T23:59:50Z";

    #[tokio::test(start_paused = true)]
    async fn a_simulated_thread_repeats_chance_and_moves_with_the_paused_clock() {
        let draw = |seed| {
            let _world = simulate(seed, ORIGIN.parse().unwrap());
            let mut bytes = [0; 16];
            fill_random(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let world = simulate(7, ORIGIN.parse().unwrap());
        tokio::time::advance(Duration::from_secs(15)).await;
        assert_eq!(now().to_string(), "2026-02-01T00:00:05Z");
        world.jump(SignedDuration::from_secs(-10));
        assert_eq!(now().to_string(), "2026-01-31T23:59:55Z");
        assert!(on_thread(is_simulated).await.unwrap(), "in place");
        drop(world);
        assert!(!is_simulated());
        assert_ne!(now().to_string(), "2026-01-31T23:59:55Z");
    }
}
