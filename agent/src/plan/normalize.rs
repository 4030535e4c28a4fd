//! Makes what was rendered and what the server stores comparable.
//!
//! Owns the knowledge of what the API server changes by itself: fields it fills in, quantities it spells anew,
//! lists it merges by key, write-only fields. Must not know who asks or what follows from a difference. Start at
//! [`predict`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::ObjectKey;

// Deeper than any object the API server accepts; keeps hostile input from exhausting the stack.
const MAX_DEPTH: usize = 200;

/// Fields under `metadata` that only the server writes.
const SERVER_METADATA: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Which fields identify the entries of a list in built-in kinds, by the list's field name.
const LIST_KEYS: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("volumes", &["name"]),
    ("env", &["name"]),
    ("imagePullSecrets", &["name"]),
    ("secrets", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("webhooks", &["name"]),
    ("ownerReferences", &["uid"]),
];

/// Members whose values are quantities, or maps of quantities, in built-in kinds.
const QUANTITY_FIELDS: &[&str] = &[
    "limits",
    "requests",
    "capacity",
    "hard",
    "default",
    "defaultRequest",
    "max",
    "min",
    "maxLimitRequestRatio",
    "sizeLimit",
    "storage",
    "divisor",
    "averageValue",
    "value",
    "overhead",
    "podFixed",
];

/// Takes away what cannot be compared: the status, and metadata that only the server writes.
pub fn strip_server_fields(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in SERVER_METADATA {
            metadata.remove(*field);
        }
    }
}

/// Brings write-only and derived fields of a rendered object into the form in which the server keeps them.
pub fn normalize_desired(desired: &mut Value) {
    let key = ObjectKey::of(desired);
    match (key.group(), key.kind.as_str()) {
        ("", "Secret") => encode_string_data(desired),
        // The rules of an aggregated role are written by a controller.
        ("rbac.authorization.k8s.io", "ClusterRole")
            if desired.get("aggregationRule").is_some() =>
        {
            if let Some(fields) = desired.as_object_mut() {
                fields.remove("rules");
            }
        }
        ("admissionregistration.k8s.io", _) => drop_ca_bundles(desired),
        _ => {}
    }
}

/// Says what the live object would become if the desired one were applied to it.
///
/// Both sides must have gone through [`strip_server_fields`], the desired one through [`normalize_desired`].
/// Members that only the live object has stay: a key added by hand is not ours to judge (as Fleet 0.16).
#[must_use]
pub fn predict(desired: &Value, live: &Value) -> Value {
    let key = ObjectKey::of(desired);
    let built_in = !key.group().contains('.') || key.group().ends_with(".k8s.io");
    overlay(desired, live, &Place { built_in, field: "", quantity: false, depth: 0 })
}

/// Where in the object a comparison stands.
struct Place<'a> {
    built_in: bool,
    field: &'a str,
    quantity: bool,
    depth: usize,
}

impl<'a> Place<'a> {
    fn member(&self, field: &'a str) -> Place<'a> {
        let quantity = self.built_in && (self.quantity || QUANTITY_FIELDS.contains(&field));
        Place { built_in: self.built_in, field, quantity, depth: self.depth + 1 }
    }
}

fn overlay(desired: &Value, live: &Value, place: &Place<'_>) -> Value {
    if place.depth > MAX_DEPTH {
        return desired.clone();
    }
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            Value::Object(overlay_map(desired, live, place))
        }
        (Value::Array(desired), Value::Array(live)) => {
            Value::Array(overlay_list(desired, live, place))
        }
        _ if is_same_scalar(desired, live, place) => live.clone(),
        _ => desired.clone(),
    }
}

fn overlay_map(
    desired: &Map<String, Value>,
    live: &Map<String, Value>,
    place: &Place<'_>,
) -> Map<String, Value> {
    let mut result = live.clone();
    for (field, wanted) in desired {
        match live.get(field) {
            Some(found) => {
                // A null asks the server for its default, whatever that is.
                if !wanted.is_null() {
                    result.insert(field.clone(), overlay(wanted, found, &place.member(field)));
                }
            }
            // The server leaves out what is empty, or never had the field: no difference to act on.
            None if is_empty(wanted) => {}
            None => {
                result.insert(field.clone(), wanted.clone());
            }
        }
    }
    result
}

fn overlay_list(desired: &[Value], live: &[Value], place: &Place<'_>) -> Vec<Value> {
    if place.built_in
        && let Some(keys) = list_keys(place.field, desired, live)
    {
        let mut result = live.to_vec();
        for wanted in desired {
            let at =
                result.iter().position(|found| keys.iter().all(|key| same_key(found, wanted, key)));
            match at {
                Some(at) => result[at] = overlay(wanted, &result[at], &place.member("")),
                None => result.push(wanted.clone()),
            }
        }
        return result;
    }
    if desired.len() != live.len() {
        return desired.to_vec();
    }
    desired
        .iter()
        .zip(live)
        .map(|(wanted, found)| overlay(wanted, found, &place.member("")))
        .collect()
}

