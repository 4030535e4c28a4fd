//! Judged by what Helm printed.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends, loudly, where what it takes for granted does not hold"
)]

mod bundles;
mod command;
mod corpus;
mod golden;
