//! GitRepoRestriction: what the GitRepos of a namespace may do. Deprecated in favour of Policy.

use kube::CustomResource;

use super::selector::LabelSelector;

go_struct! {
    /// What the GitRepos of a namespace may do.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "GitRepoRestriction",
        namespaced, no_spec,
        status = "GitRepoRestrictionStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "Default-ServiceAccount", type_ = "string", json_path = ".defaultServiceAccount"),
        printcolumn(name = "Allowed-ServiceAccounts", type_ = "string", json_path = ".allowedServiceAccounts")
    )]
    pub struct GitRepoRestrictionSpec {
        /// Account for GitRepos that name none.
        #[schemars(with = "Option<String>")]
        pub default_service_account: String,
        /// Accounts they may name.
        #[schemars(with = "Option<Vec<String>>")]
        pub allowed_service_accounts: Vec<String>,
        /// Patterns of the repositories they may name.
        #[schemars(with = "Option<Vec<String>>")]
        pub allowed_repo_patterns: Vec<String>,
        /// Git credentials for GitRepos that name none.
        #[schemars(with = "Option<String>")]
        pub default_client_secret_name: String,
        /// Git credentials they may name.
        #[schemars(with = "Option<Vec<String>>")]
        pub allowed_client_secret_names: Vec<String>,
        /// Namespaces they may deploy to.
        #[schemars(with = "Option<Vec<String>>")]
        pub allowed_target_namespaces: Vec<String>,
        /// Labels of further namespaces they may deploy to.
        pub allowed_target_namespace_selector: Option<LabelSelector>,
    }
}

go_struct! {
    /// Nothing is reported.
    pub struct GitRepoRestrictionStatus {}
}
