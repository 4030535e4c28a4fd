//! Server-side apply, and the book-keeping of all other writes.
//!
//! Owns who owns what after a write, conflicts, and the removal of fields that are no longer
//! applied. Knows nothing of clocks, stores or requests: the time comes in as text.
//! Start at [`apply`]; every other write goes through [`update`].
//!
//! The peer is kube-apiserver 1.36; requests and its answers are recorded in `tests/golden`.

use serde_json::Value;

use crate::fields::FieldSet;
use crate::managed::{Entry, Managed, Manager, Operation, metadata_of};
use crate::path::Path;
use crate::schema::Schema;
use crate::typed::{self, Comparison, fields_of, is_equal, merge, remove_fields, settle_emptied};

/// The owner of what was there before anyone applied.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The one manager that takes over from client-side apply.
const KUBECTL: &str = "kubectl";
/// The annotation of client-side `kubectl apply`.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Why a configuration could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others own fields with other values, and the request did not force.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration does not fit the schema.
    #[error("{0}")]
    Schema(#[from] typed::Error),
    /// The configuration brings `managedFields`.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// The stored owners cannot be read.
    #[error("failed to decode managed fields: {0}")]
    Managed(#[from] crate::managed::Error),
}

/// One field that someone else owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: Manager,
    /// Since when, as RFC 3339; empty if unknown.
    pub time: String,
    /// The field.
    pub field: Path,
}

/// The owner as kube-apiserver names it: `"web" using v1`.
pub fn describe_manager(manager: &Manager) -> String {
    let mut text = format!("{:?}", manager.name);
    if !manager.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", manager.subresource));
    }
    if manager.operation == Operation::Update {
        text.push_str(&format!(" using {}", manager.api_version));
    }
    text
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        let manager = describe_manager(&one.manager);
        return format!("Apply failed with 1 conflict: conflict with {manager}: {}", one.field);
    }
    let mut lines = Vec::new();
    let mut last = None;
    for conflict in conflicts {
        if last != Some(&conflict.manager) {
            lines.push(format!("conflicts with {}:", describe_manager(&conflict.manager)));
            last = Some(&conflict.manager);
        }
        lines.push(format!("- {}", conflict.field));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Who writes, what the object looks like, and when.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The type of the object.
    pub schema: Schema<'a>,
    /// The field manager.
    pub manager: &'a str,
    /// The `apiVersion` of the request.
    pub api_version: &'a str,
    /// `status` and the like; empty for the object itself.
    pub subresource: &'a str,
    /// Now, as RFC 3339 with seconds.
    pub now: &'a str,
    /// Fields that this endpoint does not write (`status` on the object itself), never owned.
    pub ignored: &'a FieldSet,
}

impl Request<'_> {
    fn owner(&self, operation: Operation) -> Manager {
        Manager {
            name: self.manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
        }
    }
}

/// Fields that nobody owns.
fn never_owned() -> FieldSet {
    FieldSet::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
}

fn without_managed_fields(object: &Value) -> Value {
    let mut object = object.clone();
    take_managed_fields(&mut object);
    object
}

