//! Calls to the member cluster on objects whose kinds are known only at run time, in the name of an account.
//!
//! Owns requests, impersonation and the field manager. Must not know bundles or releases. Start at [`Member`].

use std::sync::Arc;

use bundle_format::api::labels::BUNDLE_DEPLOYMENT;
use http::{Method, Request};
use kube::Client;
use runtime::ApiError;
use serde_json::{Value, json};

use super::discovery::{Discovery, Resource};
use crate::plan::ObjectKey;

/// Field manager of everything this agent applies.
pub const FIELD_MANAGER: &str = "fleet-agent";

/// A failed call on one object.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The cluster does not serve the kind.
    #[error("no matches for kind \"{kind}\" in version \"{api_version}\"")]
    UnknownKind {
        /// Kind.
        kind: String,
        /// Version.
        api_version: String,
    },
    /// The object is being deleted, and somebody keeps it from going.
    #[error("{object} is being deleted; it is made anew when it is gone")]
    Leaving {
        /// Which object.
        object: String,
    },
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl CallError {
    /// The HTTP code of the answer, if there was one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::UnknownKind { .. } | Self::Leaving { .. } => None,
            Self::Api(error) => error.code(),
        }
    }
}

impl runtime::Classify for CallError {
    fn class(&self) -> runtime::ErrorClass {
        match self {
            Self::UnknownKind { .. } => runtime::ErrorClass::User,
            Self::Leaving { .. } => runtime::ErrorClass::Unavailable,
            Self::Api(error) => error.class(),
        }
    }
}

/// The member cluster, seen as one account.
#[derive(Clone)]
pub struct Member {
    client: Client,
    discovery: Arc<Discovery>,
    account: Option<Arc<str>>,
}

