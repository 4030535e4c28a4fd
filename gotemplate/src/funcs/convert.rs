//! The conversions that sprig's functions share: to text, to numbers, to lists; emptiness and deep equality.
//!
//! Follows sprig 3.3 and the `cast` package it calls. Knows no template. Start at [`text_of`] and [`int64_of`].

use minijinja::Value;

use crate::error::FuncError;
use crate::print;
use crate::value::{self, Kind, MAX_DATA_DEPTH, is_nil, kind_of, type_name};

/// Any value as text, the way sprig's `toString` does; nil gives `<nil>`.
pub(crate) fn text_of(value: &Value) -> String {
    match kind_of(value) {
        Kind::Nil => "<nil>".to_owned(),
        Kind::Str => value.as_str().unwrap_or_default().to_owned(),
        Kind::Bytes => String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned(),
        _ => print::to_text(value),
    }
}

/// Any value as an integer; what is none gives 0.
pub(crate) fn int64_of(value: &Value) -> i64 {
    match kind_of(value) {
        Kind::Int => value.as_i64().unwrap_or_default(),
        Kind::Float => truncate(value::as_float(value).unwrap_or_default()),
        Kind::Bool => i64::from(value.is_true()),
        Kind::Str => parse_int(trim_zero_decimal(value.as_str().unwrap_or_default())).unwrap_or(0),
        _ => 0,
    }
}

/// Any value as a float; what is none gives 0.
pub(crate) fn float_of(value: &Value) -> f64 {
    match kind_of(value) {
        Kind::Int => value.as_i64().unwrap_or_default() as f64,
        Kind::Float => value::as_float(value).unwrap_or_default(),
        Kind::Bool => f64::from(u8::from(value.is_true())),
        Kind::Str => parse_float(value.as_str().unwrap_or_default()).unwrap_or(0.0),
        _ => 0.0,
    }
}

// Out of range, the processor that Go's goldens come from gives the smallest integer.
fn truncate(number: f64) -> i64 {
    if number.is_nan() || number.abs() >= 9.223_372_036_854_776e18 {
        i64::MIN
    } else {
        number as i64
    }
}

/// `8.00` counts as `8`.
fn trim_zero_decimal(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    }
}

/// An integer in Go's notation: sign, `0x`, `0o`, `0b`, leading `0` for octal, `_` between digits.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0b", 2), ("0o", 8)];
    let prefixed = prefixes.iter().find_map(|(p, radix)| Some((lower.strip_prefix(p)?, *radix)));
    let (body, radix) = match prefixed {
        Some(found) => found,
        None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        None => (lower.as_str(), 10),
    };
    if body.is_empty() || body.starts_with(['+', '-']) || body.ends_with('_') || body.contains("__")
    {
        return None;
    }
    let magnitude = i128::from_str_radix(&body.replace('_', ""), radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// A float in Go's notation.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let looks_right =
        text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    if looks_right {
        return text.parse().ok().filter(|number: &f64| number.is_finite());
    }
    match text.to_ascii_lowercase().trim_start_matches(['+', '-']) {
        "inf" | "infinity" if text.starts_with('-') => Some(f64::NEG_INFINITY),
        "inf" | "infinity" => Some(f64::INFINITY),
        "nan" if !text.starts_with(['+', '-']) => Some(f64::NAN),
        _ => None,
    }
}

/// Whether sprig counts a value as empty: nil, false, 0, and what has no length. Structs never are.
pub(crate) fn is_empty(value: &Value) -> bool {
    match kind_of(value) {
        Kind::Native => {
            let kind = value::as_native(value).map_or("struct", |native| native.kind());
            matches!(kind, "map" | "slice") && !value.is_true()
        }
        _ => !value::is_true(value),
    }
}

/// A list's items as text without nils; any other value as a list of one.
pub(crate) fn texts_of(value: &Value) -> Vec<String> {
    if is_nil(value) {
        return Vec::new();
    }
    match value::as_list(value) {
        Some(items) => items.iter().filter(|item| !is_nil(item)).map(text_of).collect(),
        None => vec![text_of(value)],
    }
}

/// A list of texts as a value: Go's `[]string`.
pub(crate) fn text_list<I: IntoIterator<Item = S>, S: Into<String>>(texts: I) -> Value {
    let items = texts.into_iter().map(|text| Value::from(text.into())).collect();
    value::typed_list("[]string", items)
}

/// The items of a list argument, or sprig's error: `Cannot push on type string`.
pub(crate) fn items<'a>(value: &'a Value, what: &str) -> Result<&'a [Value], FuncError> {
    value::as_list(value).ok_or_else(|| wrong_list(value, &format!("Cannot {what} type ")))
}

/// A value that is no list: sprig's words, or the panic that asking nil for its type is in Go.
pub(crate) fn wrong_list(value: &Value, words: &str) -> FuncError {
    match is_nil(value) {
        true => "runtime error: invalid memory address or nil pointer dereference".into(),
        false => FuncError::new(format!("{words}{}", go_kind(value))),
    }
}

/// The name of a value's kind as sprig's list functions print it.
pub(crate) fn go_kind(value: &Value) -> &'static str {
    match kind_of(value) {
        Kind::Map => "map",
        Kind::Bytes | Kind::List | Kind::Foreign => "slice",
        Kind::Native => value::kind_name(value),
        _ => type_name(value),
    }
}

/// Go's `reflect.DeepEqual`: types count, the identity of maps does not.
pub(crate) fn deep_equal(a: &Value, b: &Value) -> bool {
    deep_equal_at(a, b, 0)
}

fn deep_equal_at(a: &Value, b: &Value, depth: usize) -> bool {
    if depth > MAX_DATA_DEPTH || kind_of(a) != kind_of(b) {
        return false;
    }
    if let (Some(x), Some(y)) = (value::as_list(a), value::as_list(b)) {
        return type_name(a) == type_name(b)
            && x.len() == y.len()
            && x.iter().zip(y).all(|(x, y)| deep_equal_at(x, y, depth + 1));
    }
    if let (Some(x), Some(y)) = (value::as_dict(a), value::as_dict(b)) {
        let (x, y) = (x.snapshot(), y.snapshot());
        return x.len() == y.len()
            && x.iter().zip(&y).all(|((k, v), (l, w))| k == l && deep_equal_at(v, w, depth + 1));
    }
    match kind_of(a) {
        Kind::Nil => true,
        Kind::Native => print::to_text(a) == print::to_text(b),
        _ => type_name(a) == type_name(b) && a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_gos_notation() {
        assert_eq!(parse_int("0x1F"), Some(31));
        assert_eq!(parse_int("017"), Some(15));
        assert_eq!(parse_int("-0b11"), Some(-3));
        assert_eq!(parse_int("0x1_0"), Some(16));
        assert_eq!(parse_int("1_000"), Some(1000));
        assert_eq!(parse_int("08"), None);
        assert_eq!(parse_int("12a"), None);
    }

    #[test]
    fn texts_become_numbers_as_far_as_they_are() {
        assert_eq!(int64_of(&Value::from("8.00")), 8);
        assert_eq!(int64_of(&Value::from("8.5")), 0);
        assert_eq!(int64_of(&Value::from(8.9)), 8);
        assert!((float_of(&Value::from("1e3")) - 1000.0).abs() < f64::EPSILON);
    }
}
