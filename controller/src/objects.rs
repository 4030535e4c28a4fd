//! Writing plain objects beside our kinds: accounts, roles, Secrets, Deployments.
//!
//! Owns "make it so, but write only what differs". Knows nothing of why an object is wanted. Start
//! at [`Objects::ensure`].

use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ObjectMeta, Patch,
    PatchParams, Preconditions,
};
use kube::core::DynamicResourceScope;
use kube::{Client, Resource};
use runtime::ApiError;
use runtime::client::optional;
use serde_json::{Value, json};

/// Field manager of everything the controller applies.
pub const FIELD_MANAGER: &str = "fleet-controller";

/// Writes objects given as JSON.
#[derive(Clone)]
pub struct Objects {
    client: Client,
}

/// Which object is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName<'a> {
    /// `v1`, `rbac.authorization.k8s.io/v1`, ….
    pub api_version: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
}

impl<'a> ObjectName<'a> {
    fn of(object: &'a Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
        Self {
            api_version: text("/apiVersion"),
            kind: text("/kind"),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        }
    }

    fn resource(&self) -> ApiResource {
        let (group, version) = self.api_version.rsplit_once('/').unwrap_or(("", self.api_version));
        let kind = GroupVersionKind::gvk(group, version, self.kind);
        let lower = self.kind.to_lowercase();
        // The plurals of all kinds the controller writes follow one of these two rules.
        let plural = match lower.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None if lower.ends_with('s') => format!("{lower}es"),
            None => format!("{lower}s"),
        };
        ApiResource::from_gvk_with_plural(&kind, &plural)
    }

    fn describe(&self) -> String {
        let separator = if self.namespace.is_empty() { "" } else { "/" };
        format!("{} {}{separator}{}", self.kind, self.namespace, self.name)
    }
}

impl Objects {
    /// Writes through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn api<K>(&self, name: &ObjectName<'_>) -> Api<K>
    where
        K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        match name.namespace {
            "" => Api::all_with(self.client.clone(), &name.resource()),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &name.resource()),
        }
    }

    /// Reads an object.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached; an absent object is no error.
    pub async fn fetch(&self, name: &ObjectName<'_>) -> Result<Option<DynamicObject>, ApiError> {
        optional(self.api::<DynamicObject>(name).get(name.name).await)
            .map_err(|error| ApiError::new(format!("read {}", name.describe()), error))
    }

    /// Makes an object have at least these members, by server-side apply, and returns it.
    ///
    /// Guarantees: an object that has them already is not written.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn ensure(&self, wanted: &Value) -> Result<DynamicObject, ApiError> {
        let name = ObjectName::of(wanted);
        if let Some(live) = self.fetch(&name).await? {
            let seen = serde_json::to_value(&live).unwrap_or_default();
            // One that is being deleted cannot be mended; its deletion is news of its own.
            if live.metadata.deletion_timestamp.is_some() || contains(&seen, wanted) {
                return Ok(live);
            }
        }
        self.apply(wanted).await
    }

    /// Applies an object without looking at it first.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn apply(&self, wanted: &Value) -> Result<DynamicObject, ApiError> {
        let name = ObjectName::of(wanted);
        tracing::debug!(object = name.describe(), "applying");
        self.api::<DynamicObject>(&name)
            .patch(name.name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(wanted))
            .await
            .map_err(|error| ApiError::new(format!("apply {}", name.describe()), error))
    }

    /// Makes all of these objects so, in order.
    ///
    /// # Errors
    /// As [`Self::ensure`], at the first that fails.
    pub async fn ensure_all(&self, wanted: &[Value]) -> Result<(), ApiError> {
        for object in wanted {
            self.ensure(object).await?;
        }
        Ok(())
    }

    /// Deletes an object; one that is gone already is no error.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn delete(&self, name: &ObjectName<'_>) -> Result<(), ApiError> {
        optional(
            self.api::<DynamicObject>(name).delete(name.name, &DeleteParams::background()).await,
        )
        .map(drop)
        .map_err(|error| ApiError::new(format!("delete {}", name.describe()), error))
    }
}

/// Deletes the very object that was looked at, not one that has its name since.
pub fn delete_params(seen: &ObjectMeta) -> DeleteParams {
    let params = DeleteParams::background();
    match seen.uid.clone() {
        Some(uid) => params.preconditions(Preconditions { uid: Some(uid), resource_version: None }),
        None => params,
    }
}

/// An owner reference to an object of ours; it goes when the owner goes.
pub fn owned_by<K: Resource<DynamicType = ()>>(owner: &K) -> Value {
    json!([{
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "name": owner.meta().name,
        "uid": owner.meta().uid,
    }])
}

/// Whether `live` has all members of `wanted`; lists must agree entry by entry.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            match live.get(key) {
                Some(live) => contains(live, wanted),
                // The API server leaves empty members out.
                None => is_empty(wanted),
            }
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(l, w)| contains(l, w))
        }
        (live, wanted) => live == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_more_than_is_wanted_is_left_alone() {
        let live = json!({"a": {"b": 1, "c": 2}, "list": [{"x": 1, "y": 2}]});
        assert!(contains(&live, &json!({"a": {"b": 1}, "list": [{"x": 1}], "none": {}})));
        assert!(!contains(&live, &json!({"list": []})));
        assert!(!contains(&live, &json!({"a": {"b": 2}})));
    }

    #[test]
    fn plurals_are_those_of_the_api() {
        let plural = |api_version, kind| {
            ObjectName { api_version, kind, namespace: "", name: "" }.resource().plural
        };
        assert_eq!(plural("networking.k8s.io/v1", "NetworkPolicy"), "networkpolicies");
        assert_eq!(plural("scheduling.k8s.io/v1", "PriorityClass"), "priorityclasses");
        assert_eq!(plural("v1", "Secret"), "secrets");
    }
}
