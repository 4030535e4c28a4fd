//! Writes what a pass over a Bundle decided.
//!
//! Owns the order of writes: Content first, then values, then BundleDeployments.
//! Everything may be repeated half-done. Start at [`apply_rollout`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::{Bundle, BundleDeployment, Content, ContentSpec, labels};
use bundle_format::content::{Manifest, deployment_values_hash};
use bundle_format::options::Target;
use futures::StreamExt as _;
use k8s_openapi::ByteString;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};
use runtime::client::{code_of, optional};
use runtime::{ApiError, NextWake, ObjectKey};
use serde_json::{Value, json};

use super::observe::{BundleWorld, deployments_of};
use super::plan::deployments::{DeploymentWrite, ValuesWrite};
use crate::claims::Claim;
use crate::context::Context;
use crate::error::Error;
use crate::objects::{ObjectName, delete_params, owned_by};
use crate::registration::agent::encoded;
use crate::stores::{KnownBundle, annotation};

/// Writes of one pass at the same time. More only queue up inside the API server.
const CONCURRENT_WRITES: usize = 16;
/// On a values Secret: the hash a BundleDeployment must name to accept it.
const VALUES_HASH: &str = "fleet.cattle.io/values-hash";

/// Stores the Content and writes the BundleDeployments that have to change.
///
/// One that is refused does not keep the others; the first error is returned in the end. Returns how
/// many were written.
///
/// Guarantees: the local copy shows what was written, or the next pass begins with
/// [`settle_doubts`]. What it decides on is never less than what was written before.
///
/// # Errors
/// When the API server refuses a write or cannot be reached.
pub async fn apply_rollout(
    ctx: &Context,
    known: &KnownBundle,
    targets: &[Target<'_>],
    writes: Vec<DeploymentWrite>,
) -> Result<usize, Error> {
    if writes.is_empty() {
        return Ok(0);
    }
    let _claim = match !targets.is_empty() && known.bundle.spec.helm_op_options.is_none() {
        true => Some(ensure_content(ctx, known).await?),
        false => None,
    };
    let bundle = ObjectKey::of_meta(&known.bundle.metadata);
    let passes: Vec<_> = writes.into_iter().map(|write| apply_deployment(ctx, write)).collect();
    let mut results = futures::stream::iter(passes).buffer_unordered(CONCURRENT_WRITES);
    let mut written_count = 0;
    let mut first_error = None;
    while let Some((key, result)) = results.next().await {
        match result {
            Ok(is_written) => written_count += usize::from(is_written),
            Err(error) => {
                ctx.memory.doubt(&bundle, &key);
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(written_count), Err)
}

/// Reads the BundleDeployments of a Bundle, and their values, of which nobody knows whether a write
/// was done.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn settle_doubts(ctx: &Context, bundle: &ObjectKey) -> Result<(), Error> {
    let fail =
        |key: &ObjectKey, error| ApiError::new(format!("read bundle deployment {key}"), error);
    for key in ctx.memory.doubted(bundle) {
        ctx.stores.deployments.refresh(&key).await.map_err(|error| fail(&key, error))?;
        ctx.stores.deployment_values.refresh(&key).await.map_err(|error| fail(&key, error))?;
    }
    ctx.memory.end_doubts(bundle);
    Ok(())
}

/// Stores the files of a Bundle under their digest, unless they are stored already. They stay as
/// long as the claim is held, and then as long as a BundleDeployment names them.
async fn ensure_content<'c>(ctx: &'c Context, known: &KnownBundle) -> Result<Claim<'c>, Error> {
    let name = known.content.to_string();
    let Some(claim) = ctx.claims.claim(&name) else {
        return Err(Error::NotYet { what: format!("content {name} to be gone") });
    };
    if ctx.stores.contents.exists(&ObjectKey::cluster_scoped(&name)) && !claim.is_doubtful() {
        return Ok(claim);
    }
    let (namespace, bundle) =
        (known.bundle.namespace().unwrap_or_default(), known.bundle.name_any());
    let bundles: Api<Bundle> = Api::namespaced(ctx.client.clone(), &namespace);
    let live = bundles
        .get(&bundle)
        .await
        .map_err(|error| ApiError::new(format!("read bundle {namespace}/{bundle}"), error))?;
    let packed = Manifest { resources: live.spec.resources }.pack();
    if packed.id != known.content {
        // The files changed since the local copy was made; its event is on the way.
        return Err(Error::NotYet {
            what: format!("the new files of bundle {namespace}/{bundle}"),
        });
    }
    let mut content = Content::new(
        &name,
        ContentSpec { content: Some(ByteString(packed.gzip)), sha256sum: packed.sha256 },
    );
    content.metadata.labels = None;
    let contents: Api<Content> = Api::all(ctx.client.clone());
    match contents.create(&PostParams::default(), &content).await {
        Ok(_) => {
            // Nobody has counted its users yet: no need to read that.
            ctx.memory.set_count(&name, 0);
        }
        // Another Bundle has the same files.
        Err(error) if code_of(&error) == Some(409) => {}
        Err(error) => return Err(ApiError::new(format!("store content {name}"), error).into()),
    }
    claim.note_stored();
    Ok(claim)
}

