//! HelmOp: a chart and the clusters that get it, without git.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;

use super::bundle::{BundleSpec, BundleSummary, Resource, ResourceCounts};
use super::condition::Condition;
use super::git_repo::GitRepoDisplay;
use super::wire::GoDuration;

go_struct! {
    /// A chart and the clusters that get it.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "HelmOp", plural = "helmops",
        namespaced, category = "fleet",
        status = "HelmOpStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "Repo", type_ = "string", json_path = ".spec.helm.repo"),
        printcolumn(name = "Chart", type_ = "string", json_path = ".spec.helm.chart"),
        printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
        printcolumn(name = "BundleDeployments-Ready", type_ = "string", json_path = ".status.display.readyBundleDeployments"),
        printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message")
    )]
    pub struct HelmOpSpec {
        /// Everything a Bundle may say.
        inline pub bundle: BundleSpec,
        /// Labels for the Bundle.
        #[schemars(with = "BTreeMap<String, String>")]
        pub labels: BTreeMap<String, String>,
        /// How often a version constraint is resolved again; never when unset.
        pub polling_interval: Option<GoDuration>,
        /// Name of the Secret with credentials for the chart's repository.
        #[schemars(with = "Option<String>")]
        pub helm_secret_name: String,
        /// Skips the check of the server's certificate.
        #[serde(rename = "insecureSkipTLSVerify")]
        pub insecure_skip_tls_verify: bool,
    }
}

go_struct! {
    /// What became of a chart.
    pub struct HelmOpStatus {
        /// Clusters where everything is ready.
        always pub ready_clusters: i64,
        /// Clusters.
        always pub desired_ready_clusters: i64,
        /// States over all deployments.
        always pub summary: BundleSummary,
        /// For `kubectl get`.
        always pub display: GitRepoDisplay,
        /// `Accepted`, `Polled`, `Ready`, `Reconciling`, `Stalled`.
        pub conditions: Vec<Condition>,
        /// Every object over all clusters.
        pub resources: Vec<Resource>,
        /// How many objects are in which state.
        always pub resource_counts: ResourceCounts,
        /// The same for each cluster.
        pub per_cluster_resource_counts: BTreeMap<String, ResourceCounts>,
        /// When the version was last resolved.
        #[schemars(with = "Time")]
        pub last_polling_triggered: Option<Time>,
        /// The resolved version of the chart.
        pub version: String,
    }
}
