//! Discovery: which groups, versions and resources there are, and their OpenAPI documents.
//!
//! Owns the legacy and the aggregated form, and OpenAPI v3. Pure. Start at [`groups`].

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::body::{self, HubResponse};
use crate::builtin;
use crate::media;
use crate::registry::{Kind, Registry, Source};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/api`
pub(crate) fn core_versions(registry: &Registry, accept: &str) -> HubResponse {
    if media::wants_aggregated(accept) {
        return aggregated(registry, true);
    }
    body::json(
        200,
        &json!({"kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]}),
    )
}

/// `/apis`
pub(crate) fn groups(registry: &Registry, accept: &str) -> HubResponse {
    if media::wants_aggregated(accept) {
        return aggregated(registry, false);
    }
    let named = registry.groups().into_iter().filter(|(group, _)| !group.is_empty());
    let groups: Vec<Value> =
        named.map(|(group, versions)| legacy_group(&group, &versions)).collect();
    body::json(200, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
}

/// `/apis/{group}`
pub(crate) fn group(registry: &Registry, name: &str) -> Option<HubResponse> {
    let (group, versions) = registry.groups().into_iter().find(|(group, _)| group == name)?;
    let mut value = legacy_group(&group, &versions);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(body::json(200, &value))
}

fn legacy_group(group: &str, versions: &[String]) -> Value {
    let version = |v: &String| json!({"groupVersion": format!("{group}/{v}"), "version": v});
    let all: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": group, "preferredVersion": all.first(), "versions": all})
}

fn kinds_of(registry: &Registry, group: &str, version: &str) -> Vec<Arc<Kind>> {
    registry.all().filter(|k| k.group == group && k.version == version).collect()
}

/// `/api/v1`, `/apis/{group}/{version}`
pub(crate) fn resources(registry: &Registry, group: &str, version: &str) -> Option<HubResponse> {
    let kinds = kinds_of(registry, group, version);
    let group_version = kinds.first()?.api_version();
    let mut rows = Vec::new();
    for kind in &kinds {
        let mut row = json!({"name": kind.plural, "singularName": kind.singular,
            "namespaced": kind.namespaced, "kind": kind.kind, "verbs": kind.verbs});
        for (field, list) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
            if !list.is_empty() {
                row[field] = json!(list);
            }
        }
        if kind.has_verb("list") {
            row["storageVersionHash"] = storage_hash(kind).into();
        }
        rows.push(row);
        for sub in &kind.subresources {
            let mut row = json!({"name": format!("{}/{}", kind.plural, sub.name),
                "singularName": "", "namespaced": kind.namespaced, "kind": sub.kind,
                "verbs": sub.verbs});
            if !sub.version.is_empty() && (sub.group != group || sub.version != version) {
                row["group"] = sub.group.as_str().into();
                row["version"] = sub.version.as_str().into();
            }
            rows.push(row);
        }
    }
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version,
        "resources": rows});
    // Lists of the core group carry no apiVersion.
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Some(body::json(200, &list))
}

/// The peer's hash of the version that objects are stored in.
fn storage_hash(kind: &Kind) -> String {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};
    let group = if kind.plural == "events" { "" } else { &kind.group };
    // The peer still counts CRDs as stored in their first version.
    let version = if kind.is_crd() { "v1beta1" } else { &kind.version };
    let digest = Sha256::digest(format!("{group}/{version}/{}", kind.kind));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

fn aggregated(registry: &Registry, core: bool) -> HubResponse {
    let chosen = registry.groups().into_iter().filter(|(group, _)| group.is_empty() == core);
    let items: Vec<Value> = chosen
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let rows: Vec<Value> = kinds_of(registry, &group, version)
                        .iter()
                        .map(|k| aggregated_row(k))
                        .collect();
                    json!({"version": version, "resources": rows, "freshness": "Current"})
                })
                .collect();
            let metadata = if core { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    body::json_as(
        AGGREGATED,
        &json!({"kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}),
    )
}

fn aggregated_row(kind: &Kind) -> Value {
    let response = |group: &str, version: &str, name: &str| json!({"group": group, "version": version, "kind": name});
    // A built-in kind of the endpoint's own version leaves group and version empty.
    let own = if kind.is_custom() {
        response(&kind.group, &kind.version, &kind.kind)
    } else {
        response("", "", &kind.kind)
    };
    let mut row = json!({"resource": kind.plural, "responseKind": own,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular, "verbs": kind.verbs});
    for (field, list) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !list.is_empty() {
            row[field] = json!(list);
        }
    }
    if !kind.subresources.is_empty() {
        let subs = kind.subresources.iter().map(|s| {
            json!({"subresource": s.name, "responseKind": response(&s.group, &s.version, &s.kind),
                "verbs": s.verbs})
        });
        row["subresources"] = subs.collect();
    }
    row
}

/// `/`: the paths there are.
pub(crate) fn root(registry: &Registry) -> HubResponse {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, versions) in registry.groups().into_iter().filter(|(g, _)| !g.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|v| format!("/apis/{group}/{v}")));
    }
    paths.extend(["/healthz", "/livez", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
    body::json(200, &json!({"paths": paths}))
}

fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `/openapi/v3`: one document for each group and version.
pub(crate) fn openapi_index(registry: &Registry) -> HubResponse {
    let mut paths = Map::new();
    for (group, versions) in registry.groups() {
        for version in versions {
            let path = document_path(&group, &version);
            // kubectl caches by this hash; for CRDs it follows the schemas.
            let hash = document_hash(&kinds_of(registry, &group, &version));
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    body::text(200, &json!({"paths": paths}).to_string())
}

/// `/openapi/v2`: every definition in one document; clients from before v3 read it.
pub(crate) fn openapi_v2(registry: &Registry) -> HubResponse {
    const V3: &str = "\"#/components/schemas/";
    let mut definitions = match builtin::openapi()["schemas"].take() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    for kind in registry.all().filter(|kind| kind.is_custom()) {
        add_custom(&kind, &mut definitions, &mut json!({}));
    }
    let document = json!({"swagger": "2.0", "paths": {}, "definitions": definitions,
        "info": {"title": "Kubernetes", "version": builtin::version()["gitVersion"]}});
    let text = document.to_string().replace(V3, "\"#/definitions/");
    body::raw_json(200, text.into())
}

fn document_hash(kinds: &[Arc<Kind>]) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hasher = Sha256::new();
    for kind in kinds {
        hasher.update(&kind.kind);
        if let Source::Custom { schema, .. } = &kind.source {
            hasher.update(schema.to_string());
        }
    }
    hasher.finalize().iter().map(|b| format!("{b:02X}")).collect()
}

/// `/openapi/v3/{path}`
pub(crate) fn openapi_document(registry: &Registry, path: &str) -> Option<HubResponse> {
    let (group, versions) = registry
        .groups()
        .into_iter()
        .find(|(g, vs)| vs.iter().any(|v| document_path(g, v) == path))?;
    let version = versions.iter().find(|v| document_path(&group, v) == path)?;
    let kinds = kinds_of(registry, &group, version);
    let mut facts = builtin::openapi();
    let mut all = facts["schemas"].take();
    let mut paths = facts["paths"][path].take();
    let mut wanted: Vec<String> = Vec::new();
    if !paths.is_object() {
        paths = json!({});
        wanted.push("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta".into());
    }
    let mut schemas = Map::new();
    for kind in &kinds {
        match builtin::type_name(&kind.group, &kind.version, &kind.kind) {
            Some(name) if !kind.is_custom() => wanted.push(name.to_owned()),
            _ => add_custom(kind, &mut schemas, &mut paths),
        }
    }
    add_with_references(&mut all, wanted, &mut schemas);
    Some(body::json(
        200,
        &json!({"openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": builtin::version()["gitVersion"]},
        "paths": paths, "components": {"schemas": schemas}}),
    ))
}

fn add_with_references(all: &mut Value, mut wanted: Vec<String>, schemas: &mut Map<String, Value>) {
    let mut seen: BTreeSet<String> = wanted.iter().cloned().collect();
    while let Some(name) = wanted.pop() {
        let Some(schema) = all.get_mut(&name).map(Value::take) else { continue };
        collect_references(&schema, &mut |reference| {
            if seen.insert(reference.to_owned()) {
                wanted.push(reference.to_owned());
            }
        });
        schemas.insert(name, schema);
    }
}

fn collect_references(schema: &Value, found: &mut impl FnMut(&str)) {
    match schema {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str) {
                found(name.rsplit('/').next().unwrap_or(name));
            }
            map.values().for_each(|v| collect_references(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| collect_references(v, found)),
        _ => {}
    }
}

/// The schema and paths of a custom kind, in the shape that kubectl insists on.
fn add_custom(kind: &Kind, schemas: &mut Map<String, Value>, paths: &mut Value) {
    let Source::Custom { schema, .. } = &kind.source else { return };
    let gvk = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let mut schema = if schema.is_object() { schema.clone() } else { json!({"type": "object"}) };
    schema["x-kubernetes-group-version-kind"] = json!([gvk]);
    schema["properties"]["metadata"] = json!({"allOf": [
        {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]});
    let reversed: Vec<&str> = kind.group.split('.').rev().collect();
    schemas.insert(format!("{}.{}.{}", reversed.join("."), kind.version, kind.kind), schema);
    let parameter = |name: &str, type_: &str| json!({"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": true}});
    let parameters = [
        parameter("dryRun", "string"),
        parameter("fieldManager", "string"),
        parameter("fieldValidation", "string"),
        parameter("force", "boolean"),
    ];
    let operation = |action: &str| {
        json!({"x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk,
            "parameters": parameters, "responses": {}})
    };
    let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let base = format!("/apis/{}/{}{scope}/{}", kind.group, kind.version, kind.plural);
    paths[format!("{base}/{{name}}")] =
        json!({"get": operation("get"), "put": operation("put"), "patch": operation("patch")});
    paths[base] = json!({"get": operation("list"), "post": operation("post")});
}
