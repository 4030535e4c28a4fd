//! Objects over all clusters: their states and counts.
//!
//! Owns `status.resources`, `resourceCounts` and `perClusterResourceCounts` of GitRepo and HelmOp,
//! and the counts of clusters and groups. Must not know caches. Start at [`aggregate_resources`].

use std::collections::BTreeMap;

use crate::api::bundle::{PerClusterState, Resource, ResourceCounts};
use crate::api::bundle_deployment::BundleDeployment;
use crate::api::labels;

use super::{BundleState, deployment_state};

/// The most bytes of cluster names in all entries together: 1 MiB (Fleet 0.16).
const MAX_CLUSTER_BYTES: usize = 1 << 20;

/// Adds counts to counts.
pub fn add_counts(total: &mut ResourceCounts, part: &ResourceCounts) {
    total.ready += part.ready;
    total.desired_ready += part.desired_ready;
    total.wait_applied += part.wait_applied;
    total.modified += part.modified;
    total.orphaned += part.orphaned;
    total.missing += part.missing;
    total.unknown += part.unknown;
    total.not_ready += part.not_ready;
}

/// Takes counts out of counts: what one deployment added before it changed.
pub fn subtract_counts(total: &mut ResourceCounts, part: &ResourceCounts) {
    total.ready -= part.ready;
    total.desired_ready -= part.desired_ready;
    total.wait_applied -= part.wait_applied;
    total.modified -= part.modified;
    total.orphaned -= part.orphaned;
    total.missing -= part.missing;
    total.unknown -= part.unknown;
    total.not_ready -= part.not_ready;
}

/// `<cluster namespace>/<cluster>` of a BundleDeployment, from its labels.
pub fn cluster_id(deployment: &BundleDeployment) -> String {
    let label = |key: &str| {
        let labels = deployment.metadata.labels.as_ref();
        labels.and_then(|map| map.get(key)).map_or("", String::as_str)
    };
    format!("{}/{}", label(labels::CLUSTER_NAMESPACE), label(labels::CLUSTER))
}

/// The objects of these BundleDeployments, merged over clusters and sorted by type and id.
pub fn aggregate_resources<'a>(
    deployments: impl IntoIterator<Item = &'a BundleDeployment>,
) -> Vec<Resource> {
    let mut by_cluster: Vec<(String, &BundleDeployment)> =
        deployments.into_iter().map(|deployment| (cluster_id(deployment), deployment)).collect();
    // The state of an object is that of the first cluster where it is not ready: order matters.
    by_cluster.sort_by(|a, b| (&a.0, &a.1.metadata.name).cmp(&(&b.0, &b.1.metadata.name)));
    let mut entries: BTreeMap<ObjectKey<'a>, Vec<Entry>> = BTreeMap::new();
    for (cluster, deployment) in by_cluster {
        for (key, state) in object_states(deployment) {
            let is_incomplete = deployment.status.as_ref().is_some_and(|s| s.incomplete_state);
            let entry = Entry { cluster: cluster.clone(), state, is_incomplete };
            entries.entry(key).or_default().push(entry);
        }
    }
    let mut cluster_bytes = 0;
    let mut resources: Vec<Resource> = entries
        .iter()
        .rev()
        .map(|(key, entries)| key.to_resource(entries, &mut cluster_bytes))
        .collect();
    resources.sort_by(|a, b| (&a.type_, &a.id).cmp(&(&b.type_, &b.id)));
    resources
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ObjectKey<'a> {
    kind: &'a str,
    api_version: &'a str,
    namespace: &'a str,
    name: &'a str,
}

struct Entry {
    cluster: String,
    state: String,
    is_incomplete: bool,
}

impl ObjectKey<'_> {
    fn to_resource(self, entries: &[Entry], cluster_bytes: &mut usize) -> Resource {
        let mut resource = Resource {
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            type_: resource_type(self.api_version, self.kind),
            id: match self.namespace {
                "" => self.name.to_owned(),
                namespace => format!("{namespace}/{}", self.name),
            },
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            state: BundleState::Ready.as_str().to_owned(),
            ..Default::default()
        };
        for entry in entries {
            resource.incomplete_state |= entry.is_incomplete;
            *cluster_bytes += entry.cluster.len();
            if *cluster_bytes < MAX_CLUSTER_BYTES
                && let Some(list) = state_list(&mut resource.per_cluster_state, &entry.state)
            {
                list.push(entry.cluster.clone());
            }
            if resource.state == BundleState::Ready.as_str() {
                resource.state.clone_from(&entry.state);
            }
        }
        resource
    }
}

/// The state of each object of one BundleDeployment: that of the deployment, unless the object has
/// one of its own.
fn object_states(deployment: &BundleDeployment) -> BTreeMap<ObjectKey<'_>, String> {
    let Some(status) = &deployment.status else { return BTreeMap::new() };
    let default = match deployment_state(deployment) {
        // These two come from the objects, so they say nothing about the others.
        BundleState::NotReady | BundleState::Modified if status.incomplete_state => "Unknown",
        BundleState::NotReady | BundleState::Modified => "Ready",
        state => state.as_str(),
    };
    let mut states = BTreeMap::new();
    for object in &status.resources {
        let key = ObjectKey {
            kind: &object.kind,
            api_version: &object.api_version,
            namespace: &object.namespace,
            name: &object.name,
        };
        states.insert(key, default.to_owned());
    }
    for object in &status.non_ready_status {
        let key = ObjectKey {
            kind: &object.kind,
            api_version: &object.api_version,
            namespace: &object.namespace,
            name: &object.name,
        };
        states.insert(key, object.summary.state.clone());
    }
    for object in &status.modified_status {
        let key = ObjectKey {
            kind: &object.kind,
            api_version: &object.api_version,
            namespace: &object.namespace,
            name: &object.name,
        };
        let state = match (object.delete, object.missing) {
            (true, _) => "Orphaned",
            (false, true) => "Missing",
            (false, false) => "Modified",
        };
        states.insert(key, state.to_owned());
    }
    states
}

fn state_list<'a>(states: &'a mut PerClusterState, state: &str) -> Option<&'a mut Vec<String>> {
    Some(match state {
        "Ready" => &mut states.ready,
        "WaitApplied" => &mut states.wait_applied,
        "Pending" => &mut states.pending,
        "Modified" => &mut states.modified,
        "NotReady" | "updating" | "error" => &mut states.not_ready,
        "Orphaned" => &mut states.orphaned,
        "Missing" => &mut states.missing,
        "Unknown" => &mut states.unknown,
        _ => return None,
    })
}

/// `<group>.<kind>` in lower case, `<kind>` for the core group.
fn resource_type(api_version: &str, kind: &str) -> String {
    let kind = kind.to_lowercase();
    match api_version.split('/').next().unwrap_or_default() {
        "" | "v1" => kind,
        group => format!("{group}.{kind}"),
    }
}
