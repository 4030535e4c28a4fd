//! How an agent becomes known to its hub: with a token once, with a credential of its own from then on.
//!
//! Owns the Secrets `fleet-agent-bootstrap` and `fleet-agent` of the member, and the request on the hub. Must not
//! know bundles. Start at [`register`].

use std::collections::BTreeMap;
use std::time::Duration;

use bundle_format::api::labels::{
    AGENT_BOOTSTRAP_NAME, AGENT_NAME, CREATED_BY_AGENT_POD, REGISTRATION_TOKEN,
};
use bundle_format::api::names::{credential_secret, hex};
use bundle_format::api::{BundleDeployment, ClusterRegistration, ClusterRegistrationSpec};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use runtime::client::{ClientError, ServerParts, config_from_kubeconfig_text, config_from_parts};
use runtime::events::{EventType, Events, Occurrence};
use runtime::{ApiError, Classify, ErrorClass, chain};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::config::{self, AgentConfig, ClusterConfig, TlsMode};
use crate::live::member::FIELD_MANAGER;

const USER_AGENT: &str = "fleet-agent";
const CREDENTIAL_LIMIT: Duration = Duration::from_secs(30 * 60);
const FIRST_POLL: Duration = Duration::from_millis(200);
const LONGEST_POLL: Duration = Duration::from_secs(2);

/// Why the agent has no hub.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings of the cluster cannot be read.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A call failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Neither a credential nor a token is there.
    #[error(
        "neither Secret {namespace}/{AGENT_NAME} with a credential nor Secret {namespace}/{AGENT_BOOTSTRAP_NAME} with \
         a token exists{refused}; create a ClusterRegistrationToken on the hub and install the fleet-agent chart with \
         its values"
    )]
    NoBootstrap {
        /// Namespace of the agent.
        namespace: String,
        /// Set when there was a credential that the hub refused.
        refused: &'static str,
    },
    /// The bootstrap Secret lacks a key.
    #[error(
        "key {key} of Secret {namespace}/{AGENT_BOOTSTRAP_NAME} is missing or empty; set it in the values of the \
             fleet-agent chart"
    )]
    NoKey {
        /// The key.
        key: &'static str,
        /// Namespace of the agent.
        namespace: String,
    },
    /// The hub's CA cannot be used.
    #[error(
        "key apiServerCA of Secret {namespace}/{AGENT_BOOTSTRAP_NAME} cannot be used: {reason}; set apiServerCA in the \
         values of the fleet-agent chart (and of the fleet chart, so that new tokens carry it) to the PEM text of the \
         CA that signed the certificate of {server}, or leave it empty when that CA is one of the system's"
    )]
    BadCa {
        /// Namespace of the agent.
        namespace: String,
        /// Address of the hub.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// The hub's address cannot be used.
    #[error(
        "key apiServerURL of Secret {namespace}/{AGENT_BOOTSTRAP_NAME} cannot be used: {reason}"
    )]
    BadServer {
        /// Namespace of the agent.
        namespace: String,
        /// What is wrong.
        reason: String,
    },
    /// The hub does not take the token.
    #[error(
        "the hub {server} refuses the token in Secret {namespace}/{AGENT_BOOTSTRAP_NAME}: ClusterRegistrationToken \
         {token_name} has expired or was deleted; create a new one and upgrade the fleet-agent release with its values"
    )]
    TokenRefused {
        /// Address of the hub.
        server: String,
        /// Namespace of the agent.
        namespace: String,
        /// Name of the token.
        token_name: String,
    },
    /// The hub could not be asked.
    #[error(
        "registration failed: cannot create clusterregistration on management cluster for cluster id '{client_id}' \
         (hub {server}; its certificate must be signed by the CA in key apiServerCA of Secret \
         {namespace}/{AGENT_BOOTSTRAP_NAME} or, in mode system-store, by one of the system's)"
    )]
    Request {
        /// Identity of the cluster.
        client_id: String,
        /// Address of the hub.
        server: String,
        /// Namespace of the agent.
        namespace: String,
        /// Why.
        #[source]
        source: ApiError,
    },
    /// The hub did not grant the request in time.
    #[error("timeout waiting for registration secret '{namespace}/{name}' on management cluster")]
    Timeout {
        /// Namespace of the Secret on the hub.
        namespace: String,
        /// Name of the Secret on the hub.
        name: String,
    },
    /// The credential is not complete.
    #[error("key {key} of Secret {secret} is missing")]
    Credential {
        /// The key.
        key: &'static str,
        /// Namespace and name.
        secret: String,
    },
    /// No client could be made of the credential.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The system gave no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Config(error) => error.class(),
            Self::Api(_) | Self::Timeout { .. } | Self::Request { .. } | Self::Random => {
                ErrorClass::Unavailable
            }
            _ => ErrorClass::User,
        }
    }
}

