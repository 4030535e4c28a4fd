//! Cluster: a cluster that bundles can go to, and how its agent is run.
//!
//! Owns the fields of the kind. Start at [`ClusterSpec`].

use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, LocalObjectReference, ResourceRequirements, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;

use super::bundle::{BundleSummary, ResourceCounts};
use super::condition::Condition;
use super::wire::{GoDuration, Object, free_form_object, nullable_time};

go_struct! {
    /// A cluster that bundles can go to.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "Cluster", namespaced,
        status = "ClusterStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "Bundles-Ready", type_ = "string", json_path = ".status.display.readyBundles"),
        printcolumn(name = "Last-Seen", type_ = "string", json_path = ".status.agent.lastSeen"),
        printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message")
    )]
    pub struct ClusterSpec {
        /// Leaves everything on the cluster as it is.
        pub paused: bool,
        /// Identity under which the agent registers.
        #[serde(rename = "clientID")]
        #[schemars(with = "Option<String>")]
        pub client_id: String,
        /// Name of a Secret with a kubeconfig: the hub installs the agent itself.
        #[schemars(with = "Option<String>")]
        pub kube_config_secret: String,
        /// Namespace of that Secret; the cluster's own when empty.
        #[schemars(with = "Option<String>")]
        pub kube_config_secret_namespace: String,
        /// A new number installs the agent again.
        pub redeploy_agent_generation: i64,
        /// Environment variables for the agent.
        #[schemars(with = "Option<Vec<EnvVar>>")]
        pub agent_env_vars: Vec<EnvVar>,
        /// Namespace of the agent.
        #[schemars(with = "Option<String>")]
        pub agent_namespace: String,
        /// Registry from which the agent's image is pulled.
        #[serde(rename = "privateRepoURL")]
        #[schemars(with = "Option<String>")]
        pub private_repo_url: String,
        /// `ClusterValues` in templates.
        #[schemars(schema_with = "free_form_object")]
        pub template_values: Option<Object>,
        /// Tolerations of the agent, beside the usual ones.
        #[schemars(with = "Option<Vec<Toleration>>")]
        pub agent_tolerations: Vec<Toleration>,
        /// Affinity of the agent, instead of the usual one.
        pub agent_affinity: Option<Affinity>,
        /// Resources of the agent's container.
        pub agent_resources: Option<ResourceRequirements>,
        /// Runs the agent in the network of its node.
        pub host_network: Option<bool>,
        /// Priority and disruption budget of the agent.
        pub agent_scheduling_customization: Option<AgentSchedulingCustomization>,
        /// Pull Secrets of the agent; those of the chart when absent.
        pub agent_pull_secrets: Option<Vec<LocalObjectReference>>,
    }
}

impl Cluster {
    /// The namespace that holds the cluster's BundleDeployments, once there is one.
    pub fn cluster_namespace(&self) -> Option<&str> {
        self.status.as_ref().map(|status| status.namespace.as_str()).filter(|name| !name.is_empty())
    }

    /// When the agent was last heard of.
    pub fn last_seen(&self) -> Option<&Time> {
        self.status.as_ref()?.agent.last_seen.as_ref()
    }
}

go_struct! {
    /// Priority and disruption budget of the agent.
    pub struct AgentSchedulingCustomization {
        /// Creates a PriorityClass.
        #[schemars(with = "PriorityClassSpec")]
        pub priority_class: Option<PriorityClassSpec>,
        /// Creates a PodDisruptionBudget.
        #[schemars(with = "PodDisruptionBudgetSpec")]
        pub pod_disruption_budget: Option<PodDisruptionBudgetSpec>,
    }
}

go_struct! {
    /// Priority of the agent.
    pub struct PriorityClassSpec {
        /// Priority.
        pub value: i64,
        /// Whether it may push others aside.
        pub preemption_policy: String,
    }
}

