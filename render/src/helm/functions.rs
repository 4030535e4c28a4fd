//! Helm's own functions: `include tpl required fail lookup`, and YAML, JSON and TOML.
//!
//! Start at [`registry`].

use std::sync::{Arc, LazyLock};

use gotemplate::funcs::{Args, Cx, FuncResult, Param};
use gotemplate::print::quote;
use gotemplate::value::{Entries, dict, from_json_floats, is_nil, list, to_json};
use gotemplate::{ErrorKind, FuncError, Registry, Value};
use memchr::memmem;
use serde_json::Value as Json;

use super::toml::{self, WriteError};

/// Marks the text of `required` and `fail`, so that the error shows it alone.
pub(crate) const FAIL_START: &str = "HELM_ERR_START";
/// Ends what [`FAIL_START`] starts.
pub(crate) const FAIL_END: &str = "HELM_ERR_END";

/// The name that `tpl` texts have in errors.
const TPL_NAME: &str = "gotpl";

/// sprig without `env` and `expandenv`, and Helm's own functions.
#[must_use]
pub fn registry() -> Arc<Registry> {
    static REGISTRY: LazyLock<Arc<Registry>> = LazyLock::new(|| Arc::new(build()));
    REGISTRY.clone()
}

fn build() -> Registry {
    let mut registry = Registry::sprig();
    registry.remove("env");
    registry.remove("expandenv");
    registry.add("include", &[Param::Str, Param::Any], |cx, args| {
        Ok(cx.render(args.str(0), args.get(1))?)
    });
    registry.add("tpl", &[Param::Str, Param::Any], tpl);
    registry.add("required", &[Param::Str, Param::Any], |_, args| {
        let value = args.get(1);
        if is_nil(value) || value.as_str() == Some("") {
            return Err(failure(args.str(0)));
        }
        Ok(value.clone())
    });
    registry.add("fail", &[Param::Str], |_, args| Err(failure(args.str(0))));
    registry.add("lookup", &[Param::Str, Param::Str, Param::Str, Param::Str], lookup);
    registry.add("getHostByName", &[Param::Str], |_, _| Ok(Value::from("")));
    add_yaml(&mut registry);
    add_json(&mut registry);
    add_toml(&mut registry);
    registry
}

fn add_yaml(registry: &mut Registry) {
    registry.add("toYaml", &[Param::Any], |cx, args| {
        let text = to_json(args.get(0)).map(|json| to_yaml(&json)).unwrap_or_default();
        taken(cx, text)
    });
    registry.add("mustToYaml", &[Param::Any], |cx, args| {
        let json = to_json(args.get(0))?;
        goyaml::try_to_string(&json).map_err(|e| FuncError::new(e.to_string()))?;
        taken(cx, to_yaml(&json))
    });
    registry.add("toYamlPretty", &[Param::Any], |cx, args| {
        let text = to_json(args.get(0)).map(|json| {
            let text = goyaml::to_string_pretty(&json);
            text.strip_suffix('\n').unwrap_or(&text).to_owned()
        });
        taken(cx, text.unwrap_or_default())
    });
    registry.add("fromYaml", &[Param::Str], |_, args| {
        Ok(or_error_map(read_yaml(args.str(0)).and_then(|json| as_map(&json))))
    });
    registry.add("fromYamlArray", &[Param::Str], |_, args| {
        Ok(or_error_list(read_yaml(args.str(0)).and_then(|json| as_array(&json))))
    });
}

fn add_json(registry: &mut Registry) {
    registry.add("toJson", &[Param::Any], |cx, args| {
        let text = to_json(args.get(0)).map(|json| goyaml::json::to_string(&json));
        taken(cx, text.unwrap_or_default())
    });
    registry.add("mustToJson", &[Param::Any], |cx, args| {
        taken(cx, goyaml::json::to_string(&to_json(args.get(0))?))
    });
    registry.add("fromJson", &[Param::Str], |_, args| {
        Ok(or_error_map(read_json(args.str(0)).and_then(|json| as_map(&json))))
    });
    registry.add("fromJsonArray", &[Param::Str], |_, args| {
        Ok(or_error_list(read_json(args.str(0)).and_then(|json| as_array(&json))))
    });
}

