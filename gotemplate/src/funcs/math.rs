//! sprig's arithmetic: on integers, on floats by decimal rules, conversion and rounding.
//!
//! The float functions end in `f` and compute in decimal, so that `addf 0.1 0.2` is 0.3. Start at [`register`].

use minijinja::Value;

use super::convert::{float_of, int64_of, text_of};
use super::strings::random_below;
use super::{Args, FuncResult, Param, Registry};
use crate::value::{int, int64};

pub(crate) fn register(r: &mut Registry) {
    register_conversions(r);
    register_integers(r);
    register_floats(r);
}

fn register_conversions(r: &mut Registry) {
    use Param::{Any, Str};
    r.add("atoi", &[Str], |_, a| Ok(int(atoi(a.str(0)))));
    r.add("int", &[Any], |_, a| Ok(int(int64_of(a.get(0)))));
    r.add("int64", &[Any], |_, a| Ok(int64(int64_of(a.get(0)))));
    r.add("float64", &[Any], |_, a| Ok(Value::from(float_of(a.get(0)))));
    r.add("toDecimal", &[Any], |_, a| {
        Ok(int64(i64::from_str_radix(&text_of(a.get(0)), 8).unwrap_or(0)))
    });
}

/// `strconv.Atoi`, 0 for what is no number. On overflow Go keeps the nearest bound.
fn atoi(text: &str) -> i64 {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    let bound = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    text.parse().unwrap_or(bound)
}

fn register_integers(r: &mut Registry) {
    use Param::{Any, Int, ManyAny};
    r.add("add1", &[Any], |_, a| Ok(int64(int64_of(a.get(0)).wrapping_add(1))));
    r.add("add", &[ManyAny], |_, a| {
        Ok(int64(a.all().iter().map(int64_of).fold(0, i64::wrapping_add)))
    });
    r.add("sub", &[Any, Any], |_, a| {
        Ok(int64(int64_of(a.get(0)).wrapping_sub(int64_of(a.get(1)))))
    });
    r.add("mul", &[Any, ManyAny], |_, a| {
        Ok(int64(a.all().iter().map(int64_of).fold(1, i64::wrapping_mul)))
    });
    r.add("div", &[Any, Any], |_, a| divide(a, i64::wrapping_div));
    r.add("mod", &[Any, Any], |_, a| divide(a, i64::wrapping_rem));
    r.add("max", &[Any, ManyAny], |_, a| Ok(int64(integers(a).max().unwrap_or(0))));
    r.alias("biggest", "max");
    r.add("min", &[Any, ManyAny], |_, a| Ok(int64(integers(a).min().unwrap_or(0))));
    r.add("randInt", &[Int, Int], |cx, a| {
        let (min, max) = (a.int(0), a.int(1));
        let span = max.checked_sub(min).filter(|span| *span > 0);
        let span = span.ok_or("invalid argument to Intn")?;
        Ok(int(min + random_below(cx, span.unsigned_abs()) as i64))
    });
}

fn integers<'a>(a: Args<'a>) -> impl Iterator<Item = i64> + use<'a> {
    a.all().iter().map(int64_of)
}

fn divide(a: Args<'_>, operation: fn(i64, i64) -> i64) -> FuncResult {
    match int64_of(a.get(1)) {
        0 => Err("runtime error: integer divide by zero".into()),
        divisor => Ok(int64(operation(int64_of(a.get(0)), divisor))),
    }
}

fn register_floats(r: &mut Registry) {
    use Param::{Any, Int, ManyAny};
    r.add("add1f", &[Any], |_, a| Ok(Value::from(decimal::add(float_of(a.get(0)), 1.0))));
    r.add("addf", &[ManyAny], |_, a| fold(Value::from(0), a.all(), decimal::add));
    r.add("subf", &[Any, ManyAny], |_, a| fold(a.get(0).clone(), a.from(1), decimal::sub));
    r.add("mulf", &[Any, ManyAny], |_, a| fold(a.get(0).clone(), a.from(1), decimal::mul));
    r.add("divf", &[Any, ManyAny], |_, a| {
        if a.from(1).iter().any(|divisor| float_of(divisor) == 0.0) {
            return Err("decimal division by 0".into());
        }
        fold(a.get(0).clone(), a.from(1), decimal::div)
    });
    r.add("maxf", &[Any, ManyAny], |_, a| {
        Ok(Value::from(a.all().iter().map(float_of).fold(f64::NEG_INFINITY, f64::max)))
    });
    r.add("minf", &[Any, ManyAny], |_, a| {
        Ok(Value::from(a.all().iter().map(float_of).fold(f64::INFINITY, f64::min)))
    });
    r.add("ceil", &[Any], |_, a| Ok(Value::from(float_of(a.get(0)).ceil())));
    r.add("floor", &[Any], |_, a| Ok(Value::from(float_of(a.get(0)).floor())));
    r.add("round", &[Any, Int, Param::ManyFloat], |_, a| {
        let round_on = a.from(2).first().map_or(0.5, float_of);
        let power = 10f64.powi(i32::try_from(a.int(1)).unwrap_or(i32::MAX));
        let digits = power * float_of(a.get(0));
        let rounded = if digits.fract() >= round_on { digits.ceil() } else { digits.floor() };
        Ok(Value::from(rounded / power))
    });
}

