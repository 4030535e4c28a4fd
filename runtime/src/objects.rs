//! Plain JSON objects by path, written and read as a person with kubectl does.
//!
//! For what is written once and for tests, which know the path and need no types; reconcilers have
//! caches and typed patches instead. Start at [`ensure`] and [`get`].

use bundle_format::api::labels;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use kube::Client;
use serde_json::Value;

use crate::client::{ApiError, code_of, optional};

/// The path of a collection of our kinds: `/apis/fleet.cattle.io/…/namespaces/<namespace>/<plural>`.
#[must_use]
pub fn fleet(namespace: &str, plural: &str) -> String {
    format!("/apis/{}/namespaces/{namespace}/{plural}", labels::API_VERSION)
}

/// The path of a collection of the core group: `/api/v1/namespaces/<namespace>/<plural>`.
#[must_use]
pub fn core(namespace: &str, plural: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{plural}")
}

/// Creates `object` in the collection `path`, or merges it into what is there.
///
/// # Errors
/// When the server refuses it or does not answer.
pub async fn ensure(client: &Client, path: &str, object: &Value) -> Result<(), ApiError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match send(client, Method::POST, path, Some(object)).await {
        Err(error) if code_of(&error) == Some(409) => {
            merge(client, &format!("{path}/{name}"), object).await
        }
        done => done.map(drop).map_err(|e| ApiError::new(format!("write {path}/{name}"), e)),
    }
}

/// Creates `object` in the collection `path` and answers with what the server made of it.
///
/// # Errors
/// When the server refuses it, has it already, or does not answer.
pub async fn create(client: &Client, path: &str, object: &Value) -> Result<Value, ApiError> {
    let made = send(client, Method::POST, path, Some(object)).await.and_then(|text| parse(&text));
    made.map_err(|e| ApiError::new(format!("write to {path}"), e))
}

/// Merges `patch` into the object at `path`.
///
/// # Errors
/// When the server refuses it, has no such object, or does not answer.
pub async fn merge(client: &Client, path: &str, patch: &Value) -> Result<(), ApiError> {
    let done = send(client, Method::PATCH, path, Some(patch)).await;
    done.map(drop).map_err(|e| ApiError::new(format!("change {path}"), e))
}

/// Deletes the object at `path`; one that is gone is fine.
///
/// # Errors
/// When the server refuses it or does not answer.
pub async fn delete(client: &Client, path: &str) -> Result<(), ApiError> {
    let done = optional(send(client, Method::DELETE, path, None).await);
    done.map(drop).map_err(|e| ApiError::new(format!("delete {path}"), e))
}

/// Reads the object, or the list, at `path`; `None` when it is not there.
///
/// # Errors
/// When the server refuses it or does not answer.
pub async fn get(client: &Client, path: &str) -> Result<Option<Value>, ApiError> {
    let found = send(client, Method::GET, path, None).await.and_then(|text| parse(&text));
    optional(found).map_err(|e| ApiError::new(format!("read {path}"), e))
}

/// Sends one request and answers with the text of the answer. A `PATCH` is a merge patch.
///
/// # Errors
/// When the server refuses it or does not answer.
pub async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<String, kube::Error> {
    let media = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, media)
        .body(body.map(Value::to_string).unwrap_or_default().into_bytes());
    client.request_text(request.map_err(kube::Error::HttpError)?).await
}

fn parse(text: &str) -> Result<Value, kube::Error> {
    serde_json::from_str(text).map_err(kube::Error::SerdeError)
}
