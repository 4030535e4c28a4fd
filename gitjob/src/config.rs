//! What a gitjob process is told from outside.
//!
//! Owns environment variables and defaults. Start at [`GitjobConfig::from_env`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::Clock;
use runtime::http_server::{BindAddress, ServeError};
use runtime::lease::{LeaseError, LeaseTiming};

use crate::git::Source;
use crate::git::fetch::FetchLimits;

/// Settings of one process.
#[derive(Clone, Debug)]
pub struct GitjobConfig {
    /// Namespace of the hub's own objects.
    pub system_namespace: String,
    /// Serves objects with this `fleet.cattle.io/shard-ref`; empty serves those without one.
    pub shard_id: String,
    /// Durations of the leader election; `None` works without one (single process, tests).
    pub lease: Option<LeaseTiming>,
    /// Name of this process in Leases and Events.
    pub identity: String,
    /// Where webhooks come in.
    pub listen: BindAddress,
    /// Where metrics are served.
    pub metrics_address: BindAddress,
    /// Accept webhooks of GitRepos for which no secret exists.
    pub allow_unsigned_webhooks: bool,
    /// Serve `file://` addresses, opened in place: `fleet up` only, never set by the environment.
    pub allow_local_repositories: bool,
    /// GitRepos worked on at the same time.
    pub workers: usize,
    /// Limit of one listing of refs.
    pub git_timeout: Duration,
    /// A webhook's commit may take this long to become visible (Fleet 0.16: 30 s).
    pub webhook_window: Duration,
    /// Bounds of fetches.
    pub fetch: FetchLimits,
    /// Folder for fetched objects; emptied at start.
    pub work_dir: PathBuf,
    /// Accept `imageScans` in `fleet.yaml`.
    pub image_scans_enabled: bool,
    /// The time.
    pub clock: Clock,
    /// Takes the place of all Git servers: simulations only, never set by the environment.
    pub source: Option<Arc<dyn Source>>,
}

/// The flags of `fleet gitjob`.
#[derive(Clone, Debug)]
pub struct GitjobFlags {
    /// `--namespace`; wins over `NAMESPACE`.
    pub namespace: Option<String>,
    /// `--shard-id`.
    pub shard_id: String,
    /// `--listen`: where webhooks come in.
    pub listen: String,
    /// `--metrics-bind-address`; `GITOPS_METRICS_BIND_ADDRESS` wins.
    pub metrics_address: String,
    /// `--disable-metrics`.
    pub disable_metrics: bool,
    /// `--leader-elect`.
    pub leader_elect: bool,
    /// `--allow-unsigned-webhooks`.
    pub allow_unsigned_webhooks: bool,
}

impl Default for GitjobFlags {
    /// What Fleet's process has as defaults.
    fn default() -> Self {
        Self {
            namespace: None,
            shard_id: String::new(),
            listen: ":8080".to_owned(),
            metrics_address: ":8081".to_owned(),
            disable_metrics: false,
            leader_elect: true,
            allow_unsigned_webhooks: false,
        }
    }
}

/// The environment does not fit.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An election duration is missing or malformed.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// A bind address is malformed.
    #[error(transparent)]
    Address(#[from] ServeError),
}

impl Default for GitjobConfig {
    /// One process without election, listeners or shard: for tests and one-process mode.
    fn default() -> Self {
        Self {
            system_namespace: "cattle-fleet-system".to_owned(),
            shard_id: String::new(),
            lease: None,
            identity: "gitjob".to_owned(),
            listen: BindAddress::Off,
            metrics_address: BindAddress::Off,
            allow_unsigned_webhooks: false,
            allow_local_repositories: false,
            workers: 16,
            git_timeout: Duration::from_secs(30),
            webhook_window: Duration::from_secs(30),
            fetch: FetchLimits::default(),
            work_dir: std::env::temp_dir().join(format!("fleet-gitjob-{}", std::process::id())),
            image_scans_enabled: false,
            clock: Clock::system(),
            source: None,
        }
    }
}

impl GitjobConfig {
    /// Reads the variables that the chart sets (`NAMESPACE`, `CATTLE_ELECTION_*`, `POD_NAME`,
    /// `GITOPS_METRICS_BIND_ADDRESS`, `GITREPO_RECONCILER_WORKERS`, `IMAGESCAN_ENABLED`).
    ///
    /// # Errors
    /// When a mandatory variable is missing or one is malformed.
    pub fn from_env(flags: &GitjobFlags) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let workers = read("GITREPO_RECONCILER_WORKERS").and_then(|text| text.parse().ok());
        let namespace = flags.namespace.clone().or_else(|| read("NAMESPACE"));
        let lease = flags.leader_elect.then(|| LeaseTiming::from_env("CATTLE_ELECTION"));
        let metrics_address = match flags.disable_metrics {
            true => BindAddress::Off,
            false => BindAddress::from_env("GITOPS_METRICS_BIND_ADDRESS", &flags.metrics_address)?,
        };
        Ok(Self {
            system_namespace: namespace.unwrap_or(defaults.system_namespace),
            shard_id: flags.shard_id.clone(),
            lease: lease.transpose()?,
            identity: runtime::lease::identity(),
            listen: flags.listen.parse()?,
            metrics_address,
            allow_unsigned_webhooks: flags.allow_unsigned_webhooks,
            workers: workers.filter(|count| *count > 0).unwrap_or(defaults.workers),
            image_scans_enabled: read("IMAGESCAN_ENABLED").as_deref() == Some("true"),
            ..defaults
        })
    }

    /// Name of the Lease.
    #[must_use]
    pub fn lease_name(&self) -> String {
        self.with_shard("fleet-gitops-leader-election-shard")
    }

    /// Name under which Events are reported.
    #[must_use]
    pub fn reporter(&self) -> String {
        self.with_shard("fleet-gitops")
    }

    fn with_shard(&self, name: &str) -> String {
        if self.shard_id.is_empty() { name.to_owned() } else { format!("{name}-{}", self.shard_id) }
    }
}