async fn apply_deployment(
    ctx: &Context,
    mut write: DeploymentWrite,
) -> (ObjectKey, Result<bool, Error>) {
    let result = write_deployment(ctx, &mut write).await;
    (write.key, result)
}

/// Writes a BundleDeployment and its values; returns whether it had to be written.
async fn write_deployment(ctx: &Context, write: &mut DeploymentWrite) -> Result<bool, Error> {
    let values = settle_values(ctx, write).await?;
    let is_written = match write.old.clone() {
        Some(old) => {
            // The agent must find the values when it sees the new hash.
            if let Some(data) = &values {
                apply_values(ctx, write, &old, data).await?;
            }
            patch_deployment(ctx, write, &old).await?
        }
        None => {
            let made = create_deployment(ctx, write).await?;
            if let Some(data) = &values {
                apply_values(ctx, write, &made, data).await?;
            }
            true
        }
    };
    if write.spec.values_hash.is_empty() && ctx.stores.deployment_values.exists(&write.key) {
        ctx.objects.delete(&values_name(&write.key)).await?;
    }
    Ok(is_written)
}

fn values_name(key: &ObjectKey) -> ObjectName<'_> {
    ObjectName { api_version: "v1", kind: "Secret", namespace: &key.namespace, name: &key.name }
}

/// What the values Secret shall hold (promoted, staged), if it has to be written; settles the hash.
async fn settle_values(
    ctx: &Context,
    write: &mut DeploymentWrite,
) -> Result<Option<(Arc<Vec<u8>>, Arc<Vec<u8>>)>, Error> {
    let stub = ctx.stores.deployment_values.get(&write.key);
    let stored_hash = stub.as_ref().and_then(|stub| annotation(&stub.metadata, VALUES_HASH));
    match std::mem::replace(&mut write.values, ValuesWrite::None) {
        ValuesWrite::None => Ok(None),
        ValuesWrite::Both(values) => {
            let is_stored = stored_hash == Some(write.spec.values_hash.as_str());
            Ok((!is_stored).then(|| (Arc::clone(&values), values)))
        }
        ValuesWrite::Staged(staged) => {
            let was_staged = write.old.as_ref().is_some_and(|old| {
                old.spec.staged_deployment_id == write.spec.staged_deployment_id
                    && stored_hash == Some(old.spec.values_hash.as_str())
            });
            if was_staged {
                return Ok(None);
            }
            let live = ctx.objects.fetch(&values_name(&write.key)).await?;
            let promoted = live
                .and_then(|live| {
                    crate::cluster::import::secret_text(&live.data, labels::VALUES_KEY)
                })
                .unwrap_or_default()
                .into_bytes();
            write.spec.values_hash = deployment_values_hash(&promoted, &staged);
            Ok(Some((Arc::new(promoted), staged)))
        }
    }
}

