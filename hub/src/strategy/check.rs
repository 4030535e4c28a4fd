//! Is this object acceptable?
//!
//! Owns the checks of names, labels, owners and (through `schema`) of custom fields. Pure.
//! Start at [`object`].

use serde_json::Value;

use crate::error::{ApiError, Cause};
use crate::meta;
use crate::registry::{Kind, Source};
use crate::schema;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// All annotations of one object together.
const MAX_ANNOTATIONS_BYTES: usize = 256 << 10;

/// Checks a whole object; the error lists everything that is wrong.
pub(crate) fn object(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    refuse(kind, object, causes_of(kind, object))
}

fn refuse(kind: &Kind, object: &Value, causes: Vec<Cause>) -> Result<(), ApiError> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&kind.group, &kind.kind, meta::text(object, "name"), causes))
}

fn causes_of(kind: &Kind, object: &Value) -> Vec<Cause> {
    let name = meta::text(object, "name");
    let mut causes = Vec::new();
    check_name(kind, name, &mut causes);
    check_labels(object, &mut causes);
    check_annotations(object, &mut causes);
    check_owners(object, &mut causes);
    check_finalizers(object, &mut causes);
    match &kind.source {
        Source::Custom { schema, .. } => causes.extend(schema::check(object, schema)),
        Source::Builtin => super::native::rules::check(kind, object, &mut causes),
    }
    causes
}

/// Checks what only a new object has to fulfil.
pub(crate) fn create(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    const ACCOUNT: &str = "kubernetes.io/service-account.name";
    let is_token = object["type"] == "kubernetes.io/service-account-token";
    let account = object["metadata"]["annotations"][ACCOUNT].as_str().unwrap_or_default();
    if &*kind.resource == "/secrets" && is_token && account.is_empty() {
        let cause = Cause::required(format!("metadata.annotations[{ACCOUNT}]"), "");
        let name = meta::text(object, "name");
        return Err(ApiError::invalid(&kind.group, &kind.kind, name, vec![cause]));
    }
    Ok(())
}

/// Checks a changed object, and what may not change in it.
pub(crate) fn update(kind: &Kind, old: &Value, new: &Value) -> Result<(), ApiError> {
    let mut causes = causes_of(kind, new);
    if meta::is_deleting(old) {
        let added: Vec<&str> =
            meta::finalizers(new).filter(|f| !meta::has_finalizer(old, f)).collect();
        if !added.is_empty() {
            let message = format!(
                "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ")
            );
            causes.push(Cause {
                field: "metadata.finalizers".into(),
                reason: "FieldValueForbidden",
                message,
            });
        }
    }
    if !kind.is_custom() {
        super::native::rules::check_update(kind, old, new, &mut causes);
    }
    refuse(kind, new, causes)
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn check_name(kind: &Kind, name: &str, causes: &mut Vec<Cause>) {
    let invalid =
        |why: &str| Cause::invalid("metadata.name", format!("Invalid value: {name:?}: {why}"));
    let is_path_segment = kind.group == "rbac.authorization.k8s.io";
    let is_label_kind = matches!(&*kind.resource, "/namespaces" | "/services");
    if is_path_segment {
        if matches!(name, "." | "..") || name.contains(['/', '%']) {
            causes.push(invalid("may not contain '/'"));
        }
    } else if is_label_kind {
        if name.len() > 63 {
            causes.push(invalid("must be no more than 63 characters"));
        }
        if !is_label(name) {
            causes.push(invalid(LABEL));
        }
    } else {
        if name.len() > 253 {
            causes.push(invalid("must be no more than 253 characters"));
        }
        if !name.split('.').all(is_label) {
            causes.push(invalid(SUBDOMAIN));
        }
    }
}

fn is_qualified_part(text: &str, may_be_empty: bool) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (text.is_empty() && may_be_empty)
        || text.chars().all(inner) && edge(text.chars().next()) && edge(text.chars().last())
}

/// What is wrong with a label's key; the first finding.
pub(crate) fn key_problem(key: &str) -> Option<String> {
    key_problems(key).into_iter().next()
}

