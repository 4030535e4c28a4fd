//! BundleDeployments to objects in the cluster.
//!
//! Owns the agent of a member cluster: registration, heartbeat, and for each BundleDeployment the way from its
//! content to running objects and back to its status. Meets the hub only through API objects. Start at [`run`];
//! for one deployment at [`bundle_deployment::Reconciler::reconcile`].

pub mod bundle_deployment;
pub mod config;
pub mod content;
pub mod deploy;
pub mod heartbeat;
pub mod live;
pub mod memory;
pub mod monitor;
pub mod namespace;
pub mod plan;
pub mod register;
pub mod release;
pub mod status;
pub mod uninstall;
pub mod values;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bundle_format::api::BundleDeployment;
use bundle_format::api::labels::AGENT_NAME;
use kube::Client;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use runtime::backoff::Jitter;
use runtime::cache::CacheBuilder;
use runtime::control_loop::QueueConfig;
use runtime::events::Events;
use runtime::http_server::ServeError;
use runtime::lease::{LeaseConfig, lead};
use runtime::metrics::{Health, Metrics};
use runtime::{ApiError, Cache, Change, Classify, Clock, ErrorClass, Queue, chain};
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::bundle_deployment::Reconciler;
use crate::config::{AgentConfig, ClusterConfig};
use crate::content::Contents;
use crate::deploy::{Deployer, RENDERS_MAX};
use crate::heartbeat::{Pulse, run_heartbeat};
use crate::live::member::Member;
use crate::live::recent::Recent;
use crate::live::releases::find_owned;
use crate::live::watch::{OnChange, Watches};
use crate::memory::Memory;
use crate::plan::ObjectKey;
use crate::register::{Identity, register};

/// An unreachable hub is asked again after this.
const REGISTER_RETRY: Duration = Duration::from_secs(60);
const FIRST_REGISTER_RETRY: Duration = Duration::from_secs(2);
/// A new kind is served shortly after its definition was written.
const KIND_DELAY: Duration = Duration::from_millis(500);

/// Why the agent ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not register, and waiting will not help.
    #[error("failed to register with upstream cluster")]
    Register(#[from] register::Error),
    /// The hub keeps refusing its credential.
    #[error("the hub refuses the credential of this agent")]
    Refused(#[source] ApiError),
    /// Its settings cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// It cannot listen where it should.
    #[error(transparent)]
    Listen(#[from] ServeError),
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Register(error) => error.class(),
            Self::Config(error) => error.class(),
            Self::Refused(_) | Self::Listen(_) => ErrorClass::User,
        }
    }
}

/// Runs the agent until `shutdown`: leads, registers if need be, deploys.
///
/// Returns an error only for what a person must repair; the process should then end with it, so that the pod shows
/// the failure.
pub async fn run(
    config: AgentConfig,
    member: Client,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let (metrics, health) = (Metrics::new(), Health::new());
    let addresses = (&config.metrics_address, &config.probe_address);
    runtime::metrics::serve((addresses.0, metrics), (addresses.1, health.clone()), &shutdown)
        .await?;
    health.set_ready(true);
    let Some(timing) = config.lease else { return run_leading(&config, &member, shutdown).await };
    let lease = LeaseConfig {
        namespace: config.namespace.clone(),
        name: AGENT_NAME.to_owned(),
        identity: runtime::lease::identity(),
        timing,
    };
    let outcome: Mutex<Result<(), Error>> = Mutex::new(Ok(()));
    lead(member.clone(), lease, Clock::system(), shutdown, |term| {
        let (config, member, outcome) = (&config, &member, &outcome);
        async move {
            let result = run_leading(config, member, term).await;
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = result;
        }
    })
    .await;
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}

async fn run_leading(
    config: &AgentConfig,
    member: &Client,
    term: CancellationToken,
) -> Result<(), Error> {
    while !term.is_cancelled() {
        let registered = tokio::select! {
            biased;
            () = term.cancelled() => return Ok(()),
            identity = register_patiently(config, member) => identity?,
        };
        match run_registered(config, registered, member, term.clone()).await {
            // The credential is gone: with a token, the agent gets a new one.
            Err(Error::Refused(error)) => {
                tracing::error!(error = chain(&error), "credential refused")
            }
            result => return result,
        }
    }
    Ok(())
}

/// Registers; waits for an unreachable hub, gives up on what a person must repair.
async fn register_patiently(config: &AgentConfig, member: &Client) -> Result<Identity, Error> {
    let events = Events::new(member.clone(), "fleet-agent", &config.instance, Clock::system());
    let mut delay = FIRST_REGISTER_RETRY;
    loop {
        match register(member, config, &events).await {
            Ok(identity) => return Ok(identity),
            Err(error) if error.class() == ErrorClass::User => {
                tracing::error!(error = chain(&error), "cannot register");
                return Err(error.into());
            }
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    retry_seconds = delay.as_secs(),
                    "not registered yet"
                );
                sleep(delay).await;
                delay = (delay * 2).min(REGISTER_RETRY);
            }
        }
    }
}

