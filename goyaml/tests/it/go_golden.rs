//! Reading and writing, line by line against the recordings.

use std::path::PathBuf;

use serde_json::Value;

/// How many characters are shown on each side of the first that differs.
const CONTEXT: usize = 150;

/// Reads `name` and hands each recorded case to `check`, which returns what is wrong with it.
fn check_golden(name: &str, check: impl Fn(&Value) -> Option<String>) {
    let dir = std::env::var_os("GOYAML_GOLDEN").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden"),
        PathBuf::from,
    );
    let text = std::fs::read_to_string(dir.join(name)).expect("the golden file is there");
    let wrong: Vec<String> = text
        .lines()
        .map(|line| goyaml::json::from_str(line).expect("a golden line is JSON"))
        .filter_map(|case| {
            let wrong = check(&case)?;
            Some(format!("in:   {}\n{wrong}", case["in"]))
        })
        .collect();
    let shown_count = if dir.ends_with("tests/golden") { 20 } else { 200 };
    let shown = wrong.iter().take(shown_count).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(wrong.is_empty(), "{} of {} differ\n{shown}", wrong.len(), text.lines().count());
}

pub(crate) fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

fn differ(what: &str, ours: &str, theirs: &str) -> Option<String> {
    (ours != theirs).then(|| {
        let same = ours.chars().zip(theirs.chars()).take_while(|(a, b)| a == b).count();
        let around = |text: &str| -> String {
            text.chars().skip(same.saturating_sub(CONTEXT)).take(2 * CONTEXT).collect()
        };
        let (ours, theirs) = (around(ours), around(theirs));
        format!("{what}, at character {same}\n  ours: {ours:?}\n  go:   {theirs:?}")
    })
}

#[test]
fn yaml_is_read_as_go_reads_it() {
    check_golden("read.jsonl", read_differs);
}

pub(crate) fn read_differs(case: &Value) -> Option<String> {
    let read = goyaml::from_str(text(case, "in"));
    match (read, case.get("err")) {
        (Ok(value), None) => {
            // Go writes this one as an escape when it stands for a broken byte.
            let json = text(case, "json").replace("\\ufffd", "\u{fffd}");
            differ("json", &goyaml::json::to_string(&value), &json)
        }
        (Ok(value), Some(error)) => Some(format!("read {value}, Go fails: {error}")),
        (Err(error), None) => Some(format!("fails: {error}, Go reads {}", case["json"])),
        (Err(_), Some(_)) => None,
    }
}

#[test]
fn errors_have_the_text_go_has() {
    check_golden("read.jsonl", error_differs);
}

pub(crate) fn error_differs(case: &Value) -> Option<String> {
    let error = goyaml::from_str(text(case, "in")).err()?;
    differ("error", &error.to_string(), text(case, "err"))
}

#[test]
fn strict_reading_refuses_what_go_refuses() {
    check_golden("read.jsonl", strict_differs);
}

pub(crate) fn strict_differs(case: &Value) -> Option<String> {
    let error = goyaml::from_str_strict(text(case, "in")).err().map(|error| error.to_string());
    let expected = case.get("strict").or(case.get("err")).and_then(Value::as_str);
    match (&error, expected) {
        (None, None) | (Some(_), Some(_)) => None,
        _ => Some(format!("ours: {error:?}\n  go:   {expected:?}")),
    }
}

#[test]
fn a_part_is_what_the_whole_says_with_the_same_errors() {
    check_golden("read.jsonl", part_differs);
}

