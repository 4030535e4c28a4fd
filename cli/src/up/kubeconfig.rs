//! The kubeconfig that `fleet up` leaves: one context for each cluster.
//!
//! Owns the file. Start at [`write_kubeconfig`].

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cluster::Cluster;

/// Writes the file; the first cluster is the current context.
pub(super) fn write_kubeconfig(path: &Path, clusters: &[&Cluster]) -> anyhow::Result<()> {
    let (mut rows, mut users, mut contexts) = (Vec::new(), Vec::new(), Vec::new());
    for cluster in clusters {
        let (name, identity) = (cluster.name.as_str(), cluster.identity()?);
        rows.push(json!({"name": name, "cluster": {"server": cluster.url(),
            "certificate-authority-data": STANDARD.encode(cluster.ca())}}));
        users.push(json!({"name": name, "user": {
            "client-certificate-data": STANDARD.encode(&identity.certificate),
            "client-key-data": STANDARD.encode(&identity.key)}}));
        contexts.push(json!({"name": name, "context": {"cluster": name, "user": name}}));
    }
    let current = clusters.first().map(|c| c.name.as_str());
    let config: Value = json!({"apiVersion": "v1", "kind": "Config", "clusters": rows,
        "users": users, "contexts": contexts, "current-context": current});
    let text = serde_yaml::to_string(&config).context("writing the kubeconfig")?;
    // Whoever waits for the file must not read half of it.
    let partial = path.with_extension("partial");
    let written =
        hub::write_private(&partial, &text).and_then(|()| std::fs::rename(&partial, path));
    written.with_context(|| format!("writing {}", path.display()))
}
