//! The fleet command: every process and every tool.
//!
//! Owns the command line. Must not decide anything: each command reads its input, calls the crate
//! whose job it is, and prints. Start at [`run`].

pub mod apply;
pub mod deploy;
pub mod dir_tree;
mod git_head;
mod host;
pub mod input;
pub mod processes;
pub mod remote_chart;
pub mod target;
pub mod template;
pub mod ui;
pub mod up;
pub mod world;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};

pub use ui::Ui;

/// GitOps for fleets of Kubernetes clusters.
///
/// Bundles are made from folders of a Git repository, go to the clusters that match, and are kept
/// there. Try what a folder becomes, without any cluster:
///
///   fleet apply -o - my-repo apps/web > bundle.yaml
///   fleet target -b bundle.yaml --world clusters.yaml > deployments.yaml
///   fleet deploy --dry-run -i deployments.yaml --cluster dev-1
#[derive(Debug, Parser)]
#[command(
    name = "fleet",
    version,
    propagate_version = true,
    max_term_width = 100,
    verbatim_doc_comment
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a hub and members on this machine and deploy a repository to them
    Up(up::UpArgs),
    /// End the fleet that `fleet up` started
    Down(up::down::DownArgs),
    /// Run only the embedded API server
    Hub(up::hub::HubArgs),
    /// Make bundles from folders, and print them
    Apply(Box<apply::ApplyArgs>),
    /// Print what a bundle becomes on each cluster that it matches
    Target(target::TargetArgs),
    /// Render a bundle deployment
    Deploy(deploy::DeployArgs),
    /// Render a chart as helm template does
    Template(Box<template::TemplateArgs>),
    /// Run the hub: bundles, clusters, registration
    Controller(processes::ControllerArgs),
    /// Run the Git side: GitRepos to bundles, webhooks
    Gitjob(processes::GitjobArgs),
    /// Run the agent of a member cluster, or register it
    Agent(processes::AgentArgs),
    /// Print the completion script of a shell
    ///
    /// For example: fleet completion bash > /etc/bash_completion.d/fleet
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Runs one command line and answers with the exit code: 0 done, 1 failed, 2 not understood.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>, ui: &mut Ui) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // Help and version come this way too, and know where they go and how they end.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = execute(cli.command, ui);
    match done.and_then(|()| ui.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What was printed before the failure is a result too.
            let _ = ui.flush();
            ui.fail(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs a process. Two threads are enough: it waits for the network nearly all of the time.
fn run_process(process: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    wait(tokio::runtime::Builder::new_multi_thread().worker_threads(2), process)
}

/// Lets a tool wait for the network. Tools that need not are over before this would be ready.
pub(crate) fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    wait(&mut tokio::runtime::Builder::new_current_thread(), work)
}

fn wait<T>(
    executor: &mut tokio::runtime::Builder,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    runtime::client::install_crypto_provider();
    executor.enable_all().build().context("starting the runtime")?.block_on(work)
}

fn execute(command: Command, ui: &mut Ui) -> anyhow::Result<()> {
    match command {
        Command::Up(args) => run_process(up::run(args, ui)),
        Command::Down(args) => up::down::run(&args, ui),
        Command::Hub(args) => run_process(up::hub::run(args, ui)),
        Command::Apply(args) => apply::run(&args, ui),
        Command::Target(args) => target::run(&args, ui),
        Command::Deploy(args) => deploy::run(&args, ui),
        Command::Template(args) => template::run(&args, ui),
        Command::Controller(args) => run_process(processes::run_controller(args)),
        Command::Gitjob(args) => run_process(processes::run_gitjob(args)),
        Command::Agent(args) => run_process(processes::run_agent(args)),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "fleet", &mut script);
            ui.out(&String::from_utf8_lossy(&script))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_charts_are_understood() {
        for line in [
            "fleet controller --disable-bootstrap --debug --debug-level 3 --disable-metrics",
            "fleet gitjob --insecure-skip-host-key-checks --allow-unsigned-webhooks --leader-elect=false",
            "fleet agent --debug --debug-level 1",
            "fleet agent register --namespace x",
            "fleet apply -o - --paused=false --label=a=b,c=d --driven-scan --driven-scan-sep , r a,b",
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
        }
    }
}
