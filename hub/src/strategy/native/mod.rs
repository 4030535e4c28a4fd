//! The rules of built-in kinds.
//!
//! Owns what the peer's registry strategies do to built-in objects. Start at [`prepare_create`].

pub(super) mod defaults;
pub(super) mod rules;
mod values;

use patch::schema::{Schema, Shape};
use serde_json::{Map, Value, json};

use super::Part;
use crate::error::ApiError;
use crate::meta::{self, World};
use crate::registry::Kind;

/// Fields of ObjectMeta.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Kinds whose `metadata.generation` counts, beside all custom ones.
const GENERATION: [&str; 16] = [
    "apps/deployments",
    "apps/statefulsets",
    "apps/daemonsets",
    "apps/replicasets",
    "batch/jobs",
    "batch/cronjobs",
    "networking.k8s.io/ingresses",
    "networking.k8s.io/networkpolicies",
    "networking.k8s.io/ingressclasses",
    "policy/poddisruptionbudgets",
    "/pods",
    "/replicationcontrollers",
    "scheduling.k8s.io/priorityclasses",
    "discovery.k8s.io/endpointslices",
    "apiextensions.k8s.io/customresourcedefinitions",
    "storage.k8s.io/csidrivers",
];

pub(crate) fn has_generation(kind: &Kind) -> bool {
    kind.is_custom()
        || GENERATION.contains(&&*kind.resource)
        || kind.group == "admissionregistration.k8s.io"
}

/// Drops what ObjectMeta does not have, and empty maps and lists; returns what was unknown.
pub(crate) fn clean_metadata(kind: &Kind, object: &mut Value) -> Result<Vec<String>, ApiError> {
    if let Some((field, found, wanted)) = wrong_metadata(object) {
        let root = if kind.is_custom() { "ObjectMeta" } else { "ObjectMeta.metadata" };
        return Err(ApiError::bad_request(format!(
            "{0} in version {1:?} cannot be handled as a {0}: json: cannot unmarshal {found} into Go struct field {root}.{field} of type {wanted}",
            kind.kind, kind.version
        )));
    }
    let metadata = meta::metadata_mut(object);
    let unknown: Vec<String> =
        metadata.keys().filter(|k| !METADATA.contains(&k.as_str())).cloned().collect();
    for key in &unknown {
        metadata.remove(key);
    }
    metadata.retain(|_, v| match v {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    });
    for field in ["labels", "annotations"] {
        for value in metadata.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten() {
            if value.1.is_null() {
                *value.1 = Value::String(String::new());
            }
        }
    }
    Ok(unknown.into_iter().map(|k| format!("metadata.{k}")).collect())
}

/// The first field of ObjectMeta of a wrong type: its name, what it is, what it should be.
fn wrong_metadata(object: &Value) -> Option<(&'static str, &'static str, &'static str)> {
    let found = |value: &Value| match value {
        Value::Null | Value::String(_) => None,
        Value::Bool(_) => Some("bool"),
        Value::Number(_) => Some("number"),
        Value::Array(_) => Some("array"),
        Value::Object(_) => Some("object"),
    };
    let metadata = &object["metadata"];
    for field in ["name", "generateName", "namespace", "uid", "resourceVersion"] {
        if let Some(found) = found(&metadata[field]) {
            return Some((field, found, "string"));
        }
    }
    for field in ["labels", "annotations"] {
        match &metadata[field] {
            Value::Null => {}
            Value::Object(map) => {
                if let Some(found) = map.values().find_map(found) {
                    return Some((field, found, "string"));
                }
            }
            other => return Some((field, found(other).unwrap_or("string"), "map[string]string")),
        }
    }
    None
}

/// Reads an object as its Go type would be read: unknown fields and `null` go, wrong types are an
/// error. Returns the paths of the unknown fields.
pub(crate) fn clean(kind: &Kind, object: &mut Value) -> Result<Vec<String>, ApiError> {
    let Some(schema) = kind.merge_schema() else { return Ok(Vec::new()) };
    let mut cleaner = Cleaner { kind: &kind.kind, unknown: Vec::new(), wrong: None };
    if let Value::Object(map) = object {
        for (key, value) in map.iter_mut() {
            if matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                continue;
            }
            match schema.field(key) {
                Some(field) => cleaner.value(value, field, key, 1),
                None => cleaner.unknown.push(key.clone()),
            }
        }
        map.retain(|k, v| !v.is_null() && !cleaner.unknown.contains(k));
    }
    if let Some(why) = cleaner.wrong {
        let message = format!(
            "{0} in version {1:?} cannot be handled as a {0}: {why}",
            kind.kind, kind.version
        );
        return Err(ApiError::bad_request(message));
    }
    Ok(cleaner.unknown)
}

