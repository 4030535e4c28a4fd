//! The shape of a file that Go would decode: which keys, which types.
//!
//! Owns the rules by which `sigs.k8s.io/yaml` and `encoding/json` fit a document into Go structs:
//! keys without regard to case, text from numbers and booleans, unknown keys passed over. The shape
//! itself comes from the JSON schema of our types, so it cannot fall behind them. Must not know
//! fleet.yaml. Start at [`Shape::fit`].

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// What may stand at one place of a document.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// An object with any members; its numbers become Go's `float64`.
    FreeObject,
    /// Text; numbers and booleans are taken as text.
    Text,
    /// Text and nothing else (types that decode themselves).
    ExactText,
    /// A whole number.
    Integer,
    /// A whole number or text.
    IntegerOrText,
    /// `true` or `false`.
    Boolean,
    /// A list.
    List(Box<Shape>),
    /// An object with members of one shape.
    Map(Box<Shape>),
    /// An object with these members.
    Struct(BTreeMap<String, Shape>),
}

/// One step of a path into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

/// A path into a document, written `helm.values` or `dependsOn[0].name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(pub(crate) Vec<Step>);

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A value of the wrong type.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub(crate) path: KeyPath,
    pub(crate) wanted: &'static str,
    pub(crate) found: &'static str,
}

/// A key that no struct has.
#[derive(Debug)]
pub(crate) struct UnknownKey {
    pub(crate) path: KeyPath,
    pub(crate) nearest: Option<String>,
}

impl Shape {
    /// The shape a JSON schema describes. Sub-schemas must be inlined.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        let flag = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or(false);
        if flag("x-kubernetes-preserve-unknown-fields") {
            return Self::FreeObject;
        }
        if flag("x-kubernetes-int-or-string") {
            return Self::IntegerOrText;
        }
        if let Some(inner) = only_alternative(schema) {
            return Self::of_schema(inner);
        }
        match schema_type(schema) {
            Some("string") if schema.get("x-kubernetes-validations").is_some() => Self::ExactText,
            Some("string") => Self::Text,
            Some("integer") => Self::Integer,
            Some("boolean") => Self::Boolean,
            Some("array") => {
                Self::List(Box::new(schema.get("items").map_or(Self::Any, Self::of_schema)))
            }
            Some("object") => Self::of_object(schema),
            _ => Self::Any,
        }
    }

    fn of_object(schema: &Value) -> Self {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            let members =
                properties.iter().map(|(key, inner)| (key.clone(), Self::of_schema(inner)));
            return Self::Struct(members.collect());
        }
        match schema.get("additionalProperties") {
            Some(inner @ Value::Object(_)) => Self::Map(Box::new(Self::of_schema(inner))),
            _ => Self::Any,
        }
    }

    /// Fits a document into the shape as Go's decoder would: keys get their declared spelling,
    /// unknown ones are left out and listed, `null` members vanish.
    ///
    /// # Errors
    /// The first value of a type that Go refuses.
    pub(crate) fn fit(&self, value: Value, unknown: &mut Vec<UnknownKey>) -> Result<Value, Misfit> {
        Fitting { path: KeyPath::default(), unknown }.fit(self, value)
    }

    fn wanted(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Text | Self::ExactText => "text",
            Self::Integer => "a whole number",
            Self::IntegerOrText => "a whole number or text",
            Self::Boolean => "true or false",
            Self::List(_) => "a list",
            Self::FreeObject | Self::Map(_) | Self::Struct(_) => "a map",
        }
    }

    /// What `null` becomes inside a list or map: Go's zero value.
    fn zero(&self) -> Value {
        match self {
            Self::Any | Self::IntegerOrText => Value::Null,
            Self::Text | Self::ExactText => Value::String(String::new()),
            Self::Integer => Value::from(0),
            Self::Boolean => Value::Bool(false),
            Self::List(_) => Value::Array(Vec::new()),
            Self::FreeObject | Self::Map(_) | Self::Struct(_) => Value::Object(Map::new()),
        }
    }
}

