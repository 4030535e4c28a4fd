//! What a Cluster says about itself.
//!
//! Owns its counts, display and conditions. Pure. Start at [`summarize_cluster`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::{
    BundleDeployment, Cluster, ClusterDisplay, ClusterStatus, ConditionState, labels, set_condition,
};
use bundle_format::summary::resources::add_counts;
use bundle_format::summary::{BundleState, Contribution, Tally, is_ready, ready_message};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::NextWake;
use runtime::clock::time_text;

use super::import::AgentSettings;
use crate::registration::token::wake_at;
use crate::stores::label;

/// How far the hub is with installing the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportState {
    /// The agent comes by itself, or somebody else installs it.
    NotOurs,
    /// Nothing to do.
    UpToDate,
    /// Just done, with these settings.
    Installed(AgentSettings),
    /// The agent was taken away a moment ago.
    Removed,
    /// Something is about to exist.
    Waiting(String),
    /// It did not work.
    Failed(String),
}

/// What the status of a Cluster depends on.
pub struct ClusterWorld<'a> {
    /// The Cluster.
    pub cluster: &'a Cluster,
    /// The namespace of its BundleDeployments.
    pub namespace: &'a str,
    /// Its BundleDeployments, by name.
    pub deployments: &'a [Arc<BundleDeployment>],
    /// How far the hub is with installing the agent.
    pub import: &'a ImportState,
    /// Time without a heartbeat after which an agent counts as gone.
    pub offline_after: Duration,
    /// The time.
    pub now: Timestamp,
}

/// What an agent's last heartbeat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Liveness {
    /// It never came.
    Never,
    /// It came, but not lately.
    Offline { since: Timestamp },
    /// It is alive until it misses its next heartbeats.
    Alive { until: Timestamp },
}

/// The status a Cluster shall have.
pub fn summarize_cluster(world: &ClusterWorld<'_>) -> ClusterStatus {
    let mut status = world.cluster.status.clone().unwrap_or_default();
    world.namespace.clone_into(&mut status.namespace);
    let mut tally = Tally::new();
    let mut counts = bundle_format::api::ResourceCounts::default();
    for deployment in world.deployments {
        let name = deployment.name_any();
        tally.set(name.clone(), &name, Contribution::of_deployment(deployment));
        if let Some(reported) = &deployment.status {
            add_counts(&mut counts, &reported.resource_counts);
        }
    }
    status.resource_counts = counts;
    status.summary = tally.summary();
    let repos = count_owners(world.deployments, &tally, labels::REPO_NAME);
    (status.ready_git_repos, status.desired_ready_git_repos) = repos;
    let helm_ops = count_owners(world.deployments, &tally, labels::HELM_OP_NAME);
    (status.ready_helm_ops, status.desired_ready_helm_ops) = helm_ops;
    let liveness = liveness(world);
    status.display = ClusterDisplay {
        ready_bundles: tally.ready_of_all(),
        state: display_state(&tally, liveness),
    };
    match world.import {
        ImportState::Installed(settings) => settings.note(&mut status),
        ImportState::Removed => AgentSettings::forget(&mut status),
        _ => {}
    }
    set_conditions(&mut status, world, liveness);
    status
}

