//! Writing a status only when it says something new.
//!
//! Owns the difference of two statuses and the precondition of the write. Start at
//! [`patch_status`].

use std::fmt::Debug;

use kube::api::{Api, Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::client::ApiError;

/// One status to be written.
#[derive(Clone, Copy, Debug)]
pub struct StatusWrite<'a> {
    /// Name of the object.
    pub name: &'a str,
    /// The `resourceVersion` the new status was computed from. Needed as soon as `conditions`
    /// change, because a merge patch replaces that list as a whole: without it another writer's
    /// condition could be lost.
    pub resource_version: Option<&'a str>,
    /// Top-level members of the status that alone are no reason to write, such as
    /// `lastPollingTriggered`. They are written together with anything else.
    pub noise: &'a [&'a str],
}

/// Merge-patches `status` from `before` to `after`; `Ok(None)` when there was nothing to say.
///
/// # Errors
/// [`ApiError`]; of class `Conflict` when someone wrote since `resource_version`.
pub async fn patch_status<K>(
    api: &Api<K>,
    write: &StatusWrite<'_>,
    before: &Value,
    after: &Value,
) -> Result<Option<K>, ApiError>
where
    K: Clone + DeserializeOwned + Debug,
{
    let Some(difference) = diff_status(before, after, write.noise) else { return Ok(None) };
    let mut body = json!({ "status": difference });
    if let Some(version) = write.resource_version {
        body["metadata"] = json!({ "resourceVersion": version });
    }
    let written = api
        .patch_status(write.name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .map_err(|source| ApiError::new(format!("write status of {}", write.name), source))?;
    Ok(Some(written))
}

/// The merge patch between two statuses, or `None` if they mean the same or differ in noise only.
///
/// Null, an empty list, an empty object and absence mean the same.
#[must_use]
pub fn diff_status(before: &Value, after: &Value, noise: &[&str]) -> Option<Value> {
    let empty = Map::new();
    let (before, after) =
        (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let patch = diff_maps(before, after);
    let only_noise = patch.keys().all(|key| noise.contains(&key.as_str()));
    (!only_noise).then_some(Value::Object(patch))
}

fn diff_maps(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for (key, value) in after {
        match (before.get(key), value) {
            (None | Some(Value::Null), new) if says_nothing(new) => {}
            (Some(old), new) if old == new || (says_nothing(old) && says_nothing(new)) => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                let inner = diff_maps(old, new);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (_, new) => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    for (key, old) in before {
        if !after.contains_key(key) && !says_nothing(old) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    patch
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_meaning_is_no_patch() {
        let before = json!({"a": 1, "list": [], "gone": null});
        assert_eq!(diff_status(&before, &json!({"a": 1, "map": {}}), &[]), None);
    }

    #[test]
    fn noise_is_written_only_in_company() {
        let before = json!({"polled": "1", "commit": "a"});
        assert_eq!(diff_status(&before, &json!({"polled": "2", "commit": "a"}), &["polled"]), None);
        assert_eq!(
            diff_status(&before, &json!({"polled": "2", "commit": "b"}), &["polled"]),
            Some(json!({"polled": "2", "commit": "b"}))
        );
    }

    #[test]
    fn the_patch_leads_from_before_to_after() {
        let before = json!({"a": {"b": 1, "c": 2}, "list": [1], "x": "y"});
        let after = json!({"a": {"b": 1, "d": 3}, "list": [1, 2]});
        assert_eq!(
            diff_status(&before, &after, &[]),
            Some(json!({"a": {"c": null, "d": 3}, "list": [1, 2], "x": null}))
        );
    }
}