/// A registered agent.
#[derive(Clone)]
pub struct Identity {
    /// The hub, with the agent's own credential.
    pub hub: Client,
    /// Namespace of the BundleDeployments on the hub.
    pub deployment_namespace: String,
    /// Namespace of the Cluster.
    pub cluster_namespace: String,
    /// Name of the Cluster.
    pub cluster_name: String,
}

/// Finds the credential of this agent or registers it.
///
/// Guarantees: the credential is stored before the token is deleted, so that a crash at any point leaves one of the
/// two. Failures that a person must repair become an Event on the Secret in question.
pub async fn register(
    member: &Client,
    config: &AgentConfig,
    events: &Events,
) -> Result<Identity, Error> {
    let secrets: Api<Secret> = Api::namespaced(member.clone(), &config.namespace);
    let mut refused = "";
    match read_secret(&secrets, AGENT_NAME, config).await? {
        Some(credential) => match use_credential(&credential, config).await {
            Ok(identity) => return Ok(identity),
            Err(error) if is_rejection(&error) => {
                tracing::warn!(
                    error = chain(&error),
                    "stored credential does not work, registering again"
                );
                refused = " (the hub refuses the credential)";
            }
            Err(error) => return Err(error),
        },
        None => tracing::info!("no credential yet, registering"),
    }
    let Some(bootstrap) = read_secret(&secrets, AGENT_BOOTSTRAP_NAME, config).await? else {
        return Err(Error::NoBootstrap { namespace: config.namespace.clone(), refused });
    };
    let result = register_with(member, &bootstrap, config).await;
    if let Err(error) = &result {
        let note = chain(error);
        let occurrence = Occurrence {
            kind: EventType::Warning,
            reason: "RegistrationFailed",
            action: "Register",
            note: &note,
        };
        events.publish(&bootstrap, &occurrence).await;
    }
    result
}

/// The hub knows the credential no more, or the Secret is not one: another will be needed. An unreachable hub is no
/// reason to ask for a new one.
fn is_rejection(error: &Error) -> bool {
    match error {
        Error::Api(error) => matches!(error.code(), Some(401 | 403)),
        Error::Credential { .. } | Error::Client(_) => true,
        _ => false,
    }
}

async fn read_secret(
    secrets: &Api<Secret>,
    name: &str,
    config: &AgentConfig,
) -> Result<Option<Secret>, Error> {
    let found = secrets.get_opt(name).await;
    Ok(found.map_err(|error| {
        ApiError::new(format!("read Secret {}/{name}", config.namespace), error)
    })?)
}

async fn use_credential(secret: &Secret, config: &AgentConfig) -> Result<Identity, Error> {
    let origin = format!("{}/{AGENT_NAME}", config.namespace);
    let key = |key: &'static str| {
        text_of(secret, key).ok_or_else(|| Error::Credential { key, secret: origin.clone() })
    };
    let kubeconfig = key("kubeconfig")?;
    let hub = config_from_kubeconfig_text(&kubeconfig, &format!("Secret {origin}")).await?;
    let hub = config.connect.connect(hub, USER_AGENT)?;
    let identity = Identity {
        hub,
        deployment_namespace: key("deploymentNamespace")?,
        cluster_namespace: key("clusterNamespace")?,
        cluster_name: key("clusterName")?,
    };
    check_access(&identity).await?;
    Ok(identity)
}

