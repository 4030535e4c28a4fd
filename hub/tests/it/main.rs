//! The hub as a client sees it.

#![expect(
    clippy::panic,
    reason = "a test ends, loudly, where what it takes for granted does not hold"
)]

mod access;
mod apply;
mod client;
mod durable;
mod life;
mod simulation;
mod support;
