//! From text to objects: documents, lists, and the order in which Helm installs kinds.
//!
//! Owns decoding and order. Must not change what an object says. Start at [`decode_documents`].

use serde_json::Value;

use crate::Error;

/// More objects than any API server takes in one go; keeps one bundle from eating the agent.
pub const MAX_OBJECTS: usize = 20_000;

/// One object and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedObject {
    /// File in the bundle, or template of the chart.
    pub source: String,
    /// Line of the file in which its document starts.
    pub first_line: usize,
    /// The object.
    pub value: Value,
}

/// Order in which Helm 4 installs kinds; others follow, by kind.
const INSTALL_ORDER: &[&str] = &[
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// Adds the objects of one file; documents without version or kind are left out and noted.
pub fn decode_documents(
    file: &str,
    bytes: &[u8],
    objects: &mut Vec<RenderedObject>,
    notices: &mut Vec<String>,
) -> Result<(), Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::NotText { file: file.to_owned() })?;
    for document in goyaml::documents(text) {
        let first_line = document.first_line;
        let value = goyaml::from_str(document.text).map_err(|source| Error::Yaml {
            file: file.to_owned(),
            first_line,
            source,
        })?;
        if value.is_null() {
            continue;
        }
        if text_at(&value, "apiVersion").is_empty() || text_at(&value, "kind").is_empty() {
            notices.push(format!(
                "{file}, document at line {first_line}: no apiVersion or no kind, left out"
            ));
            continue;
        }
        expand(RenderedObject { source: file.to_owned(), first_line, value }, objects)?;
    }
    Ok(())
}

/// Takes lists (`kind: List`, `ConfigMapList`, …) apart.
pub(crate) fn expand(
    object: RenderedObject,
    objects: &mut Vec<RenderedObject>,
) -> Result<(), Error> {
    let is_list =
        text_at(&object.value, "kind").ends_with("List") && object.value["items"].is_array();
    if !is_list {
        if objects.len() >= MAX_OBJECTS {
            return Err(Error::TooManyObjects { limit: MAX_OBJECTS });
        }
        objects.push(object);
        return Ok(());
    }
    let Some(Value::Array(items)) = object.value.get("items").cloned() else { return Ok(()) };
    for value in items {
        expand(RenderedObject { value, ..object.clone() }, objects)?;
    }
    Ok(())
}

/// Sorts into Helm's install order; objects of one kind keep their order.
pub fn sort_for_install(objects: &mut [RenderedObject]) {
    objects.sort_by(|left, right| {
        let (left, right) = (text_at(&left.value, "kind"), text_at(&right.value, "kind"));
        let rank = |kind: &str| INSTALL_ORDER.iter().position(|known| *known == kind);
        match (rank(left), rank(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => left.cmp(right),
        }
    });
}

pub(crate) fn text_at<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}