pub(crate) fn part_differs(case: &Value) -> Option<String> {
    use goyaml::Part;
    let part = Part::Keys(&[
        ("a", Part::All),
        ("b", Part::Keys(&[("c", Part::All)])),
        ("kind", Part::All),
        ("metadata", Part::Keys(&[("name", Part::All), ("labels", Part::All)])),
    ]);
    let whole = goyaml::from_str(text(case, "in"));
    let nothing = goyaml::from_str_part(text(case, "in"), &Part::Nothing);
    let part = goyaml::from_str_part(text(case, "in"), &part);
    let shown = |read: &Result<Value, goyaml::Error>| match read {
        Ok(value) => ["/a", "/b/c", "/kind", "/metadata/name", "/metadata/labels"]
            .map(|place| format!("{:?}", value.pointer(place)))
            .join(" "),
        Err(error) => error.to_string(),
    };
    differ("part", &shown(&part), &shown(&whole)).or_else(|| {
        differ("nothing", &format!("{:?}", nothing.err()), &format!("{:?}", whole.err()))
    })
}

#[test]
fn yaml_is_written_as_go_writes_it() {
    check_golden("write.jsonl", write_differs);
}

pub(crate) fn write_differs(case: &Value) -> Option<String> {
    match (goyaml::try_to_string(&case["in"]), case.get("err")) {
        (Ok(yaml), None) => differ("yaml", &yaml, text(case, "yaml")),
        (Ok(_), Some(error)) => Some(format!("written, Go fails: {error}")),
        (Err(error), None) => Some(format!("fails: {error}")),
        (Err(_), Some(_)) => None,
    }
}

#[test]
fn pretty_yaml_is_written_as_go_writes_it() {
    check_golden("write.jsonl", pretty_differs);
}

pub(crate) fn pretty_differs(case: &Value) -> Option<String> {
    differ("pretty", &goyaml::to_string_pretty(&case["in"]), text(case, "pretty"))
}

#[test]
fn json_is_written_as_go_writes_it() {
    check_golden("write.jsonl", written_json_differs);
}

pub(crate) fn written_json_differs(case: &Value) -> Option<String> {
    let plain = text(case, "json");
    let or_plain = |key| case.get(key).and_then(Value::as_str).unwrap_or(plain);
    let value = &case["in"];
    let floats = goyaml::json::go_number_value(value.clone());
    differ("json", &goyaml::json::to_string(value), plain)
        .or_else(|| differ("raw", &goyaml::json::to_string_raw(value), or_plain("raw")))
        .or_else(|| differ("indent", &goyaml::json::to_string_pretty(value), or_plain("indent")))
        .or_else(|| {
            let parsed = serde_json::from_str::<Value>(plain).is_ok();
            (!parsed).then(|| "not JSON for others".to_owned())
        })
        .or_else(|| differ("float64", &goyaml::json::to_string(&floats), or_plain("float64")))
}

#[test]
fn json_is_read_as_go_reads_it() {
    check_golden("json.jsonl", read_json_differs);
}

pub(crate) fn read_json_differs(case: &Value) -> Option<String> {
    match goyaml::json::from_str(text(case, "in")) {
        Ok(value) => {
            let json = goyaml::json::to_string(&goyaml::json::go_number_value(value));
            differ("json", &json, text(case, "json"))
        }
        Err(error) => differ("error", &error.to_string(), text(case, "err")),
    }
}

#[test]
fn documents_are_split_as_helm_splits_them() {
    check_golden("split.jsonl", split_differs);
}

pub(crate) fn split_differs(case: &Value) -> Option<String> {
    let found = goyaml::documents(text(case, "in"));
    let texts: Vec<_> = found.iter().map(|document| document.text).collect();
    let lines: Vec<_> = text(case, "in").split('\n').collect();
    let misplaced = found.iter().find(|document| {
        let first = document.text.split('\n').next().unwrap_or_default();
        !lines[document.first_line - 1].ends_with(first)
    });
    let misplaced = misplaced.map(|document| format!("misplaced: {document:?}"));
    misplaced.or_else(|| {
        let expected = case["docs"].as_array().into_iter().flatten();
        let expected: Vec<_> = expected.filter_map(Value::as_str).collect();
        differ("docs", &format!("{texts:?}"), &format!("{expected:?}"))
    })
}
