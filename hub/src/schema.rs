//! Structural schemas of CRDs: prune what is not declared, fill defaults, check values.
//!
//! Owns the meaning of `openAPIV3Schema` as apiextensions v1 defines it, with its error texts. Pure;
//! knows nothing of requests. Order for a written object: [`prune`], [`fill_defaults`], [`check`].

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use regex::Regex;
use serde_json::{Map, Value};

use crate::error::Cause;

/// Deepest object that is looked into.
const MAX_DEPTH: usize = 200;

/// Most findings of one object that are reported.
const MAX_CAUSES_COUNT: usize = 100;

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";

/// Removes undeclared fields; returns their paths (`spec.foo`, `spec.list[0].bar`).
pub(crate) fn prune(object: &mut Value, schema: &Value) -> Vec<String> {
    let mut removed = Vec::new();
    prune_at(object, schema, &mut Path::root(true), &mut removed);
    removed
}

struct Path {
    text: String,
    depth: usize,
    /// At the root `apiVersion`, `kind` and `metadata` are always declared.
    is_root: bool,
    /// Whether the validation rules (CEL) are run too.
    with_rules: bool,
}

impl Path {
    fn root(is_root: bool) -> Path {
        Path { text: String::new(), depth: 0, is_root, with_rules: true }
    }

    /// Runs `f` one step further down.
    fn within<T>(&mut self, step: &str, f: impl FnOnce(&mut Path) -> T) -> T {
        let (length, was_root) = (self.text.len(), std::mem::take(&mut self.is_root));
        if length > 0 && !step.starts_with('[') {
            self.text.push('.');
        }
        self.text.push_str(step);
        self.depth += 1;
        let result = f(self);
        self.depth -= 1;
        self.text.truncate(length);
        self.is_root = was_root;
        result
    }
}

fn prune_at(value: &mut Value, schema: &Value, path: &mut Path, removed: &mut Vec<String>) {
    if path.depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(map) => prune_object(map, schema, path, removed),
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                path.within(&format!("[{i}]"), |p| prune_at(item, &schema["items"], p, removed));
            }
        }
        _ => {}
    }
}

fn prune_object(
    map: &mut Map<String, Value>,
    schema: &Value,
    path: &mut Path,
    removed: &mut Vec<String>,
) {
    let always = path.is_root || schema[EMBEDDED] == true;
    let preserve = schema[PRESERVE] == true;
    let properties = schema["properties"].as_object();
    let additional = &schema["additionalProperties"];
    let mut drop = Vec::new();
    for (key, child) in map.iter_mut() {
        if always && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let declared = properties.and_then(|p| p.get(key));
        match declared.or(Some(additional).filter(|a| a.is_object())) {
            Some(sub) => path.within(key, |p| prune_at(child, sub, p, removed)),
            None if preserve || *additional == true => {}
            None => {
                path.within(key, |p| removed.push(p.text.clone()));
                drop.push(key.clone());
            }
        }
    }
    for key in drop {
        map.remove(&key);
    }
}

/// Fills defaults, and drops `null` where it is not allowed, as the peer does before it validates.
pub(crate) fn fill_defaults(value: &mut Value, schema: &Value) {
    fill_at(value, schema, 0);
}

fn fill_at(value: &mut Value, schema: &Value, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, sub) in schema["properties"].as_object().into_iter().flatten() {
                let is_null = map.get(key).is_some_and(Value::is_null);
                if is_null && sub["nullable"] != true {
                    map.remove(key);
                }
                if let (Some(default), false) = (sub.get("default"), map.contains_key(key)) {
                    map.insert(key.clone(), default.clone());
                }
                if let Some(child) = map.get_mut(key) {
                    fill_at(child, sub, depth + 1);
                }
            }
            let additional = &schema["additionalProperties"];
            if additional.is_object() {
                let declared = schema["properties"].as_object();
                let is_declared = |key: &String| declared.is_some_and(|d| d.contains_key(key));
                if additional["nullable"] != true {
                    map.retain(|key, child| is_declared(key) || !child.is_null());
                }
                for (key, child) in map.iter_mut() {
                    if !is_declared(key) {
                        fill_at(child, additional, depth + 1);
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                fill_at(item, &schema["items"], depth + 1);
            }
        }
        _ => {}
    }
}