async fn apply_values(
    ctx: &Context,
    write: &DeploymentWrite,
    owner: &BundleDeployment,
    (values, staged): &(Arc<Vec<u8>>, Arc<Vec<u8>>),
) -> Result<(), Error> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut owners = owned_by(owner);
    owners[0]["controller"] = json!(true);
    owners[0]["blockOwnerDeletion"] = json!(true);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": write.key.name, "namespace": write.key.namespace,
            "annotations": { VALUES_HASH: write.spec.values_hash },
            "ownerReferences": owners,
        },
        "type": labels::BUNDLE_DEPLOYMENT_VALUES_TYPE,
        "data": encoded(&[
            (labels::VALUES_KEY, &text(values)),
            (labels::STAGED_VALUES_KEY, &text(staged)),
        ]),
    });
    let stored = ctx.objects.apply(&secret).await?;
    let stub = PartialObjectMeta { metadata: stored.metadata, ..PartialObjectMeta::default() };
    ctx.stores.deployment_values.take_in(stub);
    Ok(())
}

fn deployments_api(ctx: &Context, key: &ObjectKey) -> Api<BundleDeployment> {
    Api::namespaced(ctx.client.clone(), &key.namespace)
}

async fn create_deployment(
    ctx: &Context,
    write: &DeploymentWrite,
) -> Result<BundleDeployment, Error> {
    let mut made = BundleDeployment::new(&write.key.name, write.spec.clone());
    made.metadata.namespace = Some(write.key.namespace.clone());
    made.metadata.labels = Some(write.labels.clone());
    let made = deployments_api(ctx, &write.key)
        .create(&PostParams::default(), &made)
        .await
        .map_err(|error| ApiError::new(format!("create bundle deployment {}", write.key), error))?;
    ctx.stores.deployments.take_in(made.clone());
    Ok(made)
}

async fn patch_deployment(
    ctx: &Context,
    write: &DeploymentWrite,
    old: &BundleDeployment,
) -> Result<bool, Error> {
    let Some(patch) = deployment_patch(write, old) else { return Ok(false) };
    let patched = deployments_api(ctx, &write.key)
        .patch(&write.key.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|error| ApiError::new(format!("write bundle deployment {}", write.key), error))?;
    ctx.stores.deployments.take_in(patched);
    Ok(true)
}

/// The merge patch from what is there to what shall be; `None` when they are the same.
fn deployment_patch(write: &DeploymentWrite, old: &BundleDeployment) -> Option<Value> {
    let value = |spec| serde_json::to_value(spec).unwrap_or_default();
    let spec = diff_objects(&value(&old.spec), &value(&write.spec));
    let labels = diff_objects(&json!(old.labels()), &json!(write.labels));
    let mut patch = json!({});
    if let Some(spec) = spec {
        patch["spec"] = spec;
    }
    if let Some(labels) = labels {
        patch["metadata"]["labels"] = labels;
    }
    patch.as_object().is_some_and(|members| !members.is_empty()).then_some(patch)
}

