//! How the agent is set up: by its environment, and by the ConfigMap that its chart writes.
//!
//! Owns names and defaults of both. Must not know what the settings do. Start at [`AgentConfig::from_env`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::labels::{AGENT_NAME, CONFIG_KEY, SYSTEM_NAMESPACE};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use runtime::client::{Connect, Network};
use runtime::http_server::{BindAddress, ServeError};
use runtime::lease::{LeaseError, LeaseTiming, go_duration};
use runtime::{ApiError, Classify, ErrorClass};
use serde::Deserialize;

const CHECKIN_INTERVAL: Duration = Duration::from_secs(15 * 60);
const COLLECTION_INTERVAL: Duration = Duration::from_secs(15 * 60);
const WORKERS: usize = 50;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The election durations are missing or wrong.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// A listen address is wrong.
    #[error(transparent)]
    Address(#[from] ServeError),
    /// A variable does not hold what it should.
    #[error("environment variable {name}: {value:?} is not {wanted}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The ConfigMap could not be read.
    #[error(transparent)]
    Read(#[from] ApiError),
    /// The ConfigMap does not hold what it should.
    #[error("key config of ConfigMap {namespace}/{AGENT_NAME}: {reason}")]
    ConfigMap {
        /// Namespace of the agent.
        namespace: String,
        /// What is wrong.
        reason: String,
    },
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            _ => ErrorClass::User,
        }
    }
}

/// Settings of the process.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Namespace of the agent.
    pub namespace: String,
    /// Scope, when several agents share a cluster; empty otherwise.
    pub scope: String,
    /// Name of the pod.
    pub instance: String,
    /// Time between two heartbeats.
    pub checkin_interval: Duration,
    /// Bundle deployments worked on at the same time.
    pub workers_count: usize,
    /// Leader election; `None` when nobody else can be there (one process for everything).
    pub lease: Option<LeaseTiming>,
    /// Where metrics are served.
    pub metrics_address: BindAddress,
    /// Where probes are answered.
    pub probe_address: BindAddress,
    /// How the hub is reached.
    pub connect: Arc<dyn Connect>,
}

impl AgentConfig {
    /// Reads the environment; names and defaults are those of Fleet 0.16.
    pub fn from_env() -> Result<Self, Error> {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let checkin = match text("CHECKIN_INTERVAL") {
            None => CHECKIN_INTERVAL,
            Some(value) => go_duration(value.trim()).ok_or(Error::Variable {
                name: "CHECKIN_INTERVAL",
                value,
                wanted: "a duration such as 15m",
            })?,
        };
        let workers_count = match text("BUNDLEDEPLOYMENT_RECONCILER_WORKERS") {
            None => WORKERS,
            Some(value) => value.trim().parse().map_err(|_| Error::Variable {
                name: "BUNDLEDEPLOYMENT_RECONCILER_WORKERS",
                value,
                wanted: "a number",
            })?,
        };
        Ok(Self {
            namespace: text("NAMESPACE").unwrap_or_else(|| SYSTEM_NAMESPACE.to_owned()),
            scope: text("AGENT_SCOPE").unwrap_or_default(),
            instance: text("POD_NAME")
                .or_else(|| text("HOSTNAME"))
                .unwrap_or_else(|| AGENT_NAME.to_owned()),
            checkin_interval: if checkin.is_zero() { CHECKIN_INTERVAL } else { checkin },
            workers_count,
            lease: Some(LeaseTiming::from_env("CATTLE_ELECTION")?),
            metrics_address: BindAddress::from_env("FLEET_AGENT_METRICS_BIND_ADDRESS", ":8080")?,
            probe_address: BindAddress::from_env("FLEET_AGENT_PROBE_BIND_ADDRESS", ":8081")?,
            connect: Arc::new(Network),
        })
    }

    /// Settings for an agent that runs inside another process: no election, no listeners.
    #[must_use]
    pub fn embedded(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            scope: String::new(),
            instance: AGENT_NAME.to_owned(),
            checkin_interval: CHECKIN_INTERVAL,
            workers_count: WORKERS,
            lease: None,
            metrics_address: BindAddress::Off,
            probe_address: BindAddress::Off,
            connect: Arc::new(Network),
        }
    }
}

/// How the agent trusts the hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum TlsMode {
    /// The system's certificates when they will do, else the configured one.
    #[default]
    #[serde(rename = "system-store")]
    SystemStore,
    /// The configured certificate only.
    #[serde(rename = "strict")]
    Strict,
}

/// Settings of the cluster, from ConfigMap `fleet-agent`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterConfig {
    /// Labels asked for the Cluster.
    pub labels: Option<BTreeMap<String, String>>,
    /// Identity of the cluster; the uid of namespace `kube-system` when empty.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// How the hub is trusted.
    #[serde(rename = "agentTLSMode")]
    pub agent_tls_mode: Option<TlsMode>,
    /// Time between two searches for releases that nobody wants any more, as a Go duration.
    pub garbage_collection_interval: Option<String>,
}

impl ClusterConfig {
    /// Reads the ConfigMap; everything has a default when it is missing.
    pub async fn fetch(member: &Client, namespace: &str) -> Result<Self, Error> {
        let maps: Api<ConfigMap> = Api::namespaced(member.clone(), namespace);
        let found = maps.get_opt(AGENT_NAME).await;
        let found = found.map_err(|error| {
            ApiError::new(format!("read ConfigMap {namespace}/{AGENT_NAME}"), error)
        })?;
        let Some(text) = found.and_then(|map| map.data?.remove(CONFIG_KEY)) else {
            return Ok(Self::default());
        };
        let fail = |reason: String| Error::ConfigMap { namespace: namespace.to_owned(), reason };
        let value = goyaml::from_str(&text).map_err(|error| fail(error.to_string()))?;
        if value.is_null() {
            return Ok(Self::default());
        }
        serde_json::from_value(value).map_err(|error| fail(error.to_string()))
    }

    /// Time between two searches for releases that nobody wants any more.
    #[must_use]
    pub fn collection_interval(&self) -> Duration {
        let configured = self.garbage_collection_interval.as_deref().and_then(go_duration);
        configured.filter(|interval| !interval.is_zero()).unwrap_or(COLLECTION_INTERVAL)
    }
}
