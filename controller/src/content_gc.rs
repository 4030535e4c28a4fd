//! Content: counts who needs it, deletes it when nobody does.
//!
//! Owns the reference count. Guarantees: a Content is deleted only when no BundleDeployment names
//! it and no Bundle is about to. Start at [`reconcile_content`].

use std::time::Duration;

use bundle_format::api::{Content, labels};
use kube::Api;
use runtime::status::{StatusWrite, patch_status};
use runtime::{NextWake, ObjectKey};
use serde_json::json;

use crate::context::Context;
use crate::error::Error;
use crate::objects::ObjectName;
use crate::stores::BY_CONTENT;

/// A Content that nobody has needed for less than this may belong to BundleDeployments that are being written.
const GRACE: Duration = Duration::from_secs(60);
/// The count follows that much later, so that a rollout to a thousand clusters writes it once.
pub const COUNT_DELAY: Duration = Duration::from_secs(10);

/// Counts the users of a Content and acts on the number.
pub async fn reconcile_content(ctx: &Context, key: &ObjectKey) -> Result<NextWake, Error> {
    if ctx.stores.contents.get(key).is_none() {
        ctx.memory.forget_count(&key.name);
        return Ok(NextWake::OnChange);
    }
    let users = ctx.stores.deployments.by_index(BY_CONTENT, &key.name);
    let count = users.iter().filter(|user| user.metadata.deletion_timestamp.is_none()).count();
    if count > 0 {
        ctx.memory.note_needed(&key.name);
        return write_count(ctx, key, count).await;
    }
    if ctx
        .stores
        .bundles
        .by_index(BY_CONTENT, &key.name)
        .iter()
        .any(|known| known.bundle.metadata.deletion_timestamp.is_none())
    {
        ctx.memory.note_needed(&key.name);
        return write_count(ctx, key, 0).await;
    }
    if !ctx.memory.was_referenced(&key.name) {
        let left = GRACE.saturating_sub(ctx.memory.unneeded_for(&key.name));
        if !left.is_zero() {
            return Ok(NextWake::After(left));
        }
    }
    tracing::info!(content = key.name, "content deleted: nobody needs it");
    ctx.memory.forget_count(&key.name);
    let name = ObjectName {
        api_version: labels::API_VERSION,
        kind: "Content",
        namespace: "",
        name: &key.name,
    };
    ctx.objects.delete(&name).await?;
    Ok(NextWake::OnChange)
}

async fn write_count(ctx: &Context, key: &ObjectKey, count: usize) -> Result<NextWake, Error> {
    // Contents are kept without their status; the count last written is remembered instead.
    let written = ctx.memory.count_of(&key.name);
    if written == Some(count) {
        return Ok(NextWake::OnChange);
    }
    let api: Api<Content> = Api::all(ctx.client.clone());
    let before = match written {
        Some(count) => json!({ "referenceCount": count }),
        // After a restart: read it once, an unchanged count must not be written.
        None => {
            let live = runtime::client::optional(api.get(&key.name).await).map_err(|error| {
                runtime::ApiError::new(format!("read content {}", key.name), error)
            })?;
            let Some(live) = live else { return Ok(NextWake::OnChange) };
            json!({ "referenceCount": live.status.unwrap_or_default().reference_count })
        }
    };
    let after = json!({ "referenceCount": count });
    let write = StatusWrite { name: &key.name, resource_version: None, noise: &[] };
    patch_status(&api, &write, &before, &after).await?;
    ctx.memory.set_count(&key.name, count);
    Ok(NextWake::OnChange)
}
