//! Clusters in the order in which they get a new version.
//!
//! Owns manual and automatic partitions. Must not know what runs on the clusters. Start at
//! [`partition_targets`].

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::api::bundle::RolloutStrategy;
use crate::options::Target;
use crate::target::Criteria;

use super::RolloutError;
use super::budget::resolve_limit;

/// Targets from which on automatic partitions are made, unless the strategy says otherwise.
const AUTO_PARTITION_THRESHOLD: i64 = 200;

/// Name of the partition of the clusters that no partition of the strategy matches.
const OTHERS: &str = "Others";

/// Clusters that get a new version together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Name, for the status.
    pub name: String,
    /// Indices of its targets.
    pub members: Vec<usize>,
    /// How many of them may be unavailable at once.
    pub max_unavailable_count: usize,
}

impl Partition {
    /// True when a target is in the partition. Members are in ascending order.
    pub(super) fn holds(&self, target: usize) -> bool {
        self.members.binary_search(&target).is_ok()
    }
}

/// Splits targets into partitions.
///
/// Guarantees: every target is in at least one. Those that no manual partition matches come last
/// (Fleet 0.16 never rolls out to them: live finding 39).
///
/// # Errors
/// A limit or a selector that means nothing.
pub(super) fn partition_targets(
    strategy: &RolloutStrategy,
    targets: &[Target<'_>],
) -> Result<Vec<Partition>, RolloutError> {
    match strategy.partitions.is_empty() {
        true => automatic(strategy, targets.len()),
        false => manual(strategy, targets),
    }
}

fn manual(
    strategy: &RolloutStrategy,
    targets: &[Target<'_>],
) -> Result<Vec<Partition>, RolloutError> {
    let mut is_placed = vec![false; targets.len()];
    let mut partitions = Vec::new();
    for wanted in &strategy.partitions {
        let criteria = Criteria::compile(
            &wanted.cluster_name,
            wanted.cluster_selector.as_ref(),
            &wanted.cluster_group,
            wanted.cluster_group_selector.as_ref(),
        )?;
        let matching = targets.iter().enumerate();
        let members: Vec<usize> = matching
            .filter(|(_, target)| criteria.matches_cluster(target.cluster))
            .map(|(index, _)| index)
            .collect();
        for &member in &members {
            is_placed[member] = true;
        }
        let limit = wanted.max_unavailable.as_ref().or(strategy.max_unavailable.as_ref());
        partitions.push(partition(wanted.name.clone(), members, limit)?);
    }
    let others: Vec<usize> = (0..targets.len()).filter(|&index| !is_placed[index]).collect();
    if !others.is_empty() {
        partitions.push(partition(OTHERS.to_owned(), others, strategy.max_unavailable.as_ref())?);
    }
    Ok(partitions)
}

fn automatic(strategy: &RolloutStrategy, total: usize) -> Result<Vec<Partition>, RolloutError> {
    let limit = strategy.max_unavailable.as_ref();
    let threshold = strategy.auto_partition_threshold.unwrap_or(AUTO_PARTITION_THRESHOLD);
    let is_off = matches!(strategy.auto_partition_size, Some(IntOrString::Int(..=0)))
        || threshold <= 0
        || (total as i64) < threshold;
    if is_off {
        return Ok(vec![partition("All".to_owned(), (0..total).collect(), limit)?]);
    }
    let default_size = IntOrString::String("25%".to_owned());
    let size = strategy.auto_partition_size.as_ref().unwrap_or(&default_size);
    let size = resolve_limit(total, size, "autoPartitionSize")?.max(1);
    let starts = (0..total).step_by(size);
    starts
        .map(|start| {
            let end = total.min(start + size);
            partition(format!("Partition {start} - {end}"), (start..end).collect(), limit)
        })
        .collect()
}

fn partition(
    name: String,
    members: Vec<usize>,
    limit: Option<&IntOrString>,
) -> Result<Partition, RolloutError> {
    let all = IntOrString::String("100%".to_owned());
    let max_unavailable_count =
        resolve_limit(members.len(), limit.unwrap_or(&all), "maxUnavailable")?;
    Ok(Partition { name, members, max_unavailable_count })
}
