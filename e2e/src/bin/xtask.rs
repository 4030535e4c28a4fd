//! Project tasks: `cargo xtask <task>`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use e2e::bench::Plan;
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
        /// On our embedded API server instead of etcd and kube-apiserver.
        #[arg(long)]
        hub: bool,
    },
    /// The figures of a fleet on real clusters: latency, API writes, memory.
    Bench {
        /// Only scenarios whose name holds this: webhook, paths, idle, clusters.
        #[arg(default_value = "")]
        filter: String,
        /// How often the long scenarios are measured; the best round counts.
        #[arg(long, default_value_t = 1)]
        rounds: usize,
        /// Measure the unoptimized program, to try the bench itself.
        #[arg(long)]
        dev: bool,
    },
    /// The figures of `fleet template` beside `helm template`, on the chart corpus. Needs Go once.
    BenchHelm {
        /// Only cases whose name holds this.
        #[arg(default_value = "")]
        filter: String,
        /// Processes of each program per case; their median counts.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// The Cargo profile that fleet is built with; `release` is what is published.
        #[arg(long, default_value = "release")]
        profile: String,
    },
    /// The figures of the embedded API server, beside those of etcd and kube-apiserver.
    BenchHub {
        /// Measure the unoptimized program, to try the bench itself.
        #[arg(long)]
        dev: bool,
    },
    /// The figures of a whole fleet in one process: time and memory.
    BenchSim,
    /// The long ones: 2,000 seeds of the simulation, every process killed in every phase of a rollout, outages of minutes. Writes
    /// its result to docs/status.md.
    Nightly {
        /// Seconds of each outage.
        #[arg(long, default_value_t = 120)]
        outage: u32,
    },
    /// Writes the generated files of charts/fleet-crd.
    Crds,
    /// Records what kube-apiserver answers to the scripts of hub/tests/differential.
    RecordHub,
    /// Records which functions run, for the linker (see cli/build.rs). Needs valgrind.
    LinkOrder,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::E2e { filter, release, hub } => run_stories(&filter, release, hub),
        Task::Bench { filter, rounds, dev } => {
            let words = vec![filter.clone(), "--rounds".to_owned(), rounds.to_string()];
            let plan = Plan { filter, rounds };
            bench(!dev, "bench", &words, || {
                let missed_count = e2e::bench::run(&plan)?;
                e2e::say(&format!("{missed_count} reaches missed"));
                Ok(())
            })
        }
        Task::BenchHelm { filter, rounds, profile } => bench_helm(&filter, rounds, &profile),
        Task::BenchHub { dev } => bench(!dev, "bench-hub", &[], e2e::bench_hub::run),
        Task::BenchSim => simulate("figures", &[]),
        Task::Nightly { outage } => {
            simulate("every_seed_keeps_every_invariant", &[("FLEET_SEEDS", "2000")])
                .and_then(|()| nightly(outage))
        }
        Task::Crds => refresh_crds(),
        Task::RecordHub => record_hub(),
        Task::LinkOrder => link_order(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            e2e::say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells the story of a delivery with the optimized program, renders a chart with it, and writes
/// down what of it ran.
fn link_order() -> Result<()> {
    let build = ["rustc", "--locked", "--release", "-p", "cli", "--bin", "fleet"];
    succeed(cargo().args(build).args(["--", "-C", "strip=none"]))?;
    let program = target_folder().join("release/fleet");
    build_peers()?;
    let folder = tempfile::tempdir()?;
    let watched = e2e::link_order::watched_program(folder.path(), &program)?;
    tell_with(&watched, "delivery", &[(e2e::cluster::HUB_SWITCH, "1".to_owned())])?;
    let mut template = Command::new(&watched);
    template.args(["template", "release"]).arg(workspace().join("charts/fleet"));
    succeed(template.stdout(std::process::Stdio::null()))?;
    let functions = e2e::link_order::order(folder.path(), &program)?;
    let path = workspace().join("cli/link/order.txt");
    std::fs::write(&path, functions.join("\n") + "\n").context("write the order")?;
    e2e::say(&format!("{} functions in {}", functions.len(), path.display()));
    Ok(())
}

/// Plays the scripts of the hub's differential suite to a real kube-apiserver.
fn record_hub() -> Result<()> {
    let kubebox = e2e::peers::find_kubebox()?;
    let mut command = cargo();
    command
        .args(["test", "--locked", "-p", "hub", "--test", "it", "--"])
        .args(["--ignored", "--exact", "differential::record"])
        .env("FLEET_KUBEBOX", kubebox);
    succeed(&mut command)
}

/// Writes the generated files of `charts/fleet-crd`.
fn refresh_crds() -> Result<()> {
    let chart = workspace().join("charts/fleet-crd");
    for (path, text) in bundle_format::api::crds::chart_files() {
        std::fs::write(chart.join(&path), text).with_context(|| format!("write {path}"))?;
    }
    Ok(())
}

/// Runs the long stories and notes how they ended.
fn nightly(outage: u32) -> Result<()> {
    let told = {
        let switch = ("FLEET_NIGHTLY", "1".to_owned());
        tell("", true, &[switch, ("FLEET_NIGHTLY_OUTAGE", outage.to_string())])
    };
    let text = |words: &[&str]| -> Result<String> {
        let output = Command::new(words[0]).args(&words[1..]).current_dir(workspace()).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let date = text(&["date", "-u", "+%Y-%m-%d %H:%M UTC"])?;
    let commit = text(&["git", "rev-parse", "--short", "HEAD"])?;
    let result = if told.is_ok() { "all stories passed" } else { "FAILED" };
    let line = format!("Last `nightly`: {date}, commit {commit}, outages of {outage} s: {result}.");
    e2e::say(&line);
    let path = workspace().join("docs/status.md");
    let status = std::fs::read_to_string(&path)?;
    let lines = status.lines().map(|held| match held.starts_with("Last `nightly`:") {
        true => line.as_str(),
        false => held,
    });
    std::fs::write(&path, lines.map(|line| format!("{line}\n")).collect::<String>())?;
    told
}

/// Builds what the stories need, the peers and ours at the same time, and tells them.
fn run_stories(filter: &str, release: bool, on_hub: bool) -> Result<()> {
    let variables = on_hub.then(|| (e2e::cluster::HUB_SWITCH, "1".to_owned()));
    tell(filter, release, variables.as_slice())
}

fn tell(filter: &str, release: bool, variables: &[(&str, String)]) -> Result<()> {
    let fleet = std::thread::scope(|scope| {
        let peers = scope.spawn(build_peers);
        let fleet = build_fleet(release);
        match peers.join() {
            Ok(built) => built?,
            Err(_) => bail!("building the peers panicked"),
        }
        fleet
    })?;
    tell_with(&fleet, filter, variables)
}

/// Tells the stories with this program.
fn tell_with(fleet: &Path, filter: &str, variables: &[(&str, String)]) -> Result<()> {
    let mut command = cargo();
    command
        .args(["test", "--locked", "-p", "e2e", "--test", "conformance", "--", filter])
        .env(e2e::story::SWITCH, "1")
        .env("FLEET_BIN", fleet);
    for (name, value) in variables {
        command.env(name, value);
    }
    succeed(&mut command)
}

/// Builds what the bench needs and runs it in a process of its own, which `FLEET_BIN` reaches.
fn bench(
    release: bool,
    task: &str,
    words: &[String],
    run: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if std::env::var_os("FLEET_BIN").is_some() {
        return run();
    }
    build_peers()?;
    let fleet = build_fleet(release)?;
    let own = std::env::current_exe()?;
    // An unoptimized client would be what is measured.
    let client = if release && task == "bench-hub" { build_self(&fleet)? } else { own };
    succeed(Command::new(client).arg(task).args(words).env("FLEET_BIN", fleet))
}

/// Builds fleet and the in-process half of the bench in one go, so that both have the same parts.
fn bench_helm(filter: &str, rounds: usize, profile: &str) -> Result<()> {
    let helm = e2e::peers::find_helm()?;
    let packages = ["-p", "cli", "--bin", "fleet", "-p", "render", "--example", "in_process"];
    let build = ["build", "--locked", "--profile", profile];
    succeed(cargo().args(build).args(packages))?;
    let folder = target_folder().join(if profile == "dev" { "debug" } else { profile });
    let programs = e2e::bench_helm::Programs {
        helm,
        fleet: folder.join("fleet"),
        in_process: folder.join("examples/in_process"),
        profile: profile.to_owned(),
    };
    e2e::bench_helm::run(&programs, rounds.max(1), filter)
}

fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Runs one test of the simulation, optimized.
fn simulate(test: &str, environment: &[(&str, &str)]) -> Result<()> {
    let mut command = cargo();
    let which = ["--exact", test, "--include-ignored", "--nocapture"];
    command
        .args(["test", "--locked", "--release", "-p", "e2e", "--test", "sim", "--"])
        .args(which)
        .envs(environment.iter().copied());
    succeed(&mut command)
}

/// Builds the program and returns its path.
fn build_fleet(release: bool) -> Result<PathBuf> {
    let started = Instant::now();
    let mut command = cargo();
    command.args(["build", "--locked", "-p", "cli", "--bin", "fleet"]);
    if release {
        command.arg("--release");
    } else {
        // The same build of everything below as this task's own (see Cargo.toml).
        command.args(["-p", "e2e"]);
    }
    succeed(&mut command)?;
    e2e::say(&format!("built fleet in {:.0?}", started.elapsed()));
    Ok(target_folder().join(if release { "release" } else { "debug" }).join("fleet"))
}

/// Builds this program optimized, beside the optimized `fleet`, and returns its path.
fn build_self(fleet: &Path) -> Result<PathBuf> {
    succeed(
        cargo()
            .args(["build", "--locked", "--release", "-p", "cli", "-p", "e2e"])
            .args(["--bin", "fleet", "--bin", "xtask"]),
    )?;
    Ok(fleet.with_file_name("xtask"))
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    // What `cargo run` tells this program about itself would make build scripts that look at it run
    // again, and everything above them be built again.
    for (name, _) in std::env::vars_os() {
        let is_about_us = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
                .iter()
                .any(|start| name.starts_with(start))
        });
        if is_about_us {
            command.env_remove(&name);
        }
    }
    command
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if !status.success() {
        bail!("{:?} failed", command.get_program());
    }
    Ok(())
}
