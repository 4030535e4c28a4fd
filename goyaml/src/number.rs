//! Numbers as Go reads and writes them.
//!
//! Owns the text forms of `strconv`. Knows nothing of YAML or JSON around them.
//! Start at [`format_g`].

use std::fmt::LowerExp;
use std::str::FromStr;

/// Reads an integer as Go's `strconv.ParseInt(text, 0, 64)` does, base prefixes and sign
/// included; `None` when it is none or does not fit.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = parse_uint(digits)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Reads an integer as Go's `strconv.ParseUint(text, 0, 64)` does.
pub(crate) fn parse_uint(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let (base, digits) = match bytes {
        [b'0', b'b' | b'B', ..] => (2, &text[2..]),
        [b'0', b'o' | b'O', ..] => (8, &text[2..]),
        [b'0', b'x' | b'X', ..] => (16, &text[2..]),
        [b'0', _, ..] => (8, &text[1..]),
        _ => (10, text),
    };
    parse_digits(digits, base)
}

/// Reads digits of a base, without sign or prefix.
pub(crate) fn parse_digits(digits: &str, base: u32) -> Option<u64> {
    // from_str_radix would also take a sign.
    let is_digit = |byte: u8| char::from(byte).is_digit(base);
    if digits.is_empty() || !digits.bytes().all(is_digit) {
        return None;
    }
    u64::from_str_radix(digits, base).ok()
}

/// Reads a decimal number as Go's `strconv.ParseFloat` does; too large is no number.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number)
}

/// Writes a number as Go's `strconv.FormatFloat(x, 'g', -1, 64)` does: `1e+06`, `0.5`, `1.5e-07`.
pub fn format_g(number: f64) -> String {
    format_shortest_g(&shortest64(number))
}

/// The shortest text `d.ddde-7` that is read back as the number. Where two of them are equally
/// near, Go takes the even one and Rust the larger one. Up to `distinct` digits there are no two,
/// for each combination is a number of its own.
fn shortest<T>(number: T, distinct: u32) -> String
where
    T: Copy + LowerExp + FromStr + PartialEq,
{
    let shortest = format!("{number:e}");
    let mantissa = shortest.bytes().take_while(|byte| *byte != b'e');
    let digits = mantissa.filter(u8::is_ascii_digit).count();
    if digits <= distinct as usize {
        return shortest;
    }
    let rounded = format!("{number:.*e}", digits - 1);
    if rounded.parse().is_ok_and(|read: T| read == number) { rounded } else { shortest }
}

fn shortest64(number: f64) -> String {
    shortest(number, f64::DIGITS)
}

fn shortest32(number: f32) -> String {
    shortest(number, f32::DIGITS)
}

/// The same with 32 bits, which is how `sigs.k8s.io/yaml` writes keys that are numbers.
pub(crate) fn format_g32(number: f64) -> String {
    format_shortest_g(&shortest32(number as f32))
}

/// From Rust's shortest form `d.ddde-7` to Go's.
fn format_shortest_g(scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return match scientific {
            "inf" => "+Inf".to_owned(),
            "-inf" => "-Inf".to_owned(),
            other => other.to_owned(),
        };
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // Go takes precision 6 for this decision when it writes the shortest form.
    if !(-4..6).contains(&exponent) {
        return with_exponent(mantissa, exponent);
    }
    positional(mantissa, exponent)
}

/// `1e+06`: sign always, two digits at least.
fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// All digits, without exponent.
fn positional(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let point = exponent + 1;
    if point <= 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize));
    }
    let point = point as usize;
    if digits.len() <= point {
        return format!("{sign}{digits}{}", "0".repeat(point - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..point], &digits[point..])
}

/// Writes a number as Go's `encoding/json` does: positional from 1e-6 up to 1e21, otherwise with
/// an exponent.
pub fn format_json(number: f64) -> String {
    let magnitude = number.abs();
    format_json_shortest(&shortest64(number), !(1e-6..1e21).contains(&magnitude))
}

/// The same for a 32 bit number, which has fewer digits.
pub(crate) fn format_json32(number: f32) -> String {
    let magnitude = number.abs();
    format_json_shortest(&shortest32(number), !(1e-6..1e21).contains(&magnitude))
}

fn format_json_shortest(scientific: &str, exponential: bool) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let is_zero = mantissa.trim_start_matches('-') == "0";
    if !exponential || is_zero {
        return positional(mantissa, exponent);
    }
    // JSON's exponents drop the leading zero of a negative one: 1e-7, but 1e+21.
    let sign = if exponent < 0 { "-" } else { "+" };
    format!("{mantissa}e{sign}{}", exponent.unsigned_abs())
}
