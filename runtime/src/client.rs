//! Clients of Kubernetes API servers.
//!
//! Owns where a client's address and credentials come from, its time limits and user agent, and
//! the class of an API error. Start at [`from_environment`], [`config_from_parts`] or
//! [`from_kubeconfig_text`].

use std::path::Path;
use std::time::Duration;

use bundle_format::error::{Classify, ErrorClass};
use http::{HeaderValue, header::USER_AGENT};
use kube::client::{Body, ClientBuilder};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;

use crate::gate::Gate;
use crate::proxy;

/// How long a server may take to begin its answer. Watches answer their headers at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests of one client that are under way at the same time; watches that run do not count.
const REQUESTS_MAX: usize = 24;
/// A kubeconfig is a few kilobytes; a Secret cannot hold more than this anyway.
const KUBECONFIG_BYTES_MAX: usize = 1024 * 1024;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No usable configuration in the environment.
    #[error("no API server to talk to: {detail}; set --kubeconfig or KUBECONFIG, or run in a pod")]
    NoConfig {
        /// What was tried.
        detail: String,
    },
    /// The kubeconfig cannot be used.
    #[error("kubeconfig of {origin}: {detail}")]
    Kubeconfig {
        /// File name or Secret it came from.
        origin: String,
        /// What is wrong and how to fix it; never a credential.
        detail: String,
    },
    /// Address, CA or token cannot be used.
    #[error("API server {server:?}: {detail}")]
    Parts {
        /// The address.
        server: String,
        /// What is wrong.
        detail: String,
    },
    /// The TLS or HTTP stack refused the configuration.
    #[error("API client for {server}")]
    Build {
        /// The address.
        server: String,
        /// Its reason.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Classify for ClientError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// Installs the one crypto provider of the process. Every command that waits for the network and
/// every test that makes a client calls it first; the second call does nothing.
pub fn install_crypto_provider() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// A client from, in this order: `kubeconfig` (a flag), `KUBECONFIG`, the pod's service account,
/// `~/.kube/config`.
///
/// # Errors
/// When none of them gives a usable configuration.
pub async fn from_environment(
    kubeconfig: Option<&Path>,
    user_agent: &str,
) -> Result<Client, ClientError> {
    build(config_from_environment(kubeconfig).await?, user_agent)
}

/// The configuration behind [`from_environment`], for callers that need the address or the CA.
///
/// # Errors
/// When no source gives a usable configuration.
pub async fn config_from_environment(kubeconfig: Option<&Path>) -> Result<Config, ClientError> {
    let options = KubeConfigOptions::default();
    if let Some(path) = kubeconfig {
        let origin = path.display().to_string();
        let fail = |e: kube::config::KubeconfigError| ClientError::Kubeconfig {
            origin: origin.clone(),
            detail: bundle_format::error::chain(&e),
        };
        let file = Kubeconfig::read_from(path).map_err(fail)?;
        return Config::from_custom_kubeconfig(file, &options).await.map_err(fail);
    }
    if std::env::var_os("KUBECONFIG").is_none_or(|v| v.is_empty())
        && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
    {
        return Config::incluster()
            .map_err(|e| ClientError::NoConfig { detail: bundle_format::error::chain(&e) });
    }
    Config::from_kubeconfig(&options)
        .await
        .map_err(|e| ClientError::NoConfig { detail: bundle_format::error::chain(&e) })
}

/// An API server and how to speak to it.
#[derive(Clone)]
pub struct ServerParts<'a> {
    /// `https://host:port[/path]`.
    pub server: &'a str,
    /// PEM certificates to trust instead of the system's; empty or `None` = the system's.
    pub ca_pem: Option<&'a [u8]>,
    /// Bearer token; `None` = anonymous.
    pub token: Option<&'a str>,
    /// Default namespace of the client.
    pub namespace: &'a str,
}

/// Makes clients of configurations. Processes use [`Network`]; a simulation brings its own, which
/// knows its API servers without sockets.
pub trait Connect: std::fmt::Debug + Send + Sync {
    /// A client for the server that `config` names.
    ///
    /// # Errors
    /// When there can be none.
    fn connect(&self, config: Config, user_agent: &str) -> Result<Client, ClientError>;
}

