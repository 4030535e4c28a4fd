//! The options of one deployment, common to Bundle, its targets, BundleDeployment and HelmOp.
//!
//! Owns the fields and their order. Invariant: the order is part of every deployment id (the JSON
//! of [`BundleDeploymentOptions`] is hashed), so a field may never be moved. Start there.

use std::collections::BTreeMap;

use super::selector::LabelSelector;
use super::wire::{Object, free_form_object};

go_struct! {
    /// How resources are deployed to a cluster.
    pub struct BundleDeploymentOptions {
        /// Overlays for bundles of plain manifests.
        pub yaml: Option<YamlOptions>,
        /// Where a kustomization is.
        pub kustomize: Option<KustomizeOptions>,
        /// Namespace for objects that name none; `default` when empty.
        #[schemars(with = "Option<String>")]
        pub default_namespace: String,
        /// Namespace forced upon all objects; cluster-scoped objects are refused then.
        #[schemars(with = "Option<String>")]
        pub namespace: String,
        /// Chart and release options.
        #[schemars(with = "HelmOptions")]
        pub helm: Option<HelmOptions>,
        /// Account to impersonate downstream.
        #[schemars(with = "Option<String>")]
        pub service_account: String,
        /// Whether to create the namespace of the release; absent means yes. Set through Policy.
        pub create_namespace: Option<bool>,
        /// A new number deploys again.
        pub force_sync_generation: i64,
        /// What does not count as drift. Not part of the deployment id.
        pub diff: Option<DiffOptions>,
        /// Leaves the objects in place when the bundle goes away.
        pub keep_resources: bool,
        /// Deletes the target namespace when the bundle goes away.
        pub delete_namespace: bool,
        /// What does not count against readiness.
        pub ignore: Option<IgnoreOptions>,
        /// Whether and how drift is repaired. Not part of the deployment id.
        #[schemars(with = "CorrectDrift")]
        pub correct_drift: Option<CorrectDrift>,
        /// Labels for the namespace of the release.
        #[schemars(with = "Option<BTreeMap<String, String>>")]
        pub namespace_labels: BTreeMap<String, String>,
        /// Annotations for the namespace of the release.
        #[schemars(with = "Option<BTreeMap<String, String>>")]
        pub namespace_annotations: BTreeMap<String, String>,
        /// Deletes the bundle's CRDs, and with them all their objects, when the bundle goes away.
        #[serde(rename = "deleteCRDResources")]
        pub delete_crd_resources: bool,
        /// Secrets and ConfigMaps beside the bundle that are copied to the cluster.
        pub downstream_resources: Vec<DownstreamResource>,
        /// Objects of other bundles that this one may replace. Set by the reader.
        pub overwrites: Vec<OverwrittenResource>,
        /// Labels the target namespace must carry. Set from restrictions.
        pub allowed_target_namespace_selector: Option<LabelSelector>,
    }
}

impl BundleDeploymentOptions {
    /// The namespace of the release: the forced one, else the default one, else `default`.
    pub fn release_namespace(&self) -> &str {
        [self.namespace.as_str(), self.default_namespace.as_str()]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or("default")
    }

    /// The values of the chart, empty when there are none.
    pub fn values(&self) -> Option<&Object> {
        self.helm.as_ref().and_then(|helm| helm.values.as_ref()).filter(|values| !values.is_empty())
    }
}

go_struct! {
    /// Options of plain manifests.
    pub struct YamlOptions {
        /// Names of folders below `overlays/` to lay over the manifests.
        #[schemars(with = "Option<Vec<String>>")]
        pub overlays: Vec<String>,
    }
}

go_struct! {
    /// Options of kustomizations.
    pub struct KustomizeOptions {
        /// Folder of the `kustomization.yaml`; the bundle's root when empty.
        #[schemars(with = "Option<String>")]
        pub dir: String,
    }
}

go_struct! {
    /// Chart and release options.
    pub struct HelmOptions {
        /// Files merged into `values` when the bundle is built.
        #[schemars(with = "Option<Vec<String>>")]
        pub values_files: Vec<String>,
        /// Path, URL or name of the chart.
        #[schemars(with = "Option<String>")]
        pub chart: String,
        /// Repository of the chart, https or oci.
        #[schemars(with = "Option<String>")]
        pub repo: String,
        /// Name of the release; made from the bundle's name when empty.
        #[schemars(schema_with = "super::options::release_name_schema")]
        pub release_name: String,
        /// Version or constraint of the chart.
        #[schemars(with = "Option<String>")]
        pub version: String,
        /// Seconds to wait for readiness; 0 does not wait.
        pub timeout_seconds: i64,
        /// Values of the chart.
        #[schemars(schema_with = "free_form_object")]
        pub values: Option<Object>,
        /// Templates, each rendered and then read as YAML; they win over `values`.
        #[schemars(with = "Option<BTreeMap<String, String>>")]
        pub template_values: BTreeMap<String, String>,
        /// Values read downstream.
        #[schemars(with = "Option<Vec<ValuesFrom>>")]
        pub values_from: Vec<ValuesFrom>,
        /// Replaces objects that cannot be changed in place.
        pub force: bool,
        /// Adopts objects that exist already.
        pub take_ownership: bool,
        /// Revisions of the release to keep; 0 means 2.
        pub max_history: i64,
        /// Waits for jobs as well; needs `timeoutSeconds`.
        pub wait_for_jobs: bool,
        /// Rolls back when the deployment fails.
        pub atomic: bool,
        /// Leaves `${ }` in values alone.
        pub disable_pre_process: bool,
        /// Forbids templates to look up host names.
        #[serde(rename = "disableDNS")]
        pub disable_dns: bool,
        /// Skips `values.schema.json`.
        pub skip_schema_validation: bool,
        /// Does not complete missing dependencies when the bundle is built.
        pub disable_dependency_update: bool,
    }
}

