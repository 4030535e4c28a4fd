//! What every reconciler holds: caches, queues, the way to the API server and the settings.
//!
//! Owns the handles only. Start at [`Context`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use runtime::clock::time_text;
use runtime::control_loop::{QueueConfig, QueueStats};
use runtime::events::Events;
use runtime::pace::Pace;
use runtime::{ObjectKey, Queue};

use crate::bundle::memory::Memory;
use crate::claims::Claims;
use crate::config::{ApiServer, ControllerConfig, HubConfig};
use crate::objects::Objects;
use crate::stores::{BY_REPO, Stores};
use crate::unserved::UnservedObject;

/// One queue per kind of work.
#[derive(Clone)]
pub struct Queues {
    /// Bundles.
    pub bundles: Queue<ObjectKey>,
    /// Clusters.
    pub clusters: Queue<ObjectKey>,
    /// ClusterGroups.
    pub groups: Queue<ObjectKey>,
    /// GitRepos, their summary only.
    pub git_repos: Queue<ObjectKey>,
    /// Contents: who still needs them.
    pub contents: Queue<ObjectKey>,
    /// ClusterRegistrationTokens.
    pub tokens: Queue<ObjectKey>,
    /// ClusterRegistrations.
    pub registrations: Queue<ObjectKey>,
    /// Things that may have lost their owner.
    pub orphans: Queue<Orphan>,
    /// Objects of kinds that are not served.
    pub unserved: Queue<UnservedObject>,
    /// What every hub has, whatever its users do.
    pub hub: Queue<()>,
}

/// Something whose owner may be gone; one pass per entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Orphan {
    /// A BundleDeployment.
    Deployment(ObjectKey),
    /// A cluster namespace.
    Namespace(String),
    /// Accounts, roles and Secrets of all registrations.
    Access,
    /// A Secret with an agent's credential.
    Credential(ObjectKey),
}

impl Queues {
    fn new(workers: usize) -> Self {
        let config = QueueConfig::concurrency;
        Self {
            bundles: Queue::new("bundle", config(workers)),
            clusters: Queue::new("cluster", config(workers)),
            groups: Queue::new("clustergroup", config(2)),
            git_repos: Queue::new("gitrepo-status", config(workers)),
            contents: Queue::new("content", config(2)),
            tokens: Queue::new("token", config(4)),
            registrations: Queue::new("registration", config(4)),
            orphans: Queue::new("orphan", config(4)),
            unserved: Queue::new("unserved", config(2)),
            hub: Queue::new("hub", config(1)),
        }
    }

    /// The name of each queue and its numbers.
    pub fn stats(&self) -> [(&'static str, QueueStats); 10] {
        [
            (self.bundles.name(), self.bundles.stats()),
            (self.clusters.name(), self.clusters.stats()),
            (self.groups.name(), self.groups.stats()),
            (self.git_repos.name(), self.git_repos.stats()),
            (self.contents.name(), self.contents.stats()),
            (self.tokens.name(), self.tokens.stats()),
            (self.registrations.name(), self.registrations.stats()),
            (self.orphans.name(), self.orphans.stats()),
            (self.unserved.name(), self.unserved.stats()),
            (self.hub.name(), self.hub.stats()),
        ]
    }
}

/// Delay of passes that add up many objects.
const SUMMARY_DELAY: Duration = Duration::from_millis(250);
/// All Clusters together write about this often: what a rollout to 200 of them costs is mostly their
/// statuses, each of which says a little more than the one before.
const WRITE_PER_CLUSTER: Duration = Duration::from_millis(20);
const MIN_CLUSTER_WINDOW: Duration = Duration::from_secs(1);
const MAX_CLUSTER_WINDOW: Duration = Duration::from_secs(10);
/// What each deployment of a GitRepo adds to the time between two of its summaries: they list them.
const REPO_WINDOW_PER_DEPLOYMENT: Duration = Duration::from_micros(500);
const MIN_REPO_WINDOW: Duration = Duration::from_millis(500);
const MAX_REPO_WINDOW: Duration = Duration::from_secs(5);

/// How often summaries are written while what they sum up keeps changing.
pub struct Paces {
    /// Clusters.
    pub clusters: Pace<ObjectKey>,
    /// GitRepos.
    pub git_repos: Pace<ObjectKey>,
}

impl Default for Paces {
    fn default() -> Self {
        Self { clusters: Pace::new(SUMMARY_DELAY), git_repos: Pace::new(SUMMARY_DELAY) }
    }
}

/// Time between two statuses of one Cluster among `count`.
fn cluster_window(count: usize) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    WRITE_PER_CLUSTER.saturating_mul(count).clamp(MIN_CLUSTER_WINDOW, MAX_CLUSTER_WINDOW)
}