fn take_managed_fields(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

/// Notes who owns what after a write that is not an apply.
///
/// `live` is the object as it was (`None` when this creates it), `new` as it will be. Returns
/// `new` with its `managedFields`. An object whose owners are not tracked yet stays untracked
/// unless this creates it.
pub fn update(live: Option<&Value>, new: &Value, request: &Request<'_>) -> Value {
    let mut new = new.clone();
    let given = take_managed_fields(&mut new);
    let mut managed = managed_of_update(live, given.as_ref(), request);
    if live.is_some() && managed.entries.is_empty() {
        return new;
    }
    let live = live.map(without_managed_fields);
    note_update(live.as_ref(), &new, &mut managed, request);
    managed.encode_into(&mut new);
    new
}

/// A request may change the owners themselves, but not through a subresource and not by
/// leaving them out. An empty list, or one with an empty entry, forgets them all.
fn managed_of_update(
    live: Option<&Value>,
    given: Option<&Value>,
    request: &Request<'_>,
) -> Managed {
    let stored = || live.and_then(|live| Managed::decode(live).ok()).unwrap_or_default();
    if !request.subresource.is_empty() {
        return stored();
    }
    let Some(given) = given.and_then(Value::as_array) else { return stored() };
    let is_blank = |entry: &Value| entry.as_object().is_some_and(serde_json::Map::is_empty);
    if given.is_empty() || (given.len() == 1 && is_blank(&given[0])) {
        return Managed::default();
    }
    let given = serde_json::json!({"metadata": {"managedFields": given}});
    match Managed::decode(&given) {
        Ok(managed) if !managed.entries.is_empty() => managed,
        _ => stored(),
    }
}

fn note_update(live: Option<&Value>, new: &Value, managed: &mut Managed, request: &Request<'_>) {
    let empty = request.schema.empty_object();
    let mut changed = Comparison::new(Some(live.unwrap_or(&empty)), Some(new), request.schema);
    changed.exclude(request.ignored);
    let touched = changed.modified.union(&changed.added);
    for entry in &mut managed.entries {
        let kept = entry.fields.difference(&entry.fields.intersection(&touched));
        entry.fields = kept.difference(&changed.removed);
    }
    managed.drop_empty();
    let taken = touched.difference(&never_owned());
    if !taken.is_empty() {
        let entry = managed.entry(&request.owner(Operation::Update));
        entry.fields = entry.fields.union(&taken);
        entry.time = request.now.to_owned();
    }
}

/// What an apply came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object with its new `managedFields`.
    pub object: Value,
    /// Did anything but the owners change?
    pub is_changed: bool,
}

/// Applies a configuration to an object, or makes one of it when `live` is `None`.
///
/// Guarantees: applying the same again changes nothing, owners included.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    request: &Request<'_>,
    force: bool,
) -> Result<Applied, Error> {
    match try_apply(live, config, request, force) {
        Err(Error::Conflicts(conflicts)) if request.manager == KUBECTL => {
            let allowed = live.and_then(|live| fields_of_last_applied(live, request.schema));
            let Some(allowed) = allowed else { return Err(Error::Conflicts(conflicts)) };
            let is_real = |conflict: &Conflict| !allowed.contains(&conflict.field.0);
            let real: Vec<Conflict> = conflicts.into_iter().filter(is_real).collect();
            if !real.is_empty() {
                return Err(Error::Conflicts(real));
            }
            try_apply(live, config, request, true)
        }
        result => result,
    }
}

/// What client-side `kubectl apply` wrote last: server-side apply by kubectl may take that over.
fn fields_of_last_applied(live: &Value, schema: Schema<'_>) -> Option<FieldSet> {
    let text = live["metadata"]["annotations"][LAST_APPLIED].as_str()?;
    let last: Value = serde_json::from_str(text).ok()?;
    // Only fields that still have the value that was applied.
    let changed = Comparison::new(Some(&last), Some(live), schema);
    Some(fields_of(&last, schema).difference(&changed.modified).difference(&changed.removed))
}

/// Keeps the annotation of client-side apply true, so that going back to it works.
fn sync_last_applied(object: &mut Value, config: &Value) {
    const ANNOTATIONS: &str = "/metadata/annotations";
    let Some(annotation) =
        object.pointer_mut(ANNOTATIONS).and_then(|all| all.get_mut(LAST_APPLIED))
    else {
        return;
    };
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut(ANNOTATIONS).and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    // Go writes these three so; in JSON they only occur inside strings.
    let text = config.to_string().replace('<', "\\u003c").replace('>', "\\u003e");
    *annotation = Value::String(text.replace('&', "\\u0026") + "\n");
}