async fn check_access(identity: &Identity) -> Result<(), ApiError> {
    let namespace = &identity.deployment_namespace;
    let api: Api<BundleDeployment> = Api::namespaced(identity.hub.clone(), namespace);
    let listed = api.list_metadata(&ListParams::default().limit(1)).await;
    listed
        .map(|_| ())
        .map_err(|error| ApiError::new(format!("list bundledeployments in {namespace}"), error))
}

/// What the bootstrap Secret says.
struct Bootstrap {
    server: String,
    ca: String,
    token: String,
    token_name: String,
    cluster_namespace: String,
    registration_namespace: String,
}

impl Bootstrap {
    /// Reads single keys, or one key `values` that holds the YAML of a registration token.
    fn read(secret: &Secret, namespace: &str) -> Result<Self, Error> {
        let values = text_of(secret, "values")
            .and_then(|text| goyaml::from_str(&text).ok())
            .unwrap_or(Value::Null);
        let get = |key: &'static str| {
            text_of(secret, key)
                .or_else(|| values.get(key).and_then(Value::as_str).map(str::to_owned))
        };
        let need = |key: &'static str| {
            let found = get(key).filter(|text| !text.trim().is_empty());
            found.ok_or_else(|| Error::NoKey { key, namespace: namespace.to_owned() })
        };
        Ok(Self {
            server: need("apiServerURL")?.trim().to_owned(),
            ca: get("apiServerCA").unwrap_or_default(),
            token: need("token")?.trim().to_owned(),
            token_name: need("tokenName")?.trim().to_owned(),
            cluster_namespace: need("clusterNamespace")?.trim().to_owned(),
            registration_namespace: need("systemRegistrationNamespace")?.trim().to_owned(),
        })
    }

    fn client(&self, ca: &str, token: &str, config: &AgentConfig) -> Result<Client, Error> {
        let namespace = &config.namespace;
        let connect = |parts: &ServerParts<'_>| -> Result<Client, ClientError> {
            config.connect.connect(config_from_parts(parts)?, USER_AGENT)
        };
        let parts = |ca_pem| ServerParts {
            server: &self.server,
            ca_pem,
            token: Some(token),
            namespace: &self.cluster_namespace,
        };
        // Made without the CA first, to tell which of the two is wrong.
        let plain = connect(&parts(None));
        if ca.trim().is_empty() {
            return plain.map_err(|error| Error::BadServer {
                namespace: namespace.to_owned(),
                reason: chain(&error),
            });
        }
        let reason = |error: &ClientError| match error {
            ClientError::Parts { detail, .. } => detail.clone(),
            other => chain(other),
        };
        connect(&parts(Some(ca.as_bytes()))).map_err(|error| Error::BadCa {
            namespace: namespace.to_owned(),
            server: self.server.clone(),
            reason: reason(&error),
        })
    }
}

async fn register_with(
    member: &Client,
    secret: &Secret,
    config: &AgentConfig,
) -> Result<Identity, Error> {
    let cluster = ClusterConfig::fetch(member, &config.namespace).await?;
    let bootstrap = Bootstrap::read(secret, &config.namespace)?;
    let mode = cluster.agent_tls_mode.unwrap_or_default();
    let ca = effective_ca(&bootstrap, mode, config).await;
    let hub = bootstrap.client(&ca, &bootstrap.token, config)?;
    let client_id = match cluster.client_id.as_str() {
        "" => cluster_uid(member).await?,
        id => id.to_owned(),
    };
    let client_random = random_text()?;
    tracing::info!(
        client_id,
        hub = bootstrap.server,
        token = bootstrap.token_name,
        "asking the hub for access"
    );
    request_access(&hub, &bootstrap, &cluster, config, (&client_id, &client_random)).await?;
    let name = credential_secret(&client_id, &client_random);
    let credential = await_credential(&hub, &bootstrap.registration_namespace, &name).await?;
    let identity = store_credential(member, &bootstrap, &ca, &credential, config).await?;
    tracing::info!(
        cluster = identity.cluster_name,
        namespace = identity.cluster_namespace,
        "registered"
    );
    Ok(identity)
}