/// Time between two summaries of a GitRepo with `count` deployments.
fn repo_window(count: usize) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    REPO_WINDOW_PER_DEPLOYMENT.saturating_mul(count).clamp(MIN_REPO_WINDOW, MAX_REPO_WINDOW)
}

/// What every reconciler holds; shared.
pub struct Context {
    /// The way to the API server.
    pub client: Client,
    /// Plain objects.
    pub objects: Objects,
    /// Local copies.
    pub stores: Stores,
    /// Work to do.
    pub queues: Queues,
    /// How often summaries are written.
    pub paces: Paces,
    /// Events.
    pub events: Events,
    /// What is remembered of each Bundle between passes.
    pub memory: Memory,
    /// Who counts on which Content.
    pub claims: Claims,
    /// What the process was started with.
    pub config: ControllerConfig,
    hub: RwLock<Arc<HubConfig>>,
    hub_version: AtomicU64,
}

impl Context {
    /// Starts the watches of a process.
    pub fn new(config: ControllerConfig, client: Client) -> Self {
        let events = Events::new(client.clone(), "fleet-controller", "", config.clock.clone());
        Self {
            objects: Objects::new(client.clone()),
            stores: Stores::start(&client, &config.system_namespace),
            queues: Queues::new(config.workers),
            paces: Paces::default(),
            events,
            memory: Memory::default(),
            claims: Claims::default(),
            hub: RwLock::default(),
            hub_version: AtomicU64::new(0),
            client,
            config,
        }
    }

    /// The settings of the ConfigMap.
    pub fn hub(&self) -> Arc<HubConfig> {
        Arc::clone(&self.hub.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes new settings; returns whether they differ.
    pub fn set_hub(&self, config: HubConfig) -> bool {
        let mut held = self.hub.write().unwrap_or_else(PoisonError::into_inner);
        let differs = **held != config;
        self.hub_version.fetch_add(u64::from(differs), Ordering::Relaxed);
        *held = Arc::new(config);
        differs
    }

    /// Which settings these are; another number, other settings.
    pub fn hub_version(&self) -> u64 {
        self.hub_version.load(Ordering::Relaxed)
    }

    /// Asks for a pass over a Cluster because something its status sums up changed.
    pub fn wake_cluster_summary(&self, key: ObjectKey) {
        let delay = self.paces.clusters.delay(&key, cluster_window(self.stores.clusters.len()));
        self.queues.clusters.add_after(key, delay);
    }

    /// Asks for a pass over a GitRepo because something its status sums up changed.
    pub fn wake_repo_summary(&self, key: ObjectKey) {
        let count = self.stores.deployments.count_index(BY_REPO, &key.to_string());
        let delay = self.paces.git_repos.delay(&key, repo_window(count));
        self.queues.git_repos.add_after(key, delay);
    }

    /// Where agents reach the hub.
    pub fn api_server(&self) -> ApiServer {
        self.hub().api_server(&self.config.api_server)
    }

    /// Where members reach the hub; empty while nobody said so.
    pub fn members_api_server(&self) -> ApiServer {
        let own = ApiServer::default();
        let fallback = if self.config.serves_members { &self.config.api_server } else { &own };
        self.hub().api_server(fallback)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    /// The time as text.
    pub fn now_text(&self) -> String {
        time_text(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_there_is_to_sum_up_the_rarer_it_is_told() {
        let seconds = |window: Duration| window.as_secs_f64();
        for (clusters, window) in [(1, 1.0), (50, 1.0), (200, 4.0), (10_000, 10.0)] {
            assert!((seconds(cluster_window(clusters)) - window).abs() < 1e-9, "{clusters}");
        }
        for (deployments, window) in [(2, 0.5), (2_000, 1.0), (1_000_000, 5.0)] {
            assert!((seconds(repo_window(deployments)) - window).abs() < 1e-9, "{deployments}");
        }
    }
}
