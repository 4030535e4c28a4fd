//! A cluster as the decisions see it.
//!
//! Owns the plain data that is taken from Cluster and ClusterGroup objects. Must not know bundles.
//! Start at [`ClusterView`].

use crate::api::cluster::Cluster;
use crate::api::cluster_group::ClusterGroup;
use crate::api::labels;
use crate::api::wire::Object;

use super::selector::{Labels, Selector, SelectorError};

/// A cluster: what targeting and templates look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterView {
    /// Name of the Cluster object.
    pub name: String,
    /// Namespace of the Cluster object.
    pub namespace: String,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// The ClusterGroups it is in, sorted by name.
    pub groups: Vec<GroupView>,
    /// `spec.templateValues`.
    pub template_values: Object,
    /// The namespace its BundleDeployments live in; `None` until the Cluster has one.
    pub cluster_namespace: Option<String>,
    /// `spec.paused`.
    pub is_paused: bool,
    /// A schedule applies and is not active now.
    pub is_off_schedule: bool,
}

/// A ClusterGroup that a cluster is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// Name.
    pub name: String,
    /// Labels of the group itself.
    pub labels: Labels,
}

/// Names a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterRef {
    /// Namespace of the Cluster object.
    pub namespace: String,
    /// Name of the Cluster object.
    pub name: String,
}

impl std::fmt::Display for ClusterRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl ClusterView {
    /// The view of a Cluster in these of its namespace's groups.
    pub fn of_cluster(cluster: &Cluster, groups: Vec<GroupView>) -> Self {
        let metadata = &cluster.metadata;
        let status = cluster.status.as_ref();
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            labels: metadata.labels.clone().unwrap_or_default(),
            annotations: metadata.annotations.clone().unwrap_or_default(),
            groups,
            template_values: cluster.spec.template_values.clone().unwrap_or_default(),
            cluster_namespace: cluster.cluster_namespace().map(str::to_owned),
            is_paused: cluster.spec.paused,
            is_off_schedule: status.is_some_and(|s| s.scheduled && !s.active_schedule),
        }
    }

    /// Names the cluster.
    pub fn cluster_ref(&self) -> ClusterRef {
        ClusterRef { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    pub(crate) fn sort_key(&self) -> (&str, &str) {
        (&self.name, &self.namespace)
    }

    /// True for the name of the object and for the display name Rancher gives it.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name
            || self.labels.get(labels::CLUSTER_DISPLAY_NAME).is_some_and(|n| n == name)
    }

    /// Each group in turn; once with `None` when there are none.
    pub(crate) fn through_groups(&self) -> impl Iterator<Item = Option<&GroupView>> {
        let nothing = self.groups.is_empty().then_some(None);
        self.groups.iter().map(Some).chain(nothing)
    }
}

/// A ClusterGroup with its selector compiled: for finding the groups of many clusters.
#[derive(Clone, Debug)]
pub struct GroupMatcher {
    namespace: String,
    selector: Option<Selector>,
    view: GroupView,
}

impl GroupMatcher {
    /// Compiles a group. A group without a selector holds no cluster, one with `{}` holds all of
    /// its namespace.
    ///
    /// # Errors
    /// A selector that Kubernetes would refuse.
    pub fn compile(group: &ClusterGroup) -> Result<Self, SelectorError> {
        let metadata = &group.metadata;
        Ok(Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            selector: group.spec.selector.as_ref().map(Selector::compile).transpose()?,
            view: GroupView {
                name: metadata.name.clone().unwrap_or_default(),
                labels: metadata.labels.clone().unwrap_or_default(),
            },
        })
    }

    /// The group.
    pub fn view(&self) -> &GroupView {
        &self.view
    }

    /// True when a cluster of that namespace with those labels is in the group.
    pub fn holds(&self, namespace: &str, labels: &Labels) -> bool {
        self.namespace == namespace
            && self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }
}

/// The groups that hold a cluster, sorted by name.
pub fn groups_of_cluster(groups: &[GroupMatcher], cluster: &Cluster) -> Vec<GroupView> {
    let namespace = cluster.metadata.namespace.as_deref().unwrap_or_default();
    let no_labels = Labels::new();
    let labels = cluster.metadata.labels.as_ref().unwrap_or(&no_labels);
    let mut held: Vec<GroupView> = groups
        .iter()
        .filter(|group| group.holds(namespace, labels))
        .map(|group| group.view.clone())
        .collect();
    held.sort_by(|a, b| a.name.cmp(&b.name));
    held
}
