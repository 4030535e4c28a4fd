//! The hub as a client sees it.

#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "a test ends, loudly, where what it takes for granted does not hold; a skipped one says so"
)]

mod access;
mod apply;
mod client;
mod commands;
mod differential;
mod durable;
mod kill;
mod life;
mod simulation;
mod support;
