//! Rendered files → documents in install order, hooks apart.
//!
//! Owns splitting, Helm's order of kinds, and the hook annotations. Start at [`sort_manifests`].

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::error::Error;
use super::glob::file_match;
use super::metadata::scalar_text;

/// One rendered document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The template it came from, such as `web/templates/deployment.yaml`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// The same, decoded; null if the caller of the render does not want it, or there is none.
    pub object: Json,
    kind: String,
}

impl Document {
    /// The `kind` field.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    fn forget(&mut self, keep_object: bool) {
        if !keep_object {
            self.object = Json::Null;
        }
    }

    fn annotation(&self, name: &str) -> Option<String> {
        scalar_text(self.object.pointer("/metadata/annotations")?.get(name)?)
    }
}

/// A document that Helm applies at a certain moment instead of with the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// The document.
    pub document: Document,
    /// When: `pre-install`, `post-upgrade`, `test` and so on.
    pub events: Vec<String>,
    /// Lower ones come first.
    pub weight: i64,
    /// `before-hook-creation`, `hook-succeeded`, `hook-failed`.
    pub delete_policies: Vec<String>,
}

impl Hook {
    /// Whether `helm test` runs it.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.events.iter().any(|event| event == "test")
    }
}

const EVENTS: &[&str] = &[
    "pre-install",
    "post-install",
    "pre-delete",
    "post-delete",
    "pre-upgrade",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
];

/// The order in which kinds are installed; others follow, by name.
pub const INSTALL_ORDER: &[&str] = &[
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

/// Splits rendered files into documents, sorts them, and takes the hooks out.
///
/// # Errors
/// [`Error::Manifest`] for a document that is no YAML.
pub fn sort_manifests(
    files: BTreeMap<String, String>,
    keep_objects: bool,
) -> Result<(Vec<Document>, Vec<Hook>), Error> {
    let mut documents = Vec::new();
    let mut hooks = Vec::new();
    for (path, text) in files {
        let base = path.rsplit('/').next().unwrap_or(&path);
        if base.starts_with('_') || text.trim().is_empty() {
            continue;
        }
        for text in split_manifests(&text) {
            let object = decode(&path, text)?;
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            let path = path.clone();
            let mut document = Document { path, text: text.to_owned(), object, kind };
            match document.annotation("helm.sh/hook") {
                None => {
                    document.forget(keep_objects);
                    documents.push(document);
                }
                Some(events) => hooks.extend(hook(document, &events).map(|mut hook| {
                    hook.document.forget(keep_objects);
                    hook
                })),
            }
        }
    }
    sort_by_kind(&mut documents, Document::kind);
    sort_by_kind(&mut hooks, |hook| hook.document.kind());
    Ok((documents, hooks))
}

fn decode(path: &str, text: &str) -> Result<Json, Error> {
    let wrong = |cause: String| Error::Manifest { path: path.to_owned(), cause };
    let object =
        goyaml::from_str(text).map_err(|e| wrong(format!("error converting YAML to JSON: {e}")))?;
    let found = match &object {
        Json::Object(_) | Json::Null => return Ok(object),
        Json::Array(_) => "array",
        Json::String(_) => "string",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
    };
    Err(wrong(format!(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go \
         value of type util.SimpleHead"
    )))
}

/// The documents of a text: separated by lines that start with `---`, empty ones left out.
pub fn split_manifests(text: &str) -> impl Iterator<Item = &str> {
    let mut documents = Vec::new();
    let text = text.trim_start();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("---") {
            documents.push(&text[start..at]);
            start = at + line.len() - rest.trim_start_matches([' ', '\t']).len();
        }
        at += line.len();
    }
    documents.push(&text[start..]);
    documents.into_iter().map(str::trim_start).filter(|document| !document.is_empty())
}

/// The documents of `helm template`'s output that come from certain templates, in the order of
/// the patterns. A pattern is relative to the main chart, with `*` and `?` within a folder.
///
/// # Errors
/// [`Error::NoSuchTemplate`] for a pattern that nothing matches.
pub fn show_only(output: &str, patterns: &[String]) -> Result<String, Error> {
    let source = |document: &str| -> Option<String> {
        let line = document.lines().find_map(|line| line.split_once("# Source: "))?.1;
        line.split_once('/').map(|(_, path)| path.to_owned())
    };
    let documents: Vec<(Option<String>, &str)> =
        split_manifests(output).map(|document| (source(document), document)).collect();
    let mut out = String::new();
    for pattern in patterns {
        let before = out.len();
        for (path, document) in &documents {
            let hit = path.as_deref().and_then(|path| file_match(pattern, path));
            if hit == Some(true) {
                out.push_str(&format!("---\n{document}\n"));
            }
        }
        if out.len() == before {
            return Err(Error::NoSuchTemplate(pattern.clone()));
        }
    }
    Ok(out)
}

// `None`: a hook of an unknown kind is dropped, as in Helm.
fn hook(document: Document, events: &str) -> Option<Hook> {
    let mut known = Vec::new();
    for event in words(events) {
        // Helm 2's name for the same thing.
        let event = if event == "test-success" { "test".to_owned() } else { event };
        if !EVENTS.contains(&&*event) {
            return None;
        }
        known.push(event);
    }
    let weight = document.annotation("helm.sh/hook-weight");
    let weight = weight.and_then(|text| text.parse().ok()).unwrap_or(0);
    let policies = document.annotation("helm.sh/hook-delete-policy");
    let delete_policies = policies.map(|text| words(&text)).unwrap_or_default();
    Some(Hook { document, events: known, weight, delete_policies })
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(|word| word.trim().to_lowercase()).collect()
}

fn sort_by_kind<T>(items: &mut [T], kind: impl Fn(&T) -> &str) {
    let rank = |item: &T| INSTALL_ORDER.iter().position(|known| *known == kind(item));
    items.sort_by(|a, b| match (rank(a), rank(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => kind(a).cmp(kind(b)),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_where_helm_splits_them() {
        let text = "\n---\na: 1\n--- \n\n---kind: X\nb: |\n  ---\n";
        let documents: Vec<&str> = split_manifests(text).collect();
        assert_eq!(documents, ["a: 1\n", "kind: X\nb: |\n  ---\n"]);
    }
}
