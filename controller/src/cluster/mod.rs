//! Clusters: their namespace, their agent, their status.
//!
//! Owns the life of a Cluster on the hub. Knows nothing of how agents register (that is
//! [`crate::registration`]). Start at [`reconcile_cluster`].

pub mod import;
pub mod local;
pub mod status;

use std::time::Duration;

use bundle_format::api::{Cluster, ClusterStatus, labels, names};
use bundle_format::content::Manifest;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use runtime::status::{StatusWrite, patch_status};
use runtime::{ApiError, Classify as _, ErrorClass, NextWake, ObjectKey, chain};
use serde_json::json;

use crate::bundle::memory::AgentMark;
use crate::context::Context;
use crate::error::Error;
use crate::objects::ObjectName;
use crate::registration::agent::{agent_bundle, agent_yaml};
use crate::registration::request::delete_requests_of;
use crate::stores::label;
use import::{
    AgentSettings, ClusterAccess, agent_plan, import_cluster, open_cluster, uninstall_agent,
};
use local::LOCAL_CLUSTER;
use status::{ClusterWorld, ImportState, next_look, summarize_cluster};

/// Time between two attempts to install an agent.
const IMPORT_RETRY: Duration = Duration::from_secs(10);
/// Time until the next look at something that is about to exist.
const IMPORT_WAIT: Duration = Duration::from_millis(500);

/// Brings one Cluster where it shall be.
pub async fn reconcile_cluster(ctx: &Context, key: &ObjectKey) -> Result<NextWake, Error> {
    let Some(cluster) = ctx.stores.clusters.get(key) else { return Ok(NextWake::OnChange) };
    if cluster.metadata.deletion_timestamp.is_some() {
        return finalize_cluster(ctx, &cluster).await;
    }
    ensure_finalizer(ctx, &cluster).await?;
    let namespace = ensure_namespace(ctx, &cluster).await?;
    let import = look_after_agent(ctx, key, &cluster).await?;
    let deployments = ctx.stores.deployments.list_in(&namespace);
    let hub = ctx.hub();
    let world = ClusterWorld {
        cluster: &cluster,
        namespace: &namespace,
        deployments: &deployments,
        import: &import,
        offline_after: hub.offline_after(),
        now: ctx.now(),
    };
    let after = summarize_cluster(&world);
    write_status(ctx, &cluster, &after).await?;
    let retry = match import {
        ImportState::Failed(_) => NextWake::After(IMPORT_RETRY),
        ImportState::Waiting(_) => NextWake::After(IMPORT_WAIT),
        _ => NextWake::OnChange,
    };
    Ok(retry.earliest(next_look(&world)))
}

/// Whether somebody else looks after the cluster's agent.
fn is_managed_elsewhere(cluster: &Cluster) -> bool {
    label(&cluster.metadata, labels::CLUSTER_MANAGEMENT).is_some_and(|value| !value.is_empty())
}

async fn ensure_finalizer(ctx: &Context, cluster: &Cluster) -> Result<(), Error> {
    let mut finalizers = cluster.metadata.finalizers.clone().unwrap_or_default();
    if finalizers.iter().any(|held| held == labels::CLUSTER_FINALIZER) {
        return Ok(());
    }
    finalizers.push(labels::CLUSTER_FINALIZER.to_owned());
    write_finalizers(ctx, cluster, &finalizers).await
}

async fn write_finalizers(
    ctx: &Context,
    cluster: &Cluster,
    finalizers: &[String],
) -> Result<(), Error> {
    let patch = json!({ "metadata": {
        "finalizers": finalizers, "resourceVersion": cluster.metadata.resource_version,
    } });
    let api: Api<Cluster> =
        Api::namespaced(ctx.client.clone(), &cluster.namespace().unwrap_or_default());
    api.patch(&cluster.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|error| ApiError::new("write finalizers of a cluster", error))?;
    Ok(())
}

