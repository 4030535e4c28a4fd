//! The account of an agent: what it may do on the hub, and the Secret that hands it over.
//!
//! Owns the exact permissions. Invariant: no wildcard, nothing outside the agent's own namespace
//! but its Cluster's status and Contents by name. Start at [`access_objects`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bundle_format::api::{Cluster, ClusterRegistration, ClusterRegistrationToken, labels, names};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::token::read_account_token;
use crate::context::Context;
use crate::error::Error;
use crate::objects::owned_by;

/// Who gets access to what.
pub struct Grant<'a> {
    /// The request.
    pub request: &'a ClusterRegistration,
    /// The Cluster it is for; it has a namespace.
    pub cluster: &'a Cluster,
    /// The token the agent used; its account may fetch the credential.
    pub token: Option<&'a ClusterRegistrationToken>,
}

/// Creates the account, its permissions and the Secret from which the agent learns them.
///
/// # Errors
/// When the API server refuses, or has not made the account's token yet.
pub async fn grant_access(ctx: &Context, grant: &Grant<'_>) -> Result<(), Error> {
    let account = Account::of(grant)?;
    ctx.objects.ensure_all(&account.objects()).await?;
    let token = read_account_token(&ctx.objects, account.namespace, &account.name).await?;
    let registration_namespace = ctx.config.registration_namespace();
    let names = CredentialNames::of(grant, &registration_namespace);
    // Permissions first: an agent that finds the Secret uses it at once.
    ctx.objects.ensure_all(&access_objects(grant, &account, &names)).await?;
    let system = &ctx.config.system_namespace;
    ctx.objects.ensure(&credential_secret(grant, &names, system, &token)).await?;
    Ok(())
}

/// The account behind a request.
struct Account<'a> {
    name: String,
    namespace: &'a str,
    request: &'a ClusterRegistration,
    cluster: &'a Cluster,
}

impl<'a> Account<'a> {
    fn of(grant: &Grant<'a>) -> Result<Self, Error> {
        let namespace = grant.cluster.cluster_namespace().ok_or_else(|| Error::NotYet {
            what: format!("the namespace of cluster {}", grant.cluster.name_any()),
        })?;
        let uid = grant.request.uid().unwrap_or_default();
        let name = names::request_account(&grant.request.name_any(), &uid);
        Ok(Self { name, namespace, request: grant.request, cluster: grant.cluster })
    }

    fn objects(&self) -> [Value; 2] {
        let meta = |name: &str| {
            let mut meta = managed_meta(self.request, name, self.namespace);
            meta["annotations"][labels::CLUSTER] = json!(self.cluster.name_any());
            meta
        };
        let mut secret_meta = meta(&names::account_token_secret(&self.name));
        secret_meta["annotations"]["kubernetes.io/service-account.name"] = json!(self.name);
        [
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(&self.name) }),
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": secret_meta,
                "type": "kubernetes.io/service-account-token",
            }),
        ]
    }

    fn subjects(&self) -> Value {
        json!([{ "kind": "ServiceAccount", "name": self.name, "namespace": self.namespace }])
    }
}

/// Names of the credential Secret and of the role that lets one account read it.
struct CredentialNames<'a> {
    namespace: &'a str,
    secret: String,
    role: String,
    reader: Option<(String, String)>,
}

impl<'a> CredentialNames<'a> {
    fn of(grant: &Grant<'_>, namespace: &'a str) -> Self {
        let spec = &grant.request.spec;
        let reader = grant.token.map(|token| {
            let account = names::token_account(&token.name_any(), &token.uid().unwrap_or_default());
            (account, token.namespace().unwrap_or_default())
        });
        Self {
            namespace,
            secret: names::credential_secret(&spec.client_id, &spec.client_random),
            role: format!("{}-creds", grant.request.name_any()),
            reader,
        }
    }
}

