//! ClusterGroups: members and what they add up to.
//!
//! Owns the status of a group. Start at [`summarize_group`].

use std::sync::Arc;

use bundle_format::api::{
    BundleSummary, Cluster, ClusterGroup, ClusterGroupDisplay, ClusterGroupStatus, ClusterStatus,
    ConditionState, ResourceCounts, set_condition,
};
use bundle_format::summary::resources::add_counts;
use bundle_format::summary::{add_summary, is_ready, ready_message, worst_state};
use bundle_format::target::view::GroupMatcher;
use kube::{Api, ResourceExt};
use runtime::status::{StatusWrite, patch_status};
use runtime::{NextWake, ObjectKey};

use crate::context::Context;
use crate::error::Error;

/// The most members that are listed by name.
const MAX_LISTED: usize = 10;

/// Whether two states of a Cluster are the same to the groups it is in.
pub fn says_same(old: &Cluster, new: &Cluster) -> bool {
    fn says(cluster: &Cluster) -> Option<(&BundleSummary, &ResourceCounts, bool)> {
        let status = cluster.status.as_ref()?;
        Some((&status.summary, &status.resource_counts, is_offline(status)))
    }
    says(old) == says(new)
}

fn is_offline(status: &ClusterStatus) -> bool {
    status.display.state == "Offline"
}

/// Brings the status of one group up to date.
pub async fn reconcile_group(ctx: &Context, key: &ObjectKey) -> Result<NextWake, Error> {
    let Some(group) = ctx.stores.groups.get(key) else { return Ok(NextWake::OnChange) };
    if group.metadata.deletion_timestamp.is_some() {
        return Ok(NextWake::OnChange);
    }
    let clusters = ctx.stores.clusters.list_in(&key.namespace);
    let after = summarize_group(&group, &clusters, &ctx.now_text());
    let before = serde_json::to_value(&group.status).unwrap_or_default();
    let after = serde_json::to_value(after).unwrap_or_default();
    let api: Api<ClusterGroup> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let write = StatusWrite { name: &key.name, resource_version: None, noise: &[] };
    patch_status(&api, &write, &before, &after).await?;
    Ok(NextWake::OnChange)
}

/// The status a group shall have; `clusters` are those of its namespace, by name.
fn summarize_group(
    group: &ClusterGroup,
    clusters: &[Arc<Cluster>],
    now: &str,
) -> ClusterGroupStatus {
    let held = group.status.clone().unwrap_or_default();
    let mut status = ClusterGroupStatus { conditions: held.conditions, ..Default::default() };
    let matcher = match GroupMatcher::compile(group) {
        Ok(matcher) => matcher,
        Err(error) => {
            let wrong = ConditionState::error(runtime::chain(&error));
            set_condition(&mut status.conditions, "Processed", &wrong, now);
            set_condition(&mut status.conditions, "Ready", &wrong, now);
            return status;
        }
    };
    let mut non_ready = Vec::new();
    for cluster in clusters {
        if !matcher.holds(&cluster.namespace().unwrap_or_default(), cluster.labels()) {
            continue;
        }
        status.cluster_count += 1;
        let Some(part) = &cluster.status else { continue };
        add_summary(&mut status.summary, &part.summary);
        add_counts(&mut status.resource_counts, &part.resource_counts);
        // A cluster whose agent went away says what was; that is not ready.
        if !is_ready(&part.summary) || is_offline(part) {
            status.non_ready_cluster_count += 1;
            non_ready.push(cluster.name_any());
        }
    }
    non_ready.truncate(MAX_LISTED);
    let ready_count = status.cluster_count - status.non_ready_cluster_count;
    let mut ready_clusters = format!("{ready_count}/{}", status.cluster_count);
    if !non_ready.is_empty() {
        ready_clusters += &format!(" ({})", non_ready.join(","));
    }
    status.display = ClusterGroupDisplay {
        ready_clusters,
        ready_bundles: format!("{}/{}", status.summary.ready, status.summary.desired_ready),
        state: worst_state(&status.summary).map(|state| state.to_string()).unwrap_or_default(),
    };
    status.non_ready_clusters = non_ready;
    let ready = match is_ready(&status.summary) {
        true => ConditionState::is_true(),
        false => ConditionState::is_false(ready_message(&status.summary, "Bundle")),
    };
    set_condition(&mut status.conditions, "Ready", &ready, now);
    set_condition(&mut status.conditions, "Processed", &ConditionState::is_true(), now);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle_format::api::LabelSelector;

    fn cluster(name: &str, ready: i64, desired_ready: i64) -> Arc<Cluster> {
        let mut cluster = Cluster::default();
        cluster.metadata.name = Some(name.into());
        cluster.status.get_or_insert_default().summary = BundleSummary {
            ready,
            desired_ready,
            not_ready: desired_ready - ready,
            ..Default::default()
        };
        Arc::new(cluster)
    }

    #[test]
    fn a_group_names_the_members_that_are_not_ready() {
        let mut group = ClusterGroup::default();
        group.spec.selector = Some(LabelSelector::default());
        let members = [cluster("a", 2, 2), cluster("b", 1, 2), cluster("c", 0, 1)];
        let status = summarize_group(&group, &members, "now");
        assert_eq!(status.display.ready_clusters, "1/3 (b,c)");
        assert_eq!(status.display.ready_bundles, "3/5");
        assert_eq!(status.display.state, "NotReady");
        assert_eq!((status.cluster_count, status.non_ready_cluster_count), (3, 2));
    }

    #[test]
    fn a_group_without_selector_has_no_members() {
        let status = summarize_group(&ClusterGroup::default(), &[cluster("a", 1, 1)], "now");
        assert_eq!(status.display.ready_clusters, "0/0");
    }
}
