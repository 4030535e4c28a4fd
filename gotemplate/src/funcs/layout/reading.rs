//! Texts → times by a layout.
//!
//! Owns what each field of a layout takes from a text and how the fields make a time. Start at [`parse`].

use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::{Field, MONTHS, ParseError, WEEKDAYS, ZoneStyle, next_element};

/// What has been read so far.
#[derive(Default)]
struct Reading {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    afternoon: Option<bool>,
    offset_seconds: Option<i32>,
    zone_name: Option<String>,
}

/// Reads `value` by a Go layout; without a zone in the text the time is in `zone`.
///
/// # Errors
/// [`ParseError`] names the element that did not fit, with Go's words.
pub fn parse(layout: &str, value: &str, zone: &TimeZone) -> Result<Zoned, ParseError> {
    let mut reading = Reading::default();
    let (mut rest_layout, mut rest) = (layout, value);
    let fail = |element: &str, rest: &str, reason: &str| ParseError {
        layout: layout.to_owned(),
        value: value.to_owned(),
        element: element.to_owned(),
        rest: rest.to_owned(),
        reason: reason.to_owned(),
    };
    loop {
        let (literal, element, after) = next_element(rest_layout);
        rest = skip_literal(rest, literal).map_err(|stuck| fail(literal, stuck, ""))?;
        let Some((field, spelling)) = element else { break };
        let next_is_fraction =
            matches!(next_element(after), ("", Some((f, _)), _) if is_fraction(f));
        rest = reading.take(rest, field, next_is_fraction).map_err(|refusal| match refusal {
            Refusal::Mismatch => fail(spelling, rest, ""),
            Refusal::OutOfRange(what) => fail(spelling, rest, &format!(": {what} out of range")),
        })?;
        rest_layout = after;
    }
    if !rest.is_empty() {
        return Err(fail("", rest, &format!(": extra text: {rest:?}")));
    }
    reading.finish(zone).map_err(|reason| fail("", rest, &format!(": {reason}")))
}

fn is_fraction(field: Field) -> bool {
    matches!(field, Field::FractionZero { .. } | Field::FractionTrim { .. })
}

/// Blanks in a layout match any run of blanks in the text; an error is the text from where it differs.
fn skip_literal<'a>(text: &'a str, literal: &str) -> Result<&'a str, &'a str> {
    let mut rest = text;
    let mut literal = literal;
    while let Some(c) = literal.chars().next() {
        if c == ' ' {
            if !rest.is_empty() && !rest.starts_with(' ') {
                return Err(rest);
            }
            rest = rest.trim_start_matches(' ');
            literal = literal.trim_start_matches(' ');
        } else {
            rest = rest.strip_prefix(c).ok_or(rest)?;
            literal = &literal[c.len_utf8()..];
        }
    }
    Ok(rest)
}

