//! Reads the live state of a bundle deployment's objects.
//!
//! Owns the reading side by side. Must not judge what it reads. Start at [`observe_objects`].

use std::collections::BTreeMap;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::member::{CallError, Member};
use crate::plan::ObjectKey;

/// Requests of one bundle deployment that may be under way at the same time.
pub const PARALLEL_CALLS: usize = 8;

/// Reads objects by key; those that do not exist are left out.
pub async fn observe_objects<I>(
    member: &Member,
    keys: I,
) -> Result<BTreeMap<ObjectKey, Value>, CallError>
where
    I: IntoIterator<Item = ObjectKey>,
{
    let mut reads = Vec::new();
    for key in keys {
        let read = async move {
            let object = member.get(&key).await?;
            Ok::<_, CallError>(object.map(|object| (key, object)))
        };
        reads.push(read.boxed());
    }
    let found: Vec<Option<(ObjectKey, Value)>> =
        stream::iter(reads).buffer_unordered(PARALLEL_CALLS).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}
