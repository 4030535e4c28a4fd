//! What hostile text can do: nothing but an error, and that soon.

use goyaml::{MAX_DEPTH, from_str};

#[test]
fn nesting_up_to_the_bound_is_read_and_written() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        let depth = MAX_DEPTH - 1;
        let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let value = from_str(&text).expect("within the bound");
        assert_eq!(from_str(&goyaml::to_string(&value)).expect("reads back"), value);
    }
}

#[test]
fn nesting_beyond_the_bound_is_refused_by_name() {
    for open in ["[", "{a: ", "- ", "{\"a\":["] {
        let error = from_str(&open.repeat(100_000)).expect_err("too deep");
        assert!(error.message.contains("exceeded max depth of 250"), "{error}");
    }
    assert!(goyaml::json::from_str(&"[".repeat(100_000)).is_err());
}

#[test]
fn nesting_through_aliases_is_bound_too() {
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..2_000 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    let error = from_str(&text).expect_err("too deep");
    assert!(error.message.contains("exceeded max depth"), "{error}");
}

#[test]
fn long_runs_of_anything_are_read_in_linear_time() {
    // Each would take minutes if a character were looked at again for each one before it.
    let many = 300_000;
    for (start, run, end) in [
        ("a: b", " ", "c"),
        ("a: 'b", " ", "c'"),
        ("a: \"b", "\\t", "\""),
        ("a: b", "\n", "  c"),
        ("a: |\n", "\n", "  c"),
        ("", "# x\n", "a"),
        ("a: [", "x,", "]"),
        ("", "- a\n", ""),
        ("a: [", "{a: b},", "]"),
        ("a: ", "&", ""),
        ("", "? ", ""),
    ] {
        let _ = from_str(&format!("{start}{}{end}", run.repeat(many)));
    }
    let keys: String = (0..many / 10).map(|n| format!("k{n}: &a{n} *a{}\n", n / 2)).collect();
    let _ = from_str(&keys);
}

#[test]
fn what_an_error_shows_is_bounded() {
    let items = "x,".repeat(50_000);
    // Each of many keys that JSON does not know has a large value, of which Go shows one.
    let big: String = (0..20_000).map(|n| format!("  k{n}: v\n")).collect();
    let keys: String = (0..3_000).map(|n| format!("- {{~: *big, k: {n}}}\n")).collect();
    for text in [
        format!("~: [{items}]"),
        format!("? [{items}]\n: a\n"),
        format!("big: &big\n{big}list:\n{keys}"),
    ] {
        let error = from_str(&text).expect_err("keys that JSON does not know");
        assert!(error.message.len() < 200_000, "{}", error.message.len());
    }
}
