//! Which clusters move to their new version now.
//!
//! Owns partitions, budgets and gates (Fleet 0.16, fleet-flow 3.5). Must not know clients, clocks or
//! object names. Start at [`plan_rollout`].

mod budget;
mod gate;
mod partition;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::api::bundle::RolloutStrategy;
use crate::api::bundle_deployment::BundleDeployment;
use crate::error::{Classify, ErrorClass};
use crate::options::Target;
use crate::target::selector::SelectorError;

pub use budget::LimitError;
pub use gate::Gate;
pub use partition::Partition;

use budget::resolve_limit;
use partition::partition_targets;

/// BundleDeployments created in one pass, unless the strategy says otherwise.
const MAX_NEW: i64 = 50;

/// A strategy that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// A limit that is neither a number nor a percentage.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A selector of a partition that Kubernetes would refuse.
    #[error(transparent)]
    Selector(#[from] SelectorError),
}

impl Classify for RolloutError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// What happens to one target in this pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Create its BundleDeployment.
    pub create: bool,
    /// Write the new version as the staged one.
    pub stage: bool,
    /// Make the staged version the one that runs.
    pub promote: bool,
    /// Copy the drift rules alone: they are not part of the id.
    pub sync_diff: bool,
    /// What keeps it from its new version.
    pub held_by: Option<Gate>,
}

/// One partition and how it stands after this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionPlan {
    /// The partition.
    pub partition: Partition,
    /// Members that are not available with the version they shall have.
    pub unavailable_count: usize,
}

/// What happens in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutPlan {
    /// One step per target, in their order.
    pub steps: Vec<Step>,
    /// The partitions, in order.
    pub partitions: Vec<PartitionPlan>,
    /// BundleDeployments created.
    pub newly_created_count: usize,
    /// Clusters that are unavailable once the plan is carried out.
    pub unavailable_count: usize,
    /// How many may be.
    pub max_unavailable_count: usize,
    /// Partitions over their limit.
    pub unavailable_partition_count: usize,
    /// How many may be.
    pub max_unavailable_partition_count: usize,
    /// When to plan again although nothing changed: at once when `maxNew` cut this pass short.
    pub next_wake: Option<Timestamp>,
}

impl RolloutPlan {
    /// Indices of the targets that move now.
    pub fn promoted(&self) -> impl Iterator<Item = usize> {
        self.steps.iter().enumerate().filter(|(_, step)| step.promote).map(|(index, _)| index)
    }
}

/// Decides which targets move to their new version.
///
/// Targets must be in their order (by cluster name). A cluster counts as unavailable from the
/// moment it is promoted until its agent reports the version ready. New clusters count too, so a
/// first rollout keeps to `maxUnavailable` (Fleet 0.16 does not: live finding 40).
///
/// Guarantees (invariant `budget-kept`): after the plan no more targets are unavailable than
/// allowed, or than were before.
///
/// # Errors
/// A strategy that means nothing.
pub fn plan_rollout(
    strategy: &RolloutStrategy,
    targets: &[Target<'_>],
    now: Timestamp,
) -> Result<RolloutPlan, RolloutError> {
    let all = IntOrString::String("100%".to_owned());
    let none = IntOrString::Int(0);
    let partitions = partition_targets(strategy, targets)?;
    let limit = strategy.max_unavailable.as_ref().unwrap_or(&all);
    let partition_limit = strategy.max_unavailable_partitions.as_ref().unwrap_or(&none);
    let count_unavailable = |partition: &Partition| {
        partition.members.iter().filter(|&&member| is_unavailable(&targets[member])).count()
    };
    let mut planner = Planner {
        targets,
        unavailable_counts: partitions.iter().map(count_unavailable).collect(),
        max_new_count: usize::try_from(strategy.max_new.unwrap_or(MAX_NEW)).unwrap_or(0),
        plan: RolloutPlan {
            steps: vec![Step::default(); targets.len()],
            newly_created_count: 0,
            unavailable_count: targets.iter().filter(|target| is_unavailable(target)).count(),
            max_unavailable_count: resolve_limit(targets.len(), limit, "maxUnavailable")?,
            unavailable_partition_count: 0,
            max_unavailable_partition_count: resolve_limit(
                partitions.len(),
                partition_limit,
                "maxUnavailablePartitions",
            )?,
            partitions: Vec::new(),
            next_wake: None,
        },
        partitions,
    };
    planner.run();
    let standing: Vec<PartitionPlan> = planner
        .partitions
        .iter()
        .map(|partition| PartitionPlan {
            unavailable_count: planner.count_not_done(partition),
            partition: partition.clone(),
        })
        .collect();
    planner.plan.partitions = standing;
    let is_cut_short = |step: &Step| matches!(step.held_by, Some(Gate::MaxNew { .. }));
    if planner.max_new_count > 0 && planner.plan.steps.iter().any(is_cut_short) {
        planner.plan.next_wake = Some(now);
    }
    Ok(planner.plan)
}

struct Planner<'p, 't> {
    targets: &'p [Target<'t>],
    partitions: Vec<Partition>,
    /// Per partition: members that are unavailable now or, being promoted, will be.
    unavailable_counts: Vec<usize>,
    max_new_count: usize,
    plan: RolloutPlan,
}

