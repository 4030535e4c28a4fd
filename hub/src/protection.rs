//! Storage in use is not taken away: what holds a volume or a claim that is being deleted.
//!
//! The rules are those of the peer's `pvc-protection` and `pv-protection` controllers
//! (Kubernetes 1.36): a claim stays while a pod that has not ended mounts it, a volume while the
//! claim it is bound to exists.

use std::sync::Arc;

use serde_json::Value;

use crate::meta;
use crate::server::Server;
use crate::store::{Key, Scope};

pub(crate) const CLAIM: &str = "kubernetes.io/pvc-protection";
pub(crate) const VOLUME: &str = "kubernetes.io/pv-protection";

/// The protection that an object still has, if any.
pub(crate) fn held_by(object: &Value) -> Option<&'static str> {
    [CLAIM, VOLUME].into_iter().find(|finalizer| meta::has_finalizer(object, finalizer))
}

/// The claims and volumes that the end of this object may release.
pub(crate) fn releases(key: &Key, object: &Value, gone: bool) -> Vec<Key> {
    match &*key.resource {
        "/pods" if gone || has_ended(object) => claims(object)
            .map(|claim| Key::new(&"/persistentvolumeclaims".into(), key.namespace(), claim))
            .collect(),
        "/persistentvolumeclaims" if gone => object["spec"]["volumeName"]
            .as_str()
            .map(|volume| Key::new(&"/persistentvolumes".into(), None, volume))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

fn claims(pod: &Value) -> impl Iterator<Item = &str> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
}

fn has_ended(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

impl Server {
    /// Whether a claim or volume under protection is still in use.
    pub(crate) fn is_in_use(self: &Arc<Self>, key: &Key, object: &Value) -> bool {
        if &*key.resource == "/persistentvolumes" {
            let claim = &object["spec"]["claimRef"];
            let Some(name) = claim["name"].as_str() else { return false };
            let home =
                Key::new(&"/persistentvolumeclaims".into(), claim["namespace"].as_str(), name);
            return self.store.latest(&home).is_some();
        }
        let scope = Scope { resource: "/pods".into(), namespace: key.namespace().map(Into::into) };
        let Ok(page) = self.store.list(&scope, "", usize::MAX, 0) else { return true };
        page.entries.iter().any(|(_, entry)| {
            let pod = entry.value();
            !has_ended(&pod) && claims(&pod).any(|claim| claim == key.name())
        })
    }
}
