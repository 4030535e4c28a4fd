//! Every label, annotation, finalizer, secret type and well-known name, spelled once.
//!
//! Sources: Rancher Fleet 0.16. Knows nothing else.

/// API group of all our kinds.
pub const GROUP: &str = "fleet.cattle.io";
/// The only API version.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of all our kinds.
pub const API_VERSION: &str = "fleet.cattle.io/v1alpha1";

/// On Bundle, BundleDeployment: name of the GitRepo.
pub const REPO_NAME: &str = "fleet.cattle.io/repo-name";
/// On Bundle, BundleDeployment: commit that last changed it.
pub const COMMIT: &str = "fleet.cattle.io/commit";
/// On BundleDeployment: name of the Bundle.
pub const BUNDLE_NAME: &str = "fleet.cattle.io/bundle-name";
/// On BundleDeployment: namespace of the Bundle.
pub const BUNDLE_NAMESPACE: &str = "fleet.cattle.io/bundle-namespace";
/// On Bundle, BundleDeployment: name of the HelmOp.
pub const HELM_OP_NAME: &str = "fleet.cattle.io/fleet-helm-name";
/// `"true"` on everything the clean-up may consider.
pub const MANAGED: &str = "fleet.cattle.io/managed";
/// Cluster name; label on BundleDeployment, credential Secret, registered Cluster; annotation on
/// the cluster namespace and the request account.
pub const CLUSTER: &str = "fleet.cattle.io/cluster";
/// Namespace of the Cluster; label on BundleDeployment, annotation on the cluster namespace.
pub const CLUSTER_NAMESPACE: &str = "fleet.cattle.io/cluster-namespace";
/// On BundleDeployment: name of the Content of its staged version.
pub const CONTENT_NAME: &str = "fleet.cattle.io/content-name";
/// On BundleDeployment: name of the Content of the version that runs, while it is another one.
pub const DEPLOYED_CONTENT_NAME: &str = "fleet.cattle.io/deployed-content-name";
/// On GitRepo, HelmOp, set by Rancher; copied down.
pub const CREATED_BY_USER_ID: &str = "fleet.cattle.io/created-by-user-id";
/// On ClusterRegistration's labels and the Cluster: pod that registered it.
pub const CREATED_BY_AGENT_POD: &str = "fleet.cattle.io/created-by-agent-pod";
/// On ClusterRegistration: name of the token the agent used.
pub const REGISTRATION_TOKEN: &str = "fleet.cattle.io/registration-token";
/// On Cluster: somebody else manages its agent.
pub const CLUSTER_MANAGEMENT: &str = "fleet.cattle.io/cluster-management";
/// On Cluster: no agent bundle for it.
pub const NON_MANAGED_AGENT: &str = "fleet.cattle.io/non-managed-agent";
/// On Node: preferred by the agent.
pub const AGENT_NODE: &str = "fleet.cattle.io/agent";
/// On copied downstream Secrets and ConfigMaps: owning BundleDeployment.
pub const BUNDLE_DEPLOYMENT: &str = "fleet.cattle.io/bundledeployment";
/// On Secrets cloned into a cluster namespace.
pub const BUNDLE_INTERNAL_SECRET: &str = "fleet.cattle.io/bundle-internal-secret";
/// On any Fleet object: which controller shard serves it.
pub const SHARD_REF: &str = "fleet.cattle.io/shard-ref";
/// On controller pods: their shard.
pub const SHARD_ID: &str = "fleet.cattle.io/shard-id";
/// On controller pods: serves objects without a shard.
pub const SHARD_DEFAULT: &str = "fleet.cattle.io/shard-default";
/// On Cluster, set by Rancher: display name, accepted by `clusterName`.
pub const CLUSTER_DISPLAY_NAME: &str = "management.cattle.io/cluster-display-name";
/// On Cluster, set by Rancher.
pub const MANAGEMENT_CLUSTER_NAME: &str = "management.cattle.io/cluster-name";
/// On every deployed object: sha1 of the set id.
pub const OBJECT_SET_HASH: &str = "objectset.rio.cattle.io/hash";
/// On a deployed object, by the user: `"false"` keeps it from being pruned.
pub const OBJECT_SET_PRUNE: &str = "objectset.rio.cattle.io/prune";
/// Annotation on every deployed object: set id.
pub const OBJECT_SET_ID: &str = "objectset.rio.cattle.io/id";

/// Annotation on the request account: name of the ClusterRegistration.
pub const CLUSTER_REGISTRATION: &str = "fleet.cattle.io/cluster-registration";
/// Annotation on the request account: namespace of the ClusterRegistration.
pub const CLUSTER_REGISTRATION_NAMESPACE: &str = "fleet.cattle.io/cluster-registration-namespace";
/// Annotation on GitRepo: hash of its client Secret.
pub const CLIENT_SECRET_HASH: &str = "fleet.cattle.io/client-secret-hash";
/// Annotation on GitRepo: hash of its Helm Secret.
pub const HELM_SECRET_HASH: &str = "fleet.cattle.io/helm-secret-hash";
/// Annotation on GitRepo: hash of its per-path Helm Secret.
pub const HELM_SECRET_FOR_PATHS_HASH: &str = "fleet.cattle.io/helm-secret-for-paths-hash";
/// Annotation on ConfigMap `fleet-controller`: image tag of the chart.
pub const VERSION_ANNOTATION: &str = "fleet.cattle.io/version";
/// Annotation of the chart metadata in a Helm release: id of the bundle deployment.
pub const BUNDLE_ID: &str = "fleet.cattle.io/bundle-id";
/// Annotation of the chart metadata in a Helm release: namespace of the agent.
pub const AGENT_NAMESPACE: &str = "fleet.cattle.io/agent-namespace";
/// Annotation of the chart metadata in a Helm release: impersonated account.
pub const SERVICE_ACCOUNT: &str = "fleet.cattle.io/service-account";
/// Annotation of the chart metadata in a Helm release: keep the resources.
pub const KEEP_RESOURCES: &str = "fleet.cattle.io/keep-resources";

