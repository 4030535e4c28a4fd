//! Decides what to write so that the cluster holds what was rendered, and nothing of ours that was not.
//!
//! Owns the order, who may adopt what, and what is pruned. Must not know clients or clocks. Start at
//! [`plan_apply`].

use std::collections::BTreeMap;

use bundle_format::api::labels::{OBJECT_SET_HASH, OBJECT_SET_PRUNE};
use bundle_format::api::options::OverwrittenResource;
use serde_json::Value;

use super::ObjectKey;
use super::drift::{DriftRules, detect_drift};
use crate::release::ReleaseName;

/// Label that Helm puts on what it manages.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Annotation with the name of the owning release.
pub const RELEASE_NAME: &str = "meta.helm.sh/release-name";
/// Annotation with the namespace of the owning release.
pub const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
/// Annotation that keeps an object when its release goes; value `keep`.
pub const RESOURCE_POLICY: &str = "helm.sh/resource-policy";

/// Objects that shall exist, in the order of the renderer, namespaces filled in.
#[derive(Clone, Debug, Default)]
pub struct DesiredSet {
    /// The objects.
    pub objects: Vec<Value>,
}

/// What the cluster holds of the objects in question.
#[derive(Clone, Debug, Default)]
pub struct LiveSet {
    /// Live objects by key; a desired object that is missing here does not exist.
    pub objects: BTreeMap<ObjectKey, Value>,
    /// Objects of the last revision, as they were rendered then.
    pub previous: Vec<Value>,
}

/// Who may be overwritten, and in whose name.
#[derive(Clone, Copy, Debug)]
pub struct ApplyOptions<'a> {
    /// The release that will own the objects.
    pub release: &'a ReleaseName,
    /// Label value of this bundle deployment's objects; survives a change of the release's name.
    pub set_hash: &'a str,
    /// Adopts every object, whoever owns it (`helm.takeOwnership`; always so for upgrades, as in Fleet 0.16).
    pub take_ownership: bool,
    /// Objects of bundles that went away and that this one takes over.
    pub overwrites: &'a [OverwrittenResource],
    /// Writes objects even if nothing seems to differ.
    pub write_all: bool,
}

/// Which call a step makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The object does not exist.
    Create,
    /// The object exists and differs, or belonged to somebody else.
    Update,
    /// The object is as it should be: no call.
    Keep,
}

/// One desired object and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplyStep {
    /// Which object.
    pub key: ObjectKey,
    /// What to do.
    pub write: Write,
    /// The object with its ownership marks.
    pub object: Value,
}

/// What becomes of an object that is no longer wanted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneDecision {
    /// It is ours and goes.
    Delete,
    /// An annotation or label on it says to keep it.
    KeepByAnnotation,
    /// Another release, or nobody, owns it now.
    KeepNotOurs,
    /// It is gone already.
    Gone,
}

/// Steps that may run side by side, between barriers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Namespaces and priority classes: others live in them or refer to them.
    Foundations,
    /// New kinds; discovery is read again afterwards.
    Definitions,
    /// Accounts, rights, configuration, storage, quotas.
    Configuration,
    /// Everything that runs, and every kind this agent does not know.
    Workloads,
    /// Kinds that can stop others from being written.
    Gatekeepers,
}

/// Everything to write and to delete.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApplyPlan {
    /// Steps by phase, in the renderer's order within one.
    pub phases: BTreeMap<Phase, Vec<ApplyStep>>,
    /// Objects of the last revision that are not desired any more, last created first.
    pub prune: Vec<(ObjectKey, PruneDecision)>,
}

impl ApplyPlan {
    /// Number of objects that will be written or deleted.
    #[must_use]
    pub fn write_count(&self) -> usize {
        let writes =
            self.phases.values().flatten().filter(|step| step.write != Write::Keep).count();
        let deletes =
            self.prune.iter().filter(|(_, decision)| *decision == PruneDecision::Delete).count();
        writes + deletes
    }
}

/// An object that exists and may not be adopted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unable to continue with install: {kind} \"{name}\" in namespace \"{namespace}\" exists and cannot be imported \
     into the current release: invalid ownership metadata; {reasons}; to adopt it set helm.takeOwnership"
)]
pub struct Refusal {
    kind: String,
    name: String,
    namespace: String,
    reasons: String,
}

