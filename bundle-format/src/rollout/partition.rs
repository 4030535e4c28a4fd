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

/// Name of the partition of all clusters.
const ALL: &str = "All";

/// Clusters that get a new version together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Name, for the status.
    pub name: String,
    /// Holds the clusters that the strategy names in no partition: it waits for all the others.
    pub is_rest: bool,
    /// Indices of its targets, ascending.
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
/// Guarantees: every target is in at least one. Those that no manual partition matches come last,
/// partitioned automatically (Fleet 0.16 never rolls out to them, whatever its documentation says:
/// live finding 39).
///
/// # Errors
/// A limit or a selector that means nothing.
pub(super) fn partition_targets(
    strategy: &RolloutStrategy,
    targets: &[Target<'_>],
) -> Result<Vec<Partition>, RolloutError> {
    match strategy.partitions.is_empty() {
        true => automatic(strategy, &(0..targets.len()).collect::<Vec<_>>(), ALL),
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
        let rest = automatic(strategy, &others, OTHERS)?;
        partitions.extend(rest.into_iter().map(|rest| Partition { is_rest: true, ..rest }));
    }
    Ok(partitions)
}

/// Chunks of targets, or one partition called `whole` when there are too few to cut.
fn automatic(
    strategy: &RolloutStrategy,
    members: &[usize],
    whole: &str,
) -> Result<Vec<Partition>, RolloutError> {
    let limit = strategy.max_unavailable.as_ref();
    let threshold = strategy.auto_partition_threshold.unwrap_or(AUTO_PARTITION_THRESHOLD);
    let is_off = matches!(strategy.auto_partition_size, Some(IntOrString::Int(..=0)))
        || threshold <= 0
        || (members.len() as i64) < threshold;
    if is_off {
        return Ok(vec![partition(whole.to_owned(), members.to_vec(), limit)?]);
    }
    let default_size = IntOrString::String("25%".to_owned());
    let size = strategy.auto_partition_size.as_ref().unwrap_or(&default_size);
    let size = resolve_limit(members.len(), size, "autoPartitionSize")?.max(1);
    let prefix = if whole == ALL { "Partition" } else { whole };
    let chunks = members.chunks(size).enumerate();
    chunks
        .map(|(index, chunk)| {
            let start = index * size;
            let name = format!("{prefix} {start} - {}", start + chunk.len());
            partition(name, chunk.to_vec(), limit)
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
    Ok(Partition { name, is_rest: false, members, max_unavailable_count })
}
