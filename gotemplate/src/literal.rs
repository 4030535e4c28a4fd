//! Constants: Go's number and string literals.
//!
//! Start at [`number`] and [`unquote`].

use minijinja::Value;

use crate::ast::Number;
use crate::lex::TokenKind;
use crate::print::quote;
use crate::value::int;

/// The text between the quotes of a Go string literal, escapes resolved. Bytes that are no UTF-8
/// become replacement characters.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        return Some(raw.replace('\r', ""));
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        let (unit, tail) = unquote_unit(rest, '"')?;
        match unit {
            Unit::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Unit::Byte(byte) => bytes.push(byte),
        }
        rest = tail;
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into()))
}

enum Unit {
    Char(char),
    Byte(u8),
}

// One character or escape, as `strconv.UnquoteChar`.
fn unquote_unit(text: &str, quote: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == quote {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Char(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let simple = match escape {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' => '\\',
        c if c == quote => c,
        'x' => return coded(rest, 2, 16, true),
        'u' => return coded(rest, 4, 16, false),
        'U' => return coded(rest, 8, 16, false),
        '0'..='7' => return coded(&text[1..], 3, 8, true),
        _ => return None,
    };
    Some((Unit::Char(simple), rest))
}

fn coded(text: &str, len: usize, radix: u32, is_byte: bool) -> Option<(Unit, &str)> {
    let digits = text.get(..len)?;
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let code = u32::from_str_radix(digits, radix).ok()?;
    let unit = if is_byte {
        Unit::Byte(u8::try_from(code).ok()?)
    } else {
        Unit::Char(char::from_u32(code)?)
    };
    Some((unit, &text[len..]))
}

/// A number literal, or what is wrong with it.
pub(crate) fn number(text: &str, kind: TokenKind) -> Result<Number, String> {
    match kind {
        TokenKind::CharConstant => return char_constant(text),
        TokenKind::Complex => return Err(format!("complex constants are not supported: {text}")),
        _ => {}
    }
    if text.ends_with('i') {
        return Err(format!("complex constants are not supported: {text}"));
    }
    let looks_float = text.contains(['.', 'e', 'E', 'p', 'P']);
    let whole = parse_int(text);
    let is_hex = text.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x");
    let float = match whole {
        Some(whole) => Some(whole as f64),
        None => parse_float(text),
    };
    if whole.is_none() && float.is_some() && !looks_float {
        return Err(format!("integer overflow: {}", quote(text)));
    }
    let Some(number) = float else { return Err(format!("illegal number syntax: {}", quote(text))) };
    // A float that is whole serves where an integer is asked for.
    let fits = number.fract() == 0.0 && number.abs() < 9.2e18;
    let int_value = whole
        .and_then(|whole| i64::try_from(whole).ok())
        .or_else(|| (whole.is_none() && fits).then_some(number as i64));
    let ideal = if looks_float && (!is_hex || text.contains(['p', 'P'])) {
        Some(Value::from(number))
    } else {
        int_value.map(int)
    };
    Ok(Number { text: text.into(), int: int_value, float, ideal })
}

fn char_constant(text: &str) -> Result<Number, String> {
    let malformed = || format!("malformed character constant: {text}");
    let inner = text.get(1..).ok_or_else(malformed)?;
    let (unit, tail) = unquote_unit(inner, '\'').ok_or("invalid syntax")?;
    if tail != "'" {
        return Err(malformed());
    }
    let code = match unit {
        Unit::Char(c) => i64::from(u32::from(c)),
        Unit::Byte(byte) => i64::from(byte),
    };
    Ok(Number {
        text: text.into(),
        int: Some(code),
        float: Some(code as f64),
        ideal: Some(int(code)),
    })
}

// strconv.ParseInt with base 0, wide enough for uint64 too.
fn parse_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    if body.starts_with('_') && radix == 10 || body.ends_with('_') || body.contains("__") {
        return None;
    }
    let number = u64::from_str_radix(&body.replace('_', ""), radix).ok()?;
    let number = i128::from(number);
    if negative && number > i128::from(i64::MAX) + 1 {
        return None;
    }
    Some(if negative { -number } else { number })
}

fn parse_float(text: &str) -> Option<f64> {
    let text = text.replace('_', "");
    let lower = text.to_ascii_lowercase();
    let unsigned = lower.trim_start_matches(['+', '-']);
    if let Some(hex) = unsigned.strip_prefix("0x") {
        let (mantissa, exponent) = hex.split_once('p')?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).ok()?;
        let exponent: i32 = exponent.parse().ok()?;
        let scale = 2f64.powi(exponent - 4 * fraction.len() as i32);
        let value = digits as f64 * scale;
        return Some(if lower.starts_with('-') { -value } else { value });
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_unquoted_as_in_go() {
        assert_eq!(unquote(r#""a\n\x41\u00e9\101\"""#).as_deref(), Some("a\nA\u{e9}A\""));
        assert_eq!(unquote(r#""\q""#), None);
        assert_eq!(unquote("`a\\n`").as_deref(), Some("a\\n"));
    }

    #[test]
    fn numbers_have_the_types_that_hold_them() {
        let ideal = |text| number(text, TokenKind::Number).unwrap().ideal.unwrap();
        assert_eq!(ideal("0x1F"), int(31));
        assert_eq!(ideal("017"), int(15));
        assert_eq!(ideal("1_000"), int(1000));
        assert!(!ideal("1e3").is_integer());
        assert_eq!(number("1e3", TokenKind::Number).unwrap().int, Some(1000));
        assert!(number("99999999999999999999", TokenKind::Number).is_err());
        assert_eq!(number("'a'", TokenKind::CharConstant).unwrap().int, Some(97));
    }
}
