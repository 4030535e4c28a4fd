//! What a GitRepo says about its source.
//!
//! Owns the fields and conditions of the git side: `Accepted`, `GitPolling`, `Reconciling`,
//! `Stalled`, and `Ready` only to say that it is not. Knows nothing of deployments: the controller
//! says when a GitRepo is ready. Start at [`next_status`].

use bundle_format::api::{
    Condition, ConditionState, GitRepoSpec, GitRepoStatus, condition_is_true, set_condition,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use runtime::clock::time_text;

use crate::memory::{Built, Hint};

/// Longest message of a condition; more failures than fit are counted.
const MESSAGE_BYTES_MAX: usize = 4096;
/// `lastPollingTriggered` alone is written at most this often.
const POLL_NOTE_SECS: i64 = 600;

/// What a pass found out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Why the GitRepo is not accepted.
    pub(crate) rejection: Option<String>,
    /// What the last look at the remote said; `None` when there was none yet.
    pub(crate) head: Option<Result<String, String>>,
    /// A look was taken in this pass.
    pub(crate) has_looked: bool,
    /// Looks happen by themselves.
    pub(crate) is_polling: bool,
    /// A build runs now.
    pub(crate) is_building: bool,
    /// The last build.
    pub(crate) built: Option<Built>,
    /// The last webhook.
    pub(crate) hint: Option<Hint>,
    /// Fields of the spec that are set and have no effect.
    pub(crate) unserved: Vec<&'static str>,
}

/// The fields of a spec that are set and have no effect, in a fixed order.
#[must_use]
pub(crate) fn unserved_fields(spec: &GitRepoSpec) -> Vec<&'static str> {
    [
        (spec.image_scan_interval.is_some(), "imageScanInterval"),
        (spec.image_scan_commit.is_some(), "imageScanCommit"),
        (!spec.oci_registry_secret.is_empty(), "ociRegistrySecret"),
    ]
    .into_iter()
    .filter_map(|(is_set, field)| is_set.then_some(field))
    .collect()
}

/// Top-level members that are no reason to write a status.
#[must_use]
pub(crate) fn noise(before: &GitRepoStatus, now: Timestamp) -> &'static [&'static str] {
    let age_secs = before
        .last_polling_triggered
        .as_ref()
        .map_or(0, |time| now.as_second() - time.0.as_second());
    if age_secs >= POLL_NOTE_SECS { &[] } else { &["lastPollingTriggered"] }
}

/// The status after a pass; members of the deployment side are taken over unchanged.
#[must_use]
pub(crate) fn next_status(before: &GitRepoStatus, facts: &Facts, now: Timestamp) -> GitRepoStatus {
    let mut status = before.clone();
    let now_text = time_text(now);
    let conditions = &mut status.conditions;
    let mut say = |kind: &str, state: &ConditionState| {
        set_condition(conditions, kind, state, &now_text);
    };
    say("Accepted", &state_of(facts.rejection.as_deref()));
    match &facts.head {
        Some(Ok(_)) if facts.is_polling => say("GitPolling", &ConditionState::is_true()),
        Some(Err(error)) => say("GitPolling", &ConditionState::error(error.clone())),
        _ => {}
    }
    let failure = failure(facts);
    let news = News {
        is_commit: facts.built.as_ref().is_some_and(|built| {
            built.key.commit.as_str() != before.commit
                || built.key.generation != before.observed_generation
        }),
        is_recovery: failure.is_none() && condition_is_true(&before.conditions, "Stalled"),
    };
    say_progress(&mut say, facts, failure.as_deref());
    say_notices(&mut status.conditions, facts.built.as_ref(), &now_text);
    say_unserved(&mut status.conditions, &facts.unserved, &now_text);
    say_ready(&mut status.conditions, facts, &news, failure, &now_text);

    if facts.has_looked {
        status.last_polling_triggered = Some(Time(whole_seconds(now)));
    }
    if let Some(Ok(head)) = &facts.head {
        status.polling_commit.clone_from(head);
    }
    if let Some(hint) = &facts.hint {
        status.webhook_commit.clone_from(&hint.commit);
        status.last_webhook_time = Some(Time(whole_seconds(hint.at)));
    }
    if let Some(built) = &facts.built {
        status.commit = built.key.commit.to_string();
        status.observed_generation = built.key.generation;
        status.update_generation = built.key.force;
    }
    status.git_job_status = job_status(facts).to_owned();
    status
}

