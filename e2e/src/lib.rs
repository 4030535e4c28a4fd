//! The tests that see the whole, and the project tasks (cargo xtask).
//!
//! Owns the harness: real peers ([`peers`]), a control plane ([`cluster`]), a stand-in for the
//! kubelet ([`hostlet`]), Git over HTTP ([`githttp`]) and a fleet of clusters ([`world`]). Knows our
//! processes only as programs, and our API only as JSON. Start at [`world::World::start`].

pub mod audit;
pub mod bench;
pub mod bench_helm;
pub mod bench_hub;
pub mod cluster;
pub mod figures;
pub mod fleet;
pub mod githttp;
pub mod hostlet;
pub mod link_order;
pub mod measure;
pub mod peers;
pub mod pki;
pub mod process;
pub mod story;
pub mod world;

/// Prints one line of progress.
#[expect(clippy::print_stderr, reason = "the harness talks to the person who runs it")]
pub fn say(line: &str) {
    eprintln!("e2e: {line}");
}