/// Runs a registered agent until `shutdown`.
pub async fn run_registered(
    config: &AgentConfig,
    identity: Identity,
    member: &Client,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let cluster = ClusterConfig::fetch(member, &config.namespace).await?;
    let clock = Clock::system();
    let stop = shutdown.child_token();
    let reconciler = Arc::new(build(config, &identity, member, &clock));
    subscribe(&reconciler, member, &stop);
    reconciler.deployments.synced().await;
    let collector = tokio::spawn(collect(
        Arc::clone(&reconciler),
        config.namespace.clone(),
        cluster.collection_interval(),
        stop.clone(),
    ));
    let pulse = Pulse {
        cluster_namespace: identity.cluster_namespace.clone(),
        cluster_name: identity.cluster_name.clone(),
        agent_namespace: config.namespace.clone(),
        interval: config.checkin_interval,
    };
    let passes = {
        let reconciler = Arc::clone(&reconciler);
        let queue = reconciler.queue.clone();
        let stop = stop.clone();
        async move {
            let pass = |name: String| {
                let reconciler = Arc::clone(&reconciler);
                async move { reconciler.reconcile(name).await }
            };
            queue.run(stop, pass).await;
        }
    };
    let pulse = async {
        let result = run_heartbeat(identity.hub.clone(), pulse, clock, stop.clone()).await;
        if result.is_err() {
            stop.cancel();
        }
        result
    };
    let ((), pulse) = tokio::join!(passes, pulse);
    stop.cancel();
    // The task ends with the token; whether it ended well says nothing new.
    drop(collector.await);
    pulse.map_err(Error::Refused)
}

fn build(config: &AgentConfig, identity: &Identity, client: &Client, clock: &Clock) -> Reconciler {
    let queue: Queue<String> =
        Queue::new("bundledeployment", QueueConfig::concurrency(config.workers_count));
    let memory = Arc::new(Memory::default());
    let on_change: Arc<OnChange> = {
        let (queue, memory) = (queue.clone(), Arc::clone(&memory));
        Arc::new(move |name: &str, key: &ObjectKey, version: Option<&str>| {
            if memory.note_change(name, key, version) {
                Reconciler::wake_for_object(&queue, name);
            }
        })
    };
    let deployments = CacheBuilder::<BundleDeployment>::new(identity.hub.clone())
        .namespace(&identity.deployment_namespace)
        .start();
    Reconciler {
        deployer: Deployer {
            hub: identity.hub.clone(),
            member: Member::new(client.clone()),
            contents: Contents::new(identity.hub.clone()),
            charts: Arc::default(),
            agent_namespace: config.namespace.clone(),
            scope: config.scope.clone(),
            accounts: Recent::default(),
            namespaces: Recent::default(),
            renders: Semaphore::new(RENDERS_MAX),
        },
        deployments,
        queue,
        watches: Watches::new(client.clone(), on_change),
        events: Events::new(client.clone(), "fleet-agent", &config.instance, clock.clone()),
        clock: clock.clone(),
        cluster_namespace: identity.deployment_namespace.clone(),
        memory,
    }
}

/// Wakes passes for changes of BundleDeployments and for new kinds.
fn subscribe(reconciler: &Arc<Reconciler>, member: &Client, stop: &CancellationToken) {
    let (queue, memory) = (reconciler.queue.clone(), Arc::clone(&reconciler.memory));
    reconciler.deployments.subscribe(move |change| {
        if needs_pass(change) {
            queue.add(change.key.name.clone());
        }
        for name in memory.waiting() {
            queue.add(name);
        }
    });
    let definitions = ApiResource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
    };
    let changed = Arc::new(Notify::new());
    let cache: Cache<PartialObjectMeta<DynamicObject>> =
        CacheBuilder::of_resource(member.clone(), definitions)
            .metadata_only()
            .shrink(|object: &mut PartialObjectMeta<DynamicObject>| {
                object.metadata.annotations = None;
                object.metadata.labels = None;
            })
            .start();
    cache.subscribe({
        let changed = Arc::clone(&changed);
        move |_| changed.notify_one()
    });
    let (reconciler, stop) = (Arc::clone(reconciler), stop.clone());
    tokio::spawn(async move {
        let _watch = cache;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = changed.notified() => {}
            }
            sleep(KIND_DELAY).await;
            let refreshed = reconciler.deployer.member.discovery().refresh(KIND_DELAY).await;
            if let Err(error) = refreshed {
                tracing::debug!(error = chain(&error), "kinds not read anew");
            }
            for name in reconciler.memory.release_awaiting_kind() {
                reconciler.queue.add(name);
            }
        }
    });
}

/// A change of nothing but the status is usually our own write.
fn needs_pass(change: &Change<BundleDeployment>) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return true };
    let applied = |deployment: &BundleDeployment| {
        deployment
            .status
            .as_ref()
            .is_some_and(|s| s.applied_deployment_id == deployment.spec.deployment_id)
    };
    old.spec != new.spec
        || old.metadata.labels != new.metadata.labels
        || old.metadata.annotations != new.metadata.annotations
        // Somebody emptied the status.
        || (applied(old) && !applied(new))
}

/// Looks for releases whose BundleDeployment is gone or runs under another name: after the start, and from time to
/// time.
async fn collect(
    reconciler: Arc<Reconciler>,
    namespace: String,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut jitter = Jitter::from_entropy();
    loop {
        match find_owned(&reconciler.deployer.member, &namespace).await {
            Ok(found) => {
                for name in reconciler.memory.learn_owned(found) {
                    let key = runtime::ObjectKey::new(&reconciler.cluster_namespace, &name);
                    let has_moved = reconciler.memory.releases_of(&name).len() > 1;
                    if has_moved || !reconciler.deployments.exists(&key) {
                        reconciler.queue.add(name);
                    }
                }
            }
            Err(error) => tracing::warn!(error = chain(&error), "releases not listed"),
        }
        // Agents of one fleet should not list in step.
        let pause = jitter.stretch(interval, 1.0);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}
