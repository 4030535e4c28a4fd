//! The text of values: what Go's `fmt` writes for `%v`, and what `strconv` writes for floats and
//! quoted strings.
//!
//! Knows nothing of templates; the other verbs are in [`crate::printf`]. Start at [`to_text`].

use std::fmt::Write as _;

pub use goyaml::quote;
pub(crate) use goyaml::{is_print, quote_with};
use minijinja::Value;

use crate::value::{Dict, Kind, as_dict, as_float, as_list, as_native, kind_of};

// Only a map that contains itself gets there.
const MAX_PRINT_DEPTH: usize = 200;

/// A value as `fmt.Sprint` prints it (`%v`): what `{{ . }}` writes, but for no value at all.
#[must_use]
pub fn to_text(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, 0);
    out
}

/// Appends what [`to_text`] gives.
pub fn write_text(out: &mut String, value: &Value) {
    write_value(out, value, 0);
}

fn write_value(out: &mut String, value: &Value, depth: usize) {
    if depth > MAX_PRINT_DEPTH {
        out.push_str("...");
        return;
    }
    match kind_of(value) {
        Kind::Nil => out.push_str("<nil>"),
        Kind::Str => out.push_str(value.as_str().unwrap_or_default()),
        Kind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        Kind::Int => {
            let _ = write!(out, "{}", value.as_i64().unwrap_or_default());
        }
        Kind::Float => out.push_str(&float_text(as_float(value).unwrap_or_default())),
        Kind::Bytes => write_bytes(out, value.as_bytes().unwrap_or_default()),
        Kind::List => write_items(out, as_list(value).unwrap_or_default(), |out, item| {
            write_value(out, item, depth + 1);
        }),
        Kind::Map => {
            let entries = as_dict(value).map(Dict::snapshot).unwrap_or_default();
            out.push_str("map");
            write_items(out, entries, |out, (key, item)| {
                out.push_str(&key);
                out.push(':');
                write_value(out, &item, depth + 1);
            });
        }
        Kind::Native => {
            if let Some(native) = as_native(value) {
                native.print_to(out);
            }
        }
        Kind::Foreign => {
            let _ = write!(out, "{value}");
        }
    }
}

/// How many bytes [`write_bytes`] appends.
#[must_use]
pub fn bytes_text_len(bytes: &[u8]) -> usize {
    let length = |byte: &u8| BYTE_TEXTS[usize::from(*byte)].1;
    "[]".len() + bytes.iter().map(length).sum::<usize>() - usize::from(!bytes.is_empty())
}

/// Each byte in decimal with a blank behind it, and how long that is.
static BYTE_TEXTS: [([u8; 4], usize); 256] = {
    let mut table = [([b' '; 4], 0); 256];
    let mut byte = 0;
    while byte < table.len() {
        let (mut text, mut length, mut unit) = ([b' '; 4], 0, 100);
        while unit > 0 {
            if byte >= unit || unit == 1 {
                text[length] = b'0' + (byte / unit % 10) as u8;
                length += 1;
            }
            unit /= 10;
        }
        table[byte] = (text, length + 1);
        byte += 1;
    }
    table
};

/// Appends bytes as `%v` prints them: `[104 105]`. Charts print whole files so, by mistake.
pub fn write_bytes(out: &mut String, bytes: &[u8]) {
    out.push('[');
    for some in bytes.chunks(256) {
        let (mut piece, mut length) = ([0; 4 * 256], 0);
        for byte in some {
            let (text, text_length) = BYTE_TEXTS[usize::from(*byte)];
            piece[length..length + 4].copy_from_slice(&text);
            length += text_length;
        }
        out.push_str(std::str::from_utf8(&piece[..length]).unwrap_or_default());
    }
    if !bytes.is_empty() {
        out.pop();
    }
    out.push(']');
}

/// Appends items as `%v` prints them, each written by `write`: `[a b]`.
pub fn write_items<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        write(out, item);
    }
    out.push(']');
}

/// `fmt.Sprint`: spaces between operands when neither is a string.
#[must_use]
pub fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        let neither =
            index > 0 && kind_of(arg) != Kind::Str && kind_of(&args[index - 1]) != Kind::Str;
        if neither {
            out.push(' ');
        }
        write_text(&mut out, arg);
    }
    out
}

/// `fmt.Sprintln`: spaces between all operands, and a newline.
#[must_use]
pub fn sprintln(args: &[Value]) -> String {
    let texts: Vec<String> = args.iter().map(to_text).collect();
    texts.join(" ") + "\n"
}

