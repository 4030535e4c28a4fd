//! Secrets and ConfigMaps beside a Bundle that its options send along to the clusters.
//!
//! Owns the copies in the cluster namespaces. Invariant: only objects of the Bundle's own
//! namespace are read, and only those its options name. Start at [`publish_downstream`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bundle_format::api::{BundleDeployment, DownstreamResource, labels, names};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use runtime::ApiError;
use serde_json::{Value, json};

use super::plan::status::Deployments;
use crate::context::Context;
use crate::error::Error;
use crate::objects::{ObjectName, owned_by};
use crate::stores::KnownBundle;

/// The most objects one Bundle may send along.
const MAX_RESOURCES: usize = 100;
/// On a copy: digest of what was copied.
const COPY_DIGEST: &str = "fleet.cattle.io/copy-digest";

/// Copies what the options of each BundleDeployment name into its namespace. Returns whether there
/// was anything to copy at all: its sources are not watched, they have to be looked at again.
///
/// # Errors
/// When a source is missing or of another kind, or the API server refuses.
pub async fn publish_downstream(
    ctx: &Context,
    known: &KnownBundle,
    deployments: &Deployments,
) -> Result<bool, Error> {
    let namespace = known.bundle.namespace().unwrap_or_default();
    let mut sources: BTreeMap<(String, String), Value> = BTreeMap::new();
    for deployment in deployments.values() {
        let wanted = &deployment.spec.staged_options.downstream_resources;
        if wanted.len() > MAX_RESOURCES {
            return Err(refusal(known, format!("more than {MAX_RESOURCES} downstreamResources")));
        }
        let mut changed = false;
        for resource in wanted {
            let key = (resource.kind.clone(), resource.name.clone());
            if !sources.contains_key(&key) {
                let source = fetch_source(ctx, known, &namespace, resource).await?;
                sources.insert(key.clone(), source);
            }
            if let Some(source) = sources.get(&key) {
                changed |= copy_one(ctx, source, resource, deployment).await?;
            }
        }
        if changed {
            announce(ctx, deployment).await?;
        }
    }
    Ok(!sources.is_empty())
}

fn refusal(known: &KnownBundle, detail: String) -> Error {
    let bundle = &known.bundle;
    let namespace = bundle.namespace().unwrap_or_default();
    Error::User { object: format!("bundle {namespace}/{}", bundle.name_any()), detail }
}

/// What is copied of a source: its data, and a Secret's type.
async fn fetch_source(
    ctx: &Context,
    known: &KnownBundle,
    namespace: &str,
    resource: &DownstreamResource,
) -> Result<Value, Error> {
    let kind = match resource.kind.to_ascii_lowercase().as_str() {
        "secret" => "Secret",
        "configmap" => "ConfigMap",
        _ => {
            let found = &resource.kind;
            let detail = format!("downstreamResources kind {found:?} is not Secret or ConfigMap");
            return Err(refusal(known, detail));
        }
    };
    let name = ObjectName { api_version: "v1", kind, namespace, name: &resource.name };
    let Some(live) = ctx.objects.fetch(&name).await? else {
        let name = &resource.name;
        let detail = format!("downstreamResources {kind} {namespace}/{name} does not exist");
        return Err(refusal(known, detail));
    };
    let mut source = json!({ "apiVersion": "v1", "kind": kind });
    for member in ["data", "binaryData", "type"] {
        if let Some(value) = live.data.get(member) {
            source[member] = value.clone();
        }
    }
    Ok(source)
}

/// Copies one object; returns whether the copy was not there or differed.
async fn copy_one(
    ctx: &Context,
    source: &Value,
    resource: &DownstreamResource,
    deployment: &Arc<BundleDeployment>,
) -> Result<bool, Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let digest = names::sha256_hex(source.to_string().as_bytes());
    let kind = source["kind"].as_str().unwrap_or_default();
    let name = ObjectName { api_version: "v1", kind, namespace: &namespace, name: &resource.name };
    let live = ctx.objects.fetch(&name).await?;
    let held = live.as_ref().and_then(|live| live.annotations().get(COPY_DIGEST));
    if held == Some(&digest) {
        return Ok(false);
    }
    let mut copy = source.clone();
    let mut owners = owned_by(&**deployment);
    owners[0]["controller"] = json!(true);
    owners[0]["blockOwnerDeletion"] = json!(true);
    copy["metadata"] = json!({
        "name": resource.name, "namespace": namespace,
        "labels": { labels::BUNDLE_INTERNAL_SECRET: "true" },
        "annotations": { COPY_DIGEST: digest },
        "ownerReferences": owners,
    });
    ctx.objects.apply(&copy).await?;
    Ok(true)
}

/// Tells the agent that the copies changed.
async fn announce(ctx: &Context, deployment: &BundleDeployment) -> Result<(), Error> {
    let next = deployment.spec.downstream_resources_generation + 1;
    let patch = json!({ "spec": { "downstreamResourcesGeneration": next } });
    let namespace = deployment.namespace().unwrap_or_default();
    let api: kube::Api<BundleDeployment> = kube::Api::namespaced(ctx.client.clone(), &namespace);
    api.patch(&deployment.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|error| ApiError::new("announce downstream resources", error))?;
    Ok(())
}
