//! What must hold for any object.

use patch::apply::{Request, apply};
use patch::fields::FieldSet;
use patch::merge::{apply_merge_patch, create_merge_patch};
use patch::schema::{Node, Schema, Types};
use patch::typed::{Comparison, fields_of, merge, remove_fields, settle_emptied};
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_json(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn schema() -> Node {
    let item = json!({"type": "object", "properties": {"name": {"type": "string"},
        "value": {"type": "string"}}});
    Node::from_structural(&json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        "spec": {"type": "object", "properties": {
            "size": {"type": "integer"},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "items": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"], "items": item},
            "free": {"type": "object", "additionalProperties": {"type": "string"}},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic",
                "additionalProperties": {"type": "string"}},
        }},
    }}))
}

/// Objects of the schema above, without nulls and without empty collections in them.
fn config() -> impl Strategy<Value = Value> {
    let names = || prop::sample::subsequence(vec!["x", "y", "z"], 0..=3).prop_shuffle();
    let text = || prop_oneof![Just("1"), Just("2")];
    let map = move || prop::collection::btree_map("[a-c]", text(), 0..3);
    (prop::option::of(0i64..3), names(), names(), text(), map(), map()).prop_map(
        |(size, tags, items, value, free, whole)| {
            let items: Vec<Value> =
                items.iter().map(|name| json!({"name": name, "value": value})).collect();
            let mut spec = json!({"size": size, "tags": tags, "items": items, "free": free,
                "whole": whole});
            let is_empty = |v: &Value| v.is_null() || *v == json!({}) || *v == json!([]);
            spec.as_object_mut().expect("object").retain(|_, value| !is_empty(value));
            json!({"metadata": {"name": "n"}, "spec": spec})
        },
    )
}

fn request<'a>(schema: Schema<'a>, manager: &'a str, ignored: &'a FieldSet) -> Request<'a> {
    Request { schema, manager, api_version: "v1", subresource: "", now: "T", ignored }
}

proptest! {
    #[test]
    fn a_made_merge_patch_leads_to_its_target(from in any_json(3), to in any_json(3)) {
        let patch = create_merge_patch(&from, &to);
        let mut result = from.clone();
        apply_merge_patch(&mut result, &patch);
        prop_assert_eq!(result, to);
    }

    #[test]
    fn an_empty_merge_patch_changes_nothing(from in any_json(3)) {
        let empty = create_merge_patch(&from, &from) == json!({});
        prop_assert!(!from.is_object() || empty);
    }

    #[test]
    fn applying_twice_changes_nothing(first in config(), second in config()) {
        let (types, node, none) = (Types::default(), schema(), FieldSet::new());
        let schema = Schema::new(&types, &node);
        let one = request(schema, "one", &none);
        let two = request(schema, "two", &none);
        let live = apply(None, &first, &one, false).expect("new").object;
        let live = apply(Some(&live), &second, &two, true).expect("forced");
        let again = apply(Some(&live.object), &second, &two, false).expect("no conflict");
        prop_assert_eq!(&again.object, &live.object);
        prop_assert!(!again.is_changed);
    }

    #[test]
    fn what_was_applied_is_there_and_what_is_dropped_is_gone(a in config(), b in config()) {
        let (types, node, none) = (Types::default(), schema(), FieldSet::new());
        let schema = Schema::new(&types, &node);
        let who = request(schema, "one", &none);
        let live = apply(None, &a, &who, false).expect("new").object;
        let mut live = apply(Some(&live), &b, &who, false).expect("sole owner").object;
        live["metadata"].as_object_mut().expect("object").remove("managedFields");
        let difference = Comparison::new(Some(&live), Some(&b), schema);
        prop_assert!(difference.added.is_empty() && difference.modified.is_empty());
        // An owner that empties its spec keeps the spec.
        let kept = FieldSet::of_fields(&[&["spec"]]);
        prop_assert_eq!(difference.removed.difference(&kept), FieldSet::new());
    }

    #[test]
    fn merging_with_nothing_or_itself_changes_nothing(a in config()) {
        let (types, node) = (Types::default(), schema());
        let schema = Schema::new(&types, &node);
        prop_assert_eq!(&merge(Some(&a), Some(&a), Some(schema)), &a);
        prop_assert_eq!(&merge(Some(&a), Some(&json!({})), Some(schema)), &a);
        prop_assert_eq!(&patch::strategic::apply(&a, &json!({}), Some(schema)).expect("ok"), &a);
    }

    #[test]
    fn a_comparison_names_what_is_needed_to_go_there(a in config(), b in config()) {
        let (types, node) = (Types::default(), schema());
        let schema = Schema::new(&types, &node);
        let changed = Comparison::new(Some(&a), Some(&b), schema);
        let merged = merge(Some(&a), Some(&b), Some(schema));
        let mut left = remove_fields(&merged, &changed.removed, schema);
        settle_emptied(&mut left, &merged, Some(&b), Some(schema));
        let rest = Comparison::new(Some(&left), Some(&b), schema);
        prop_assert!(rest.modified.is_empty() && rest.added.is_empty());
    }

    #[test]
    fn sets_survive_their_wire_form(a in config()) {
        let (types, node) = (Types::default(), schema());
        let set = fields_of(&a, Schema::new(&types, &node));
        prop_assert_eq!(FieldSet::decode(&set.encode()).expect("ours"), set);
    }
}
