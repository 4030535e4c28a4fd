//! ClusterRegistrationToken → account, role and the Secret with values for the agent's chart.
//!
//! Owns the life of a token. Knows nothing of the clusters that use it. Start at
//! [`reconcile_token`].

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bundle_format::api::{ClusterRegistrationToken, GoDuration, labels, names};
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use runtime::clock::time_text;
use runtime::conditions::ConditionUpdate;
use runtime::status::{StatusWrite, patch_status};
use runtime::{NextWake, ObjectKey};
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::ApiServer;
use crate::context::Context;
use crate::error::Error;
use crate::objects::{ObjectName, Objects, owned_by};

/// What shall become of a token.
#[derive(Debug, PartialEq)]
enum TokenFate {
    /// It expired, or would never expire though it has to.
    Delete,
    /// It lives, until that time if there is one.
    Keep { expires: Option<Timestamp> },
}

/// Makes a token usable, or takes it away.
pub async fn reconcile_token(ctx: &Context, key: &ObjectKey) -> Result<NextWake, Error> {
    let Some(token) = ctx.stores.tokens.get(key) else { return Ok(NextWake::OnChange) };
    if token.metadata.deletion_timestamp.is_some() {
        return Ok(NextWake::OnChange);
    }
    let expires = match plan_token(&token, ctx.config.token_ttl_required, ctx.now()) {
        TokenFate::Delete => {
            tracing::info!(token = %key, "token expired");
            let name = ObjectName {
                api_version: labels::API_VERSION,
                kind: "ClusterRegistrationToken",
                namespace: &key.namespace,
                name: &key.name,
            };
            ctx.objects.delete(&name).await?;
            return Ok(NextWake::OnChange);
        }
        TokenFate::Keep { expires } => expires,
    };
    ctx.objects.ensure_all(&token_access(&token)).await?;
    let account = names::token_account(&key.name, &token.uid().unwrap_or_default());
    let secret = read_account_token(&ctx.objects, &key.namespace, &account).await?;
    let server = api_server(ctx, &token);
    let usable = usable(&server);
    let values = RegistrationValues::new(ctx, key, secret, server).to_yaml()?;
    ctx.objects.ensure(&values_secret(&token, &values)).await?;

    let before = serde_json::to_value(&token.status).unwrap_or_default();
    let mut status = token.status.clone().unwrap_or_default();
    runtime::conditions::set(&mut status.conditions, &usable, ctx.now());
    let after = json!({
        "secretName": key.name,
        "expires": expires.map(time_text),
        "conditions": status.conditions,
    });
    let api: Api<ClusterRegistrationToken> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let write = StatusWrite { name: &key.name, resource_version: None, noise: &[] };
    patch_status(&api, &write, &before, &after).await?;
    Ok(expires.map_or(NextWake::OnChange, |at| wake_at(at, ctx.now())))
}

/// Where agents with this token reach the hub. The tokens that the hub makes for its own imports are
/// used from the hub's own place.
fn api_server(ctx: &Context, token: &ClusterRegistrationToken) -> ApiServer {
    let owners = token.metadata.owner_references.iter().flatten();
    match owners.into_iter().any(|owner| owner.kind == "Cluster") {
        true => ctx.api_server(),
        false => ctx.members_api_server(),
    }
}

/// Whether agents can register with a token that tells them this address.
fn usable(server: &ApiServer) -> ConditionUpdate {
    if server.url.is_empty() {
        let message = "nobody can register with this token: the hub does not know where other \
                       clusters reach it; set the value apiServerURL of the chart fleet (and \
                       apiServerCA, unless they trust it already)";
        return ConditionUpdate::new("Ready", false, "NoAPIServerURL", message);
    }
    ConditionUpdate::ok("Ready")
}

/// A wake shortly after a moment.
pub fn wake_at(at: Timestamp, now: Timestamp) -> NextWake {
    let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    NextWake::After(left + Duration::from_millis(50))
}

fn plan_token(token: &ClusterRegistrationToken, ttl_required: bool, now: Timestamp) -> TokenFate {
    let ttl = token.spec.ttl.as_ref().and_then(GoDuration::positive);
    let created = token.metadata.creation_timestamp.as_ref().map(|time| time.0);
    match (ttl, created) {
        (None, _) if ttl_required => TokenFate::Delete,
        (Some(ttl), Some(created)) => match created.checked_add(ttl) {
            Ok(expires) if expires <= now => TokenFate::Delete,
            Ok(expires) => TokenFate::Keep { expires: Some(expires) },
            // Further away than any clock goes.
            Err(_) => TokenFate::Keep { expires: None },
        },
        _ => TokenFate::Keep { expires: None },
    }
}

