//! A whole fleet in one thread: API servers, the real processes, and the network between them.
//!
//! Owns their lives and the passing of virtual time. Knows nothing of what is deployed or checked.
//! Start at [`World::start`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_format::api::{crds, labels};
use hub::Hub;
use kube::Client;
use runtime::objects::{self, core, fleet};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;
use crate::faults::Faults;
use crate::git::Repositories;
use crate::wire::{Life, Network, WireConnect};

/// Where GitRepos and Clusters are.
pub(crate) const WORKSPACE: &str = labels::DEFAULT_NAMESPACE;
const SYSTEM: &str = labels::SYSTEM_NAMESPACE;
/// When every simulation begins.
const ORIGIN: &str = "2026-03-01T00:00:00Z";
/// A simulated workload becomes ready after this.
const READY_AFTER: Duration = Duration::from_millis(300);
/// What a pod that died needs to come back, at least.
const RESTART: Duration = Duration::from_secs(2);

/// Everything of one run.
pub(crate) struct World {
    pub(crate) network: Arc<Network>,
    pub(crate) repositories: Arc<Repositories>,
    /// `hub`, and members by name.
    pub(crate) clusters: BTreeMap<String, Hub>,
    pub(crate) hub: Client,
    pub(crate) chance: Chance,
    person: Arc<Life>,
    processes: BTreeMap<String, Process>,
    deaths: mpsc::UnboundedReceiver<String>,
    /// Who is started again, and when.
    restarts: Vec<(Instant, String)>,
    registration: Value,
    folder: tempfile::TempDir,
    /// `None` in real time, for figures.
    clock: Option<runtime::world::Simulation>,
    seed: u64,
}

struct Process {
    life: Arc<Life>,
    task: JoinHandle<()>,
    /// Why it ended by itself.
    ended: Arc<Mutex<Option<String>>>,
}

impl World {
    /// Starts a hub with controller and gitjob under virtual time. Members come with [`World::join`].
    pub(crate) async fn start(seed: u64) -> Result<Self> {
        let clock = runtime::world::simulate(seed, ORIGIN.parse()?);
        Self::begin(seed, Some(clock), Faults::new(Chance::of(seed, "faults"))).await
    }

    /// [`World::start`] in real time, on a network that costs nothing and notes nothing.
    pub(crate) async fn start_real() -> Result<Self> {
        Self::begin(1, None, Faults::instant()).await
    }

    async fn begin(
        seed: u64,
        clock: Option<runtime::world::Simulation>,
        faults: Faults,
    ) -> Result<Self> {
        let (sender, deaths) = mpsc::unbounded_channel();
        let network = Network::new(faults, sender);
        let person = Life::new("person");
        let mut world = Self {
            repositories: Arc::default(),
            clusters: BTreeMap::new(),
            hub: network.client(&person, "hub", None),
            chance: Chance::of(seed, "world"),
            person,
            processes: BTreeMap::new(),
            deaths,
            restarts: Vec::new(),
            registration: Value::Null,
            folder: tempfile::Builder::new().prefix("fleet-sim-").tempdir()?,
            clock,
            network,
            seed,
        };
        world.add_cluster("hub", None)?;
        world.install_hub().await?;
        world.start_process("controller");
        world.start_process("gitjob");
        world.registration = world.registration_values().await?;
        Ok(world)
    }

    fn add_cluster(&mut self, name: &str, simulation: Option<hub::Simulation>) -> Result<()> {
        let clock: hub::Clock = Arc::new(runtime::world::now);
        let options = hub::Options {
            seed: Some(Chance::of(self.seed, name).next()),
            clock: self.clock.is_some().then_some(clock),
            history_count: 2_000,
            simulation,
            ..hub::Options::default()
        };
        let hub = Hub::open(&options)?;
        self.network.add_server(name, &hub);
        self.clusters.insert(name.to_owned(), hub);
        Ok(())
    }

