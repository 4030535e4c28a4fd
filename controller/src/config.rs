//! What the hub is told: by its environment once, by ConfigMap `fleet-controller` at any time.
//!
//! Owns both and their defaults. Knows nothing of reconcilers. Start at [`ControllerConfig`] and
//! [`HubConfig`].

use std::time::Duration;

use base64::Engine as _;
use bundle_format::api::{GoDuration, labels};
use runtime::Clock;
use runtime::http_server::{BindAddress, ServeError};
use runtime::lease::LeaseTiming;
use serde::Deserialize;
use serde_json::Value;

/// What a process is started with.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// Namespace of the hub's processes.
    pub system_namespace: String,
    /// Shard this process serves; empty serves the objects without a shard.
    pub shard_id: String,
    /// Durations of the leader election; `None` leads at once (one process, tests).
    pub lease: Option<LeaseTiming>,
    /// Creates the local Cluster, unless the ConfigMap says otherwise.
    pub bootstrap: bool,
    /// Where the hub is reached when the ConfigMap names no address.
    pub api_server: ApiServer,
    /// Whether members reach that address too; a pod's view of its own cluster is none of theirs.
    pub serves_members: bool,
    /// Passes at the same time, per kind.
    pub workers: usize,
    /// Deletes registration tokens that never expire.
    pub token_ttl_required: bool,
    /// Environment of the agents the hub installs.
    pub agent: AgentProcess,
    /// Where metrics are served.
    pub metrics_address: BindAddress,
    /// Where probes are answered.
    pub health_address: BindAddress,
    /// The time.
    pub clock: Clock,
}

/// Address and CA of an API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiServer {
    /// `https://host:port`.
    pub url: String,
    /// CA certificates, PEM.
    pub ca: String,
}

/// What the environment says about the agents the hub installs.
#[derive(Clone, Debug)]
pub struct AgentProcess {
    /// `FLEET_AGENT_ELECTION_*`, as written.
    pub election: [String; 3],
    /// `FLEET_AGENT_REPLICA_COUNT`.
    pub replicas: u32,
    /// Leaves security contexts out, for debugging.
    pub disable_security_context: bool,
    /// Passes `--debug --debug-level` on.
    pub debug_level: Option<u8>,
}

impl Default for AgentProcess {
    fn default() -> Self {
        Self {
            election: ["30s", "25s", "10s"].map(str::to_owned),
            replicas: 1,
            disable_security_context: false,
            debug_level: None,
        }
    }
}

/// The environment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A bind address is wrong.
    #[error(transparent)]
    Bind(#[from] ServeError),
}

impl ControllerConfig {
    /// For tests and `fleet up`: leads at once, serves no metrics.
    pub fn in_process(system_namespace: &str) -> Self {
        Self {
            system_namespace: system_namespace.to_owned(),
            shard_id: String::new(),
            lease: None,
            bootstrap: true,
            api_server: ApiServer::default(),
            serves_members: true,
            workers: 8,
            token_ttl_required: false,
            agent: AgentProcess::default(),
            metrics_address: BindAddress::Off,
            health_address: BindAddress::Off,
            clock: Clock::system(),
        }
    }

