//! The processes: `fleet controller`, `fleet gitjob`, `fleet agent`, `fleet agent register`.
//!
//! Owns their flags and the environment they are configured by. Must not know what they do. Start
//! at the `Args` of each.

use std::path::{Path, PathBuf};

use agent::config::AgentConfig;
use anyhow::{Context as _, bail};
use base64::Engine as _;
use bundle_format::api::labels;
use clap::{Args, Subcommand};
use controller::ControllerConfig;
use controller::config::ApiServer;
use gitjob::GitjobConfig;
use gitjob::config::GitjobFlags;
use kube::Client;
use runtime::Clock;
use runtime::events::Events;
use runtime::http_server::BindAddress;
use runtime::lease::{LeaseTiming, go_duration};
use runtime::telemetry::TelemetryConfig;
use tokio_util::sync::CancellationToken;

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
    #[arg(long, env = "CATTLE_ELECTION_LEASE_DURATION", value_name = "DURATION")]
    pub lease_duration: Option<String>,
    /// How long the leader tries to renew it
    #[arg(long, env = "CATTLE_ELECTION_RENEW_DEADLINE", value_name = "DURATION")]
    pub renew_deadline: Option<String>,
    /// How often the others try
    #[arg(long, env = "CATTLE_ELECTION_RETRY_PERIOD", value_name = "DURATION")]
    pub retry_period: Option<String>,
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
    #[arg(
        long,
        env = "FLEET_METRICS_BIND_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":8080"
    )]
    pub metrics_bind_address: String,
    /// Address of the health checks, `0` for none
    #[arg(
        long,
        env = "FLEET_HEALTHPROBE_BIND_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":8081"
    )]
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
    #[arg(
        long,
        env = "GITOPS_METRICS_BIND_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":8081"
    )]
    pub metrics_bind_address: String,
    /// Address of the webhook
    #[arg(long, env = "GITJOB_LISTEN_ADDRESS", value_name = "ADDRESS", default_value = ":8080")]
    pub listen: String,
    /// Accept webhooks for which there is no secret to check them with
    #[arg(long)]
    pub allow_unsigned_webhooks: bool,
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
    #[arg(
        long,
        env = "BUNDLEDEPLOYMENT_RECONCILER_WORKERS",
        value_name = "NUMBER",
        default_value = "50"
    )]
    pub workers: usize,
    /// Address of the metrics, `0` for none
    #[arg(
        long,
        env = "FLEET_AGENT_METRICS_BIND_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":8080"
    )]
    pub metrics_bind_address: String,
    /// Address of the health checks, `0` for none
    #[arg(
        long,
        env = "FLEET_AGENT_PROBE_BIND_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":8081"
    )]
    pub health_bind_address: String,
}

impl ElectionArgs {
    /// The durations, all three of which must be given where there is an election.
    fn timing(&self) -> anyhow::Result<Option<LeaseTiming>> {
        if !self.leader_elect {
            return Ok(None);
        }
        let duration = |value: &Option<String>, name: &str| {
            let Some(text) = value.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
                bail!("environment variable CATTLE_ELECTION_{name} not set");
            };
            go_duration(text).with_context(|| format!("{text:?} is not a duration such as 30s"))
        };
        let timing = LeaseTiming {
            lease_duration: duration(&self.lease_duration, "LEASE_DURATION")?,
            renew_deadline: duration(&self.renew_deadline, "RENEW_DEADLINE")?,
            retry_period: duration(&self.retry_period, "RETRY_PERIOD")?,
        };
        if timing.lease_duration <= timing.renew_deadline
            || timing.renew_deadline <= timing.retry_period
        {
            bail!("the lease duration must exceed the renew deadline, and that the retry period");
        }
        Ok(Some(timing))
    }
}

impl ProcessArgs {
    /// Logs, signals and the client, as every process needs them.
    async fn start(&self, name: &str) -> anyhow::Result<(Client, CancellationToken)> {
        runtime::telemetry::init(TelemetryConfig::from_env(self.debug, self.debug_level));
        let shutdown = runtime::shutdown::on_signal()?;
        let client = runtime::client::from_environment(self.kubeconfig.as_deref(), name).await?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "{name} starts");
        Ok((client, shutdown))
    }
}

fn metrics_address(disabled: bool, address: &str) -> anyhow::Result<BindAddress> {
    Ok(if disabled { BindAddress::Off } else { address.parse()? })
}

