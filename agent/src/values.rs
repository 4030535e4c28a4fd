//! The values of a deployment: those the hub keeps in a Secret, and those read on the member.
//!
//! Owns the check of the hash, the look-ups and the merge order. Must not know charts. Start at
//! [`observe_values`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bundle_format::api::BundleDeployment;
use bundle_format::api::labels::{STAGED_VALUES_KEY, VALUES_KEY, VALUES_YAML_KEY};
use bundle_format::api::options::{KeySelector, ValuesFrom};
use bundle_format::api::wire::Object;
use bundle_format::content::deployment_values_hash;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use runtime::{ApiError, Classify, ErrorClass};
use serde_json::Value;

use crate::live::member::{CallError, Member};
use crate::plan::ObjectKey;

/// Why the values cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hub did not give the Secret away.
    #[error(transparent)]
    Hub(#[from] ApiError),
    /// The Secret is not (or not yet) the one the deployment was made with.
    #[error(
        "retrying, hash mismatch between secret and bundledeployment: actual {actual} != expected {expected}"
    )]
    Hash {
        /// Hash of what the Secret holds.
        actual: String,
        /// Hash the deployment names.
        expected: String,
    },
    /// The Secret of the hub does not hold a JSON object.
    #[error("the values of this deployment are not a JSON object")]
    NotAnObject,
    /// An object named by `valuesFrom` does not exist.
    #[error("{kind}s \"{name}\" not found; valuesFrom looks for it in namespace {namespace}")]
    NoSource {
        /// `secret` or `configmap`.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// Namespace of the object.
        namespace: String,
    },
    /// The object lacks the key.
    #[error("key {key} is missing from {kind} {namespace}/{name}, can't use it in valuesFrom")]
    NoKey {
        /// Key.
        key: String,
        /// `secret` or `configmap`.
        kind: &'static str,
        /// Namespace of the object.
        namespace: String,
        /// Name of the object.
        name: String,
    },
    /// The text under the key is not a YAML map.
    #[error("key {key} of {kind} {namespace}/{name} does not hold a YAML map")]
    NotValues {
        /// Key.
        key: String,
        /// `secret` or `configmap`.
        kind: &'static str,
        /// Namespace of the object.
        namespace: String,
        /// Name of the object.
        name: String,
    },
    /// The member did not give the object away.
    #[error(transparent)]
    Member(#[from] CallError),
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Hub(error) => error.class(),
            Self::Member(error) => error.class(),
            Self::Hash { .. } => ErrorClass::Conflict,
            _ => ErrorClass::User,
        }
    }
}

/// Reads all values of a deployment: the hub's Secret, then `valuesFrom` in order, later ones winning.
///
/// `member` must act as the deployment's account: what it may not read, its charts may not see.
pub async fn observe_values(
    hub: &Client,
    member: &Member,
    deployment: &BundleDeployment,
) -> Result<Object, Error> {
    let mut values = from_hub(hub, deployment).await?;
    let options = &deployment.spec.options;
    let sources = options.helm.as_ref().map(|helm| helm.values_from.as_slice()).unwrap_or_default();
    for source in sources {
        for over in from_member(member, source, options.release_namespace()).await? {
            merge_values(&mut values, over);
        }
    }
    Ok(values)
}

async fn from_hub(hub: &Client, deployment: &BundleDeployment) -> Result<Object, Error> {
    let inline = deployment.spec.options.values().cloned().unwrap_or_default();
    let expected = &deployment.spec.values_hash;
    if expected.is_empty() {
        return Ok(inline);
    }
    let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    let secrets: Api<Secret> = Api::namespaced(hub.clone(), &namespace);
    let secret = secrets.get(&name).await.map_err(|error| {
        ApiError::new(format!("read the values in secret {namespace}/{name}"), error)
    })?;
    let data = secret.data.unwrap_or_default();
    let bytes = |key: &str| data.get(key).map(|bytes| bytes.0.as_slice()).unwrap_or_default();
    let actual = deployment_values_hash(bytes(VALUES_KEY), bytes(STAGED_VALUES_KEY));
    if actual != *expected {
        return Err(Error::Hash { actual, expected: expected.clone() });
    }
    if bytes(VALUES_KEY).is_empty() {
        return Ok(inline);
    }
    // The parser's message would quote the text, and values hold credentials.
    match serde_json::from_slice(bytes(VALUES_KEY)) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(Value::Null) => Ok(Object::new()),
        _ => Err(Error::NotAnObject),
    }
}

async fn from_member(
    member: &Member,
    source: &ValuesFrom,
    release_namespace: &str,
) -> Result<Vec<Object>, Error> {
    let mut found = Vec::new();
    if let Some(selector) = &source.config_map_key_ref {
        found.push(read_key(member, selector, "configmap", release_namespace).await?);
    }
    if let Some(selector) = &source.secret_key_ref {
        found.push(read_key(member, selector, "secret", release_namespace).await?);
    }
    Ok(found)
}

async fn read_key(
    member: &Member,
    selector: &KeySelector,
    kind: &'static str,
    release_namespace: &str,
) -> Result<Object, Error> {
    let or = |text: &str, default: &str| {
        if text.is_empty() { default.to_owned() } else { text.to_owned() }
    };
    let (name, namespace) = (selector.name.clone(), or(&selector.namespace, release_namespace));
    let key = or(&selector.key, VALUES_YAML_KEY);
    let object_key = ObjectKey {
        api_version: "v1".to_owned(),
        kind: if kind == "secret" { "Secret" } else { "ConfigMap" }.to_owned(),
        namespace: namespace.clone(),
        name: name.clone(),
    };
    let Some(object) = member.get(&object_key).await? else {
        return Err(Error::NoSource { kind, name, namespace });
    };
    let Some(text) = object.get("data").and_then(|data| data.get(&key)).and_then(Value::as_str)
    else {
        return Err(Error::NoKey { key, kind, namespace, name });
    };
    let text = if kind == "secret" {
        STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok())
    } else {
        Some(text.to_owned())
    };
    match text.as_deref().map(goyaml::from_str) {
        Some(Ok(Value::Object(values))) => Ok(values),
        Some(Ok(Value::Null)) => Ok(Object::new()),
        _ => Err(Error::NotValues { key, kind, namespace, name }),
    }
}

/// Merges maps deeply; everything else is replaced.
fn merge_values(base: &mut Object, over: Object) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(base)), Value::Object(over)) => merge_values(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn later_values_win_and_maps_merge() {
        let Value::Object(mut base) = json!({"a": {"x": 1, "y": 2}, "l": [1, 2]}) else {
            unreachable!()
        };
        let Value::Object(over) = json!({"a": {"y": 3}, "l": [9], "n": null}) else {
            unreachable!()
        };
        merge_values(&mut base, over);
        assert_eq!(Value::Object(base), json!({"a": {"x": 1, "y": 3}, "l": [9], "n": null}));
    }
}
