//! Everything of this crate that is judged from outside.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends, loudly, where what it takes for granted does not hold"
)]

mod agents;
mod clusters;
mod counting;
mod delivery;
mod late;
mod rbac;
mod wire;
mod world;
