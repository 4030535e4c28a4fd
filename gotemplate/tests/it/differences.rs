//! Where this crate differs from Go on purpose; the README and `COMPATIBILITY.md` name these.

use std::sync::Arc;

use gotemplate::{MissingKey, Registry};
use serde_json::Value as Json;

fn rendered(text: &str) -> String {
    super::run(&Arc::new(Registry::sprig()), text, MissingKey::Default, &Json::Null)
}

#[test]
fn complex_constants_are_refused_when_parsed() {
    let error = rendered("{{ if false }}{{ 1i }}{{ end }}");
    assert!(error.starts_with("error: template: t:1: "), "{error}");
}

#[test]
fn integers_are_int_int64_or_a_byte() {
    let text = "{{ typeOf 1 }} {{ typeOf (int64 1) }} {{ typeOf (int 1) }} \
                {{ typeOf (index \"a\" 0) }} {{ typeOf (len \"a\") }}";
    assert_eq!(rendered(text), "int int64 int uint8 int");
}

#[test]
fn a_text_cut_inside_a_character_has_a_replacement_character() {
    assert_eq!(rendered("{{ trunc 1 \"\u{e9}\" }}"), "\u{fffd}");
}

#[test]
fn parentheses_and_control_structures_nest_a_hundred_deep() {
    let nested =
        |depth: usize| format!("{}x{}", "{{ if true }}".repeat(depth), "{{ end }}".repeat(depth));
    assert_eq!(rendered(&nested(100)), "x");
    let error = rendered(&nested(101));
    assert!(error.contains("max expression depth exceeded"), "{error}");
    let parentheses =
        |depth: usize| format!("{{{{ {}1{} }}}}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(rendered(&parentheses(99)), "1");
    let error = rendered(&parentheses(101));
    assert!(error.contains("max expression depth exceeded"), "{error}");
}