/// Decides what to write and what to delete.
///
/// Guarantees: applying the plan and planning again gives a plan without writes; nothing is deleted that another
/// release owns; an object that exists and is not ours is refused unless `options` allow it (texts as Helm 4).
pub fn plan_apply(
    desired: &DesiredSet,
    live: &LiveSet,
    options: &ApplyOptions<'_>,
) -> Result<ApplyPlan, Refusal> {
    let mut plan = ApplyPlan::default();
    for object in &desired.objects {
        let key = ObjectKey::of(object);
        let found = live.objects.get(&key);
        if let Some(found) = found {
            may_adopt(&key, found, options)?;
        }
        let object = with_ownership(object, options.release);
        let write = plan_write(&object, found, live, options);
        plan.phases.entry(phase(&key)).or_default().push(ApplyStep { key, write, object });
    }
    for object in live.previous.iter().rev() {
        let key = ObjectKey::of(object);
        let wanted =
            desired.objects.iter().any(|object| ObjectKey::of(object).is_same_object(&key));
        if !wanted {
            let decision = plan_prune(live.objects.get(&key), object, options.release);
            plan.prune.push((key, decision));
        }
    }
    Ok(plan)
}

/// Decides what becomes of one object when its release drops it.
#[must_use]
pub fn plan_prune(live: Option<&Value>, rendered: &Value, release: &ReleaseName) -> PruneDecision {
    let Some(live) = live else { return PruneDecision::Gone };
    let keeps = |object: &Value| {
        annotation(object, RESOURCE_POLICY)
            .is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"))
            || label(object, OBJECT_SET_PRUNE) == Some("false")
    };
    if keeps(live) || keeps(rendered) {
        PruneDecision::KeepByAnnotation
    } else if is_owned_by(live, release) {
        PruneDecision::Delete
    } else {
        PruneDecision::KeepNotOurs
    }
}

/// Tells whether the release owns the live object, by Helm's annotations.
#[must_use]
pub fn is_owned_by(live: &Value, release: &ReleaseName) -> bool {
    annotation(live, RELEASE_NAME) == Some(&release.name)
        && annotation(live, RELEASE_NAMESPACE) == Some(&release.namespace)
}

/// Puts Helm's ownership marks on an object; they are not part of the manifest, as with Helm.
#[must_use]
pub fn with_ownership(object: &Value, release: &ReleaseName) -> Value {
    let mut object = object.clone();
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(serde_json::Map::new());
    }
    let metadata = &mut object["metadata"];
    for field in ["labels", "annotations"] {
        if !metadata[field].is_object() {
            metadata[field] = Value::Object(serde_json::Map::new());
        }
    }
    metadata["labels"][MANAGED_BY] = "Helm".into();
    metadata["annotations"][RELEASE_NAME] = release.name.as_str().into();
    metadata["annotations"][RELEASE_NAMESPACE] = release.namespace.as_str().into();
    object
}

/// The phase in which objects of a kind are written.
#[must_use]
pub fn phase(key: &ObjectKey) -> Phase {
    match (key.group(), key.kind.as_str()) {
        ("", "Namespace") | ("scheduling.k8s.io", "PriorityClass") => Phase::Foundations,
        ("apiextensions.k8s.io", _) => Phase::Definitions,
        (
            "",
            "ResourceQuota"
            | "LimitRange"
            | "ServiceAccount"
            | "Secret"
            | "ConfigMap"
            | "PersistentVolume"
            | "PersistentVolumeClaim",
        )
        | ("networking.k8s.io", "NetworkPolicy" | "IngressClass")
        | ("policy" | "storage.k8s.io" | "rbac.authorization.k8s.io", _) => Phase::Configuration,
        ("apiregistration.k8s.io" | "admissionregistration.k8s.io", _) => Phase::Gatekeepers,
        _ => Phase::Workloads,
    }
}

fn plan_write(
    object: &Value,
    found: Option<&Value>,
    live: &LiveSet,
    options: &ApplyOptions<'_>,
) -> Write {
    let Some(found) = found else { return Write::Create };
    if options.write_all || is_leaving(found) || !is_owned_by(found, options.release) {
        return Write::Update;
    }
    // Only an object that is rendered as it was the last time may be left alone: a field that the new version no
    // longer has can be taken away by the server only when it sees the new version.
    let key = ObjectKey::of(object);
    let same_as_before = live
        .previous
        .iter()
        .find(|before| ObjectKey::of(before) == key)
        .is_some_and(|before| with_ownership(before, options.release) == *object);
    let unchanged = same_as_before && detect_drift(object, found, &DriftRules::default()).is_none();
    if unchanged { Write::Keep } else { Write::Update }
}