/// Checks every value; the list of what is wrong is empty for a good object.
pub(crate) fn check(object: &Value, schema: &Value) -> Vec<Cause> {
    let run = |with_rules: bool| {
        let mut causes = Vec::new();
        let mut path = Path { with_rules, ..Path::root(true) };
        check_at(object, schema, &mut path, &mut causes);
        causes
    };
    let all = run(true);
    if all.is_empty() {
        return all;
    }
    // The peer runs no rule on an object whose types it could not trust, and says so.
    let mut structural = run(false);
    if structural.is_empty() {
        return all;
    }
    let blocks = |cause: &Cause| cause.reason != "FieldValueDuplicate";
    if structural.iter().any(blocks) && crate::rules::has_any(schema) {
        let why = "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        structural.push(Cause::invalid("<nil>", why));
    }
    structural
}

/// Checks a value on its own, such as a default.
pub(crate) fn check_value(value: &Value, schema: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    check_at(value, schema, &mut Path::root(false), &mut causes);
    causes
}

fn check_at(value: &Value, schema: &Value, path: &mut Path, causes: &mut Vec<Cause>) {
    if path.depth > MAX_DEPTH || causes.len() >= MAX_CAUSES_COUNT || !schema.is_object() {
        return;
    }
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(cause) = wrong_type(value, schema, path) {
        causes.push(cause);
        check_enum(value, schema, path, causes);
        return;
    }
    check_enum(value, schema, path, causes);
    match value {
        Value::String(text) => check_string(text, schema, path, causes),
        Value::Number(n) => check_number(n.as_f64().unwrap_or(0.0), schema, path, causes),
        Value::Array(items) => check_list(items, schema, path, causes),
        Value::Object(map) => check_object(map, schema, path, causes),
        _ => {}
    }
    check_junctors(value, schema, path, causes);
    if path.with_rules {
        crate::rules::check(value, schema, &path.text, causes);
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong_type(value: &Value, schema: &Value, path: &Path) -> Option<Cause> {
    let found = type_name(value);
    if schema["x-kubernetes-int-or-string"] == true {
        let good = matches!(found, "integer" | "string");
        return (!good).then(|| type_cause(path, "integer,string", found));
    }
    let wanted = schema["type"].as_str()?;
    let whole = matches!(value, Value::Number(n) if n.as_f64().is_some_and(|f| f.fract() == 0.0));
    let good =
        wanted == found || wanted == "number" && found == "integer" || wanted == "integer" && whole;
    (!good).then(|| type_cause(path, wanted, found))
}

fn type_cause(path: &Path, wanted: &str, found: &str) -> Cause {
    let at = &path.text;
    let message =
        format!("Invalid value: {found:?}: {at} in body must be of type {wanted}: {found:?}");
    Cause { field: field_of(path), reason: "FieldValueTypeInvalid", message }
}

/// The peer names the root `<nil>`.
fn field_of(path: &Path) -> String {
    if path.text.is_empty() { "<nil>".to_owned() } else { path.text.clone() }
}

fn invalid(path: &Path, value: &str, rule: &str) -> Cause {
    let at = &path.text;
    Cause::invalid(field_of(path), format!("Invalid value: {value}: {at} in body {rule}"))
}

fn check_enum(value: &Value, schema: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let Some(allowed) = schema["enum"].as_array() else { return };
    if allowed.contains(value) {
        return;
    }
    let list: Vec<String> = allowed.iter().map(Value::to_string).collect();
    causes.push(Cause {
        field: field_of(path),
        reason: "FieldValueNotSupported",
        message: format!("Unsupported value: {value}: supported values: {}", list.join(", ")),
    });
}

fn check_string(text: &str, schema: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let length = text.chars().count() as u64;
    let before = causes.len();
    let quoted = format!("{text:?}");
    if let Some(min) = schema["minLength"].as_u64().filter(|min| length < *min) {
        let rule = format!("should be at least {min} chars long");
        causes.push(invalid(path, &quoted, &rule));
    }
    if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
        causes.push(Cause {
            field: field_of(path),
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {max} bytes"),
        });
    }
    // The peer stops at a wrong length.
    if let Some(pattern) = schema["pattern"].as_str()
        && causes.len() == before
        && !matches_pattern(pattern, text)
    {
        causes.push(invalid(path, &quoted, &format!("should match '{pattern}'")));
    }
    if let Some(format) = schema["format"].as_str()
        && !matches_format(format, text)
    {
        let at = &path.text;
        let message =
            format!("Invalid value: {quoted}: {at} in body must be of type {format}: {quoted}");
        causes.push(Cause { field: field_of(path), reason: "FieldValueTypeInvalid", message });
    }
}

/// A pattern that our engine cannot compile is taken as matched: the CRD was accepted with it.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    static COMPILED: Mutex<BTreeMap<String, Option<Regex>>> = Mutex::new(BTreeMap::new());
    const MAX_COMPILED_COUNT: usize = 500;
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if compiled.len() > MAX_COMPILED_COUNT {
        compiled.clear();
    }
    let regex = compiled.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
    regex.as_ref().is_none_or(|r| r.is_match(text))
}

