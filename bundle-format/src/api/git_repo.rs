//! GitRepo: a repository, the folders in it and the clusters that get them.
//!
//! Owns the fields of the kind. Start at [`GitRepoSpec`].

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;

use super::bundle::{BundleSummary, Resource, ResourceCounts};
use super::condition::Condition;
use super::options::CorrectDrift;
use super::selector::LabelSelector;
use super::wire::{GoDuration, nullable_bytes};

go_struct! {
    /// A repository, the folders in it and the clusters that get them.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "GitRepo", plural = "gitrepos",
        namespaced, category = "fleet",
        status = "GitRepoStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "Repo", type_ = "string", json_path = ".spec.repo"),
        printcolumn(name = "Commit", type_ = "string", json_path = ".status.commit"),
        printcolumn(name = "BundleDeployments-Ready", type_ = "string", json_path = ".status.display.readyBundleDeployments"),
        printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message")
    )]
    pub struct GitRepoSpec {
        /// URL of the repository: https, ssh or scp style.
        #[schemars(length(min = 1))]
        always pub repo: String,
        /// Branch to follow; `master` when neither branch nor revision is set.
        #[schemars(with = "Option<String>")]
        pub branch: String,
        /// Commit or tag to stay at.
        #[schemars(with = "Option<String>")]
        pub revision: String,
        /// Namespace forced upon all objects; cluster-scoped objects are refused then.
        #[schemars(with = "Option<String>")]
        pub target_namespace: String,
        /// Name of the Secret with git credentials; `gitcredential` when empty and there.
        #[schemars(with = "Option<String>")]
        pub client_secret_name: String,
        /// Name of the Secret with Helm credentials for all paths.
        #[schemars(with = "Option<String>")]
        pub helm_secret_name: String,
        /// Name of the Secret with Helm credentials per path; wins over `helmSecretName`.
        #[schemars(with = "Option<String>")]
        pub helm_secret_name_for_paths: String,
        /// Helm credentials go to matching URLs only; to none when empty.
        #[serde(rename = "helmRepoURLRegex")]
        #[schemars(with = "Option<String>")]
        pub helm_repo_url_regex: String,
        /// CA certificates for git, PEM.
        #[schemars(schema_with = "nullable_bytes")]
        pub ca_bundle: Option<k8s_openapi::ByteString>,
        /// Skips the check of the git server's certificate.
        #[serde(rename = "insecureSkipTLSVerify")]
        pub insecure_skip_tls_verify: bool,
        /// Patterns of folders to read; the root when empty.
        #[schemars(with = "Option<Vec<String>>")]
        pub paths: Vec<String>,
        /// Stages changes without deploying them.
        pub paused: bool,
        /// Account to impersonate downstream.
        #[schemars(with = "Option<String>")]
        pub service_account: String,
        /// Clusters; the group `default` when empty.
        pub targets: Vec<GitTarget>,
        /// How often to look for new commits; 15 s when unset or 0.
        pub polling_interval: Option<GoDuration>,
        /// A new number reads the repository again.
        pub force_sync_generation: i64,
        /// How often image scans are written back; 15 min when unset.
        #[schemars(with = "GoDuration")]
        pub image_scan_interval: Option<GoDuration>,
        /// How image scans are committed.
        #[schemars(with = "CommitSpec")]
        pub image_scan_commit: Option<CommitSpec>,
        /// Leaves the objects in place when a bundle goes away.
        pub keep_resources: bool,
        /// Deletes the target namespace when the GitRepo goes away.
        pub delete_namespace: bool,
        /// Whether and how drift is repaired.
        #[schemars(with = "CorrectDrift")]
        pub correct_drift: Option<CorrectDrift>,
        /// Waits for webhooks and changes of the spec instead of polling.
        pub disable_polling: bool,
        /// Name of the Secret with OCI storage settings; `ocistorage` when empty and there.
        pub oci_registry_secret: String,
        /// Name of the Secret that signs webhooks; `gitjob-webhook` of the hub when empty.
        pub webhook_secret: String,
        /// The bundles, listed one by one; turns `paths` off.
        pub bundles: Vec<GitRepoBundle>,
    }
}

impl GitRepoSpec {
    /// The branch to follow when no revision is set.
    pub fn branch_or_default(&self) -> &str {
        if self.branch.is_empty() { "master" } else { &self.branch }
    }

    /// The time between two looks at the repository.
    pub fn polling_period(&self) -> std::time::Duration {
        let default = std::time::Duration::from_secs(15);
        self.polling_interval.as_ref().and_then(GoDuration::positive).unwrap_or(default)
    }
}

go_struct! {
    /// Clusters of a GitRepo.
    pub struct GitTarget {
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
    /// How image scans are committed.
    pub struct CommitSpec {
        /// Name of the author.
        pub author_name: String,
        /// Address of the author.
        pub author_email: String,
        /// Template of the message.
        pub message_template: String,
    }
}

go_struct! {
    /// One bundle, listed by hand.
    pub struct GitRepoBundle {
        /// Folder of the bundle.
        pub base: String,
        /// File with its options, instead of `fleet.yaml`.
        #[schemars(with = "Option<String>")]
        pub options: String,
    }
}

go_struct! {
    /// What became of a repository.
    pub struct GitRepoStatus {
        /// Generation this status is about.
        always pub observed_generation: i64,
        /// The forceSyncGeneration last acted on.
        pub update_generation: i64,
        /// The commit last read.
        pub commit: String,
        /// Clusters where everything is ready.
        always pub ready_clusters: i64,
        /// Clusters.
        always pub desired_ready_clusters: i64,
        /// States over all deployments.
        always pub summary: BundleSummary,
        /// For `kubectl get`.
        always pub display: GitRepoDisplay,
        /// `Accepted`, `GitPolling`, `Ready`, `Reconciling`, `Stalled`, `ImageSynced`.
        pub conditions: Vec<Condition>,
        /// Every object over all clusters.
        pub resources: Vec<Resource>,
        /// How many objects are in which state.
        always pub resource_counts: ResourceCounts,
        /// The same for each cluster.
        pub per_cluster_resource_counts: BTreeMap<String, ResourceCounts>,
        /// `InProgress`, `Current`, `Failed`.
        pub git_job_status: String,
        /// When image scans were last written back.
        #[schemars(with = "Time")]
        pub last_synced_image_scan_time: Option<Time>,
        /// When the repository was last looked at.
        #[schemars(with = "Time")]
        pub last_polling_triggered: Option<Time>,
        /// The commit last seen by polling.
        pub polling_commit: String,
        /// The commit last announced by a webhook.
        pub webhook_commit: String,
        /// When a webhook last came.
        #[schemars(with = "Time")]
        pub last_webhook_time: Option<Time>,
    }
}

go_struct! {
    /// For `kubectl get`.
    pub struct GitRepoDisplay {
        /// Deployments ready out of all, `x/y`.
        pub ready_bundle_deployments: String,
        /// Worst state; empty when all are ready.
        pub state: String,
        /// What is wrong.
        pub message: String,
        /// Something is wrong.
        pub error: bool,
    }
}
