//! BundleDeployments: each wakes its Bundle; one without a Bundle goes.
//!
//! Owns their clean-up. Start at [`clean_deployment`].

use bundle_format::api::{Bundle, BundleDeployment, labels};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use runtime::client::optional;
use runtime::{ApiError, NextWake, ObjectKey};
use serde_json::json;

use crate::bundle::apply::delete_deployment;
use crate::context::Context;
use crate::error::Error;
use crate::stores::bundle_of;

/// Deletes a BundleDeployment whose Bundle is gone, and lets one go that is being deleted.
///
/// Deletion on the hub never waits for the cluster: the agent uninstalls when it sees that the
/// BundleDeployment is gone (Fleet 0.16). The finalizer is one that Fleet left there.
pub async fn clean_deployment(ctx: &Context, key: &ObjectKey) -> Result<NextWake, Error> {
    let Some(deployment) = ctx.stores.deployments.get(key) else { return Ok(NextWake::OnChange) };
    if deployment.metadata.deletion_timestamp.is_some() {
        release(ctx, &deployment).await?;
        return Ok(NextWake::OnChange);
    }
    let Some(bundle) = bundle_of(&deployment.metadata) else { return Ok(NextWake::OnChange) };
    let is_ours = crate::stores::label(&deployment.metadata, labels::MANAGED) == Some("true");
    if is_ours && !ctx.stores.bundles.exists(&bundle) && is_gone(ctx, &bundle).await? {
        delete_deployment(ctx, &deployment).await?;
    }
    Ok(NextWake::OnChange)
}

/// Asks the API server whether a Bundle is gone: the local copy may come from an older list.
async fn is_gone(ctx: &Context, bundle: &ObjectKey) -> Result<bool, Error> {
    let api: Api<Bundle> = Api::namespaced(ctx.client.clone(), &bundle.namespace);
    let found = optional(api.get_metadata(&bundle.name).await)
        .map_err(|error| ApiError::new(format!("read bundle {bundle}"), error))?;
    Ok(found.is_none())
}

async fn release(ctx: &Context, deployment: &BundleDeployment) -> Result<(), Error> {
    let held = deployment.metadata.finalizers.clone().unwrap_or_default();
    let rest: Vec<&String> =
        held.iter().filter(|name| *name != labels::BUNDLE_DEPLOYMENT_FINALIZER).collect();
    if rest.len() == held.len() {
        return Ok(());
    }
    let patch = json!({ "metadata": {
        "finalizers": rest, "resourceVersion": deployment.metadata.resource_version,
    } });
    let api: Api<BundleDeployment> =
        Api::namespaced(ctx.client.clone(), &deployment.namespace().unwrap_or_default());
    api.patch(&deployment.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|error| ApiError::new("release a bundle deployment", error))?;
    Ok(())
}