fn list_keys(field: &str, desired: &[Value], live: &[Value]) -> Option<&'static [&'static str]> {
    let keys = match field {
        "ports" if live.iter().all(|port| port.get("containerPort").is_some()) => {
            &["containerPort", "protocol"]
        }
        "ports" => &["port", "protocol"],
        _ => LIST_KEYS.iter().find(|(name, _)| *name == field).map(|(_, keys)| *keys)?,
    };
    let has_key = |entry: &Value| entry.get(keys[0]).is_some();
    (desired.iter().all(has_key) && live.iter().all(has_key)).then_some(keys)
}

fn same_key(found: &Value, wanted: &Value, key: &str) -> bool {
    let protocol = Value::from("TCP");
    let value = |entry: &'_ Value| -> Option<Value> {
        entry.get(key).cloned().or_else(|| (key == "protocol").then(|| protocol.clone()))
    };
    value(found) == value(wanted)
}

fn is_same_scalar(desired: &Value, live: &Value, place: &Place<'_>) -> bool {
    if desired == live || (is_empty(desired) && is_empty(live)) {
        return true;
    }
    if let (Some(desired), Some(live)) = (desired.as_f64(), live.as_f64()) {
        return desired.to_bits() == live.to_bits();
    }
    place.quantity
        && parse_quantity(desired).is_some_and(|quantity| parse_quantity(live) == Some(quantity))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
    }
}

/// Reads a Kubernetes quantity (`100m`, `1Gi`, `2`, `1e3`) as billionths.
fn parse_quantity(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (factor, divisor): (i128, i128) = match suffix {
        "" => (1_000_000_000, 1),
        "n" => (1, 1),
        "u" => (1_000, 1),
        "m" => (1_000_000, 1),
        "k" => (1_000_000_000_000, 1),
        "M" => (1_000_000_000_000_000, 1),
        "G" => (1_000_000_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000_000_000_000, 1),
        "Ki" => (1_000_000_000 << 10, 1),
        "Mi" => (1_000_000_000 << 20, 1),
        "Gi" => (1_000_000_000 << 30, 1),
        "Ti" => (1_000_000_000 << 40, 1),
        "Pi" => (1_000_000_000 << 50, 1),
        "Ei" => (1_000_000_000 << 60, 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1_000_000_000, ten) } else { (1_000_000_000_i128.checked_mul(ten)?, 1) }
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(digits.checked_mul(factor)? / divisor / scale)
}

/// Secrets may be written as `stringData`; the server keeps only `data`.
fn encode_string_data(secret: &mut Value) {
    let Some(fields) = secret.as_object_mut() else { return };
    let Some(Value::Object(plain)) = fields.remove("stringData") else { return };
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if !data.is_object() {
        *data = Value::Object(Map::new());
    }
    for (key, value) in plain {
        if let Value::String(text) = value {
            data[key] = STANDARD.encode(text).into();
        }
    }
}

/// CA bundles of webhooks are injected by whoever issues the certificates.
fn drop_ca_bundles(configuration: &mut Value) {
    let webhooks = configuration.get_mut("webhooks").and_then(Value::as_array_mut);
    for webhook in webhooks.into_iter().flatten() {
        if let Some(client) = webhook.get_mut("clientConfig").and_then(Value::as_object_mut) {
            client.remove("caBundle");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_compared_by_amount() {
        for (left, right) in
            [("0.1", "100m"), ("1024Mi", "1Gi"), ("1e3", "1k"), ("2", "2000m"), ("1.5Gi", "1536Mi")]
        {
            assert_eq!(
                parse_quantity(&json!(left)),
                parse_quantity(&json!(right)),
                "{left} {right}"
            );
        }
        assert_ne!(parse_quantity(&json!("1M")), parse_quantity(&json!("1Mi")));
        assert_eq!(parse_quantity(&json!("plenty")), None);
    }

    #[test]
    fn string_data_becomes_data() {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "blha"}, "data": {"b": "eA=="}});
        normalize_desired(&mut secret);
        assert_eq!(secret["data"], json!({"a": "YmxoYQ==", "b": "eA=="}));
        assert!(secret.get("stringData").is_none());
    }

    #[test]
    fn what_the_server_added_stays() {
        let desired = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [
            {"name": "a", "image": "x", "ports": [{"containerPort": 80}], "resources": {"requests": {"cpu": 1}}}]}});
        let live = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"dnsPolicy": "ClusterFirst", "containers": [
            {"name": "sidecar", "image": "y"},
            {"name": "a", "image": "x", "ports": [{"containerPort": 80, "protocol": "TCP"}],
             "resources": {"requests": {"cpu": "1"}}}]}});
        assert_eq!(predict(&desired, &live), live);
    }
}