fn fold(first: Value, rest: &[Value], operation: fn(f64, f64) -> f64) -> FuncResult {
    Ok(Value::from(rest.iter().map(float_of).fold(float_of(&first), operation)))
}

/// Decimal arithmetic on the shortest decimal text of each float, as the decimal library sprig uses does.
mod decimal {
    /// A number as `digits × 10^-scale`.
    #[derive(Clone, Copy)]
    struct Decimal {
        digits: i128,
        scale: u32,
    }

    /// Digits after the point that a division keeps.
    const DIVISION_SCALE: u32 = 16;

    pub(super) fn add(a: f64, b: f64) -> f64 {
        aligned(a, b, i128::checked_add).unwrap_or(a + b)
    }

    pub(super) fn sub(a: f64, b: f64) -> f64 {
        aligned(a, b, i128::checked_sub).unwrap_or(a - b)
    }

    pub(super) fn mul(a: f64, b: f64) -> f64 {
        let product = || {
            let (x, y) = (read(a)?, read(b)?);
            write(Decimal { digits: x.digits.checked_mul(y.digits)?, scale: x.scale + y.scale })
        };
        product().unwrap_or(a * b)
    }

    pub(super) fn div(a: f64, b: f64) -> f64 {
        let quotient = || {
            let (x, y) = (read(a)?, read(b)?);
            // digits/10^x.scale ÷ digits/10^y.scale, kept to DIVISION_SCALE places and rounded half up.
            let shift = i64::from(DIVISION_SCALE) + i64::from(y.scale) - i64::from(x.scale);
            let (mut numerator, mut denominator) = (x.digits, y.digits);
            let power = 10i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
            if shift >= 0 {
                numerator = numerator.checked_mul(power)?;
            } else {
                denominator = denominator.checked_mul(power)?;
            }
            let (whole, rest) = (numerator / denominator, numerator % denominator);
            let up = rest.unsigned_abs().checked_mul(2)? >= denominator.unsigned_abs();
            let sign = if (numerator < 0) == (denominator < 0) { 1 } else { -1 };
            write(Decimal { digits: whole + if up { sign } else { 0 }, scale: DIVISION_SCALE })
        };
        quotient().unwrap_or(a / b)
    }

    fn aligned(a: f64, b: f64, op: fn(i128, i128) -> Option<i128>) -> Option<f64> {
        let (x, y) = (read(a)?, read(b)?);
        let scale = x.scale.max(y.scale);
        let lift = |n: Decimal| n.digits.checked_mul(10i128.checked_pow(scale - n.scale)?);
        write(Decimal { digits: op(lift(x)?, lift(y)?)?, scale })
    }

    fn read(number: f64) -> Option<Decimal> {
        let text = format!("{number}");
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Decimal { digits, scale: u32::try_from(fraction.len()).ok()? })
    }

    fn write(number: Decimal) -> Option<f64> {
        format!("{}e-{}", number.digits, number.scale).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_compute_in_decimal() {
        assert!(decimal::add(0.1, 0.2).to_string() == "0.3");
        assert!(decimal::mul(1.1, 1.1).to_string() == "1.21");
        assert!(decimal::div(10.0, 4.0).to_string() == "2.5");
        assert!(decimal::div(1.0, 3.0).to_string() == "0.3333333333333333");
    }

    #[test]
    fn atoi_reads_decimal_digits_only() {
        assert_eq!(atoi("-12"), -12);
        assert_eq!(atoi("0x1"), 0);
        assert_eq!(atoi("99999999999999999999"), i64::MAX);
    }
}
