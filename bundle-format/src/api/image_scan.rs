//! ImageScan: watches a registry for new tags.

use k8s_openapi::api::core::v1::LocalObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;

use super::condition::Condition;
use super::wire::GoDuration;

go_struct! {
    /// Watches a registry for new tags.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "ImageScan", plural = "imagescans",
        namespaced,
        status = "ImageScanStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "Repository", type_ = "string", json_path = ".spec.image"),
        printcolumn(name = "Latest", type_ = "string", json_path = ".status.latestTag")
    )]
    pub struct ImageScanSpec {
        /// Name used in setter comments.
        #[schemars(with = "Option<String>")]
        pub tag_name: String,
        /// GitRepo that is written to.
        #[schemars(with = "Option<String>")]
        pub gitrepo_name: String,
        /// The image.
        #[schemars(with = "Option<String>")]
        always pub image: String,
        /// How often to look.
        #[schemars(with = "Option<GoDuration>")]
        always pub interval: GoDuration,
        /// Pull Secret.
        pub secret_ref: Option<LocalObjectReference>,
        /// Does not look for now.
        pub suspend: bool,
        /// Which tag is the latest.
        always pub policy: ImagePolicyChoice,
    }
}

go_struct! {
    /// Which tag is the latest.
    pub struct ImagePolicyChoice {
        /// By version.
        pub semver: Option<SemVerPolicy>,
        /// By alphabet.
        pub alphabetical: Option<AlphabeticalPolicy>,
    }
}

go_struct! {
    /// The highest version.
    pub struct SemVerPolicy {
        /// Versions that count.
        #[schemars(with = "Option<String>")]
        always pub range: String,
    }
}

go_struct! {
    /// The first or last by alphabet.
    pub struct AlphabeticalPolicy {
        /// `asc` or `desc`.
        #[schemars(with = "Option<String>")]
        pub order: String,
    }
}

go_struct! {
    /// What the registry has.
    pub struct ImageScanStatus {
        /// `ImageScanned`.
        pub conditions: Vec<Condition>,
        /// When it was last looked at.
        #[schemars(with = "Time")]
        pub last_scan_time: Option<Time>,
        /// The latest image.
        pub latest_image: String,
        /// The latest tag.
        pub latest_tag: String,
        /// The digest of the latest tag.
        pub latest_digest: String,
        /// Generation this status is about.
        pub observed_generation: i64,
        /// The image with all its parts spelled out.
        pub canonical_image_name: String,
    }
}
