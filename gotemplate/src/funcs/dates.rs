//! sprig's date functions and Go's `time.Time` as templates see it.
//!
//! Owns the value and its methods; printing and reading by layout is in [`super::layout`]. The clock is the host's.
//! Start at [`register`].

use std::any::Any;

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};
use minijinja::Value;

use super::layout::{format, parse};
use super::{Args, Cx, FuncResult, Param, Registry};
use crate::error::FuncError;
use crate::value::{self, GoObject, Kind, downcast, int, int64, kind_of, native};

/// Go's `time.Time`.
#[derive(Clone, Debug)]
pub struct Time(pub Zoned);

impl Time {
    /// The time at a date (year, month, day), a clock (hour, minute, second, nanosecond) and an
    /// offset from UTC in minutes; `None` if there is no such day, clock or offset.
    #[must_use]
    pub fn from_parts(
        (year, month, day): (u16, u8, u8),
        (hour, minute, second, nanosecond): (u8, u8, u8, u32),
        offset_minutes: i16,
    ) -> Option<Self> {
        let small = |number: u8| i8::try_from(number).ok();
        let year = i16::try_from(year).ok()?;
        let date = jiff::civil::Date::new(year, small(month)?, small(day)?).ok()?;
        let nanosecond = i32::try_from(nanosecond).ok()?;
        let clock =
            jiff::civil::Time::new(small(hour)?, small(minute)?, small(second)?, nanosecond)
                .ok()?;
        let zone = match offset_minutes {
            0 => TimeZone::UTC,
            minutes => Offset::from_seconds(i32::from(minutes) * 60).ok()?.to_time_zone(),
        };
        date.to_datetime(clock).to_zoned(zone).ok().map(Self)
    }

    /// The time in Go's layout `RFC3339Nano`, as JSON and TOML have it.
    #[must_use]
    pub fn rfc3339(&self) -> String {
        format(&self.0, "2006-01-02T15:04:05.999999999Z07:00")
    }
}

pub(crate) fn register(r: &mut Registry) {
    register_formats(r);
    register_durations(r);
    use Param::{Any, Str};
    r.add("now", &[], |cx, _| Ok(native(Time(now(cx)))));
    r.add("toDate", &[Str, Str], |cx, a| {
        Ok(native(Time(read(cx, a).unwrap_or_else(|_| zero_time()))))
    });
    r.add("mustToDate", &[Str, Str], |cx, a| Ok(native(Time(read(cx, a)?))));
    r.add("dateModify", &[Str, Any], |_, a| {
        let time = time_of(a.get(1))?;
        Ok(native(Time(modify(&time, a.str(0)).unwrap_or(time))))
    });
    r.alias("date_modify", "dateModify");
    r.add("mustDateModify", &[Str, Any], |_, a| {
        Ok(native(Time(modify(&time_of(a.get(1))?, a.str(0))?)))
    });
    r.alias("must_date_modify", "mustDateModify");
    r.add("unixEpoch", &[Any], |_, a| {
        Ok(Value::from(time_of(a.get(0))?.timestamp().as_second().to_string()))
    });
}

fn register_formats(r: &mut Registry) {
    use Param::{Any, Str};
    r.add("date", &[Str, Any], |cx, a| in_zone(cx, a.str(0), a.get(1), "Local"));
    r.add("dateInZone", &[Str, Any, Str], |cx, a| in_zone(cx, a.str(0), a.get(1), a.str(2)));
    r.alias("date_in_zone", "dateInZone");
    r.add("htmlDate", &[Any], |cx, a| in_zone(cx, "2006-01-02", a.get(0), "Local"));
    r.add("htmlDateInZone", &[Any, Str], |cx, a| in_zone(cx, "2006-01-02", a.get(0), a.str(1)));
}

fn register_durations(r: &mut Registry) {
    use Param::Any;
    r.add("ago", &[Any], |cx, a| {
        let then = instant(cx, a.get(0)).timestamp().as_nanosecond();
        let passed = now(cx).timestamp().as_nanosecond() - then;
        Ok(Value::from(duration_text(round_to(passed, NANOS_PER_SECOND))))
    });
    r.add("duration", &[Any], |_, a| {
        let seconds = match kind_of(a.get(0)) {
            Kind::Str => a.str(0).parse().unwrap_or(0),
            // Go's function knows int64 and not int: an int counts as nothing.
            Kind::Int if value::type_name(a.get(0)) == "int64" => a.int(0),
            _ => 0,
        };
        Ok(Value::from(duration_text(i128::from(seconds) * NANOS_PER_SECOND)))
    });
    r.add("durationRound", &[Any], |cx, a| {
        let nanos = match kind_of(a.get(0)) {
            Kind::Str => parse_duration(a.str(0)).unwrap_or(0),
            Kind::Int if value::type_name(a.get(0)) == "int64" => i128::from(a.int(0)),
            Kind::Native => {
                now(cx).timestamp().as_nanosecond()
                    - instant(cx, a.get(0)).timestamp().as_nanosecond()
            }
            _ => 0,
        };
        Ok(Value::from(rounded(nanos)))
    });
}

