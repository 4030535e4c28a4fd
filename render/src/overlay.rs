//! Overlays of plain manifests: files that replace, add or patch others.
//!
//! Owns the file rules of Rancher Fleet 0.16 (`overlays/<name>/…`, `_patch` files). Must not know objects beyond
//! what a patch needs. Start at [`apply_overlays`].

use serde_json::Value;

use crate::{Error, Files};

const FOLDER: &str = "overlays/";

/// Lays the named overlays over the files, in order; the folder `overlays/` itself is never deployed.
pub fn apply_overlays(files: &Files, overlays: &[String]) -> Result<Files, Error> {
    let mut result: Files = files.clone();
    result.retain(|name, _| !name.starts_with(FOLDER));
    for overlay in overlays {
        let prefix = format!("{FOLDER}{overlay}/");
        for (name, bytes) in files {
            let Some(target) = name.strip_prefix(&prefix) else { continue };
            match patched_file(target) {
                Some(base) => {
                    patch_file(&mut result, &Patch { overlay, file: name, base: &base, bytes })?
                }
                None => {
                    result.insert(target.to_owned(), bytes.clone());
                }
            }
        }
    }
    Ok(result)
}

/// `dir/x_patch.yaml` patches `dir/x.yaml`.
fn patched_file(name: &str) -> Option<String> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let base = stem.strip_suffix("_patch")?;
    Some(format!("{base}.{suffix}"))
}

struct Patch<'a> {
    overlay: &'a str,
    file: &'a str,
    base: &'a str,
    bytes: &'a [u8],
}

fn patch_file(files: &mut Files, patch: &Patch<'_>) -> Result<(), Error> {
    let Some(base) = files.get(patch.base) else {
        return Err(Error::NoBase {
            base: patch.base.to_owned(),
            overlay: patch.overlay.to_owned(),
            file: patch.file.to_owned(),
        });
    };
    let mut target = read(patch.base, base)?;
    let change = read(patch.file, patch.bytes)?;
    let fail = |reason: String| Error::Patch {
        file: patch.file.to_owned(),
        base: patch.base.to_owned(),
        reason,
    };
    if change.is_array() {
        patch::json::apply(&mut target, change).map_err(|error| fail(error.to_string()))?;
    } else {
        if has_keyed_lists(&change) && is_built_in(&target) {
            return Err(fail(
                "lists of objects in a strategic merge patch are not supported yet; \
                             write the patch as a list of JSON patch operations"
                    .to_owned(),
            ));
        }
        patch::json::merge(&mut target, &change);
    }
    files.insert(patch.base.to_owned(), goyaml::to_string(&target).into_bytes());
    Ok(())
}

fn read(file: &str, bytes: &[u8]) -> Result<Value, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::NotText { file: file.to_owned() })?;
    goyaml::from_str(text).map_err(|source| Error::Yaml {
        file: file.to_owned(),
        first_line: 1,
        source,
    })
}

/// Lists of objects are where a strategic merge differs from a plain merge.
fn has_keyed_lists(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(Value::is_object),
        Value::Object(map) => {
            map.iter().any(|(key, value)| key.starts_with('$') || has_keyed_lists(value))
        }
        _ => false,
    }
}

fn is_built_in(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    !group.contains('.') || group.ends_with(".k8s.io")
}
