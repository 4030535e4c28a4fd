//! What of a cluster decides what a bundle does there.
//!
//! Owns the comparison of a cluster before and after a change: most changes of a label are nothing
//! to most bundles. Must not know how clusters are cached. Start at [`Footprint`].

use crate::api::bundle::Bundle;
use crate::api::selector::LabelSelector;
use crate::api::wire::Object;
use crate::options::values;
use crate::target::selector::Labels;
use crate::target::{Choice, ClusterView, Criteria, TargetMatcher, Verdict, is_candidate};

/// All that a bundle's plan takes from one cluster, its name and namespace left out.
///
/// Guarantees: a cluster that leaves the same footprint before and after a change gets the same
/// options, deployment id and partitions. The reverse does not hold: templates may not read the
/// label that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Footprint {
    choice: Choice,
    cluster_namespace: String,
    is_paused: bool,
    is_off_schedule: bool,
    /// Which partitions of the rollout name the cluster.
    partitions: Vec<bool>,
    values: ValueInputs,
}

/// What templates in values can see.
#[derive(Clone, Debug, PartialEq)]
enum ValueInputs {
    /// The cluster has no labels for templates: values are left alone.
    Unlabelled,
    /// It has, and there is no template that reads them.
    Labelled,
    /// There are templates.
    Templated(Box<TemplateInputs>),
}

#[derive(Clone, Debug, PartialEq)]
struct TemplateInputs {
    labels: Labels,
    annotations: Labels,
    template_values: Object,
}

/// What one bundle looks at in clusters, compiled.
#[derive(Clone, Debug)]
pub struct Interest {
    bundle: Bundle,
    /// `None` when a selector means nothing: then the bundle goes nowhere, whatever clusters do.
    matcher: Option<TargetMatcher>,
    partitions: Vec<Criteria>,
    looks_at_groups: bool,
    /// The bundle's own options have templates.
    is_templated: bool,
    /// The options of each target have.
    are_targets_templated: Vec<bool>,
}

impl Interest {
    /// Compiles what a bundle looks at. Its values must be in place.
    pub fn of_bundle(bundle: &Bundle) -> Self {
        let spec = &bundle.spec;
        let partitions = spec.rollout_strategy.iter().flat_map(|strategy| &strategy.partitions);
        // A partition that does not compile fails the plan: no cluster makes a difference then.
        let partitions = partitions.filter_map(|partition| {
            Criteria::compile(
                &partition.cluster_name,
                partition.cluster_selector.as_ref(),
                &partition.cluster_group,
                partition.cluster_group_selector.as_ref(),
            )
            .ok()
        });
        let targets = spec.targets.iter();
        Self {
            looks_at_groups: looks_at_groups(bundle),
            matcher: TargetMatcher::compile(spec).ok(),
            partitions: partitions.collect(),
            is_templated: values::may_need_cluster(&spec.options),
            are_targets_templated: targets
                .map(|target| values::may_need_cluster(&target.options))
                .collect(),
            bundle: named(bundle),
        }
    }

    /// What the bundle takes from a cluster; `None` when it does not go there.
    pub fn footprint(&self, cluster: &ClusterView) -> Option<Footprint> {
        let cluster_namespace = cluster.cluster_namespace.clone()?;
        if !is_candidate(&self.bundle, cluster) {
            return None;
        }
        let Verdict::Deploy(choice) = self.matcher.as_ref()?.match_cluster(cluster) else {
            return None;
        };
        let partitions = self.partitions.iter().map(|criteria| criteria.matches_cluster(cluster));
        Some(Footprint {
            partitions: partitions.collect(),
            values: self.value_inputs(&choice, cluster),
            choice,
            cluster_namespace,
            is_paused: cluster.is_paused,
            is_off_schedule: cluster.is_off_schedule,
        })
    }

    /// Whether a change of one cluster is anything to the bundle. `None`: the cluster is not there.
    pub fn is_touched(&self, old: Option<&ClusterView>, new: Option<&ClusterView>) -> bool {
        let footprint = |view: Option<&ClusterView>| view.and_then(|view| self.footprint(view));
        footprint(old) != footprint(new)
    }

    /// Whether ClusterGroups can make a difference at all.
    pub fn looks_at_groups(&self) -> bool {
        self.looks_at_groups
    }

    fn value_inputs(&self, choice: &Choice, cluster: &ClusterView) -> ValueInputs {
        let labels = values::template_labels(cluster);
        if labels.is_empty() {
            return ValueInputs::Unlabelled;
        }
        let mut involved = std::iter::once(&choice.target).chain(&choice.customizations);
        if !self.is_templated && !involved.any(|&index| self.are_targets_templated[index]) {
            return ValueInputs::Labelled;
        }
        ValueInputs::Templated(Box::new(TemplateInputs {
            labels,
            annotations: values::without_machine_keys(&cluster.annotations),
            template_values: cluster.template_values.clone(),
        }))
    }
}

fn looks_at_groups(bundle: &Bundle) -> bool {
    let spec = &bundle.spec;
    let asks =
        |group: &str, selector: Option<&LabelSelector>| !group.is_empty() || selector.is_some();
    let mut targets = spec.targets.iter();
    let mut restrictions = spec.target_restrictions.iter();
    let mut partitions = spec.rollout_strategy.iter().flat_map(|strategy| &strategy.partitions);
    targets.any(|one| asks(&one.cluster_group, one.cluster_group_selector.as_ref()))
        || restrictions.any(|one| asks(&one.cluster_group, one.cluster_group_selector.as_ref()))
        || partitions.any(|one| asks(&one.cluster_group, one.cluster_group_selector.as_ref()))
}

/// As much of a bundle as tells whether it is the one of an agent.
fn named(bundle: &Bundle) -> Bundle {
    let mut named = Bundle::default();
    named.metadata.name.clone_from(&bundle.metadata.name);
    named.metadata.annotations.clone_from(&bundle.metadata.annotations);
    named
}

#[cfg(test)]
mod tests;
