//! `fleet hub`: the embedded API server alone.
//!
//! Owns its command line. What it serves is the crate `hub`. Start at [`run`].

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::cluster::{Cluster, Start};
use super::kubeconfig::write_kubeconfig;
use crate::Ui;

/// Run only the embedded API server
///
/// For trying kubectl and controllers on it, and for tests. Ends with Ctrl-C.
#[derive(Clone, Debug, Args)]
pub struct HubArgs {
    /// Where to write the administrator's kubeconfig, once it serves
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: PathBuf,
    /// Folder for its objects [default: they are kept in memory only]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Port of its API, 0 takes a free one
    #[arg(long, value_name = "NUMBER", default_value_t = 17443)]
    pub port: u16,
    /// Make workloads ready by themselves, after so many milliseconds
    #[arg(long, value_name = "MS")]
    pub ready_after: Option<u64>,
    /// API servers in this process, each with its own objects; the further ones take free ports
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub clusters: u16,
}

/// Serves until Ctrl-C.
pub async fn run(args: HubArgs, ui: &mut Ui) -> anyhow::Result<()> {
    let after = args.ready_after.map(Duration::from_millis);
    let mut clusters = Vec::new();
    for number in 0..args.clusters {
        let name = if number == 0 { "hub".to_owned() } else { format!("hub-{number}") };
        let start = Start {
            name: &name,
            data: args.data.as_deref(),
            port: if number == 0 { args.port } else { 0 },
            simulation: after.map(|ready_after| ::hub::Simulation { ready_after }),
        };
        clusters.push(Cluster::start(start).await?);
    }
    let all: Vec<&Cluster> = clusters.iter().collect();
    write_kubeconfig(&args.kubeconfig, &all)?;
    for cluster in &all {
        ui.out(&format!("{:<10} {}\n", cluster.name, cluster.url()))?;
    }
    ui.flush()?;
    super::asked_by_the_system().await;
    Ok(())
}