/// The one alternative of `anyOf`/`oneOf`/`allOf` that is not `null`.
fn only_alternative(schema: &Value) -> Option<&Value> {
    let alternatives =
        ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(key))?.as_array()?;
    let mut real = alternatives.iter().filter(|inner| schema_type(inner) != Some("null"));
    match (real.next(), real.next()) {
        (Some(inner), None) => Some(inner),
        _ => None,
    }
}

fn schema_type(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

struct Fitting<'a> {
    path: KeyPath,
    unknown: &'a mut Vec<UnknownKey>,
}

impl Fitting<'_> {
    fn fit(&mut self, shape: &Shape, value: Value) -> Result<Value, Misfit> {
        match (shape, value) {
            (_, Value::Null) => Ok(Value::Null),
            (Shape::Any, value) => Ok(value),
            (Shape::FreeObject, value @ Value::Object(_)) => {
                Ok(goyaml::json::go_number_value(value))
            }
            (Shape::Text | Shape::ExactText | Shape::IntegerOrText, value @ Value::String(_)) => {
                Ok(value)
            }
            (Shape::Text, Value::Bool(flag)) => Ok(Value::String(flag.to_string())),
            (Shape::Text, Value::Number(number)) => Ok(Value::String(go_number_text(&number))),
            (Shape::Integer | Shape::IntegerOrText, Value::Number(number)) => whole_number(&number)
                .map(Value::from)
                .ok_or_else(|| self.misfit(shape, "a fraction")),
            (Shape::Boolean, value @ Value::Bool(_)) => Ok(value),
            (Shape::List(inner), Value::Array(items)) => {
                let fitted = items.into_iter().enumerate().map(|(index, item)| {
                    self.below(Step::Index(index), |this| this.fit_or_zero(inner, item))
                });
                Ok(Value::Array(fitted.collect::<Result<_, _>>()?))
            }
            (Shape::Map(inner), Value::Object(members)) => {
                let fitted = members.into_iter().map(|(key, item)| {
                    let fitted =
                        self.below(Step::Key(key.clone()), |this| this.fit_or_zero(inner, item));
                    Ok((key, fitted?))
                });
                Ok(Value::Object(fitted.collect::<Result<_, _>>()?))
            }
            (Shape::Struct(shapes), Value::Object(members)) => self.fit_struct(shapes, members),
            (shape, value) => Err(self.misfit(shape, type_name(&value))),
        }
    }

    fn fit_or_zero(&mut self, shape: &Shape, value: Value) -> Result<Value, Misfit> {
        Ok(match self.fit(shape, value)? {
            Value::Null => shape.zero(),
            value => value,
        })
    }

    fn fit_struct(
        &mut self,
        shapes: &BTreeMap<String, Shape>,
        members: Map<String, Value>,
    ) -> Result<Value, Misfit> {
        let mut fitted = Map::new();
        for (key, value) in members {
            let known = shapes.get_key_value(&key).or_else(|| {
                shapes.iter().find(|(declared, _)| declared.eq_ignore_ascii_case(&key))
            });
            let Some((declared, shape)) = known else {
                let nearest = nearest_key(&key, shapes.keys());
                let mut path = self.path.clone();
                path.0.push(Step::Key(key));
                self.unknown.push(UnknownKey { path, nearest });
                continue;
            };
            let value = self.below(Step::Key(key), |this| this.fit(shape, value))?;
            if !value.is_null() {
                fitted.insert(declared.clone(), value);
            }
        }
        Ok(Value::Object(fitted))
    }

    fn below<T>(&mut self, step: Step, run: impl FnOnce(&mut Self) -> T) -> T {
        self.path.0.push(step);
        let result = run(self);
        self.path.0.pop();
        result
    }

    fn misfit(&self, shape: &Shape, found: &'static str) -> Misfit {
        Misfit { path: self.path.clone(), wanted: shape.wanted(), found }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn whole_number(number: &serde_json::Number) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= LIMIT).map(|n| n as i64)
    })
}

