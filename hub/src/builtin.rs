//! The recorded facts about built-in kinds.
//!
//! Owns the compressed tables in `hub/api`, recorded from kube-apiserver 1.36 by `record.py` there.
//! Knows nothing of CRDs or requests. Start at [`kinds`]. All hubs of a process share one copy.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, LazyLock};

use patch::schema::Types;
use serde::Deserialize;
use serde_json::Value;

use crate::registry::{Column, Kind, Source, Subresource};

static KINDS: LazyLock<Facts> = LazyLock::new(|| read(include_bytes!("../api/kinds.json.gz")));
static TYPES: LazyLock<TypeFacts> = LazyLock::new(|| read(include_bytes!("../api/types.json.gz")));

#[derive(Deserialize, Default)]
struct Facts {
    version: Value,
    resources: Vec<Resource>,
    rbac: BTreeMap<String, Vec<Value>>,
}

#[derive(Deserialize, Default)]
struct TypeFacts {
    types: Types,
    kinds: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    group: String,
    version: String,
    plural: String,
    kind: String,
    singular: String,
    namespaced: bool,
    verbs: Vec<String>,
    short_names: Vec<String>,
    categories: Vec<String>,
    subresources: Vec<(String, Value, Vec<String>)>,
    columns: Vec<(String, String, String, String, i32)>,
}

/// Reads one of our own files; they are checked by a test, so nothing can be wrong with them here.
fn read<T: for<'de> Deserialize<'de> + Default>(data: &[u8]) -> T {
    let mut text = Vec::new();
    let read = flate2::read::GzDecoder::new(data).read_to_end(&mut text);
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Every built-in kind.
pub(crate) fn kinds() -> &'static [Arc<Kind>] {
    static ALL: LazyLock<Vec<Arc<Kind>>> =
        LazyLock::new(|| KINDS.resources.iter().map(|r| Arc::new(kind(r))).collect());
    &ALL
}

/// The answer of `/version`: as recorded, with the release's name (the peer was built without one).
pub(crate) fn version() -> &'static Value {
    static VERSION: LazyLock<Value> = LazyLock::new(|| {
        let mut version = KINDS.version.clone();
        let release = format!(
            "v{}.{}.0",
            version["major"].as_str().unwrap_or("1"),
            version["minor"].as_str().unwrap_or("36")
        );
        version["gitVersion"] = release.into();
        version["gitCommit"] = "".into();
        version["gitTreeState"] = "clean".into();
        version
    });
    &VERSION
}

/// Bootstrap roles and bindings by plural.
pub(crate) fn bootstrap_rbac() -> &'static BTreeMap<String, Vec<Value>> {
    &KINDS.rbac
}

/// The type table for strategic merge and server-side apply.
pub(crate) fn types() -> &'static Types {
    &TYPES.types
}

/// The name in [`types`] of a kind's type.
pub(crate) fn type_name(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    TYPES.kinds.get(&format!("{group}/{version}/{kind}")).map(String::as_str)
}

/// The recorded OpenAPI schemas and paths. Large: parsed anew for each use, not kept.
pub(crate) fn openapi() -> Value {
    read(include_bytes!("../api/openapi.json.gz"))
}

fn kind(r: &Resource) -> Kind {
    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
    let subresources: Vec<Subresource> = r
        .subresources
        .iter()
        .map(|(name, response, verbs)| Subresource {
            name: name.clone(),
            group: text(response, "group"),
            version: text(response, "version"),
            kind: text(response, "kind"),
            verbs: verbs.clone(),
        })
        .collect();
    let columns = r.columns.iter().map(|(name, type_, format, description, priority)| Column {
        name: name.clone(),
        type_: type_.clone(),
        format: format.clone(),
        description: description.clone(),
        priority: *priority,
        path: String::new(),
    });
    // Events are one store behind two groups (core/v1 and events.k8s.io/v1).
    let group = if r.plural == "events" { "" } else { r.group.as_str() };
    Kind {
        group: r.group.clone(),
        version: r.version.clone(),
        kind: r.kind.clone(),
        list_kind: format!("{}List", r.kind),
        plural: r.plural.clone(),
        singular: r.singular.clone(),
        short_names: r.short_names.clone(),
        categories: r.categories.clone(),
        namespaced: r.namespaced,
        verbs: r.verbs.clone(),
        resource: format!("{group}/{}", r.plural).into(),
        has_status: subresources.iter().any(|s| s.name == "status"),
        scale: None,
        subresources,
        columns: columns.collect(),
        single_version: true,
        deprecation: (r.plural == "endpoints" && r.group.is_empty()).then(|| {
            "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()
        }),
        source: Source::Builtin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_facts_are_readable_and_complete() {
        assert!(kinds().len() > 50, "{}", kinds().len());
        let pod = type_name("", "v1", "Pod").expect("recorded");
        assert!(types().named.contains_key(pod));
        assert!(openapi()["paths"]["apis/apps/v1"].is_object());
        assert!(!bootstrap_rbac()["clusterroles"].is_empty());
    }
}
