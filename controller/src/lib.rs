//! Bundles to BundleDeployments; clusters and their registration.
//!
//! Owns everything on the hub between a Bundle and an agent. Knows nothing of git, and of rendering
//! only what a hub must check. Start at [`run`], then [`bundle`].

pub mod bundle;
pub mod bundle_deployment;
pub mod claims;
pub mod cluster;
pub mod cluster_group;
pub mod config;
pub mod content_gc;
pub mod context;
pub mod error;
pub mod fleet;
pub mod git_repo;
pub mod metrics;
pub mod objects;
pub mod registration;
pub mod stores;
pub mod unserved;
mod wiring;

use std::sync::Arc;

use kube::Client;
use runtime::NextWake;
use runtime::lease::{LeaseConfig, lead};
use runtime::metrics::{Health, Metrics};
use tokio_util::sync::CancellationToken;

pub use bundle::{apply_rollout, observe_bundle};
pub use config::{ControllerConfig, HubConfig};
pub use context::Context;
pub use error::Error;
use metrics::StateMetrics;

/// Runs the controller until `shutdown`: at once, or whenever it is the leader.
///
/// # Errors
/// When a listener cannot be opened.
pub async fn run(
    config: ControllerConfig,
    client: Client,
    shutdown: CancellationToken,
) -> Result<(), runtime::http_server::ServeError> {
    let (metrics, health) = (Metrics::new(), Health::new());
    let states = StateMetrics::default();
    metrics.register(|registry| registry.register_collector(Box::new(states.clone())));
    runtime::metrics::serve(
        (&config.metrics_address, metrics),
        (&config.health_address, health.clone()),
        &shutdown,
    )
    .await?;
    let Some(timing) = config.lease else {
        work(config, client, (health, states), shutdown).await;
        return Ok(());
    };
    let lease = LeaseConfig {
        namespace: config.system_namespace.clone(),
        name: lease_name(&config.shard_id),
        identity: runtime::lease::identity(),
        timing,
    };
    let clock = config.clock.clone();
    // Standing by is a healthy state: the probe must not restart a process that waits its turn.
    health.set_ready(true);
    lead(client.clone(), lease, clock, shutdown, |term| {
        work(config.clone(), client.clone(), (health.clone(), states.clone()), term)
    })
    .await;
    Ok(())
}

fn lease_name(shard_id: &str) -> String {
    match shard_id {
        "" => "fleet-controller-leader-election-shard".to_owned(),
        id => format!("fleet-controller-leader-election-shard-{id}"),
    }
}

/// Reconciles until `shutdown`.
async fn work(
    config: ControllerConfig,
    client: Client,
    (health, states): (Health, StateMetrics),
    shutdown: CancellationToken,
) {
    let ctx = Arc::new(Context::new(config, client));
    tokio::select! {
        biased;
        () = ctx.stores.synced() => {}
        () = shutdown.cancelled() => return,
    }
    wiring::connect(&ctx);
    states.observe(&ctx);
    health.set_ready(true);
    let queues = &ctx.queues;
    let stop = || shutdown.clone();
    tokio::join!(
        queues.bundles.run(stop(), |key| {
            let ctx = Arc::clone(&ctx);
            async move { bundle::reconcile_bundle(&ctx, &key).await }
        }),
        queues.clusters.run(stop(), |key| {
            let ctx = Arc::clone(&ctx);
            async move { cluster::reconcile_cluster(&ctx, &key).await }
        }),
        queues.groups.run(stop(), |key| {
            let ctx = Arc::clone(&ctx);
            async move { cluster_group::reconcile_group(&ctx, &key).await }
        }),
        queues.git_repos.run(stop(), |key| {
            let ctx = Arc::clone(&ctx);
            async move { git_repo::reconcile_repo(&ctx, &key).await }
        }),
        queues.contents.run(stop(), |key| {
            let ctx = Arc::clone(&ctx);
            async move { content_gc::reconcile_content(&ctx, &key).await }
        }),
        queues.tokens.run(stop(), |key| {
            let ctx = Arc::clone(&ctx);
            async move { registration::token::reconcile_token(&ctx, &key).await }
        }),
        queues.registrations.run(stop(), |key| {
            let ctx = Arc::clone(&ctx);
            async move { registration::request::reconcile_request(&ctx, &key).await }
        }),
        queues.orphans.run(stop(), |orphan| {
            let ctx = Arc::clone(&ctx);
            async move { registration::orphans::reconcile_orphan(&ctx, &orphan).await }
        }),
        queues.unserved.run(stop(), |object| {
            let ctx = Arc::clone(&ctx);
            async move { unserved::reconcile_unserved(&ctx, &object).await }
        }),
        queues.hub.run(stop(), |()| {
            let ctx = Arc::clone(&ctx);
            async move {
                cluster::local::bootstrap_hub(&ctx).await?;
                Ok::<_, Error>(NextWake::OnChange)
            }
        }),
    );
}
