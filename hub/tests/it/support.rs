//! A hub and raw requests to it.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hub::Hub;
use serde_json::{Value, json};

pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
}

/// Sends one request; a PATCH is a merge patch unless `media` says otherwise.
pub(crate) async fn send(hub: &Hub, method: &str, path: &str, media: &str, body: &Value) -> Answer {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .header("user-agent", "test/1")
        .body(Full::new(Bytes::from(text)))
        .expect("request");
    let response = hub.answer(request).await;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.expect("body").to_bytes();
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    Answer { code, body }
}

pub(crate) async fn get(hub: &Hub, path: &str) -> Answer {
    send(hub, "GET", path, "", &Value::Null).await
}

pub(crate) async fn post(hub: &Hub, path: &str, body: Value) -> Answer {
    send(hub, "POST", path, "application/json", &body).await
}

pub(crate) async fn put(hub: &Hub, path: &str, body: Value) -> Answer {
    send(hub, "PUT", path, "application/json", &body).await
}

pub(crate) async fn merge(hub: &Hub, path: &str, body: Value) -> Answer {
    send(hub, "PATCH", path, "application/merge-patch+json", &body).await
}

pub(crate) async fn delete(hub: &Hub, path: &str) -> Answer {
    send(hub, "DELETE", path, "", &Value::Null).await
}

pub(crate) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

pub(crate) fn widget_crd() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wi"]},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Status", "type": "string",
                        "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "size": {"type": "integer", "minimum": 1},
                        "mode": {"type": "string", "default": "Fast", "enum": ["Fast", "Slow"]}}},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}]}})
}

/// Runs the workers until `done` holds; they act on their own task.
pub(crate) async fn eventually<F, Fut>(mut done: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    for _ in 0..10_000 {
        if done().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it did not happen");
}
