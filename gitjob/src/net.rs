//! The one way to the network for git and charts.
//!
//! Owns TLS settings, time and size limits, redirects, and the rule that credentials go to the
//! origin they were given for and nowhere else. Knows nothing of git or Helm. Start at
//! [`Fetcher::send`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::{Certificate, Client, Url};
use runtime::{Classify, ErrorClass};
use sha2::{Digest, Sha256};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REDIRECTS_MAX: usize = 5;
/// Clients with different CAs that are kept; each holds its own connections.
const CLIENTS_MAX: usize = 64;

/// Who we are to one origin. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User name and password or token.
    Basic {
        /// User name.
        username: String,
        /// Password or token.
        password: String,
    },
    /// A token in an `Authorization: Bearer` header.
    Bearer(String),
}

impl Credentials {
    /// The value of the `Authorization` header, marked sensitive.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
            }
            Self::Bearer(token) => format!("Bearer {token}"),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// How to speak to one server: whom to trust, and who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Sent to the origin of the first request only.
    pub credentials: Option<Credentials>,
    /// PEM certificates trusted besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Do not check the server's certificate.
    pub insecure_skip_tls: bool,
}

impl Access {
    /// A digest that differs whenever the access differs, to keep caches apart.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        if let Some(header) = self.credentials.as_ref().and_then(Credentials::header) {
            hash.update(header.as_bytes());
        }
        hash.update([0, u8::from(self.insecure_skip_tls)]);
        hash.update(self.ca_pem.as_deref().unwrap_or_default());
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// Absolute, without user information.
    pub url: Url,
    /// Trust and credentials.
    pub access: &'a Access,
    /// Further headers; sent to every origin, so no credentials in here.
    pub headers: HeaderMap,
    /// A body makes it a POST. Never sent to another origin than the first.
    pub body: Option<Bytes>,
    /// Longer answers are refused.
    pub bytes_max: u64,
    /// For the whole request, redirects included.
    pub timeout: Duration,
}

/// The answer of the last server in the chain of redirects; its status is a success.
#[derive(Debug)]
pub struct Reply {
    /// Where it came from.
    pub url: Url,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer. Urls in the texts carry neither user information nor query.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The server answered with an error.
    #[error("{url} answered {status}{hint}")]
    Status {
        /// Which.
        url: String,
        /// The code.
        status: StatusCode,
        /// What to do about it, or empty.
        hint: &'static str,
        /// `WWW-Authenticate` of a 401.
        challenge: Option<String>,
    },
    /// No connection, TLS failed, or it broke.
    #[error("{url} is not reachable: {detail}")]
    Unreachable {
        /// Which.
        url: String,
        /// The innermost cause.
        detail: String,
    },
    /// It took too long.
    #[error("{url} did not answer within {secs} s")]
    TimedOut {
        /// Which.
        url: String,
        /// The limit.
        secs: u64,
    },
    /// The answer is longer than allowed.
    #[error("the answer of {url} is longer than {bytes_max} bytes")]
    TooLarge {
        /// Which.
        url: String,
        /// The limit.
        bytes_max: u64,
    },
    /// A redirect that must not be followed.
    #[error("{url} redirects to {target}, which is not followed: {reason}")]
    Redirect {
        /// From.
        url: String,
        /// To.
        target: String,
        /// Why not.
        reason: &'static str,
    },
    /// CA or TLS settings are unusable.
    #[error("TLS settings: {detail}")]
    Tls {
        /// What is wrong.
        detail: String,
    },
}

impl Classify for NetError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Status { status, .. } if status.is_server_error() => ErrorClass::Unavailable,
            Self::Status { status, .. } if *status == StatusCode::TOO_MANY_REQUESTS => {
                ErrorClass::Unavailable
            }
            Self::Unreachable { .. } | Self::TimedOut { .. } => ErrorClass::Unavailable,
            _ => ErrorClass::User,
        }
    }
}

/// Variable with the certificates of a proxy that opens TLS connections.
const PROXY_CA_BUNDLE: &str = "PROXY_CA_BUNDLE";

/// Sends requests; shared by everything in the process so that connections are reused.
pub struct Fetcher {
    user_agent: String,
    /// PEM certificates of a proxy that opens TLS connections, trusted for every server.
    proxy_ca: Vec<u8>,
    clients: Mutex<BTreeMap<(bool, Vec<u8>), Client>>,
}

impl Fetcher {
    /// A fetcher that calls itself `user_agent`. Proxies come from the environment.
    #[must_use]
    pub fn new(user_agent: &str) -> Self {
        Self { user_agent: user_agent.to_owned(), proxy_ca: Vec::new(), clients: Mutex::default() }
    }

    /// The fetcher of a process: trusts what `PROXY_CA_BUNDLE` holds too, which the charts set
    /// where a proxy opens TLS connections.
    #[must_use]
    pub fn of_process() -> Self {
        let proxy_ca = std::env::var(PROXY_CA_BUNDLE).unwrap_or_default();
        Self::new(concat!("fleet/", env!("CARGO_PKG_VERSION"))).trusting(proxy_ca)
    }

    /// Trusts these certificates, PEM, besides the system's and those of an [`Access`].
    #[must_use]
    pub fn trusting(mut self, proxy_ca: impl Into<Vec<u8>>) -> Self {
        self.proxy_ca = proxy_ca.into();
        self
    }

    /// What is trusted besides the system's certificates.
    ///
    /// # Errors
    /// What is not PEM.
    pub(crate) fn certificates(&self, access: &Access) -> Result<Vec<Certificate>, NetError> {
        let mut all = certificates(PROXY_CA_BUNDLE, &self.proxy_ca)?;
        let own = access.ca_pem.as_deref().unwrap_or_default();
        all.extend(certificates("the CA bundle", own)?);
        Ok(all)
    }