/// By meaning, since there is no Job: empty before the first build.
fn job_status(facts: &Facts) -> &'static str {
    match &facts.built {
        _ if facts.is_building => "InProgress",
        Some(built) if built.failures.is_empty() => "Current",
        Some(_) => "Failed",
        None => "",
    }
}

fn state_of(error: Option<&str>) -> ConditionState {
    error.map_or_else(ConditionState::is_true, ConditionState::error)
}

/// The text that keeps the GitRepo from being ready, if any.
fn failure(facts: &Facts) -> Option<String> {
    if let Some(rejection) = &facts.rejection {
        return Some(rejection.clone());
    }
    if let Some(Err(error)) = &facts.head {
        return Some(error.clone());
    }
    let failures = facts.built.as_ref().map(|built| built.failures.as_slice()).unwrap_or_default();
    (!facts.is_building && !failures.is_empty()).then(|| join(failures))
}

/// Joins texts up to the limit and counts the rest.
fn join(texts: &[String]) -> String {
    let mut joined = String::new();
    for (index, text) in texts.iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        if joined.len() + separator.len() + text.len() > MESSAGE_BYTES_MAX {
            if index == 0 {
                let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
                joined.push_str(&text[..end.unwrap_or_default()]);
            }
            let rest_count = texts.len() - index.max(1);
            if rest_count > 0 {
                joined.push_str(&format!("; and {rest_count} more"));
            }
            break;
        }
        joined.push_str(separator);
        joined.push_str(text);
    }
    joined
}

/// kstatus: at most one of `Reconciling` and `Stalled` is true.
fn say_progress(say: &mut impl FnMut(&str, &ConditionState), facts: &Facts, failure: Option<&str>) {
    let reconciling = ConditionState {
        status: Some(facts.is_building),
        reason: if facts.is_building { "Reconciling" } else { "" }.to_owned(),
        message: String::new(),
    };
    say("Reconciling", &reconciling);
    let stalled = ConditionState {
        status: Some(failure.is_some()),
        reason: if failure.is_some() { "Stalled" } else { "" }.to_owned(),
        message: failure.unwrap_or_default().to_owned(),
    };
    say("Stalled", &stalled);
}

/// Conditions that exist only while there is something to say.
fn say_notices(conditions: &mut Vec<Condition>, built: Option<&Built>, now: &str) {
    let Some(built) = built else { return };
    for (kind, notes) in [
        ("UnknownFields", &built.unknown_fields),
        ("SubmodulesNotSupported", &built.submodules),
        ("LfsNotSupported", &built.lfs_pointers),
    ] {
        if notes.is_empty() {
            conditions.retain(|condition| condition.type_ != kind);
            continue;
        }
        let state =
            ConditionState { status: Some(true), reason: "Found".to_owned(), message: join(notes) };
        set_condition(conditions, kind, &state, now);
    }
}

/// Condition `NotServed` is there exactly while a field has no effect.
fn say_unserved(conditions: &mut Vec<Condition>, fields: &[&str], now: &str) {
    if fields.is_empty() {
        conditions.retain(|condition| condition.type_ != "NotServed");
        return;
    }
    let message = format!(
        "no effect: {}; images are not scanned, and contents are kept in the API, not in an OCI \
         registry",
        fields.join(", ")
    );
    let state = ConditionState { status: Some(true), reason: fields.join(","), message };
    set_condition(conditions, "NotServed", &state, now);
}

/// Live findings 1 and 2: not ready while git or the build failed, nor for a new commit before
/// its deployments are. Said in the very words the controller uses for the same state, so that the
/// two never write against each other; only the controller says `True`.
fn say_ready(
    conditions: &mut Vec<Condition>,
    facts: &Facts,
    news: &News,
    failure: Option<String>,
    now: &str,
) {
    let text = match (failure, &facts.built) {
        (Some(text), _) => text,
        (None, Some(built)) if news.is_recovery || (news.is_commit && built.changed_count > 0) => {
            format!("waiting for the deployments of commit {}", built.key.commit.short())
        }
        _ => return,
    };
    set_condition(conditions, "Ready", &ConditionState::is_false(text), now);
}

/// What this status says for the first time.
struct News {
    /// A commit, or a spec.
    is_commit: bool,
    /// That the failure is over.
    is_recovery: bool,
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::CommitId;
    use crate::memory::BuildKey;
    use bundle_format::api::find_condition;
    use std::collections::BTreeMap;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn built(failures: &[&str], changed_count: usize) -> Built {
        Built {
            key: BuildKey {
                commit: CommitId::parse(&"ab".repeat(20)).unwrap(),
                generation: 3,
                force: 0,
                labels: BTreeMap::new(),
                secrets: Vec::new(),
            },
            failures: failures.iter().map(|text| (*text).to_owned()).collect(),
            retry_at: None,
            unknown_fields: Vec::new(),
            submodules: Vec::new(),
            lfs_pointers: Vec::new(),
            changed_count,
        }
    }

