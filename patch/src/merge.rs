//! RFC 7396: the merge patch that leads from one value to another.
//!
//! Owns the making of such patches; [`crate::json::merge`] applies them. Needs no schema: lists
//! are replaced as a whole. Start at [`create_merge_patch`].

use serde_json::{Map, Value};

pub use crate::json::merge as apply_merge_patch;

/// Makes the patch that turns `from` into `to`. It is `{}` when nothing is to change.
///
/// A merge patch cannot set a field to null: where `to` has a null inside an object, applying the
/// patch leaves the field out.
pub fn create_merge_patch(from: &Value, to: &Value) -> Value {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            let removed = from.keys().filter(|key| !to.contains_key(*key));
            let mut patch: Map<String, Value> =
                removed.map(|key| (key.clone(), Value::Null)).collect();
            for (key, value) in to {
                match from.get(key) {
                    Some(old) if old == value => {}
                    Some(old @ Value::Object(_)) if value.is_object() => {
                        patch.insert(key.clone(), create_merge_patch(old, value));
                    }
                    _ => {
                        patch.insert(key.clone(), value.clone());
                    }
                }
            }
            Value::Object(patch)
        }
        (_, to) => to.clone(),
    }
}
