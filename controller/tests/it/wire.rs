//! The way between the controller and its API server: what passes is noted, and can go wrong.
//!
//! Start at [`Wire::client`].

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;
use tower::BoxError;

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// Shared by a test and the clients it made.
#[derive(Clone)]
pub(crate) struct Wire {
    requests: Arc<Mutex<Vec<String>>>,
    /// The resource whose watches say nothing.
    held: Arc<watch::Sender<Option<&'static str>>>,
    /// Writes to paths with this in them are done, and their answers are lost.
    lost: Arc<Mutex<Option<String>>>,
}

impl Wire {
    pub(crate) fn new() -> Self {
        let held = Arc::new(watch::Sender::new(None));
        Self { requests: Arc::default(), held, lost: Arc::default() }
    }

    /// From now on the controller's copy of a resource is late; `None` shows it all that it missed.
    pub(crate) fn hold(&self, resource: Option<&'static str>) {
        self.held.send_replace(resource);
    }

    /// From now on answers to writes of this are lost.
    pub(crate) fn lose_answers(&self, path: Option<&str>) {
        *self.lost.lock().unwrap() = path.map(str::to_owned);
    }

    /// Requests since the last call as `METHOD path?query`, watches and Events left out.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    /// A client that asks `inner` by this way.
    pub(crate) fn client(&self, inner: Client) -> Client {
        let wire = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (wire, inner) = (wire.clone(), inner.clone());
            async move { wire.send(&inner, request).await }
        });
        Client::new(service, "default")
    }

    async fn send(self, inner: &Client, request: Request<Body>) -> Result<Answer, BoxError> {
        let (method, uri) = (request.method().clone(), request.uri().to_string());
        let is_watch = uri.contains("watch=true");
        if !is_watch && !uri.contains("events.k8s.io") {
            self.requests.lock().unwrap().push(format!("{method} {uri}"));
        }
        let answer = inner.send(request).await?.map(|body| body.map_err(Into::into).boxed_unsync());
        let is_lost = self.lost.lock().unwrap().as_ref().is_some_and(|lost| uri.contains(lost));
        match (is_watch, method) {
            (true, _) => Ok(self.late(&uri, answer)),
            (false, Method::POST | Method::PATCH) if is_lost => Err("connection reset".into()),
            _ => Ok(answer),
        }
    }

    /// The same watch, which says nothing while its resource is held.
    fn late(self, uri: &str, answer: Answer) -> Answer {
        let resource = uri.split('?').next().unwrap_or_default().rsplit('/').next();
        let resource = resource.unwrap_or_default().to_owned();
        answer.map(|body| {
            let frames = futures::stream::unfold(body, move |mut body| {
                let (mut held, resource) = (self.held.subscribe(), resource.clone());
                async move {
                    let frame = body.frame().await?;
                    drop(held.wait_for(|held| *held != Some(resource.as_str())).await);
                    Some((frame, body))
                }
            });
            StreamBody::new(frames.boxed()).boxed_unsync()
        })
    }
}
