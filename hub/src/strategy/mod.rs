//! The rules of kinds: what a create, update or delete does to an object before it is stored.
//!
//! Owns the fields that the server fills, keeps or resets. Pure but for [`World`]'s uid and time.
//! Start at [`prepare_create`] and [`prepare_update`].

pub(crate) mod check;
pub(crate) mod crd;
pub(crate) mod event;
mod native;

use serde_json::{Map, Value, json};

use crate::error::{ApiError, Cause};
use crate::meta::{self, World};
use crate::registry::{Kind, Source};
use crate::schema;
use crate::verbs::delete::{DeleteOptions, Propagation};

/// Which part of an object a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Main,
    Status,
    /// `namespaces/finalize`: the list in `spec.finalizers`.
    Finalize,
}

/// Held by an object whose dependents go first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Held by an object whose dependents are to be kept.
pub(crate) const ORPHAN: &str = "orphan";

/// Puts a new object into the namespace of its URL.
pub(crate) fn place(
    kind: &Kind,
    namespace: Option<&str>,
    object: &mut Value,
) -> Result<(), ApiError> {
    let found = meta::text(object, "namespace").to_owned();
    let metadata = meta::metadata_mut(object);
    match namespace {
        Some(namespace) if found.is_empty() || found == namespace => {
            metadata.insert("namespace".into(), namespace.into());
            Ok(())
        }
        Some(_) => Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
        None if kind.namespaced => {
            Err(ApiError::bad_request("an empty namespace may not be set during creation"))
        }
        None => {
            metadata.remove("namespace");
            Ok(())
        }
    }
}

/// Makes a name from `generateName`.
pub(crate) fn generate_name(
    kind: &Kind,
    object: &mut Value,
    world: &World,
) -> Result<(), ApiError> {
    /// A name has at most 63 characters here; five are random.
    const MAX_BASE: usize = 58;
    let base = meta::text(object, "generateName").to_owned();
    if base.is_empty() {
        let cause = Cause::required("metadata.name", "name or generateName is required");
        return Err(ApiError::invalid(&kind.group, &kind.kind, "", vec![cause]));
    }
    let cut = base.char_indices().map(|(i, _)| i).find(|i| *i >= MAX_BASE).unwrap_or(base.len());
    let name = format!("{}{}", &base[..cut], world.name_suffix());
    meta::metadata_mut(object).insert("name".into(), name.into());
    Ok(())
}

/// Drops unknown fields (and returns their paths), drops `null`, fills defaults.
pub(crate) fn normalise(kind: &Kind, object: &mut Value) -> Result<Vec<String>, ApiError> {
    let mut unknown = native::clean_metadata(kind, object)?;
    match &kind.source {
        Source::Custom { schema, preserve_unknown, .. } => {
            if !preserve_unknown {
                unknown.extend(schema::prune(object, schema));
            }
            schema::fill_defaults(object, schema);
        }
        Source::Builtin => {
            unknown.extend(native::clean(kind, object)?);
            native::check_encoding(kind, object)?;
            if kind.is_crd() {
                crd::fill(object);
            } else {
                native::defaults::fill(kind, object);
            }
        }
    }
    Ok(unknown)
}

/// Fills what the server decides when an object is made.
pub(crate) fn prepare_create(kind: &Kind, object: &mut Value, world: &World) {
    let metadata = meta::metadata_mut(object);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), world.uid().into());
    metadata.insert("creationTimestamp".into(), world.stamp().into());
    metadata.remove("generation");
    if native::has_generation(kind) {
        metadata.insert("generation".into(), 1.into());
    }
    if kind.is_custom() {
        if kind.has_status {
            remove(object, "status");
        }
    } else if kind.is_crd() {
        crd::prepare_create(object, &world.stamp());
    } else {
        native::prepare_create(kind, object, world);
    }
}

fn remove(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}

/// Copies `field` of `old`, or its absence.
fn keep(new: &mut Map<String, Value>, old: &Value, field: &str) {
    match old.get(field) {
        Some(value) => drop(new.insert(field.to_owned(), value.clone())),
        None => drop(new.remove(field)),
    }
}