/// The `data` of a Secret is base64.
pub(crate) fn check_encoding(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    use base64::Engine as _;
    let field = match &*kind.resource {
        "/secrets" => "data",
        "/configmaps" => "binaryData",
        "coordination.k8s.io/leases" => return check_lease_times(kind, object),
        _ => return Ok(()),
    };
    for text in object[field].as_object().into_iter().flatten().filter_map(|(_, v)| v.as_str()) {
        let Err(error) = base64::engine::general_purpose::STANDARD.decode(text) else { continue };
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) => at,
            _ => text.len(),
        };
        return Err(ApiError::bad_request(format!(
            "{0} in version {1:?} cannot be handled as a {0}: illegal base64 data at input byte {at}",
            kind.kind, kind.version
        )));
    }
    Ok(())
}

fn check_lease_times(kind: &Kind, lease: &Value) -> Result<(), ApiError> {
    for field in ["acquireTime", "renewTime"] {
        let Some(text) = lease["spec"][field].as_str() else { continue };
        if text.parse::<jiff::Timestamp>().is_err() {
            return Err(ApiError::bad_request(format!(
                "{0} in version {1:?} cannot be handled as a {0}: parsing time {text:?} as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse {text:?} as \"2006\"",
                kind.kind, kind.version
            )));
        }
    }
    Ok(())
}

struct Cleaner<'a> {
    kind: &'a str,
    unknown: Vec<String>,
    wrong: Option<String>,
}

impl Cleaner<'_> {
    fn value(&mut self, value: &mut Value, schema: Schema<'_>, path: &str, depth: usize) {
        const MAX_DEPTH: usize = 100;
        if depth > MAX_DEPTH {
            self.wrong = Some(format!("{path} is nested deeper than {MAX_DEPTH} levels"));
            return;
        }
        let good = match (schema.shape(), &*value) {
            (_, Value::Null) | (Shape::Any, _) => true,
            (Shape::Struct | Shape::Map, v) => v.is_object(),
            (Shape::List, v) => v.is_array(),
            (Shape::String, v) => v.is_string(),
            (Shape::Integer, v) => v.as_f64().is_some_and(|f| f.fract() == 0.0),
            (Shape::Number, v) => v.is_number(),
            (Shape::Boolean, v) => v.is_boolean(),
            (Shape::IntOrString, v) => v.is_string() || v.is_number(),
        };
        if !good {
            let found = match value {
                Value::Bool(_) => "bool",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                _ => "object",
            };
            let wanted = match schema.shape() {
                Shape::String => "string",
                Shape::Boolean => "bool",
                Shape::Map => "map[string]string",
                _ => "the type it has",
            };
            // Go names the struct that holds the field; in a map that is the map's.
            let field = path.rsplit_once('.').filter(|_| depth > 1).map_or(path, |(map, _)| map);
            self.wrong.get_or_insert_with(|| {
                format!(
                    "json: cannot unmarshal {found} into Go struct field {}.{field} of type {wanted}",
                    self.kind
                )
            });
            return;
        }
        match value {
            Value::Object(map) if schema.shape() != Shape::Any => {
                self.object(map, schema, path, depth)
            }
            Value::Array(items) => {
                let Some(element) = schema.items() else { return };
                for (i, item) in items.iter_mut().enumerate() {
                    self.value(item, element, &format!("{path}[{i}]"), depth + 1);
                }
            }
            _ => {}
        }
    }

    fn object(
        &mut self,
        map: &mut Map<String, Value>,
        schema: Schema<'_>,
        path: &str,
        depth: usize,
    ) {
        let mut drop = Vec::new();
        for (key, child) in map.iter_mut() {
            let at = format!("{path}.{key}");
            match schema.field(key) {
                Some(field) => self.value(child, field, &at, depth + 1),
                None if schema.preserves_unknown() => {}
                None => {
                    self.unknown.push(at);
                    drop.push(key.clone());
                }
            }
        }
        let is_struct = schema.shape() == Shape::Struct;
        map.retain(|k, v| !(drop.contains(k) || (is_struct && v.is_null())));
    }
}

