//! GitRepo sources to Bundles.
//!
//! Owns the way from a git commit to Bundle objects. Knows nothing of clusters or deployments: it
//! meets the controller only through API objects. Start at [`run`], then [`reconcile`].

mod access;
mod build;
pub mod chart;
pub mod config;
mod context;
mod delete;
pub mod git;
mod memory;
mod metrics;
pub mod net;
pub mod plan;
pub mod publish;
mod reconcile;
mod report;
mod status;
mod successors;
mod unchanged;
mod webhook;

use std::sync::Arc;

use bundle_format::api::labels;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use runtime::control_loop::QueueConfig;
use runtime::lease::{LeaseConfig, lead};
use runtime::metrics::{Health, Metrics};
use runtime::{ObjectKey, Queue};
use tokio_util::sync::CancellationToken;

pub use config::GitjobConfig;
use context::Context;

/// The process could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener failed.
    #[error(transparent)]
    Listen(#[from] runtime::http_server::ServeError),
    /// The work folder failed.
    #[error("work folder")]
    WorkDir(#[from] git::GitError),
}

/// Serves GitRepos until `shutdown`.
///
/// With [`GitjobConfig::lease`] set, works only while it leads, and steps down and waits again when
/// it loses the lease.
///
/// # Errors
/// Only at the start: a listener or the work folder.
pub async fn run(
    config: GitjobConfig,
    client: Client,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let queue = Queue::new("gitrepo", QueueConfig::concurrency(config.workers));
    run_with_queue(config, client, shutdown, queue).await
}

/// [`run`] with a queue of the caller, who can then see when there is nothing left to do.
///
/// # Errors
/// As [`run`].
pub async fn run_with_queue(
    config: GitjobConfig,
    client: Client,
    shutdown: CancellationToken,
    queue: Queue<ObjectKey>,
) -> Result<(), RunError> {
    let metrics = Metrics::new();
    let off = runtime::http_server::BindAddress::Off;
    let address = config.metrics_address.clone();
    let endpoints = (&address, metrics.clone());
    runtime::metrics::serve(endpoints, (&off, Health::new()), &shutdown).await?;
    let lease = config.lease.map(|timing| LeaseConfig {
        namespace: config.system_namespace.clone(),
        name: config.lease_name(),
        identity: config.identity.clone(),
        timing,
    });
    let clock = config.clock.clone();
    let listen = config.listen.clone();
    let mut config = config;
    if let Some(limit) = observe_git_timeout(&client, &config.system_namespace).await {
        config.git_timeout = limit;
    }
    let ctx = Context::start(config, client.clone(), queue)?;
    ctx.metrics.register(&metrics);
    let receiver = Arc::clone(&ctx);
    let receive = move |request| webhook::receive(Arc::clone(&receiver), request);
    if let Some(address) = runtime::http_server::serve(&listen, shutdown.clone(), receive).await? {
        tracing::info!(%address, "webhooks are received");
    }
    let work = |term: CancellationToken| work(Arc::clone(&ctx), term);
    match lease {
        Some(lease) => lead(client, lease, clock, shutdown, work).await,
        None => work(shutdown).await,
    }
    Ok(())
}

/// `gitClientTimeout` of ConfigMap `fleet-controller`; without one, or an invalid one, the default
/// holds. Read once: a change takes a restart.
async fn observe_git_timeout(client: &Client, namespace: &str) -> Option<std::time::Duration> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = api.get_opt(labels::CONTROLLER_CONFIG_NAME).await.ok()??;
    let config: serde_json::Value =
        serde_json::from_str(map.data?.get(labels::CONFIG_KEY)?).ok()?;
    let text = config["gitClientTimeout"].as_str()?;
    runtime::lease::go_duration(text).filter(|limit| !limit.is_zero())
}

/// One term of leadership.
async fn work(ctx: Arc<Context>, term: CancellationToken) {
    tokio::select! {
        biased;
        () = term.cancelled() => return,
        () = ctx.synced() => {}
    }
    ctx.subscribe();
    ctx.set_leading(true);
    let queue = ctx.queue.clone();
    queue.run(term, |key| reconcile::reconcile(key, Arc::clone(&ctx))).await;
    ctx.set_leading(false);
}
