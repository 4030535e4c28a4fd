//! The two patches that need no schema: JSON merge patch and JSON patch.
//!
//! Owns their bounds and error texts. Knows nothing of kinds. Start at [`merge`].

use serde_json::Value;

/// Most operations of one JSON patch (kube-apiserver 1.36 has the same bound).
pub const MAX_OPERATIONS_COUNT: usize = 10_000;

/// Why a JSON patch could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document is not a list of operations.
    #[error("the patch is not a list of JSON patch operations: {0}")]
    Malformed(serde_json::Error),
    /// More operations than [`MAX_OPERATIONS_COUNT`].
    #[error("the patch has {count} operations, at most {MAX_OPERATIONS_COUNT} are allowed")]
    TooLong {
        /// How many there were.
        count: usize,
    },
    /// An operation does not fit the object (missing path, failed `test`).
    #[error("{0}")]
    Refused(json_patch::PatchError),
}

/// Applies an RFC 7396 merge patch: `null` removes, objects merge, everything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

/// Applies an RFC 6902 patch; on an error `target` is as it was before.
pub fn apply(target: &mut Value, operations: Value) -> Result<(), Error> {
    let count = operations.as_array().map_or(0, Vec::len);
    if count > MAX_OPERATIONS_COUNT {
        return Err(Error::TooLong { count });
    }
    let patch: json_patch::Patch = serde_json::from_value(operations).map_err(Error::Malformed)?;
    json_patch::patch(target, &patch).map_err(Error::Refused)
}