const NO_PARAMS: &[Param] = &[];
const NANOS_PER_SECOND: i128 = 1_000_000_000;

fn zone_at(cx: &Cx<'_>, unix_seconds: i64) -> TimeZone {
    match cx.host().utc_offset_seconds(unix_seconds) {
        0 => TimeZone::UTC,
        seconds => Offset::from_seconds(seconds).map_or(TimeZone::UTC, |o| o.to_time_zone()),
    }
}

fn now(cx: &Cx<'_>) -> Zoned {
    let at = Timestamp::from_nanosecond(cx.host().now_unix_nanos()).unwrap_or_default();
    at.to_zoned(zone_at(cx, at.as_second()))
}

/// Go's zero time: the first of January of the year 1.
fn zero_time() -> Zoned {
    jiff::civil::date(1, 1, 1).to_zoned(TimeZone::UTC).unwrap_or_default()
}

/// The time in a value; whatever is none stands for the present, as in sprig.
fn instant(cx: &Cx<'_>, value: &Value) -> Zoned {
    if let Some(Time(time)) = downcast::<Time>(value) {
        return time.clone();
    }
    match value::as_int(value) {
        Some(seconds) => {
            Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::UTC)
        }
        None => now(cx),
    }
}

fn time_of(value: &Value) -> Result<Zoned, FuncError> {
    downcast::<Time>(value).map(|Time(time)| time.clone()).ok_or_else(|| {
        FuncError::new(format!(
            "wrong type for value; expected time.Time; got {}",
            value::type_name(value)
        ))
    })
}

fn in_zone(cx: &Cx<'_>, layout: &str, value: &Value, zone: &str) -> FuncResult {
    let time = instant(cx, value);
    let zone = match zone {
        "Local" => zone_at(cx, time.timestamp().as_second()),
        "" | "UTC" => TimeZone::UTC,
        name => jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap_or(TimeZone::UTC),
    };
    let text = format(&time.with_time_zone(zone), layout);
    cx.budget().take_output(text.len())?;
    Ok(Value::from(text))
}

fn read(cx: &Cx<'_>, a: Args<'_>) -> Result<Zoned, FuncError> {
    parse(a.str(0), a.str(1), &zone_at(cx, 0)).map_err(|error| FuncError::new(error.to_string()))
}

fn modify(time: &Zoned, duration: &str) -> Result<Zoned, FuncError> {
    let nanos = parse_duration(duration).ok_or_else(|| {
        FuncError::new(format!("time: invalid duration {}", crate::print::quote(duration)))
    })?;
    Ok(add_nanos(time, nanos))
}

fn add_nanos(time: &Zoned, nanos: i128) -> Zoned {
    let span = SignedDuration::from_nanos_i128(nanos);
    time.checked_add(span).unwrap_or_else(|_| time.clone())
}

/// Go's `time.ParseDuration`, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i128> {
    let (negative, body) = match text.strip_prefix(['+', '-']) {
        Some(body) => (text.starts_with('-'), body),
        None => (false, text),
    };
    if body == "0" {
        return Some(0);
    }
    let (mut rest, mut total) = (body, 0i128);
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, tail) = tail.split_at(unit_len);
        total += scaled(number, unit_nanos(unit)?)?;
        rest = tail;
    }
    let in_range = !body.is_empty() && total <= i128::from(i64::MAX);
    in_range.then_some(if negative { -total } else { total })
}

fn unit_nanos(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        _ => return None,
    })
}

fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let kept = &fraction[..fraction.len().min(18)];
    let part: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let divisor = 10i128.pow(u32::try_from(kept.len()).ok()?);
    whole.checked_mul(unit)?.checked_add(part * unit / divisor)
}

