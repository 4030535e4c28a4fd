//! Content: counts who needs it, deletes it when nobody does.
//!
//! Owns the reference count. Guarantees (invariant `content-kept`): a Content is deleted only when no
//! BundleDeployment names it and no Bundle is about to. The local copy counts, but it may be late: the
//! API server is asked before anything is deleted. Start at [`reconcile_content`].

use std::time::Duration;

use bundle_format::api::{BundleDeployment, Content, labels};
use kube::Api;
use kube::api::{ListParams, ObjectMeta};
use runtime::status::{StatusWrite, patch_status};
use runtime::{NextWake, ObjectKey};
use serde_json::json;

use crate::context::Context;
use crate::error::Error;
use crate::objects::delete_params;
use crate::stores::BY_CONTENT;

/// A Content that nobody has needed for less than this may belong to BundleDeployments that are being written.
const GRACE: Duration = Duration::from_secs(60);
/// The count follows that much later, so that a rollout to a thousand clusters writes it once.
pub const COUNT_DELAY: Duration = Duration::from_secs(10);

/// Counts the users of a Content and acts on the number.
pub async fn reconcile_content(ctx: &Context, key: &ObjectKey) -> Result<NextWake, Error> {
    let Some(content) = ctx.stores.contents.get(key) else {
        ctx.memory.forget_count(&key.name);
        return Ok(NextWake::OnChange);
    };
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
    delete_content(ctx, &content.metadata).await
}

/// Deletes a Content that nobody is seen to need, if nobody does.
async fn delete_content(ctx: &Context, seen: &ObjectMeta) -> Result<NextWake, Error> {
    let name = seen.name.as_deref().unwrap_or_default();
    // From here on no pass counts on it: who comes now, comes again and stores it anew.
    let Some(mut deletion) = ctx.claims.begin_deletion(name) else {
        return Ok(NextWake::After(GRACE));
    };
    if is_named(ctx, name).await? {
        return Ok(NextWake::After(GRACE));
    }
    tracing::info!(content = name, "content deleted: nobody needs it");
    ctx.memory.forget_count(name);
    deletion.note_sent();
    let api: Api<Content> = Api::all(ctx.client.clone());
    runtime::client::optional(api.delete(name, &delete_params(seen)).await)
        .map_err(|error| runtime::ApiError::new(format!("delete content {name}"), error))?;
    Ok(NextWake::OnChange)
}

/// Asks the API server whether a BundleDeployment names a Content.
async fn is_named(ctx: &Context, content: &str) -> Result<bool, Error> {
    let api: Api<BundleDeployment> = Api::all(ctx.client.clone());
    for label in [labels::CONTENT_NAME, labels::DEPLOYED_CONTENT_NAME] {
        let one = ListParams::default().labels(&format!("{label}={content}")).limit(1);
        let found = api.list_metadata(&one).await.map_err(|error| {
            runtime::ApiError::new(format!("list bundle deployments of content {content}"), error)
        })?;
        if !found.items.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
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
