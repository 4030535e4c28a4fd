//! The part of kubectl's JSON path that printer columns use.
//!
//! Owns the reading of `.a.b`, `['a']`, `[0]`, `[*]` and `[?(@.type=="Ready")]`. Pure.
//! Start at [`find`].

use serde_json::Value;

/// Every value that the path selects.
pub(crate) fn find<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![object];
    let mut rest = path.trim().trim_start_matches('$');
    while !rest.is_empty() && !found.is_empty() {
        let step;
        (step, rest) = next_step(rest);
        found = found.into_iter().flat_map(|v| apply(v, &step)).collect();
    }
    found
}

enum Step<'p> {
    Field(String),
    Index(i64),
    All,
    Filter { path: &'p str, operator: &'p str, value: &'p str },
}

fn next_step(rest: &str) -> (Step<'_>, &str) {
    if let Some(inner) = rest.strip_prefix('[') {
        let end = closing_bracket(inner);
        let (inside, after) = (&inner[..end], inner.get(end + 1..).unwrap_or_default());
        return (bracket(inside), after);
    }
    let rest = rest.trim_start_matches('.');
    // A dot that is part of a name is written `\.`.
    let (mut name, mut end) = (String::new(), rest.len());
    let mut escaped = false;
    for (i, c) in rest.char_indices() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '.' | '[' if !escaped => {
                end = i;
                break;
            }
            _ => name.push(c),
        }
        escaped = false;
    }
    (if name == "*" { Step::All } else { Step::Field(name) }, &rest[end..])
}

fn closing_bracket(inner: &str) -> usize {
    let mut quote = None;
    for (i, c) in inner.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, ']') => return i,
            _ => {}
        }
    }
    inner.len()
}

fn bracket(inside: &str) -> Step<'_> {
    if inside == "*" {
        return Step::All;
    }
    if let Ok(index) = inside.parse() {
        return Step::Index(index);
    }
    if let Some(filter) = inside.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        for operator in ["==", "!="] {
            if let Some((left, right)) = filter.split_once(operator) {
                let path = left.trim().trim_start_matches('@');
                let value = right.trim().trim_matches(['"', '\'']);
                return Step::Filter { path, operator, value };
            }
        }
        let path = filter.trim().trim_start_matches('@');
        return Step::Filter { path, operator: "", value: "" };
    }
    Step::Field(inside.trim_matches(['"', '\'']).to_owned())
}

fn apply<'a>(value: &'a Value, step: &Step<'_>) -> Vec<&'a Value> {
    match step {
        Step::Field(name) => value.get(name.as_str()).into_iter().collect(),
        Step::Index(i) => {
            let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
            let length = i64::try_from(list.len()).unwrap_or(0);
            let at = if *i < 0 { length + i } else { *i };
            usize::try_from(at).ok().and_then(|at| list.get(at)).into_iter().collect()
        }
        Step::All => match value {
            Value::Array(list) => list.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        },
        Step::Filter { path, operator, value: wanted } => {
            let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
            let keeps = |item: &&Value| {
                let found = find(item, path);
                let text = found.first().map(|v| super::plain(v));
                match *operator {
                    "==" => text.as_deref() == Some(*wanted),
                    "!=" => text.as_deref() != Some(*wanted),
                    _ => text.is_some(),
                }
            };
            list.iter().filter(keeps).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_of_printer_columns_find_their_value() {
        let object = json!({"spec": {"a.b": 1}, "status": {"conditions": [
            {"type": "X", "message": "no"}, {"type": "Ready", "message": "yes"}]}});
        let ready = r#".status.conditions[?(@.type=="Ready")].message"#;
        assert_eq!(find(&object, ready), [&json!("yes")]);
        assert_eq!(find(&object, ".status.conditions[0].type"), [&json!("X")]);
        assert_eq!(find(&object, r".spec.a\.b"), [&json!(1)]);
        assert!(find(&object, ".status.missing.x").is_empty());
    }
}
