//! What every reconciler holds: caches, queues, the way to the API server and the settings.
//!
//! Owns the handles only. Start at [`Context`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use kube::Client;
use runtime::clock::time_text;
use runtime::control_loop::QueueConfig;
use runtime::events::Events;
use runtime::{ObjectKey, Queue};

use crate::bundle::memory::Memory;
use crate::config::{ApiServer, ControllerConfig, HubConfig};
use crate::objects::Objects;
use crate::stores::Stores;

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
            hub: Queue::new("hub", config(1)),
        }
    }
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
    /// Events.
    pub events: Events,
    /// What is remembered of each Bundle between passes.
    pub memory: Memory,
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
            events,
            memory: Memory::default(),
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
