//! Kinds that are not served yet: each object of them says so itself.
//!
//! Owns their list and the words. Knows nothing of what serving them would take. Start at
//! [`reconcile_unserved`].

use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Client, Resource};
use runtime::cache::CacheBuilder;
use runtime::conditions::{self, ConditionUpdate};
use runtime::status::{StatusWrite, patch_status};
use runtime::{Cache, NextWake, ObjectKey};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Error;

/// A kind of our group that nobody reconciles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnservedKind {
    /// Charts without git.
    HelmOp,
    /// Windows of time for changes.
    Schedule,
    /// Looks for new images.
    ImageScan,
}

impl UnservedKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HelmOp, Self::Schedule, Self::ImageScan];

    fn resource(self) -> ApiResource {
        let (kind, plural) = match self {
            Self::HelmOp => ("HelmOp", "helmops"),
            Self::Schedule => ("Schedule", "schedules"),
            Self::ImageScan => ("ImageScan", "imagescans"),
        };
        let group = <bundle_format::api::Bundle as Resource>::group(&());
        let kind = GroupVersionKind::gvk(&group, "v1alpha1", kind);
        ApiResource::from_gvk_with_plural(&kind, plural)
    }

    /// What happens instead, and what to do.
    fn message(self) -> &'static str {
        match self {
            Self::HelmOp => {
                "HelmOps are not served yet: nothing is deployed; put the chart into a fleet.yaml \
                 of a Git repository (helm.repo, helm.chart, helm.version)"
            }
            Self::Schedule => {
                "Schedules are not served yet: clusters take changes at any time; use \
                 spec.paused of the Cluster to hold them back"
            }
            Self::ImageScan => {
                "image scans are not served yet: no registry is looked at and nothing is committed"
            }
        }
    }
}

/// One object of such a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnservedObject {
    /// Its kind.
    pub kind: UnservedKind,
    /// Its name.
    pub key: ObjectKey,
}

/// Local copies of these objects: names and conditions only.
pub struct UnservedStores([Cache<DynamicObject>; 3]);

impl UnservedStores {
    /// Starts the watches.
    pub fn start(client: &Client) -> Self {
        Self(UnservedKind::ALL.map(|kind| {
            CacheBuilder::<DynamicObject>::of_resource(client.clone(), kind.resource())
                .shrink(|object: &mut DynamicObject| {
                    let held = object.data["status"]["conditions"].take();
                    object.data = json!({"status": {"conditions": held}});
                })
                .start()
        }))
    }

    /// Wakes a pass for each object, now and whenever one changes.
    pub fn subscribe(&self, wake: impl Fn(UnservedObject) + Clone + Send + Sync + 'static) {
        for (kind, cache) in UnservedKind::ALL.into_iter().zip(&self.0) {
            let wake = wake.clone();
            cache.subscribe(move |change| {
                if change.new.is_some() {
                    wake(UnservedObject { kind, key: change.key.clone() });
                }
            });
        }
    }

    fn get(&self, object: &UnservedObject) -> Option<std::sync::Arc<DynamicObject>> {
        self.0[object.kind as usize].get(&object.key)
    }
}

/// Lets one object say that it has no effect; a second pass writes nothing.
///
/// # Errors
/// When the API server refuses the status.
pub async fn reconcile_unserved(ctx: &Context, object: &UnservedObject) -> Result<NextWake, Error> {
    let Some(held) = ctx.stores.unserved.get(object) else { return Ok(NextWake::OnChange) };
    if held.metadata.deletion_timestamp.is_some() {
        return Ok(NextWake::OnChange);
    }
    let before = &held.data["status"];
    let after = refuse(before, object.kind, ctx.now());
    let resource = object.kind.resource();
    let api: Api<DynamicObject> =
        Api::namespaced_with(ctx.client.clone(), &object.key.namespace, &resource);
    let write = StatusWrite {
        name: &object.key.name,
        resource_version: held.metadata.resource_version.as_deref(),
        noise: &[],
    };
    patch_status(&api, &write, before, &after).await?;
    Ok(NextWake::OnChange)
}

/// The status with both conditions in it; conditions of others stay.
fn refuse(status: &Value, kind: UnservedKind, now: Timestamp) -> Value {
    let mut held = status["conditions"].as_array().cloned().unwrap_or_default();
    for condition in ["Accepted", "Ready"] {
        let update = ConditionUpdate::new(condition, false, "NotServed", kind.message());
        conditions::set(&mut held, &update, now);
    }
    json!({ "conditions": held })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_said_it_says_nothing_new() {
        let at = |text: &str| text.parse().unwrap();
        let old = json!({"conditions": [{"type": "Polled", "status": "True"}]});
        let first = refuse(&old, UnservedKind::HelmOp, at("2026-01-01T00:00:01Z"));
        assert_eq!(first["conditions"][0]["type"], "Polled");
        assert_eq!(first["conditions"][1]["reason"], "NotServed");
        assert_eq!(first["conditions"][2]["status"], "False");
        assert_eq!(refuse(&first, UnservedKind::HelmOp, at("2026-01-01T00:00:02Z")), first);
    }
}
