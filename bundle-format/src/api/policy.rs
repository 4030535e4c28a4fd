//! Policy: what the GitRepos, HelmOps and Bundles of a namespace may do.

use kube::CustomResource;

go_struct! {
    /// What the GitRepos, HelmOps and Bundles of a namespace may do. All policies of a namespace
    /// count together.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "Policy", plural = "policies",
        namespaced, no_spec, derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))"
    )]
    pub struct PolicySpec {
        /// Everything must name an account to impersonate.
        pub require_service_account: bool,
        /// Accounts they may name.
        #[schemars(with = "Option<Vec<String>>")]
        pub allowed_service_accounts: Vec<String>,
        /// With `requireServiceAccount`: deployments may create their namespace.
        pub allow_namespace_creation: bool,
        /// For GitRepos.
        #[schemars(with = "GitRepoPolicy")]
        pub git_repo: Option<GitRepoPolicy>,
        /// For HelmOps.
        #[schemars(with = "HelmOpPolicy")]
        pub helm_op: Option<HelmOpPolicy>,
    }
}

go_struct! {
    /// What GitRepos may do.
    pub struct GitRepoPolicy {
        /// Account for GitRepos that name none.
        pub default_service_account: String,
        /// Git credentials for GitRepos that name none.
        pub default_client_secret_name: String,
        /// Git credentials they may name.
        #[schemars(with = "Option<Vec<String>>")]
        pub allowed_client_secret_names: Vec<String>,
        /// Patterns of the repositories they may name.
        #[schemars(with = "Option<Vec<String>>")]
        pub allowed_repo_patterns: Vec<String>,
    }
}

go_struct! {
    /// What HelmOps may do.
    pub struct HelmOpPolicy {
        /// Account for HelmOps that name none.
        pub default_service_account: String,
        /// Helm credentials for HelmOps that name none.
        pub default_helm_secret_name: String,
        /// Helm credentials they may name.
        #[schemars(with = "Option<Vec<String>>")]
        pub allowed_helm_secret_names: Vec<String>,
        /// Patterns of the chart repositories they may name.
        #[schemars(with = "Option<Vec<String>>")]
        pub allowed_helm_repo_patterns: Vec<String>,
        /// Patterns of the charts they may name.
        #[schemars(with = "Option<Vec<String>>")]
        pub allowed_chart_patterns: Vec<String>,
    }
}
