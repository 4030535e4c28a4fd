//! What is known of deployed objects between two deployments: do they still exist, are they ready, do they differ?
//!
//! Owns this knowledge per bundle deployment, in little memory, and how one change of one object brings it up to
//! date. Must not know queues or statuses. Start at [`Monitored`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use bundle_format::api::BundleDeployment;
use bundle_format::api::labels::OBJECT_SET_HASH;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::Value;

use crate::live::discovery::Resource;
use crate::plan::ObjectKey;
use crate::plan::apply::{
    MANAGED_BY, PruneDecision, RELEASE_NAME, RELEASE_NAMESPACE, is_leaving, plan_prune,
};
use crate::plan::drift::{DriftRules, ScaledWorkload, detect_drift, may_be_missing};
use crate::plan::health::{assess_health, drop_ignored_conditions};
use crate::release::ReleaseName;
use crate::status::{Finding, ObjectState};

/// Objects to look at, each with the number of its last change: one that changes while it is being read keeps a
/// greater number, and is looked at again.
pub type Dirty = BTreeMap<ObjectKey, u64>;

/// One deployment whose objects are watched.
#[derive(Debug)]
pub struct Monitored {
    /// The release.
    pub release: ReleaseName,
    /// Its revision.
    pub version: u32,
    /// The version of the bundle.
    pub deployment_id: String,
    /// Generation of the BundleDeployment by which the objects were judged: its rules for drift may change alone.
    pub generation: Option<i64>,
    /// Why the last correction of drift failed.
    pub correction_error: Option<String>,
    /// How often drift was corrected in a row; slows down a fight with another controller.
    pub correction_count: u32,
    /// Objects that changed since they were looked at.
    dirty: Dirty,
    /// Changes noted so far; the next one gets this number.
    changes_count: u64,
    /// How the kinds of the objects are reached.
    pub resources: Vec<(ObjectKey, Resource)>,
    /// Objects as applied: gzip of a JSON list. An idle agent keeps many of these and needs few.
    desired: Vec<u8>,
    scaled: Vec<ScaledWorkload>,
    seen: BTreeMap<ObjectKey, Seen>,
}

#[derive(Debug)]
struct Seen {
    /// `resourceVersion` of the object when it was judged; `None` when it did not exist.
    version: Option<String>,
    finding: Finding,
}

impl Monitored {
    /// Starts with objects as they were applied; everything is dirty until it was looked at. Objects among
    /// `resources` that are not desired were part of the version before: they should be gone.
    #[must_use]
    pub fn new(
        release: ReleaseName,
        version: u32,
        deployment_id: String,
        desired: &[Value],
        resources: Vec<(ObjectKey, Resource)>,
    ) -> Self {
        Self {
            release,
            version,
            deployment_id,
            generation: None,
            correction_error: None,
            correction_count: 0,
            dirty: resources.iter().map(|(key, _)| (key.clone(), 0)).collect(),
            changes_count: 1,
            resources,
            desired: pack(desired),
            scaled: desired.iter().filter_map(ScaledWorkload::of).collect(),
            seen: BTreeMap::new(),
        }
    }

    /// Objects as applied.
    #[must_use]
    pub fn desired(&self) -> Vec<Value> {
        unpack(&self.desired)
    }

    /// Whether a change with this `resourceVersion` is news; marks the object dirty if so.
    pub fn note_change(&mut self, key: &ObjectKey, version: Option<&str>) -> bool {
        let known = self.seen.get(key).is_some_and(|seen| seen.version.as_deref() == version);
        if !known {
            self.mark([key.clone()]);
        }
        !known
    }

    fn mark(&mut self, keys: impl IntoIterator<Item = ObjectKey>) {
        let number = self.changes_count;
        self.changes_count += 1;
        self.dirty.extend(keys.into_iter().map(|key| (key, number)));
    }

    /// What to look at. It stays dirty until [`Monitored::judge`] is told what was seen.
    #[must_use]
    pub fn dirty(&self) -> Dirty {
        self.dirty.clone()
    }

    /// Marks all objects dirty when the BundleDeployment changed since they were judged.
    pub fn follow(&mut self, generation: Option<i64>) {
        if self.generation != generation {
            self.generation = generation;
            let keys: Vec<ObjectKey> = self.resources.iter().map(|(key, _)| key.clone()).collect();
            self.mark(keys);
        }
    }

    /// Marks objects dirty that were on their way.
    pub fn look_again_at_unready(&mut self) {
        let unready = self.seen.iter().filter(
            |(_, seen)| matches!(&seen.finding, Finding::Live { health, .. } if !health.is_ready()),
        );
        let keys: Vec<ObjectKey> = unready.map(|(key, _)| key.clone()).collect();
        self.mark(keys);
    }