/// Creates the namespace of the cluster's BundleDeployments, and names it in the status at once:
/// bundles and registrations wait for it.
async fn ensure_namespace(ctx: &Context, cluster: &Cluster) -> Result<String, Error> {
    let (home, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let namespace = match cluster.cluster_namespace() {
        Some(held) => held.to_owned(),
        None => names::cluster_namespace(&home, &name),
    };
    let known = ctx.stores.namespaces.get(&ObjectKey::cluster_scoped(&namespace));
    match known {
        Some(known) if known.metadata.deletion_timestamp.is_some() => {
            // Left by a cluster of the same name that was deleted a moment ago.
            return Err(Error::NotYet { what: format!("namespace {namespace} to be gone") });
        }
        Some(_) => {}
        None => {
            ctx.objects
                .ensure(&json!({
                    "apiVersion": "v1", "kind": "Namespace",
                    "metadata": {
                        "name": namespace,
                        "labels": { labels::MANAGED: "true" },
                        "annotations": {
                            labels::CLUSTER: name, labels::CLUSTER_NAMESPACE: home,
                        },
                    },
                }))
                .await?;
        }
    }
    Ok(namespace)
}

/// Keeps the agent as it shall be, where that is the hub's task; most passes find nothing changed.
async fn look_after_agent(
    ctx: &Context,
    key: &ObjectKey,
    cluster: &Cluster,
) -> Result<ImportState, Error> {
    let bundle = ObjectKey::new(&key.namespace, names::agent_bundle(&key.name));
    let mark = || AgentMark {
        generation: cluster.metadata.generation,
        labels: cluster.metadata.labels.clone(),
        hub_version: ctx.hub_version(),
        bundle_generation: ctx
            .stores
            .bundles
            .get(&bundle)
            .and_then(|known| known.bundle.metadata.generation),
    };
    let before = mark();
    let asked = cluster.status.as_ref().is_some_and(|status| status.agent_config_changed);
    if !asked && ctx.memory.agent_agrees(key, &before) {
        return Ok(ImportState::UpToDate);
    }
    publish_agent_bundle(ctx, cluster).await?;
    let import = import_if_due(ctx, cluster).await;
    if matches!(import, ImportState::NotOurs | ImportState::UpToDate) && before == mark() {
        ctx.memory.note_agent(key, before);
    }
    Ok(import)
}

/// Keeps the Bundle that deploys the agent as it shall be.
async fn publish_agent_bundle(ctx: &Context, cluster: &Cluster) -> Result<(), Error> {
    let hub = ctx.hub();
    let is_local = cluster.name_any() == LOCAL_CLUSTER
        && cluster.namespace().as_deref() == hub.bootstrap_namespace();
    let disabled = hub.manage_agent == Some(false)
        || is_managed_elsewhere(cluster)
        || (is_local && hub.bootstrap.local_agent_disabled);
    let home = cluster.namespace().unwrap_or_default();
    let name = names::agent_bundle(&cluster.name_any());
    let held = ctx.stores.bundles.get(&ObjectKey::new(&home, &name));
    if disabled {
        return match held {
            Some(_) => delete_agent_bundle(ctx, cluster).await,
            None => Ok(()),
        };
    }
    let plan = agent_plan(ctx, cluster, &hub);
    let wanted = agent_bundle(&plan);
    if let Some(held) = held {
        // The files were dropped when the Bundle was read; their digest tells as much.
        let file = json!({ "name": "agent.yaml", "content": agent_yaml(&plan) });
        let resources = serde_json::from_value(json!([file])).unwrap_or_default();
        let same_files = held.content == Manifest { resources }.id();
        let same_namespace = held.bundle.spec.options.default_namespace == plan.namespace();
        if same_files && same_namespace {
            return Ok(());
        }
    }
    ctx.objects.ensure(&wanted).await?;
    Ok(())
}

async fn delete_agent_bundle(ctx: &Context, cluster: &Cluster) -> Result<(), Error> {
    let name = ObjectName {
        api_version: labels::API_VERSION,
        kind: "Bundle",
        namespace: &cluster.namespace().unwrap_or_default(),
        name: &names::agent_bundle(&cluster.name_any()),
    };
    ctx.objects.delete(&name).await?;
    Ok(())
}

/// Installs or removes the agent if the hub has a kubeconfig for the cluster and something changed.
async fn import_if_due(ctx: &Context, cluster: &Cluster) -> ImportState {
    match install_or_remove(ctx, cluster).await {
        Ok(state) => state,
        Err(Error::NotYet { what }) => ImportState::Waiting(what),
        Err(error) if error.class() == ErrorClass::Conflict => {
            ImportState::Waiting("a fresh look at the cluster".to_owned())
        }
        Err(error) => {
            let text = chain(&error);
            tracing::warn!(cluster = cluster.name_any(), error = text, "agent not installed");
            ImportState::Failed(text)
        }
    }
}

async fn install_or_remove(ctx: &Context, cluster: &Cluster) -> Result<ImportState, Error> {
    let hub = ctx.hub();
    let home = cluster.namespace().unwrap_or_default();
    let is_local =
        cluster.name_any() == LOCAL_CLUSTER && Some(home.as_str()) == hub.bootstrap_namespace();
    let has_kubeconfig = !cluster.spec.kube_config_secret.is_empty();
    if is_managed_elsewhere(cluster) || !(has_kubeconfig || is_local) {
        return Ok(ImportState::NotOurs);
    }
    let installed = AgentSettings::installed(cluster);
    let is_unwanted = is_local && hub.bootstrap.local_agent_disabled;
    if (is_unwanted && installed.is_none()) || (is_local && !ctx.config.bootstrap) {
        return Ok(ImportState::NotOurs);
    }
    let access = match has_kubeconfig {
        true => open_cluster(ctx, cluster).await?,
        false => ClusterAccess { client: ctx.client.clone(), server: ctx.api_server() },
    };
    if is_unwanted {
        uninstall_agent(ctx, cluster, &access).await?;
        return Ok(ImportState::Removed);
    }
    let wanted = AgentSettings::wanted(cluster, ctx, &access.server);
    let asked = cluster.status.as_ref().is_some_and(|status| status.agent_config_changed);
    if installed.as_ref() == Some(&wanted) && !asked {
        return Ok(ImportState::UpToDate);
    }
    import_cluster(ctx, cluster, &access).await.map(ImportState::Installed)
}

async fn write_status(
    ctx: &Context,
    cluster: &Cluster,
    after: &ClusterStatus,
) -> Result<(), Error> {
    let to_value = |status: &ClusterStatus| {
        let mut status = serde_json::to_value(status).unwrap_or_default();
        // The agent writes this part, and nobody else.
        if let Some(status) = status.as_object_mut() {
            status.remove("agent");
        }
        status
    };
    let before = cluster.status.as_ref().map(to_value).unwrap_or_default();
    let name = cluster.name_any();
    let api: Api<Cluster> =
        Api::namespaced(ctx.client.clone(), &cluster.namespace().unwrap_or_default());
    // Nobody else writes conditions of Clusters: no need to insist on a version.
    let write = StatusWrite { name: &name, resource_version: None, noise: &[] };
    if patch_status(&api, &write, &before, &to_value(after)).await?.is_some() {
        ctx.paces.clusters.note_write(&ObjectKey::of_meta(&cluster.metadata));
    }
    Ok(())
}

/// Takes away what a Cluster had, then lets it go.
async fn finalize_cluster(ctx: &Context, cluster: &Cluster) -> Result<NextWake, Error> {
    let finalizers = cluster.metadata.finalizers.clone().unwrap_or_default();
    if !finalizers.iter().any(|held| held == labels::CLUSTER_FINALIZER) {
        return Ok(NextWake::OnChange);
    }
    delete_agent_bundle(ctx, cluster).await?;
    delete_requests_of(ctx, cluster).await?;
    if let Some(namespace) = cluster.cluster_namespace() {
        let name =
            ObjectName { api_version: "v1", kind: "Namespace", namespace: "", name: namespace };
        ctx.objects.delete(&name).await?;
    }
    let rest: Vec<String> =
        finalizers.into_iter().filter(|held| held != labels::CLUSTER_FINALIZER).collect();
    write_finalizers(ctx, cluster, &rest).await?;
    tracing::info!(cluster = cluster.name_any(), "cluster deleted");
    Ok(NextWake::OnChange)
}