/// A float as `%v` prints it: the shortest digits that give it back, with an exponent below 1e-4
/// and from 1e+06 on.
#[must_use]
pub fn float_text(number: f64) -> String {
    format_general(number, None, false)
}

/// The decimal digits of a number and where the point goes: 0.d1d2d3… × 10^exponent.
struct Digits {
    digits: String,
    exponent: i32,
}

// The shortest digits, or `count` significant ones.
fn digits(number: f64, count: Option<usize>) -> Digits {
    let text = match count {
        Some(count) => exponent_digits(number.abs(), count.max(1) - 1),
        None => format!("{:e}", number.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    Digits { digits: mantissa.replace('.', ""), exponent: exponent + 1 }
}

pub(crate) fn special(number: f64) -> Option<&'static str> {
    match number {
        n if n.is_nan() => Some("NaN"),
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ => None,
    }
}

/// Decimals that the longest float has; only zeros come after them.
const EXACT_DIGITS: usize = 1_100;

/// `number` with that many decimals. Rust's own formatting panics for more than 65,535.
pub(crate) fn format_fixed(number: f64, precision: usize) -> String {
    let exact = precision.min(EXACT_DIGITS);
    let mut text = format!("{number:.exact$}");
    text.extend(std::iter::repeat_n('0', precision - exact));
    text
}

/// The same in Rust's notation with an exponent, `1.50e7`.
fn exponent_digits(number: f64, precision: usize) -> String {
    let exact = precision.min(EXACT_DIGITS);
    let text = format!("{number:.exact$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{mantissa}{}e{exponent}", "0".repeat(precision - exact))
}

// %e with the given digits after the point; `None` is the shortest.
pub(crate) fn format_exponent(number: f64, precision: Option<usize>, upper: bool) -> String {
    let text = match precision {
        Some(precision) => exponent_digits(number, precision),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    let e = if upper { 'E' } else { 'e' };
    format!("{mantissa}{e}{sign}{:02}", exponent.abs())
}

// %g; `None` is the shortest.
pub(crate) fn format_general(number: f64, precision: Option<usize>, upper: bool) -> String {
    if let Some(text) = special(number) {
        return text.to_owned();
    }
    let precision = precision.map(|p| p.max(1));
    let Digits { digits, exponent } = digits(number, precision);
    let trimmed = if precision.is_some() { digits.trim_end_matches('0') } else { &digits };
    let significant = trimmed.len().max(1);
    let mut threshold = precision.unwrap_or(6);
    if threshold > significant && significant as i32 >= exponent {
        threshold = significant;
    }
    if precision.is_none() {
        threshold = 6;
    }
    let exp = exponent - 1;
    if exp < -4 || exp >= threshold as i32 {
        return format_exponent(number, Some(significant - 1), upper);
    }
    let decimals = (significant as i32 - exponent).max(0) as usize;
    format!("{number:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{dict, int, list, nil};

    // Recorded from Go 1.26's fmt.Println and strconv.Quote.
    #[test]
    fn floats_print_as_in_go() {
        let cases = [
            (1_000_000.0, "1e+06"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (100_000.0, "100000"),
            (1e20, "1e+20"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (8080.0, "8080"),
            (123_456_789.0, "1.23456789e+08"),
            (0.0, "0"),
            (-1.5, "-1.5"),
        ];
        for (number, text) in cases {
            assert_eq!(float_text(number), text);
        }
    }

    #[test]
    fn quoting_escapes_what_go_escapes() {
        assert_eq!(quote("a\"b\\\n\u{e9}\u{200b}\u{7f}"), "\"a\\\"b\\\\\\n\u{e9}\\u200b\\x7f\"");
    }

    #[test]
    fn bytes_are_numbers() {
        let all: Vec<u8> = (0..=255).chain([0, 9, 10, 99, 100]).collect();
        for bytes in [&all[..], &all[..1], &[]] {
            let texts: Vec<String> = bytes.iter().map(u8::to_string).collect();
            let mut out = "x".to_owned();
            write_bytes(&mut out, bytes);
            assert_eq!(out, format!("x[{}]", texts.join(" ")));
            assert_eq!(bytes_text_len(bytes), out.len() - 1);
        }
    }

    #[test]
    fn containers_print_as_in_go() {
        let map = dict([("b".into(), int(1)), ("a".into(), nil())].into());
        assert_eq!(to_text(&list(vec![map, Value::from("x y")])), "[map[a:<nil> b:1] x y]");
    }
}
