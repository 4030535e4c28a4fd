//! What a pass over a Bundle needs to know, from local copies alone.
//!
//! Owns the reading. Decides nothing. Start at [`observe_bundle`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bundle_format::api::{
    Bundle, BundleDeployment, BundleDeploymentOptions, HelmOptions, Object, labels, names,
};
use bundle_format::content::bundle_values_hash;
use bundle_format::footprint::Interest;
use bundle_format::options::Rules;
use bundle_format::target::ClusterView;
use bundle_format::target::is_candidate;
use bundle_format::target::mapping::{MappingMatcher, candidate_namespaces};
use bundle_format::target::selector::SelectorError;
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::ObjectKey;

use super::plan::policy::{PolicyError, PolicyUnion};
use crate::fleet::BrokenGroup;
use crate::stores::{BY_BUNDLE, KnownBundle, Stores, bundle_of};

/// A Bundle that cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The Secret with its values is not there, or not the right one.
    #[error("failed to load values secret for bundle {bundle}: {detail}")]
    Values {
        /// The Bundle.
        bundle: String,
        /// What is wrong.
        detail: String,
    },
    /// A BundleNamespaceMapping or ClusterGroup has a selector that means nothing.
    #[error("{object} has a selector that cannot be used")]
    Selector {
        /// Which object.
        object: String,
        /// Why.
        #[source]
        source: SelectorError,
    },
    /// A Policy forbids it.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// All a pass needs to know.
pub struct BundleWorld {
    /// The Bundle, with its values put back, without its files.
    pub bundle: Bundle,
    /// The clusters it may go to at all.
    pub clusters: Vec<Arc<ClusterView>>,
    /// Its BundleDeployments by namespace.
    pub deployments: BTreeMap<String, Arc<BundleDeployment>>,
    /// What administrators add to its options.
    pub rules: Rules,
}

impl BundleWorld {
    /// The BundleDeployment for a cluster.
    pub fn deployment_of(&self, cluster: &ClusterView) -> Option<&BundleDeployment> {
        let namespace = cluster.cluster_namespace.as_ref()?;
        self.deployments.get(namespace).map(|held| &**held)
    }
}

/// Reads everything about a Bundle from the local copies. From now on changes of clusters that are
/// its business are told to it.
///
/// # Errors
/// When its values are missing, a selector means nothing, or a Policy forbids it.
pub fn observe_bundle(stores: &Stores, known: &KnownBundle) -> Result<BundleWorld, ObserveError> {
    let key = ObjectKey::of_meta(&known.bundle.metadata);
    let mut bundle = known.bundle.clone();
    let policies = PolicyUnion::of(&stores.policies.list_in(&key.namespace));
    if !is_agent_bundle(stores, &bundle) {
        policies.check_bundle(&bundle)?;
    }
    restore_values(stores, &key, &mut bundle)?;
    let namespaces = namespaces_for(stores, &bundle)?;
    let attended = stores.fleet.attend(&key, Interest::of_bundle(&bundle), namespaces);
    let mut clusters = attended.map_err(|BrokenGroup { group, source }| {
        let object = format!("ClusterGroup {group}");
        ObserveError::Selector { object, source }
    })?;
    clusters
        .retain(|cluster| cluster.cluster_namespace.is_some() && is_candidate(&bundle, cluster));
    let restrictions = stores.restrictions.list_in(&key.namespace);
    let rules = Rules {
        // A template that asks for the time gets that of the Bundle's creation: with the real one
        // every pass would be a new version.
        now: bundle.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0),
        allowed_target_namespace_selector: restrictions
            .iter()
            .find_map(|held| held.spec.allowed_target_namespace_selector.clone()),
        forbid_namespace_creation: policies.forbids_namespace_creation(),
    };
    let deployments = deployments_of(stores, &key);
    Ok(BundleWorld { bundle, clusters, deployments, rules })
}

