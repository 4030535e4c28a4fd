//! Installs the agent of a cluster whose kubeconfig the hub has.
//!
//! Owns when that is due and what is written to the cluster. Knows nothing of statuses. Start at
//! [`import_cluster`].

use std::time::Duration;

use base64::Engine as _;
use bundle_format::api::{Cluster, GoDuration, labels, names};
use kube::{Client, ResourceExt};
use runtime::{ApiError, ObjectKey, world};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha224};

use crate::config::{ApiServer, HubConfig};
use crate::context::Context;
use crate::error::Error;
use crate::objects::{ObjectName, Objects, owned_by};
use crate::registration::agent::{AgentPlan, agent_objects, bootstrap_objects};
use crate::registration::token::read_account_token;

/// How long a cluster may take to answer the first request.
const SMOKE_TEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the token lives with which an agent registers that the hub installs.
const IMPORT_TOKEN_TTL: &str = "12h0m0s";

/// The settings an agent was installed with, as they stand in `Cluster.status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSettings {
    /// `redeployAgentGeneration`.
    pub generation: i64,
    /// Address of the hub.
    pub server_url: String,
    /// Hash of the hub's CA.
    pub server_ca_hash: String,
    /// TLS mode.
    pub tls_mode: String,
    /// Clean-up interval.
    pub gc_interval: String,
    /// Hashes of environment, affinity, resources, tolerations and scheduling.
    pub hashes: [String; 5],
    /// Registry of the image.
    pub private_repo_url: String,
    /// Network of the node.
    pub host_network: bool,
}

impl AgentSettings {
    /// The settings wanted now.
    pub fn wanted(cluster: &Cluster, ctx: &Context, server: &ApiServer) -> Self {
        let (spec, hub) = (&cluster.spec, ctx.hub());
        Self {
            generation: spec.redeploy_agent_generation,
            server_url: server.url.clone(),
            server_ca_hash: sha224(server.ca.as_bytes()),
            tls_mode: hub.tls_mode().to_owned(),
            gc_interval: GoDuration::from_std(hub.gc_interval()).0,
            hashes: [
                hash_of(&spec.agent_env_vars, spec.agent_env_vars.is_empty()),
                hash_of(&spec.agent_affinity, spec.agent_affinity.is_none()),
                hash_of(&spec.agent_resources, spec.agent_resources.is_none()),
                hash_of(&spec.agent_tolerations, spec.agent_tolerations.is_empty()),
                hash_of(
                    &spec.agent_scheduling_customization,
                    spec.agent_scheduling_customization.is_none(),
                ),
            ],
            private_repo_url: spec.private_repo_url.clone(),
            host_network: spec.host_network == Some(true),
        }
    }

    /// The settings the agent was installed with; `None` when it never was.
    pub fn installed(cluster: &Cluster) -> Option<Self> {
        let status = cluster.status.as_ref()?;
        Some(Self {
            generation: status.agent_deployed_generation?,
            server_url: status.api_server_url.clone(),
            server_ca_hash: status.api_server_ca_hash.clone(),
            tls_mode: status.agent_tls_mode.clone(),
            gc_interval: status.garbage_collection_interval.clone().unwrap_or_default().0,
            hashes: [
                status.agent_env_vars_hash.clone(),
                status.agent_affinity_hash.clone(),
                status.agent_resources_hash.clone(),
                status.agent_tolerations_hash.clone(),
                status.agent_scheduling_customization_hash.clone(),
            ],
            private_repo_url: status.agent_private_repo_url.clone(),
            host_network: status.agent_host_network,
        })
    }

    /// Notes in a status that an agent was installed with these settings.
    pub fn note(&self, status: &mut bundle_format::api::ClusterStatus) {
        status.agent_deployed_generation = Some(self.generation);
        status.api_server_url.clone_from(&self.server_url);
        status.api_server_ca_hash.clone_from(&self.server_ca_hash);
        status.agent_tls_mode.clone_from(&self.tls_mode);
        status.garbage_collection_interval = Some(GoDuration(self.gc_interval.clone()));
        let [env, affinity, resources, tolerations, scheduling] = self.hashes.clone();
        status.agent_env_vars_hash = env;
        status.agent_affinity_hash = affinity;
        status.agent_resources_hash = resources;
        status.agent_tolerations_hash = tolerations;
        status.agent_scheduling_customization_hash = scheduling;
        status.agent_private_repo_url.clone_from(&self.private_repo_url);
        status.agent_host_network = self.host_network;
        // Old releases left agents in other namespaces; what is installed now is where it belongs.
        status.agent_migrated = true;
        status.agent_namespace_migrated = true;
        status.cattle_namespace_migrated = true;
        status.agent_config_changed = false;
    }

    /// Notes in a status that no agent is installed.
    pub fn forget(status: &mut bundle_format::api::ClusterStatus) {
        status.agent_deployed_generation = None;
    }
}

