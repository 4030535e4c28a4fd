//! Takes away what lost its owner: agents' accounts and roles, stale credentials, namespaces.
//!
//! Owns the search for such objects; deletes only what carries the label
//! `fleet.cattle.io/managed` and names its owner. Start at [`sweep_access`].

use std::time::Duration;

use bundle_format::api::labels;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Role, RoleBinding};
use kube::api::{ListParams, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::{Api, Resource, ResourceExt};
use runtime::{ApiError, NextWake, ObjectKey};

use super::token::wake_at;
use crate::context::{Context, Orphan};
use crate::error::Error;
use crate::objects::ObjectName;
use crate::stores::{annotation, label};

/// How long an agent has to fetch its credential.
const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(40 * 60);

/// Deletes the accounts, roles and Secrets of ClusterRegistrations that are gone.
pub async fn sweep_access(ctx: &Context) -> Result<NextWake, Error> {
    sweep::<ServiceAccount>(ctx, "ServiceAccount").await?;
    sweep::<Secret>(ctx, "Secret").await?;
    sweep::<Role>(ctx, "Role").await?;
    sweep::<RoleBinding>(ctx, "RoleBinding").await?;
    sweep::<ClusterRoleBinding>(ctx, "ClusterRoleBinding").await?;
    Ok(NextWake::OnChange)
}

async fn sweep<K>(ctx: &Context, kind: &str) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::all(ctx.client.clone());
    let selector = format!("{}=true", labels::MANAGED);
    let mut params = ListParams::default().labels(&selector).limit(500);
    loop {
        let page = api
            .list_metadata(&params)
            .await
            .map_err(|error| ApiError::new(format!("list managed {kind}s"), error))?;
        for object in &page.items {
            if is_orphan(ctx, &object.metadata) {
                delete(ctx, &K::api_version(&()), kind, object).await?;
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// Whether an object names a ClusterRegistration that does not exist.
fn is_orphan(ctx: &Context, meta: &ObjectMeta) -> bool {
    let owner = annotation(meta, labels::CLUSTER_REGISTRATION);
    let namespace = annotation(meta, labels::CLUSTER_REGISTRATION_NAMESPACE);
    let (Some(owner), Some(namespace)) = (owner, namespace) else { return false };
    !ctx.stores.registrations.exists(&ObjectKey::new(namespace, owner))
}

async fn delete<K: Resource>(
    ctx: &Context,
    api_version: &str,
    kind: &str,
    object: &PartialObjectMeta<K>,
) -> Result<(), Error>
where
    PartialObjectMeta<K>: ResourceExt,
{
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let name = object.metadata.name.clone().unwrap_or_default();
    tracing::info!(kind, namespace, name, "deleted: its registration is gone");
    let name = ObjectName { api_version, kind, namespace: &namespace, name: &name };
    ctx.objects.delete(&name).await?;
    Ok(())
}

/// Deletes a credential Secret that nobody fetched in time.
pub async fn expire_credential(ctx: &Context, key: &ObjectKey) -> Result<NextWake, Error> {
    let Some(secret) = ctx.stores.credentials.get(key) else { return Ok(NextWake::OnChange) };
    let created = secret.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let expires = created.and_then(|time| time.checked_add(CREDENTIAL_LIFETIME).ok());
    let Some(expires) = expires else { return Ok(NextWake::OnChange) };
    if expires > ctx.now() {
        return Ok(wake_at(expires, ctx.now()));
    }
    let name = ObjectName {
        api_version: "v1",
        kind: "Secret",
        namespace: &key.namespace,
        name: &key.name,
    };
    ctx.objects.delete(&name).await?;
    Ok(NextWake::OnChange)
}

/// Deletes a cluster namespace whose Cluster is gone.
pub async fn delete_namespace_without_cluster(
    ctx: &Context,
    namespace: &str,
) -> Result<NextWake, Error> {
    let key = ObjectKey::cluster_scoped(namespace);
    let Some(found) = ctx.stores.namespaces.get(&key) else { return Ok(NextWake::OnChange) };
    let managed = label(&found.metadata, labels::MANAGED) == Some("true");
    let cluster = annotation(&found.metadata, labels::CLUSTER);
    let home = annotation(&found.metadata, labels::CLUSTER_NAMESPACE);
    let (true, Some(cluster), Some(home)) = (managed, cluster, home) else {
        return Ok(NextWake::OnChange);
    };
    let owner = ObjectKey::new(home, cluster);
    if ctx.stores.clusters.exists(&owner) || found.metadata.deletion_timestamp.is_some() {
        return Ok(NextWake::OnChange);
    }
    tracing::info!(namespace, cluster = %owner, "deleted: its cluster is gone");
    let name = ObjectName { api_version: "v1", kind: "Namespace", namespace: "", name: namespace };
    ctx.objects.delete(&name).await?;
    Ok(NextWake::OnChange)
}

/// Does one piece of cleaning.
pub async fn reconcile_orphan(ctx: &Context, orphan: &Orphan) -> Result<NextWake, Error> {
    match orphan {
        Orphan::Access => sweep_access(ctx).await,
        Orphan::Credential(key) => expire_credential(ctx, key).await,
        Orphan::Namespace(name) => delete_namespace_without_cluster(ctx, name).await,
        Orphan::Deployment(key) => crate::bundle_deployment::clean_deployment(ctx, key).await,
    }
}