    fn facts(built: Built) -> Facts {
        let head = Some(Ok(built.key.commit.to_string()));
        Facts { head, has_looked: true, is_polling: true, built: Some(built), ..Facts::default() }
    }

    fn condition(status: &GitRepoStatus, kind: &str) -> (String, String) {
        let found = find_condition(&status.conditions, kind).cloned().unwrap_or_default();
        (found.status, found.message)
    }

    #[test]
    fn a_failed_build_is_not_ready_and_recovery_waits_for_the_controller() {
        let before = GitRepoStatus::default();
        let failed = next_status(&before, &facts(built(&["a: bad", "b: worse"], 0)), now());
        assert_eq!(condition(&failed, "Ready"), ("False".into(), "a: bad; b: worse".into()));
        assert_eq!(condition(&failed, "Stalled"), ("True".into(), "a: bad; b: worse".into()));
        assert_eq!(failed.git_job_status, "Failed");
        let fixed = next_status(&failed, &facts(built(&[], 0)), now());
        assert_eq!(condition(&fixed, "Stalled").0, "False");
        let (ready, message) = condition(&fixed, "Ready");
        assert_eq!(ready, "False");
        assert!(message.starts_with("waiting for the deployments of commit abab"), "{message}");
        assert_eq!(fixed.git_job_status, "Current");
    }

    #[test]
    fn ready_is_taken_back_for_a_commit_that_changed_bundles_only() {
        let mut before = GitRepoStatus::default();
        set_condition(&mut before.conditions, "Ready", &ConditionState::is_true(), "t");
        let same = next_status(&before, &facts(built(&[], 0)), now());
        assert_eq!(condition(&same, "Ready").0, "True");
        let mut changed = next_status(&before, &facts(built(&[], 1)), now());
        assert_eq!(condition(&changed, "Ready").0, "False");
        // Said once: what the controller says afterwards stays.
        set_condition(&mut changed.conditions, "Ready", &ConditionState::is_true(), "t");
        let later = next_status(&changed, &facts(built(&[], 1)), now());
        assert_eq!(condition(&later, "Ready").0, "True");
    }

    #[test]
    fn a_failing_look_is_told_in_three_conditions() {
        let facts = Facts {
            head: Some(Err("commit not found for branch: nope".into())),
            has_looked: true,
            is_polling: true,
            ..Facts::default()
        };
        let status = next_status(&GitRepoStatus::default(), &facts, now());
        for kind in ["GitPolling", "Ready"] {
            let expected = ("False".into(), "commit not found for branch: nope".into());
            assert_eq!(condition(&status, kind), expected);
        }
        assert_eq!(condition(&status, "Stalled").0, "True");
        assert_eq!(condition(&status, "Accepted").0, "True");
        assert_eq!(status.git_job_status, "", "live finding 7: no job, no Current");
    }

    #[test]
    fn many_failures_are_cut_and_counted() {
        let texts: Vec<String> = (0..100).map(|n| format!("{n}: {}", "x".repeat(100))).collect();
        let joined = join(&texts);
        assert!(joined.len() < MESSAGE_BYTES_MAX + 20 && joined.ends_with(" more"), "{joined}");
        assert_eq!(join(&["ä".repeat(4000)]).len(), 4096);
    }

    #[test]
    fn fields_without_effect_are_named_while_they_are_set() {
        let spec = serde_json::json!({
            "repo": "https://example.com/r", "imageScanInterval": "1m", "ociRegistrySecret": "s",
        });
        let spec: GitRepoSpec = serde_json::from_value(spec).unwrap();
        let mut facts = facts(built(&[], 0));
        facts.unserved = unserved_fields(&spec);
        let said = next_status(&GitRepoStatus::default(), &facts, now());
        let condition = find_condition(&said.conditions, "NotServed").unwrap();
        assert_eq!(condition.reason, "imageScanInterval,ociRegistrySecret");
        assert_eq!(condition.status, "True");
        facts.unserved = unserved_fields(&GitRepoSpec::default());
        let after = next_status(&said, &facts, now());
        assert_eq!(find_condition(&after.conditions, "NotServed"), None);
    }
}