/// How many GitRepos (or HelmOps) have deployments here, and of how many all are ready.
///
/// Fleet 0.16 counts one as ready as soon as any of its deployments is.
fn count_owners(
    deployments: &[Arc<BundleDeployment>],
    tally: &Tally<String>,
    owner: &str,
) -> (i64, i64) {
    let mut ready_of: BTreeMap<&str, bool> = BTreeMap::new();
    for deployment in deployments {
        let Some(name) = label(&deployment.metadata, owner) else { continue };
        let ready = tally.state(&deployment.name_any()) == Some(BundleState::Ready);
        let all = ready_of.entry(name).or_insert(true);
        *all &= ready;
    }
    let ready = ready_of.values().filter(|ready| **ready).count();
    (count(ready), count(ready_of.len()))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn liveness(world: &ClusterWorld<'_>) -> Liveness {
    let Some(last_seen) = world.cluster.last_seen() else { return Liveness::Never };
    match last_seen.0.checked_add(world.offline_after) {
        Ok(until) if until <= world.now => Liveness::Offline { since: last_seen.0 },
        Ok(until) => Liveness::Alive { until },
        Err(_) => Liveness::Alive { until: Timestamp::MAX },
    }
}

fn display_state(tally: &Tally<String>, liveness: Liveness) -> String {
    match liveness {
        Liveness::Never => "WaitCheckIn".to_owned(),
        Liveness::Offline { .. } => "Offline".to_owned(),
        Liveness::Alive { .. } => tally.worst().map(|state| state.to_string()).unwrap_or_default(),
    }
}

fn set_conditions(status: &mut ClusterStatus, world: &ClusterWorld<'_>, liveness: Liveness) {
    let now = time_text(world.now);
    let is_true = ConditionState::is_true();
    let imported = match world.import {
        ImportState::Failed(text) => ConditionState::error(text.as_str()),
        ImportState::Waiting(what) => ConditionState {
            status: None,
            reason: "Waiting".to_owned(),
            message: format!("waiting for {what}"),
        },
        _ => is_true.clone(),
    };
    let message = ready_message(&status.summary, "Bundle");
    let ready = match liveness {
        // What an agent reported before it went away is no news of today.
        Liveness::Offline { since } => ConditionState {
            status: Some(false),
            reason: "Offline".to_owned(),
            message: join(&format!("Offline: agent last seen {}", time_text(since)), &message),
        },
        _ if is_ready(&status.summary) => is_true.clone(),
        _ => ConditionState::is_false(message),
    };
    set_condition(&mut status.conditions, "Processed", &is_true, &now);
    set_condition(&mut status.conditions, "Imported", &imported, &now);
    set_condition(&mut status.conditions, "Reconciled", &is_true, &now);
    set_condition(&mut status.conditions, "Ready", &ready, &now);
}

fn join(first: &str, second: &str) -> String {
    if second.is_empty() { first.to_owned() } else { format!("{first}; {second}") }
}

/// When time alone changes the status: at the heartbeat that does not come.
pub fn next_look(world: &ClusterWorld<'_>) -> NextWake {
    match liveness(world) {
        Liveness::Alive { until } if until < Timestamp::MAX => wake_at(until, world.now),
        _ => NextWake::OnChange,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle_format::api::find_condition;

    const NOW: &str = "2026-11-21T12:00:00Z";

    fn cluster(last_seen: Option<&str>) -> Cluster {
        let mut cluster = Cluster::default();
        cluster.status.get_or_insert_default().agent.last_seen =
            last_seen.map(|text| text.parse::<Timestamp>().unwrap().into());
        cluster
    }

    fn deployment(name: &str, repo: &str, ready: bool) -> Arc<BundleDeployment> {
        let mut deployment = BundleDeployment::default();
        deployment.metadata.name = Some(name.into());
        deployment.labels_mut().insert(labels::REPO_NAME.into(), repo.into());
        deployment.spec.deployment_id = "c:o".into();
        deployment.spec.staged_deployment_id = "c:o".into();
        let status = deployment.status.get_or_insert_default();
        status.applied_deployment_id = "c:o".into();
        status.ready = ready;
        status.non_modified = true;
        Arc::new(deployment)
    }

    fn status_of(cluster: &Cluster, deployments: &[Arc<BundleDeployment>]) -> ClusterStatus {
        summarize_cluster(&ClusterWorld {
            cluster,
            namespace: "ns",
            deployments,
            import: &ImportState::NotOurs,
            offline_after: Duration::from_secs(45 * 60),
            now: NOW.parse().unwrap(),
        })
    }

    #[test]
    fn a_cluster_without_heartbeat_waits_for_its_agent() {
        assert_eq!(status_of(&cluster(None), &[]).display.state, "WaitCheckIn");
    }

    #[test]
    fn a_cluster_whose_agent_went_away_is_offline_and_not_ready() {
        let gone = cluster(Some("2026-11-21T11:00:00Z"));
        let status = status_of(&gone, &[deployment("a", "r", true)]);
        assert_eq!(status.display.state, "Offline");
        let ready = find_condition(&status.conditions, "Ready").unwrap();
        assert_eq!(ready.message, "Offline: agent last seen 2026-11-21T11:00:00Z");
    }

    #[test]
    fn a_git_repo_is_ready_on_a_cluster_when_all_of_it_is() {
        let alive = cluster(Some("2026-11-21T11:59:00Z"));
        let mixed = [
            deployment("a", "one", true),
            deployment("b", "one", false),
            deployment("c", "two", true),
        ];
        let status = status_of(&alive, &mixed);
        assert_eq!((status.ready_git_repos, status.desired_ready_git_repos), (1, 2));
        assert_eq!(status.display.ready_bundles, "2/3");
        assert_eq!(status.display.state, "NotReady");
        let ready = find_condition(&status.conditions, "Ready").unwrap();
        assert_eq!(ready.message, "NotReady(1) [Bundle b]");
    }

    #[test]
    fn a_status_that_says_the_same_is_equal() {
        let mut alive = cluster(Some("2026-11-21T11:59:00Z"));
        let first = status_of(&alive, &[deployment("a", "one", true)]);
        alive.status = Some(first.clone());
        assert_eq!(status_of(&alive, &[deployment("a", "one", true)]), first);
    }
}