fn hash_of<T: Serialize>(field: &T, is_unset: bool) -> String {
    match is_unset {
        true => String::new(),
        false => sha224(&serde_json::to_vec(field).unwrap_or_default()),
    }
}

fn sha224(bytes: &[u8]) -> String {
    names::hex(&Sha224::digest(bytes))
}

/// Installs the agent of a cluster and returns the settings it got.
///
/// # Errors
/// When the cluster cannot be reached, refuses, or its kubeconfig cannot be used.
pub async fn import_cluster(
    ctx: &Context,
    cluster: &Cluster,
    access: &ClusterAccess,
) -> Result<AgentSettings, Error> {
    let remote = Objects::new(access.client.clone());
    smoke_test(&access.client).await?;
    ensure_client_id(ctx, cluster).await?;
    let (token_name, token) = import_token(ctx, cluster).await?;
    let hub = ctx.hub();
    let plan = agent_plan(ctx, cluster, &hub);
    if AgentSettings::installed(cluster).is_some() {
        remove_agent(&remote, plan.namespace()).await?;
    }
    let registration_namespace = ctx.config.registration_namespace();
    let bootstrap =
        bootstrap_objects(&plan, &access.server, &registration_namespace, (&token_name, &token));
    remote.ensure_all(&bootstrap).await?;
    let set_id = plan.set_id();
    let mut objects = agent_objects(&plan);
    objects.iter_mut().for_each(|object| mark_as_set(object, &set_id));
    remote.ensure_all(&objects).await?;
    tracing::info!(cluster = cluster.name_any(), "agent installed");
    Ok(AgentSettings::wanted(cluster, ctx, &access.server))
}

/// Takes the agent of a cluster away.
///
/// # Errors
/// When the cluster cannot be reached, or refuses.
pub async fn uninstall_agent(
    ctx: &Context,
    cluster: &Cluster,
    access: &ClusterAccess,
) -> Result<(), Error> {
    smoke_test(&access.client).await?;
    let hub = ctx.hub();
    let remote = Objects::new(access.client.clone());
    remove_agent(&remote, agent_plan(ctx, cluster, &hub).namespace()).await?;
    tracing::info!(cluster = cluster.name_any(), "agent removed");
    Ok(())
}

/// What the agent of a cluster depends on.
pub fn agent_plan<'a>(ctx: &'a Context, cluster: &'a Cluster, hub: &'a HubConfig) -> AgentPlan<'a> {
    AgentPlan {
        cluster,
        hub,
        process: &ctx.config.agent,
        system_namespace: &ctx.config.system_namespace,
    }
}

/// How the hub reaches a cluster, and how its agent reaches the hub.
pub struct ClusterAccess {
    /// Client of the cluster.
    pub client: Client,
    /// The hub, as the agent will see it.
    pub server: ApiServer,
}

/// Namespaces a kubeconfig Secret may lie in, besides the Cluster's own.
fn is_allowed_namespace(namespace: &str) -> bool {
    let fixed = [
        labels::LOCAL_NAMESPACE,
        labels::DEFAULT_NAMESPACE,
        labels::SYSTEM_NAMESPACE,
        labels::LEGACY_SYSTEM_NAMESPACE,
    ];
    namespace.starts_with("cluster-")
        || fixed.contains(&namespace)
        || fixed.iter().any(|name| labels::registration_namespace(name) == namespace)
}

/// Reads the Secret that `spec.kubeConfigSecret` names.
///
/// # Errors
/// When it is absent, lies in a namespace it may not, or holds no usable kubeconfig.
pub async fn open_cluster(ctx: &Context, cluster: &Cluster) -> Result<ClusterAccess, Error> {
    let home = cluster.namespace().unwrap_or_default();
    let namespace = match cluster.spec.kube_config_secret_namespace.as_str() {
        "" => home.as_str(),
        other => other,
    };
    let user = |detail: String| Error::User {
        object: format!("cluster {home}/{}", cluster.name_any()),
        detail,
    };
    if namespace != home && !is_allowed_namespace(namespace) {
        return Err(user(format!(
            "kubeConfigSecretNamespace {namespace:?} is not an allowed Fleet namespace"
        )));
    }
    let secret = cluster.spec.kube_config_secret.as_str();
    let name = ObjectName { api_version: "v1", kind: "Secret", namespace, name: secret };
    let live = ctx.objects.fetch(&name).await?;
    let live = live.ok_or_else(|| user(format!("secret {namespace}/{secret} does not exist")))?;
    let member = |key: &str| secret_text(&live.data, key);
    let kubeconfig = member("value")
        .ok_or_else(|| user(format!("secret {namespace}/{secret} has no key \"value\"")))?;
    let origin = format!("secret {namespace}/{secret}");
    let client =
        runtime::client::from_kubeconfig_text(&kubeconfig, &origin, "fleet-controller").await?;
    let known = ctx.api_server();
    let url = member("apiServerURL").filter(|url| !url.is_empty()).unwrap_or(known.url);
    let ca = member("apiServerCA").filter(|ca| !ca.is_empty()).unwrap_or(known.ca);
    if url.is_empty() {
        return Err(user(format!(
            "nobody says where the agent reaches the hub: set the chart value apiServerURL, or \
             key apiServerURL of secret {namespace}/{secret}"
        )));
    }
    Ok(ClusterAccess { client, server: ApiServer { url, ca } })
}

