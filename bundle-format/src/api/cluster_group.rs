//! ClusterGroup: clusters of one namespace, chosen by label.
//!
//! Owns the fields of the kind. Start at [`ClusterGroupSpec`].

use kube::CustomResource;

use super::bundle::{BundleSummary, ResourceCounts};
use super::condition::Condition;
use super::selector::LabelSelector;

go_struct! {
    /// Clusters of one namespace, chosen by label.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "ClusterGroup", namespaced,
        category = "fleet",
        status = "ClusterGroupStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "Clusters-Ready", type_ = "string", json_path = ".status.display.readyClusters"),
        printcolumn(name = "Bundles-Ready", type_ = "string", json_path = ".status.display.readyBundles"),
        printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message")
    )]
    pub struct ClusterGroupSpec {
        /// Labels of the members; absent means none, empty means all.
        pub selector: Option<LabelSelector>,
    }
}

go_struct! {
    /// What became of a group.
    pub struct ClusterGroupStatus {
        /// Members.
        always pub cluster_count: i64,
        /// Members that are not ready.
        always pub non_ready_cluster_count: i64,
        /// At most ten members that are not ready.
        #[schemars(with = "Option<Vec<String>>")]
        pub non_ready_clusters: Vec<String>,
        /// `Processed`, `Ready`.
        pub conditions: Vec<Condition>,
        /// States over all deployments.
        always pub summary: BundleSummary,
        /// For `kubectl get`.
        always pub display: ClusterGroupDisplay,
        /// How many objects are in which state.
        always pub resource_counts: ResourceCounts,
    }
}

go_struct! {
    /// For `kubectl get`.
    pub struct ClusterGroupDisplay {
        /// Clusters ready out of all, `x/y`, and those that are not.
        #[schemars(with = "Option<String>")]
        pub ready_clusters: String,
        /// Bundles ready out of all, `x/y`.
        #[schemars(with = "Option<String>")]
        pub ready_bundles: String,
        /// Worst state; empty when all are ready.
        #[schemars(with = "Option<String>")]
        pub state: String,
    }
}
