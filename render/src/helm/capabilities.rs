//! What the cluster can do, as templates see it: `.Capabilities`.
//!
//! Owns the Kubernetes version, the API versions and the Helm version. Start at
//! [`Capabilities`].

use std::any::Any;
use std::sync::Arc;

use gotemplate::funcs::{Args, Cx, FuncResult, Param};
use gotemplate::value::{GoObject, list, native};
use gotemplate::{FuncError, Value};
use serde_json::{Value as Json, json};

use super::error::Error;

/// The Helm whose output this crate gives, as `.Capabilities.HelmVersion` tells it.
pub const HELM_VERSION: &str = "v4.3";

// What that Helm was built with.
const GO_VERSION: &str = "go1.26.8";
const KUBE_CLIENT_VERSION: &str = "v1.37";

/// The API versions that Helm knows without a cluster, in its order.
pub const DEFAULT_API_VERSIONS: &[&str] = &[
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "lifecycle.k8s.io/v1alpha1",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];

/// A version of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeVersion {
    /// As the server says it, such as `v1.33.4-gke.1245000`.
    pub version: String,
    /// Without suffixes, for constraints: `v1.33.4`.
    pub normalized: String,
    /// `1`
    pub major: String,
    /// `33`
    pub minor: String,
}

impl KubeVersion {
    /// Reads a version; a leading `v`, a missing patch and any suffix are allowed.
    ///
    /// # Errors
    /// [`Error::InvalidKubeVersion`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidKubeVersion(text.to_owned());
        let bare = text.trim().strip_prefix('v').unwrap_or(text.trim());
        let end = bare.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(bare.len());
        let numbers: Vec<&str> = bare[..end].trim_end_matches('.').split('.').collect();
        if numbers.len() < 2 || numbers.iter().any(|n| n.parse::<u32>().is_err()) {
            return Err(invalid());
        }
        // Kubernetes prints what it parsed: three numbers, more if there were more.
        let mut normalized = format!("v{}", numbers.join("."));
        if numbers.len() == 2 {
            normalized.push_str(".0");
        }
        let version = if text.starts_with('v') { text.to_owned() } else { format!("v{text}") };
        let (major, minor) = (numbers[0].to_owned(), numbers[1].to_owned());
        Ok(Self { version, normalized, major, minor })
    }
}

impl Default for KubeVersion {
    fn default() -> Self {
        Self {
            version: "v1.37.0".to_owned(),
            normalized: "v1.37.0".to_owned(),
            major: "1".to_owned(),
            minor: "37".to_owned(),
        }
    }
}

/// What charts may ask about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The cluster's version.
    pub kube_version: KubeVersion,
    /// Group and version, or group, version and kind: `apps/v1`, `apps/v1/Deployment`.
    pub api_versions: Arc<[String]>,
}

impl Capabilities {
    /// The given version, and Helm's own API versions followed by `more`.
    #[must_use]
    pub fn new(kube_version: KubeVersion, more: &[String]) -> Self {
        let known = DEFAULT_API_VERSIONS.iter().map(|version| (*version).to_owned());
        Self { kube_version, api_versions: known.chain(more.iter().cloned()).collect() }
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::new(KubeVersion::default(), &[])
    }
}

/// `.Capabilities`
#[derive(Debug)]
pub(crate) struct CapabilitiesObject {
    kube_version: Value,
    api_versions: Value,
    helm_version: Value,
}

impl CapabilitiesObject {
    pub(crate) fn new(capabilities: &Capabilities) -> Self {
        let versions = capabilities.api_versions.iter().map(|v| Value::from(v.as_str()));
        Self {
            kube_version: native(KubeVersionObject(capabilities.kube_version.clone())),
            api_versions: native(VersionSet(versions.collect())),
            helm_version: native(HelmVersion),
        }
    }
}