/// The merge patch between two JSON values; an empty object is something here, `helm: {}` means
/// more than no `helm`.
fn diff_objects(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = serde_json::Map::new();
    for (key, wanted) in after {
        match before.get(key) {
            Some(held) => {
                if let Some(inner) = diff_objects(held, wanted) {
                    patch.insert(key.clone(), inner);
                }
            }
            None => drop(patch.insert(key.clone(), wanted.clone())),
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Deletes BundleDeployments of clusters the Bundle does not go to any more. Those that are off
/// schedule stay until their schedule opens.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn delete_orphans(
    ctx: &Context,
    world: &BundleWorld,
    targets: &[Target<'_>],
) -> Result<(), Error> {
    let wanted: BTreeSet<&str> =
        targets.iter().filter_map(|target| target.cluster.cluster_namespace.as_deref()).collect();
    for (namespace, deployment) in &world.deployments {
        if wanted.contains(namespace.as_str()) || deployment.spec.off_schedule {
            continue;
        }
        delete_deployment(ctx, deployment).await?;
    }
    Ok(())
}

/// Deletes one BundleDeployment, if it is still the one that was looked at.
pub async fn delete_deployment(ctx: &Context, deployment: &BundleDeployment) -> Result<(), Error> {
    let key = ObjectKey::of_meta(&deployment.metadata);
    tracing::debug!(bundle_deployment = %key, "deleted");
    let params = delete_params(&deployment.metadata);
    optional(deployments_api(ctx, &key).delete(&key.name, &params).await)
        .map_err(|error| ApiError::new(format!("delete bundle deployment {key}"), error))?;
    Ok(())
}

/// Makes sure a Bundle takes its BundleDeployments along when it goes.
///
/// # Errors
/// When the API server refuses, or somebody else wrote first.
pub async fn ensure_finalizer(ctx: &Context, known: &KnownBundle) -> Result<(), Error> {
    let mut finalizers = known.bundle.metadata.finalizers.clone().unwrap_or_default();
    if finalizers.iter().any(|held| held == labels::BUNDLE_FINALIZER) {
        return Ok(());
    }
    finalizers.push(labels::BUNDLE_FINALIZER.to_owned());
    write_finalizers(ctx, known, &finalizers).await
}

async fn write_finalizers(
    ctx: &Context,
    known: &KnownBundle,
    finalizers: &[String],
) -> Result<(), Error> {
    let bundle = &known.bundle;
    let patch = json!({ "metadata": {
        "finalizers": finalizers, "resourceVersion": bundle.metadata.resource_version,
    } });
    let api: Api<PartialObjectMeta<Bundle>> =
        Api::namespaced(ctx.client.clone(), &bundle.namespace().unwrap_or_default());
    api.patch(&bundle.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|error| ApiError::new("write finalizers of a bundle", error))?;
    Ok(())
}

/// Deletes the BundleDeployments of a Bundle that is going, then lets it go.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn finalize_bundle(ctx: &Context, known: &KnownBundle) -> Result<NextWake, Error> {
    let key = ObjectKey::of_meta(&known.bundle.metadata);
    let finalizers = known.bundle.metadata.finalizers.clone().unwrap_or_default();
    if !finalizers.iter().any(|held| held == labels::BUNDLE_FINALIZER) {
        return Ok(NextWake::OnChange);
    }
    let left: Vec<Arc<BundleDeployment>> =
        deployments_of(&ctx.stores, &key).into_values().collect();
    let deletions: Vec<_> = left.iter().map(|held| delete_deployment(ctx, held)).collect();
    let deletions = futures::stream::iter(deletions).buffer_unordered(CONCURRENT_WRITES);
    let results: Vec<_> = deletions.collect().await;
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    if !left.is_empty() {
        // Their events wake us; this is for an event that was the last before a restart.
        return Ok(NextWake::After(Duration::from_secs(2)));
    }
    let rest: Vec<String> =
        finalizers.into_iter().filter(|held| held != labels::BUNDLE_FINALIZER).collect();
    write_finalizers(ctx, known, &rest).await?;
    tracing::info!(bundle = %key, "bundle deleted");
    Ok(NextWake::OnChange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_tells_an_empty_helm_from_none() {
        let bare = json!({});
        let helm = json!({ "helm": {} });
        assert_eq!(diff_objects(&bare, &helm), Some(json!({ "helm": {} })));
        assert_eq!(diff_objects(&helm, &bare), Some(json!({ "helm": null })));
        assert_eq!(diff_objects(&helm, &helm), None);
    }

    #[test]
    fn a_patch_leads_from_one_spec_to_the_other() {
        let before = json!({ "options": { "a": 1, "b": [1] }, "paused": true });
        let after = json!({ "options": { "a": 1, "b": [2] } });
        assert_eq!(
            diff_objects(&before, &after),
            Some(json!({ "options": { "b": [2] }, "paused": null }))
        );
    }
}
