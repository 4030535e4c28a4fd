//! The validation rules (CEL) that this server evaluates.
//!
//! Owns the native forms of the rules that our own CRDs carry; there is no CEL engine here. A CRD
//! with another rule is accepted with a warning that names it ([`unknown`]): its rule is not
//! enforced. Start at [`check`].

use serde_json::Value;

use crate::error::Cause;

/// Longest Go duration: 2^63 ns, as hours.
const MAX_HOURS: f64 = 2_562_047.0;

/// A rule this server knows by what it says.
enum Rule {
    /// `0`, or a Go duration of at most [`MAX_HOURS`].
    GoDuration,
}

fn recognise(rule: &str) -> Option<Rule> {
    (rule.contains("self.matches(") && rule.contains("duration(self)")).then_some(Rule::GoDuration)
}

/// Applies the rules of `schema` to `value`.
pub(crate) fn check(value: &Value, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    for rule in rules {
        let text = rule["rule"].as_str().unwrap_or_default();
        let good = match recognise(text) {
            Some(Rule::GoDuration) => value.as_str().is_none_or(is_go_duration),
            None => true,
        };
        if !good {
            let message = match rule["message"].as_str() {
                Some(message) => message.to_owned(),
                None => format!("failed rule: {text}"),
            };
            // Of an object only the message is told.
            let shown = if value.is_object() { String::new() } else { format!("{value}: ") };
            causes.push(Cause::invalid(path, format!("Invalid value: {shown}{message}")));
        }
    }
}

/// Every rule in a schema that is not evaluated here.
pub(crate) fn unknown(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(schema, 0, &mut found);
    found
}

/// Whether a schema has any rule, evaluated here or not.
pub(crate) fn has_any(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => {
            schema["x-kubernetes-validations"].as_array().is_some_and(|r| !r.is_empty())
                || map.values().any(has_any)
        }
        Value::Array(list) => list.iter().any(has_any),
        _ => false,
    }
}

fn collect(schema: &Value, depth: usize, found: &mut Vec<String>) {
    if depth > 100 {
        return;
    }
    match schema {
        Value::Object(map) => {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let text = rule["rule"].as_str().unwrap_or_default();
                if recognise(text).is_none() {
                    found.push(text.to_owned());
                }
            }
            for child in map.values() {
                collect(child, depth + 1, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|child| collect(child, depth + 1, found)),
        _ => {}
    }
}

fn is_go_duration(text: &str) -> bool {
    if text == "0" {
        return true;
    }
    let mut hours = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let whole = number.split('.').all(|p| !p.is_empty()) && number.split('.').count() <= 2;
        let Some(unit_hours) = unit_hours(unit).filter(|_| whole) else { return false };
        let Ok(number) = number.parse::<f64>() else { return false };
        hours += number * unit_hours;
        rest = next;
    }
    hours <= MAX_HOURS
}

fn unit_hours(unit: &str) -> Option<f64> {
    let seconds = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Some(seconds / 3600.0)
}

#[cfg(test)]
mod tests {
    use super::{is_go_duration, unknown};

    #[test]
    fn the_rules_of_our_own_crds_are_all_evaluated() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/fleet-crd/templates");
        let mut rules = 0;
        for file in std::fs::read_dir(folder).expect("the chart") {
            let text = std::fs::read_to_string(file.expect("entry").path()).expect("text");
            for document in goyaml::documents(&text) {
                let crd = goyaml::from_str(document.text).expect("a CRD");
                assert_eq!(unknown(&crd), Vec::<String>::new());
                rules += crd.to_string().matches("\"rule\":").count();
            }
        }
        assert!(rules >= 6, "only {rules} rules were found: did their place change?");
    }

    #[test]
    fn go_durations_are_told_from_other_texts() {
        for yes in ["0", "15s", "1h30m", "1.5h", "100µs", "2562047h"] {
            assert!(is_go_duration(yes), "{yes}");
        }
        for no in ["", "1d", "5", "-1s", "1.h", ".5s", "2562048h", "1h 2m"] {
            assert!(!is_go_duration(no), "{no}");
        }
    }
}