    /// Judges objects by what was read of them: `looked_at` is what was dirty before the read, `live` what is there.
    pub fn judge(
        &mut self,
        deployment: &BundleDeployment,
        set_hash: &str,
        (looked_at, live): (&Dirty, &BTreeMap<ObjectKey, Value>),
        now: Timestamp,
    ) {
        if looked_at.is_empty() {
            return;
        }
        self.dirty.retain(|key, number| looked_at.get(key).is_none_or(|seen| *seen < *number));
        let rules =
            DriftRules { compare_patches: compare_patches(deployment), scaled: &self.scaled };
        let judge = Judge { deployment, set_hash, rules, now };
        let mut former: BTreeSet<&ObjectKey> = self
            .resources
            .iter()
            .map(|(key, _)| key)
            .filter(|k| looked_at.contains_key(k))
            .collect();
        let mut found = Vec::new();
        for desired in unpack(&self.desired) {
            let key = ObjectKey::of(&desired);
            former.remove(&key);
            if looked_at.contains_key(&key) {
                let finding = judge.finding(&key, &desired, live.get(&key));
                found.push((key, finding));
            }
        }
        found.extend(former.into_iter().map(|key| {
            let is_extra =
                live.get(key).is_some_and(|object| judge.is_extra(object, &self.release));
            (key.clone(), is_extra.then_some(Finding::Extra))
        }));
        for (key, finding) in found {
            let object = live.get(&key);
            let version = object.and_then(|object| object.pointer("/metadata/resourceVersion"));
            let version = version.and_then(Value::as_str).map(str::to_owned);
            match finding {
                Some(finding) => self.seen.insert(key, Seen { version, finding }),
                None => self.seen.remove(&key),
            };
        }
    }

    /// All objects with what is known of them.
    #[must_use]
    pub fn states(&self) -> Vec<ObjectState> {
        // In the order of application, which is the order of `status.resources` in the reference.
        let states = self.resources.iter().filter_map(|(key, _)| {
            let seen = self.seen.get(key)?;
            Some(ObjectState { key: key.clone(), finding: seen.finding.clone() })
        });
        states.collect()
    }

    /// Objects that differ or are missing, and are ours to repair.
    #[must_use]
    pub fn drifted(&self) -> Vec<Value> {
        let is_drifted = |key: &ObjectKey| {
            self.seen.get(key).is_some_and(|seen| {
                matches!(seen.finding, Finding::Missing | Finding::Live { drift: Some(_), .. })
            })
        };
        if !self.seen.keys().any(is_drifted) {
            return Vec::new();
        }
        self.desired().into_iter().filter(|object| is_drifted(&ObjectKey::of(object))).collect()
    }

    /// Some object may change its health by the mere passing of time.
    #[must_use]
    pub fn depends_on_time(&self) -> bool {
        self.seen.iter().any(|(key, seen)| {
            let waits =
                matches!(&seen.finding, Finding::Live { health, .. } if health.transitioning);
            key.kind == "Pod" && key.group().is_empty() && waits
        })
    }
}

struct Judge<'a> {
    deployment: &'a BundleDeployment,
    set_hash: &'a str,
    rules: DriftRules<'a>,
    now: Timestamp,
}

impl Judge<'_> {
    /// Whether an object that is not wanted any more is there as ours, and nothing says that it may stay.
    fn is_extra(&self, live: &Value, release: &ReleaseName) -> bool {
        self.is_in_set(live)
            && !is_leaving(live)
            && plan_prune(Some(live), live, release) == PruneDecision::Delete
    }

    fn is_in_set(&self, live: &Value) -> bool {
        let label = live.pointer("/metadata/labels").and_then(|labels| labels.get(OBJECT_SET_HASH));
        label.and_then(Value::as_str) == Some(self.set_hash)
    }

    /// `None` hides the object: it is missing and may be.
    fn finding(&self, key: &ObjectKey, desired: &Value, live: Option<&Value>) -> Option<Finding> {
        let Some(live) = live else {
            return (!may_be_missing(key, &self.rules)).then_some(Finding::Missing);
        };
        if !self.is_in_set(live) && belongs_to_another(desired, live) {
            return Some(Finding::NotOurs);
        }
        let mut judged = live.clone();
        if let Some(ignore) = &self.deployment.spec.options.ignore {
            let entries: Vec<Vec<(&str, &str)>> = ignore
                .conditions
                .iter()
                .map(|entry| {
                    entry.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
                })
                .collect();
            drop_ignored_conditions(&mut judged, entries);
        }
        let mut health = assess_health(&judged, self.now);
        if health.is_ready() {
            // Nobody reads what a healthy object says; there may be thousands.
            health.messages = Vec::new();
        }
        let drift = detect_drift(desired, live, &self.rules).map(|drift| drift.to_text(key));
        let text = |pointer| live.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let created_at = text("/metadata/creationTimestamp").parse::<Timestamp>().ok();
        Some(Finding::Live {
            uid: text("/metadata/uid").to_owned(),
            created_at: created_at.map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time),
            health,
            drift,
        })
    }
}