go_struct! {
    /// Disruption budget of the agent.
    pub struct PodDisruptionBudgetSpec {
        /// Pods that must stay.
        pub min_available: String,
        /// Pods that may go.
        pub max_unavailable: String,
    }
}

go_struct! {
    /// What became of a cluster.
    pub struct ClusterStatus {
        /// `Processed`, `Ready`, `Imported`, `Reconciled`.
        pub conditions: Vec<Condition>,
        /// Namespace that holds the cluster's BundleDeployments.
        pub namespace: String,
        /// States over all deployments.
        always pub summary: BundleSummary,
        /// How many objects are in which state.
        always pub resource_counts: ResourceCounts,
        /// GitRepos of which something is ready.
        always pub ready_git_repos: i64,
        /// GitRepos with deployments here.
        always pub desired_ready_git_repos: i64,
        /// HelmOps of which something is ready.
        always pub ready_helm_ops: i64,
        /// HelmOps with deployments here.
        always pub desired_ready_helm_ops: i64,
        /// Hash of the agent's environment variables when last looked at.
        #[schemars(with = "Option<String>")]
        pub agent_env_vars_hash: String,
        /// Registry of the agent's image when last looked at.
        #[serde(rename = "agentPrivateRepoURL")]
        #[schemars(with = "Option<String>")]
        pub agent_private_repo_url: String,
        /// Network of the agent when last looked at.
        #[schemars(with = "Option<bool>")]
        pub agent_host_network: bool,
        /// The redeployAgentGeneration last acted on.
        pub agent_deployed_generation: Option<i64>,
        /// Left by old releases.
        pub agent_migrated: bool,
        /// Left by old releases.
        pub agent_namespace_migrated: bool,
        /// Left by old releases.
        pub cattle_namespace_migrated: bool,
        /// Hash of the agent's affinity when last looked at.
        pub agent_affinity_hash: String,
        /// Hash of the agent's resources when last looked at.
        #[schemars(with = "Option<String>")]
        pub agent_resources_hash: String,
        /// Hash of the agent's tolerations when last looked at.
        #[schemars(with = "Option<String>")]
        pub agent_tolerations_hash: String,
        /// Hash of the agent's scheduling when last looked at.
        pub agent_scheduling_customization_hash: String,
        /// The agent must be installed again.
        pub agent_config_changed: bool,
        /// URL of the hub when the agent was installed.
        #[serde(rename = "apiServerURL")]
        #[schemars(with = "Option<String>")]
        pub api_server_url: String,
        /// Hash of the hub's CA when the agent was installed.
        #[serde(rename = "apiServerCAHash")]
        #[schemars(with = "Option<String>")]
        pub api_server_ca_hash: String,
        /// TLS mode when the agent was installed.
        #[serde(rename = "agentTLSMode")]
        #[schemars(with = "Option<String>")]
        pub agent_tls_mode: String,
        /// For `kubectl get`.
        always pub display: ClusterDisplay,
        /// What the agent says about itself.
        always pub agent: AgentStatus,
        /// Clean-up interval when the agent was installed.
        #[schemars(with = "GarbageCollectionInterval")]
        pub garbage_collection_interval: Option<GoDuration>,
        /// Some Schedule names the cluster.
        pub scheduled: bool,
        /// Its Schedule is open now.
        pub active_schedule: bool,
    }
}

/// The status shows this duration as plain text: it is an echo, not an input to be checked.
type GarbageCollectionInterval = String;

go_struct! {
    /// For `kubectl get`.
    pub struct ClusterDisplay {
        /// Bundles ready out of all, `x/y`.
        pub ready_bundles: String,
        /// Worst state; empty when all are ready.
        #[schemars(with = "Option<String>")]
        pub state: String,
    }
}

go_struct! {
    /// What the agent says about itself.
    pub struct AgentStatus {
        /// When it was last heard of.
        #[schemars(schema_with = "nullable_time")]
        always pub last_seen: Option<Time>,
        /// Its namespace.
        #[schemars(with = "Option<String>")]
        always pub namespace: String,
    }
}