    /// From the environment of `fleet controller`; without an election, whose durations are flags.
    ///
    /// # Errors
    /// When an address is none.
    pub fn from_env() -> Result<Self, ConfigError> {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let agent_election = |name: &str, default: &str| {
            text(&format!("FLEET_AGENT_ELECTION_{name}")).unwrap_or_else(|| default.to_owned())
        };
        let debug = text("FLEET_PROPAGATE_DEBUG_SETTINGS_TO_AGENTS").as_deref() == Some("true")
            && text("CATTLE_DEV_MODE").is_some();
        let workers = text("BUNDLE_RECONCILER_WORKERS").and_then(|count| count.parse().ok());
        Ok(Self {
            system_namespace: text("NAMESPACE").unwrap_or(labels::SYSTEM_NAMESPACE.to_owned()),
            shard_id: String::new(),
            lease: None,
            bootstrap: true,
            api_server: ApiServer::default(),
            serves_members: false,
            // More than this only costs memory: passes wait for the API server, not for us.
            workers: workers.unwrap_or(8_usize).clamp(1, 64),
            token_ttl_required: text("FLEET_REGISTRATION_TOKEN_TTL_REQUIRED").as_deref()
                == Some("true"),
            agent: AgentProcess {
                election: [
                    agent_election("LEASE_DURATION", "30s"),
                    agent_election("RENEW_DEADLINE", "25s"),
                    agent_election("RETRY_PERIOD", "10s"),
                ],
                replicas: text("FLEET_AGENT_REPLICA_COUNT")
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(1),
                disable_security_context: text("FLEET_DEBUG_DISABLE_SECURITY_CONTEXT").as_deref()
                    == Some("true"),
                debug_level: debug.then_some(1),
            },
            metrics_address: BindAddress::from_env("FLEET_METRICS_BIND_ADDRESS", ":8080")?,
            health_address: BindAddress::from_env("FLEET_HEALTHPROBE_BIND_ADDRESS", ":8081")?,
            clock: Clock::system(),
        })
    }

    /// The namespace of credential Secrets.
    pub fn registration_namespace(&self) -> String {
        labels::registration_namespace(&self.system_namespace)
    }
}

/// The members of key `config` of ConfigMap `fleet-controller` that this process reads.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HubConfig {
    /// Image of the agents.
    pub agent_image: String,
    /// Pull policy of the agents.
    pub agent_image_pull_policy: String,
    /// Prefix of images.
    pub system_default_registry: String,
    /// Where agents reach the hub.
    #[serde(rename = "apiServerURL")]
    pub api_server_url: String,
    /// CA of that address: PEM, in base64.
    #[serde(rename = "apiServerCA")]
    pub api_server_ca: String,
    /// Heartbeat of agents, as written.
    pub agent_checkin_interval: Value,
    /// `system-store` or `strict`.
    #[serde(rename = "agentTLSMode")]
    pub agent_tls_mode: String,
    /// Concurrency of agents.
    pub agent_workers: AgentWorkers,
    /// Clean-up interval of agents, as written.
    pub garbage_collection_interval: Value,
    /// Names of the pull Secrets for agents.
    pub image_pull_secrets: Vec<PullSecret>,
    /// Passes over the labels agents ask for.
    pub ignore_cluster_registration_labels: bool,
    /// The local Cluster.
    pub bootstrap: Bootstrap,
    /// `false` leaves agents to somebody else.
    pub manage_agent: Option<bool>,
}

/// Concurrency of agents, as text or number.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AgentWorkers {
    /// BundleDeployments at the same time.
    pub bundledeployment: Value,
    /// Drift checks at the same time.
    pub drift: Value,
}

/// Name of a pull Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PullSecret {
    /// Name, in the system namespace.
    pub name: String,
}

/// The local Cluster and its first GitRepo.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bootstrap {
    /// Namespace of Cluster `local`; `-` or empty switches the bootstrap off.
    pub namespace: String,
    /// Namespace of its agent.
    pub agent_namespace: String,
    /// Labels of the Cluster.
    pub cluster_labels: Option<std::collections::BTreeMap<String, String>>,
    /// No agent for it.
    pub local_agent_disabled: bool,
    /// Repository of GitRepo `bootstrap`; none when empty.
    pub repo: String,
    /// Its credentials.
    pub secret: String,
    /// Its branch.
    pub branch: String,
    /// Its paths, separated by commas.
    pub paths: String,
}

/// Key `config` is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("key config of ConfigMap fleet-controller is not valid: {detail}")]
pub struct HubConfigError {
    detail: String,
}

