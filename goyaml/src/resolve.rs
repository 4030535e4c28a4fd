//! Says what a plain scalar means: YAML 1.1 as go-yaml v2.4 understands it.
//!
//! Owns booleans, nulls, numbers and dates. Knows nothing of nodes or tags other than the
//! built-in ones. Start at [`resolve_plain`].

use crate::number::{parse_digits, parse_float, parse_int, parse_uint};

/// What a scalar is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resolved {
    Null,
    Bool(bool),
    Int(i64),
    /// Only what is too large for `Int`.
    Uint(u64),
    Float(f64),
    /// A date or time. Read as a string, but quoted when a string looks like one.
    Timestamp,
    Str,
}

/// Which of the two libraries decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// go-yaml v2.4: `yes`, `on` and `y` are booleans.
    V2,
    /// go-yaml v3: they are strings (which its emitter quotes all the same), and `0o` is octal
    /// with a sign after it too.
    V3,
}

/// Resolves a plain scalar without a tag.
pub(crate) fn resolve_plain(text: &str, dialect: Dialect) -> Resolved {
    match text.as_bytes().first() {
        None => Resolved::Null,
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => {
            resolve_word(text, dialect).unwrap_or(Resolved::Str)
        }
        Some(b'.') => resolve_word(text, dialect)
            .or_else(|| parse_pointed_float(text).map(Resolved::Float))
            .unwrap_or(Resolved::Str),
        Some(b'0'..=b'9') => resolve_number(text, dialect),
        Some(b'+' | b'-') => {
            resolve_word(text, dialect).unwrap_or_else(|| resolve_number(text, dialect))
        }
        Some(_) => Resolved::Str,
    }
}

fn resolve_word(text: &str, dialect: Dialect) -> Option<Resolved> {
    Some(match text {
        "true" | "True" | "TRUE" => Resolved::Bool(true),
        "false" | "False" | "FALSE" => Resolved::Bool(false),
        "~" | "null" | "Null" | "NULL" => Resolved::Null,
        ".nan" | ".NaN" | ".NAN" => Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Resolved::Float(f64::NEG_INFINITY),
        _ if dialect == Dialect::V2 => Resolved::Bool(old_boolean(text)?),
        _ => return None,
    })
}

/// The booleans of YAML 1.1 that YAML 1.2 gave up.
pub(crate) fn old_boolean(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// A number that starts with a point is read without further ado, `_` between digits included.
fn parse_pointed_float(text: &str) -> Option<f64> {
    if !text.contains('_') {
        return parse_float(text);
    }
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let is_separator = |at: usize| bytes[at] != b'_' || (is_digit(at - 1) && is_digit(at + 1));
    // Starts with a point, so no `_` has index 0.
    let well_placed = (1..bytes.len()).all(is_separator);
    well_placed.then(|| parse_float(&text.replace('_', ""))).flatten()
}

fn resolve_number(text: &str, dialect: Dialect) -> Resolved {
    if is_timestamp(text) {
        return Resolved::Timestamp;
    }
    let stripped;
    let plain = if text.contains('_') {
        stripped = text.replace('_', "");
        stripped.as_str()
    } else {
        text
    };
    if let Some(number) = parse_int(plain) {
        return Resolved::Int(number);
    }
    if let Some(number) = parse_uint(plain) {
        return Resolved::Uint(number);
    }
    if is_float(plain)
        && let Some(number) = parse_float(plain)
    {
        return Resolved::Float(number);
    }
    let odd = resolve_prefixed(plain, "0b", 2);
    match odd {
        None if dialect == Dialect::V3 => resolve_prefixed(plain, "0o", 8).unwrap_or(Resolved::Str),
        odd => odd.unwrap_or(Resolved::Str),
    }
}

/// What is left over for Go's own reading of `0b` and `0o`: a sign after the prefix.
fn resolve_prefixed(text: &str, prefix: &str, base: u32) -> Option<Resolved> {
    let rest = text.strip_prefix(prefix)?;
    let (negative, digits) = match rest.as_bytes().first()? {
        b'-' => (true, &rest[1..]),
        b'+' => (false, &rest[1..]),
        _ => (false, rest),
    };
    let magnitude = parse_digits(digits, base)?;
    if negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Resolved::Int);
    }
    i64::try_from(magnitude).ok().map(Resolved::Int)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (number, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let number_ok = match number.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !number.is_empty() && all_digits(number),
    };
    let exponent_ok = exponent.is_none_or(|digits| {
        let digits = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        !digits.is_empty() && all_digits(digits)
    });
    number_ok && exponent_ok
}

/// `12:30:45` and the like, base 60 in YAML 1.1. Go reads them as strings and quotes them.
pub(crate) fn is_base_60(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = rest.split(':');
    let first = parts.next().unwrap_or_default();
    let starts_ok = first.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let mut parts = parts.peekable();
    if !starts_ok || parts.peek().is_none() {
        return false;
    }
    while let Some(part) = parts.next() {
        let part = match part.split_once('.') {
            // Only the last part may have a fraction.
            Some((whole, fraction)) => {
                let digits = fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
                if parts.peek().is_some() || !digits {
                    return false;
                }
                whole
            }
            None => part,
        };
        if !matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']) {
            return false;
        }
    }
    true
}

/// Is this a date or time in one of the four forms that go-yaml tries?
pub(crate) fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has_year = bytes.len() > 4 && bytes[4] == b'-' && bytes[..4].iter().all(u8::is_ascii_digit);
    has_year && parse_timestamp(text).is_some()
}

fn parse_timestamp(text: &str) -> Option<()> {
    let year: u32 = text[..4].parse().ok()?;
    let (month, rest) = take_number(&text[5..])?;
    let (day, rest) = take_number(rest.strip_prefix('-')?)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(month, year) {
        return None;
    }
    let (with_zone, rest) = match rest.as_bytes().first() {
        None => return Some(()),
        Some(b'T' | b't') => (true, &rest[1..]),
        Some(b' ') => (false, rest.trim_start_matches(' ')),
        Some(_) => return None,
    };
    let (hour, rest) = take_number(rest)?;
    let (minute, rest) = take_number(rest.strip_prefix(':')?)?;
    let (second, rest) = take_number(rest.strip_prefix(':')?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = skip_fraction(rest);
    let ends_well = if with_zone { is_zone(rest) } else { rest.is_empty() };
    ends_well.then_some(())
}

/// One or two digits.
fn take_number(text: &str) -> Option<(u32, &str)> {
    let count = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    Some((text[..count].parse().ok()?, &text[count..]))
}

fn skip_fraction(text: &str) -> &str {
    let Some(digits) = text.strip_prefix(['.', ',']) else { return text };
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == digits.len() { text } else { rest }
}

fn is_zone(text: &str) -> bool {
    let digit_pair = |pair: &[u8], most: u32| {
        std::str::from_utf8(pair).is_ok_and(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse().is_ok_and(|number: u32| number <= most)
        })
    };
    match text.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', hours @ .., b':', m1, m2] if hours.len() == 2 => {
            digit_pair(hours, 24) && digit_pair(&[*m1, *m2], 60)
        }
        _ => false,
    }
}

fn days_in(month: u32, year: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