/// What is wrong with a label's value.
pub(crate) fn value_problem(value: &str) -> Option<String> {
    if value.len() > 63 {
        return Some("must be no more than 63 bytes".to_owned());
    }
    (!is_qualified_part(value, true)).then(|| LABEL_VALUE.to_owned())
}

fn key_problems(key: &str) -> Vec<String> {
    let mut found = Vec::new();
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if !prefix.split('.').all(is_label) {
                found.push(format!("prefix part {SUBDOMAIN}"));
            }
            name
        }
        None => key,
    };
    if name.len() > 63 {
        found.push("name part must be no more than 63 bytes".to_owned());
    } else if !is_qualified_part(name, false) {
        found.push(QUALIFIED.to_owned());
    }
    found
}

fn check_key(field: &str, key: &str, causes: &mut Vec<Cause>) {
    let problems = key_problems(key).into_iter();
    causes.extend(
        problems.map(|why| Cause::invalid(field, format!("Invalid value: {key:?}: {why}"))),
    );
}

/// Owner references as Go writes them: fields in the order of the type.
fn go_owners(owners: &Value) -> String {
    const FIELDS: [&str; 6] =
        ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let one = |owner: &Value| {
        let there = FIELDS.iter().filter(|f| !owner[**f].is_null());
        let fields: Vec<String> = there.map(|f| format!("{f:?}:{}", owner[*f])).collect();
        format!("{{{}}}", fields.join(","))
    };
    let all: Vec<String> = owners.as_array().into_iter().flatten().map(one).collect();
    format!("[{}]", all.join(","))
}

/// A finalizer is `domain/name`, or one that Kubernetes knows.
fn check_finalizers(object: &Value, causes: &mut Vec<Cause>) {
    const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    for (i, finalizer) in meta::finalizers(object).enumerate() {
        let field = format!("metadata.finalizers[{i}]");
        check_key(&field, finalizer, causes);
        if !finalizer.contains('/') && !STANDARD.contains(&finalizer) {
            let why = format!(
                "Invalid value: {finalizer:?}: name is neither a standard finalizer name nor is it fully qualified"
            );
            causes.push(Cause::invalid(field, why));
        }
    }
}

fn check_labels(object: &Value, causes: &mut Vec<Cause>) {
    const FIELD: &str = "metadata.labels";
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        check_key(FIELD, key, causes);
        let value = value.as_str().unwrap_or_default();
        if let Some(why) = value_problem(value) {
            causes.push(Cause::invalid(FIELD, format!("Invalid value: {value:?}: {why}")));
        }
    }
}

fn check_annotations(object: &Value, causes: &mut Vec<Cause>) {
    const FIELD: &str = "metadata.annotations";
    let mut bytes = 0;
    for (key, value) in object["metadata"]["annotations"].as_object().into_iter().flatten() {
        check_key(FIELD, &key.to_lowercase(), causes);
        bytes += key.len() + value.as_str().unwrap_or_default().len();
    }
    if bytes > MAX_ANNOTATIONS_BYTES {
        causes.push(Cause {
            field: FIELD.into(),
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {MAX_ANNOTATIONS_BYTES} bytes"),
        });
    }
}

fn check_owners(object: &Value, causes: &mut Vec<Cause>) {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    const FIELD: &str = "metadata.ownerReferences";
    let mut controller: Option<&Value> = None;
    for owner in owners {
        for (field, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                let why = format!("Invalid value: \"\": {why}");
                causes.push(Cause::invalid(format!("{FIELD}.{field}"), why));
            }
        }
        if owner["controller"] != true {
            continue;
        }
        if let Some(first) = controller {
            let name = |o: &Value| {
                let text = |field: &str| o[field].as_str().unwrap_or_default().to_owned();
                format!("{}/{}", text("kind"), text("name"))
            };
            let why = format!(
                "Invalid value: {}: Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                go_owners(&object["metadata"]["ownerReferences"]),
                name(first),
                name(owner)
            );
            causes.push(Cause::invalid(FIELD, why));
        }
        controller = Some(owner);
    }
}
