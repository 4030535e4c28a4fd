//! Takes out of an answer what no two servers can have in common: ids, times, addresses.
//!
//! Owns the numbering that keeps what can be compared: "the same uid as before", "a new
//! resourceVersion". Start at [`Mask::value`].

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

/// The ids seen so far in one script.
#[derive(Default)]
pub(crate) struct Mask {
    uids: Vec<String>,
    revisions: Vec<String>,
}

/// What is masked in any text, and by what.
static TEXTS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} \w+", "<time>"),
        (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "<jwt>"),
        (r"\b127\.0\.0\.1(:\d+)?", "<server>"),
        (r"^\d+[smh](\d+[smh])?$", "<age>"),
        (r":3[0-2]\d{3}/", ":<port>/"),
        (r#"(resourceVersion\\*":\\*")\d+"#, "$1<rv>"),
        (r"\b10\.\d+\.\d+\.\d+\b", "<ip>"),
        (r"(?s)-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----\n?", "<certificate>"),
        (r"(does not match the ResourceVersion in record \()\d+", "$1<rv>"),
        (r"(Too large resource version: \d+, current: )\d+", "$1<rv>"),
        (r"(too old resource version: \d+ \()\d+", "$1<rv>"),
    ];
    let compile = |(pattern, by)| (Regex::new(pattern).expect("a pattern"), by);
    rules.into_iter().map(compile).collect()
});

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").expect("a pattern")
});

/// The number of `text` in `seen`, which learns it.
fn number(seen: &mut Vec<String>, text: &str) -> usize {
    seen.iter().position(|s| s == text).unwrap_or_else(|| {
        seen.push(text.to_owned());
        seen.len() - 1
    }) + 1
}

impl Mask {
    /// The answer without what cannot be equal.
    pub(crate) fn value(&mut self, value: Value) -> Value {
        match value {
            Value::Object(map) => self.object(map),
            Value::Array(list) => list.into_iter().map(|v| self.value(v)).collect(),
            Value::String(text) => Value::String(self.text(&text)),
            other => other,
        }
    }

    fn object(&mut self, map: Map<String, Value>) -> Value {
        let mut map = map;
        sort_causes(&mut map);
        if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
            self.metadata(metadata);
        }
        let is_token = map.get("type").is_some_and(|t| t == "kubernetes.io/service-account-token");
        let masked = map.into_iter().map(|(key, value)| {
            let value = match (key.as_str(), &value) {
                ("continue", Value::String(_)) => "<continue>".into(),
                ("nodePort", Value::Number(_)) => "<port>".into(),
                ("data", Value::Object(data)) if is_token => {
                    data.keys().map(|k| (k.clone(), Value::from("<masked>"))).collect()
                }
                _ => self.value(value),
            };
            (self.text(&key), value)
        });
        Value::Object(masked.collect())
    }

    fn metadata(&mut self, metadata: &mut Map<String, Value>) {
        let text = |m: &Map<String, Value>, key: &str| Some(m.get(key)?.as_str()?.to_owned());
        let uid = text(metadata, "uid");
        let revision = text(metadata, "resourceVersion");
        if let Some(revision) = revision {
            // A list's revision counts what others do.
            let masked = match &uid {
                Some(_) => format!("<rv-{}>", number(&mut self.revisions, &revision)),
                None => "<rv>".to_owned(),
            };
            metadata.insert("resourceVersion".into(), masked.into());
        }
        if let Some(uid) = uid {
            number(&mut self.uids, &uid);
        }
        if let (Some(base), Some(name)) = (text(metadata, "generateName"), text(metadata, "name")) {
            let suffix_length = name.strip_prefix(&base).map_or(0, str::len);
            metadata.insert("name".into(), format!("{base}<{suffix_length}>").into());
        }
    }

    fn text(&self, text: &str) -> String {
        let mut text = UUID
            .replace_all(text, |found: &regex::Captures<'_>| {
                let known = self.uids.iter().position(|u| *u == found[0]);
                known.map_or("<uid>".to_owned(), |i| format!("<uid-{}>", i + 1))
            })
            .into_owned();
        for (pattern, by) in &*TEXTS {
            text = pattern.replace_all(&text, *by).into_owned();
        }
        text
    }
}

/// The peer walks maps in a random order: several causes of one error are compared without it.
fn sort_causes(status: &mut Map<String, Value>) {
    let Some(causes) = status.get_mut("details").and_then(|d| d.get_mut("causes")?.as_array_mut())
    else {
        return;
    };
    if causes.len() < 2 {
        return;
    }
    causes.sort_by_key(Value::to_string);
    if let Some(Value::String(message)) = status.get_mut("message")
        && let Some((start, _)) = message.split_once(" is invalid: ")
    {
        *message = format!("{start} is invalid: <causes>");
    }
}
