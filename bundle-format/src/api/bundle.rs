//! Bundle: resources, and the clusters that get them.
//!
//! Owns the fields of the kind and those shared by everything that summarizes. Start at
//! [`BundleSpec`].

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::options::BundleDeploymentOptions;
use super::selector::LabelSelector;
use super::wire::nullable_bytes;

go_struct! {
    /// Resources and the clusters that get them.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "Bundle", namespaced,
        status = "BundleStatus", derive = "Default", derive = "PartialEq",
        // The root must not insist on `spec`: one object without it would fail a whole list.
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "BundleDeployments-Ready", type_ = "string", json_path = ".status.display.readyClusters"),
        printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message")
    )]
    pub struct BundleSpec {
        /// What a target can change, too.
        inline pub options: BundleDeploymentOptions,
        /// Stages changes without deploying them.
        pub paused: bool,
        /// How a new version spreads over the clusters.
        pub rollout_strategy: Option<RolloutStrategy>,
        /// The files.
        #[schemars(with = "Option<Vec<BundleResource>>")]
        pub resources: Vec<BundleResource>,
        /// How target customizations combine.
        #[schemars(with = "TargetCustomizationMode")]
        pub target_customization_mode: Option<TargetCustomizationMode>,
        /// First the customizations, then, as many as there are restrictions, the real targets.
        pub targets: Vec<BundleTarget>,
        /// Copy of the GitRepo's targets.
        pub target_restrictions: Vec<BundleTargetRestriction>,
        /// Bundles that must be in one of the accepted states on the cluster first.
        #[schemars(with = "Option<Vec<BundleRef>>")]
        pub depends_on: Vec<BundleRef>,
        /// Id of a manifest that is kept elsewhere. Set by the reader.
        #[schemars(with = "Option<String>")]
        pub contents_id: String,
        /// Marks a bundle made from a HelmOp. Set by the controller.
        pub helm_op_options: Option<BundleHelmOptions>,
        /// Hash of the Secret with the values. Set by the reader.
        pub values_hash: String,
    }
}

impl BundleSpec {
    /// The entries of `targets` that only customize; the rest are [`Self::real_targets`].
    pub fn customizations(&self) -> &[BundleTarget] {
        &self.targets[..self.first_real_target()]
    }

    /// The entries of `targets` that say which clusters get the bundle: as many as there are
    /// restrictions, counted from the end; all of them when there are no restrictions.
    pub fn real_targets(&self) -> &[BundleTarget] {
        &self.targets[self.first_real_target()..]
    }

    fn first_real_target(&self) -> usize {
        match self.target_restrictions.len() {
            0 => 0,
            restrictions => self.targets.len().saturating_sub(restrictions),
        }
    }
}

/// How target customizations combine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetCustomizationMode {
    /// The first that matches replaces the target's options.
    #[default]
    FirstMatch,
    /// All that match are merged in order.
    AllMatches,
}

go_struct! {
    /// How a new version spreads over the clusters.
    pub struct RolloutStrategy {
        /// Clusters that may be unavailable at once; number or percentage, 100 % when absent.
        pub max_unavailable: Option<IntOrString>,
        /// Partitions that may be unavailable at once; number or percentage, 0 when absent.
        pub max_unavailable_partitions: Option<IntOrString>,
        /// Size of automatic partitions; number or percentage, 25 % when absent.
        pub auto_partition_size: Option<IntOrString>,
        /// Clusters from which on automatic partitions are made; 200 when absent.
        pub auto_partition_threshold: Option<i64>,
        /// BundleDeployments created in one pass; 50 when absent.
        pub max_new: Option<i64>,
        /// Partitions by hand; they turn the automatic ones off.
        #[schemars(with = "Option<Vec<Partition>>")]
        pub partitions: Vec<Partition>,
    }
}

go_struct! {
    /// One step of a rollout.
    pub struct Partition {
        /// Name, for the status.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// Clusters of the partition that may be unavailable at once.
        #[schemars(with = "IntOrString")]
        pub max_unavailable: Option<IntOrString>,
        /// Matches a cluster by name.
        pub cluster_name: String,
        /// Matches clusters by label.
        #[schemars(with = "LabelSelector")]
        pub cluster_selector: Option<LabelSelector>,
        /// Matches the clusters of a group.
        pub cluster_group: String,
        /// Matches the clusters of groups, by the groups' labels.
        pub cluster_group_selector: Option<LabelSelector>,
    }
}

go_struct! {
    /// One file of a bundle.
    pub struct BundleResource {
        /// Path below the bundle's root.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// The file, encoded as `encoding` says.
        #[schemars(with = "Option<String>")]
        pub content: String,
        /// Empty for text, `base64+gz` otherwise.
        #[schemars(with = "Option<String>")]
        pub encoding: String,
    }
}

