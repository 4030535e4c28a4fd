//! Runs hooks and waits for them.
//!
//! Owns the calls. Which hooks, and what their objects mean, is decided in [`crate::plan::hooks`]. Start at
//! [`run_hooks`].

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::member::{CallError, Member};
use super::wait::wait_until_gone;
use crate::plan::ObjectKey;
use crate::plan::hooks::{DeletePolicy, Hook, Moment, Progress, hook_progress, hooks_at};

const FIRST_INTERVAL: Duration = Duration::from_millis(50);
const LONGEST_INTERVAL: Duration = Duration::from_secs(2);

/// Why hooks ended the operation they belong to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A hook failed, or its object was refused.
    #[error("{moment} hooks failed: {key}, from {template}: {reason}")]
    Failed {
        /// The moment.
        moment: &'static str,
        /// The hook's object.
        key: ObjectKey,
        /// The hook's template.
        template: String,
        /// Why.
        reason: String,
    },
}

/// Runs the hooks of a moment one after another, each to its end, at most `limit` each.
pub async fn run_hooks(
    member: &Member,
    hooks: &[Hook],
    moment: Moment,
    limit: Duration,
) -> Result<(), Error> {
    let chosen = hooks_at(hooks, moment);
    let mut done: Vec<&Hook> = Vec::new();
    for hook in &chosen {
        if let Err(reason) = run_hook(member, hook, limit).await {
            delete_by_policy(member, &[hook], DeletePolicy::Failed).await;
            delete_by_policy(member, &done, DeletePolicy::Succeeded).await;
            let (key, template) = (hook.key(), hook.source.clone());
            return Err(Error::Failed { moment: moment.as_str(), key, template, reason });
        }
        done.push(hook);
    }
    delete_by_policy(member, &done, DeletePolicy::Succeeded).await;
    Ok(())
}

async fn run_hook(member: &Member, hook: &Hook, limit: Duration) -> Result<(), String> {
    let key = hook.key();
    let words = |error: CallError| crate::deploy::server_words(&error);
    if hook.has_policy(DeletePolicy::BeforeCreation)
        && member.delete(&key, None).await.map_err(words)?
    {
        wait_until_gone(member, &key).await;
    }
    member.apply(&key, &hook.object).await.map_err(words)?;
    let deadline = Instant::now() + limit;
    let mut interval = FIRST_INTERVAL;
    loop {
        // A read that fails is repeated: the time limit decides, not the network.
        match member.get(&key).await.ok().flatten().map(|object| hook_progress(&object)) {
            Some(Progress::Succeeded) => return Ok(()),
            Some(Progress::Failed(reason)) => return Err(reason),
            Some(Progress::Running) | None => {}
        }
        if Instant::now() >= deadline {
            return Err(format!("not done after {} s", limit.as_secs()));
        }
        sleep(interval).await;
        interval = (interval * 2).min(LONGEST_INTERVAL);
    }
}

async fn delete_by_policy(member: &Member, hooks: &[&Hook], policy: DeletePolicy) {
    for hook in hooks.iter().filter(|hook| hook.has_policy(policy)) {
        let key = hook.key();
        if let Err(error) = member.delete(&key, None).await {
            tracing::warn!(%key, error = runtime::chain(&error), "hook's object not deleted");
        }
    }
}
