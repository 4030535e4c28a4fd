//! The namespace of a release: made when missing, labelled when asked, refused when not allowed; and what is copied
//! into it from the hub.
//!
//! Owns these rules. Must not know objects of bundles. Start at [`prepare`].

use std::collections::BTreeMap;

use bundle_format::api::BundleDeployment;
use bundle_format::api::labels::BUNDLE_DEPLOYMENT;
use bundle_format::api::options::BundleDeploymentOptions;
use bundle_format::target::selector::{Selector, SelectorError};
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt};
use runtime::{ApiError, Classify, ErrorClass};
use serde_json::{Map, Value, json};

use crate::live::member::{CallError, Member};
use crate::plan::ObjectKey;
use crate::plan::gate::selector_text;

/// Why the namespace is not usable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It must exist and does not.
    #[error("target namespace {name} does not exist on downstream cluster")]
    Missing {
        /// Name of the namespace.
        name: String,
    },
    /// Its labels do not allow it.
    #[error(
        "target namespace {name} does not match AllowedTargetNamespaceSelector ({selector}); namespace labels {labels}"
    )]
    NotAllowed {
        /// Name of the namespace.
        name: String,
        /// The selector.
        selector: String,
        /// What it has.
        labels: String,
    },
    /// The selector means nothing.
    #[error("allowedTargetNamespaceSelector")]
    Selector(#[from] SelectorError),
    /// The account may not look at or change it.
    #[error(
        "the deployment's service account is not allowed to {verb} namespace \"{name}\"; grant it that, or leave \
         namespaceLabels and namespaceAnnotations out"
    )]
    Forbidden {
        /// `get` or `update`.
        verb: &'static str,
        /// Name of the namespace.
        name: String,
    },
    /// A Secret or ConfigMap to copy is not on the hub.
    #[error("downstream resource {kind} {name} is not in the cluster's namespace on the hub yet")]
    NoSource {
        /// Kind.
        kind: String,
        /// Name.
        name: String,
    },
    /// Only Secrets and ConfigMaps can be copied.
    #[error("downstreamResources: kind {kind:?} of {name} is not Secret or ConfigMap")]
    Kind {
        /// Kind.
        kind: String,
        /// Name.
        name: String,
    },
    /// The hub did not give the object away.
    #[error(transparent)]
    Hub(#[from] ApiError),
    /// A call to the member failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Call(error) => error.class(),
            Self::Hub(error) => error.class(),
            Self::NoSource { .. } => ErrorClass::Conflict,
            _ => ErrorClass::User,
        }
    }
}

/// Makes the namespace if need be and writes its labels; returns whether it was made.
pub async fn prepare(
    member: &Member,
    name: &str,
    options: &BundleDeploymentOptions,
) -> Result<bool, Error> {
    let key = namespace_key(name);
    let wants_metadata =
        !options.namespace_labels.is_empty() || !options.namespace_annotations.is_empty();
    let selector = options.allowed_target_namespace_selector.as_ref();
    let found = match member.get(&key).await {
        // An account with rights inside the namespace only: it must exist then.
        Err(error) if error.code() == Some(403) && !wants_metadata && selector.is_none() => {
            return Ok(false);
        }
        Err(error) if error.code() == Some(403) => {
            return Err(Error::Forbidden { verb: "get", name: name.to_owned() });
        }
        found => found?,
    };
    if let Some(selector) = selector {
        check_allowed(name, found.as_ref(), selector)?;
    }
    let made = found.is_none() && options.create_namespace != Some(false);
    let namespace = if made {
        let object = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"name": name}}});
        match member.create(&key, &object).await {
            Err(error) if error.code() == Some(409) => member.get(&key).await?,
            created => Some(created?),
        }
    } else {
        found
    };
    if wants_metadata && let Some(namespace) = namespace {
        write_metadata(member, &key, &namespace, options).await?;
    }
    Ok(made)
}

fn check_allowed(
    name: &str,
    found: Option<&Value>,
    selector: &bundle_format::api::selector::LabelSelector,
) -> Result<(), Error> {
    let Some(namespace) = found else { return Err(Error::Missing { name: name.to_owned() }) };
    let labels = text_map(namespace.pointer("/metadata/labels"));
    let compiled = Selector::compile(selector)?;
    if compiled.matches(&labels) {
        return Ok(());
    }
    Err(Error::NotAllowed {
        name: name.to_owned(),
        selector: selector_text(selector),
        labels: map_words(&labels),
    })
}