impl Planner<'_, '_> {
    fn run(&mut self) {
        let mut blocked_by: Option<String> = None;
        for index in 0..self.partitions.len() {
            let members = self.partitions[index].members.clone();
            if blocked_by.is_none() && self.partitions[index].is_rest {
                blocked_by = self.partition_held_back(index);
            }
            if let Some(earlier) = &blocked_by {
                members.iter().for_each(|&member| self.hold_back(member, earlier));
                continue;
            }
            members.iter().for_each(|&member| self.stage(member));
            members.iter().for_each(|&member| self.promote(member));
            let partition = &self.partitions[index];
            if self.count_not_done(partition) > partition.max_unavailable_count {
                self.plan.unavailable_partition_count += 1;
            }
            if self.plan.unavailable_partition_count > self.plan.max_unavailable_partition_count {
                blocked_by = Some(partition.name.clone());
            }
        }
    }

    /// The first partition before this one in which somebody is held back. Clusters that no
    /// partition names get the version only when all that one names have got it.
    fn partition_held_back(&self, index: usize) -> Option<String> {
        let named = self.partitions[..index].iter().filter(|partition| !partition.is_rest);
        let held = |&&member: &&usize| self.plan.steps[member].held_by.is_some();
        let mut holding = named.filter(|partition| partition.members.iter().any(|m| held(&m)));
        holding.next().map(|partition| partition.name.clone())
    }

    fn hold_back(&mut self, member: usize, earlier: &str) {
        let target = &self.targets[member];
        let step = &mut self.plan.steps[member];
        if !step.stage && deployed_id(target) != target.deployment_id.to_string() {
            step.held_by = Some(Gate::EarlierPartition { partition: earlier.to_owned() });
        }
    }

    fn stage(&mut self, member: usize) {
        let target = &self.targets[member];
        let step = &mut self.plan.steps[member];
        if target.cluster.cluster_namespace.is_none() {
            step.held_by = Some(Gate::NoNamespace);
            return;
        }
        if target.deployment.is_none() && !step.create {
            if self.plan.newly_created_count >= self.max_new_count {
                step.held_by = Some(Gate::MaxNew { allowed_count: self.max_new_count });
                return;
            }
            self.plan.newly_created_count += 1;
            step.create = true;
        }
        step.stage = true;
    }

    /// Promotes a member if nothing holds it; counts it as unavailable from here on.
    fn promote(&mut self, member: usize) {
        let target = &self.targets[member];
        let step = &mut self.plan.steps[member];
        if !step.stage || step.promote {
            return;
        }
        if deployed_id(target) == target.deployment_id.to_string() {
            step.sync_diff = !target.is_paused && has_other_diff(target);
            return;
        }
        if target.is_paused {
            step.held_by = Some(Gate::Paused);
            return;
        }
        if !is_unavailable(target) {
            if let Some(gate) = self.budget_gate(member) {
                self.plan.steps[member].held_by = Some(gate);
                return;
            }
            self.plan.unavailable_count += 1;
            for (partition, count) in self.partitions.iter().zip(&mut self.unavailable_counts) {
                *count += usize::from(partition.holds(member));
            }
        }
        let step = &mut self.plan.steps[member];
        step.promote = true;
        step.held_by = None;
    }

    /// The budget that is used up: the bundle's, or that of any partition the member is in.
    fn budget_gate(&self, member: usize) -> Option<Gate> {
        let plan = &self.plan;
        if plan.unavailable_count >= plan.max_unavailable_count {
            return Some(Gate::Budget {
                allowed_count: plan.max_unavailable_count,
                unavailable_count: plan.unavailable_count,
            });
        }
        let mut budgets = self.partitions.iter().zip(&self.unavailable_counts);
        let (partition, &unavailable_count) = budgets.find(|(partition, count)| {
            **count >= partition.max_unavailable_count && partition.holds(member)
        })?;
        Some(Gate::PartitionBudget {
            partition: partition.name.clone(),
            allowed_count: partition.max_unavailable_count,
            unavailable_count,
        })
    }

    fn count_not_done(&self, partition: &Partition) -> usize {
        partition.members.iter().filter(|&&member| !self.is_done(member)).count()
    }

    /// True when the member runs the version it shall have, and well.
    fn is_done(&self, member: usize) -> bool {
        let target = &self.targets[member];
        let wanted = target.deployment_id.to_string();
        let Some(deployment) = target.deployment else { return false };
        let applied = deployment.status.as_ref().map(|status| &status.applied_deployment_id);
        deployment.spec.deployment_id == wanted
            && applied == Some(&wanted)
            && !is_unavailable(target)
    }
}

fn deployed_id<'a>(target: &Target<'a>) -> &'a str {
    target.deployment.map_or("", |deployment| deployment.spec.deployment_id.as_str())
}

/// True when something was promoted and is not running well. What was only staged so far runs
/// nothing, so it does not count.
fn is_unavailable(target: &Target<'_>) -> bool {
    let Some(deployment) = target.deployment else { return false };
    !deployment.spec.deployment_id.is_empty() && !is_available(deployment)
}

fn is_available(deployment: &BundleDeployment) -> bool {
    deployment.status.as_ref().is_some_and(|status| {
        status.ready && status.applied_deployment_id == deployment.spec.deployment_id
    })
}

fn has_other_diff(target: &Target<'_>) -> bool {
    target.deployment.is_some_and(|deployment| deployment.spec.options.diff != target.options.diff)
}

#[cfg(test)]
mod tests;
