//! Which clusters a bundle may go to, and which customizations are theirs.
//!
//! Owns targets, restrictions and customizations. Must not know options, rollouts or how clusters
//! are cached. Start at [`match_targets`].

pub mod customize;
pub mod mapping;
pub mod selector;
pub mod view;

use crate::api::bundle::{Bundle, BundleSpec, BundleTarget};
use crate::api::labels;
use crate::api::names;
use crate::api::selector::LabelSelector;

use selector::{Labels, Selector, SelectorError};
pub use view::{ClusterRef, ClusterView, GroupView};

/// A cluster that a bundle goes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Match<'a> {
    /// The cluster.
    pub cluster: &'a ClusterView,
    /// Where its options come from.
    pub choice: Choice,
}

/// Which of a bundle's targets give a cluster its options. Clusters with equal choices share all
/// options but templated values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    /// Index into `spec.targets` of the target that selected the cluster.
    pub target: usize,
    /// Indices into `spec.targets` of the customizations that apply, in order.
    pub customizations: Vec<usize>,
}

/// What a bundle means for one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Goes there, with these options.
    Deploy(Choice),
    /// Not selected by any target, or kept out by the restrictions.
    NotSelected,
    /// Selected, but the target of that name says `doNotDeploy`.
    DoNotDeploy {
        /// Name of the target or customization.
        target: String,
    },
}

/// The clusters a bundle goes to, sorted by name, then namespace (Fleet 0.16).
///
/// Guarantees: the order of `clusters` does not matter.
///
/// # Errors
/// A selector of the bundle that Kubernetes would refuse.
// Budget: 10,000 clusters × 20 targets in one pass; selectors are compiled once per bundle.
pub fn match_targets<'a>(
    spec: &BundleSpec,
    clusters: impl IntoIterator<Item = &'a ClusterView>,
) -> Result<Vec<Match<'a>>, SelectorError> {
    let matcher = TargetMatcher::compile(spec)?;
    let mut matches: Vec<Match<'a>> = clusters
        .into_iter()
        .filter_map(|cluster| match matcher.match_cluster(cluster) {
            Verdict::Deploy(choice) => Some(Match { cluster, choice }),
            Verdict::NotSelected | Verdict::DoNotDeploy { .. } => None,
        })
        .collect();
    matches.sort_by(|a, b| a.cluster.sort_key().cmp(&b.cluster.sort_key()));
    Ok(matches)
}

/// The targets of one bundle, compiled: for a pass over all clusters, or for one that changed.
#[derive(Clone, Debug)]
pub struct TargetMatcher {
    criteria: Vec<Criteria>,
    restrictions: Vec<Criteria>,
    do_not_deploy: Vec<Option<String>>,
    first_real: usize,
    mode: customize::Mode,
}

impl TargetMatcher {
    /// Compiles the targets of a bundle.
    ///
    /// # Errors
    /// A selector that Kubernetes would refuse.
    pub fn compile(spec: &BundleSpec) -> Result<Self, SelectorError> {
        let criteria = spec.targets.iter().map(Criteria::of_target).collect::<Result<_, _>>()?;
        let restrictions = spec.target_restrictions.iter().map(|restriction| {
            Criteria::compile(
                &restriction.cluster_name,
                restriction.cluster_selector.as_ref(),
                &restriction.cluster_group,
                restriction.cluster_group_selector.as_ref(),
            )
        });
        let refusals = spec.targets.iter().map(|t| t.do_not_deploy.then(|| t.name.clone()));
        Ok(Self {
            criteria,
            restrictions: restrictions.collect::<Result<_, _>>()?,
            do_not_deploy: refusals.collect(),
            first_real: spec.customizations().len(),
            mode: customize::Mode::of_spec(spec),
        })
    }

    /// What the bundle means for one cluster.
    ///
    /// A target and a restriction must match through the same one of the cluster's groups
    /// (Fleet 0.16).
    pub fn match_cluster(&self, cluster: &ClusterView) -> Verdict {
        let real = self.first_real..self.criteria.len();
        let selected = real.into_iter().find(|&index| {
            cluster.through_groups().any(|group| {
                self.is_allowed(cluster, group) && self.criteria[index].matches(cluster, group)
            })
        });
        let Some(target) = selected else { return Verdict::NotSelected };
        let customizations = self.mode.choose((0..self.first_real).filter(|&index| {
            cluster.through_groups().any(|group| self.criteria[index].matches(cluster, group))
        }));
        let mut involved = std::iter::once(&target).chain(&customizations);
        match involved.find_map(|&index| self.do_not_deploy[index].as_ref()) {
            Some(target) => Verdict::DoNotDeploy { target: target.clone() },
            None => Verdict::Deploy(Choice { target, customizations }),
        }
    }

    fn is_allowed(&self, cluster: &ClusterView, group: Option<&GroupView>) -> bool {
        self.restrictions.is_empty()
            || self.restrictions.iter().any(|criteria| criteria.matches(cluster, group))
    }
}

/// Which clusters one target means. All criteria must hold; without any it means none.
#[derive(Clone, Debug)]
pub struct Criteria {
    name: String,
    selector: Option<Selector>,
    group: String,
    group_selector: Option<Selector>,
}

impl Criteria {
    /// Compiles the four fields that every kind of target has.
    ///
    /// # Errors
    /// A selector that Kubernetes would refuse.
    pub fn compile(
        name: &str,
        selector: Option<&LabelSelector>,
        group: &str,
        group_selector: Option<&LabelSelector>,
    ) -> Result<Self, SelectorError> {
        Ok(Self {
            name: name.to_owned(),
            selector: selector.map(Selector::compile).transpose()?,
            group: group.to_owned(),
            group_selector: group_selector.map(Selector::compile).transpose()?,
        })
    }

    fn of_target(target: &BundleTarget) -> Result<Self, SelectorError> {
        Self::compile(
            &target.cluster_name,
            target.cluster_selector.as_ref(),
            &target.cluster_group,
            target.cluster_group_selector.as_ref(),
        )
    }

    /// True when the cluster is meant, through any of its groups.
    pub fn matches_cluster(&self, cluster: &ClusterView) -> bool {
        cluster.through_groups().any(|group| self.matches(cluster, group))
    }

    fn matches(&self, cluster: &ClusterView, group: Option<&GroupView>) -> bool {
        let has_any = !self.name.is_empty()
            || self.selector.is_some()
            || !self.group.is_empty()
            || self.group_selector.is_some();
        // A cluster without groups is looked at as if it were in one without name and labels.
        static NO_LABELS: Labels = Labels::new();
        let (group_name, group_labels) =
            group.map_or(("", &NO_LABELS), |group| (group.name.as_str(), &group.labels));
        has_any
            && (self.name.is_empty() || cluster.is_called(&self.name))
            && (self.group.is_empty() || self.group == group_name)
            && self.selector.as_ref().is_none_or(|selector| selector.matches(&cluster.labels))
            && self.group_selector.as_ref().is_none_or(|selector| selector.matches(group_labels))
    }
}

/// True when a bundle may go to a cluster at all: the bundle of an agent goes to its own only.
pub fn is_candidate(bundle: &Bundle, cluster: &ClusterView) -> bool {
    let annotations = bundle.metadata.annotations.as_ref();
    let set_id = annotations.and_then(|map| map.get(labels::OBJECT_SET_ID));
    if set_id.map(String::as_str) != Some(labels::MANAGE_AGENT_SET_ID) {
        return true;
    }
    let name = bundle.metadata.name.as_deref().unwrap_or_default();
    name == names::agent_bundle(&cluster.name)
}

#[cfg(test)]
mod tests;
