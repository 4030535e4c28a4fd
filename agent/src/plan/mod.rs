//! What shall happen to the objects of one bundle deployment, decided without touching the cluster.
//!
//! Owns the decisions: what to write ([`apply`]), what differs ([`drift`], after [`normalize`]), what is ready
//! ([`health`]). Must not know clients, clocks or async: live objects come in as plain JSON. Start at
//! [`apply::plan_apply`].

pub mod apply;
pub mod drift;
pub mod gate;
pub mod health;
pub mod hooks;
mod kinds;
pub mod normalize;
pub mod unserved;

use std::fmt;

use serde_json::Value;

/// Which object: kind in a version, namespace (none for cluster-scoped kinds), name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// `ConfigMap`, …
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// Reads the key of an object as it stands in its own fields.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let text = |pointer| {
            object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        Self {
            api_version: text("/apiVersion"),
            kind: text("/kind"),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        }
    }

    /// The API group, empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// Same object in another version of its API.
    #[must_use]
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.group() == other.group()
            && self.kind == other.kind
            && self.namespace == other.namespace
            && self.name == other.name
    }
}

/// Prints `configmap.v1 namespace/name` or `deployment.apps namespace/name`, the form of Fleet's messages.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.group().is_empty() { &self.api_version } else { self.group() };
        write!(f, "{}.{suffix} ", self.kind.to_lowercase())?;
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}