/// Keeps what this write may not change, and counts the generation.
pub(crate) fn prepare_update(
    kind: &Kind,
    old: &Value,
    new: &mut Value,
    part: Part,
    now: &str,
) -> Result<(), ApiError> {
    let uid = meta::text(old, "uid");
    let claimed = meta::text(new, "uid");
    if !claimed.is_empty() && claimed != uid {
        let (namespace, name) = (meta::text(old, "namespace"), meta::text(old, "name"));
        let at = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        let home = match kind.group.as_str() {
            "" => kind.plural.clone(),
            group => format!("{group}/{}", kind.plural),
        };
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{home}/{at}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {claimed}, UID in object meta: {uid}"
        );
        return Err(ApiError::conflict(&kind.about(meta::text(old, "name")), &why));
    }
    match part {
        Part::Main => {
            if kind.has_status {
                keep(meta::object_mut(new), old, "status");
            }
        }
        Part::Status => keep_all_but_status(kind, old, new),
        Part::Finalize => {
            let finalizers = new["spec"]["finalizers"].clone();
            *new = old.clone();
            new["spec"]["finalizers"] = finalizers;
        }
    }
    let metadata = meta::metadata_mut(new);
    for field in [
        "uid",
        "creationTimestamp",
        "namespace",
        "resourceVersion",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ] {
        keep(metadata, &old["metadata"], field);
    }
    metadata.remove("selfLink");
    if kind.is_crd() && part == Part::Main {
        crd::prepare_update(old, new, now);
    } else if !kind.is_custom() {
        native::prepare_update(kind, old, new, part);
    }
    if native::has_generation(kind) && has_new_generation(kind, old, new) {
        let next = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        meta::metadata_mut(new).insert("generation".into(), next.into());
    }
    Ok(())
}

fn keep_all_but_status(kind: &Kind, old: &Value, new: &mut Value) {
    let status = new.as_object_mut().and_then(|map| map.remove("status"));
    let metadata = new["metadata"].take();
    *new = old.clone();
    // A custom kind's metadata does not change through /status; built-in kinds allow
    // annotations there, and labels but for workloads.
    if !kind.is_custom() {
        new["metadata"] = metadata;
    }
    if kind.group == "apps" {
        keep(meta::metadata_mut(new), &old["metadata"], "labels");
    }
    match status {
        Some(status) => new["status"] = status,
        None => remove(new, "status"),
    }
}

/// Whether anything but metadata and status differs.
fn has_new_generation(kind: &Kind, old: &Value, new: &Value) -> bool {
    let ignored =
        |key: &str| key == "metadata" || key == "status" && (kind.has_status || !kind.is_custom());
    let differs = |a: &Value, b: &Value| {
        let rows = a.as_object().into_iter().flatten();
        rows.into_iter().any(|(k, v)| !ignored(k) && b.get(k) != Some(v))
    };
    differs(old, new) || differs(new, old)
}

/// Whether an object that is being deleted has nothing left to wait for.
pub(crate) fn is_finished(kind: &Kind, object: &Value) -> bool {
    let waits_for_content = &*kind.resource == "/namespaces"
        && object["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    meta::is_deleting(object)
        && meta::finalizers(object).next().is_none()
        && object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !waits_for_content
}

/// Marks an object as being deleted and adds the finalizers that the propagation asks for.
pub(crate) fn mark_deleted(kind: &Kind, object: &mut Value, options: &DeleteOptions, now: &str) {
    let was_deleting = meta::is_deleting(object);
    let metadata = meta::metadata_mut(object);
    let mut finalizers: Vec<Value> =
        metadata.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    if kind.is_crd() && !was_deleting && !finalizers.iter().any(|f| f == crd::CLEANUP) {
        finalizers.push(crd::CLEANUP.into());
    }
    if !was_deleting || options.propagation.is_some() {
        let wanted = match options.propagation {
            Some(Propagation::Foreground) => Some(FOREGROUND),
            Some(Propagation::Orphan) => Some(ORPHAN),
            Some(Propagation::Background) => None,
            None => [FOREGROUND, ORPHAN].into_iter().find(|f| finalizers.iter().any(|x| x == f)),
        };
        finalizers.retain(|f| f != FOREGROUND && f != ORPHAN);
        finalizers.extend(wanted.map(Value::from));
    }
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), finalizers.into());
    }
    if was_deleting {
        // A second deletion can only make the wait shorter: that is how a kubelet says "it ended".
        let left = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64);
        if let (Some(left), Some(asked)) = (left, options.grace_seconds)
            && asked < left
        {
            metadata.insert("deletionGracePeriodSeconds".into(), asked.max(0).into());
        }
        return;
    }
    metadata.insert("deletionTimestamp".into(), now.into());
    if &*kind.resource == "/namespaces" {
        object["status"]["phase"] = "Terminating".into();
        return;
    }
    let grace = native::grace_seconds(kind, object, options.grace_seconds);
    let metadata = meta::metadata_mut(object);
    metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
        metadata.insert("generation".into(), json!(generation + 1));
    }
}
