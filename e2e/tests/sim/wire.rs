//! The way between a client and an API server, without a socket.
//!
//! Owns what a network does: time that passes, requests and answers that get lost, watches that
//! break, members that are cut off, and processes that are dead. Decides none of it (see `faults`).
//! Start at [`Wire`].

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hub::Hub;
use kube::{Client, Config};
use runtime::client::{ClientError, Connect};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::faults::{Fault, Faults, WatchFault};
use crate::trace::{Trace, digest_body};

/// A transport notices that nothing came for so long (kube's default for reads).
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(295);
/// How often who is cut off looks whether that is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Answers kept to be given again later, of each question.
const OLD_ANSWERS_MAX: usize = 3;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Everything that is between processes and API servers.
pub(crate) struct Network {
    is_noted: bool,
    pub(crate) trace: Mutex<Trace>,
    pub(crate) faults: Mutex<Faults>,
    servers: Mutex<BTreeMap<String, Hub>>,
    /// Members whose agents do not reach the hub.
    cut_off: Mutex<BTreeSet<String>>,
    old_answers: Mutex<BTreeMap<String, Vec<Bytes>>>,
    /// Whom a fault killed.
    deaths: mpsc::UnboundedSender<String>,
}

/// One life of a process.
#[derive(Debug)]
pub(crate) struct Life {
    /// `controller`, `gitjob`, `agent/member-1`, or `person`.
    pub(crate) name: String,
    is_dead: AtomicBool,
}

impl Life {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), is_dead: AtomicBool::new(false) })
    }

    /// From now on nothing of it reaches anyone, and it hears nothing.
    pub(crate) fn end(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    /// A person makes no mistakes and reaches everything.
    fn is_person(&self) -> bool {
        self.name == "person"
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    pub(crate) fn new(faults: Faults, deaths: mpsc::UnboundedSender<String>) -> Arc<Self> {
        Arc::new(Self {
            is_noted: !faults.is_instant(),
            trace: Mutex::new(Trace::new()),
            faults: Mutex::new(faults),
            servers: Mutex::default(),
            cut_off: Mutex::default(),
            old_answers: Mutex::default(),
            deaths,
        })
    }

    /// Makes a server reachable as `http://<name>`.
    pub(crate) fn add_server(&self, name: &str, hub: &Hub) {
        lock(&self.servers).insert(name.to_owned(), hub.clone());
    }

    /// Notes something that is no request.
    pub(crate) fn note(&self, text: &str) {
        lock(&self.trace).note(text);
    }

    /// Cuts a member's agent off from the hub, or lets it back.
    pub(crate) fn set_cut_off(&self, member: &str, is_cut_off: bool) {
        self.note(&format!("-- {member} cut off: {is_cut_off}"));
        match is_cut_off {
            true => lock(&self.cut_off).insert(member.to_owned()),
            false => lock(&self.cut_off).remove(member),
        };
    }

    /// A client of `server` in the name of a process.
    pub(crate) fn client(
        self: &Arc<Self>,
        life: &Arc<Life>,
        server: &str,
        token: Option<String>,
    ) -> Client {
        let wire = Wire {
            network: Arc::clone(self),
            life: Arc::clone(life),
            server: server.to_owned(),
            token,
        };
        Client::new(wire, "default")
    }

    fn is_cut_off(&self, life: &Life, server: &str) -> bool {
        let member = life.name.strip_prefix("agent/");
        server == "hub" && member.is_some_and(|member| lock(&self.cut_off).contains(member))
    }

    async fn await_way(&self, life: &Life, server: &str) {
        while self.is_cut_off(life, server) {
            sleep(LOOK_EVERY).await;
        }
    }

    fn kill(&self, life: &Life) {
        if life.is_dead() {
            return;
        }
        self.note(&format!("-- {} is killed", life.name));
        life.end();
        // The world ends before its processes do.
        drop(self.deaths.send(life.name.clone()));
    }
}

/// Makes clients for an agent that was told an address and a token.
#[derive(Debug)]
pub(crate) struct WireConnect {
    pub(crate) network: Arc<Network>,
    pub(crate) life: Arc<Life>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl Connect for WireConnect {
    fn connect(&self, config: Config, _user_agent: &str) -> Result<Client, ClientError> {
        let server = config.cluster_url.host().unwrap_or_default().to_owned();
        // The token has no other way out of kube's type.
        let auth = serde_json::to_value(&config.auth_info).unwrap_or_default();
        let token = auth["token"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
        Ok(self.network.client(&self.life, &server, token))
    }
}

/// One client's way to one server.
#[derive(Clone)]
pub(crate) struct Wire {
    network: Arc<Network>,
    life: Arc<Life>,
    server: String,
    token: Option<String>,
}

impl tower::Service<Request<kube::client::Body>> for Wire {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            wire.send(Asked { parts, body }).await
        })
    }
}

