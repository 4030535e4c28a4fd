//! Waits for the cluster to get somewhere.
//!
//! Owns polling intervals and time limits. Must not know why somebody waits. Start at [`wait_until_ready`].

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::member::Member;
use crate::plan::ObjectKey;
use crate::plan::health::{Patience, assess_progress};

const ESTABLISH_LIMIT: Duration = Duration::from_secs(30);
const DELETE_LIMIT: Duration = Duration::from_secs(30);
const FIRST_INTERVAL: Duration = Duration::from_millis(50);
const LONGEST_INTERVAL: Duration = Duration::from_secs(2);

/// Objects that did not get ready in time, with what they said last.
#[derive(Debug, thiserror::Error)]
#[error("timed out waiting for the condition: {}", .waiting.join("; "))]
pub struct TimedOut {
    /// One line per object.
    pub waiting: Vec<String>,
}

/// Waits until all objects are ready, at most `limit`; jobs are ready when they run, or when they
/// are complete, as `patience` says.
pub async fn wait_until_ready(
    member: &Member,
    keys: &[ObjectKey],
    patience: Patience,
    limit: Duration,
) -> Result<(), TimedOut> {
    let deadline = Instant::now() + limit;
    let mut open: Vec<ObjectKey> = keys.to_vec();
    let mut interval = FIRST_INTERVAL;
    loop {
        let mut waiting = Vec::new();
        let mut still_open = Vec::new();
        for key in open {
            // A failed read counts as "not ready": the time limit decides, not the network.
            let text = match member.get(&key).await {
                Ok(Some(object)) => {
                    let health = assess_progress(&object, patience, runtime::world::now());
                    if health.is_ready() {
                        continue;
                    }
                    health.to_text()
                }
                Ok(None) => "missing".to_owned(),
                Err(error) => runtime::chain(&error),
            };
            waiting.push(format!("{key} {text}"));
            still_open.push(key);
        }
        open = still_open;
        if open.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(TimedOut { waiting });
        }
        sleep(interval.min(deadline.saturating_duration_since(Instant::now()))).await;
        interval = (interval * 2).min(LONGEST_INTERVAL);
    }
}

/// Waits until new kinds are served; gives up silently, the first object of such a kind tells.
pub async fn wait_until_established<'a>(
    member: &Member,
    definitions: impl Iterator<Item = &'a ObjectKey>,
) {
    let keys: Vec<ObjectKey> = definitions.cloned().collect();
    if let Err(error) = wait_until_ready(member, &keys, Patience::default(), ESTABLISH_LIMIT).await
    {
        tracing::warn!(%error, "custom resource definitions are not established");
    }
}

/// Waits until an object is gone, at most half a minute.
pub async fn wait_until_gone(member: &Member, key: &ObjectKey) {
    let deadline = Instant::now() + DELETE_LIMIT;
    let mut interval = FIRST_INTERVAL;
    while Instant::now() < deadline {
        if matches!(member.get(key).await, Ok(None)) {
            return;
        }
        sleep(interval).await;
        interval = (interval * 2).min(LONGEST_INTERVAL);
    }
}
