//! Go's time layouts: `2006-01-02T15:04:05Z07:00` and all they can say.
//!
//! Owns cutting a layout into fields and printing a time by it; `reading` is the way back. Knows no clock: the time is an argument.
//! Start at [`format`] and [`parse`]. Follows Go 1.26's `time` package, which sprig's date functions call.

mod reading;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

pub use reading::parse;

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
        let [layout, value, element, rest] =
            [&self.layout, &self.value, &self.element, &self.rest].map(|text| quoted(text));
        if self.reason.is_empty() {
            return write!(f, "parsing time {value} as {layout}: cannot parse {rest} as {element}");
        }
        write!(f, "parsing time {value}{}", self.reason)
    }
}

// The time package has a quoting of its own: whatever is not plain ASCII byte by byte.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'\x7f' => out.push(char::from(byte)),
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out.push('"');
    out
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

/// The instant of a Unix time in seconds, in `zone`.
#[must_use]
pub fn from_unix(seconds: i64, zone: TimeZone) -> Zoned {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone)
}
