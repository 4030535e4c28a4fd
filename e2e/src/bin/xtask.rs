//! Project tasks: `cargo xtask <task>`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use e2e::peers::{build_peers, workspace};

/// Tasks of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", about)]
enum Task {
    /// The stories on real clusters. Needs Go, git and root (or user namespaces).
    E2e {
        /// Only stories whose name holds this, and those all others need.
        #[arg(default_value = "")]
        filter: String,
        /// Build fleet optimized.
        #[arg(long)]
        release: bool,
    },
    /// The figures of a fleet on real clusters: latency, API writes, memory.
    Bench {
        /// Measure the unoptimized program, to try the bench itself.
        #[arg(long)]
        dev: bool,
    },
    /// The long ones. Runs the stories three times over, so that rare orders show.
    Nightly,
    /// Writes the generated files of charts/fleet-crd.
    Crds,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::E2e { filter, release } => run_stories(&filter, release),
        Task::Bench { dev } => bench(!dev),
        Task::Nightly => (0..3).try_for_each(|_| run_stories("", true)),
        Task::Crds => refresh_crds(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            e2e::say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes the generated files of `charts/fleet-crd`.
fn refresh_crds() -> Result<()> {
    let chart = workspace().join("charts/fleet-crd");
    for (path, text) in bundle_format::api::crds::chart_files() {
        std::fs::write(chart.join(&path), text).with_context(|| format!("write {path}"))?;
    }
    Ok(())
}

/// Builds what the stories need, the peers and ours at the same time, and tells them.
fn run_stories(filter: &str, release: bool) -> Result<()> {
    let fleet = std::thread::scope(|scope| {
        let peers = scope.spawn(build_peers);
        let fleet = build_fleet(release);
        match peers.join() {
            Ok(built) => built?,
            Err(_) => bail!("building the peers panicked"),
        }
        fleet
    })?;
    let mut command = cargo();
    command
        .args(["test", "--locked", "-p", "e2e", "--test", "conformance", "--", filter])
        .env(e2e::story::SWITCH, "1")
        .env("FLEET_BIN", fleet);
    succeed(&mut command)
}

/// Builds what the bench needs and runs it in a process of its own, which `FLEET_BIN` reaches.
fn bench(release: bool) -> Result<()> {
    if std::env::var_os("FLEET_BIN").is_some() {
        return e2e::bench::run();
    }
    build_peers()?;
    let fleet = build_fleet(release)?;
    succeed(Command::new(std::env::current_exe()?).arg("bench").env("FLEET_BIN", fleet))
}

/// Builds the program and returns its path.
fn build_fleet(release: bool) -> Result<PathBuf> {
    let started = Instant::now();
    let mut command = cargo();
    command.args(["build", "--locked", "-p", "cli", "--bin", "fleet"]);
    if release {
        command.arg("--release");
    }
    succeed(&mut command)?;
    e2e::say(&format!("built fleet in {:.0?}", started.elapsed()));
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }).join("fleet"))
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    command
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if !status.success() {
        bail!("{:?} failed", command.get_program());
    }
    Ok(())
}
