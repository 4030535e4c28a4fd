//! Content: a manifest, stored once however many clusters run it.
//!
//! Owns the fields of the kind; `crate::content` computes them. Start at [`ContentSpec`].

use kube::CustomResource;

use super::wire::nullable_bytes;

go_struct! {
    /// A manifest, named after its digest.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "Content", no_spec,
        status = "ContentStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))"
    )]
    pub struct ContentSpec {
        /// gzip of the manifest.
        #[schemars(schema_with = "nullable_bytes")]
        pub content: Option<k8s_openapi::ByteString>,
        /// sha256 of the manifest before gzip, hex.
        pub sha256sum: String,
    }
}

go_struct! {
    /// Who uses a manifest.
    pub struct ContentStatus {
        /// BundleDeployments that name it.
        pub reference_count: i64,
    }
}
