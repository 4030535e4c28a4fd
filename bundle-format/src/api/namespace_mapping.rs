//! BundleNamespaceMapping: lets bundles of one namespace go to clusters of others.

use kube::CustomResource;

use super::selector::LabelSelector;

go_struct! {
    /// Lets bundles of this namespace go to clusters of other namespaces.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "BundleNamespaceMapping",
        namespaced, no_spec,
        status = "BundleNamespaceMappingStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))"
    )]
    pub struct BundleNamespaceMappingSpec {
        /// Which bundles, by label.
        pub bundle_selector: Option<LabelSelector>,
        /// Which namespaces, by label.
        pub namespace_selector: Option<LabelSelector>,
    }
}

go_struct! {
    /// Nothing is reported.
    pub struct BundleNamespaceMappingStatus {}
}