/// Metadata of an object that goes when the request goes. It may lie in another namespace, where
/// owner references do not reach: annotations name the owner, see [`super::orphans`].
fn managed_meta(request: &ClusterRegistration, name: &str, namespace: &str) -> Value {
    json!({
        "name": name, "namespace": namespace,
        "labels": { labels::MANAGED: "true" },
        "annotations": {
            labels::CLUSTER_REGISTRATION: request.name_any(),
            labels::CLUSTER_REGISTRATION_NAMESPACE: request.namespace(),
        },
    })
}

/// The permissions of an agent, and those of the token's account to fetch its credential.
fn access_objects(
    grant: &Grant<'_>,
    account: &Account<'_>,
    names: &CredentialNames<'_>,
) -> Vec<Value> {
    let request = grant.request.name_any();
    let home = grant.request.namespace().unwrap_or_default();
    let mut own_meta = managed_meta(grant.request, &request, &home);
    own_meta["ownerReferences"] = owned_by(grant.request);
    let mut cluster_wide_meta = managed_meta(grant.request, &format!("{request}-content"), "");
    cluster_wide_meta.as_object_mut().map(|meta| meta.remove("namespace"));

    let mut objects = vec![
        json!({
            "apiVersion": RBAC, "kind": "Role", "metadata": own_meta,
            "rules": [{
                "apiGroups": [labels::GROUP],
                "resources": ["clusters/status"],
                "resourceNames": [grant.cluster.name_any()],
                "verbs": ["patch"],
            }],
        }),
        binding("RoleBinding", own_meta.clone(), ("Role", &request), account.subjects()),
        binding(
            "RoleBinding",
            managed_meta(grant.request, &request, account.namespace),
            ("ClusterRole", labels::BUNDLE_DEPLOYMENT_ROLE),
            account.subjects(),
        ),
        binding(
            "ClusterRoleBinding",
            cluster_wide_meta,
            ("ClusterRole", labels::CONTENT_ROLE),
            account.subjects(),
        ),
    ];
    if let Some((reader, reader_namespace)) = &names.reader {
        let meta = managed_meta(grant.request, &names.role, names.namespace);
        objects.push(json!({
            "apiVersion": RBAC, "kind": "Role", "metadata": meta,
            "rules": [{
                "apiGroups": [""], "resources": ["secrets"],
                "resourceNames": [names.secret], "verbs": ["get"],
            }],
        }));
        let subjects =
            json!([{ "kind": "ServiceAccount", "name": reader, "namespace": reader_namespace }]);
        objects.push(binding("RoleBinding", meta, ("Role", &names.role), subjects));
    }
    objects
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";

fn binding(kind: &str, metadata: Value, role: (&str, &str), subjects: Value) -> Value {
    json!({
        "apiVersion": RBAC, "kind": kind, "metadata": metadata,
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1,
        },
        "subjects": subjects,
    })
}

fn credential_secret(
    grant: &Grant<'_>,
    names: &CredentialNames<'_>,
    system_namespace: &str,
    token: &str,
) -> Value {
    let cluster = grant.cluster;
    let mut meta = managed_meta(grant.request, &names.secret, names.namespace);
    meta["labels"][labels::CLUSTER] = json!(cluster.name_any());
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": meta,
        "type": labels::AGENT_CREDENTIAL_TYPE,
        "data": {
            "token": BASE64.encode(token),
            "deploymentNamespace": BASE64.encode(cluster.cluster_namespace().unwrap_or_default()),
            "clusterNamespace": BASE64.encode(cluster.namespace().unwrap_or_default()),
            "clusterName": BASE64.encode(cluster.name_any()),
            "systemNamespace": BASE64.encode(system_namespace),
        },
    })
}