enum Refusal {
    Mismatch,
    OutOfRange(&'static str),
}

impl Reading {
    fn take<'a>(
        &mut self,
        text: &'a str,
        field: Field,
        fraction: bool,
    ) -> Result<&'a str, Refusal> {
        match field {
            Field::YearLong => {
                let (year, rest) = digits(text, 4, 4)?;
                self.year = i16::try_from(year).map_err(|_| Refusal::Mismatch)?;
                Ok(rest)
            }
            Field::YearShort => {
                let (year, rest) = digits(text, 2, 2)?;
                let year = i16::try_from(year).map_err(|_| Refusal::Mismatch)?;
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
                Ok(rest)
            }
            Field::MonthLong | Field::MonthShort => {
                let (index, rest) = name(text, &MONTHS, field == Field::MonthShort)?;
                self.month = i8::try_from(index + 1).ok();
                Ok(rest)
            }
            Field::WeekdayLong | Field::WeekdayShort => {
                name(text, &WEEKDAYS, field == Field::WeekdayShort).map(|(_, rest)| rest)
            }
            Field::UpperMeridiem | Field::LowerMeridiem => self.take_meridiem(text, field),
            Field::ZoneName => self.take_zone_name(text),
            Field::Zone { z, style } => self.take_zone(text, z, style),
            Field::FractionZero { count, comma: _ } => self.take_fraction(text, Some(count)),
            Field::FractionTrim { .. } => self.take_fraction(text, None),
            _ => self.take_number(text, field, fraction),
        }
    }

    fn take_number<'a>(
        &mut self,
        text: &'a str,
        field: Field,
        fraction: bool,
    ) -> Result<&'a str, Refusal> {
        let small = |n: u32| i8::try_from(n).unwrap_or(i8::MAX);
        match field {
            Field::MonthZero | Field::Month => {
                let (n, rest) = digits(text, if field == Field::Month { 1 } else { 2 }, 2)?;
                in_range(n, 1, 12, "month")?;
                self.month = Some(small(n));
                Ok(rest)
            }
            Field::DayZero | Field::DaySpace | Field::Day => {
                let text = if field == Field::DaySpace {
                    text.strip_prefix(' ').unwrap_or(text)
                } else {
                    text
                };
                let (n, rest) = digits(text, if field == Field::DayZero { 2 } else { 1 }, 2)?;
                self.day = Some(small(n));
                Ok(rest)
            }
            Field::YearDayZero | Field::YearDaySpace => {
                let blanks = if field == Field::YearDaySpace { leading_blanks(text, 2) } else { 0 };
                let min = if field == Field::YearDaySpace { 1 } else { 3 };
                let (n, rest) = digits(&text[blanks..], min, 3 - blanks)?;
                self.year_day = i16::try_from(n).ok();
                Ok(rest)
            }
            Field::Hour24 => {
                let (n, rest) = digits(text, 1, 2)?;
                in_range(n, 0, 23, "hour")?;
                self.hour = small(n);
                Ok(rest)
            }
            Field::Hour12Zero | Field::Hour12 => {
                let (n, rest) = digits(text, if field == Field::Hour12 { 1 } else { 2 }, 2)?;
                in_range(n, 0, 12, "hour")?;
                self.hour = small(n);
                Ok(rest)
            }
            Field::MinuteZero | Field::Minute => {
                let (n, rest) = digits(text, if field == Field::Minute { 1 } else { 2 }, 2)?;
                in_range(n, 0, 59, "minute")?;
                self.minute = small(n);
                Ok(rest)
            }
            _ => {
                let (n, rest) = digits(text, if field == Field::Second { 1 } else { 2 }, 2)?;
                in_range(n, 0, 59, "second")?;
                self.second = small(n);
                // A fraction is read after the seconds even if the layout does not ask for one.
                let extra = !fraction && rest.starts_with(['.', ',']);
                if extra && rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
                    return self.take_fraction(rest, None);
                }
                Ok(rest)
            }
        }
    }

    fn take_fraction<'a>(
        &mut self,
        text: &'a str,
        count: Option<usize>,
    ) -> Result<&'a str, Refusal> {
        let Some(body) = text.strip_prefix(['.', ',']) else {
            return if count.is_some() { Err(Refusal::Mismatch) } else { Ok(text) };
        };
        let available = body.bytes().take_while(u8::is_ascii_digit).count();
        let length = match count {
            Some(count) if available < count => return Err(Refusal::Mismatch),
            Some(count) => count,
            None if available == 0 => return Ok(text),
            None => available,
        };
        let padded: String = body[..length].chars().chain("000000000".chars()).take(9).collect();
        self.nanosecond = padded.parse().unwrap_or(0);
        Ok(&body[length..])
    }

    fn take_meridiem<'a>(&mut self, text: &'a str, field: Field) -> Result<&'a str, Refusal> {
        let (am, pm) = if field == Field::UpperMeridiem { ("AM", "PM") } else { ("am", "pm") };
        let (afternoon, rest) = match (text.strip_prefix(pm), text.strip_prefix(am)) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(Refusal::Mismatch),
        };
        self.afternoon = Some(afternoon);
        Ok(rest)
    }

    fn take_zone_name<'a>(&mut self, text: &'a str) -> Result<&'a str, Refusal> {
        // An unnamed zone was printed as its offset, and reads back as such.
        if text.starts_with(['+', '-']) {
            if text.as_bytes().get(3).is_some_and(u8::is_ascii_digit) {
                return Err(Refusal::Mismatch);
            }
            return self.take_zone(text, false, ZoneStyle::Hours);
        }
        let length = text.bytes().take_while(u8::is_ascii_uppercase).count();
        if !(3..=5).contains(&length) {
            return Err(Refusal::Mismatch);
        }
        self.zone_name = Some(text[..length].to_owned());
        Ok(&text[length..])
    }

    fn take_zone<'a>(
        &mut self,
        text: &'a str,
        z: bool,
        style: ZoneStyle,
    ) -> Result<&'a str, Refusal> {
        if z && let Some(rest) = text.strip_prefix('Z') {
            self.offset_seconds = Some(0);
            return Ok(rest);
        }
        let (sign, rest) = match text.as_bytes().first() {
            Some(b'+') => (1, &text[1..]),
            Some(b'-') => (-1, &text[1..]),
            _ => return Err(Refusal::Mismatch),
        };
        let (hours, rest) = digits(rest, 2, 2)?;
        in_range(hours, 0, 24, "time zone offset hour")?;
        let (colon, count) = match style {
            ZoneStyle::Hours => (false, 0),
            ZoneStyle::Plain => (false, 1),
            ZoneStyle::Colon => (true, 1),
            ZoneStyle::PlainSeconds => (false, 2),
            ZoneStyle::ColonSeconds => (true, 2),
        };
        let (mut total, mut rest, mut weight) = (hours * 3600, rest, 60);
        for _ in 0..count {
            let body = if colon { rest.strip_prefix(':').ok_or(Refusal::Mismatch)? } else { rest };
            let (n, after) = digits(body, 2, 2)?;
            let unit =
                if weight == 60 { "time zone offset minute" } else { "time zone offset second" };
            in_range(n, 0, 59, unit)?;
            (total, rest, weight) = (total + n * weight, after, 1);
        }
        self.offset_seconds = i32::try_from(total).ok().map(|total| sign * total);
        Ok(rest)
    }

    fn finish(self, zone: &TimeZone) -> Result<Zoned, &'static str> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let day_out = "day out of range";
        let time = jiff::civil::Time::new(hour, self.minute, self.second, self.nanosecond)
            .map_err(|_| day_out)?;
        let civil = DateTime::from_parts(self.date()?, time);
        let zone = match (self.offset_seconds, self.zone_name.as_deref()) {
            (Some(0), _) | (None, Some("UTC" | "GMT")) => TimeZone::UTC,
            (Some(seconds), _) => {
                Offset::from_seconds(seconds).map_err(|_| day_out)?.to_time_zone()
            }
            // An abbreviation that the zone does not use has no offset of its own in Go either.
            (None, Some(_)) => TimeZone::UTC,
            (None, None) => zone.clone(),
        };
        zone.to_zoned(civil).map_err(|_| day_out)
    }

    /// The date; a day of the year fills month and day, and must agree with those given.
    fn date(&self) -> Result<jiff::civil::Date, &'static str> {
        let Some(year_day) = self.year_day else {
            let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
            return jiff::civil::Date::new(self.year, month, day).map_err(|_| "day out of range");
        };
        let first = jiff::civil::Date::new(self.year, 1, 1).map_err(|_| "day out of range")?;
        let date =
            first.with().day_of_year(year_day).build().map_err(|_| "day-of-year out of range")?;
        if self.month.is_some_and(|month| month != date.month()) {
            return Err("day-of-year does not match month");
        }
        if self.day.is_some_and(|day| day != date.day()) {
            return Err("day-of-year does not match day");
        }
        Ok(date)
    }
}

fn leading_blanks(text: &str, max: usize) -> usize {
    text.bytes().take(max).take_while(|b| *b == b' ').count()
}

fn digits(text: &str, min: usize, max: usize) -> Result<(u32, &str), Refusal> {
    let count = text.bytes().take(max).take_while(u8::is_ascii_digit).count();
    if count < min {
        return Err(Refusal::Mismatch);
    }
    let number = text[..count].parse().map_err(|_| Refusal::Mismatch)?;
    Ok((number, &text[count..]))
}

fn in_range(n: u32, min: u32, max: u32, what: &'static str) -> Result<(), Refusal> {
    if (min..=max).contains(&n) { Ok(()) } else { Err(Refusal::OutOfRange(what)) }
}

/// Finds the name, case ignored, that `text` starts with.
fn name<'a>(text: &'a str, names: &[&str], short: bool) -> Result<(usize, &'a str), Refusal> {
    for (index, name) in names.iter().enumerate() {
        let name = if short { &name[..3] } else { name };
        let head = text.get(..name.len());
        if head.is_some_and(|head| head.eq_ignore_ascii_case(name)) {
            return Ok((index, &text[name.len()..]));
        }
    }
    Err(Refusal::Mismatch)
}
