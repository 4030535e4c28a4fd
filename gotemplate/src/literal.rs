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

/// 2^63, the first float that is no `int64`.
const MAX_INT_FLOAT: f64 = 9_223_372_036_854_775_808.0;

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
    let float = match whole {
        Some(whole) => Some(whole as f64),
        None => parse_float(text),
    };
    let Some(number) = float else { return Err(format!("illegal number syntax: {}", quote(text))) };
    if whole.is_none() && !looks_float {
        return Err(format!("integer overflow: {}", quote(text)));
    }
    // A float that is whole serves where an integer is asked for.
    let fits = number.fract() == 0.0 && (-MAX_INT_FLOAT..MAX_INT_FLOAT).contains(&number);
    let int_value = whole
        .and_then(|whole| i64::try_from(whole).ok())
        .or_else(|| (whole.is_none() && fits).then_some(number as i64));
    // `-0xe1` is a float here: Go only looks for the prefix at the very start.
    let is_hex_int = text.len() > 2 && text.starts_with(['0']) && text[1..].starts_with(['x', 'X']);
    let is_float = looks_float && (!is_hex_int || text.contains(['p', 'P']));
    let ideal = if is_float { Some(Value::from(number)) } else { int_value.map(int) };
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
        [b'0', b'x', _, ..] => (16, &lower[2..]),
        [b'0', b'o', _, ..] => (8, &lower[2..]),
        [b'0', b'b', _, ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let body = without_underscores(text, body)?;
    if body.starts_with(['+', '-']) {
        return None;
    }
    let number = u64::from_str_radix(&body, radix).ok()?;
    let number = i128::from(number);
    if negative && number > i128::from(i64::MAX) + 1 {
        return None;
    }
    Some(if negative { -number } else { number })
}

// strconv's underscoreOK: they separate digits, or follow the base's prefix. `part` loses them.
fn without_underscores(literal: &str, part: &str) -> Option<String> {
    if !part.contains('_') {
        return Some(part.to_owned());
    }
    let lower = literal.trim_start_matches(['+', '-']).to_ascii_lowercase();
    let is_hex = lower.starts_with("0x");
    let has_prefix = is_hex || lower.starts_with("0b") || lower.starts_with("0o");
    let body = if has_prefix { &lower[2..] } else { &lower[..] };
    // The prefix counts as a digit.
    let mut before = if has_prefix { '0' } else { '^' };
    for c in body.chars() {
        let kind = match c {
            '0'..='9' => '0',
            'a'..='f' if is_hex => '0',
            '_' => '_',
            _ => '!',
        };
        if kind == '_' && before != '0' || before == '_' && kind != '0' {
            return None;
        }
        before = kind;
    }
    (before != '_').then(|| part.replace('_', ""))
}

// strconv.ParseFloat: decimal or hexadecimal.
fn parse_float(literal: &str) -> Option<f64> {
    let text = without_underscores(literal, literal)?;
    let lower = text.to_ascii_lowercase();
    let unsigned = lower.strip_prefix(['+', '-']).unwrap_or(&lower);
    let Some(hex) = unsigned.strip_prefix("0x") else {
        return text.parse().ok().filter(|number: &f64| number.is_finite());
    };
    let (mantissa, exponent) = hex.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    // Beyond these no float reaches, whatever the digits of a literal's length.
    let exponent = exponent.parse::<i64>().ok()?.clamp(-1_000_000, 1_000_000);
    let value = hex_value(&digits, exponent - 4 * fraction.len() as i64)?;
    Some(if lower.starts_with('-') { -value } else { value })
}

// Hexadecimal digits × 2^exponent, rounded once, to even. `None` overflows.
fn hex_value(digits: &str, mut exponent: i64) -> Option<f64> {
    let (mut mantissa, mut lost) = (0u64, false);
    for digit in digits.bytes().filter_map(|b| char::from(b).to_digit(16)) {
        if mantissa >> 59 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
        } else {
            lost |= digit != 0;
            exponent += 4;
        }
    }
    if mantissa == 0 {
        return Some(0.0);
    }
    let zeros = i64::from(mantissa.leading_zeros());
    mantissa <<= zeros;
    exponent -= zeros;
    // The value is mantissa × 2^exponent with the top bit set; a float keeps 53 bits of it, fewer
    // when it is subnormal.
    let kept_bits = (exponent + 63 + 1_075).clamp(0, 53);
    let cut = 64 - kept_bits;
    let (kept, rest) = match cut {
        64 => (0, u128::from(mantissa)),
        cut => (mantissa >> cut, u128::from(mantissa & ((1 << cut) - 1))),
    };
    let half = 1u128 << (cut - 1);
    let up = rest > half || rest == half && (lost || kept & 1 == 1);
    let scaled = (kept + u64::from(up)) as f64;
    let shift = exponent + cut;
    // Two steps: 2^shift itself may be no float. Both are exact.
    let first = (shift / 2) as i32;
    let value = scaled * 2f64.powi(first) * 2f64.powi((shift - i64::from(first)) as i32);
    value.is_finite().then_some(value)
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
