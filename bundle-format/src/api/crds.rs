//! The custom resource definitions, generated from the kinds.
//!
//! Owns what the derive cannot say. Start at [`definitions`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::*;

/// All definitions, sorted by name.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        BundleDeployment::crd(),
        BundleNamespaceMapping::crd(),
        Bundle::crd(),
        ClusterGroup::crd(),
        ClusterRegistration::crd(),
        ClusterRegistrationToken::crd(),
        Cluster::crd(),
        Content::crd(),
        GitRepoRestriction::crd(),
        GitRepo::crd(),
        HelmOp::crd(),
        ImageScan::crd(),
        Policy::crd(),
        Schedule::crd(),
    ]
}