go_struct! {
    /// Clusters, and the options that are theirs.
    pub struct BundleTarget {
        /// What a target can change, too.
        inline pub options: BundleDeploymentOptions,
        /// Name; also the key of its values in the values Secret.
        pub name: String,
        /// Matches a cluster by name.
        #[schemars(with = "Option<String>")]
        pub cluster_name: String,
        /// Matches clusters by label.
        pub cluster_selector: Option<LabelSelector>,
        /// Matches the clusters of a group.
        #[schemars(with = "Option<String>")]
        pub cluster_group: String,
        /// Matches the clusters of groups, by the groups' labels.
        pub cluster_group_selector: Option<LabelSelector>,
        /// The matching clusters get nothing.
        pub do_not_deploy: bool,
        /// Labels for the namespace of the release. Beside the options, never merged into them.
        #[schemars(with = "Option<BTreeMap<String, String>>")]
        pub namespace_labels: BTreeMap<String, String>,
        /// Annotations for the namespace of the release. Never merged into the options.
        #[schemars(with = "Option<BTreeMap<String, String>>")]
        pub namespace_annotations: BTreeMap<String, String>,
    }
}

go_struct! {
    /// Clusters a bundle may go to at all.
    pub struct BundleTargetRestriction {
        /// Name.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// Matches a cluster by name.
        #[schemars(with = "Option<String>")]
        pub cluster_name: String,
        /// Matches clusters by label.
        pub cluster_selector: Option<LabelSelector>,
        /// Matches the clusters of a group.
        #[schemars(with = "Option<String>")]
        pub cluster_group: String,
        /// Matches the clusters of groups, by the groups' labels.
        pub cluster_group_selector: Option<LabelSelector>,
    }
}

go_struct! {
    /// Bundles that something depends on.
    pub struct BundleRef {
        /// Name of a bundle in the same namespace.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// Selects bundles by label.
        pub selector: Option<LabelSelector>,
        /// States that will do; `Ready` when empty.
        #[schemars(with = "Option<Vec<String>>")]
        pub accepted_states: Vec<String>,
    }
}

go_struct! {
    /// How the agent gets at the chart of a HelmOp.
    pub struct BundleHelmOptions {
        /// Name of the Secret with credentials.
        pub helm_op_secret_name: String,
        /// Skips the check of the server's certificate.
        #[serde(rename = "helmOpInsecureSkipTLSVerify")]
        pub helm_op_insecure_skip_tls_verify: bool,
        /// CA certificates, PEM.
        #[serde(rename = "helmOpCABundle")]
        #[schemars(schema_with = "nullable_bytes")]
        pub helm_op_ca_bundle: Option<k8s_openapi::ByteString>,
    }
}

go_struct! {
    /// What became of a bundle.
    pub struct BundleStatus {
        /// `Ready`.
        pub conditions: Vec<Condition>,
        /// States over all targets.
        always pub summary: BundleSummary,
        /// BundleDeployments created in the last pass.
        pub newly_created: i64,
        /// Clusters that are not available with the version they should have.
        always pub unavailable: i64,
        /// Partitions that passed their limit.
        always pub unavailable_partitions: i64,
        /// Clusters that may be unavailable at once.
        always pub max_unavailable: i64,
        /// Partitions that may be unavailable at once.
        always pub max_unavailable_partitions: i64,
        /// One entry per partition.
        pub partitions: Vec<PartitionStatus>,
        /// For `kubectl get`.
        always pub display: BundleDisplay,
        /// Never filled; kept because the reference has it.
        #[schemars(with = "Option<Vec<ResourceKey>>")]
        pub resource_key: Vec<ResourceKey>,
        /// Where the manifest lies when a registry keeps it.
        pub oci_reference: String,
        /// Generation this status is about.
        always pub observed_generation: i64,
        /// sha256 of the manifest.
        pub resources_sha256_sum: String,
    }
}

go_struct! {
    /// Never filled; kept because the reference has it.
    pub struct ResourceKey {
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
    }
}

go_struct! {
    /// For `kubectl get`.
    pub struct BundleDisplay {
        /// Clusters ready out of all, `x/y`.
        #[schemars(with = "Option<String>")]
        pub ready_clusters: String,
        /// Worst state; empty when all are ready.
        #[schemars(with = "Option<String>")]
        pub state: String,
    }
}

go_struct! {
    /// What became of one partition.
    pub struct PartitionStatus {
        /// Name.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// Clusters.
        pub count: i64,
        /// Clusters that may be unavailable at once.
        pub max_unavailable: i64,
        /// Clusters that are unavailable.
        pub unavailable: i64,
        /// States over its targets.
        always pub summary: BundleSummary,
    }
}

