//! Go's time layouts: `2006-01-02T15:04:05Z07:00` and all they can say.
//!
//! Owns cutting a layout into fields, printing a time by it and reading one. Knows no clock: the time is an argument.
//! Start at [`format`] and [`parse`]. Follows Go 1.26's `time` package, which sprig's date functions call.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// One element of a layout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    YearLong,
    YearShort,
    MonthLong,
    MonthShort,
    MonthZero,
    Month,
    WeekdayLong,
    WeekdayShort,
    DayZero,
    DaySpace,
    Day,
    YearDayZero,
    YearDaySpace,
    Hour24,
    Hour12Zero,
    Hour12,
    MinuteZero,
    Minute,
    SecondZero,
    Second,
    UpperMeridiem,
    LowerMeridiem,
    ZoneName,
    /// A numeric zone; `z` prints `Z` for UTC.
    Zone {
        z: bool,
        style: ZoneStyle,
    },
    /// `.000` or `,000`: always that many digits.
    FractionZero {
        count: usize,
        comma: bool,
    },
    /// `.999` or `,999`: trailing zeros left out.
    FractionTrim {
        count: usize,
        comma: bool,
    },
}

/// How a numeric zone is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ZoneStyle {
    /// `-07`
    Hours,
    /// `-0700`
    Plain,
    /// `-07:00`
    Colon,
    /// `-070000`
    PlainSeconds,
    /// `-07:00:00`
    ColonSeconds,
}

/// Says why a text does not read by a layout.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseError {
    /// The whole layout.
    pub layout: String,
    /// The whole text.
    pub value: String,
    /// The layout's element that did not fit.
    pub element: String,
    /// What was left of the text at that point.
    pub rest: String,
    /// A more precise reason (`": month out of range"`), or nothing.
    pub reason: String,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { layout, value, element, rest, reason } = self;
        if reason.is_empty() {
            return write!(
                f,
                "parsing time {value:?} as {layout:?}: cannot parse {rest:?} as {element:?}"
            );
        }
        write!(f, "parsing time {value:?}{reason}")
    }
}

impl std::error::Error for ParseError {}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Fixed spellings, longest first where one begins another.
const SPELLINGS: [(&str, Field); 30] = [
    ("January", Field::MonthLong),
    ("Jan", Field::MonthShort),
    ("Monday", Field::WeekdayLong),
    ("Mon", Field::WeekdayShort),
    ("MST", Field::ZoneName),
    ("2006", Field::YearLong),
    ("_2006", Field::YearLong),
    ("002", Field::YearDayZero),
    ("__2", Field::YearDaySpace),
    ("_2", Field::DaySpace),
    ("01", Field::MonthZero),
    ("02", Field::DayZero),
    ("03", Field::Hour12Zero),
    ("04", Field::MinuteZero),
    ("05", Field::SecondZero),
    ("06", Field::YearShort),
    ("15", Field::Hour24),
    ("PM", Field::UpperMeridiem),
    ("pm", Field::LowerMeridiem),
    ("Z070000", Field::Zone { z: true, style: ZoneStyle::PlainSeconds }),
    ("Z07:00:00", Field::Zone { z: true, style: ZoneStyle::ColonSeconds }),
    ("Z0700", Field::Zone { z: true, style: ZoneStyle::Plain }),
    ("Z07:00", Field::Zone { z: true, style: ZoneStyle::Colon }),
    ("Z07", Field::Zone { z: true, style: ZoneStyle::Hours }),
    ("-070000", Field::Zone { z: false, style: ZoneStyle::PlainSeconds }),
    ("-07:00:00", Field::Zone { z: false, style: ZoneStyle::ColonSeconds }),
    ("-0700", Field::Zone { z: false, style: ZoneStyle::Plain }),
    ("-07:00", Field::Zone { z: false, style: ZoneStyle::Colon }),
    ("-07", Field::Zone { z: false, style: ZoneStyle::Hours }),
    ("1", Field::Month),
];
const DIGITS: [(&str, Field); 4] =
    [("2", Field::Day), ("3", Field::Hour12), ("4", Field::Minute), ("5", Field::Second)];

/// Cuts the first element off a layout: the literal text before it, the element, its spelling and what follows.
fn next_element(layout: &str) -> (&str, Option<(Field, &str)>, &str) {
    for (index, _) in layout.char_indices() {
        let rest = &layout[index..];
        if let Some((field, length)) = element_at(rest) {
            // `_2006` is a blank mark and then the year, not the day with a blank.
            if field == Field::YearLong && rest.starts_with('_') {
                let (year, after) = (&rest[1..5], &rest[5..]);
                return (&layout[..=index], Some((field, year)), after);
            }
            return (&layout[..index], Some((field, &rest[..length])), &rest[length..]);
        }
    }
    (layout, None, "")
}

fn element_at(rest: &str) -> Option<(Field, usize)> {
    let spelled = SPELLINGS.iter().chain(&DIGITS).find(|(text, field)| {
        // `Jan` within `Janet` is no month: a lower-case letter must not follow.
        let follows = rest.as_bytes().get(text.len());
        rest.starts_with(text)
            && !(matches!(field, Field::MonthShort | Field::WeekdayShort)
                && follows.is_some_and(u8::is_ascii_lowercase))
    });
    if let Some((text, field)) = spelled {
        return Some((*field, text.len()));
    }
    fraction_at(rest)
}

