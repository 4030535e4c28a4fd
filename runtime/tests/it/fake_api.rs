//! A scripted API server: a queue of answers and the requests that were made.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::Value;
use tokio::sync::mpsc;

pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;
type Handler = dyn Fn(&str, &str, Value) -> Response<AnswerBody> + Send + Sync;

/// A client whose requests are answered by `handler(method, path and query, body)`.
pub(crate) fn client(
    handler: impl Fn(&str, &str, Value) -> Response<AnswerBody> + Send + Sync + 'static,
) -> kube::Client {
    let handler: Arc<Handler> = Arc::new(handler);
    let service = tower::service_fn(move |request: Request<Body>| {
        let handler = Arc::clone(&handler);
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let target = parts.uri.path_and_query().unwrap().as_str().to_owned();
            Ok::<_, Infallible>(handler(parts.method.as_str(), &target, body))
        }
    });
    kube::Client::new(service, "default")
}

pub(crate) fn json(code: u16, value: &Value) -> Response<AnswerBody> {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}

pub(crate) fn failure(code: u16, message: &str) -> Response<AnswerBody> {
    let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": message, "reason": "Test", "code": code});
    json(code, &status)
}

/// A watch that stays open; what is sent into the channel arrives as events.
pub(crate) fn watch() -> (mpsc::UnboundedSender<Value>, Watch) {
    let (events, received) = mpsc::unbounded_channel();
    (events, Watch(Arc::new(Mutex::new(VecDeque::from([received])))))
}

#[derive(Clone)]
pub(crate) struct Watch(Arc<Mutex<VecDeque<mpsc::UnboundedReceiver<Value>>>>);

impl Watch {
    pub(crate) fn answer(&self) -> Response<AnswerBody> {
        let received = self.0.lock().unwrap().pop_front();
        let lines = futures::stream::unfold(received, |received| async move {
            let Some(mut received) = received else { return std::future::pending().await };
            let event = received.recv().await?;
            let line = Bytes::from(format!("{event}\n"));
            Some((Ok(Frame::data(line)), Some(received)))
        });
        Response::new(StreamBody::new(lines.boxed()).boxed_unsync())
    }
}
