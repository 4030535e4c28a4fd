//! Label and field selectors.
//!
//! Owns their grammar and meaning as Kubernetes defines them. Pure. Start at [`Selector`].

use serde_json::Value;

use crate::store::{Entry, Event, Key, Labels};

mod parse;

use parse::parse_labels;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
    /// `key > n` (true) or `key < n`.
    Compare(String, i64, bool),
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
            Self::Compare(key, bound, greater) => {
                let value = labels.get(key).and_then(|v| v.parse::<i64>().ok());
                value.is_some_and(|v| if *greater { v > *bound } else { v < *bound })
            }
        }
    }
}

/// `path = value` or `path != value`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldRequirement {
    path: String,
    value: String,
    equal: bool,
}

/// What a list or watch wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

impl Selector {
    /// Reads both selectors of a request; the error is the text for the user.
    pub(crate) fn parse(labels: Option<&str>, fields: Option<&str>) -> Result<Selector, String> {
        Ok(Selector {
            labels: parse_labels(labels.unwrap_or_default())?,
            fields: parse_fields(fields.unwrap_or_default())?,
        })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one name asked for, if `metadata.name=` is there: then no scan is needed.
    pub(crate) fn name(&self) -> Option<&str> {
        self.field_equal("metadata.name")
    }

    fn field_equal(&self, path: &str) -> Option<&str> {
        self.fields.iter().find(|f| f.equal && f.path == path).map(|f| f.value.as_str())
    }

    /// Field paths used, to be checked against what the kind offers.
    pub(crate) fn field_paths(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|f| f.path.as_str())
    }

    pub(crate) fn matches(&self, key: &Key, entry: &Entry) -> bool {
        (self.labels.is_empty() || self.matches_labels(&entry.labels()))
            && self.matches_fields(key, entry)
    }

    /// Whether an event's object matched before and after the change.
    pub(crate) fn before_and_after(&self, event: &Event) -> (bool, bool) {
        let labels_now = self.labels.is_empty() || self.matches_labels(event.labels());
        let after = labels_now && self.matches_fields(&event.key, &event.object);
        let before = event.previous.as_ref().is_some_and(|previous| {
            let labels = self.labels.is_empty()
                || event.previous_labels().is_some_and(|l| self.matches_labels(l));
            labels && self.matches_fields(&event.key, previous)
        });
        (before, after)
    }

    fn matches_labels(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|r| r.matches(labels))
    }

    fn matches_fields(&self, key: &Key, entry: &Entry) -> bool {
        let mut tree: Option<Value> = None;
        self.fields.iter().all(|field| {
            let found = match field.path.as_str() {
                "metadata.name" => key.name().to_owned(),
                "metadata.namespace" => key.namespace().unwrap_or_default().to_owned(),
                path => text_at(tree.get_or_insert_with(|| entry.value()), path),
            };
            (found == field.value) == field.equal
        })
    }
}

/// The value at a dotted path as a field selector sees it: absent is the empty text.
fn text_at(object: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(object, |v, part| v.get(part));
    match found {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None if path == "spec.unschedulable" => "false".to_owned(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn parse_fields(text: &str) -> Result<Vec<FieldRequirement>, String> {
    let mut out = Vec::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let split = |op: &str| part.split_once(op);
        let (path, value, equal) = if let Some((p, v)) = split("!=") {
            (p, v, false)
        } else if let Some((p, v)) = split("==").or_else(|| split("=")) {
            (p, v, true)
        } else {
            return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
        };
        out.push(FieldRequirement { path: path.to_owned(), value: value.to_owned(), equal });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let parsed = Selector::parse(Some(selector), None).expect("parses");
        parsed.matches_labels(&labels)
    }

    #[test]
    fn every_operator_means_what_kubernetes_says() {
        let labels = [("env", "dev"), ("n", "7")];
        for yes in [
            "env=dev",
            "env==dev",
            "env!=prod",
            "x!=y",
            "env in (dev, prod)",
            "!x",
            "env",
            "env notin (a),n>6",
            "n<8",
            "x notin (y)",
        ] {
            assert!(matches(yes, &labels), "{yes}");
        }
        for no in ["env=prod", "x", "!env", "env notin (dev)", "n>7", "x in (y)", "env>1"] {
            assert!(!matches(no, &labels), "{no}");
        }
        assert!(Selector::parse(Some("a in (b"), None).is_err());
    }
}