/// `.000`, `,000`, `.999` or `,999`, not followed by another digit.
fn fraction_at(rest: &str) -> Option<(Field, usize)> {
    let comma = match rest.as_bytes().first()? {
        b'.' => false,
        b',' => true,
        _ => return None,
    };
    let digit = *rest.as_bytes().get(1)?;
    if digit != b'0' && digit != b'9' {
        return None;
    }
    let count = rest.bytes().skip(1).take_while(|b| *b == digit).count();
    if rest.as_bytes().get(1 + count).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let field = if digit == b'0' {
        Field::FractionZero { count, comma }
    } else {
        Field::FractionTrim { count, comma }
    };
    Some((field, 1 + count))
}

/// Prints `time` by a Go layout.
#[must_use]
pub fn format(time: &Zoned, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while !rest.is_empty() {
        let (literal, element, after) = next_element(rest);
        out.push_str(literal);
        if let Some((field, _)) = element {
            print_field(&mut out, time, field);
        }
        rest = after;
    }
    out
}

fn print_field(out: &mut String, time: &Zoned, field: Field) {
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let month = MONTHS[usize::from(time.month().unsigned_abs()) - 1];
    let weekday = WEEKDAYS[usize::from(time.weekday().to_sunday_zero_offset().unsigned_abs())];
    let text = match field {
        Field::YearLong => format!("{:04}", time.year()),
        Field::YearShort => format!("{:02}", time.year().rem_euclid(100)),
        Field::MonthLong => month.to_owned(),
        Field::MonthShort => month[..3].to_owned(),
        Field::MonthZero => format!("{:02}", time.month()),
        Field::Month => time.month().to_string(),
        Field::WeekdayLong => weekday.to_owned(),
        Field::WeekdayShort => weekday[..3].to_owned(),
        Field::DayZero => format!("{:02}", time.day()),
        Field::DaySpace => format!("{:2}", time.day()),
        Field::Day => time.day().to_string(),
        Field::YearDayZero => format!("{:03}", time.day_of_year()),
        Field::YearDaySpace => format!("{:3}", time.day_of_year()),
        Field::Hour24 => format!("{:02}", time.hour()),
        Field::Hour12Zero => format!("{hour12:02}"),
        Field::Hour12 => hour12.to_string(),
        Field::MinuteZero => format!("{:02}", time.minute()),
        Field::Minute => time.minute().to_string(),
        Field::SecondZero => format!("{:02}", time.second()),
        Field::Second => time.second().to_string(),
        Field::UpperMeridiem => if time.hour() >= 12 { "PM" } else { "AM" }.to_owned(),
        Field::LowerMeridiem => if time.hour() >= 12 { "pm" } else { "am" }.to_owned(),
        Field::ZoneName => zone_name(time),
        Field::Zone { z, style } => zone_offset(time.offset().seconds(), z, style),
        Field::FractionZero { count, comma } => {
            fraction(time.subsec_nanosecond(), count, comma, false)
        }
        Field::FractionTrim { count, comma } => {
            fraction(time.subsec_nanosecond(), count, comma, true)
        }
    };
    out.push_str(&text);
}

/// The zone's abbreviation; a fixed offset without a name prints as `-0700`, as in Go.
fn zone_name(time: &Zoned) -> String {
    let seconds = time.offset().seconds();
    let zone = time.time_zone();
    if zone.iana_name().is_some() || zone == &TimeZone::UTC || seconds == 0 {
        return zone.to_offset_info(time.timestamp()).abbreviation().to_owned();
    }
    zone_offset(seconds, false, ZoneStyle::Plain)
}

fn zone_offset(seconds: i32, z: bool, style: ZoneStyle) -> String {
    if z && seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let total = seconds.unsigned_abs();
    let (hours, minutes, rest) = (total / 3600, total / 60 % 60, total % 60);
    match style {
        ZoneStyle::Hours => format!("{sign}{hours:02}"),
        ZoneStyle::Plain => format!("{sign}{hours:02}{minutes:02}"),
        ZoneStyle::Colon => format!("{sign}{hours:02}:{minutes:02}"),
        ZoneStyle::PlainSeconds => format!("{sign}{hours:02}{minutes:02}{rest:02}"),
        ZoneStyle::ColonSeconds => format!("{sign}{hours:02}:{minutes:02}:{rest:02}"),
    }
}

fn fraction(nanoseconds: i32, count: usize, comma: bool, trim: bool) -> String {
    let digits = format!("{nanoseconds:09}");
    let mut digits: String = digits.chars().chain(std::iter::repeat('0')).take(count).collect();
    if trim {
        digits.truncate(digits.trim_end_matches('0').len());
        if digits.is_empty() {
            return digits;
        }
    }
    format!("{}{digits}", if comma { ',' } else { '.' })
}

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

/// The instant of a Unix time in seconds, in `zone`.
#[must_use]
pub fn from_unix(seconds: i64, zone: TimeZone) -> Zoned {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone)
}
