//! What every cluster has from the start: system namespaces, the API's own service, default roles.
//!
//! Owns the list of these objects. Start at [`write_system_objects`].

use std::sync::Arc;

use serde_json::{Value, json};

use crate::builtin;
use crate::server::Server;
use crate::verbs::write::{self, How};

/// Creates what is missing; what is there stays as it is.
pub(crate) async fn write_system_objects(server: &Arc<Server>) {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        put(server, "", "namespaces", None, json!({"metadata": {"name": name}})).await;
    }
    let service = json!({"metadata": {"name": "kubernetes", "namespace": "default",
        "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"clusterIP": "10.0.0.1", "type": "ClusterIP",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]}});
    put(server, "", "services", Some("default"), service).await;
    // All at once, so that a durable store syncs them as one group.
    let roles = builtin::bootstrap_rbac().iter().flat_map(|(plural, objects)| {
        objects.iter().map(move |object| {
            let namespace = object["metadata"]["namespace"].as_str();
            put(server, "rbac.authorization.k8s.io", plural, namespace, object.clone())
        })
    });
    futures::future::join_all(roles).await;
}

async fn put(
    server: &Arc<Server>,
    group: &str,
    plural: &str,
    namespace: Option<&str>,
    object: Value,
) {
    let Some(kind) = server.registry().find(group, "v1", plural) else { return };
    let how = How::internal("kube-apiserver");
    match write::create(server, &kind, namespace, object, &how).await {
        Ok(_) => {}
        Err(error) if error.reason == "AlreadyExists" => {}
        Err(error) => tracing::error!(%error, plural, "a system object could not be written"),
    }
}