fn no_shard(shard_id: &str) -> anyhow::Result<()> {
    if !shard_id.is_empty() {
        bail!("--shard-id {shard_id}: shards are not served yet; leave the flag out");
    }
    Ok(())
}

/// Runs the hub until it is told to stop.
pub(crate) async fn run_controller(args: ControllerArgs) -> anyhow::Result<()> {
    no_shard(&args.shard_id)?;
    let lease = args.election.timing()?;
    let (client, shutdown) = args.process.start("fleet-controller").await?;
    let config = ControllerConfig {
        system_namespace: args.process.namespace.clone(),
        lease,
        bootstrap: !args.disable_bootstrap,
        api_server: own_api_server(args.process.kubeconfig.as_deref()).await?,
        metrics_address: metrics_address(args.disable_metrics, &args.metrics_bind_address)?,
        health_address: args.health_bind_address.parse()?,
        ..ControllerConfig::from_env()?
    };
    controller::run(config, client, shutdown).await?;
    Ok(())
}

/// How this process reaches its API server: what the local agent is told, and others as long as
/// nobody says better.
async fn own_api_server(kubeconfig: Option<&Path>) -> anyhow::Result<ApiServer> {
    let config = runtime::client::config_from_environment(kubeconfig).await?;
    let certificates = config.root_cert.iter().flatten();
    let url = config.cluster_url.to_string();
    Ok(ApiServer {
        url: url.trim_end_matches('/').to_owned(),
        ca: certificates.map(|der| pem(der)).collect(),
    })
}

/// A certificate as PEM.
fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|start| &text[start..text.len().min(start + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Runs the Git side until it is told to stop.
pub(crate) async fn run_gitjob(args: GitjobArgs) -> anyhow::Result<()> {
    no_shard(&args.shard_id)?;
    if args.insecure_skip_host_key_checks {
        bail!("--insecure-skip-host-key-checks: ssh is not served yet; leave the flag out");
    }
    let lease = args.election.timing()?;
    let (client, shutdown) = args.process.start("gitjob").await?;
    let flags = GitjobFlags {
        namespace: Some(args.process.namespace.clone()),
        listen: args.listen.clone(),
        leader_elect: false,
        allow_unsigned_webhooks: args.allow_unsigned_webhooks,
        ..GitjobFlags::default()
    };
    let config = GitjobConfig {
        lease,
        metrics_address: metrics_address(args.disable_metrics, &args.metrics_bind_address)?,
        workers: args.workers.max(1),
        ..GitjobConfig::from_env(&flags)?
    };
    gitjob::run(config, client, shutdown).await?;
    Ok(())
}

/// Runs or registers the agent.
pub(crate) async fn run_agent(args: AgentArgs) -> anyhow::Result<()> {
    match args.command {
        Some(AgentCommand::Register(run)) => register_agent(run).await,
        None => {
            let (config, client, shutdown) = start_agent(&args.run).await?;
            agent::run(config, client, shutdown).await?;
            Ok(())
        }
    }
}

async fn register_agent(args: AgentRunArgs) -> anyhow::Result<()> {
    let (config, client, _) = start_agent(&args).await?;
    let events = Events::new(client.clone(), "fleet-agent", &config.instance, Clock::system());
    let identity = agent::register::register(&client, &config, &events).await?;
    tracing::info!(
        cluster = format!("{}/{}", identity.cluster_namespace, identity.cluster_name),
        "registered"
    );
    Ok(())
}

async fn start_agent(
    args: &AgentRunArgs,
) -> anyhow::Result<(AgentConfig, Client, CancellationToken)> {
    let lease = args.election.timing()?;
    let (client, shutdown) = args.process.start("fleet-agent").await?;
    let checkin = go_duration(args.checkin_interval.trim()).with_context(|| {
        format!("--checkin-interval {:?}: not a duration", args.checkin_interval)
    })?;
    let defaults = AgentConfig::embedded(&args.process.namespace);
    let config = AgentConfig {
        scope: args.agent_scope.clone(),
        instance: instance().unwrap_or(defaults.instance),
        checkin_interval: if checkin.is_zero() { defaults.checkin_interval } else { checkin },
        workers_count: args.workers.max(1),
        lease,
        metrics_address: args.metrics_bind_address.parse()?,
        probe_address: args.health_bind_address.parse()?,
        ..AgentConfig::embedded(&args.process.namespace)
    };
    Ok((config, client, shutdown))
}

/// The name of this pod.
fn instance() -> Option<String> {
    ["POD_NAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok())
}
