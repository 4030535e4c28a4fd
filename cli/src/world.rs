//! Clusters, groups and namespaces from a file, in place of an API server.
//!
//! Owns the objects that targeting looks at. Must not know bundles' targets. Start at
//! [`World::read`].

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use bundle_format::api::bundle::Bundle;
use bundle_format::api::cluster::Cluster;
use bundle_format::api::cluster_group::ClusterGroup;
use bundle_format::api::names;
use bundle_format::api::namespace_mapping::BundleNamespaceMapping;
use bundle_format::target::ClusterView;
use bundle_format::target::mapping::{MappingMatcher, candidate_namespaces};
use bundle_format::target::selector::Labels;
use bundle_format::target::view::{GroupMatcher, groups_of_cluster};
use serde_json::Value;

use crate::input::{decode, kind_of, read_documents};

/// What targeting looks at.
#[derive(Debug, Default)]
pub struct World {
    clusters: Vec<Cluster>,
    groups: Vec<GroupMatcher>,
    mappings: Vec<MappingMatcher>,
    namespaces: BTreeMap<String, Labels>,
}

impl World {
    /// Reads Clusters, ClusterGroups, BundleNamespaceMappings and Namespaces from a file; other
    /// kinds are passed over.
    ///
    /// # Errors
    /// A file that cannot be read, or an object in it that is not what its kind says.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let mut world = Self::default();
        for document in read_documents(file)? {
            world.add(&document).with_context(|| file.display().to_string())?;
        }
        Ok(world)
    }

    fn add(&mut self, document: &Value) -> anyhow::Result<()> {
        match kind_of(document) {
            "Cluster" => self.clusters.push(decode(document)?),
            "ClusterGroup" => {
                self.groups.push(GroupMatcher::compile(&decode::<ClusterGroup>(document)?)?);
            }
            "BundleNamespaceMapping" => {
                let mapping: BundleNamespaceMapping = decode(document)?;
                self.mappings.extend(MappingMatcher::compile(&mapping)?);
            }
            "Namespace" => {
                let name = document["metadata"]["name"].as_str().unwrap_or_default();
                let labels = document["metadata"]["labels"].clone();
                let labels = serde_json::from_value(labels).unwrap_or_default();
                self.namespaces.insert(name.to_owned(), labels);
            }
            _ => {}
        }
        Ok(())
    }

    /// The clusters that a bundle may go to.
    pub fn candidates(&self, bundle: &Bundle) -> Vec<ClusterView> {
        let namespaces = candidate_namespaces(bundle, &self.mappings, &self.namespaces);
        let candidates = self.clusters.iter().filter(|cluster| {
            namespaces.contains(cluster.metadata.namespace.as_deref().unwrap_or_default())
        });
        candidates
            .map(|cluster| {
                let mut view =
                    ClusterView::of_cluster(cluster, groups_of_cluster(&self.groups, cluster));
                // A file written by hand has no status; the hub would give this namespace.
                view.cluster_namespace
                    .get_or_insert_with(|| names::cluster_namespace(&view.namespace, &view.name));
                view
            })
            .collect()
    }
}