/// Whether an object is on its way out: what is written to it goes with it.
#[must_use]
pub fn is_leaving(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// Whether a release in namespace `home` takes an object over by one of these entries. One that names
/// no namespace means an object that has none, or has that of the release: two bundles may both have
/// a ConfigMap `extra`, each in a namespace of its own.
#[must_use]
pub fn is_taken_over(entries: &[OverwrittenResource], home: &str, key: &ObjectKey) -> bool {
    let place = |entry: &OverwrittenResource| match entry.namespace.as_str() {
        "" => key.namespace.is_empty() || key.namespace == home,
        named => key.namespace == named,
    };
    entries.iter().any(|entry| entry.kind == key.kind && entry.name == key.name && place(entry))
}

fn may_adopt(key: &ObjectKey, live: &Value, options: &ApplyOptions<'_>) -> Result<(), Refusal> {
    if options.take_ownership
        || is_taken_over(options.overwrites, &options.release.namespace, key)
        || label(live, OBJECT_SET_HASH) == Some(options.set_hash)
    {
        return Ok(());
    }
    let checks = [
        ("label", MANAGED_BY, label(live, MANAGED_BY), "Helm"),
        ("annotation", RELEASE_NAME, annotation(live, RELEASE_NAME), options.release.name.as_str()),
        (
            "annotation",
            RELEASE_NAMESPACE,
            annotation(live, RELEASE_NAMESPACE),
            options.release.namespace.as_str(),
        ),
    ];
    let reasons: Vec<String> = checks
        .into_iter()
        .filter_map(|(what, name, found, wanted)| match found {
            Some(found) if found == wanted => None,
            Some(found) => Some(format!(
                "{what} validation error: key \"{name}\" must equal \"{wanted}\": current value is \"{found}\""
            )),
            None => Some(format!("{what} validation error: missing key \"{name}\": must be set to \"{wanted}\"")),
        })
        .collect();
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Refusal {
        kind: key.kind.clone(),
        name: key.name.clone(),
        namespace: key.namespace.clone(),
        reasons: reasons.join("; "),
    })
}

fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(name)?.as_str()
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn release() -> ReleaseName {
        ReleaseName { namespace: "e-adopt".to_owned(), name: "e-adopt-a".to_owned() }
    }

    fn options(release: &ReleaseName) -> ApplyOptions<'_> {
        ApplyOptions {
            release,
            set_hash: "abc",
            take_ownership: false,
            overwrites: &[],
            write_all: false,
        }
    }

    fn config_map(name: &str, value: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "e-adopt", "labels": {OBJECT_SET_HASH: "abc"}},
            "data": {"v": value}})
    }

    fn live_of(objects: &[Value]) -> LiveSet {
        let objects =
            objects.iter().map(|object| (ObjectKey::of(object), object.clone())).collect();
        LiveSet { objects, previous: Vec::new() }
    }

    #[test]
    fn applying_a_plan_makes_the_next_plan_empty() {
        let release = release();
        let desired = DesiredSet { objects: vec![config_map("a", "1"), config_map("b", "1")] };
        let first = plan_apply(&desired, &LiveSet::default(), &options(&release)).expect("plans");
        assert_eq!(first.write_count(), 2);
        let applied: Vec<Value> =
            first.phases.values().flatten().map(|step| step.object.clone()).collect();
        let live = LiveSet { previous: desired.objects.clone(), ..live_of(&applied) };
        let second = plan_apply(&desired, &live, &options(&release)).expect("plans");
        assert_eq!(second.write_count(), 0);
    }

    #[test]
    fn changed_object_is_written_and_dropped_object_is_pruned() {
        let release = release();
        let before = [config_map("a", "1"), config_map("b", "1")];
        let owned: Vec<Value> =
            before.iter().map(|object| with_ownership(object, &release)).collect();
        let live = LiveSet { previous: before.to_vec(), ..live_of(&owned) };
        let desired = DesiredSet { objects: vec![config_map("a", "2")] };
        let plan = plan_apply(&desired, &live, &options(&release)).expect("plans");
        assert_eq!(plan.phases[&Phase::Configuration][0].write, Write::Update);
        assert_eq!(plan.prune, [(ObjectKey::of(&before[1]), PruneDecision::Delete)]);
    }

    // The text up to the last semicolon is Helm's, recorded in observed/errors-adoption-refused.yaml.
    #[test]
    fn object_made_by_hand_is_refused_in_helms_words() {
        let release = release();
        let taken = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "taken", "namespace": "e-adopt"}});
        let desired = DesiredSet { objects: vec![config_map("taken", "1")] };
        let refusal = plan_apply(&desired, &live_of(&[taken]), &options(&release))
            .expect_err("refuses")
            .to_string();
        assert!(refusal.starts_with(
            "unable to continue with install: ConfigMap \"taken\" in namespace \"e-adopt\" exists and cannot be \
             imported into the current release: invalid ownership metadata; label validation error: missing key \
             \"app.kubernetes.io/managed-by\": must be set to \"Helm\"; annotation validation error: missing key \
             \"meta.helm.sh/release-name\": must be set to \"e-adopt-a\"; annotation validation error: missing key \
             \"meta.helm.sh/release-namespace\": must be set to \"e-adopt\";"
        ), "{refusal}");
    }

    #[test]
    fn object_of_another_release_is_refused_unless_taken_over() {
        let release = release();
        let other = ReleaseName { namespace: "e-adopt".to_owned(), name: "other".to_owned() };
        let mut owned = with_ownership(&config_map("a", "1"), &other);
        owned["metadata"]["labels"][OBJECT_SET_HASH] = "def".into();
        let live = live_of(&[owned]);
        let desired = DesiredSet { objects: vec![config_map("a", "1")] };
        assert!(plan_apply(&desired, &live, &options(&release)).is_err());
        let moved = [OverwrittenResource {
            name: "a".into(),
            namespace: String::new(),
            kind: "ConfigMap".into(),
        }];
        let plan =
            plan_apply(&desired, &live, &ApplyOptions { overwrites: &moved, ..options(&release) });
        assert_eq!(plan.expect("plans").write_count(), 1);
    }

    #[test]
    fn an_entry_without_a_namespace_means_the_namespace_of_the_release() {
        let entry = |namespace: &str| OverwrittenResource {
            name: "a".into(),
            namespace: namespace.into(),
            kind: "ConfigMap".into(),
        };
        for (named, held, expected) in [
            ("", "home", true),
            ("", "", true),
            ("", "elsewhere", false),
            ("elsewhere", "elsewhere", true),
            ("elsewhere", "home", false),
        ] {
            let key = ObjectKey { namespace: held.into(), ..ObjectKey::of(&config_map("a", "1")) };
            assert_eq!(is_taken_over(&[entry(named)], "home", &key), expected, "{named} {held}");
        }
    }

    // A release that was renamed keeps its objects: same bundle deployment, other release name.
    #[test]
    fn renamed_release_adopts_and_the_old_one_prunes_nothing() {
        let (old, new) = (ReleaseName { name: "old".to_owned(), ..release() }, release());
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "e-adopt", "labels": {OBJECT_SET_HASH: "abc"}}});
        let live = live_of(&[with_ownership(&claim, &old)]);
        let desired = DesiredSet { objects: vec![claim.clone()] };
        let plan = plan_apply(&desired, &live, &options(&new)).expect("plans");
        let adopted = &plan.phases[&Phase::Configuration][0].object;
        assert_eq!(plan_prune(Some(adopted), &claim, &old), PruneDecision::KeepNotOurs);
    }

    #[test]
    fn object_with_resource_policy_is_kept() {
        let mut kept = with_ownership(&config_map("a", "1"), &release());
        kept["metadata"]["annotations"][RESOURCE_POLICY] = "keep".into();
        assert_eq!(
            plan_prune(Some(&kept), &config_map("a", "1"), &release()),
            PruneDecision::KeepByAnnotation
        );
    }

    #[test]
    fn kinds_are_written_in_phases() {
        let key = |api_version: &str, kind: &str| ObjectKey {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: String::new(),
            name: "x".to_owned(),
        };
        assert_eq!(phase(&key("v1", "Namespace")), Phase::Foundations);
        assert_eq!(
            phase(&key("apiextensions.k8s.io/v1", "CustomResourceDefinition")),
            Phase::Definitions
        );
        assert_eq!(phase(&key("rbac.authorization.k8s.io/v1", "Role")), Phase::Configuration);
        assert_eq!(phase(&key("example.com/v1", "Widget")), Phase::Workloads);
        assert!(Phase::Workloads < Phase::Gatekeepers);
    }
}