fn matches_format(format: &str, text: &str) -> bool {
    use base64::Engine as _;
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        _ => true,
    }
}

fn check_number(number: f64, schema: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let mut report = |rule: String| causes.push(invalid(path, &number.to_string(), &rule));
    if let Some(min) = schema["minimum"].as_f64() {
        let exclusive = schema["exclusiveMinimum"] == true;
        if number < min || exclusive && number <= min {
            let or_equal = if exclusive { "" } else { " or equal to" };
            report(format!("should be greater than{or_equal} {min}"));
        }
    }
    if let Some(max) = schema["maximum"].as_f64() {
        let exclusive = schema["exclusiveMaximum"] == true;
        if number > max || exclusive && number >= max {
            let or_equal = if exclusive { "" } else { " or equal to" };
            report(format!("should be less than{or_equal} {max}"));
        }
    }
    if let Some(step) = schema["multipleOf"].as_f64().filter(|s| *s != 0.0)
        && (number / step).fract() != 0.0
    {
        report(format!("should be a multiple of {step}"));
    }
}

fn check_list(items: &[Value], schema: &Value, path: &mut Path, causes: &mut Vec<Cause>) {
    let count = items.len() as u64;
    if let Some(min) = schema["minItems"].as_u64().filter(|min| count < *min) {
        causes.push(invalid(
            path,
            &count.to_string(),
            &format!("should have at least {min} items"),
        ));
    }
    if let Some(max) = schema["maxItems"].as_u64().filter(|max| count > *max) {
        causes.push(Cause {
            field: field_of(path),
            reason: "FieldValueTooMany",
            message: format!("Too many: {count}: must have at most {max} items"),
        });
    }
    for (i, item) in items.iter().enumerate() {
        path.within(&format!("[{i}]"), |p| check_at(item, &schema["items"], p, causes));
    }
    let keys: Option<Vec<&str>> = match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Some(Vec::new()),
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            Some(keys.filter_map(Value::as_str).collect())
        }
        _ => None,
    };
    if let Some(keys) = keys {
        check_duplicates(items, &keys, path, causes);
    }
}

fn check_duplicates(items: &[Value], keys: &[&str], path: &mut Path, causes: &mut Vec<Cause>) {
    let mut seen = std::collections::BTreeSet::new();
    for (i, item) in items.iter().enumerate() {
        let identity: Value = if keys.is_empty() {
            item.clone()
        } else {
            keys.iter().map(|k| ((*k).to_owned(), item[*k].clone())).collect()
        };
        if !seen.insert(identity.to_string()) {
            path.within(&format!("[{i}]"), |p| {
                causes.push(Cause {
                    field: field_of(p),
                    reason: "FieldValueDuplicate",
                    message: format!("Duplicate value: {identity}"),
                });
            });
        }
    }
}