/// A request, all of it here.
struct Asked {
    parts: http::request::Parts,
    body: Bytes,
}

impl Asked {
    fn target(&self) -> &str {
        self.parts.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    fn has(&self, word: &str) -> bool {
        self.parts.uri.query().unwrap_or_default().contains(word)
    }

    fn is_watch(&self) -> bool {
        self.has("watch=true") || self.has("watch=1")
    }

    /// Lists that name no revision are answered by the newest state; those with 0 by any.
    fn can_be_stale(&self) -> bool {
        self.parts.method == Method::GET && self.has("resourceVersion=0") && !self.is_watch()
    }

    fn about(&self) -> String {
        format!(
            "{} {} {}",
            self.parts.method,
            self.target(),
            digest_body(self.target(), &self.body)
        )
    }
}

impl Wire {
    async fn send(self, asked: Asked) -> Result<Response<Body>, BoxError> {
        if self.life.is_dead() {
            return std::future::pending().await;
        }
        if self.life.is_person() {
            return self.deliver(&asked).await;
        }
        let latency = lock(&self.network.faults).latency();
        sleep(latency).await;
        if self.network.is_cut_off(&self.life, &self.server) {
            let silence = lock(&self.network.faults).silence();
            self.network.note(&format!("{} !! {} cut off", self.life.name, asked.about()));
            sleep(silence).await;
            return Err("connect: no route to host".into());
        }
        if self.life.is_dead() {
            return std::future::pending().await;
        }
        match asked.is_watch() {
            true => self.watch(asked).await,
            false => self.ask(asked).await,
        }
    }