/// Go's `Duration.String`: `1h2m3.5s`, `1.5ms`, `0s`.
pub(crate) fn duration_text(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let small = [(1_000_000_000, 1_000_000, "ms"), (1_000_000, 1_000, "µs"), (1_000, 1, "ns")];
    if total == 0 {
        return "0s".to_owned();
    }
    if total < 1_000_000_000 {
        let (_, unit, name) =
            small.into_iter().rfind(|(limit, ..)| total < *limit).unwrap_or(small[0]);
        return format!("{sign}{}{name}", decimals(total, unit));
    }
    let (minutes, seconds) = (total / 60_000_000_000, total % 60_000_000_000);
    let seconds = decimals(seconds, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `total / unit` with as many decimals as it takes.
fn decimals(total: u128, unit: u128) -> String {
    let (whole, rest) = (total / unit, total % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
}

fn round_to(nanos: i128, unit: i128) -> i128 {
    let rest = nanos.rem_euclid(unit);
    if rest * 2 < unit { nanos - rest } else { nanos + unit - rest }
}

/// The largest unit that is reached: `2h`, `3mo`.
fn rounded(nanos: i128) -> String {
    let seconds = nanos.unsigned_abs() / 1_000_000_000;
    let units =
        [(31_536_000, "y"), (2_628_000, "mo"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    match units.into_iter().find(|(unit, _)| seconds > *unit) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

impl Time {
    /// A method that takes nothing.
    fn property(&self, name: &str) -> Option<Value> {
        let time = &self.0;
        let field = |text: &str| Value::from(format(time, text));
        Some(match name {
            "Unix" => int64(time.timestamp().as_second()),
            "UnixMilli" => int64(time.timestamp().as_millisecond()),
            "UnixMicro" => int64(time.timestamp().as_microsecond()),
            "UnixNano" => int64(i64::try_from(time.timestamp().as_nanosecond()).unwrap_or(0)),
            "Year" => int(i64::from(time.year())),
            "Month" => field("January"),
            "Weekday" => field("Monday"),
            "Day" => int(i64::from(time.day())),
            "YearDay" => int(i64::from(time.day_of_year())),
            "Hour" => int(i64::from(time.hour())),
            "Minute" => int(i64::from(time.minute())),
            "Second" => int(i64::from(time.second())),
            "Nanosecond" => int(i64::from(time.subsec_nanosecond())),
            "UTC" => native(Time(time.with_time_zone(TimeZone::UTC))),
            "Local" => native(self.clone()),
            "IsZero" => Value::from(time.timestamp() == zero_time().timestamp()),
            "String" => Value::from(self.print()),
            _ => return None,
        })
    }
}

impl GoObject for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn method(&self, name: &str) -> Option<&'static [Param]> {
        match name {
            "Format" => Some(&[Param::Str]),
            "Before" | "After" | "Equal" => Some(&[Param::Any]),
            "AddDate" => Some(&[Param::Int, Param::Int, Param::Int]),
            "Add" => Some(&[Param::Int64]),
            _ => self.property(name).map(|_| NO_PARAMS),
        }
    }

    fn call(&self, _: &Cx<'_>, method: &str, args: Args<'_>) -> FuncResult {
        let mine = self.0.timestamp();
        let other = || time_of(args.get(0)).map(|time| time.timestamp());
        match method {
            "Format" => Ok(Value::from(format(&self.0, args.str(0)))),
            "Before" => Ok(Value::from(mine < other()?)),
            "After" => Ok(Value::from(mine > other()?)),
            "Equal" => Ok(Value::from(mine == other()?)),
            "Add" => Ok(native(Time(add_nanos(&self.0, i128::from(args.int(0)))))),
            "AddDate" => {
                let span = jiff::Span::new()
                    .try_years(args.int(0))
                    .and_then(|span| span.try_months(args.int(1)))
                    .and_then(|span| span.try_days(args.int(2)));
                let moved = span.and_then(|span| self.0.checked_add(span));
                moved.map(|time| native(Time(time))).map_err(|error| error.to_string().into())
            }
            _ => Ok(self.property(method).unwrap_or_else(value::nil)),
        }
    }

    fn print(&self) -> String {
        format(&self.0, "2006-01-02 15:04:05.999999999 -0700 MST")
    }

    fn to_json(&self) -> serde_json::Value {
        self.rfc3339().into()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_in_go() {
        for (text, printed) in
            [("1h30m", "1h30m0s"), ("1500ms", "1.5s"), ("-2.5us", "-2.5µs"), ("0", "0s")]
        {
            assert_eq!(duration_text(parse_duration(text).unwrap()), printed);
        }
        for bad in ["", "1", "d", "1d", "."] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
