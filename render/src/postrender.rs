//! What every object gets after rendering: marks of its set, a forced namespace, a policy for definitions.
//!
//! Owns the marks and the manifest text. Must not know where objects came from. Start at [`finish`].

use bundle_format::api::labels::{OBJECT_SET_HASH, OBJECT_SET_ID};
use bundle_format::api::names::object_set_hash;
use bundle_format::api::options::BundleDeploymentOptions;
use serde_json::{Map, Value};

use crate::objects::{sort_by_source, sort_for_install, text_at};
use crate::{Error, RenderRequest, RenderedObject, RenderedSet};

const RESOURCE_POLICY: &str = "helm.sh/resource-policy";
const HOOK: &str = "helm.sh/hook";

/// Tells which kinds live in namespaces.
pub trait Scopes {
    /// `None` when the kind is not known.
    fn is_namespaced(&self, api_version: &str, kind: &str) -> Option<bool>;
}

/// Knows no kind: nothing is refused and every object takes the forced namespace, as `fleet deploy --dry-run`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoScopes;

impl Scopes for NoScopes {
    fn is_namespaced(&self, _: &str, _: &str) -> Option<bool> {
        None
    }
}

/// Marks all objects, sorts them, takes the hooks out and writes the manifest.
pub(crate) fn finish(
    set: &mut RenderedSet,
    options: &BundleDeploymentOptions,
    request: &RenderRequest<'_>,
) -> Result<(), Error> {
    let hash = object_set_hash(request.set_id);
    for object in &mut set.objects {
        mark(&mut object.value, request.set_id, &hash);
        if text_at(&object.value, "kind") == "CustomResourceDefinition"
            && !options.delete_crd_resources
        {
            set_member(&mut object.value, "annotations", RESOURCE_POLICY, "keep");
        }
        if !options.namespace.is_empty() {
            force_namespace(&mut object.value, &options.namespace, request.scopes)?;
        }
    }
    sort_by_source(&mut set.objects);
    sort_for_install(&mut set.objects);
    let (hooks, objects): (Vec<_>, Vec<_>) =
        std::mem::take(&mut set.objects).into_iter().partition(is_hook);
    set.manifest = manifest_text(&objects);
    set.objects = objects;
    set.hooks = hooks;
    Ok(())
}

/// Gives namespaced objects without a namespace the one of the release. Helm does this while applying: the
/// manifest text does not show it.
pub fn fill_namespaces(objects: &mut [RenderedObject], namespace: &str, scopes: &dyn Scopes) {
    for object in objects {
        let value = &mut object.value;
        let namespaced = scopes.is_namespaced(text_at(value, "apiVersion"), text_at(value, "kind"));
        match namespaced {
            Some(true)
                if value["metadata"]["namespace"].as_str().unwrap_or_default().is_empty() =>
            {
                value["metadata"]["namespace"] = namespace.into();
            }
            // A namespace on a cluster-scoped object is ignored by kubectl and Helm as well.
            Some(false) => {
                if let Some(metadata) = value["metadata"].as_object_mut() {
                    metadata.remove("namespace");
                }
            }
            _ => {}
        }
    }
}

fn is_hook(object: &RenderedObject) -> bool {
    object
        .value
        .pointer("/metadata/annotations")
        .is_some_and(|annotations| annotations.get(HOOK).is_some())
}

fn mark(object: &mut Value, set_id: &str, hash: &str) {
    set_member(object, "labels", OBJECT_SET_HASH, hash);
    set_member(object, "annotations", OBJECT_SET_ID, set_id);
}

fn set_member(object: &mut Value, field: &str, key: &str, value: &str) {
    let Some(root) = object.as_object_mut() else { return };
    let metadata = map_at(root, "metadata");
    map_at(metadata, field).insert(key.to_owned(), value.into());
}

/// The member as a map; anything else that stands there (usually null) gives way.
fn map_at<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let slot = map.entry(key.to_owned()).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(inner) => inner,
        _ => unreachable!("the slot was made an object above"),
    }
}

fn force_namespace(object: &mut Value, namespace: &str, scopes: &dyn Scopes) -> Result<(), Error> {
    let (api_version, kind) = (text_at(object, "apiVersion"), text_at(object, "kind"));
    if scopes.is_namespaced(api_version, kind) == Some(false) {
        return Err(Error::ClusterScoped {
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
        });
    }
    object["metadata"]["namespace"] = namespace.into();
    Ok(())
}

fn manifest_text(objects: &[RenderedObject]) -> String {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n# Source: ");
        text.push_str(&object.source);
        text.push('\n');
        text.push_str(&goyaml::to_string(&object.value));
        text.push('\n');
    }
    text
}
