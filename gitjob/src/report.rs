//! Kubernetes Events about GitRepos: one per change (live findings 29 and 30).
//!
//! Owns reasons and actions, which are Fleet 0.16's. Start at [`tell_look`].

use bundle_format::api::GitRepo;
use runtime::events::{EventType, Occurrence};

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
