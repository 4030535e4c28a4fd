//! The public seams of `runtime`, driven the way processes use them.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends, loudly, where what it takes for granted does not hold"
)]

mod cache;
mod fake_api;
mod lease;
mod objects;
mod queue;