/// Whether a Bundle is the one the hub itself keeps for a Cluster's agent; no Policy is meant for
/// it. The name alone would let anybody pass.
fn is_agent_bundle(stores: &Stores, bundle: &Bundle) -> bool {
    let id = crate::stores::annotation(&bundle.metadata, labels::OBJECT_SET_ID);
    let [target] = bundle.spec.targets.as_slice() else { return false };
    let key = ObjectKey::new(bundle.namespace().unwrap_or_default(), &target.cluster_name);
    id == Some(labels::MANAGE_AGENT_SET_ID)
        && bundle.name_any() == names::agent_bundle(&target.cluster_name)
        && stores.clusters.get(&key).is_some_and(|cluster| {
            let managed_by = crate::stores::label(&cluster.metadata, labels::CLUSTER_MANAGEMENT);
            managed_by.is_none_or(str::is_empty)
        })
}

/// The BundleDeployments of a Bundle, by namespace.
pub fn deployments_of(stores: &Stores, key: &ObjectKey) -> BTreeMap<String, Arc<BundleDeployment>> {
    stores
        .deployments
        .by_index(BY_BUNDLE, &key.to_string())
        .into_iter()
        .filter(|held| held.name_any() == key.name && held.metadata.deletion_timestamp.is_none())
        .map(|held| (held.namespace().unwrap_or_default(), held))
        .collect()
}

/// The BundleDeployment of a Bundle in one namespace.
pub fn deployment_in(
    stores: &Stores,
    key: &ObjectKey,
    home: &str,
) -> Option<Arc<BundleDeployment>> {
    let held = stores.deployments.get(&ObjectKey::new(home, &key.name))?;
    let is_ours = bundle_of(&held.metadata).as_ref() == Some(key);
    (is_ours && held.metadata.deletion_timestamp.is_none()).then_some(held)
}

/// The Bundle's own namespace, and those its namespace was mapped to.
fn namespaces_for(stores: &Stores, bundle: &Bundle) -> Result<BTreeSet<String>, ObserveError> {
    let own = bundle.namespace().unwrap_or_default();
    let mut mappings = Vec::new();
    for mapping in stores.mappings.list_in(&own) {
        let compiled = MappingMatcher::compile(&mapping).map_err(|source| {
            let object = format!("BundleNamespaceMapping {own}/{}", mapping.name_any());
            ObserveError::Selector { object, source }
        })?;
        mappings.extend(compiled);
    }
    if mappings.is_empty() {
        return Ok(BTreeSet::from([own]));
    }
    let known = stores.namespaces.list();
    let namespaces = known.iter().map(|held| (held.name_any(), held.labels().clone())).collect();
    Ok(candidate_namespaces(bundle, &mappings, &namespaces))
}

/// Puts the values back that the reader moved into a Secret.
fn restore_values(
    stores: &Stores,
    key: &ObjectKey,
    bundle: &mut Bundle,
) -> Result<(), ObserveError> {
    if bundle.spec.values_hash.is_empty() {
        return Ok(());
    }
    let fail = |detail: String| ObserveError::Values { bundle: key.to_string(), detail };
    let secret =
        stores.bundle_values.get(key).ok_or_else(|| fail(format!("secret {key} not found")))?;
    let data: BTreeMap<String, Vec<u8>> =
        secret.data.iter().flatten().map(|(name, bytes)| (name.clone(), bytes.0.clone())).collect();
    let found = bundle_values_hash(&data);
    if found != bundle.spec.values_hash {
        let wanted = &bundle.spec.values_hash;
        return Err(fail(format!("its hash is {found}, the bundle names {wanted}")));
    }
    let parse = |name: &str| -> Result<Option<Object>, ObserveError> {
        let Some(bytes) = data.get(name) else { return Ok(None) };
        let parsed = serde_json::from_slice(bytes);
        // The parser's words could quote the values.
        parsed.map(Some).map_err(|_| fail(format!("key {name:?} is not a JSON object")))
    };
    set_values(&mut bundle.spec.options, parse(labels::VALUES_YAML_KEY)?);
    for target in &mut bundle.spec.targets {
        set_values(&mut target.options, parse(&target.name)?);
    }
    Ok(())
}

fn set_values(options: &mut BundleDeploymentOptions, values: Option<Object>) {
    if values.is_some() {
        options.helm.get_or_insert_with(HelmOptions::default).values = values;
    }
}
