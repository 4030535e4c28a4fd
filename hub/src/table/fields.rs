//! Which fields a field selector may name, by kind.
//!
//! Start at [`is_selectable`].

use crate::registry::{Kind, Source};

/// Whether `path` may stand in a field selector of `kind`.
pub(crate) fn is_selectable(kind: &Kind, path: &str) -> bool {
    if path == "metadata.name" || path == "metadata.namespace" && kind.namespaced {
        return true;
    }
    if let Source::Custom { selectable, .. } = &kind.source {
        return selectable.iter().any(|s| s == path);
    }
    let allowed: &[&str] = match &*kind.resource {
        "/pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "/events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reportingController",
        ],
        "/secrets" => &["type"],
        "/namespaces" => &["status.phase"],
        "/nodes" => &["spec.unschedulable"],
        "/services" => &["spec.clusterIP", "spec.type"],
        "/replicationcontrollers" | "apps/replicasets" => &["status.replicas"],
        "batch/jobs" => &["status.successful"],
        _ => &[],
    };
    allowed.contains(&path)
}
