//! Events: one stored object, two groups.
//!
//! Owns the field names in which core/v1 and events.k8s.io/v1 differ. Start at [`convert`].

use serde_json::Value;

use crate::meta;

/// core/v1 name ↔ events.k8s.io/v1 name.
const RENAMED: [(&str, &str); 6] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// Rewrites an event for `group`; `apiVersion` is the caller's.
pub(crate) fn convert(event: &mut Value, group: &str) {
    let map = meta::object_mut(event);
    for (core, new) in RENAMED {
        let (from, to) = if group.is_empty() { (new, core) } else { (core, new) };
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
    if !group.is_empty() {
        // Set and empty in core/v1, left out here.
        map.retain(|key, value| {
            !(key.starts_with("reporting") && value.as_str().is_some_and(str::is_empty))
        });
    }
    let (from, to) = if group.is_empty() {
        ("deprecatedSource", "source")
    } else {
        ("source", "deprecatedSource")
    };
    if let Some(value) = map.remove(from) {
        map.insert(to.to_owned(), value);
    }
}
