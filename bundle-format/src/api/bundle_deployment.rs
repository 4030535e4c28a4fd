//! BundleDeployment: one bundle on one cluster; written by the hub, reported on by the agent.
//!
//! Owns the fields of the kind. Start at [`BundleDeploymentSpec`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;

use super::bundle::{BundleHelmOptions, BundleRef, ModifiedStatus, NonReadyStatus, ResourceCounts};
use super::condition::Condition;
use super::options::{BundleDeploymentOptions, CorrectDrift};

go_struct! {
    /// What one cluster shall run of one bundle.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "BundleDeployment", namespaced,
        status = "BundleDeploymentStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "Deployed", type_ = "string", json_path = ".status.display.deployed"),
        printcolumn(name = "Monitored", type_ = "string", json_path = ".status.display.monitored"),
        printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message")
    )]
    pub struct BundleDeploymentSpec {
        /// The bundle or the cluster is paused: the agent leaves everything as it is.
        pub paused: bool,
        /// Options of the wanted version, without values.
        #[schemars(with = "BundleDeploymentOptions")]
        always pub staged_options: BundleDeploymentOptions,
        /// The wanted version.
        #[schemars(with = "Option<String>")]
        #[serde(rename = "stagedDeploymentID")]
        pub staged_deployment_id: String,
        /// Options of the version to run, without values.
        always pub options: BundleDeploymentOptions,
        /// The version to run.
        #[schemars(with = "Option<String>")]
        #[serde(rename = "deploymentID")]
        pub deployment_id: String,
        /// Bundles that must be in an accepted state first.
        #[schemars(with = "Option<Vec<BundleRef>>")]
        pub depends_on: Vec<BundleRef>,
        /// Whether and how drift is repaired.
        #[schemars(with = "CorrectDrift")]
        pub correct_drift: Option<CorrectDrift>,
        /// The content lies in a registry.
        pub oci_contents: bool,
        /// The agent fetches the chart itself.
        #[schemars(with = "BundleHelmOptions")]
        pub helm_chart_options: Option<BundleHelmOptions>,
        /// Hash of the Secret with the values.
        #[schemars(with = "Option<String>")]
        pub values_hash: String,
        /// A new number copies the downstream resources again.
        pub downstream_resources_generation: i64,
        /// Outside the cluster's schedule: the agent leaves everything as it is.
        pub off_schedule: bool,
        /// The Secret with the values is missing: the agent leaves everything as it is.
        pub waiting_for_values: bool,
    }
}

go_struct! {
    /// What the agent found and did.
    pub struct BundleDeploymentStatus {
        /// `Installed`, `Deployed`, `Monitored`, `Ready`.
        #[schemars(with = "Option<Vec<Condition>>")]
        pub conditions: Vec<Condition>,
        /// The version last applied.
        #[schemars(with = "Option<String>")]
        #[serde(rename = "appliedDeploymentID")]
        pub applied_deployment_id: String,
        /// `<namespace>/<name>:<revision>` of the release.
        #[schemars(with = "Option<String>")]
        pub release: String,
        /// All objects are ready.
        pub ready: bool,
        /// No object differs from what was deployed.
        pub non_modified: bool,
        /// At most ten objects that are not ready.
        #[schemars(with = "Option<Vec<NonReadyStatus>>")]
        pub non_ready_status: Vec<NonReadyStatus>,
        /// At most ten objects that differ from what was deployed.
        #[schemars(with = "Option<Vec<ModifiedStatus>>")]
        pub modified_status: Vec<ModifiedStatus>,
        /// The lists above were cut.
        pub incomplete_state: bool,
        /// For `kubectl get`.
        #[schemars(with = "Option<BundleDeploymentDisplay>")]
        always pub display: BundleDeploymentDisplay,
        /// The forceSyncGeneration last acted on.
        pub sync_generation: Option<i64>,
        /// Objects that were deployed.
        #[schemars(with = "Option<Vec<BundleDeploymentResource>>")]
        pub resources: Vec<BundleDeploymentResource>,
        /// How many objects are in which state.
        always pub resource_counts: ResourceCounts,
        /// The downstreamResourcesGeneration last acted on.
        pub downstream_resources_generation: i64,
    }
}

go_struct! {
    /// For `kubectl get`.
    pub struct BundleDeploymentDisplay {
        /// The condition `Deployed` in a word.
        #[schemars(with = "Option<String>")]
        pub deployed: String,
        /// The condition `Monitored` in a word.
        #[schemars(with = "Option<String>")]
        pub monitored: String,
        /// State.
        #[schemars(with = "Option<String>")]
        pub state: String,
    }
}

go_struct! {
    /// An object that was deployed.
    pub struct BundleDeploymentResource {
        /// Kind.
        #[schemars(with = "Option<String>")]
        pub kind: String,
        /// API version.
        #[schemars(with = "Option<String>")]
        pub api_version: String,
        /// Namespace.
        #[schemars(with = "Option<String>")]
        pub namespace: String,
        /// Name.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// When it was made.
        pub created_at: Option<Time>,
    }
}