go_struct! {
    /// How many deployments are in which state.
    pub struct BundleSummary {
        /// Deployed, but not all objects are ready.
        pub not_ready: i64,
        /// The agent has not applied the version yet.
        pub wait_applied: i64,
        /// The agent could not apply the version.
        pub err_applied: i64,
        /// Staged, but held back.
        pub out_of_sync: i64,
        /// Objects differ from what was deployed.
        pub modified: i64,
        /// All is well.
        always pub ready: i64,
        /// No BundleDeployment yet.
        pub pending: i64,
        /// All.
        always pub desired_ready: i64,
        /// At most ten that are not ready.
        #[schemars(with = "Option<Vec<NonReadyResource>>")]
        pub non_ready_resources: Vec<NonReadyResource>,
    }
}

go_struct! {
    /// Something that is not ready, and why.
    pub struct NonReadyResource {
        /// Name.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// State.
        #[schemars(with = "Option<String>")]
        pub bundle_state: String,
        /// Why.
        #[schemars(with = "Option<String>")]
        pub message: String,
        /// Objects that differ from what was deployed.
        #[schemars(with = "Option<Vec<ModifiedStatus>>")]
        pub modified_status: Vec<ModifiedStatus>,
        /// Objects that are not ready.
        #[schemars(with = "Option<Vec<NonReadyStatus>>")]
        pub non_ready_status: Vec<NonReadyStatus>,
    }
}

go_struct! {
    /// An object that differs from what was deployed.
    pub struct ModifiedStatus {
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
        /// The object is missing, or (with `exist`) not ours.
        pub missing: bool,
        /// The object exists.
        pub exist: bool,
        /// The object should not exist.
        pub delete: bool,
        /// Merge patch from what is to what should be.
        #[schemars(with = "Option<String>")]
        pub patch: String,
    }
}

go_struct! {
    /// An object that is not ready.
    pub struct NonReadyStatus {
        /// UID.
        #[schemars(with = "Option<String>")]
        pub uid: String,
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
        /// Why.
        always pub summary: StateSummary,
    }
}

go_struct! {
    /// The state of one object in words.
    pub struct StateSummary {
        /// One word.
        pub state: String,
        /// It will not get better by itself.
        pub error: bool,
        /// It is on its way.
        pub transitioning: bool,
        /// Details.
        pub message: Vec<String>,
    }
}

go_struct! {
    /// How many objects are in which state.
    pub struct ResourceCounts {
        /// All is well.
        always pub ready: i64,
        /// All.
        always pub desired_ready: i64,
        /// Not applied yet.
        always pub wait_applied: i64,
        /// Different from what was deployed.
        always pub modified: i64,
        /// There, but should not be.
        always pub orphaned: i64,
        /// Not there.
        always pub missing: i64,
        /// Nobody knows.
        always pub unknown: i64,
        /// There, not ready.
        always pub not_ready: i64,
    }
}

go_struct! {
    /// One object over all clusters.
    pub struct Resource {
        /// API version.
        #[schemars(with = "Option<String>")]
        pub api_version: String,
        /// Kind.
        #[schemars(with = "Option<String>")]
        pub kind: String,
        /// `<group>.<kind>` in lower case.
        #[serde(rename = "type")]
        pub type_: String,
        /// `<namespace>/<name>`.
        #[schemars(with = "Option<String>")]
        pub id: String,
        /// Namespace.
        #[schemars(with = "Option<String>")]
        pub namespace: String,
        /// Name.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// Lists were cut, the state may be wrong.
        pub incomplete_state: bool,
        /// `Ready`, or the state of the first cluster where it is not.
        pub state: String,
        /// Never filled; kept because the reference has it.
        pub error: bool,
        /// Never filled; kept because the reference has it.
        pub transitioning: bool,
        /// Never filled; kept because the reference has it.
        #[schemars(with = "Option<String>")]
        pub message: String,
        /// Which clusters are in which state.
        #[schemars(with = "Option<PerClusterState>")]
        always pub per_cluster_state: PerClusterState,
    }
}

go_struct! {
    /// Clusters (`<namespace>/<name>`) by the state of one object there.
    pub struct PerClusterState {
        /// Ready there.
        pub ready: Vec<String>,
        /// Not applied there yet.
        pub wait_applied: Vec<String>,
        /// Not rolled out there yet.
        pub pending: Vec<String>,
        /// Different there.
        pub modified: Vec<String>,
        /// Left over there.
        pub orphaned: Vec<String>,
        /// Missing there.
        pub missing: Vec<String>,
        /// Unknown there.
        pub unknown: Vec<String>,
        /// Not ready there.
        pub not_ready: Vec<String>,
    }
}
