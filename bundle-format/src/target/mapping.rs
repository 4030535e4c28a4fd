//! Which namespaces' clusters a bundle may go to besides those of its own.
//!
//! Owns BundleNamespaceMapping. Must not know clusters. Start at [`candidate_namespaces`].

use std::collections::{BTreeMap, BTreeSet};

use crate::api::bundle::Bundle;
use crate::api::namespace_mapping::BundleNamespaceMapping;

use super::selector::{Labels, Selector, SelectorError};

/// A mapping with its selectors compiled.
#[derive(Clone, Debug)]
pub struct MappingMatcher {
    namespace: String,
    bundles: Selector,
    namespaces: Selector,
}

impl MappingMatcher {
    /// Compiles a mapping; `None` when it lacks one of its selectors and so maps nothing.
    ///
    /// # Errors
    /// A selector that Kubernetes would refuse.
    pub fn compile(mapping: &BundleNamespaceMapping) -> Result<Option<Self>, SelectorError> {
        let selectors = (&mapping.spec.bundle_selector, &mapping.spec.namespace_selector);
        let (Some(bundles), Some(namespaces)) = selectors else { return Ok(None) };
        Ok(Some(Self {
            namespace: mapping.metadata.namespace.clone().unwrap_or_default(),
            bundles: Selector::compile(bundles)?,
            namespaces: Selector::compile(namespaces)?,
        }))
    }

    /// The namespace of the mapping and of the bundles it is about.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// True when the mapping is about the bundle.
    pub fn maps(&self, bundle: &Bundle) -> bool {
        let no_labels = Labels::new();
        let labels = bundle.metadata.labels.as_ref().unwrap_or(&no_labels);
        bundle.metadata.namespace.as_deref().unwrap_or_default() == self.namespace
            && self.bundles.matches(labels)
    }

    /// True when the mapping leads to a namespace with these labels.
    pub fn reaches(&self, namespace_labels: &Labels) -> bool {
        self.namespaces.matches(namespace_labels)
    }
}

/// The namespaces whose clusters a bundle may go to: its own and those mapped to it. `namespaces`
/// are all that exist, with their labels.
pub fn candidate_namespaces(
    bundle: &Bundle,
    mappings: &[MappingMatcher],
    namespaces: &BTreeMap<String, Labels>,
) -> BTreeSet<String> {
    let own = bundle.metadata.namespace.clone().unwrap_or_default();
    let about: Vec<&MappingMatcher> =
        mappings.iter().filter(|mapping| mapping.maps(bundle)).collect();
    let mapped = namespaces
        .iter()
        .filter(|(_, labels)| about.iter().any(|mapping| mapping.reaches(labels)))
        .map(|(name, _)| name.clone());
    mapped.chain([own]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mapping_needs_both_selectors_and_the_namespace_of_the_bundle() {
        let bundle: Bundle = serde_json::from_value(
            json!({"metadata": {"name": "b", "namespace": "own", "labels": {"team": "x"}}}),
        )
        .expect("a bundle");
        let label = |value: &str| Labels::from([("stage".to_owned(), value.to_owned())]);
        let namespaces =
            BTreeMap::from([("dev".to_owned(), label("dev")), ("prod".to_owned(), label("prod"))]);
        for (namespace, team, selector, expected) in [
            ("own", "x", json!({"matchLabels": {"stage": "dev"}}), &["dev", "own"][..]),
            ("own", "y", json!({"matchLabels": {"stage": "dev"}}), &["own"]),
            ("other", "x", json!({}), &["own"]),
            ("own", "x", json!(null), &["own"]),
            ("own", "x", json!({}), &["dev", "own", "prod"]),
        ] {
            let mapping: BundleNamespaceMapping = serde_json::from_value(json!({
                "metadata": {"name": "m", "namespace": namespace},
                "bundleSelector": {"matchLabels": {"team": team}}, "namespaceSelector": selector,
            }))
            .expect("a mapping");
            let compiled = MappingMatcher::compile(&mapping).expect("valid selectors");
            let mappings: Vec<_> = compiled.into_iter().collect();
            let found = candidate_namespaces(&bundle, &mappings, &namespaces);
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        }
    }
}
