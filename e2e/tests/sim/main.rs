//! The whole fleet in one thread under virtual time, with seeded faults, checked at every change.
//!
//! One seed decides a run. A failure prints its seed and the command that repeats it:
//! `FLEET_SEED=<seed> cargo test -p e2e --test sim`. With `FLEET_SEEDS=<count>` more seeds run, with
//! `FLEET_FROM=<seed>` from another one, with `FLEET_TRACE=<file>` the whole trace is written.

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

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context as _;
use run::{Outcome, run_seed};

/// Seeds of one `cargo test`: two seconds of processor time each, unoptimized.
const SEEDS: u64 = 100;
/// Seeds that found something, and what; they run whichever others do. What a seed leads to changes
/// with every request more or less, so each find has a test of its own beside the code, too.
const FINDS: [(u64, &str); 9] = [
    (66, "content-kept: deleted while a copy of the deployments was a minute late"),
    (72, "budget-kept: a cluster left its bundle while it changed, after another one was told to"),
    (134, "wish-fulfilled: an object without a namespace was taken for one of another namespace"),
    (160, "wish-fulfilled: the same, on two members"),
    (231, "applied-is-planned: a request that still waited made a deleted Cluster anew"),
    (368, "applied-is-planned: the same"),
    (817, "wish-fulfilled: a change taken back at once was not written, the copy showed it still"),
    (1240, "applied-is-planned: a withdrawn request made a deleted Cluster anew"),
    (1316, "wish-fulfilled: two requests of one agent ended each other"),
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[expect(clippy::print_stderr, reason = "the figures of a run are for who runs it")]
fn say(line: &str) {
    eprintln!("sim: {line}");
}

/// The seeds to run: one that is asked for alone, or a range and those that found something.
fn seeds() -> BTreeSet<u64> {
    if let Some(seed) = number("FLEET_SEED") {
        return [seed].into();
    }
    let from = number("FLEET_FROM").unwrap_or(1);
    let range = from..from + number("FLEET_SEEDS").unwrap_or(SEEDS);
    range.chain(FINDS.map(|(seed, _)| seed)).collect()
}

/// Runs seeds on all cores; a run stays on one thread.
fn run_all(seeds: &BTreeSet<u64>) -> Vec<anyhow::Result<Outcome>> {
    let next = Mutex::new(seeds.iter());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let seed = next.lock().unwrap().next();
                let Some(&seed) = seed else { return done };
                let find = FINDS.iter().find(|(found, _)| *found == seed);
                let about = || format!("once found {}", find.map_or("nothing", |(_, what)| what));
                done.push(run_seed(seed).with_context(about));
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
    let (seeds, started) = (seeds(), Instant::now());
    let results = run_all(&seeds);
    let good: Vec<&Outcome> = results.iter().filter_map(|done| done.as_ref().ok()).collect();
    let lines: u64 = good.iter().map(|done| done.line_count).sum();
    let secs: u64 = good.iter().map(|done| done.secs).sum();
    let slowest = good.iter().map(|done| done.peace_secs).max().unwrap_or(0);
    say(&format!(
        "{} of {} seeds good, {lines} requests, {} virtual hours, settled within {slowest} s, in {:.1?}",
        good.len(),
        seeds.len(),
        secs / 3600,
        started.elapsed()
    ));
    let bad: Vec<String> =
        results.iter().filter_map(|done| Some(format!("{:#}", done.as_ref().err()?))).collect();
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
