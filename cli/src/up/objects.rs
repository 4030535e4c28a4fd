//! Writing plain objects through a client.
//!
//! Owns "create it, or bring it to this". Start at [`ensure`].

use anyhow::Context as _;
use kube::Client;
use serde_json::Value;

/// Creates `object` in the collection `path`, or merges it into what is there.
pub(super) async fn ensure(client: &Client, path: &str, object: &Value) -> anyhow::Result<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let failed = || format!("writing {path}/{name}");
    match send(client, "POST", path, "application/json", object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            merge(client, &format!("{path}/{name}"), object).await
        }
        Err(error) => Err(error).with_context(failed),
    }
}

/// Creates `object`, whose name the server makes, and answers with it.
pub(super) async fn create(client: &Client, path: &str, object: &Value) -> anyhow::Result<Value> {
    let sent = send(client, "POST", path, "application/json", object).await;
    sent.with_context(|| format!("writing to {path}"))
}

/// Merges `patch` into the object at `path`.
pub(super) async fn merge(client: &Client, path: &str, patch: &Value) -> anyhow::Result<()> {
    let sent = send(client, "PATCH", path, "application/merge-patch+json", patch).await;
    sent.map(drop).with_context(|| format!("writing {path}"))
}

/// Reads one object; `None` when it is not there.
pub(super) async fn get(client: &Client, path: &str) -> anyhow::Result<Option<Value>> {
    match send(client, "GET", path, "application/json", &Value::Null).await {
        Ok(value) => Ok(Some(value)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {path}")),
    }
}

async fn send(
    client: &Client,
    method: &str,
    path: &str,
    media: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let text = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, media)
        .body(text)
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}
