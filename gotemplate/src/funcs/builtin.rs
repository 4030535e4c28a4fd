//! The functions of the Go template language: `index slice len print … html js urlquery call not`.
//!
//! `and`, `or` and `call` are listed here for their parameters; the evaluator runs them itself:
//! the first two stop early, the third names its argument as written. Comparison is in [`super::compare`]. Start at [`register`].

use minijinja::Value;

use super::{Args, FuncResult, Param, Registry};
use crate::error::FuncError;
use crate::print::{self, sprint, sprintln};
use crate::printf::sprintf;
use crate::value::{self, Kind, int, is_nil, kind_of, type_name};

pub(crate) fn register(registry: &mut Registry) {
    registry.add("and", &[Param::Reflect, Param::ManyReflect], |_, args| Ok(args.get(0).clone()));
    registry.add("or", &[Param::Reflect, Param::ManyReflect], |_, args| Ok(args.get(0).clone()));
    registry.add("not", &[Param::Reflect], |_, args| Ok(Value::from(!value::is_true(args.get(0)))));
    registry.add("len", &[Param::Reflect], |_, args| len(args.get(0)));
    registry.add("index", &[Param::Reflect, Param::ManyReflect], |_, args| index(args));
    registry.add("slice", &[Param::Reflect, Param::ManyReflect], |_, args| slice(args));
    registry.add("call", &[Param::Reflect, Param::ManyReflect], |_, args| {
        Err(call_error(&print::to_text(args.get(0)), args.get(0)))
    });
    registry.add("print", &[Param::ManyAny], |_, args| Ok(Value::from(sprint(args.all()))));
    registry.add("println", &[Param::ManyAny], |_, args| Ok(Value::from(sprintln(args.all()))));
    registry.add("printf", &[Param::Str, Param::ManyAny], |cx, args| {
        let text = sprintf(args.str(0), args.from(1));
        cx.budget().take_output(text.len())?;
        Ok(Value::from(text))
    });
    registry.add("html", &[Param::ManyAny], |_, args| Ok(Value::from(html(&joined(args)))));
    registry.add("js", &[Param::ManyAny], |_, args| Ok(Value::from(js(&joined(args)))));
    registry
        .add("urlquery", &[Param::ManyAny], |_, args| Ok(Value::from(query_escape(&joined(args)))));
}

// Nil reads `<no value>` here, unlike in `print`.
fn joined(args: Args<'_>) -> String {
    let shown = |arg: &Value| if is_nil(arg) { Value::from("<no value>") } else { arg.clone() };
    sprint(&args.all().iter().map(shown).collect::<Vec<_>>())
}

fn len(item: &Value) -> FuncResult {
    let count = match kind_of(item) {
        Kind::Nil if item.is_undefined() => {
            return Err("reflect: call of reflect.Value.Type on zero Value".into());
        }
        Kind::Nil => return Err("len of nil pointer".into()),
        Kind::Str => item.as_str().map(str::len),
        Kind::Bytes => item.as_bytes().map(<[u8]>::len),
        Kind::List => value::as_list(item).map(<[Value]>::len),
        Kind::Native => {
            value::as_native(item).and_then(|native| native.entries()).map(|entries| entries.len())
        }
        _ => item.len(),
    };
    match count {
        Some(count) => Ok(int(count as i64)),
        None => Err(FuncError::new(format!("len of type {}", type_name(item)))),
    }
}

fn index_arg(index: &Value, limit: usize) -> Result<usize, FuncError> {
    match kind_of(index) {
        Kind::Int => {
            let at = index.as_i64().unwrap_or(-1);
            match usize::try_from(at) {
                Ok(at) if at <= limit => Ok(at),
                _ => Err(FuncError::new(format!("index out of range: {at}"))),
            }
        }
        Kind::Nil => Err("cannot index slice/array with nil".into()),
        _ => {
            Err(FuncError::new(format!("cannot index slice/array with type {}", type_name(index))))
        }
    }
}

fn index(args: Args<'_>) -> FuncResult {
    let mut item = args.get(0).clone();
    if is_nil(&item) {
        return Err("index of untyped nil".into());
    }
    for key in args.from(1) {
        item = index_one(&item, key)?;
    }
    Ok(item)
}

