//! Plain requests of a person: create, read, change, delete.
//!
//! Owns paths and media types. Start at [`Person`].

use anyhow::{Context as _, Result};
use kube::Client;
use serde_json::Value;

/// `/apis/fleet.cattle.io/v1alpha1/namespaces/<namespace>/<plural>`
pub(crate) fn fleet(namespace: &str, plural: &str) -> String {
    format!("/apis/fleet.cattle.io/v1alpha1/namespaces/{namespace}/{plural}")
}

/// `/api/v1/namespaces/<namespace>/<plural>`
pub(crate) fn core(namespace: &str, plural: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{plural}")
}

/// A person with kubectl.
#[derive(Clone)]
pub(crate) struct Person(pub Client);

impl Person {
    /// Creates `object` in the collection `path`, or merges it into what is there.
    pub(crate) async fn ensure(&self, path: &str, object: &Value) -> Result<()> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match self.send("POST", path, "application/json", object).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.merge(&format!("{path}/{name}"), object).await
            }
            Err(error) => Err(error).with_context(|| format!("writing {path}/{name}")),
        }
    }

    /// Merges `patch` into the object at `path`.
    pub(crate) async fn merge(&self, path: &str, patch: &Value) -> Result<()> {
        let done = self.send("PATCH", path, "application/merge-patch+json", patch).await;
        done.map(drop).with_context(|| format!("changing {path}"))
    }

    /// Deletes the object at `path`; one that is gone is fine.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        match self.send("DELETE", path, "application/json", &Value::Null).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            done => done.map(drop).with_context(|| format!("deleting {path}")),
        }
    }

    /// Reads the object at `path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>> {
        match self.send("GET", path, "application/json", &Value::Null).await {
            Ok(value) => Ok(Some(value)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {path}")),
        }
    }

    async fn send(
        &self,
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
        self.0.request(request).await
    }
}
