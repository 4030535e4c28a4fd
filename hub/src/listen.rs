//! The TLS listener: HTTP/1.1 and HTTP/2 for kubectl, helm and remote agents.
//!
//! Owns sockets, handshakes and the end of connections. Start at [`Hub::listen`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::Hub;
use crate::authn::{Remote, user_of_certificate};
use crate::authority::AuthorityError;

/// A handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken or not allowed.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The serving certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] AuthorityError),
}

/// A running listener; it ends when this is dropped.
pub struct Listening {
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

impl Listening {
    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting and ends every connection.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Hub {
    /// Listens on `address` (port 0: any free one); the certificate is good for it, `localhost`
    /// and `names`.
    ///
    /// # Errors
    /// When the address is in use or not allowed.
    pub async fn listen(
        &self,
        address: SocketAddr,
        names: &[String],
    ) -> Result<Listening, ListenError> {
        let bind = |source| ListenError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let local = listener.local_addr().map_err(bind)?;
        let mut all: Vec<String> =
            ["localhost", "127.0.0.1", "kubernetes", "kubernetes.default.svc"]
                .map(str::to_owned)
                .to_vec();
        all.push(local.ip().to_string());
        all.extend_from_slice(names);
        all.sort();
        all.dedup();
        let tls = Arc::new(self.server.authority.tls(all)?);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(accept(self.clone(), listener, TlsAcceptor::from(tls), stopped));
        Ok(Listening { address: local, stop })
    }
}

async fn accept(
    hub: Hub,
    listener: TcpListener,
    tls: TlsAcceptor,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file handles, most likely: others may end meanwhile.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = stopped.changed() => return,
        };
        let connection = serve(hub.clone(), stream, tls.clone());
        let mut ended = stopped.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = connection => {}
                _ = ended.changed() => {}
            }
        });
    }
}

async fn serve(hub: Hub, stream: TcpStream, tls: TlsAcceptor) {
    drop(stream.set_nodelay(true));
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|c| c.first()).and_then(|c| user_of_certificate(c));
    let remote = Remote { certificate };
    let service = tower::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(remote.clone());
        let hub = hub.clone();
        async move { Ok::<_, std::convert::Infallible>(hub.answer(request).await) }
    });
    let builder = Builder::new(TokioExecutor::new());
    let io = TokioIo::new(stream);
    if let Err(error) = builder.serve_connection(io, TowerToHyperService::new(service)).await {
        tracing::debug!(%error, "connection ended");
    }
}