/// In mode `system-store` the configured CA is dropped when the system's will do.
async fn effective_ca(bootstrap: &Bootstrap, mode: TlsMode, config: &AgentConfig) -> String {
    if mode == TlsMode::Strict || bootstrap.ca.trim().is_empty() {
        return bootstrap.ca.clone();
    }
    let Ok(client) = bootstrap.client("", "", config) else { return bootstrap.ca.clone() };
    match client.apiserver_version().await {
        // Any answer of the server came through TLS, refusals included.
        Ok(_) | Err(kube::Error::Api(_)) => String::new(),
        Err(_) => bootstrap.ca.clone(),
    }
}

async fn cluster_uid(member: &Client) -> Result<String, Error> {
    let namespaces: Api<Namespace> = Api::all(member.clone());
    let system = namespaces.get("kube-system").await;
    let system =
        system.map_err(|error| ApiError::new("read namespace kube-system for its uid", error))?;
    Ok(system.uid().unwrap_or_default())
}

async fn request_access(
    hub: &Client,
    bootstrap: &Bootstrap,
    cluster: &ClusterConfig,
    config: &AgentConfig,
    (client_id, client_random): (&str, &str),
) -> Result<(), Error> {
    let mut labels = cluster.labels.clone().unwrap_or_default();
    labels.insert(CREATED_BY_AGENT_POD.to_owned(), config.instance.clone());
    let mut request = ClusterRegistration::new(
        "",
        ClusterRegistrationSpec {
            client_id: client_id.to_owned(),
            client_random: client_random.to_owned(),
            cluster_labels: labels,
        },
    );
    request.metadata = ObjectMeta {
        generate_name: Some("request-".to_owned()),
        namespace: Some(bootstrap.cluster_namespace.clone()),
        labels: Some(BTreeMap::from([(
            REGISTRATION_TOKEN.to_owned(),
            bootstrap.token_name.clone(),
        )])),
        ..ObjectMeta::default()
    };
    let requests: Api<ClusterRegistration> =
        Api::namespaced(hub.clone(), &bootstrap.cluster_namespace);
    let Err(error) = requests.create(&PostParams::default(), &request).await else { return Ok(()) };
    let error = ApiError::new("create clusterregistration", error);
    if error.code() == Some(401) {
        return Err(Error::TokenRefused {
            server: bootstrap.server.clone(),
            namespace: config.namespace.clone(),
            token_name: bootstrap.token_name.clone(),
        });
    }
    Err(Error::Request {
        client_id: client_id.to_owned(),
        server: bootstrap.server.clone(),
        namespace: config.namespace.clone(),
        source: error,
    })
}

async fn await_credential(hub: &Client, namespace: &str, name: &str) -> Result<Secret, Error> {
    let secrets: Api<Secret> = Api::namespaced(hub.clone(), namespace);
    let deadline = Instant::now() + CREDENTIAL_LIMIT;
    let mut interval = FIRST_POLL;
    while Instant::now() < deadline {
        // Until the hub grants the request, it may not even be looked at: 403 and 404 mean "not yet".
        match secrets.get(name).await {
            Ok(secret) => return Ok(secret),
            Err(error) => tracing::debug!(error = chain(&error), "credential not there yet"),
        }
        sleep(interval).await;
        interval = (interval * 2).min(LONGEST_POLL);
    }
    Err(Error::Timeout { namespace: namespace.to_owned(), name: name.to_owned() })
}

async fn store_credential(
    member: &Client,
    bootstrap: &Bootstrap,
    ca: &str,
    credential: &Secret,
    config: &AgentConfig,
) -> Result<Identity, Error> {
    let origin = format!("{}/{}", bootstrap.registration_namespace, credential.name_any());
    let key = |key: &'static str| {
        text_of(credential, key).ok_or_else(|| Error::Credential { key, secret: origin.clone() })
    };
    let (token, deployment_namespace) = (key("token")?, key("deploymentNamespace")?);
    let identity = Identity {
        hub: bootstrap.client(ca, &token, config)?,
        cluster_namespace: key("clusterNamespace")?,
        cluster_name: key("clusterName")?,
        deployment_namespace: deployment_namespace.clone(),
    };
    await_access(&identity).await?;
    let kubeconfig = kubeconfig_text(&bootstrap.server, ca, &token, &deployment_namespace);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": AGENT_NAME, "namespace": config.namespace },
        "stringData": {
            "kubeconfig": kubeconfig,
            "deploymentNamespace": deployment_namespace,
            "clusterNamespace": identity.cluster_namespace,
            "clusterName": identity.cluster_name,
        },
    });
    let secrets: Api<Secret> = Api::namespaced(member.clone(), &config.namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = secrets.patch(AGENT_NAME, &params, &Patch::Apply(&secret)).await;
    written.map_err(|error| {
        ApiError::new(format!("write Secret {}/{AGENT_NAME}", config.namespace), error)
    })?;
    match secrets.delete(AGENT_BOOTSTRAP_NAME, &DeleteParams::default()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => tracing::warn!(error = chain(&error), "used token not deleted"),
    }
    Ok(identity)
}