impl HubConfig {
    /// Reads key `config` of the ConfigMap.
    ///
    /// # Errors
    /// When it is not JSON or a member has another type.
    pub fn parse(text: &str) -> Result<Self, HubConfigError> {
        serde_json::from_str(text).map_err(|error| HubConfigError { detail: error.to_string() })
    }

    /// Time between two heartbeats of an agent: 15 min unless set.
    pub fn checkin_interval(&self) -> Duration {
        duration(&self.agent_checkin_interval).unwrap_or(Duration::from_secs(15 * 60))
    }

    /// Time between two clean-ups of an agent: 15 min unless set.
    pub fn gc_interval(&self) -> Duration {
        duration(&self.garbage_collection_interval).unwrap_or(Duration::from_secs(15 * 60))
    }

    /// Time after the last heartbeat from which on an agent counts as gone: three heartbeats.
    pub fn offline_after(&self) -> Duration {
        self.checkin_interval() * 3
    }

    /// The TLS mode of agents.
    pub fn tls_mode(&self) -> &str {
        if self.agent_tls_mode.is_empty() { "system-store" } else { &self.agent_tls_mode }
    }

    /// The namespace of the local Cluster, unless the bootstrap is switched off.
    pub fn bootstrap_namespace(&self) -> Option<&str> {
        Some(self.bootstrap.namespace.as_str()).filter(|name| !matches!(*name, "" | "-"))
    }

    /// Where agents reach the hub: what the ConfigMap says, else `fallback`.
    pub fn api_server(&self, fallback: &ApiServer) -> ApiServer {
        let ca = base64::engine::general_purpose::STANDARD
            .decode(self.api_server_ca.trim())
            .ok()
            .and_then(|pem| String::from_utf8(pem).ok())
            .unwrap_or_default();
        match (self.api_server_url.is_empty(), ca.is_empty()) {
            (true, true) => fallback.clone(),
            (true, false) => ApiServer { url: fallback.url.clone(), ca },
            (false, _) => ApiServer { url: self.api_server_url.clone(), ca },
        }
    }
}

/// A Go duration as text; everything else, and zero, leaves the default.
fn duration(value: &Value) -> Option<Duration> {
    GoDuration(value.as_str()?.to_owned()).positive()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The text of a ConfigMap as the chart of Rancher Fleet 0.16 writes it.
    const OBSERVED: &str = r#"{
      "systemDefaultRegistry": "", "agentImage": "example/fleet:dev",
      "agentImagePullPolicy": "IfNotPresent", "apiServerURL": "https://127.0.0.1:16443",
      "apiServerCA": "UEVN", "agentCheckinInterval": "15m", "agentTLSMode": "strict",
      "agentWorkers": { "bundledeployment": "50", "drift": "50" },
      "garbageCollectionInterval": "15m", "ignoreClusterRegistrationLabels": false,
      "bootstrap": { "paths": "", "repo": "", "secret": "", "clusterLabels": {},
        "branch": "master", "namespace": "fleet-local", "agentNamespace": "",
        "localAgentDisabled": false },
      "webhookReceiverURL": "", "githubURLPrefix": "", "gitClientTimeout": "30s" }"#;

    #[test]
    fn the_charts_config_is_read() {
        let config = HubConfig::parse(OBSERVED).unwrap();
        assert_eq!(config.bootstrap_namespace(), Some("fleet-local"));
        assert_eq!(config.offline_after(), Duration::from_secs(45 * 60));
        let server = config.api_server(&ApiServer::default());
        assert_eq!(server, ApiServer { url: "https://127.0.0.1:16443".into(), ca: "PEM".into() });
    }

    #[test]
    fn intervals_that_are_none_leave_the_default() {
        for text in [r#"{"agentCheckinInterval": 0}"#, r#"{"agentCheckinInterval": "1d"}"#, "{}"] {
            let config = HubConfig::parse(text).unwrap();
            assert_eq!(config.checkin_interval(), Duration::from_secs(15 * 60), "{text}");
        }
    }
}