    /// Sends one request and reads the answer whole.
    ///
    /// Follows at most five redirects, of GET requests only, never from https to http. Another
    /// origin gets no credentials; back at the first origin they are sent again.
    ///
    /// # Errors
    /// See [`NetError`]; a status of 400 and above is an error.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Reply, NetError> {
        let (secs, url) = (ask.timeout.as_secs(), redacted(&ask.url));
        let limit = ask.timeout;
        match tokio::time::timeout(limit, self.follow(ask)).await {
            Ok(result) => result,
            Err(_) => Err(NetError::TimedOut { url, secs }),
        }
    }

    async fn follow(&self, ask: Ask<'_>) -> Result<Reply, NetError> {
        let client = self.client(ask.access)?;
        let mut url = ask.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let response =
                request(&client, &ask, &url).send().await.map_err(|e| unreachable(&url, &e))?;
            if !response.status().is_redirection() {
                return read(response, &ask, url).await;
            }
            url = redirect_target(&ask, &url, response.headers())?;
        }
        let reason = "too many redirects";
        Err(NetError::Redirect { url: redacted(&ask.url), target: redacted(&url), reason })
    }

    fn client(&self, access: &Access) -> Result<Client, NetError> {
        let key = (access.insecure_skip_tls, access.ca_pem.clone().unwrap_or_default());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let builder = || {
            Client::builder()
                .user_agent(&self.user_agent)
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .pool_max_idle_per_host(2)
                .pool_idle_timeout(Duration::from_secs(60))
                .tls_danger_accept_invalid_certs(access.insecure_skip_tls)
        };
        let extra = self.certificates(access)?;
        let client = match builder().tls_certs_merge(extra.clone()).build() {
            Ok(client) => client,
            // A machine without system certificates can still use the given ones, or plain http.
            Err(_) => builder()
                .tls_certs_only(extra)
                .build()
                .map_err(|e| NetError::Tls { detail: innermost(&e) })?,
        };
        if clients.len() >= CLIENTS_MAX {
            clients.pop_first();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

/// Parses a PEM bundle, which may be empty; errors call it `name`.
fn certificates(name: &str, pem: &[u8]) -> Result<Vec<Certificate>, NetError> {
    if pem.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    // A text without any certificate is read as none.
    let read = Certificate::from_pem_bundle(pem).ok().filter(|read| !read.is_empty());
    read.ok_or_else(|| NetError::Tls { detail: format!("{name} holds no certificate in PEM form") })
}

fn request(client: &Client, ask: &Ask<'_>, url: &Url) -> reqwest::RequestBuilder {
    let request = match &ask.body {
        Some(body) => client.post(url.clone()).body(body.clone()),
        None => client.get(url.clone()),
    };
    let request = request.headers(ask.headers.clone());
    let header = ask.access.credentials.as_ref().and_then(Credentials::header);
    match header.filter(|_| url.origin() == ask.url.origin()) {
        Some(header) => request.header(AUTHORIZATION, header),
        None => request,
    }
}

fn redirect_target(ask: &Ask<'_>, from: &Url, headers: &HeaderMap) -> Result<Url, NetError> {
    let location = headers.get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let fail = |target: &str, reason| NetError::Redirect {
        url: redacted(from),
        target: target.to_owned(),
        reason,
    };
    let target = from.join(location).map_err(|_| fail("an invalid address", "no address"))?;
    if !matches!(target.scheme(), "http" | "https") {
        return Err(fail(&redacted(&target), "only http and https are"));
    }
    if from.scheme() == "https" && target.scheme() == "http" {
        return Err(fail(&redacted(&target), "it leaves https"));
    }
    if ask.body.is_some() {
        return Err(fail(&redacted(&target), "the request has a body"));
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Err(fail(&redacted(&target), "it carries credentials"));
    }
    Ok(target)
}

async fn read(mut response: reqwest::Response, ask: &Ask<'_>, url: Url) -> Result<Reply, NetError> {
    let status = response.status();
    if !status.is_success() {
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                if ask.access.credentials.is_none() =>
            {
                "; it wants credentials"
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; check the credentials",
            _ => "",
        };
        let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|v| v.to_str().ok());
        let challenge = challenge.map(str::to_owned);
        return Err(NetError::Status { url: redacted(&url), status, hint, challenge });
    }
    let too_large = || NetError::TooLarge { url: redacted(&url), bytes_max: ask.bytes_max };
    if response.content_length().is_some_and(|length| length > ask.bytes_max) {
        return Err(too_large());
    }
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| unreachable(&url, &e))? {
        if (body.len() + chunk.len()) as u64 > ask.bytes_max {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { url, headers, body: body.into() })
}

fn unreachable(url: &Url, error: &reqwest::Error) -> NetError {
    NetError::Unreachable { url: redacted(url), detail: innermost(error) }
}

/// The last cause of an error: `connection refused`, `certificate expired`. The outer layers only
/// repeat the url, which may hold what must not be told.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// A url without user information, query and fragment.
#[must_use]
pub fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    // These only fail for urls without a host, which have nothing to hide.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_print() {
        let access = Access {
            credentials: Some(Credentials::Basic {
                username: "u".into(),
                password: "hunter2".into(),
            }),
            ..Access::default()
        };
        assert!(!format!("{access:?}").contains("hunter2"));
        assert_ne!(access.fingerprint(), Access::default().fingerprint());
        let url = Url::parse("https://u:hunter2@host/a?token=hunter2#hunter2").unwrap();
        assert_eq!(redacted(&url), "https://host/a");
    }
}