impl GoObject for CapabilitiesObject {
    fn type_name(&self) -> &'static str {
        "*common.Capabilities"
    }

    fn kind(&self) -> &'static str {
        "ptr"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "KubeVersion" => Some(self.kube_version.clone()),
            "APIVersions" => Some(self.api_versions.clone()),
            "HelmVersion" => Some(self.helm_version.clone()),
            _ => None,
        }
    }

    fn print(&self) -> String {
        let text = |value| gotemplate::print::to_text(value);
        format!(
            "&{{{} {} {}}}",
            text(&self.kube_version),
            text(&self.api_versions),
            text(&self.helm_version)
        )
    }

    fn to_json(&self) -> Json {
        let json = |value| gotemplate::value::to_json(value).unwrap_or_default();
        json!({
            "KubeVersion": json(&self.kube_version),
            "APIVersions": json(&self.api_versions),
            "HelmVersion": json(&self.helm_version),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct KubeVersionObject(KubeVersion);

impl GoObject for KubeVersionObject {
    fn type_name(&self) -> &'static str {
        "common.KubeVersion"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Version" => Some(Value::from(self.0.version.as_str())),
            "Major" => Some(Value::from(self.0.major.as_str())),
            "Minor" => Some(Value::from(self.0.minor.as_str())),
            _ => None,
        }
    }

    fn method(&self, name: &str) -> Option<&'static [Param]> {
        matches!(name, "String" | "GitVersion").then_some(&[])
    }

    fn call(&self, _: &Cx<'_>, method: &str, _: Args<'_>) -> FuncResult {
        let text = if method == "String" { &self.0.normalized } else { &self.0.version };
        Ok(Value::from(text.as_str()))
    }

    fn print(&self) -> String {
        self.0.normalized.clone()
    }

    fn to_json(&self) -> Json {
        json!({"Version": self.0.version, "Major": self.0.major, "Minor": self.0.minor})
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `.Capabilities.APIVersions`
#[derive(Debug)]
struct VersionSet(Vec<Value>);

impl GoObject for VersionSet {
    fn type_name(&self) -> &'static str {
        "common.VersionSet"
    }

    fn kind(&self) -> &'static str {
        "slice"
    }

    fn items(&self) -> Option<&[Value]> {
        Some(&self.0)
    }

    fn method(&self, name: &str) -> Option<&'static [Param]> {
        (name == "Has").then_some(&[Param::Str])
    }

    fn call(&self, _: &Cx<'_>, method: &str, args: Args<'_>) -> FuncResult {
        if method != "Has" {
            return Err(FuncError::new(format!("no method {method}")));
        }
        Ok(Value::from(self.0.iter().any(|version| version.as_str() == Some(args.str(0)))))
    }

    fn print(&self) -> String {
        gotemplate::print::to_text(&list(self.0.clone()))
    }

    fn to_json(&self) -> Json {
        self.0.iter().map(|version| version.as_str().unwrap_or_default()).collect()
    }

    fn is_true(&self) -> bool {
        !self.0.is_empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `.Capabilities.HelmVersion`
#[derive(Debug)]
struct HelmVersion;

impl GoObject for HelmVersion {
    fn type_name(&self) -> &'static str {
        "version.BuildInfo"
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(Value::from(match name {
            "Version" => HELM_VERSION,
            "GitCommit" | "GitTreeState" => "",
            "GoVersion" => GO_VERSION,
            "KubeClientVersion" => KUBE_CLIENT_VERSION,
            _ => return None,
        }))
    }

    fn print(&self) -> String {
        format!("{{{HELM_VERSION}   {GO_VERSION} {KUBE_CLIENT_VERSION}}}")
    }

    fn to_json(&self) -> Json {
        json!({
            "version": HELM_VERSION,
            "go_version": GO_VERSION,
            "kube_client_version": KUBE_CLIENT_VERSION,
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_kept_but_not_compared() {
        let version = KubeVersion::parse("1.33.4-gke.1245000").unwrap();
        assert_eq!(version.version, "v1.33.4-gke.1245000");
        assert_eq!(version.normalized, "v1.33.4");
        assert_eq!(KubeVersion::parse("v1.29").unwrap().normalized, "v1.29.0");
        assert!(KubeVersion::parse("latest").is_err());
    }
}