/// Account, its token, and a role that lets it do one thing: create ClusterRegistrations.
fn token_access(token: &ClusterRegistrationToken) -> [Value; 4] {
    let namespace = token.namespace().unwrap_or_default();
    let account = names::token_account(&token.name_any(), &token.uid().unwrap_or_default());
    let role = format!("{account}-role");
    let meta = |name: &str| {
        json!({
            "name": name, "namespace": namespace,
            "labels": { labels::MANAGED: "true" },
            "ownerReferences": owned_by(token),
        })
    };
    let mut secret_meta = meta(&names::account_token_secret(&account));
    secret_meta["annotations"] = json!({ "kubernetes.io/service-account.name": account });
    [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(&account) }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": secret_meta,
            "type": "kubernetes.io/service-account-token",
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta(&role),
            "rules": [{
                "apiGroups": [labels::GROUP],
                "resources": ["clusterregistrations"],
                "verbs": ["create"],
            }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": meta(&format!("{account}-to-role")),
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role,
            },
            "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": namespace }],
        }),
    ]
}

/// Waits for the token of an account; the token controller fills it in.
///
/// # Errors
/// [`Error::NotYet`] while it is not there.
pub async fn read_account_token(
    objects: &Objects,
    namespace: &str,
    account: &str,
) -> Result<String, Error> {
    let secret = names::account_token_secret(account);
    let name = ObjectName { api_version: "v1", kind: "Secret", namespace, name: &secret };
    // The token controller needs a few milliseconds; asking twice saves a pass with backoff.
    for attempt in 0..20 {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let live = objects.fetch(&name).await?;
        let token = live.as_ref().and_then(|secret| secret.data.pointer("/data/token"));
        let bytes = token.and_then(Value::as_str).and_then(|text| BASE64.decode(text).ok());
        if let Some(token) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
            return Ok(token);
        }
    }
    Err(Error::NotYet { what: format!("the token of account {namespace}/{account}") })
}

/// The values of the chart `fleet-agent`, as `helm --values` reads them. Fields in the order in
/// which Fleet 0.16 writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationValues {
    #[serde(rename = "apiServerCA")]
    api_server_ca: String,
    #[serde(rename = "apiServerURL")]
    api_server_url: String,
    cluster_namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    internal: Option<Value>,
    system_registration_namespace: String,
    token: String,
    token_name: String,
}

impl RegistrationValues {
    fn new(ctx: &Context, key: &ObjectKey, token: String, server: ApiServer) -> Self {
        let ApiServer { url, ca } = server;
        let system = ctx.config.system_namespace.as_str();
        Self {
            api_server_ca: ca,
            api_server_url: url,
            cluster_namespace: key.namespace.clone(),
            internal: (system != labels::SYSTEM_NAMESPACE)
                .then(|| json!({ "systemNamespace": system })),
            system_registration_namespace: ctx.config.registration_namespace(),
            token,
            token_name: key.name.clone(),
        }
    }

    fn to_yaml(&self) -> Result<String, Error> {
        serde_yaml::to_string(self)
            .map_err(|error| Error::Bug { what: format!("values of a token: {error}") })
    }
}

fn values_secret(token: &ClusterRegistrationToken, values: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": token.name_any(), "namespace": token.namespace(),
            "labels": { labels::MANAGED: "true" },
            "ownerReferences": owned_by(token),
        },
        "type": labels::REGISTRATION_VALUES_TYPE,
        "data": { "values": BASE64.encode(values) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(ttl: Option<&str>) -> ClusterRegistrationToken {
        let mut token = ClusterRegistrationToken::default();
        token.spec.ttl = ttl.map(|text| GoDuration(text.into()));
        token.metadata.creation_timestamp =
            Some("2026-11-21T04:48:10Z".parse::<Timestamp>().unwrap().into());
        token
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_lives_as_long_as_its_ttl() {
        let ten_days = token(Some("240h"));
        let expires = Some(at("2026-12-01T04:48:10Z"));
        let now = at("2026-11-30T00:00:00Z");
        assert_eq!(plan_token(&ten_days, false, now), TokenFate::Keep { expires });
        assert_eq!(plan_token(&ten_days, false, at("2026-12-01T04:48:10Z")), TokenFate::Delete);
    }

    #[test]
    fn a_token_without_ttl_lives_for_ever_unless_that_is_forbidden() {
        let now = at("2030-01-01T00:00:00Z");
        for ttl in [None, Some("0")] {
            assert_eq!(plan_token(&token(ttl), false, now), TokenFate::Keep { expires: None });
            assert_eq!(plan_token(&token(ttl), true, now), TokenFate::Delete);
        }
    }

    // The text of Secret `new-token` on a hub with Rancher Fleet 0.16, CA and token shortened.
    #[test]
    fn values_are_written_as_the_reference_writes_them() {
        let values = RegistrationValues {
            api_server_ca: "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n".into(),
            api_server_url: "https://127.0.0.1:16443".into(),
            cluster_namespace: "clusters".into(),
            internal: None,
            system_registration_namespace: "cattle-fleet-clusters-system".into(),
            token: "eyJh.b".into(),
            token_name: "new-token".into(),
        };
        let expected = "\
apiServerCA: |
  -----BEGIN CERTIFICATE-----
  MIID
  -----END CERTIFICATE-----
apiServerURL: https://127.0.0.1:16443
clusterNamespace: clusters
systemRegistrationNamespace: cattle-fleet-clusters-system
token: eyJh.b
tokenName: new-token
";
        assert_eq!(values.to_yaml().unwrap(), expected);
    }
}