fn add_toml(registry: &mut Registry) {
    registry.add("toToml", &[Param::Any], |cx, args| match toml::write(args.get(0), cx.budget()) {
        Ok(text) | Err(WriteError::Refused(text)) => Ok(Value::from(text)),
        Err(error) => Err(error.into()),
    });
    registry.add("mustToToml", &[Param::Any], |cx, args| {
        Ok(Value::from(toml::write(args.get(0), cx.budget())?))
    });
    registry.add("fromToml", &[Param::Str], |_, args| Ok(or_error_map(toml::read(args.str(0)))));
}

fn failure(text: &str) -> FuncError {
    FuncError::new(format!("{FAIL_START}{text}{FAIL_END}"))
}

fn taken(cx: &Cx<'_>, text: String) -> FuncResult {
    cx.budget().take_output(text.len())?;
    Ok(Value::from(text))
}

/// What a template wrote, without what it wrote for missing values: Helm takes that out.
pub(super) fn without_no_value(text: String) -> String {
    const NO_VALUE: &str = "<no value>";
    match memmem::find(text.as_bytes(), NO_VALUE.as_bytes()) {
        Some(_) => text.replace(NO_VALUE, ""),
        None => text,
    }
}

fn tpl(cx: &Cx<'_>, args: Args<'_>) -> FuncResult {
    let text = args.str(0);
    match cx.render_text(TPL_NAME, text, args.get(1)) {
        Ok(out) => Ok(Value::from(without_no_value(out))),
        Err(error) => {
            let text = quote(text);
            let text = match error.kind() {
                ErrorKind::Parse => format!("cannot parse template {text}: {error}"),
                _ => format!("error during tpl function execution for {text}: {error}"),
            };
            Err(FuncError::wrapping(text, error))
        }
    }
}

fn lookup(cx: &Cx<'_>, args: Args<'_>) -> FuncResult {
    match cx.host().lookup(args.str(0), args.str(1), args.str(2), args.str(3)) {
        Ok(Some(object)) => Ok(from_json_floats(&object)),
        Ok(None) => Ok(dict(Entries::new())),
        Err(text) => Err(text.into()),
    }
}

/// `toYaml`: without the newline at the end; empty if it cannot be written.
pub(crate) fn to_yaml(json: &Json) -> String {
    let mut text = goyaml::try_to_string(json).unwrap_or_default();
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

fn read_yaml(text: &str) -> Result<Json, String> {
    goyaml::from_str(text).map_err(|e| format!("error converting YAML to JSON: {e}"))
}

fn read_json(text: &str) -> Result<Json, String> {
    goyaml::json::from_str(text).map_err(|e| e.to_string())
}

fn json_kind(json: &Json) -> &'static str {
    match json {
        Json::Object(_) => "object",
        Json::Array(_) => "array",
        Json::String(_) => "string",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::Null => "null",
    }
}

fn as_map(json: &Json) -> Result<Value, String> {
    match json {
        Json::Object(_) => Ok(from_json_floats(json)),
        Json::Null => Ok(dict(Entries::new())),
        other => Err(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value \
             of type map[string]interface {{}}",
            json_kind(other)
        )),
    }
}

fn as_array(json: &Json) -> Result<Value, String> {
    match json {
        Json::Array(_) => Ok(from_json_floats(json)),
        Json::Null => Ok(list(Vec::new())),
        other => Err(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value \
             of type []interface {{}}",
            json_kind(other)
        )),
    }
}

// These functions never fail: the error becomes the value.
fn or_error_map(result: Result<Value, String>) -> Value {
    result.unwrap_or_else(|text| dict([("Error".into(), Value::from(text))].into()))
}

fn or_error_list(result: Result<Value, String>) -> Value {
    result.unwrap_or_else(|text| list(vec![Value::from(text)]))
}