/// The two ClusterRoles that agents get; made once at start.
pub fn agent_cluster_roles() -> [Value; 2] {
    [
        json!({
            "apiVersion": RBAC, "kind": "ClusterRole",
            "metadata": { "name": labels::BUNDLE_DEPLOYMENT_ROLE },
            "rules": [
                {
                    "apiGroups": [labels::GROUP], "resources": ["bundledeployments"],
                    "verbs": ["get", "list", "watch"],
                },
                {
                    "apiGroups": [labels::GROUP], "resources": ["bundledeployments/status"],
                    "verbs": ["update", "patch"],
                },
                { "apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get"] },
            ],
        }),
        json!({
            "apiVersion": RBAC, "kind": "ClusterRole",
            "metadata": { "name": labels::CONTENT_ROLE },
            "rules": [{
                "apiGroups": [labels::GROUP], "resources": ["contents"], "verbs": ["get"],
            }],
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant_of(request: &ClusterRegistration, cluster: &Cluster) -> Vec<Value> {
        let mut token = ClusterRegistrationToken::default();
        token.metadata.name = Some("new-token".into());
        token.metadata.namespace = Some("clusters".into());
        token.metadata.uid = Some("592e111a-93dc-456c-923a-05981eeb654f".into());
        let grant = Grant { request, cluster, token: Some(&token) };
        let account = Account::of(&grant).unwrap();
        let names = CredentialNames::of(&grant, "cattle-fleet-clusters-system");
        let mut objects = account.objects().to_vec();
        objects.extend(access_objects(&grant, &account, &names));
        objects.push(credential_secret(&grant, &names, "cattle-fleet-system", "t"));
        objects
    }

    fn seen_request() -> ClusterRegistration {
        let mut request = ClusterRegistration::default();
        request.metadata.name = Some("request-lhv95".into());
        request.metadata.namespace = Some("clusters".into());
        request.metadata.uid = Some("84d3395e-4c7d-45e6-8229-d2afa20e795f".into());
        request.spec.client_id = "cid-d1".into();
        request.spec.client_random =
            "xvk4hrhp45j9n2bm9f746zf66trdjg7jln8rwmsfc9pjhj9xgsr4md".into();
        request
    }

    fn seen_cluster() -> Cluster {
        let mut cluster = Cluster::default();
        cluster.metadata.name = Some("cluster-84ce0150729a".into());
        cluster.metadata.namespace = Some("clusters".into());
        cluster.status.get_or_insert_default().namespace =
            names::cluster_namespace("clusters", "cluster-84ce0150729a");
        cluster
    }

    // Names and rules as recorded on a hub with Rancher Fleet 0.16.
    #[test]
    fn an_agent_gets_what_the_reference_gives_and_no_more() {
        let objects = grant_of(&seen_request(), &seen_cluster());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let listed = objects
            .iter()
            .map(|object| {
                let meta = &object["metadata"];
                format!(
                    "{} {}/{}",
                    text(&object["kind"]),
                    text(&meta["namespace"]),
                    text(&meta["name"])
                )
            })
            .collect::<Vec<_>>();
        let own = "cluster-clusters-cluster-84ce0150729a-1485c71b4c74";
        let account = "request-lhv95-84d3395e-4c7d-45e6-8229-d2afa20e795f";
        let secret = "c-bca573233259b6dda82e52bfe87464afdea9fd61045a65b540fc314d5a998";
        assert_eq!(
            listed,
            [
                format!("ServiceAccount {own}/{account}"),
                format!("Secret {own}/{account}-token"),
                "Role clusters/request-lhv95".to_owned(),
                "RoleBinding clusters/request-lhv95".to_owned(),
                format!("RoleBinding {own}/request-lhv95"),
                "ClusterRoleBinding /request-lhv95-content".to_owned(),
                "Role cattle-fleet-clusters-system/request-lhv95-creds".to_owned(),
                "RoleBinding cattle-fleet-clusters-system/request-lhv95-creds".to_owned(),
                format!("Secret cattle-fleet-clusters-system/{secret}"),
            ]
        );
        assert_eq!(
            objects[7]["subjects"][0]["name"],
            "new-token-592e111a-93dc-456c-923a-05981eeb654f"
        );
    }

    #[test]
    fn no_role_has_a_wildcard() {
        let roles = agent_cluster_roles();
        for object in grant_of(&seen_request(), &seen_cluster()).iter().chain(&roles) {
            assert!(!object["rules"].to_string().contains('*'), "{object}");
        }
    }
}