fn try_apply(
    live: Option<&Value>,
    config: &Value,
    request: &Request<'_>,
    force: bool,
) -> Result<Applied, Error> {
    if !config["metadata"]["managedFields"].is_null() {
        return Err(Error::ManagedFieldsGiven);
    }
    typed::check(config, request.schema)?;
    let mut managed = live.map_or(Ok(Managed::default()), Managed::decode)?;
    let live = live.map(without_managed_fields);
    if let Some(live) = &live
        && managed.entries.is_empty()
    {
        let before = Request { manager: BEFORE_FIRST_APPLY, ..*request };
        note_update(None, live, &mut managed, &before);
    }
    let owner = request.owner(Operation::Apply);
    let last = managed.get(&owner).map(|entry| entry.fields.clone()).unwrap_or_default();
    let merged = merge(live.as_ref(), Some(config), Some(request.schema));
    let set = fields_of(config, request.schema).recursive_difference(request.ignored);
    let entry = managed.entry(&owner);
    entry.fields = set;
    entry.manager.api_version = owner.api_version.clone();
    let mut object = prune(&merged, &managed, &last, request.schema);
    take_from_others(live.as_ref(), &object, &mut managed, request, force)?;
    settle_emptied(&mut object, &merged, Some(config), Some(request.schema));
    if request.manager == KUBECTL {
        sync_last_applied(&mut object, config);
    }
    let is_changed = live.as_ref().is_none_or(|live| !is_equal(live, &object));
    let entry = managed.entry(&owner);
    entry.fields = entry.fields.difference(&never_owned());
    if is_changed {
        entry.time = request.now.to_owned();
    }
    managed.drop_empty();
    if metadata_of(&mut object).is_some() {
        managed.encode_into(&mut object);
    }
    Ok(Applied { object, is_changed })
}

/// Removes what this owner applied the last time and not this time, unless someone else owns it.
fn prune(merged: &Value, managed: &Managed, last: &FieldSet, schema: Schema<'_>) -> Value {
    if last.is_empty() {
        return merged.clone();
    }
    let whole = |set: FieldSet| set.with_named_parents(Some(schema));
    let last = whole(last.clone());
    let all = whole(fields_of(merged, schema));
    let mut pruned = remove_fields(merged, &last, schema);
    // Back comes what anyone owns now, this owner's new configuration included.
    let kept = whole(fields_of(&pruned, schema)).union(&whole(managed.union()));
    pruned = remove_fields(merged, &all.difference(&kept), schema);
    // And what this owner never had.
    let kept = whole(fields_of(&pruned, schema));
    remove_fields(merged, &all.difference(&kept).intersection(&last), schema)
}

/// Fields whose value changes are taken from their owners, which needs force.
fn take_from_others(
    live: Option<&Value>,
    object: &Value,
    managed: &mut Managed,
    request: &Request<'_>,
    force: bool,
) -> Result<(), Error> {
    let owner = request.owner(Operation::Apply);
    let empty = request.schema.empty_object();
    let mut changed = Comparison::new(Some(live.unwrap_or(&empty)), Some(object), request.schema);
    changed.exclude(request.ignored);
    let touched = changed.modified.union(&changed.added);
    let conflicts_with = |entry: &Entry| {
        let paths = entry.fields.intersection(&touched).paths();
        let (manager, time) = (entry.manager.clone(), entry.time.clone());
        paths.into_iter().map(move |field| Conflict {
            manager: manager.clone(),
            time: time.clone(),
            field,
        })
    };
    let mut conflicts: Vec<Conflict> = managed.others(&owner).flat_map(conflicts_with).collect();
    if !force && !conflicts.is_empty() {
        conflicts.sort_by(|a, b| a.manager.cmp(&b.manager));
        return Err(Error::Conflicts(conflicts));
    }
    let own = managed.get(&owner).cloned();
    for entry in &mut managed.entries {
        entry.fields = entry.fields.difference(&touched).difference(&changed.removed);
    }
    if let Some(own) = own {
        managed.entry(&owner).fields = own.fields;
    }
    Ok(())
}
