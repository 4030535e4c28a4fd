//! An embedded, Kubernetes-compatible API server.
//!
//! Owns kinds, storage, verbs, watches, life cycles (namespaces, owners, CRDs), tokens and roles.
//! Knows nothing of Fleet: its kinds arrive as CRDs. For trying, testing, small hubs and
//! simulation; a real Kubernetes stays the production home of the same reconcilers.
//!
//! Start at [`Hub`]: a `tower::Service` that `kube::Client::new` takes without a socket. A request
//! goes [`route`] → [`verbs`] → [`store`]; what a kind is comes from [`registry`].

mod accounts;
mod admission;
mod authn;
mod authority;
mod authz;
mod body;
mod body_check;
mod builtin;
mod discovery;
mod error;
mod gc;
mod inspect;
mod listen;
mod managed_fields;
mod media;
mod meta;
mod protection;
mod protobuf;
mod registry;
mod route;
mod rules;
mod schema;
mod selector;
mod server;
mod simulate;
mod store;
mod strategy;
mod table;
mod verbs;

use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};

pub use authority::{AuthorityError, ClientIdentity, write_private};
pub use body::HubBody;
pub use inspect::StoredChange;
pub use listen::{ListenError, Listening};
pub use meta::Clock;
pub use simulate::Simulation;
pub use store::StoreError;

use error::ApiError;
use server::Server;

/// Largest request body (kube-apiserver has the same).
const MAX_BODY_BYTES: usize = 3 << 20;

/// How a hub is set up. The default keeps nothing and uses the machine's clock and randomness.
#[derive(Clone, Default)]
pub struct Options {
    /// Folder of the data file; `None` keeps everything in memory only.
    pub data: Option<PathBuf>,
    /// Seed for uids and generated names: one seed, one run.
    pub seed: Option<u64>,
    /// Where the time comes from.
    pub clock: Option<Clock>,
    /// How many past events watches can resume from; 0 means 10,000.
    pub history_count: usize,
    /// Workloads become ready by themselves; `None` only stores them.
    pub simulation: Option<Simulation>,
}

/// Who asks. In a request's extensions; without it an in-process caller is an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `system:serviceaccount:ns:name`, a certificate's CN, …
    pub name: String,
    /// Group names, `system:masters` among them for administrators.
    pub groups: Vec<String>,
    /// The account's uid, where there is one.
    pub uid: String,
}

impl User {
    /// The user that may do everything.
    pub fn administrator() -> User {
        let groups = vec!["system:masters".to_owned(), "system:authenticated".to_owned()];
        User { name: "system:admin".to_owned(), groups, uid: String::new() }
    }
}

/// Why a hub cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// An API server. Cheap to clone; all clones are one server.
#[derive(Clone)]
pub struct Hub {
    server: Arc<Server>,
}

impl Hub {
    /// A server that keeps nothing.
    ///
    /// # Panics
    /// When the system gives no randomness for keys.
    pub fn memory() -> Hub {
        Hub::open(&Options::default()).expect("a hub in memory needs only randomness")
    }

    /// Opens a server; with [`Options::data`] its objects are those of the last run.
    ///
    /// # Errors
    /// When the data folder cannot be read or written, or another process has it open.
    pub fn open(options: &Options) -> Result<Hub, OpenError> {
        let history = match options.history_count {
            0 => DEFAULT_HISTORY_COUNT,
            count => count,
        };
        let store = match &options.data {
            None => store::Store::memory(history),
            Some(folder) => store::Store::open(&folder.join("hub.redb"), history)?,
        };
        let world = meta::World::new(options.clock.clone(), options.seed);
        let authority = authority::Authority::open(options.data.as_deref())?;
        Ok(Hub { server: Arc::new(Server::new(store, world, authority, options.simulation)) })
    }

    /// The certificate of the hub's CA, PEM.
    pub fn ca_certificate(&self) -> &str {
        self.server.authority.ca_pem()
    }

    /// A client certificate that makes its bearer `user` (of its groups, the first).
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn client_identity(&self, user: &User) -> Result<ClientIdentity, AuthorityError> {
        self.server.authority.client(user)
    }

    /// Writes the objects every cluster has; a request does it too.
    pub async fn ready(&self) {
        self.server.start().await;
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<HubBody>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => {
                let message = format!("Request entity too large: limit is {MAX_BODY_BYTES}");
                return body::error(&ApiError::new(413, "RequestEntityTooLarge", message));
            }
        };
        self.server.answer(&parts, body).await
    }
}

const DEFAULT_HISTORY_COUNT: usize = 10_000;

impl<B> tower::Service<Request<B>> for Hub
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<HubBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let hub = self.clone();
        Box::pin(async move { Ok(hub.answer(request).await) })
    }
}
