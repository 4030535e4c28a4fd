//! What a GitRepo takes along when it goes.
//!
//! Owns the order: Bundles, ImageScans, the target namespace, the finalizer. Start at
//! [`finish_deletion`].

use bundle_format::api::{Bundle, GitRepo, ImageScan, labels};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use runtime::client::{ApiError, optional};
use runtime::{NextWake, ObjectKey};
use serde_json::json;

use crate::context::Context;
use crate::publish::delete_bundle;

/// Namespaces that are never deleted, whatever a GitRepo says (Fleet 0.16).
const PROTECTED: [&str; 5] = [
    "fleet-local",
    "cattle-fleet-system",
    "fleet-default",
    "cattle-fleet-clusters-system",
    "default",
];

/// Deletes what belongs to a GitRepo that is being deleted; releases it when all is gone.
///
/// Deleted Bundles wake the GitRepo, so nothing is polled.
///
/// # Errors
/// When the API refuses a step.
pub(crate) async fn finish_deletion(ctx: &Context, repo: &GitRepo) -> Result<NextWake, ApiError> {
    let key = ObjectKey::of(repo);
    if !repo.finalizers().iter().any(|name| name == labels::GIT_REPO_FINALIZER) {
        return Ok(NextWake::OnChange);
    }
    let bundles = ctx.bundles_of(&key);
    if !bundles.is_empty() {
        for bundle in bundles.iter().filter(|b| b.metadata.deletion_timestamp.is_none()) {
            delete_bundle(&ctx.client, &key.namespace, &bundle.name_any()).await?;
        }
        return Ok(NextWake::OnChange);
    }
    // The cache may not show a Bundle that was written just before: ask once more.
    let selector = ListParams::default().labels(&format!("{}={}", labels::REPO_NAME, key.name));
    let api: Api<Bundle> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let left = api.list_metadata(&selector.clone().limit(1)).await;
    let left = left.map_err(|e| ApiError::new(format!("list bundles of {key}"), e))?;
    if !left.items.is_empty() {
        return Ok(NextWake::After(std::time::Duration::from_millis(500)));
    }
    if ctx.config.image_scans_enabled {
        delete_image_scans(ctx, &key, &selector).await?;
    }
    delete_namespace(ctx, repo).await?;
    release(ctx, repo, &key).await?;
    tracing::info!(git_repo = %key, "deleted with all of its bundles");
    Ok(NextWake::OnChange)
}

async fn delete_image_scans(
    ctx: &Context,
    key: &ObjectKey,
    selector: &ListParams,
) -> Result<(), ApiError> {
    let scans: Api<ImageScan> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let deleted = scans.delete_collection(&DeleteParams::default(), selector).await;
    optional(deleted)
        .map(drop)
        .map_err(|e| ApiError::new(format!("delete image scans of {key}"), e))
}

async fn delete_namespace(ctx: &Context, repo: &GitRepo) -> Result<(), ApiError> {
    let spec = &repo.spec;
    let namespace = spec.target_namespace.as_str();
    let is_protected = PROTECTED.contains(&namespace) || namespace.starts_with("kube-");
    if !spec.delete_namespace || spec.keep_resources || namespace.is_empty() || is_protected {
        return Ok(());
    }
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let deleted = optional(api.delete(namespace, &DeleteParams::default()).await);
    deleted.map(drop).map_err(|e| ApiError::new(format!("delete namespace {namespace}"), e))
}

async fn release(ctx: &Context, repo: &GitRepo, key: &ObjectKey) -> Result<(), ApiError> {
    let keep: Vec<&String> =
        repo.finalizers().iter().filter(|name| *name != labels::GIT_REPO_FINALIZER).collect();
    let version = repo.metadata.resource_version.as_deref();
    let body = json!({ "metadata": { "finalizers": keep, "resourceVersion": version } });
    let api: Api<GitRepo> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let patched = api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&body)).await;
    optional(patched).map(drop).map_err(|e| ApiError::new(format!("release GitRepo {key}"), e))
}