/// A number where text is wanted, written as Go's `strconv` does: `1.0` is `1`, `1e6` is `1e+06`.
fn go_number_text(number: &serde_json::Number) -> String {
    if let Some(whole) = number.as_i64() {
        return whole.to_string();
    }
    if let Some(whole) = number.as_u64() {
        return whole.to_string();
    }
    let number = number.as_f64().unwrap_or_default();
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // strconv.FormatFloat(n, 'g', -1, 64) turns to exponents below 1e-4 and from 1e6 on.
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// The declared key that was probably meant: at most a third of the letters differ.
fn nearest_key<'a>(key: &str, declared: impl Iterator<Item = &'a String>) -> Option<String> {
    let typed = key.to_ascii_lowercase();
    declared
        .map(|name| (edit_distance(&typed, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| *distance * 3 <= name.len().max(key.len()))
        .min()
        .map(|(_, name)| name.clone())
}

/// Letters to insert, delete, replace or swap with their neighbour.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fit(schema: Value, value: Value) -> (Result<Value, String>, Vec<String>) {
        let mut unknown = Vec::new();
        let fitted = Shape::of_schema(&schema)
            .fit(value, &mut unknown)
            .map_err(|e| format!("{}: {}, not {}", e.path, e.wanted, e.found));
        let listed = unknown.iter().map(|key| format!("{}?{:?}", key.path, key.nearest));
        (fitted, listed.collect())
    }

    fn schema() -> Value {
        json!({"type": "object", "properties": {
            "defaultNamespace": {"type": ["string", "null"]},
            "helm": {"anyOf": [{"type": "object", "properties": {
                "releaseName": {"type": "string"},
                "force": {"type": "boolean"},
                "maxHistory": {"type": "integer"},
                "values": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }}, {"type": "null"}]},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "size": {"x-kubernetes-int-or-string": true},
        }})
    }

    #[test]
    fn a_document_is_fitted_as_go_fits_it() {
        let document = json!({
            "DEFAULTNAMESPACE": 12, "labels": {"a": true, "b": 1.0, "c": null, "d": 1e22},
            "helm": {"maxHistory": 3.0, "values": {"x": 1}, "force": null}, "size": 2,
        });
        let (fitted, unknown) = fit(schema(), document);
        let expected = json!({
            "defaultNamespace": "12", "labels": {"a": "true", "b": "1", "c": "", "d": "1e+22"},
            "helm": {"maxHistory": 3, "values": {"x": 1}}, "size": 2,
        });
        assert_eq!(
            goyaml::json::to_string(&fitted.expect("fits")),
            goyaml::json::to_string(&expected)
        );
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn an_unknown_key_is_left_out_and_the_nearest_one_named() {
        let document = json!({"defualtNamespace": "x", "helm": {"relaseName": "y"}, "zzz": 1});
        let (fitted, unknown) = fit(schema(), document);
        assert_eq!(fitted, Ok(json!({"helm": {}})));
        assert_eq!(
            unknown,
            [
                "defualtNamespace?Some(\"defaultNamespace\")",
                "helm.relaseName?Some(\"releaseName\")",
                "zzz?None"
            ]
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_by_its_key() {
        for (document, expected) in [
            (json!({"helm": "x"}), "helm: a map, not text"),
            (json!({"helm": {"force": "yes"}}), "helm.force: true or false, not text"),
            (json!({"labels": [1]}), "labels: a map, not a list"),
            (json!({"labels": {"a": {}}}), "labels.a: text, not a map"),
            (json!({"size": 1.5}), "size: a whole number or text, not a fraction"),
        ] {
            assert_eq!(fit(schema(), document).0, Err(expected.to_owned()));
        }
    }
}