/// The status a new object starts with, and what else the server decides.
pub(crate) fn prepare_create(kind: &Kind, object: &mut Value, world: &World) {
    match &*kind.resource {
        "/namespaces" => {
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
            let name = meta::text(object, "name").to_owned();
            let labels = meta::metadata_mut(object).entry("labels").or_insert_with(|| json!({}));
            labels["kubernetes.io/metadata.name"] = name.into();
        }
        "/pods" => {
            defaults::admit_pod(object);
            object["status"] = json!({"phase": "Pending", "qosClass": qos_class(object)});
        }
        "/persistentvolumes" | "/persistentvolumeclaims" => {
            object["status"] = json!({"phase": "Pending"});
            let finalizer = match &*kind.resource {
                "/persistentvolumes" => {
                    object["status"]["lastPhaseTransitionTime"] = world.stamp().into();
                    "kubernetes.io/pv-protection"
                }
                _ => "kubernetes.io/pvc-protection",
            };
            if !meta::has_finalizer(object, finalizer) {
                let held = meta::metadata_mut(object).entry("finalizers");
                if let Value::Array(list) = held.or_insert_with(|| json!([])) {
                    list.push(finalizer.into());
                }
            }
        }
        "/services" => {
            object["status"] = json!({"loadBalancer": {}});
            give_cluster_ip(object, world);
            give_node_ports(object, world);
        }
        "networking.k8s.io/ingresses" => object["status"] = json!({"loadBalancer": {}}),
        "apps/replicasets" | "/replicationcontrollers" => object["status"] = json!({"replicas": 0}),
        "apps/statefulsets" => object["status"] = json!({"replicas": 0, "availableReplicas": 0}),
        "apps/daemonsets" => {
            object["status"] = json!({"currentNumberScheduled": 0, "numberMisscheduled": 0,
                "desiredNumberScheduled": 0, "numberReady": 0});
        }
        "policy/poddisruptionbudgets" => {
            object["status"] = json!({"disruptionsAllowed": 0, "currentHealthy": 0,
                "desiredHealthy": 0, "expectedPods": 0});
        }
        "autoscaling/horizontalpodautoscalers" => {
            object["status"] = json!({"currentMetrics": null, "desiredReplicas": 0});
        }
        "batch/jobs" => {
            object["status"] = json!({});
            label_job(object);
        }
        "/events" => {
            // The Go type has no omitempty on these.
            let map = meta::object_mut(object);
            for field in ["eventTime", "firstTimestamp", "lastTimestamp"] {
                map.entry(field).or_insert(Value::Null);
            }
            for field in ["reportingComponent", "reportingInstance"] {
                map.entry(field).or_insert_with(|| "".into());
            }
            map.entry("source").or_insert_with(|| json!({}));
        }
        _ if kind.has_status => object["status"] = json!({}),
        _ => {}
    }
}

/// `stringData` is written, `data` is read.
pub(super) fn merge_string_data(secret: &mut Value) {
    use base64::Engine as _;
    let Some(texts) = secret.as_object_mut().and_then(|s| s.remove("stringData")) else { return };
    for (key, text) in texts.as_object().into_iter().flatten() {
        let bytes = text.as_str().unwrap_or_default().as_bytes();
        let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
        meta::object_mut(&mut secret["data"]).insert(key.clone(), encoded.into());
    }
}

/// A service without an address gets one from 10.0.0.0/24's wider range.
fn give_cluster_ip(service: &mut Value, world: &World) {
    let spec = &mut service["spec"];
    if spec["type"] == "ExternalName" {
        return;
    }
    if spec["clusterIP"].as_str().unwrap_or_default().is_empty() {
        let [a, b] = world.random_bytes::<2>();
        spec["clusterIP"] = format!("10.96.{a}.{}", b.max(1)).into();
    }
    let ip = spec["clusterIP"].clone();
    let spec = meta::object_mut(spec);
    spec.entry("clusterIPs").or_insert_with(|| json!([ip]));
    spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
    spec.entry("ipFamilyPolicy").or_insert_with(|| "SingleStack".into());
}

