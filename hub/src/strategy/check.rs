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
    let name = meta::text(object, "name");
    let mut causes = Vec::new();
    check_name(kind, name, &mut causes);
    check_labels(object, &mut causes);
    check_annotations(object, &mut causes);
    check_owners(object, &mut causes);
    match &kind.source {
        Source::Custom { schema, .. } => causes.extend(schema::check(object, schema)),
        Source::Builtin => super::native::rules::check(kind, object, &mut causes),
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&kind.group, &kind.kind, name, causes))
}

/// Checks what may not change.
pub(crate) fn update(kind: &Kind, old: &Value, new: &Value) -> Result<(), ApiError> {
    let mut causes = Vec::new();
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
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&kind.group, &kind.kind, meta::text(new, "name"), causes))
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

fn check_key(field: &str, key: &str, causes: &mut Vec<Cause>) {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if !prefix.split('.').all(is_label) {
                let why = format!("Invalid value: {key:?}: prefix part {SUBDOMAIN}");
                causes.push(Cause::invalid(field, why));
            }
            name
        }
        None => key,
    };
    if name.len() > 63 {
        let why = format!("Invalid value: {key:?}: name part must be no more than 63 bytes");
        causes.push(Cause::invalid(field, why));
    } else if !is_qualified_part(name, false) {
        causes.push(Cause::invalid(field, format!("Invalid value: {key:?}: {QUALIFIED}")));
    }
}

fn check_labels(object: &Value, causes: &mut Vec<Cause>) {
    const FIELD: &str = "metadata.labels";
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        check_key(FIELD, key, causes);
        let value = value.as_str().unwrap_or_default();
        if value.len() > 63 {
            let why = format!("Invalid value: {value:?}: must be no more than 63 bytes");
            causes.push(Cause::invalid(FIELD, why));
        } else if !is_qualified_part(value, true) {
            causes.push(Cause::invalid(FIELD, format!("Invalid value: {value:?}: {LABEL_VALUE}")));
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
    for (i, owner) in owners.enumerate() {
        for (field, word) in
            [("apiVersion", "version"), ("kind", "kind"), ("name", "name"), ("uid", "uid")]
        {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                let at = format!("metadata.ownerReferences[{i}].{field}");
                causes.push(Cause::invalid(
                    at,
                    format!("Invalid value: \"\": {word} must not be empty"),
                ));
            }
        }
    }
}