fn check_object(
    map: &Map<String, Value>,
    schema: &Value,
    path: &mut Path,
    causes: &mut Vec<Cause>,
) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            path.within(name, |p| causes.push(Cause::required(p.text.clone(), "")));
        }
    }
    let count = map.len() as u64;
    if let Some(max) = schema["maxProperties"].as_u64().filter(|max| count > *max) {
        let rule = format!("must have at most {max} items");
        causes.push(invalid(path, &count.to_string(), &rule));
    }
    if let Some(min) = schema["minProperties"].as_u64().filter(|min| count < *min) {
        let rule = format!("should have at least {min} properties");
        causes.push(invalid(path, &count.to_string(), &rule));
    }
    let (properties, additional) =
        (schema["properties"].as_object(), &schema["additionalProperties"]);
    for (key, child) in map {
        if path.is_root && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let declared = properties.and_then(|p| p.get(key));
        if let Some(sub) = declared.or(Some(additional).filter(|a| a.is_object())) {
            path.within(key, |p| check_at(child, sub, p, causes));
        }
    }
}

fn check_junctors(value: &Value, schema: &Value, path: &mut Path, causes: &mut Vec<Cause>) {
    let matching =
        |list: &Value| list.as_array().map(|all| all.iter().filter(|s| matches(value, s)).count());
    let mut report = |rule: &str| {
        let text = if value.is_object() { "\"\"".to_owned() } else { value.to_string() };
        causes.push(invalid(path, &text, rule));
    };
    if matching(&schema["anyOf"]) == Some(0) && schema["x-kubernetes-int-or-string"] != true {
        report("must validate at least one schema (anyOf)");
    }
    if matching(&schema["oneOf"]).is_some_and(|n| n != 1) {
        report("must validate one and only one schema (oneOf)");
    }
    let all = schema["allOf"].as_array();
    if all.is_some_and(|all| all.iter().any(|s| !matches(value, s))) {
        report("must validate all the schemas (allOf)");
    }
    if schema["not"].is_object() && matches(value, &schema["not"]) {
        report("must not validate the schema (not)");
    }
}

fn matches(value: &Value, schema: &Value) -> bool {
    let mut causes = Vec::new();
    check_at(value, schema, &mut Path::root(false), &mut causes);
    causes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({"type": "object", "properties": {"spec": {"type": "object", "required": ["repo"],
        "properties": {
            "repo": {"type": "string", "minLength": 1},
            "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
            "branch": {"type": "string", "nullable": true},
            "plain": {"type": "string"},
            "values": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}}})
    }

    #[test]
    fn unknown_fields_go_except_where_they_are_preserved() {
        let mut object = json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "x"},
            "extra": 1, "spec": {"repo": "r", "other": {}, "values": {"a": {"b": 1}}}});
        assert_eq!(prune(&mut object, &schema()), ["extra", "spec.other"]);
        assert_eq!(object["spec"], json!({"repo": "r", "values": {"a": {"b": 1}}}));
    }

    #[test]
    fn defaults_are_filled_and_null_goes_where_it_is_not_allowed() {
        let mut object = json!({"spec": {"mode": null, "branch": null, "plain": null}});
        fill_defaults(&mut object, &schema());
        assert_eq!(object, json!({"spec": {"mode": "A", "branch": null}}));
    }

    #[test]
    fn findings_carry_the_words_of_the_peer() {
        let object = json!({"spec": {"repo": 5, "mode": "C"}});
        let messages: Vec<String> =
            check(&object, &schema()).into_iter().map(|c| c.message).collect();
        // kube-apiserver 1.36 on the same schema and object.
        assert_eq!(
            messages,
            [
                "Unsupported value: \"C\": supported values: \"A\", \"B\"",
                "Invalid value: \"integer\": spec.repo in body must be of type string: \"integer\"",
            ]
        );
        assert_eq!(check(&json!({"spec": {}}), &schema())[0].message, "Required value");
    }
}
