//! What a gitjob process is told from outside.
//!
//! Owns environment variables and defaults. Start at [`GitjobConfig::from_env`].

use std::path::PathBuf;
use std::time::Duration;

use runtime::Clock;
use runtime::http_server::{BindAddress, ServeError};
use runtime::lease::{LeaseError, LeaseTiming};

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
    /// GitRepos worked on at the same time.
    pub workers: usize,
    /// Limit of one listing of refs.
    pub git_timeout: Duration,
    /// Bounds of fetches.
    pub fetch: FetchLimits,
    /// Folder for fetched objects; emptied at start.
    pub work_dir: PathBuf,
    /// Accept `imageScans` in `fleet.yaml`.
    pub image_scans_enabled: bool,
    /// The time.
    pub clock: Clock,
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
            workers: 16,
            git_timeout: Duration::from_secs(30),
            fetch: FetchLimits::default(),
            work_dir: std::env::temp_dir().join(format!("fleet-gitjob-{}", std::process::id())),
            image_scans_enabled: false,
            clock: Clock::system(),
        }
    }
}

impl GitjobConfig {
    /// Reads the variables that the chart sets (`NAMESPACE`, `CATTLE_ELECTION_*`,
    /// `GITOPS_METRICS_BIND_ADDRESS`, `GITREPO_RECONCILER_WORKERS`,
    /// `FLEET_ALLOW_UNSIGNED_WEBHOOKS`, `IMAGESCAN_ENABLED`). `listen` is the flag of that name.
    ///
    /// # Errors
    /// When a mandatory variable is missing or one is malformed.
    pub fn from_env(listen: &str, leader_elect: bool) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let is_true = |name: &str| read(name).is_some_and(|value| value == "true");
        let workers = read("GITREPO_RECONCILER_WORKERS").and_then(|text| text.parse().ok());
        let identity = read("POD_NAME").or_else(|| read("HOSTNAME"));
        Ok(Self {
            system_namespace: read("NAMESPACE").unwrap_or(defaults.system_namespace),
            lease: leader_elect.then(|| LeaseTiming::from_env("CATTLE_ELECTION")).transpose()?,
            identity: identity.unwrap_or(defaults.identity),
            listen: listen.parse()?,
            metrics_address: BindAddress::from_env("GITOPS_METRICS_BIND_ADDRESS", ":8081")?,
            allow_unsigned_webhooks: is_true("FLEET_ALLOW_UNSIGNED_WEBHOOKS"),
            workers: workers.filter(|count| *count > 0).unwrap_or(defaults.workers),
            image_scans_enabled: is_true("IMAGESCAN_ENABLED"),
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
