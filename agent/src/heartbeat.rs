//! Tells the hub that this agent lives.
//!
//! Owns `Cluster.status.agent`. Must not know what the agent does. Start at [`run_heartbeat`].

use std::time::Duration;

use bundle_format::api::Cluster;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use runtime::{ApiError, Clock, chain};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A failed heartbeat is tried again after this.
const RETRY: Duration = Duration::from_secs(15);
/// The hub refused the credential this often in a row: it is not coming back.
const REFUSALS: u32 = 3;

/// Whose heartbeat.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// Namespace of the Cluster.
    pub cluster_namespace: String,
    /// Name of the Cluster.
    pub cluster_name: String,
    /// Namespace of the agent.
    pub agent_namespace: String,
    /// Time between two heartbeats.
    pub interval: Duration,
}

/// Writes the heartbeat at once and then at each interval, until `shutdown`.
///
/// Returns an error when the hub keeps refusing the credential: the agent must register again.
pub async fn run_heartbeat(
    hub: Client,
    pulse: Pulse,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), ApiError> {
    let mut refusals = 0;
    while !shutdown.is_cancelled() {
        let delay = match report_heartbeat(&hub, &pulse, &clock).await {
            Ok(()) => {
                refusals = 0;
                pulse.interval
            }
            Err(error) if error.code() == Some(401) => {
                refusals += 1;
                if refusals >= REFUSALS {
                    return Err(error);
                }
                RETRY.min(pulse.interval)
            }
            Err(error) => {
                tracing::warn!(
                    cluster = pulse.cluster_name,
                    error = chain(&error),
                    "heartbeat not written"
                );
                RETRY.min(pulse.interval)
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = sleep(delay) => {}
        }
    }
    Ok(())
}

/// Writes one heartbeat.
pub async fn report_heartbeat(hub: &Client, pulse: &Pulse, clock: &Clock) -> Result<(), ApiError> {
    let clusters: Api<Cluster> = Api::namespaced(hub.clone(), &pulse.cluster_namespace);
    // A merge patch makes `status` when a new Cluster has none yet.
    let status = json!({ "status": { "agent": {
        "lastSeen": clock.now_text(), "namespace": pulse.agent_namespace,
    } } });
    let written = clusters
        .patch_status(&pulse.cluster_name, &PatchParams::default(), &Patch::Merge(&status))
        .await;
    let action = || {
        format!("write the heartbeat of cluster {}/{}", pulse.cluster_namespace, pulse.cluster_name)
    };
    written.map(|_| ()).map_err(|error| ApiError::new(action(), error))
}
