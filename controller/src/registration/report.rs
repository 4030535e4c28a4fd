//! What a ClusterRegistration says about its own fate.
//!
//! Owns the words in its status and the Events about it. Decides nothing: see [`super::request`].

use bundle_format::api::{Cluster, ClusterRegistration, ConditionState, condition, set_condition};
use kube::{Api, ResourceExt};
use runtime::events::{EventType, Occurrence};
use runtime::status::{StatusWrite, patch_status};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Error;
use crate::objects::owned_by;

/// The condition.
const ACCEPTED: &str = "Accepted";

/// Says that access was granted, and to whom.
pub(super) async fn report_grant(
    ctx: &Context,
    request: &ClusterRegistration,
    cluster: &Cluster,
) -> Result<(), Error> {
    if request.metadata.owner_references.is_none() {
        let owner = json!({ "metadata": { "ownerReferences": owned_by(cluster) } });
        let api: Api<ClusterRegistration> =
            Api::namespaced(ctx.client.clone(), &request.namespace().unwrap_or_default());
        let name = request.name_any();
        api.patch(&name, &Default::default(), &kube::api::Patch::Merge(&owner))
            .await
            .map_err(|error| runtime::ApiError::new(format!("own request {name}"), error))?;
    }
    let mut after = request.status.clone().unwrap_or_default();
    after.cluster_name = cluster.name_any();
    after.granted = true;
    set_condition(&mut after.conditions, ACCEPTED, &ConditionState::is_true(), &ctx.now_text());
    write_status(ctx, request, &serde_json::to_value(after).unwrap_or_default()).await
}

/// Says why it was not, once.
pub(super) async fn report_refusal(
    ctx: &Context,
    request: &ClusterRegistration,
    reason: &str,
) -> Result<(), Error> {
    let mut after = request.status.clone().unwrap_or_default();
    let held = condition::find_condition(&after.conditions, ACCEPTED);
    if held.is_some_and(|held| held.message == reason) {
        return Ok(());
    }
    let state = ConditionState::error(reason);
    set_condition(&mut after.conditions, ACCEPTED, &state, &ctx.now_text());
    tracing::warn!(registration = request.name_any(), reason, "registration refused");
    let occurrence = Occurrence {
        kind: EventType::Warning,
        reason: "RegistrationRefused",
        action: "Register",
        note: reason,
    };
    ctx.events.publish(request, &occurrence).await;
    write_status(ctx, request, &serde_json::to_value(after).unwrap_or_default()).await
}

async fn write_status(
    ctx: &Context,
    request: &ClusterRegistration,
    after: &Value,
) -> Result<(), Error> {
    let before = serde_json::to_value(&request.status).unwrap_or_default();
    let namespace = request.namespace().unwrap_or_default();
    let api: Api<ClusterRegistration> = Api::namespaced(ctx.client.clone(), &namespace);
    let name = request.name_any();
    let write = StatusWrite { name: &name, resource_version: None, noise: &[] };
    patch_status(&api, &write, &before, after).await?;
    Ok(())
}
