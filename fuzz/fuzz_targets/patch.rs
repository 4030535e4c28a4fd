//! A made merge patch leads where it should, a refused JSON patch changes nothing, and applying the same again changes nothing.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use patch::apply::{Request, apply};
use patch::fields::FieldSet;
use patch::schema::{Node, Schema, Types};
use serde_json::{Value, json};

static TYPES: OnceLock<(Types, Node)> = OnceLock::new();

// One list of each kind, a map, an atomic map, and a place where anything may stand.
fn schema() -> Schema<'static> {
    let build = || {
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "atomic": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"],
                    "items": {"type": "object", "properties": {
                        "k": {"type": "string"}, "p": {"type": "integer", "default": 80}, "v": {"type": "string"},
                        "in": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "n": {"type": "integer"}}}}});
        (Types::default(), Node::from_structural(&schema))
    };
    let (types, node) = TYPES.get_or_init(build);
    Schema::new(types, node)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().any(has_null),
        _ => false,
    }
}

fn check_apply(configs: &[&Value]) {
    let ignored = FieldSet::new();
    let mut live: Option<Value> = None;
    for (index, config) in configs.iter().enumerate() {
        let manager = format!("m{index}");
        let request = Request {
            schema: schema(),
            manager: &manager,
            api_version: "v1",
            subresource: "",
            now: "2024-01-01T00:00:00Z",
            ignored: &ignored,
        };
        let Ok(applied) = apply(live.as_ref(), config, &request, true) else { continue };
        let again = apply(Some(&applied.object), config, &request, false).expect("nobody else owns it now");
        // Empty lists have no owner; what nobody manages becomes `before-first-apply`'s first.
        if applied.object["metadata"]["managedFields"].is_array() {
            assert!(!again.is_changed, "{}\n{}", applied.object, again.object);
            assert_eq!(again.object, applied.object);
        }
        live = Some(applied.object);
    }
}

fuzz_target!(|text: &str| {
    let values: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let [from, to, rest @ ..] = &values[..] else { return };
    let made = patch::merge::create_merge_patch(from, to);
    let mut patched = from.clone();
    patch::json::merge(&mut patched, &made);
    if !has_null(to) {
        assert_eq!(&patched, to, "{made}");
    }
    let mut target = from.clone();
    if patch::json::apply(&mut target, to.clone()).is_err() {
        assert_eq!(&target, from);
    }
    let _ = patch::strategic::apply(from, to, Some(schema()));
    if let Ok(same) = patch::strategic::apply(from, &json!({}), Some(schema())) {
        if from.is_object() {
            assert_eq!(&same, from);
        }
    }
    check_apply(&[&[from, to], rest.iter().collect::<Vec<_>>().as_slice()].concat());
});