/// Rights may follow the credential with a short delay.
async fn await_access(identity: &Identity) -> Result<(), Error> {
    let mut interval = FIRST_POLL;
    for _ in 0..8 {
        match check_access(identity).await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::debug!(error = chain(&error), "no access yet"),
        }
        sleep(interval).await;
        interval = (interval * 2).min(LONGEST_POLL);
    }
    Ok(check_access(identity).await?)
}

fn kubeconfig_text(server: &str, ca: &str, token: &str, namespace: &str) -> String {
    use base64::Engine;
    let mut cluster = json!({ "server": server });
    if !ca.trim().is_empty() {
        let encoded = base64::engine::general_purpose::STANDARD.encode(ca);
        cluster["certificate-authority-data"] = encoded.into();
    }
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "default",
        "clusters": [{ "name": "cluster", "cluster": cluster }],
        "users": [{ "name": "user", "user": { "token": token } }],
        "contexts": [{ "name": "default",
            "context": { "cluster": "cluster", "user": "user", "namespace": namespace } }],
    });
    goyaml::to_string(&config)
}

fn text_of(secret: &Secret, key: &str) -> Option<String> {
    let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.clone()).ok()
}

fn random_text() -> Result<String, Error> {
    let mut bytes = [0_u8; 27];
    runtime::world::fill_random(&mut bytes).map_err(|_| Error::Random)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(pairs: &[(&str, &str)]) -> Secret {
        let data = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    const KEYS: [(&str, &str); 5] = [
        ("apiServerURL", "https://hub.example:6443"),
        ("token", "t"),
        ("tokenName", "new-token"),
        ("clusterNamespace", "clusters"),
        ("systemRegistrationNamespace", "cattle-fleet-clusters-system"),
    ];

    // The tutorial's failure (live-findings, errors-agent-bad-ca): the text must lead to the value to change.
    #[tokio::test]
    async fn bad_ca_names_secret_key_and_remedy() {
        runtime::client::install_crypto_provider();
        let bootstrap = Bootstrap::read(&secret(&KEYS), "cattle-fleet-system").expect("complete");
        let config = AgentConfig::embedded("cattle-fleet-system");
        let error = bootstrap.client("bm90IGEgY2VydA==", "t", &config).err().expect("no PEM");
        let text = chain(&error);
        for part in [
            "apiServerCA",
            "cattle-fleet-system/fleet-agent-bootstrap",
            "PEM",
            "https://hub.example:6443",
        ] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
        assert_eq!(error.class(), ErrorClass::User);
    }

    #[test]
    fn bootstrap_is_read_from_keys_or_from_one_yaml_text() {
        let yaml = KEYS.map(|(key, value)| format!("{key}: {value}\n")).concat();
        let bootstrap = Bootstrap::read(&secret(&[("values", &yaml)]), "n").expect("complete");
        assert_eq!(bootstrap.token_name, "new-token");
        let error = Bootstrap::read(&secret(&KEYS[1..]), "n").err().expect("incomplete");
        assert!(error.to_string().contains("apiServerURL"), "{error}");
    }

    #[tokio::test]
    async fn stored_kubeconfig_makes_a_client() {
        runtime::client::install_crypto_provider();
        let text = kubeconfig_text("https://hub.example:6443", "", "secret", "cluster-ns");
        let client =
            runtime::client::from_kubeconfig_text(&text, "test", USER_AGENT).await.expect("usable");
        assert_eq!(client.default_namespace(), "cluster-ns");
    }
}
