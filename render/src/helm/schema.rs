//! `values.schema.json`: whether values are what the chart's author expects.
//!
//! Owns the wording of violations, which is Helm's. References to files and addresses are
//! refused. Start at [`validate_schema`].

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value as Json;

use super::chart::Chart;
use super::compiled::CompiledChart;
use super::error::Error;
use super::values::Values;

// Schemas are read by a library; this bounds what it may be given.
const MAX_SCHEMA_BYTES: usize = 8 << 20;

/// Checks the values of a chart and of its subcharts.
///
/// # Errors
/// [`Error::Schema`] with all violations.
pub(crate) fn validate_schema(
    compiled: &CompiledChart,
    chart: &Chart,
    values: &Values,
) -> Result<(), Error> {
    let mut text = String::new();
    collect(compiled, chart, values, &mut text);
    if text.is_empty() { Ok(()) } else { Err(Error::Schema(text)) }
}

fn collect(compiled: &CompiledChart, chart: &Chart, values: &Values, text: &mut String) {
    if let Some(schema) = &chart.schema
        && let Err(violations) = compiled.schema(schema).validate(values)
    {
        text.push_str(&format!("{}:\n{violations}", chart.name()));
    }
    for child in &chart.dependencies {
        match values.get(child.name()) {
            None | Some(Json::Null) => {}
            Some(Json::Object(values)) => collect(compiled, child, values, text),
            Some(_) => text.push_str(&format!(
                "{}:\ninvalid type for values: expected object (map)\n",
                child.name()
            )),
        }
    }
}

/// A compiled schema, or why it cannot be used.
pub(super) struct Schema(Result<jsonschema::Validator, String>);

impl Schema {
    pub(super) fn compile(text: &[u8]) -> Self {
        Self(compile(text))
    }

    fn validate(&self, values: &Values) -> Result<(), String> {
        self.0.as_ref().map_err(String::clone).and_then(|validator| validate(validator, values))
    }
}

fn compile(schema: &[u8]) -> Result<jsonschema::Validator, String> {
    if schema.len() > MAX_SCHEMA_BYTES {
        return Err(format!("the schema has more than {MAX_SCHEMA_BYTES} bytes (bound: schema)"));
    }
    let schema: Json = serde_json::from_slice(schema).map_err(|e| e.to_string())?;
    let options = jsonschema::options().with_retriever(Refuse);
    options.build(&schema).map_err(|e| format!("the schema cannot be used: {e}"))
}

fn validate(validator: &jsonschema::Validator, values: &Values) -> Result<(), String> {
    let values = whole_numbers(Json::Object(values.clone()));
    let mut lines: Vec<String> = Vec::new();
    for error in validator.iter_errors(&values) {
        lines.push(format!("- at '{}': {}", error.instance_path(), message(&error)));
    }
    lines.dedup();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n") + "\n") }
}

/// Refuses everything outside of the schema itself.
struct Refuse;

impl jsonschema::Retrieve for Refuse {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Json, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("references outside of the schema are not followed: {uri}").into())
    }
}

// A float without fraction counts as an integer.
fn whole_numbers(json: Json) -> Json {
    match json {
        Json::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => Json::from(float as i64),
            _ => Json::Number(number),
        },
        Json::Array(items) => Json::Array(items.into_iter().map(whole_numbers).collect()),
        Json::Object(table) => {
            let entry = |(key, item)| (key, whole_numbers(item));
            Json::Object(table.into_iter().map(entry).collect())
        }
        other => other,
    }
}

fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

fn display(json: &Json) -> String {
    match json {
        Json::String(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}

fn message(error: &jsonschema::ValidationError<'_>) -> String {
    let instance = error.instance();
    match error.kind() {
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(kind) => kind.to_string(),
                TypeKind::Multiple(kinds) => {
                    let mut names: Vec<String> =
                        kinds.iter().map(|kind| kind.to_string()).collect();
                    names.sort();
                    names.join(" or ")
                }
            };
            format!("got {}, want {wanted}", kind_of(instance))
        }
        ValidationErrorKind::Required { property } => {
            format!("missing property {}", display(property))
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let names = quoted(unexpected.iter().map(String::as_str));
            format!("additional properties {names} not allowed")
        }
        ValidationErrorKind::Enum { options } => {
            let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
            let options: Vec<String> = options.iter().map(display).collect();
            format!("value must be one of {}", options.join(", "))
        }
        ValidationErrorKind::Constant { expected_value } => {
            format!("value must be {}", display(expected_value))
        }
        ValidationErrorKind::Minimum { limit } => {
            format!("minimum: got {instance}, want {limit}")
        }
        ValidationErrorKind::Maximum { limit } => {
            format!("maximum: got {instance}, want {limit}")
        }
        ValidationErrorKind::Pattern { pattern } => {
            format!("{} does not match pattern '{pattern}'", display(instance))
        }
        _ => error.to_string(),
    }
}