impl Member {
    /// The member cluster as the agent itself.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let discovery = Arc::new(Discovery::new(client.clone()));
        Self { client, discovery, account: None }
    }

    /// The same cluster as a service account of the agent's namespace.
    ///
    /// Every call but discovery is then made in its name: what it may not do, its bundles may not do.
    #[must_use]
    pub fn impersonating(&self, namespace: &str, service_account: &str) -> Self {
        let account = format!("system:serviceaccount:{namespace}:{service_account}");
        Self { account: Some(account.into()), ..self.clone() }
    }

    /// The plain client, as the agent itself.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the cluster serves.
    #[must_use]
    pub fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// How the kind of an object is reached.
    pub async fn resource(&self, key: &ObjectKey) -> Result<Resource, CallError> {
        self.discovery.resolve(&key.api_version, &key.kind).await?.ok_or_else(|| {
            CallError::UnknownKind { kind: key.kind.clone(), api_version: key.api_version.clone() }
        })
    }

    /// How the kinds of objects are reached, and those of `former` objects as long as they are served.
    pub async fn resources(
        &self,
        objects: &[Value],
        former: Vec<ObjectKey>,
    ) -> Result<Vec<(ObjectKey, Resource)>, CallError> {
        let mut resources = Vec::with_capacity(objects.len() + former.len());
        for key in objects.iter().map(ObjectKey::of) {
            let resource = self.resource(&key).await?;
            resources.push((key, resource));
        }
        for key in former {
            match self.resource(&key).await {
                Ok(resource) => resources.push((key, resource)),
                Err(CallError::UnknownKind { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(resources)
    }

    /// Reads one object; `None` when it, or its whole kind, does not exist.
    pub async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, CallError> {
        let resource = match self.resource(key).await {
            Ok(resource) => resource,
            Err(CallError::UnknownKind { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let path = resource.path(&key.namespace, &key.name);
        match self
            .call(Call { method: Method::GET, path: &path, body: None, content: "" }, || {
                format!("read {key}")
            })
            .await
        {
            Ok(object) => Ok(Some(with_kind(object, key))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads all objects of a kind, in one namespace or, when the key has none, in all; `None` when the kind does
    /// not exist.
    pub async fn list(&self, key: &ObjectKey) -> Result<Option<Value>, CallError> {
        let resource = match self.resource(key).await {
            Ok(resource) => resource,
            Err(CallError::UnknownKind { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let path = resource.path(&key.namespace, "");
        Ok(Some(self.read_path(&path, &format!("list {}", resource.plural)).await?))
    }

    /// Applies one object, server side, taking over every field it sets.
    pub async fn apply(&self, key: &ObjectKey, object: &Value) -> Result<Value, CallError> {
        let resource = self.resource(key).await?;
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict",
            resource.path(&key.namespace, &key.name)
        );
        let call = Call {
            method: Method::PATCH,
            path: &path,
            body: Some(object),
            content: "application/apply-patch+yaml",
        };
        let applied = self.call(call, || format!("apply {key}")).await?;
        Ok(with_kind(applied, key))
    }

    /// Merge-patches one object.
    pub async fn merge_patch(&self, key: &ObjectKey, patch: &Value) -> Result<Value, CallError> {
        let resource = self.resource(key).await?;
        let path =
            format!("{}?fieldManager={FIELD_MANAGER}", resource.path(&key.namespace, &key.name));
        let call = Call {
            method: Method::PATCH,
            path: &path,
            body: Some(patch),
            content: "application/merge-patch+json",
        };
        Ok(self.call(call, || format!("patch {key}")).await?)
    }

    /// Creates one object.
    pub async fn create(&self, key: &ObjectKey, object: &Value) -> Result<Value, CallError> {
        let resource = self.resource(key).await?;
        let path = format!("{}?fieldManager={FIELD_MANAGER}", resource.path(&key.namespace, ""));
        let call = Call {
            method: Method::POST,
            path: &path,
            body: Some(object),
            content: "application/json",
        };
        Ok(self.call(call, || format!("create {key}")).await?)
    }

    /// Deletes one object, its dependants in the background; only if it still is the one with this uid.
    ///
    /// Returns whether there was something to delete.
    pub async fn delete(&self, key: &ObjectKey, uid: Option<&str>) -> Result<bool, CallError> {
        let resource = match self.resource(key).await {
            Ok(resource) => resource,
            Err(CallError::UnknownKind { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut options =
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
        if let Some(uid) = uid {
            options["preconditions"] = json!({ "uid": uid });
        }
        let path = resource.path(&key.namespace, &key.name);
        let call = Call {
            method: Method::DELETE,
            path: &path,
            body: Some(&options),
            content: "application/json",
        };
        match self.call(call, || format!("delete {key}")).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Namespaces and names of what was copied from the hub for a bundle deployment.
    pub async fn list_copies(
        &self,
        plural: &str,
        bundle_id: &str,
    ) -> Result<Vec<(String, String)>, CallError> {
        let label = BUNDLE_DEPLOYMENT.replace('/', "%2F");
        let path = format!("/api/v1/{plural}?labelSelector={label}%3D{bundle_id}");
        let list = self.read_path(&path, "list copied objects").await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().into_iter().flatten();
        Ok(items
            .map(|o| (text(&o["metadata"]["namespace"]), text(&o["metadata"]["name"])))
            .collect())
    }

    /// Reads any path.
    pub(super) async fn read_path(&self, path: &str, action: &str) -> Result<Value, CallError> {
        let call = Call { method: Method::GET, path, body: None, content: "" };
        Ok(self.call(call, || action.to_owned()).await?)
    }

    async fn call(&self, call: Call<'_>, action: impl Fn() -> String) -> Result<Value, ApiError> {
        let mut request = Request::builder().method(call.method).uri(call.path);
        if let Some(account) = &self.account {
            request = request.header("Impersonate-User", account.as_ref());
        }
        if !call.content.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, call.content);
        }
        let body = match call.body {
            Some(body) => serde_json::to_vec(body)
                .map_err(|error| ApiError::new(action(), kube::Error::SerdeError(error)))?,
            None => Vec::new(),
        };
        let request = request
            .body(body)
            .map_err(|error| ApiError::new(action(), kube::Error::HttpError(error)))?;
        self.client.request(request).await.map_err(|error| ApiError::new(action(), error))
    }
}

struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
    content: &'a str,
}

/// Some servers leave kind and version out of single objects.
fn with_kind(mut object: Value, key: &ObjectKey) -> Value {
    object["apiVersion"] = key.api_version.as_str().into();
    object["kind"] = key.kind.as_str().into();
    object
}