/// Schema of a release name: Helm's own rule.
fn release_name_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string", "nullable": true, "maxLength": 53,
        "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    })
}

go_struct! {
    /// One source of values downstream.
    pub struct ValuesFrom {
        /// A key of a ConfigMap.
        pub config_map_key_ref: Option<KeySelector>,
        /// A key of a Secret.
        pub secret_key_ref: Option<KeySelector>,
    }
}

go_struct! {
    /// A key of a ConfigMap or Secret.
    pub struct KeySelector {
        /// Name of the object.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// Namespace of the object; that of the release when empty.
        #[schemars(with = "Option<String>")]
        pub namespace: String,
        /// Key; `values.yaml` when empty.
        #[schemars(with = "Option<String>")]
        pub key: String,
    }
}

go_struct! {
    /// What does not count as drift.
    pub struct DiffOptions {
        /// One entry per object or group of objects.
        #[schemars(with = "Option<Vec<ComparePatch>>")]
        pub compare_patches: Vec<ComparePatch>,
    }
}

go_struct! {
    /// Fields of some objects that are not compared.
    pub struct ComparePatch {
        /// Kind of the objects.
        #[schemars(with = "Option<String>")]
        pub kind: String,
        /// API version of the objects.
        #[schemars(with = "Option<String>")]
        pub api_version: String,
        /// Namespace of the objects.
        #[schemars(with = "Option<String>")]
        pub namespace: String,
        /// Name of the object.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// JSON patch operations applied to both sides first.
        #[schemars(with = "Option<Vec<PatchOperation>>")]
        pub operations: Vec<PatchOperation>,
        /// JSON pointers removed from both sides first.
        #[schemars(with = "Option<Vec<String>>")]
        pub json_pointers: Vec<String>,
    }
}

go_struct! {
    /// One JSON patch operation.
    pub struct PatchOperation {
        /// `remove`, `add`, `replace`, `test` or `ignore`.
        #[schemars(with = "Option<String>")]
        pub op: String,
        /// JSON pointer.
        #[schemars(with = "Option<String>")]
        pub path: String,
        /// Operand, as text.
        #[schemars(with = "Option<String>")]
        pub value: String,
    }
}

go_struct! {
    /// What does not count against readiness.
    pub struct IgnoreOptions {
        /// Conditions of objects to pass over; each names the members that must agree.
        #[schemars(with = "Option<Vec<BTreeMap<String, String>>>")]
        pub conditions: Vec<BTreeMap<String, String>>,
    }
}

go_struct! {
    /// Whether and how drift is repaired.
    pub struct CorrectDrift {
        /// Repairs drift.
        pub enabled: bool,
        /// Replaces objects that cannot be changed in place.
        pub force: bool,
        /// Keeps the records of failed repairs.
        pub keep_fail_history: bool,
    }
}

go_struct! {
    /// A Secret or ConfigMap copied to the cluster.
    pub struct DownstreamResource {
        /// `Secret` or `ConfigMap`.
        pub kind: String,
        /// Name, in the bundle's namespace.
        pub name: String,
    }
}

go_struct! {
    /// An object of another bundle that this one may replace.
    pub struct OverwrittenResource {
        /// Name of the object.
        pub name: String,
        /// Namespace of the object.
        pub namespace: String,
        /// Kind of the object.
        pub kind: String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::names::sha256_hex;

    fn hash(options: &BundleDeploymentOptions) -> String {
        let json = serde_json::to_string(options).expect("options have string keys only");
        sha256_hex(format!("{json}\n").as_bytes())
    }

    // Vectors recorded from Rancher Fleet 0.16.
    #[test]
    fn the_json_of_options_has_the_hash_of_the_reference() {
        for (json, expected) in [
            ("{}", "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"),
            (r#"{"helm":{}}"#, "2b3eb1c0044dd55963b580c402f9703533c40396e53a2aa27a2ba991ec15d145"),
            // The two below were read off a running hub, values and ids.
            (
                r#"{"helm":{"values":{"replication":false}},"namespace":"fleet-mc-helm-example"}"#,
                "197f7c0f852ba6e0656d6170932eaade76a9b46f7832891a63b88124bf552299",
            ),
            (
                r#"{"helm":{"values":{"serviceType":"LoadBalancer","replicas":3}},
                    "namespace":"fleet-mc-helm-example"}"#,
                "d2352d3658c46e3759c65f170e3f340810539b25e0a419ba5bf2d533bbaeaab8",
            ),
        ] {
            let options: BundleDeploymentOptions = serde_json::from_str(json).expect(json);
            assert_eq!(hash(&options), expected, "{json}");
        }
    }

    #[test]
    fn null_missing_and_unknown_fields_are_no_errors() {
        let text =
            r#"{"namespace":null,"helm":{"values":null,"force":null,"new":1},"ignore":null}"#;
        let options: BundleDeploymentOptions = serde_json::from_str(text).expect(text);
        let helm = Some(HelmOptions::default());
        assert_eq!(options, BundleDeploymentOptions { helm, ..Default::default() });
    }
}