/// A port on every node for each port of a service that asks for it.
fn give_node_ports(service: &mut Value, world: &World) {
    const FIRST: u64 = 30000;
    const COUNT: u64 = 2768;
    if !matches!(service["spec"]["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
        return;
    }
    if service["spec"]["allocateLoadBalancerNodePorts"] == false {
        return;
    }
    for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if port["nodePort"].as_u64().unwrap_or(0) == 0 {
            let random = u64::from(u16::from_le_bytes(world.random_bytes::<2>()));
            port["nodePort"] = (FIRST + random % COUNT).into();
        }
    }
}

/// A Job selects its pods by its own uid.
fn label_job(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let (uid, name) = (meta::text(job, "uid").to_owned(), meta::text(job, "name").to_owned());
    let had_labels = job["metadata"]["labels"].is_object();
    let labels = &mut job["spec"]["template"]["metadata"]["labels"];
    for (key, value) in [("controller-uid", &uid), ("job-name", &name)] {
        labels[key] = value.as_str().into();
        labels[format!("batch.kubernetes.io/{key}")] = value.as_str().into();
    }
    if !had_labels {
        job["metadata"]["labels"] = job["spec"]["template"]["metadata"]["labels"].clone();
    }
    job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
}

fn qos_class(pod: &Value) -> &'static str {
    let list = |name: &str| pod["spec"][name].as_array().into_iter().flatten();
    let containers = || list("containers").chain(list("initContainers"));
    let all_limited = containers().all(|c| {
        let (limits, requests) = (&c["resources"]["limits"], &c["resources"]["requests"]);
        ["cpu", "memory"]
            .iter()
            .all(|r| !limits[r].is_null() && (requests[r].is_null() || requests[r] == limits[r]))
    });
    let none = containers().all(|c| {
        let empty = |v: &Value| v.as_object().is_none_or(Map::is_empty);
        empty(&c["resources"]["limits"]) && empty(&c["resources"]["requests"])
    });
    if none {
        "BestEffort"
    } else if all_limited {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Keeps what an update of a built-in object may leave out.
pub(crate) fn prepare_update(kind: &Kind, old: &Value, new: &mut Value, part: Part) {
    match &*kind.resource {
        "/namespaces" if part == Part::Main => {
            new["spec"] = old["spec"].clone();
            let name = meta::text(old, "name").to_owned();
            let labels = meta::metadata_mut(new).entry("labels").or_insert_with(|| json!({}));
            labels["kubernetes.io/metadata.name"] = name.into();
        }
        "/services" => {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if new["spec"][field].is_null() && !old["spec"][field].is_null() {
                    new["spec"][field] = old["spec"][field].clone();
                }
            }
            keep_node_ports(old, new);
        }
        "batch/jobs" if new["spec"]["selector"].is_null() => {
            new["spec"]["selector"] = old["spec"]["selector"].clone();
            new["spec"]["template"]["metadata"]["labels"] =
                old["spec"]["template"]["metadata"]["labels"].clone();
        }
        _ => {}
    }
}

/// An update that names no node port keeps the one its port has.
fn keep_node_ports(old: &Value, new: &mut Value) {
    if !matches!(new["spec"]["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
        return;
    }
    for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
        let before = old["spec"]["ports"].as_array().into_iter().flatten();
        let same = before.into_iter().find(|p| p["port"] == port["port"]);
        if let (true, Some(same)) = (port["nodePort"].is_null(), same)
            && !same["nodePort"].is_null()
        {
            port["nodePort"] = same["nodePort"].clone();
        }
    }
}

/// How long a deletion waits: only pods that run on a node get time.
pub(crate) fn grace_seconds(kind: &Kind, object: &Value, asked: Option<i64>) -> i64 {
    let runs = &*kind.resource == "/pods"
        && !object["spec"]["nodeName"].as_str().unwrap_or_default().is_empty()
        && !matches!(object["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    if !runs {
        return 0;
    }
    asked.or_else(|| object["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30).max(0)
}