/// Another release took the object over: drift of label and annotations alone could be an accident.
fn belongs_to_another(desired: &Value, live: &Value) -> bool {
    let annotation = |object: &Value, name: &str| {
        object.pointer("/metadata/annotations").and_then(|map| map.get(name)).cloned()
    };
    let owners = [RELEASE_NAME, RELEASE_NAMESPACE];
    let managed =
        live.pointer("/metadata/labels").and_then(|labels| labels.get(MANAGED_BY)).is_some();
    managed
        && owners.iter().any(|name| {
            let owner = annotation(live, name);
            owner.is_some() && owner != annotation(desired, name)
        })
}

fn compare_patches(deployment: &BundleDeployment) -> &[bundle_format::api::options::ComparePatch] {
    deployment
        .spec
        .options
        .diff
        .as_ref()
        .map(|diff| diff.compare_patches.as_slice())
        .unwrap_or_default()
}

fn pack(objects: &[Value]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let written = serde_json::to_writer(&mut gzip, objects)
        .map_err(std::io::Error::from)
        .and_then(|()| gzip.flush());
    match written.and_then(|()| gzip.finish()) {
        Ok(mut packed) => {
            packed.shrink_to_fit();
            packed
        }
        // Memory writers do not fail; an empty list makes the next pass read the record.
        Err(_) => Vec::new(),
    }
}

fn unpack(packed: &[u8]) -> Vec<Value> {
    let mut json = Vec::new();
    match GzDecoder::new(packed).read_to_end(&mut json) {
        Ok(_) => serde_json::from_slice(&json).unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "web", "name": name}})
    }

    fn live(names: &[&str]) -> BTreeMap<ObjectKey, Value> {
        let seen = names.iter().map(|name| {
            let mut seen = object(name);
            seen["metadata"]["labels"] = json!({OBJECT_SET_HASH: "set"});
            seen["metadata"]["resourceVersion"] = json!("1");
            (ObjectKey::of(&object(name)), seen)
        });
        seen.collect()
    }

    /// ConfigMaps `a` and `b`, seen as they were applied.
    fn monitored(deployment: &BundleDeployment) -> Monitored {
        let desired = [object("a"), object("b")];
        let resource = |object: &Value| {
            let resource = Resource {
                api_version: "v1".to_owned(),
                kind: "ConfigMap".to_owned(),
                plural: "configmaps".to_owned(),
                namespaced: true,
            };
            (ObjectKey::of(object), resource)
        };
        let release = ReleaseName { namespace: "web".to_owned(), name: "web".to_owned() };
        let resources = desired.iter().map(resource).collect();
        let mut monitored = Monitored::new(release, 1, "id".to_owned(), &desired, resources);
        look(&mut monitored, deployment, &live(&["a", "b"]));
        monitored
    }

    fn look(
        monitored: &mut Monitored,
        deployment: &BundleDeployment,
        live: &BTreeMap<ObjectKey, Value>,
    ) {
        let dirty = monitored.dirty();
        monitored.judge(deployment, "set", (&dirty, live), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn what_changes_while_it_is_read_is_looked_at_again() {
        let deployment = BundleDeployment::default();
        let mut monitored = monitored(&deployment);
        let (a, b) = (ObjectKey::of(&object("a")), ObjectKey::of(&object("b")));
        assert!(monitored.note_change(&a, Some("2")));
        let dirty = monitored.dirty();
        assert!(monitored.note_change(&a, None), "gone while it was read");
        assert!(monitored.note_change(&b, Some("3")), "nobody has read it");
        monitored.judge(&deployment, "set", (&dirty, &live(&["a"])), Timestamp::UNIX_EPOCH);
        assert_eq!(monitored.dirty().into_keys().collect::<Vec<_>>(), [a, b]);
        assert!(monitored.drifted().is_empty(), "what was not read is not missing");
        look(&mut monitored, &deployment, &live(&["b"]));
        assert!(monitored.dirty().is_empty());
        assert_eq!(monitored.drifted(), [object("a")]);
    }
}