fn index_one(item: &Value, key: &Value) -> FuncResult {
    let reach = |len: usize| -> Result<usize, FuncError> {
        let at = index_arg(key, len)?;
        if at < len {
            return Ok(at);
        }
        let what = if item.as_str().is_some() { "string" } else { "slice" };
        Err(FuncError::new(format!("reflect: {what} index out of range")))
    };
    match kind_of(item) {
        Kind::Nil => Err("index of nil pointer".into()),
        Kind::List => {
            let items = value::as_list(item).unwrap_or_default();
            Ok(items[reach(items.len())?].clone())
        }
        Kind::Str => {
            let bytes = item.as_str().unwrap_or_default().as_bytes();
            Ok(value::byte(bytes[reach(bytes.len())?]))
        }
        Kind::Bytes => {
            let bytes = item.as_bytes().unwrap_or_default();
            Ok(value::byte(bytes[reach(bytes.len())?]))
        }
        Kind::Map | Kind::Native => index_map(item, key),
        _ => Err(FuncError::new(format!("can't index item of type {}", type_name(item)))),
    }
}

fn index_map(item: &Value, key: &Value) -> FuncResult {
    let native = value::as_native(item);
    if native.is_some_and(|native| native.entries().is_none()) {
        return Err(FuncError::new(format!("can't index item of type {}", type_name(item))));
    }
    match kind_of(key) {
        Kind::Str => {
            let key = key.as_str().unwrap_or_default();
            let found = match native {
                Some(native) => native.field(key),
                None => value::as_dict(item).and_then(|dict| dict.get(key)),
            };
            Ok(found.unwrap_or_else(value::nil))
        }
        Kind::Nil => Err("value is nil; should be of type string".into()),
        _ => Err(FuncError::new(format!("value has type {}; should be string", type_name(key)))),
    }
}

fn slice(args: Args<'_>) -> FuncResult {
    let item = args.get(0);
    let bounds = args.from(1);
    if is_nil(item) {
        return Err("slice of untyped nil".into());
    }
    if bounds.len() > 3 {
        return Err(FuncError::new(format!("too many slice indexes: {}", bounds.len())));
    }
    let len = match kind_of(item) {
        Kind::Str if bounds.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Kind::Str => item.as_str().map_or(0, str::len),
        Kind::Bytes => item.as_bytes().map_or(0, <[u8]>::len),
        Kind::List => value::as_list(item).map_or(0, <[Value]>::len),
        _ => return Err(FuncError::new(format!("can't slice item of type {}", type_name(item)))),
    };
    let mut at = [0, len, len];
    for (slot, bound) in at.iter_mut().zip(bounds) {
        *slot = index_arg(bound, len)?;
    }
    for pair in [(at[0], at[1]), (at[1], at[2])] {
        if pair.0 > pair.1 {
            return Err(FuncError::new(format!("invalid slice index: {} > {}", pair.0, pair.1)));
        }
    }
    let range = at[0]..at[1];
    Ok(match kind_of(item) {
        Kind::List => {
            let items = value::as_list(item).unwrap_or_default()[range].to_vec();
            match value::as_native(item) {
                Some(native) => value::typed_list(native.type_name(), items),
                None => value::list(items),
            }
        }
        Kind::Bytes => Value::from_bytes(item.as_bytes().unwrap_or_default()[range].to_vec()),
        _ => {
            let bytes = &item.as_str().unwrap_or_default().as_bytes()[range];
            Value::from(String::from_utf8_lossy(bytes).into_owned())
        }
    })
}

/// `call f`: no value is a function here, where Go's template language would call it. `name` is
/// the callee as written.
pub(crate) fn call_error(name: &str, callee: &Value) -> FuncError {
    if is_nil(callee) {
        return "call of nil".into();
    }
    FuncError::new(format!("non-function {name} of type {}", type_name(callee)))
}

/// HTML text as `html/template` escapes it.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_ascii() || print::is_print(c) => out.push(c),
            c => out.push_str(&format!("\\u{:04X}", u32::from(c))),
        }
    }
    out
}

/// Text as `url.QueryEscape` escapes it.
pub(crate) fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_walks_maps_and_lists() {
        let data = value::from_json(&serde_json::json!({"a": ["x", {"b": true}]}));
        let args = [data.clone(), "a".into(), int(1), "b".into()];
        assert_eq!(index(Args(&args)).unwrap(), Value::from(true));
        assert!(index(Args(&[data.clone(), "zz".into()])).unwrap().is_none());
        let far = index(Args(&[data, "a".into(), int(2)])).unwrap_err();
        assert_eq!(far.to_string(), "reflect: slice index out of range");
    }

    #[test]
    fn slice_checks_its_bounds() {
        let text = Value::from("abcd");
        assert_eq!(slice(Args(&[text.clone(), int(1), int(3)])).unwrap(), Value::from("bc"));
        assert!(slice(Args(&[text.clone(), int(3), int(1)])).is_err());
        assert!(slice(Args(&[text, int(5)])).is_err());
    }
}
