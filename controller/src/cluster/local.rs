//! The cluster the hub itself runs on, registered as Cluster `local`.
//!
//! Owns what exists before any user does something. Start at [`bootstrap_local_cluster`].

use bundle_format::api::{labels, names};
use serde_json::{Value, json};

use crate::config::{ApiServer, Bootstrap, HubConfig};
use crate::context::Context;
use crate::error::Error;
use crate::objects::ObjectName;
use crate::registration::agent::encoded;
use crate::registration::credentials::agent_cluster_roles;
use crate::registration::token::read_account_token;

/// Name of the Cluster.
pub const LOCAL_CLUSTER: &str = "local";
/// Secret with its kubeconfig.
pub const LOCAL_SECRET: &str = "local-cluster";
/// The account that installs the local agent; the chart makes it and says what it may do.
const BOOTSTRAP_ACCOUNT: &str = "fleet-controller-bootstrap";

/// Creates what every hub has: the registration namespace, the roles of agents, and, unless
/// switched off, the local Cluster with its group.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn bootstrap_hub(ctx: &Context) -> Result<(), Error> {
    let namespace = ctx.config.registration_namespace();
    ctx.objects.ensure(&namespace_object(&namespace)).await?;
    ctx.objects.ensure_all(&agent_cluster_roles()).await?;
    let hub = ctx.hub();
    match hub.bootstrap_namespace() {
        Some(namespace) if ctx.config.bootstrap => {
            bootstrap_local_cluster(ctx, &hub, namespace).await
        }
        _ => Ok(()),
    }
}

async fn bootstrap_local_cluster(
    ctx: &Context,
    hub: &HubConfig,
    namespace: &str,
) -> Result<(), Error> {
    ctx.objects.ensure(&namespace_object(namespace)).await?;
    ctx.objects.ensure(&default_group(namespace)).await?;
    let secret = local_kubeconfig(ctx, namespace).await?;
    let has_secret = secret.is_some();
    if let Some(secret) = secret {
        ctx.objects.ensure(&secret).await?;
    }
    let tolerations = controller_tolerations(ctx).await?;
    let cluster = local_cluster(&hub.bootstrap, namespace, has_secret, tolerations);
    ctx.objects.ensure(&cluster).await?;
    if !hub.bootstrap.repo.is_empty() {
        ctx.objects.ensure(&bootstrap_repo(&hub.bootstrap, namespace)).await?;
    }
    Ok(())
}

