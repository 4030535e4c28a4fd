//! Documents → documents in install order, hooks apart.
//!
//! Owns Helm's order of kinds, and what hook annotations mean. Start at [`sort_documents`].

use super::documents::{Document, split_manifests};
use super::error::Error;
use super::glob::file_match;

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

/// Takes the hooks out of rendered documents, and sorts both.
pub(super) fn sort_documents(all: Vec<Document>) -> (Vec<Document>, Vec<Hook>) {
    let (hooks, mut documents): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|document| document.hook_events().is_some());
    let mut hooks: Vec<Hook> = hooks.into_iter().filter_map(hook).collect();
    sort_by_kind(&mut documents, Document::kind);
    sort_by_kind(&mut hooks, |hook| hook.document.kind());
    (documents, hooks)
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
fn hook(document: Document) -> Option<Hook> {
    let mut known = Vec::new();
    for event in words(document.hook_events()?) {
        // Helm 2's name for the same thing.
        let event = if event == "test-success" { "test".to_owned() } else { event };
        if !EVENTS.contains(&&*event) {
            return None;
        }
        known.push(event);
    }
    let weight = document.hook_weight().and_then(|text| text.parse().ok()).unwrap_or(0);
    let delete_policies = document.hook_delete_policy().map(words).unwrap_or_default();
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
