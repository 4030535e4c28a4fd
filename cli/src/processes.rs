//! The processes: `fleet controller`, `fleet gitjob`, `fleet agent`, `fleet agent register`.
//!
//! Owns their flags and the environment they are configured by. Must not know what they do. Start
//! at the `Args` of each.

use std::path::PathBuf;

use anyhow::bail;
use bundle_format::api::labels;
use clap::{Args, Subcommand};

/// What every process of the hub understands
#[derive(Clone, Debug, Args)]
pub struct ProcessArgs {
    /// Kubeconfig [default: $KUBECONFIG, the pod's account, ~/.kube/config]
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the process: configuration, leases
    #[arg(short, long, env = "NAMESPACE", default_value = labels::SYSTEM_NAMESPACE, global = true)]
    pub namespace: String,
    /// Log more
    #[arg(long, global = true)]
    pub debug: bool,
    /// How much more
    #[arg(long, value_name = "NUMBER", default_value_t, hide_default_value = true, global = true)]
    pub debug_level: u8,
}

/// Durations of the leader election, in Go's notation
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Leader election")]
pub struct ElectionArgs {
    /// Run only as the leader of all copies of the process
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    pub leader_elect: bool,
    /// How long a lease holds
    #[arg(long, env = "CATTLE_ELECTION_LEASE_DURATION", value_name = "DURATION", default_value = "30s")]
    pub lease_duration: String,
    /// How long the leader tries to renew it
    #[arg(long, env = "CATTLE_ELECTION_RENEW_DEADLINE", value_name = "DURATION", default_value = "25s")]
    pub renew_deadline: String,
    /// How often the others try
    #[arg(long, env = "CATTLE_ELECTION_RETRY_PERIOD", value_name = "DURATION", default_value = "10s")]
    pub retry_period: String,
}

/// Run the hub: bundles, clusters, registration
#[derive(Clone, Debug, Args)]
pub struct ControllerArgs {
    /// What every process understands.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// Leader election.
    #[command(flatten)]
    pub election: ElectionArgs,
    /// Serve only objects of this shard
    #[arg(long, default_value = "", hide_default_value = true)]
    pub shard_id: String,
    /// Do not serve metrics
    #[arg(long)]
    pub disable_metrics: bool,
    /// Address of the metrics, `0` for none
    #[arg(long, env = "FLEET_METRICS_BIND_ADDRESS", value_name = "ADDRESS", default_value = ":8080")]
    pub metrics_bind_address: String,
    /// Address of the health checks, `0` for none
    #[arg(long, env = "FLEET_HEALTHPROBE_BIND_ADDRESS", value_name = "ADDRESS", default_value = ":8081")]
    pub health_bind_address: String,
    /// Do not make the local cluster
    #[arg(long)]
    pub disable_bootstrap: bool,
}

/// Run the Git side: GitRepos to bundles, webhooks
#[derive(Clone, Debug, Args)]
pub struct GitjobArgs {
    /// What every process understands.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// Leader election.
    #[command(flatten)]
    pub election: ElectionArgs,
    /// Serve only objects of this shard
    #[arg(long, default_value = "", hide_default_value = true)]
    pub shard_id: String,
    /// Do not serve metrics
    #[arg(long)]
    pub disable_metrics: bool,
    /// Address of the metrics, `0` for none
    #[arg(long, env = "GITOPS_METRICS_BIND_ADDRESS", value_name = "ADDRESS", default_value = ":8081")]
    pub metrics_bind_address: String,
    /// Address of the webhook
    #[arg(long, value_name = "ADDRESS", default_value = ":8080")]
    pub listen: String,
    /// Accept any host key of SSH servers
    #[arg(long)]
    pub insecure_skip_host_key_checks: bool,
    /// GitRepos worked on at once
    #[arg(long, env = "GITREPO_RECONCILER_WORKERS", value_name = "NUMBER", default_value = "50")]
    pub workers: usize,
}

/// Run the agent of a member cluster, or register it
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AgentArgs {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// What running takes.
    #[command(flatten)]
    pub run: AgentRunArgs,
}

/// What an agent can do besides running
#[derive(Clone, Debug, Subcommand)]
pub enum AgentCommand {
    /// Register this cluster with the hub, and end
    Register(AgentRunArgs),
}

/// Flags of the agent
#[derive(Clone, Debug, Args)]
pub struct AgentRunArgs {
    /// What every process understands.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// Leader election.
    #[command(flatten)]
    pub election: ElectionArgs,
    /// Tells apart several agents on one cluster
    #[arg(long, env = "AGENT_SCOPE", default_value = "", hide_default_value = true)]
    pub agent_scope: String,
    /// How often the cluster reports that it is there
    #[arg(long, env = "CHECKIN_INTERVAL", value_name = "DURATION", default_value = "15m")]
    pub checkin_interval: String,
    /// Bundles deployed at once
    #[arg(long, env = "BUNDLEDEPLOYMENT_RECONCILER_WORKERS", value_name = "NUMBER", default_value = "50")]
    pub workers: usize,
    /// Address of the metrics, `0` for none
    #[arg(long, env = "FLEET_AGENT_METRICS_BIND_ADDRESS", value_name = "ADDRESS", default_value = ":8080")]
    pub metrics_bind_address: String,
    /// Address of the health checks, `0` for none
    #[arg(long, env = "FLEET_AGENT_PROBE_BIND_ADDRESS", value_name = "ADDRESS", default_value = ":8081")]
    pub health_bind_address: String,
}

/// Runs the hub until it is told to stop.
pub(crate) async fn run_controller(_args: ControllerArgs) -> anyhow::Result<()> {
    bail!("the controller is not part of this build yet")
}

/// Runs the Git side until it is told to stop.
pub(crate) async fn run_gitjob(_args: GitjobArgs) -> anyhow::Result<()> {
    bail!("gitjob is not part of this build yet")
}

/// Runs or registers the agent.
pub(crate) async fn run_agent(_args: AgentArgs) -> anyhow::Result<()> {
    bail!("the agent is not part of this build yet")
}