fn namespace_object(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

fn default_group(namespace: &str) -> Value {
    json!({
        "apiVersion": labels::API_VERSION, "kind": "ClusterGroup",
        "metadata": { "name": "default", "namespace": namespace },
        "spec": { "selector": { "matchLabels": { "name": LOCAL_CLUSTER } } },
    })
}

fn local_cluster(
    bootstrap: &Bootstrap,
    namespace: &str,
    has_secret: bool,
    tolerations: Option<Value>,
) -> Value {
    let mut labels = bootstrap.cluster_labels.clone().unwrap_or_default();
    labels.insert("name".to_owned(), LOCAL_CLUSTER.to_owned());
    let mut spec = json!({});
    if has_secret {
        spec["kubeConfigSecret"] = json!(LOCAL_SECRET);
    }
    if !bootstrap.agent_namespace.is_empty() {
        spec["agentNamespace"] = json!(bootstrap.agent_namespace);
    }
    if let Some(tolerations) = tolerations {
        spec["agentTolerations"] = tolerations;
    }
    json!({
        "apiVersion": labels::API_VERSION, "kind": "Cluster",
        "metadata": { "name": LOCAL_CLUSTER, "namespace": namespace, "labels": labels },
        "spec": spec,
    })
}

fn bootstrap_repo(bootstrap: &Bootstrap, namespace: &str) -> Value {
    let paths = bootstrap.paths.split(',').map(str::trim).filter(|path| !path.is_empty());
    let mut spec = json!({ "repo": bootstrap.repo, "paths": paths.collect::<Vec<_>>() });
    for (member, value) in [("branch", &bootstrap.branch), ("clientSecretName", &bootstrap.secret)]
    {
        if !value.is_empty() {
            spec[member] = json!(value);
        }
    }
    json!({
        "apiVersion": labels::API_VERSION, "kind": "GitRepo",
        "metadata": { "name": "bootstrap", "namespace": namespace },
        "spec": spec,
    })
}

/// What the hub's own pods tolerate, the local agent tolerates as well.
async fn controller_tolerations(ctx: &Context) -> Result<Option<Value>, Error> {
    let name = ObjectName {
        api_version: "apps/v1",
        kind: "Deployment",
        namespace: &ctx.config.system_namespace,
        name: "fleet-controller",
    };
    let live = ctx.objects.fetch(&name).await?;
    let tolerations =
        live.and_then(|live| live.data.pointer("/spec/template/spec/tolerations").cloned());
    Ok(tolerations.filter(|list| list.as_array().is_some_and(|list| !list.is_empty())))
}

/// The Secret with the kubeconfig of the hub's own cluster; `None` where the chart made no account
/// for that (one process, tests), and the hub's own client has to do.
async fn local_kubeconfig(ctx: &Context, namespace: &str) -> Result<Option<Value>, Error> {
    let system = ctx.config.system_namespace.as_str();
    let account = ObjectName {
        api_version: "v1",
        kind: "ServiceAccount",
        namespace: system,
        name: BOOTSTRAP_ACCOUNT,
    };
    if ctx.objects.fetch(&account).await?.is_none() {
        return Ok(None);
    }
    ctx.objects
        .ensure(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": names::account_token_secret(BOOTSTRAP_ACCOUNT), "namespace": system,
                "annotations": { "kubernetes.io/service-account.name": BOOTSTRAP_ACCOUNT },
            },
            "type": "kubernetes.io/service-account-token",
        }))
        .await?;
    let token = read_account_token(&ctx.objects, system, BOOTSTRAP_ACCOUNT).await?;
    // The hub speaks to its own cluster as its pod does, agents as the ConfigMap says.
    let own = match ctx.config.api_server.url.is_empty() {
        true => ctx.api_server(),
        false => ctx.config.api_server.clone(),
    };
    let known = ctx.api_server();
    Ok(Some(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": LOCAL_SECRET, "namespace": namespace },
        "data": encoded(&[
            ("value", &kubeconfig(&own, &token)?),
            ("apiServerURL", &known.url),
            ("apiServerCA", &known.ca),
        ]),
    })))
}

fn kubeconfig(server: &ApiServer, token: &str) -> Result<String, Error> {
    use base64::Engine as _;
    let mut cluster = json!({ "server": server.url });
    if !server.ca.is_empty() {
        let ca = base64::engine::general_purpose::STANDARD.encode(&server.ca);
        cluster["certificate-authority-data"] = json!(ca);
    }
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "default",
        "clusters": [{ "name": "default", "cluster": cluster }],
        "users": [{ "name": "user", "user": { "token": token } }],
        "contexts": [{ "name": "default", "context": { "cluster": "default", "user": "user" } }],
    });
    serde_yaml::to_string(&config)
        .map_err(|error| Error::Bug { what: format!("kubeconfig of the local cluster: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_cluster_has_the_labels_of_the_chart_and_its_name() {
        let bootstrap = json!({"clusterLabels": {"env": "dev"}});
        let bootstrap: Bootstrap = serde_json::from_value(bootstrap).unwrap();
        let cluster = local_cluster(&bootstrap, "fleet-local", true, None);
        assert_eq!(cluster["metadata"]["labels"], json!({"env": "dev", "name": "local"}));
        assert_eq!(cluster["spec"], json!({"kubeConfigSecret": "local-cluster"}));
    }

    #[test]
    fn the_first_repository_is_that_of_the_chart() {
        let bootstrap = json!({"repo": "https://git.example/r", "branch": "main",
            "paths": "apps/web, apps/db,", "secret": "login"});
        let bootstrap: Bootstrap = serde_json::from_value(bootstrap).unwrap();
        let repo = bootstrap_repo(&bootstrap, "fleet-local");
        assert_eq!(repo["metadata"], json!({"name": "bootstrap", "namespace": "fleet-local"}));
        let spec = json!({"repo": "https://git.example/r", "branch": "main",
            "paths": ["apps/web", "apps/db"], "clientSecretName": "login"});
        assert_eq!(repo["spec"], spec);
    }
}
