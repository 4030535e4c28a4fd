//! Objects that move from one bundle to another.
//!
//! Owns what counts as the same object. Must not know clusters. Start at [`moved_objects`].

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::bundle::BundleResource;
use crate::api::options::OverwrittenResource;
use crate::content::decode_resource;

/// The objects that files of both bundles define: `new` may take them over from `old`.
///
/// Only plain manifests count: what a template will be called is not known here. Fleet 0.16 asks
/// for the same file name as well; here an object may move to another file on its way.
pub fn moved_objects(old: &[BundleResource], new: &[BundleResource]) -> Vec<OverwrittenResource> {
    let old = objects(old);
    let found = objects(new).into_iter().filter(|object| old.contains(object));
    found.map(|(kind, namespace, name)| OverwrittenResource { name, namespace, kind }).collect()
}

/// Kind, namespace and name of all objects in plain manifests.
fn objects(resources: &[BundleResource]) -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    for resource in resources {
        let is_manifest = [".yaml", ".yml", ".json"].iter().any(|end| resource.name.ends_with(end));
        let text = is_manifest.then(|| decode_resource(resource).ok()).flatten();
        let Some(text) = text.and_then(|bytes| String::from_utf8(bytes).ok()) else { continue };
        for document in goyaml::documents(&text) {
            // A template is no YAML, and no concern of ours.
            let Ok(object) = goyaml::from_str(document.text) else { continue };
            let text = |pointer| {
                object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            let (kind, name) = (text("/kind"), text("/metadata/name"));
            if !kind.is_empty() && !name.is_empty() {
                found.insert((kind, text("/metadata/namespace"), name));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &str) -> BundleResource {
        BundleResource { name: name.into(), content: content.into(), ..Default::default() }
    }

    #[test]
    fn an_object_that_both_bundles_define_moves_whatever_its_file() {
        let claim = "kind: PersistentVolumeClaim\nmetadata: {name: data, namespace: db}\n";
        let old = [file("a.yaml", claim), file("b.yaml", "kind: Secret\nmetadata: {name: s}\n")];
        let both = format!("kind: ConfigMap\nmetadata: {{name: s}}\n---\n{claim}");
        let moved = moved_objects(&old, &[file("c/all.yaml", &both), file("t.yaml", "{{ x }}")]);
        let wanted = OverwrittenResource {
            kind: "PersistentVolumeClaim".into(),
            namespace: "db".into(),
            name: "data".into(),
        };
        assert_eq!(moved, [wanted]);
        assert_eq!(moved_objects(&old, &[]), []);
    }
}
