//! The whole fleet in one thread under virtual time, with seeded faults, checked at every change.
//!
//! One seed decides a run. A failure prints its seed and the command that repeats it:
//! `FLEET_SEED=<seed> cargo test -p e2e --test sim`. With `FLEET_SEEDS=<count>` more seeds run, with
//! `FLEET_TRACE=<file>` the whole trace is written.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it expects")]

mod bench;
mod chance;
mod checkers;
mod faults;
mod git;
mod run;
mod trace;
mod view;
mod wire;
mod workload;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use run::{Outcome, run_seed};

/// Seeds of one `cargo test`: two seconds of processor time each, unoptimized.
const SEEDS: u64 = 100;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[expect(clippy::print_stderr, reason = "the figures of a run are for who runs it")]
fn say(line: &str) {
    eprintln!("sim: {line}");
}

/// Runs seeds on all cores; a run stays on one thread.
fn run_all(from: u64, count: u64) -> Vec<(u64, anyhow::Result<Outcome>)> {
    let next = AtomicU64::new(from);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= from + count {
                    return done;
                }
                done.push((seed, run_seed(seed)));
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn every_seed_keeps_every_invariant() {
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
            .with_writer(std::io::stderr)
            .init();
    }
    let (from, count) = match number("FLEET_SEED") {
        Some(seed) => (seed, 1),
        None => (number("FLEET_FROM").unwrap_or(1), number("FLEET_SEEDS").unwrap_or(SEEDS)),
    };
    let started = Instant::now();
    let results = run_all(from, count);
    let good: Vec<&Outcome> = results.iter().filter_map(|(_, done)| done.as_ref().ok()).collect();
    let lines: u64 = good.iter().map(|done| done.line_count).sum();
    let secs: u64 = good.iter().map(|done| done.secs).sum();
    let slowest = good.iter().map(|done| done.peace_secs).max().unwrap_or(0);
    say(&format!(
        "{} of {count} seeds good, {lines} requests, {} virtual hours, settled within {slowest} s, in {:.1?}",
        good.len(),
        secs / 3600,
        started.elapsed()
    ));
    let bad: Vec<String> = results
        .iter()
        .filter_map(|(_, done)| Some(format!("{:#}", done.as_ref().err()?)))
        .collect();
    assert!(bad.is_empty(), "{} seeds failed\n{}", bad.len(), bad.join("\n\n"));
}

/// `cargo xtask nightly` sets `FLEET_SEEDS=2000` for the test above, and this for figures.
#[test]
#[ignore = "figures: cargo xtask bench-sim runs it optimized"]
fn figures() {
    bench::bench().unwrap();
}

#[test]
fn a_seed_gives_the_same_trace_twice_and_another_seed_another() {
    let first = run_seed(3).unwrap();
    assert_eq!(first, run_seed(3).unwrap());
    assert_ne!(first.digest, run_seed(4).unwrap().digest);
}