    async fn ask(self, asked: Asked) -> Result<Response<Body>, BoxError> {
        let network = &self.network;
        let fault = lock(&network.faults).of_request(&asked.parts.method, asked.can_be_stale());
        if fault != Fault::None {
            network.note(&format!("{} !! {} {fault:?}", self.life.name, asked.about()));
        }
        let question = format!("{} {}", self.server, asked.target());
        match fault {
            Fault::Refuse(code) => return Ok(refusal(code)),
            Fault::LoseRequest => {
                let silence = lock(&network.faults).silence();
                sleep(silence).await;
                return Err("connection reset by peer".into());
            }
            Fault::KillBefore => {
                network.kill(&self.life);
                return std::future::pending().await;
            }
            Fault::Stale => {
                let old =
                    lock(&network.old_answers).get(&question).and_then(|a| a.first().cloned());
                if let Some(old) = old {
                    return Ok(whole(200, old));
                }
            }
            _ => {}
        }
        let answer = self.deliver(&asked).await?;
        match fault {
            Fault::LoseAnswer => {
                let silence = lock(&network.faults).silence();
                sleep(silence).await;
                return Err("connection closed before message completed".into());
            }
            Fault::KillAfter => {
                network.kill(&self.life);
                return std::future::pending().await;
            }
            _ => {}
        }
        let latency = lock(&network.faults).latency();
        sleep(latency).await;
        if self.life.is_dead() {
            return std::future::pending().await;
        }
        if !asked.can_be_stale() {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut old = lock(&network.old_answers);
        let known = old.entry(question).or_default();
        known.push(body.clone());
        if known.len() > OLD_ANSWERS_MAX {
            known.remove(0);
        }
        Ok(Response::from_parts(parts, boxed(Full::new(body))))
    }

    /// The server's answer.
    async fn deliver(&self, asked: &Asked) -> Result<Response<Body>, BoxError> {
        let hub = lock(&self.network.servers).get(&self.server).cloned();
        let hub = hub.ok_or_else(|| format!("dns: no such host: {}", self.server))?;
        let mut request = Request::from_parts(asked.parts.clone(), Full::new(asked.body.clone()));
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let answer = hub.answer(request).await;
        let code = answer.status().as_u16();
        let (life, server) = (&self.life.name, &self.server);
        if self.network.is_noted {
            self.network.note(&format!("{life} -> {server} {} = {code}", asked.about()));
        }
        Ok(answer.map(boxed))
    }

    async fn watch(self, asked: Asked) -> Result<Response<Body>, BoxError> {
        let fault = lock(&self.network.faults).of_watch();
        if fault != WatchFault::None {
            self.network.note(&format!("{} !! {} {fault:?}", self.life.name, asked.about()));
        }
        let (parts, body) = self.deliver(&asked).await?.into_parts();
        let stream = Stream { wire: self, body, fault, piece_count: 0 };
        let pieces = futures::stream::unfold(Some(stream), |stream| async {
            let mut stream = stream?;
            match stream.next().await {
                Some(Ok(piece)) => Some((Ok(Frame::data(piece)), Some(stream))),
                Some(Err(error)) => Some((Err(error), None)),
                None => None,
            }
        });
        Ok(Response::from_parts(parts, BodyExt::boxed_unsync(StreamBody::new(pieces))))
    }
}

/// A watch that is open.
struct Stream {
    wire: Wire,
    body: Body,
    fault: WatchFault,
    piece_count: usize,
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        match self.fault {
            WatchFault::Cut(after) if self.piece_count >= after => return None,
            WatchFault::Hang(after) if self.piece_count >= after => {
                sleep(READ_TIMEOUT).await;
                return Some(Err("read timed out".into()));
            }
            WatchFault::Expire(after) if self.piece_count >= after => {
                // The stream ends after it, as the server's does.
                self.fault = WatchFault::Cut(0);
                return Some(Ok(expired()));
            }
            _ => {}
        }
        let piece = match self.body.frame().await? {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return Some(Err(error)),
        };
        self.piece_count += 1;
        let network = Arc::clone(&self.wire.network);
        let latency = match self.fault {
            WatchFault::Late(delay) => delay,
            _ => lock(&network.faults).latency(),
        };
        sleep(latency).await;
        if network.is_cut_off(&self.wire.life, &self.wire.server) {
            network.await_way(&self.wire.life, &self.wire.server).await;
            // Either the connection outlives the time without a way, or it does not.
            if lock(&network.faults).coin() {
                return Some(Err("connection reset by peer".into()));
            }
        }
        if self.wire.life.is_dead() {
            return std::future::pending().await;
        }
        Some(Ok(piece))
    }
}

fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    BodyExt::boxed_unsync(body.map_err(Into::into))
}

fn whole(code: u16, text: Bytes) -> Response<Body> {
    let response =
        Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    response.body(boxed(Full::new(text))).expect("a code and one header make a response")
}

/// A `Status` in the place of an answer.
fn refusal(code: u16) -> Response<Body> {
    let (reason, message) = match code {
        409 => (
            "Conflict",
            "the object has been modified; please apply your changes to the latest version",
        ),
        429 => ("TooManyRequests", "too many requests, please try again later"),
        _ => ("InternalError", "etcdserver: leader changed"),
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code});
    whole(code, status.to_string().into())
}

/// The event with which a server ends a watch whose start it does not know any more.
fn expired() -> Bytes {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version: 1 (2)", "reason": "Expired", "code": 410});
    format!("{}\n", json!({"type": "ERROR", "object": status})).into()
}
