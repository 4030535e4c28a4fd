//! The custom resource definitions, generated from the kinds.
//!
//! Owns what the derive cannot say, and the files of `charts/fleet-crd`. Knows nothing of API
//! servers. Start at [`definitions`].

use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use super::*;

/// The command that writes [`chart_files`]; tests print it when they are out of date.
pub const REFRESH_COMMAND: &str = "cargo xtask crds";

/// All definitions as the API server takes them, sorted by name.
pub fn definitions() -> Vec<Value> {
    let mut definitions = vec![
        definition::<Bundle>(),
        definition::<BundleDeployment>(),
        definition::<BundleNamespaceMapping>(),
        definition::<Cluster>(),
        definition::<ClusterGroup>(),
        definition::<ClusterRegistration>(),
        definition::<ClusterRegistrationToken>(),
        definition::<Content>(),
        definition::<GitRepo>(),
        definition::<GitRepoRestriction>(),
        definition::<HelmOp>(),
        definition::<ImageScan>(),
        definition::<Policy>(),
        definition::<Schedule>(),
    ];
    definitions.sort_by_key(|crd| crd["metadata"]["name"].as_str().map(str::to_owned));
    definitions
}

/// The generated files below `charts/fleet-crd`: path and text, one definition each.
pub fn chart_files() -> Vec<(String, String)> {
    definitions()
        .iter()
        .map(|crd| {
            let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default();
            let yaml = serde_yaml::to_string(crd).expect("a JSON value is always YAML");
            let header = format!("# Generated from the Rust types by `{REFRESH_COMMAND}`.\n");
            (format!("templates/{plural}.yaml"), header + &yaml)
        })
        .collect()
}

fn definition<K: CustomResourceExt>() -> Value {
    let mut crd = serde_json::to_value(K::crd()).expect("a definition is always JSON");
    let kind = K::api_resource().kind;
    let Some(version) = crd["spec"]["versions"].get_mut(0) else { return crd };
    for empty in ["subresources", "additionalPrinterColumns"] {
        if version[empty].as_object().is_none_or(Map::is_empty)
            && version[empty].as_array().is_none_or(Vec::is_empty)
        {
            version.as_object_mut().map(|version| version.remove(empty));
        }
    }
    complete_root(&kind, &mut version["schema"]["openAPIV3Schema"]);
    for empty in ["categories", "shortNames"] {
        let names = &mut crd["spec"]["names"];
        if names[empty].as_array().is_none_or(Vec::is_empty) {
            names.as_object_mut().map(|names| names.remove(empty));
        }
    }
    crd["spec"]["names"]["listKind"] = json!(format!("{kind}List"));
    crd
}

/// Turns the schema the derive makes into the one Rancher Fleet 0.16 has.
fn complete_root(kind: &str, schema: &mut Value) {
    tidy_schema(schema);
    schema.as_object_mut().map(|root| root.remove("required"));
    if let Some(text) = schema["properties"]["spec"]["description"].as_str() {
        schema["description"] = json!(text);
    }
    let properties = &mut schema["properties"];
    for part in ["spec", "status"] {
        if let Some(part) = properties.get_mut(part).and_then(Value::as_object_mut) {
            part.remove("nullable");
        }
    }
    if properties["status"]["properties"].as_object().is_some_and(Map::is_empty) {
        properties.as_object_mut().map(|properties| properties.remove("status"));
    }
    properties["apiVersion"] = json!({ "type": "string" });
    properties["kind"] = json!({ "type": "string" });
    properties["metadata"] = json!({ "type": "object" });
    for (of, path, names) in REQUIRED {
        if *of == kind
            && let Some(part) = schema.pointer_mut(&schema_pointer(path))
        {
            part["required"] = json!(names);
        }
    }
    for (of, path, default) in DEFAULTS {
        if *of == kind
            && let Some(part) = schema.pointer_mut(&schema_pointer(path))
        {
            part["default"] = json!(default);
        }
    }
}

/// What has to be there; everything else may be missing. Entries of lists see [`tidy_schema`].
const REQUIRED: &[(&str, &str, &[&str])] =
    &[("GitRepo", "spec", &["repo"]), ("ImageScan", "spec", &["image", "interval"])];

/// The only defaults an API server fills in.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("Bundle", "spec.targetCustomizationMode", "FirstMatch"),
    ("HelmOp", "spec.targetCustomizationMode", "FirstMatch"),
];

fn schema_pointer(path: &str) -> String {
    path.split('.').fold(String::new(), |pointer, part| match part {
        "[]" => pointer + "/items",
        name => pointer + "/properties/" + name,
    })
}

/// Drops the defaults and fills in what selectors, conditions and resources always have.
fn tidy_schema(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("default");
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        let names = properties.keys().map(String::as_str).collect::<Vec<_>>();
        let required: Option<&[&str]> = match *names {
            ["lastTransitionTime", "lastUpdateTime", "message", "reason", "status", "type"] => {
                Some(&["status", "type"])
            }
            ["key", "operator", "values"] => Some(&["key", "operator"]),
            _ if names.contains(&"perClusterState") => Some(&["perClusterState"]),
            ["key", "name", "optional"] => Some(&["key"]),
            ["name"] => Some(&[]),
            _ => None,
        };
        let defaults_name = matches!(*names, ["key", "name", "optional"] | ["name"]);
        let selects = matches!(*names, ["matchExpressions", "matchLabels"] | ["nodeSelectorTerms"])
            || defaults_name;
        let claims = names.contains(&"claims");
        properties.values_mut().for_each(tidy_schema);
        if defaults_name && let Some(name) = properties.get_mut("name") {
            name["default"] = json!("");
        }
        if claims && let Some(claims) = properties.get_mut("claims") {
            claims["x-kubernetes-list-type"] = json!("map");
            claims["x-kubernetes-list-map-keys"] = json!(["name"]);
        }
        match required {
            Some([]) => drop(object.remove("required")),
            Some(required) => drop(object.insert("required".into(), json!(required))),
            None => {}
        }
        if selects {
            object.insert("x-kubernetes-map-type".into(), json!("atomic"));
        }
    }
    for part in ["items", "additionalProperties"] {
        object.get_mut(part).map(tidy_schema);
    }
}
