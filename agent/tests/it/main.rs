//! Everything of this crate that is judged from outside.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends, loudly, where what it takes for granted does not hold"
)]

mod accounts;
mod drift;
mod namespaces;
mod releases;
mod takeover;
mod values;
mod world;