/// Clients that speak to servers over the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network;

impl Connect for Network {
    fn connect(&self, config: Config, user_agent: &str) -> Result<Client, ClientError> {
        build(config, user_agent)
    }
}

/// The configuration for an address, a CA and a token.
///
/// # Errors
/// When one of the parts is malformed.
pub fn config_from_parts(parts: &ServerParts<'_>) -> Result<Config, ClientError> {
    let fail = |detail: String| ClientError::Parts { server: parts.server.to_owned(), detail };
    let uri: http::Uri =
        parts.server.trim().parse().map_err(|e| fail(format!("not an address: {e}")))?;
    if uri.scheme().is_none() || uri.host().is_none() {
        return Err(fail("not an address of the form https://host:port".to_owned()));
    }
    let mut config = Config::new(uri);
    config.default_namespace = parts.namespace.to_owned();
    if let Some(pem) = parts.ca_pem.filter(|pem| !pem.trim_ascii().is_empty()) {
        config.root_cert = Some(certificates(pem).map_err(fail)?);
    }
    config.auth_info =
        AuthInfo { token: parts.token.map(|t| t.trim().to_owned().into()), ..AuthInfo::default() };
    Ok(config)
}

/// A client from a kubeconfig that came out of a Secret.
///
/// Such a file is data from outside: it may not run programs (`exec`, `auth-provider`) or read
/// files of this machine (`tokenFile`, `client-certificate`, `client-key`,
/// `certificate-authority`); everything must be in the text.
///
/// # Errors
/// When it is malformed or uses one of these.
pub async fn from_kubeconfig_text(
    text: &str,
    origin: &str,
    user_agent: &str,
) -> Result<Client, ClientError> {
    let config = config_from_kubeconfig_text(text, origin).await?;
    build(config, user_agent)
}

/// The configuration behind [`from_kubeconfig_text`].
///
/// # Errors
/// As there.
pub async fn config_from_kubeconfig_text(text: &str, origin: &str) -> Result<Config, ClientError> {
    let fail = |detail: String| ClientError::Kubeconfig { origin: origin.to_owned(), detail };
    if text.len() > KUBECONFIG_BYTES_MAX {
        return Err(fail(format!("is longer than {KUBECONFIG_BYTES_MAX} bytes")));
    }
    // The parser's message may quote the line, and lines hold tokens: say only that it failed.
    let file = Kubeconfig::from_yaml(text).map_err(|_| fail("is not valid YAML".to_owned()))?;
    if let Some(what) = refused_member(&file) {
        return Err(fail(format!("{what} is not allowed here; put the data into the file itself")));
    }
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|e| fail(bundle_format::error::chain(&e)))
}

fn refused_member(file: &Kubeconfig) -> Option<&'static str> {
    for user in file.auth_infos.iter().filter_map(|named| named.auth_info.as_ref()) {
        let refused = [
            (user.exec.is_some(), "exec"),
            (user.auth_provider.is_some(), "auth-provider"),
            (user.token_file.is_some(), "tokenFile"),
            (user.client_certificate.is_some(), "client-certificate"),
            (user.client_key.is_some(), "client-key"),
        ];
        if let Some((_, what)) = refused.iter().find(|(present, _)| *present) {
            return Some(what);
        }
    }
    let clusters = file.clusters.iter().filter_map(|named| named.cluster.as_ref());
    clusters
        .into_iter()
        .any(|cluster| cluster.certificate_authority.is_some())
        .then_some("certificate-authority")
}

/// Builds the client: user agent, time limits, proxy from the environment.
///
/// # Errors
/// When the TLS stack refuses certificates or keys.
pub fn build(mut config: Config, user_agent: &str) -> Result<Client, ClientError> {
    let server = config.cluster_url.to_string();
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    if let Ok(value) = HeaderValue::from_str(user_agent) {
        config.headers.push((USER_AGENT, value));
    }
    if config.proxy_url.is_none() {
        config.proxy_url = proxy::for_url(&config.cluster_url, &|name| std::env::var(name).ok());
    }
    let builder = ClientBuilder::try_from(config)
        .map_err(|source| ClientError::Build { server, source: Box::new(source) })?;
    let gated = builder.with_layer(&Gate::new(REQUESTS_MAX));
    Ok(gated.with_layer(&TimeoutLayer::new(ANSWER_TIMEOUT)).build())
}

