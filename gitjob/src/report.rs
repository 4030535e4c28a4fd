//! Kubernetes Events about GitRepos: one per change (live findings 29 and 30).
//!
//! Owns reasons and actions, which are Fleet 0.16's. Start at [`tell_look`].

use bundle_format::api::GitRepo;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use runtime::ObjectKey;
use runtime::client::{ApiError, optional};
use runtime::conditions::ConditionUpdate;
use runtime::events::{EventType, Occurrence};
use serde_json::json;

use crate::context::Context;
use crate::git::CommitId;

const NEW_COMMIT: &str = "GotNewCommit";
const NO_COMMIT: &str = "FailedToCheckCommit";
const FAILED: &str = "Failed";

/// A new commit, or a look that failed.
pub(crate) async fn tell_look(
    ctx: &Context,
    repo: &GitRepo,
    known: &str,
    head: &Result<CommitId, String>,
) {
    let uid = repo.metadata.uid.as_deref().unwrap_or_default();
    let (kind, reason, action, note) = match head {
        Ok(commit) => {
            ctx.events.clear(uid, NO_COMMIT);
            if commit.as_str() == known {
                return;
            }
            (EventType::Normal, NEW_COMMIT, "GetNewCommit", commit.as_str())
        }
        Err(error) => (EventType::Warning, NO_COMMIT, "CheckCommit", error.as_str()),
    };
    ctx.events.publish(repo, &Occurrence { kind, reason, action, note }).await;
}

/// A webhook that named a commit which did not appear.
pub(crate) async fn tell_invisible(ctx: &Context, repo: &GitRepo, commit: &str) {
    let note = &format!("the repository does not show commit {commit}, which a webhook announced");
    tracing::warn!(git_repo = %ObjectKey::of(repo), commit, "a webhook's commit did not appear");
    let (kind, reason) = (EventType::Warning, "WebhookCommitNotVisible");
    ctx.events.publish(repo, &Occurrence { kind, reason, action: "CheckCommit", note }).await;
}

/// A GitRepo that is not accepted; `reason` and `action` as in Fleet.
pub(crate) async fn tell_rejection(
    ctx: &Context,
    repo: &GitRepo,
    (reason, action): (&str, &str),
    text: &str,
) {
    // Fleet's note lacks the prefix of its condition.
    let note = text.strip_prefix("error validating external secrets: ").unwrap_or(text);
    let kind = EventType::Warning;
    ctx.events.publish(repo, &Occurrence { kind, reason, action, note }).await;
}

/// A build whose failures differ from those of the one before.
pub(crate) async fn tell_failure(
    ctx: &Context,
    repo: &GitRepo,
    previous: &[String],
    now: &[String],
) {
    let uid = repo.metadata.uid.as_deref().unwrap_or_default();
    if now.is_empty() {
        ctx.events.clear(uid, FAILED);
        return;
    }
    if now == previous {
        return;
    }
    let note = now.join("; ");
    let occurrence = Occurrence {
        kind: EventType::Warning,
        reason: FAILED,
        action: "PublishBundles",
        note: &note,
    };
    ctx.events.publish(repo, &occurrence).await;
}

/// A GitRepo that does not fit its type says so itself; the others are served meanwhile.
///
/// # Errors
/// When the API refuses the read or the write.
pub(crate) async fn tell_poisoned(ctx: &Context, key: &ObjectKey) -> Result<(), ApiError> {
    let Some(poisoned) = ctx.repos.poisoned_at(key) else { return Ok(()) };
    let resource = ApiResource::erase::<GitRepo>(&());
    let api: Api<DynamicObject> =
        Api::namespaced_with(ctx.client.clone(), &key.namespace, &resource);
    let fail = |e| ApiError::new(format!("report unreadable GitRepo {key}"), e);
    let Some(raw) = optional(api.get(&key.name).await).map_err(fail)? else { return Ok(()) };
    let known = raw.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let mut conditions = known;
    let text = format!("the object does not fit its type: {}", poisoned.error);
    let now = ctx.clock.now();
    let mut is_news = false;
    for kind in ["Accepted", "Ready"] {
        let update = ConditionUpdate::error(kind, text.clone());
        is_news |= runtime::conditions::set(&mut conditions, &update, now);
    }
    if !is_news {
        return Ok(());
    }
    let version = raw.metadata.resource_version;
    let body = json!({
        "metadata": { "resourceVersion": version },
        "status": { "conditions": conditions },
    });
    let params = PatchParams::default();
    api.patch_status(&key.name, &params, &Patch::Merge(&body)).await.map(drop).map_err(fail)
}