    async fn install_hub(&self) -> Result<()> {
        let hub = &self.hub;
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for crd in crds::definitions() {
            objects::ensure(hub, definitions, &serde_json::to_value(&crd)?).await?;
        }
        for name in [SYSTEM, WORKSPACE] {
            objects::ensure(hub, "/api/v1/namespaces", &namespace(name)).await?;
        }
        let config = json!({
            "apiServerURL": "http://hub", "agentCheckinInterval": "5m", "agentTLSMode": "strict",
            "bootstrap": {"namespace": "-"}, "manageAgent": false,
        });
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": labels::CONTROLLER_CONFIG_NAME, "namespace": SYSTEM},
            "data": {labels::CONFIG_KEY: config.to_string()}});
        Ok(objects::ensure(hub, &core(SYSTEM, "configmaps"), &map).await?)
    }

    async fn registration_values(&mut self) -> Result<Value> {
        let token = json!({"apiVersion": labels::API_VERSION, "kind": "ClusterRegistrationToken",
            "metadata": {"name": "sim", "namespace": WORKSPACE}, "spec": {"ttl": "240h"}});
        objects::ensure(&self.hub, &fleet(WORKSPACE, "clusterregistrationtokens"), &token).await?;
        let secrets = core(WORKSPACE, "secrets");
        for _ in 0..600 {
            let secret = objects::get(&self.hub, &format!("{secrets}/sim")).await?;
            let values = secret.as_ref().and_then(|s| s["data"][labels::VALUES_KEY].as_str());
            if let Some(values) = values {
                let text = STANDARD.decode(values)?;
                return Ok(goyaml::from_str(&String::from_utf8_lossy(&text))?);
            }
            self.pass(Duration::from_millis(100)).await?;
        }
        bail!("the controller made no values for the registration token")
    }

    /// Adds a member with its agent. Its Cluster takes the member's name.
    pub(crate) async fn join(&mut self, name: &str, cluster_labels: &Value) -> Result<()> {
        let cluster = json!({"apiVersion": labels::API_VERSION, "kind": "Cluster",
            "metadata": {"name": name, "namespace": WORKSPACE, "labels": cluster_labels},
            "spec": {"clientID": name}});
        objects::ensure(&self.hub, &fleet(WORKSPACE, "clusters"), &cluster).await?;
        if !self.clusters.contains_key(name) {
            self.add_cluster(name, Some(hub::Simulation { ready_after: READY_AFTER }))?;
        }
        self.install_agent(name, cluster_labels).await?;
        self.start_process(&format!("agent/{name}"));
        Ok(())
    }

    /// A person on a member.
    pub(crate) fn member(&self, name: &str) -> Client {
        self.network.client(&self.person, name, None)
    }

    async fn install_agent(&self, name: &str, cluster_labels: &Value) -> Result<()> {
        let member = self.member(name);
        objects::ensure(&member, "/api/v1/namespaces", &namespace(SYSTEM)).await?;
        let fields = [
            "systemRegistrationNamespace",
            "clusterNamespace",
            "token",
            "tokenName",
            "apiServerURL",
        ];
        let data: Value = fields
            .iter()
            .map(|field| {
                let text = self.registration[*field].as_str().unwrap_or_default();
                ((*field).to_owned(), Value::from(STANDARD.encode(text)))
            })
            .collect();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": data,
            "metadata": {"name": labels::AGENT_BOOTSTRAP_NAME, "namespace": SYSTEM}});
        objects::ensure(&member, &core(SYSTEM, "secrets"), &secret).await?;
        let config = json!({"agentTLSMode": "strict", "labels": cluster_labels, "clientID": name});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": labels::AGENT_NAME, "namespace": SYSTEM},
            "data": {labels::CONFIG_KEY: config.to_string()}});
        Ok(objects::ensure(&member, &core(SYSTEM, "configmaps"), &map).await?)
    }

    fn start_process(&mut self, name: &str) {
        let life = Life::new(name);
        if let Some(old) = self.processes.get(name) {
            old.life.end();
            old.task.abort();
        }
        self.network.note(&format!("-- {name} starts"));
        let ended = Arc::new(Mutex::new(None));
        let run = self.process(name, &life);
        let told = Arc::clone(&ended);
        let task = tokio::spawn(async move {
            let reason = run.await.err().unwrap_or_else(|| "it returned".to_owned());
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        });
        self.processes.insert(name.to_owned(), Process { life, task, ended });
    }

    fn process(
        &self,
        name: &str,
        life: &Arc<Life>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
        let stop = CancellationToken::new();
        let client = |server: &str| self.network.client(life, server, None);
        match name.split_once('/') {
            Some((_, member)) => {
                let connect =
                    WireConnect { network: Arc::clone(&self.network), life: Arc::clone(life) };
                let config = agent::config::AgentConfig {
                    checkin_interval: Duration::from_secs(300),
                    connect: Arc::new(connect),
                    ..agent::config::AgentConfig::embedded(SYSTEM)
                };
                let run = agent::run(config, client(member), stop);
                Box::pin(
                    async move { run.await.map_err(|error| bundle_format::error::chain(&error)) },
                )
            }
            None if name == "controller" => {
                let config = controller::ControllerConfig::in_process(SYSTEM);
                let run = controller::run(config, client("hub"), stop);
                Box::pin(
                    async move { run.await.map_err(|error| bundle_format::error::chain(&error)) },
                )
            }
            None => {
                let config = gitjob::GitjobConfig {
                    work_dir: self.folder.path().join("git"),
                    source: Some(self.repositories.clone()),
                    ..gitjob::GitjobConfig::default()
                };
                let run = gitjob::run(config, client("hub"), stop);
                Box::pin(
                    async move { run.await.map_err(|error| bundle_format::error::chain(&error)) },
                )
            }
        }
    }

    /// Names of the processes.
    pub(crate) fn process_names(&self) -> Vec<String> {
        self.processes.keys().cloned().collect()
    }

    /// Kills a process; it comes back after a while.
    pub(crate) fn kill(&mut self, name: &str) {
        if let Some(process) = self.processes.get(name).filter(|process| !process.life.is_dead()) {
            self.network.note(&format!("-- {name} is killed"));
            process.life.end();
            self.bury(name);
        }
    }

    fn bury(&mut self, name: &str) {
        // Whoever is dead cannot die again, and must not come back twice.
        if self.restarts.iter().any(|(_, waiting)| waiting == name) {
            return;
        }
        if let Some(process) = self.processes.get(name) {
            process.task.abort();
            let delay = self.chance.millis(0, 30_000);
            self.restarts.push((Instant::now() + RESTART + delay, name.to_owned()));
        }
    }

    /// Ends a member's agent for good, as who takes a cluster away does.
    pub(crate) fn retire(&mut self, member: &str) {
        let name = format!("agent/{member}");
        if let Some(process) = self.processes.remove(&name) {
            self.network.note(&format!("-- {name} is retired"));
            process.life.end();
            process.task.abort();
        }
        self.restarts.retain(|(_, waiting)| *waiting != name);
    }

    /// Lets virtual time pass, and brings the dead back.
    pub(crate) async fn pass(&mut self, time: Duration) -> Result<()> {
        sleep(time).await;
        while let Ok(name) = self.deaths.try_recv() {
            self.bury(&name);
        }
        let now = Instant::now();
        let due: Vec<String> =
            self.restarts.iter().filter(|(at, _)| *at <= now).map(|(_, n)| n.clone()).collect();
        self.restarts.retain(|(at, _)| *at > now);
        for name in due {
            self.start_process(&name);
        }
        self.revive_ended()
    }

    /// An agent may give up (its pod starts anew); the others never do.
    fn revive_ended(&mut self) -> Result<()> {
        let mut ended = Vec::new();
        for (name, process) in &self.processes {
            let reason = process.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(reason) = reason {
                ended.push((name.clone(), reason));
            }
        }
        for (name, reason) in ended {
            self.network.note(&format!("-- {name} ended: {reason}"));
            if !name.starts_with("agent/") {
                bail!("{name} ended by itself: {reason}");
            }
            self.bury(&name);
        }
        Ok(())
    }

    /// Number of Clusters whose agent was seen.
    pub(crate) async fn seen_count(&self) -> Result<usize> {
        let clusters = objects::get(&self.hub, &fleet(WORKSPACE, "clusters")).await?;
        let clusters = clusters.unwrap_or_default();
        let all = clusters["items"].as_array().into_iter().flatten();
        Ok(all.filter(|cluster| !cluster["status"]["agent"]["lastSeen"].is_null()).count())
    }

    /// Waits until the hub's store has not changed for a second.
    pub(crate) async fn idle(&mut self) -> Result<()> {
        let mut last = (self.clusters["hub"].revision(), Instant::now());
        while last.1.elapsed() < Duration::from_secs(1) {
            self.pass(Duration::from_millis(50)).await?;
            let revision = self.clusters["hub"].revision();
            if revision != last.0 {
                last = (revision, Instant::now());
            }
        }
        Ok(())
    }

    /// Moves all wall clocks.
    pub(crate) fn jump(&self, seconds: i64) {
        self.network.note(&format!("-- clocks jump by {seconds} s"));
        if let Some(clock) = &self.clock {
            clock.jump(jiff::SignedDuration::from_secs(seconds));
        }
    }
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}
