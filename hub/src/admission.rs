//! What happens to a Pod on its way in: its service account gives it a token.
//!
//! Owns the work of the peer's ServiceAccount admission plugin. Start at [`admit_pod`].

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::meta;
use crate::registry::Kind;
use crate::server::Server;
use crate::store::Key;

/// Where programs look for their token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Names the account of a Pod, and mounts its token, the cluster's CA and the namespace.
pub(crate) fn admit_pod(
    server: &Server,
    kind: &Kind,
    namespace: &str,
    pod: &mut Value,
) -> Result<(), ApiError> {
    let spec = &pod["spec"];
    let named = [&spec["serviceAccountName"], &spec["serviceAccount"]];
    let name = named.into_iter().filter_map(Value::as_str).find(|name| !name.is_empty());
    let name = name.unwrap_or("default").to_owned();
    let key = Key::new(&"/serviceaccounts".into(), Some(namespace), &name);
    let account = match server.store.latest(&key) {
        Some(entry) => entry.value(),
        // Every namespace gets this one; the peer refuses Pods until it has.
        None if name == "default" => Value::Null,
        None => {
            let why = format!(
                "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
            );
            return Err(ApiError::forbidden(&kind.about(meta::text(pod, "name")), &why));
        }
    };
    let spec = meta::object_mut(&mut pod["spec"]);
    spec.insert("serviceAccountName".into(), name.into());
    let wish = spec.get("automountServiceAccountToken").and_then(Value::as_bool);
    let wish = wish.or(account["automountServiceAccountToken"].as_bool());
    if wish.unwrap_or(true) {
        mount_token(&mut pod["spec"], &format!("kube-api-access-{}", server.world.name_suffix()));
    }
    let secrets = &account["imagePullSecrets"];
    if pod["spec"]["imagePullSecrets"].is_null() && secrets.is_array() {
        pod["spec"]["imagePullSecrets"] = secrets.clone();
    }
    Ok(())
}

fn mount_token(spec: &mut Value, volume: &str) {
    let mut is_used = false;
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let mounts = &mut container["volumeMounts"];
            let has_own = mounts.as_array().into_iter().flatten();
            if has_own.into_iter().any(|mount| mount["mountPath"] == MOUNT_PATH) {
                continue;
            }
            is_used = true;
            let mount = json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH});
            push(mounts, mount);
        }
        if spec[list].is_null() {
            meta::object_mut(spec).remove(list);
        }
    }
    if is_used {
        push(&mut spec["volumes"], token_volume(volume));
    }
}

fn push(list: &mut Value, item: Value) {
    match list.as_array_mut() {
        Some(items) => items.push(item),
        None => *list = json!([item]),
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_mounted_where_there_is_no_other() {
        let own = json!({"name": "own", "mountPath": MOUNT_PATH});
        let mut spec = json!({"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [own]}]});
        mount_token(&mut spec, "kube-api-access-x");
        assert_eq!(
            spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["path"],
            "token"
        );
        assert_eq!(spec["containers"][0]["volumeMounts"][0]["name"], "kube-api-access-x");
        assert_eq!(spec["containers"][1]["volumeMounts"], json!([own]));
        assert!(spec.get("initContainers").is_none());
    }
}
