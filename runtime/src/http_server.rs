//! A small HTTP/1.1 listener for metrics, probes and webhooks.
//!
//! Owns bind addresses, limits per connection and shutdown. Knows nothing of routes: a handler
//! gets the request and gives the answer. Start at [`serve`].

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The answer of a handler.
pub type Answer = Response<Full<Bytes>>;

const CONNECTIONS_MAX: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where to listen, as Go writes it: `:8080` (all addresses), `127.0.0.1:0` or `:0` (any free
/// port), `0` or empty (do not listen).
#[derive(Clone, Debug)]
pub enum BindAddress {
    /// Do not listen.
    Off,
    /// Listen on `host:port`; an empty host means all addresses.
    On {
        /// Name or address, without brackets; may be empty.
        host: String,
        /// 0 = any free port.
        port: u16,
    },
    /// A listener that somebody bound before: its port is known and cannot be lost to another.
    Bound(Arc<std::net::TcpListener>),
}

impl PartialEq for BindAddress {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Off, Self::Off) => true,
            (Self::On { host: a, port: p }, Self::On { host: b, port: q }) => (a, p) == (b, q),
            (Self::Bound(a), Self::Bound(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for BindAddress {}

/// A listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The text is no address.
    #[error("bind address {text:?} is not host:port, :port or 0")]
    Address {
        /// What was given.
        text: String,
    },
    /// The system refused.
    #[error("listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl std::str::FromStr for BindAddress {
    type Err = ServeError;

    fn from_str(text: &str) -> Result<Self, ServeError> {
        let text = text.trim();
        if text.is_empty() || text == "0" {
            return Ok(Self::Off);
        }
        let fail = || ServeError::Address { text: text.to_owned() };
        let (host, port) = text.rsplit_once(':').ok_or_else(fail)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self::On { host, port: port.parse().map_err(|_| fail())? })
    }
}

impl BindAddress {
    /// The address in the variable `name`, or `default` when it is unset.
    ///
    /// # Errors
    /// When the text is no address.
    pub fn from_env(name: &str, default: &str) -> Result<Self, ServeError> {
        std::env::var(name).unwrap_or_else(|_| default.to_owned()).parse()
    }

    /// Binds any free port of the loopback interface; the text is its `host:port`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn loopback() -> std::io::Result<(Self, String)> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?.to_string();
        Ok((Self::Bound(Arc::new(listener)), address))
    }

    async fn listen(&self) -> Result<Option<TcpListener>, ServeError> {
        let (host, port) = match self {
            Self::Off => return Ok(None),
            Self::On { host, port } => (host, port),
            Self::Bound(listener) => return adopt(listener).map(Some),
        };
        let fail = |source| ServeError::Listen { address: format!("{host}:{port}"), source };
        let bound = if host.is_empty() {
            // Both families where the machine has IPv6, IPv4 alone elsewhere.
            match TcpListener::bind(("::", *port)).await {
                Ok(listener) => Ok(listener),
                Err(_) => TcpListener::bind(("0.0.0.0", *port)).await,
            }
        } else {
            TcpListener::bind((host.as_str(), *port)).await
        };
        bound.map(Some).map_err(fail)
    }
}

fn adopt(listener: &std::net::TcpListener) -> Result<TcpListener, ServeError> {
    let own = listener.try_clone().and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    own.map_err(|source| ServeError::Listen { address: "a bound listener".into(), source })
}

/// Ports that nobody listens on, for another process that binds them later.
///
/// Below the range that systems hand out for port 0, which others could get meanwhile.
///
/// # Errors
/// When a thousand ports in a row are taken.
pub fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 100).unwrap_or_default() * 100;
    let mut found = [0; N];
    for place in &mut found {
        let next = || 12_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = std::iter::repeat_with(next).take(1_000).find(free);
        let none = || std::io::Error::other("no free port between 12000 and 21999");
        *place = port.ok_or_else(none)?;
    }
    Ok(found)
}

/// Serves `handler` until `shutdown`; returns the bound address, or `None` when switched off.
///
/// At most 64 connections at a time, 10 s for the headers, 30 s for the answer. The handler bounds
/// the body itself (`http_body_util::Limited`).
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve<H, Fut>(
    address: &BindAddress,
    shutdown: CancellationToken,
    handler: H,
) -> Result<Option<SocketAddr>, ServeError>
where
    H: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let Some(listener) = address.listen().await? else { return Ok(None) };
    let local = listener
        .local_addr()
        .map_err(|source| ServeError::Listen { address: "listener".into(), source })?;
    tokio::spawn(accept(listener, shutdown, handler));
    Ok(Some(local))
}

async fn accept<H, Fut>(listener: TcpListener, shutdown: CancellationToken, handler: H)
where
    H: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors: give others time to close theirs.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (handler, shutdown) = (handler.clone(), shutdown.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = tokio::time::timeout(ANSWER_TIMEOUT, handler(request));
                async move {
                    let answer = answer.await.unwrap_or_else(|_| text(503, "too slow\n"));
                    Ok::<_, Infallible>(answer)
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(64 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = shutdown.cancelled() => {}
                // A broken connection concerns the peer alone.
                _ = connection => {}
            }
            drop(place);
        });
    }
}

/// A plain text answer.
#[must_use]
pub fn text(code: u16, body: impl Into<String>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.into())));
    *answer.status_mut() =
        http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_addresses_read_as_in_go() {
        let on = |host: &str, port| BindAddress::On { host: host.into(), port };
        assert_eq!(":8080".parse::<BindAddress>().unwrap(), on("", 8080));
        assert_eq!(":0".parse::<BindAddress>().unwrap(), on("", 0));
        assert_eq!("[::1]:1".parse::<BindAddress>().unwrap(), on("::1", 1));
        assert_eq!("0".parse::<BindAddress>().unwrap(), BindAddress::Off);
        assert!("8080".parse::<BindAddress>().is_err());
    }
}