/// A map in the words of Go's `%v`.
fn map_words(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("map[{}]", pairs.join(" "))
}

/// Replaces labels and annotations of the namespace by the wanted ones; security levels stay as they are.
async fn write_metadata(
    member: &Member,
    key: &ObjectKey,
    namespace: &Value,
    options: &BundleDeploymentOptions,
) -> Result<(), Error> {
    let mut metadata = Map::new();
    for (field, wanted) in
        [("labels", &options.namespace_labels), ("annotations", &options.namespace_annotations)]
    {
        if wanted.is_empty() {
            continue;
        }
        let current = text_map(namespace.pointer(&format!("/metadata/{field}")));
        let change = metadata_change(&current, wanted);
        if !change.is_empty() {
            metadata.insert(field.to_owned(), Value::Object(change));
        }
    }
    if metadata.is_empty() {
        return Ok(());
    }
    match member.merge_patch(key, &json!({ "metadata": metadata })).await {
        Err(error) if error.code() == Some(403) => {
            Err(Error::Forbidden { verb: "update", name: key.name.clone() })
        }
        result => Ok(result.map(|_| ())?),
    }
}

fn metadata_change(
    current: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Map<String, Value> {
    let reserved = |key: &str| {
        key == "kubernetes.io/metadata.name" || key.starts_with("pod-security.kubernetes.io/")
    };
    let removed =
        current.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key, Value::Null));
    let added = wanted.iter().filter(|(key, value)| current.get(*key) != Some(*value));
    let added = added.map(|(key, value)| (key, Value::from(value.as_str())));
    removed
        .chain(added)
        .filter(|(key, _)| !reserved(key))
        .map(|(key, value)| (key.clone(), value))
        .collect()
}

/// Copies the Secrets and ConfigMaps that the hub put beside the deployment into the namespace of the release.
pub async fn copy_downstream_resources(
    hub: &Client,
    member: &Member,
    deployment: &BundleDeployment,
) -> Result<(), Error> {
    let options = &deployment.spec.options;
    let (namespace, owner) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    for wanted in &options.downstream_resources {
        let (kind, plural) = match wanted.kind.to_lowercase().as_str() {
            "secret" => ("Secret", "secrets"),
            "configmap" => ("ConfigMap", "configmaps"),
            _ => return Err(Error::Kind { kind: wanted.kind.clone(), name: wanted.name.clone() }),
        };
        let resource = ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(hub.clone(), &namespace, &resource);
        let found = api.get_opt(&wanted.name).await;
        let found = found.map_err(|error| {
            ApiError::new(format!("read {kind} {namespace}/{}", wanted.name), error)
        })?;
        let Some(source) = found else {
            return Err(Error::NoSource { kind: kind.to_owned(), name: wanted.name.clone() });
        };
        let key = ObjectKey {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: options.release_namespace().to_owned(),
            name: wanted.name.clone(),
        };
        member.apply(&key, &copy_of(&source, &key, &owner)).await?;
    }
    Ok(())
}

fn copy_of(source: &DynamicObject, key: &ObjectKey, owner: &str) -> Value {
    let mut copy = json!({"apiVersion": "v1", "kind": key.kind,
        "metadata": {"name": key.name, "namespace": key.namespace, "labels": {BUNDLE_DEPLOYMENT: owner}}});
    for field in ["data", "binaryData", "type", "immutable"] {
        if let Some(value) = source.data.get(field) {
            copy[field] = value.clone();
        }
    }
    copy
}

fn namespace_key(name: &str) -> ObjectKey {
    ObjectKey {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
    }
}

fn text_map(value: Option<&Value>) -> BTreeMap<String, String> {
    let map = value.and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rules of Fleet 0.16: wanted labels replace all others, security levels are out of reach (CVE-2026-44938).
    #[test]
    fn labels_are_replaced_but_security_levels_stay() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let current = map(&[
            ("kubernetes.io/metadata.name", "n"),
            ("pod-security.kubernetes.io/enforce", "restricted"),
            ("old", "1"),
            ("same", "1"),
        ]);
        let wanted = map(&[
            ("new", "1"),
            ("same", "1"),
            ("pod-security.kubernetes.io/enforce", "privileged"),
        ]);
        assert_eq!(
            Value::Object(metadata_change(&current, &wanted)),
            json!({"new": "1", "old": null})
        );
    }
}