/// Finalizer of GitRepo.
pub const GIT_REPO_FINALIZER: &str = "fleet.cattle.io/gitrepo-finalizer";
/// Finalizer of HelmOp.
pub const HELM_OP_FINALIZER: &str = "fleet.cattle.io/helmop-finalizer";
/// Finalizer of Bundle.
pub const BUNDLE_FINALIZER: &str = "fleet.cattle.io/bundle-finalizer";
/// Finalizer of BundleDeployment.
pub const BUNDLE_DEPLOYMENT_FINALIZER: &str = "fleet.cattle.io/bundle-deployment-finalizer";
/// Finalizer of Cluster.
pub const CLUSTER_FINALIZER: &str = "fleet.cattle.io/cluster-finalizer";
/// Finalizer of Schedule.
pub const SCHEDULE_FINALIZER: &str = "fleet.cattle.io/schedule-finalizer";

/// Secret type: values of a Bundle.
pub const BUNDLE_VALUES_TYPE: &str = "fleet.cattle.io/bundle-values/v1alpha1";
/// Secret type: values of a BundleDeployment.
pub const BUNDLE_DEPLOYMENT_VALUES_TYPE: &str = "fleet.cattle.io/bundle-deployment/v1alpha1";
/// Secret type: access to a bundle in an OCI registry.
pub const BUNDLE_OCI_STORAGE_TYPE: &str = "fleet.cattle.io/bundle-oci-storage/v1alpha1";
/// Secret type: access of a HelmOp's bundle to its chart.
pub const BUNDLE_HELM_OPS_ACCESS_TYPE: &str = "fleet.cattle.io/bundle-helmops-access/v1alpha1";
/// Secret type: values for the agent chart, made for a token.
pub const REGISTRATION_VALUES_TYPE: &str = "fleet.cattle.io/cluster-registration-values";
/// Secret type: an agent's credential.
pub const AGENT_CREDENTIAL_TYPE: &str = "fleet.cattle.io/agent-credential";

/// Key of a bundle values Secret that holds the bundle-level values.
pub const VALUES_YAML_KEY: &str = "values.yaml";
/// Key of a BundleDeployment values Secret: promoted values.
pub const VALUES_KEY: &str = "values";
/// Key of a BundleDeployment values Secret: staged values.
pub const STAGED_VALUES_KEY: &str = "stagedValues";

/// Namespace of the hub's processes unless configured otherwise.
pub const SYSTEM_NAMESPACE: &str = "cattle-fleet-system";
/// Namespace of the local Cluster unless configured otherwise.
pub const LOCAL_NAMESPACE: &str = "fleet-local";
/// Conventional namespace of downstream clusters.
pub const DEFAULT_NAMESPACE: &str = "fleet-default";
/// System namespace of old releases.
pub const LEGACY_SYSTEM_NAMESPACE: &str = "fleet-system";

/// ConfigMap with the hub's configuration, key [`CONFIG_KEY`].
pub const CONTROLLER_CONFIG_NAME: &str = "fleet-controller";
/// ConfigMap with the agent's configuration, key [`CONFIG_KEY`]; also the agent's name everywhere.
pub const AGENT_NAME: &str = "fleet-agent";
/// Key of both configuration ConfigMaps.
pub const CONFIG_KEY: &str = "config";
/// Secret from which an agent registers itself.
pub const AGENT_BOOTSTRAP_NAME: &str = "fleet-agent-bootstrap";
/// Set id of agent bundles.
pub const MANAGE_AGENT_SET_ID: &str = "fleet-manage-agent";
/// ClusterRole that agents get in their cluster namespace.
pub const BUNDLE_DEPLOYMENT_ROLE: &str = "fleet-bundle-deployment";
/// ClusterRole that lets agents read Content.
pub const CONTENT_ROLE: &str = "fleet-content";
/// Account downstream that deploys where none is named.
pub const DEFAULT_SERVICE_ACCOUNT: &str = "fleet-default";

/// The namespace that holds credential Secrets until agents fetch them.
pub fn registration_namespace(system_namespace: &str) -> String {
    let stem = system_namespace.strip_suffix("-system").unwrap_or(system_namespace);
    format!("{stem}-clusters-system")
}

/// True for keys that belong to Rancher (`*cattle.io/*`) and never count as a user's label.
pub fn is_cattle_key(key: &str) -> bool {
    key.split_once('/').is_some_and(|(domain, _)| domain.ends_with("cattle.io"))
}