/// The text behind a key of a Secret.
pub fn secret_text(secret: &Value, key: &str) -> Option<String> {
    let encoded = secret.get("data")?.get(key)?.as_str()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok()
}

async fn smoke_test(client: &Client) -> Result<(), Error> {
    let answer = tokio::time::timeout(SMOKE_TEST_TIMEOUT, client.apiserver_version()).await;
    match answer {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(ApiError::new("reach the cluster", error).into()),
        Err(_) => Err(Error::NotYet { what: "an answer of the cluster's API server".to_owned() }),
    }
}

/// An identity for the cluster, chosen once.
async fn ensure_client_id(ctx: &Context, cluster: &Cluster) -> Result<(), Error> {
    if !cluster.spec.client_id.is_empty() {
        return Ok(());
    }
    let api: kube::Api<Cluster> =
        kube::Api::namespaced(ctx.client.clone(), &cluster.namespace().unwrap_or_default());
    let patch = json!({
        // Two processes must not choose two identities.
        "metadata": { "resourceVersion": cluster.metadata.resource_version },
        "spec": { "clientID": random_text()? },
    });
    api.patch(&cluster.name_any(), &Default::default(), &kube::api::Patch::Merge(&patch))
        .await
        .map_err(|error| ApiError::new("choose a clientID", error))?;
    Err(Error::NotYet { what: "the clientID just chosen".to_owned() })
}

/// 54 characters nobody can guess.
fn random_text() -> Result<String, Error> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 54];
    let failed = |error: world::NoChance| Error::NotYet { what: error.to_string() };
    world::fill_random(&mut bytes).map_err(failed)?;
    // 32 letters: five bits of each byte choose one, all with the same chance.
    Ok(bytes.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).iter().collect())
}

/// The token with which the new agent registers; created when there is none.
async fn import_token(ctx: &Context, cluster: &Cluster) -> Result<(String, String), Error> {
    let namespace = cluster.namespace().unwrap_or_default();
    let name = names::import_token(&cluster.name_any());
    let key = ObjectKey::new(&namespace, &name);
    let uid = match ctx.stores.tokens.get(&key) {
        Some(token) if token.metadata.deletion_timestamp.is_none() => token.uid(),
        _ => {
            let token = json!({
                "apiVersion": labels::API_VERSION, "kind": "ClusterRegistrationToken",
                "metadata": {
                    "name": name, "namespace": namespace, "ownerReferences": owned_by(cluster),
                },
                "spec": { "ttl": IMPORT_TOKEN_TTL },
            });
            ctx.objects.ensure(&token).await?.uid()
        }
    };
    let account = names::token_account(&name, &uid.unwrap_or_default());
    let token = read_account_token(&ctx.objects, &namespace, &account).await?;
    Ok((name, token))
}

/// Takes an older agent away, with what it knows: it must register anew.
async fn remove_agent(remote: &Objects, namespace: &str) -> Result<(), Error> {
    let parts = [
        ("apps/v1", "Deployment", labels::AGENT_NAME),
        ("v1", "Secret", labels::AGENT_NAME),
        ("v1", "Secret", labels::AGENT_BOOTSTRAP_NAME),
        ("v1", "ConfigMap", labels::AGENT_NAME),
    ];
    for (api_version, kind, name) in parts {
        remote.delete(&ObjectName { api_version, kind, namespace, name }).await?;
    }
    Ok(())
}

/// Marks an object as a member of the agent's set, so that the agent's Bundle adopts it.
fn mark_as_set(object: &mut Value, set_id: &str) {
    object["metadata"]["annotations"][labels::OBJECT_SET_ID] = json!(set_id);
    object["metadata"]["labels"][labels::OBJECT_SET_HASH] = json!(names::object_set_hash(set_id));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubeconfigs_may_only_come_from_fleets_own_namespaces() {
        for allowed in ["fleet-default", "cattle-fleet-clusters-system", "cluster-x-y"] {
            assert!(is_allowed_namespace(allowed), "{allowed}");
        }
        for refused in ["kube-system", "default", "cattle-system"] {
            assert!(!is_allowed_namespace(refused), "{refused}");
        }
    }

    #[test]
    fn an_unset_field_has_no_hash() {
        assert_eq!(hash_of(&Vec::<String>::new(), true), "");
        assert_eq!(hash_of(&["x"], false).len(), 56);
    }
}
