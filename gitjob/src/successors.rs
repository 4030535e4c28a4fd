//! Bundles that take the place of others: a renamed path is a new Bundle and an old one that goes.
//!
//! Owns the promise that nothing is uninstalled before what follows it may have taken it over.
//! Start at [`hand_over`] and [`wait_for_successors`].

use std::collections::BTreeSet;
use std::time::Duration;

use bundle_format::api::{Bundle, find_condition};
use bundle_format::options::moved::moved_objects;
use kube::Api;
use runtime::client::{ApiError, optional};
use tokio::time::{Instant, sleep};

use crate::plan::publish::{PublishPlan, WantedBundle};
use crate::publish::Destination;

/// Old Bundles whose objects are compared with those of new ones.
const MAX_COMPARED: usize = 100;
/// How long one build waits for new Bundles to be rolled out; the next build goes on waiting.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(100);

/// Lets the Bundles that a plan creates take over the objects of those it deletes.
///
/// # Errors
/// When a Bundle that goes cannot be read.
pub(crate) async fn hand_over(
    to: &Destination<'_>,
    plan: &PublishPlan,
    wanted: &mut [WantedBundle],
) -> Result<(), ApiError> {
    let created: Vec<usize> =
        plan.writes.iter().filter(|write| write.uid.is_none()).map(|write| write.index).collect();
    if created.is_empty() {
        return Ok(());
    }
    for name in plan.deletes.iter().take(MAX_COMPARED) {
        let Some(old) = observe_one(to, name).await? else { continue };
        for &index in &created {
            let Some(new) = wanted.get_mut(index) else { continue };
            let moved = moved_objects(&old.spec.resources, &new.bundle.spec.resources);
            new.bundle.spec.options.overwrites.extend(moved);
        }
    }
    Ok(())
}

/// Waits until every new Bundle has its deployments on all its clusters; from then on agents know
/// that they take objects over. Gives the names of those that have not.
///
/// # Errors
/// When a Bundle cannot be read.
pub(crate) async fn wait_for_successors(
    to: &Destination<'_>,
    names: &BTreeSet<String>,
) -> Result<Vec<String>, ApiError> {
    let deadline = Instant::now() + PATIENCE;
    let mut open: Vec<String> = names.iter().cloned().collect();
    loop {
        let mut still_open = Vec::new();
        for name in open {
            // One that is gone again takes nothing over.
            if observe_one(to, &name).await?.is_some_and(|bundle| !is_rolled_out(&bundle)) {
                still_open.push(name);
            }
        }
        open = still_open;
        if open.is_empty() || Instant::now() >= deadline {
            return Ok(open);
        }
        sleep(INTERVAL).await;
    }
}

async fn observe_one(to: &Destination<'_>, name: &str) -> Result<Option<Bundle>, ApiError> {
    let api: Api<Bundle> = Api::namespaced(to.client.clone(), to.namespace);
    let read = optional(api.get(name).await);
    read.map_err(|e| ApiError::new(format!("read bundle {}/{name}", to.namespace), e))
}

fn is_rolled_out(bundle: &Bundle) -> bool {
    let Some(status) = &bundle.status else { return false };
    let is_refused = find_condition(&status.conditions, "Ready")
        .is_some_and(|ready| ready.status == "False" && ready.reason == "Error");
    let is_planned = Some(status.observed_generation) == bundle.metadata.generation;
    is_planned && status.summary.pending == 0 && !(is_refused && status.display.state != "NoMatch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_rolled_out_when_every_cluster_has_its_deployment() {
        let bundle = |status: serde_json::Value| -> Bundle {
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "b", "generation": 2}, "spec": {}, "status": status,
            }))
            .unwrap()
        };
        let refused = serde_json::json!([{"type": "Ready", "status": "False", "reason": "Error"}]);
        for (status, is_done) in [
            (serde_json::json!({}), false),
            (serde_json::json!({"observedGeneration": 1}), false),
            (serde_json::json!({"observedGeneration": 2}), true),
            (serde_json::json!({"observedGeneration": 2, "summary": {"pending": 1}}), false),
            (serde_json::json!({"observedGeneration": 2, "conditions": refused}), false),
        ] {
            assert_eq!(is_rolled_out(&bundle(status.clone())), is_done, "{status}");
        }
    }
}