/// Splits PEM text into DER certificates.
fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem)
        .map(|der| der.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|e| format!("the CA is not PEM: {e}"))?;
    if certificates.is_empty() {
        Err("the CA holds no certificate".into())
    } else {
        Ok(certificates)
    }
}

/// A failed API call: what was tried, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct ApiError {
    /// What was tried, e.g. `write bundle fleet-local/web`.
    pub action: String,
    /// The client's reason. Prints the server's own words.
    #[source]
    pub source: Reason,
}

/// The client's reason for a failed call, printed for people.
#[derive(Debug)]
pub struct Reason(pub Box<kube::Error>);

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.0 {
            // kube prints the whole status twice; the message alone is what kubectl shows.
            kube::Error::Api(status) if !status.message.is_empty() => f.write_str(&status.message),
            kube::Error::Api(status) => write!(f, "{} ({})", status.reason, status.code),
            other => f.write_str(&bundle_format::error::chain(other)),
        }
    }
}

impl std::error::Error for Reason {}

impl ApiError {
    /// An error of `action`, e.g. `ApiError::new("read secret ns/x", error)`.
    #[must_use]
    pub fn new(action: impl Into<String>, source: kube::Error) -> Self {
        Self { action: action.into(), source: Reason(Box::new(source)) }
    }

    /// The HTTP code of the server's answer, if it answered.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        code_of(&self.source.0)
    }

    /// The object, or its kind, is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }
}

impl Classify for ApiError {
    fn class(&self) -> ErrorClass {
        class_of(&self.source.0)
    }
}

/// The HTTP code inside a client error.
#[must_use]
pub fn code_of(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// The class of a client error.
///
/// 404 and 409 are conflicts (the world moved on), 400, 413 and 422 need another object, 401 and
/// 403 are retried because roles and namespaces come and go, everything else is unavailability.
#[must_use]
pub fn class_of(error: &kube::Error) -> ErrorClass {
    match error {
        kube::Error::Api(status) => match status.code {
            404 | 409 => ErrorClass::Conflict,
            400 | 413 | 422 => ErrorClass::User,
            _ => ErrorClass::Unavailable,
        },
        kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) => ErrorClass::Bug,
        _ => ErrorClass::Unavailable,
    }
}

/// Turns a 404 into `None`.
///
/// # Errors
/// Any other failure, unchanged.
pub fn optional<T>(result: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if code_of(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Only here so that the body type has one name for in-process servers:
/// `kube::Client::new(service, namespace)` takes any `tower::Service` of `Request<RequestBody>`.
pub type RequestBody = Body;

#[cfg(test)]
mod tests {
    use super::*;

    const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: u, user: {USER}}]
";

    #[tokio::test]
    async fn a_kubeconfig_from_a_secret_may_not_reach_outside() {
        for (user, word) in [
            ("exec: {command: sh, apiVersion: client.authentication.k8s.io/v1}", "exec"),
            ("tokenFile: /etc/passwd", "tokenFile"),
            ("client-key: /etc/key", "client-key"),
        ] {
            let text = KUBECONFIG.replace("USER", user);
            let error = config_from_kubeconfig_text(&text, "secret a/b").await.unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        let good = KUBECONFIG.replace("USER", "token: abc");
        assert!(config_from_kubeconfig_text(&good, "secret a/b").await.is_ok());
    }

    #[tokio::test]
    async fn a_broken_kubeconfig_does_not_quote_itself() {
        let text = "users: [{user: {token: SECRET";
        let error = config_from_kubeconfig_text(text, "secret a/b").await.unwrap_err();
        assert!(!bundle_format::error::chain(&error).contains("SECRET"));
    }

    #[test]
    fn classes_follow_the_code() {
        let class = |code| {
            class_of(&kube::Error::Api(Box::new(kube::core::Status {
                code,
                ..kube::core::Status::failure("m", "r")
            })))
        };
        assert_eq!(class(409), ErrorClass::Conflict);
        assert_eq!(class(422), ErrorClass::User);
        assert_eq!(class(500), ErrorClass::Unavailable);
        assert_eq!(class(403), ErrorClass::Unavailable);
    }
}
