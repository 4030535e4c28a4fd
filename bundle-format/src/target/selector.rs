//! Label selectors, compiled once and matched often.
//!
//! Owns what a selector means and which ones are refused (as Kubernetes does). Must not know
//! clusters. Start at [`Selector::compile`].

use std::collections::{BTreeMap, BTreeSet};

use crate::api::selector::LabelSelector;
use crate::error::{Classify, ErrorClass};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A selector ready to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    Equals(String),
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
}

/// A selector that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// An operator Kubernetes does not have.
    #[error(
        "label selector on {key:?}: operator {found:?} is not In, NotIn, Exists or DoesNotExist"
    )]
    Operator {
        /// Label key.
        key: String,
        /// The operator.
        found: String,
    },
    /// Values where none may be, or none where some must be.
    #[error("label selector on {key:?}: operator {operator} takes {wanted}")]
    Values {
        /// Label key.
        key: String,
        /// The operator.
        operator: String,
        /// `at least one value` or `no values`.
        wanted: &'static str,
    },
    /// A label key that cannot exist.
    #[error("label selector: {key:?} is not a label key")]
    Key {
        /// The key.
        key: String,
    },
    /// A label value that cannot exist.
    #[error(
        "label selector on {key:?}: {value:?} is not a label value (at most 63 letters, digits, '-', '_' or '.')"
    )]
    Value {
        /// Label key.
        key: String,
        /// The value.
        value: String,
    },
}

impl Classify for SelectorError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

impl Selector {
    /// Compiles a selector. An empty one matches everything; callers decide what absence means.
    ///
    /// # Errors
    /// What Kubernetes refuses; see [`SelectorError`].
    pub fn compile(selector: &LabelSelector) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in &selector.match_labels {
            check_value(key, value)?;
            let operator = Operator::Equals(value.clone());
            requirements.push(Requirement { key: checked_key(key)?, operator });
        }
        for expression in &selector.match_expressions {
            let key = checked_key(&expression.key)?;
            let operator = compile_operator(&key, &expression.operator, &expression.values)?;
            requirements.push(Requirement { key, operator });
        }
        Ok(Self(requirements))
    }

    /// True when every requirement holds.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.operator {
                Operator::Equals(wanted) => value == Some(wanted),
                Operator::In(wanted) => value.is_some_and(|value| wanted.contains(value)),
                Operator::NotIn(unwanted) => !value.is_some_and(|value| unwanted.contains(value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }
}

fn compile_operator(key: &str, word: &str, values: &[String]) -> Result<Operator, SelectorError> {
    let wrong_values =
        |wanted| SelectorError::Values { key: key.to_owned(), operator: word.to_owned(), wanted };
    match (word, values.is_empty()) {
        ("In" | "NotIn", true) => Err(wrong_values("at least one value")),
        ("Exists" | "DoesNotExist", false) => Err(wrong_values("no values")),
        ("Exists", true) => Ok(Operator::Exists),
        ("DoesNotExist", true) => Ok(Operator::DoesNotExist),
        ("In" | "NotIn", false) => {
            values.iter().try_for_each(|value| check_value(key, value))?;
            let set: BTreeSet<String> = values.iter().cloned().collect();
            Ok(if word == "In" { Operator::In(set) } else { Operator::NotIn(set) })
        }
        (found, _) => Err(SelectorError::Operator { key: key.to_owned(), found: found.to_owned() }),
    }
}

/// `[prefix/]name`: the name like a value but not empty, the prefix a DNS subdomain.
fn checked_key(key: &str) -> Result<String, SelectorError> {
    let (prefix, name) = key.split_once('/').unwrap_or(("", key));
    let is_subdomain = |text: &str| {
        text.len() <= 253
            && text.split('.').all(|part| {
                let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
                part.starts_with(alphanumeric)
                    && part.ends_with(alphanumeric)
                    && part.chars().all(|c| alphanumeric(c) || c == '-')
            })
    };
    let valid =
        is_label_text(name) && !name.is_empty() && (!key.contains('/') || is_subdomain(prefix));
    if valid { Ok(key.to_owned()) } else { Err(SelectorError::Key { key: key.to_owned() }) }
}

fn check_value(key: &str, value: &str) -> Result<(), SelectorError> {
    match is_label_text(value) {
        true => Ok(()),
        false => Err(SelectorError::Value { key: key.to_owned(), value: value.to_owned() }),
    }
}

fn is_label_text(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63
            && text.starts_with(ends)
            && text.ends_with(ends)
            && text.chars().all(|c| ends(c) || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(selector: serde_json::Value) -> Result<Selector, SelectorError> {
        let selector: LabelSelector = serde_json::from_value(selector).expect("a selector");
        Selector::compile(&selector)
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> serde_json::Value {
        json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
    }

    #[test]
    fn selectors_match_as_in_kubernetes() {
        let labels = Labels::from([("env".to_owned(), "dev".to_owned())]);
        for (selector, expected) in [
            (json!({}), true),
            (json!({"matchLabels": {"env": "dev"}}), true),
            (json!({"matchLabels": {"env": "prod"}}), false),
            (json!({"matchLabels": {"region": ""}}), false),
            (expression("env", "In", &["prod", "dev"]), true),
            (expression("env", "NotIn", &["prod"]), true),
            (expression("region", "NotIn", &["eu"]), true),
            (expression("region", "In", &["eu"]), false),
            (expression("env", "Exists", &[]), true),
            (expression("env", "DoesNotExist", &[]), false),
        ] {
            let compiled = compile(selector.clone()).expect("valid");
            assert_eq!(compiled.matches(&labels), expected, "{selector}");
        }
    }

    #[test]
    fn selectors_kubernetes_refuses_are_refused() {
        for selector in [
            expression("env", "Is", &["a"]),
            expression("env", "In", &[]),
            expression("env", "Exists", &["a"]),
            expression("a b", "Exists", &[]),
            expression("/x", "Exists", &[]),
            json!({"matchLabels": {"env": "no blanks"}}),
        ] {
            assert!(compile(selector.clone()).is_err(), "{selector}");
        }
        assert!(compile(expression("example.com/a_B.c", "Exists", &[])).is_ok());
    }
}
