//! `gitjob` against the real `git http-backend`.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends, loudly, where what it takes for granted does not hold"
)]

mod charts;
mod flow;
mod git;
mod git_server;
mod hooks;
mod tls;
mod trust;
mod world;
