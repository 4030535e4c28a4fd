//! JSON as Go's `encoding/json` writes it.
//!
//! Owns the text of numbers and the escapes of strings: identities are hashes of these bytes.
//! Knows nothing of YAML. Start at [`to_string`]; reading is in `json_read`.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};
use serde_json::{Number, Value};

pub use crate::json_read::{Error, from_str};
pub use crate::number::format_json as number_text;

/// Writes a value as Go's `json.Marshal` does: no blanks, `<`, `>` and `&` escaped, Go's numbers.
///
/// Maps are written in the order in which they serialize: [`Value`] and `BTreeMap` sort their
/// keys by bytes, as Go does.
///
/// # Panics
/// If `T` cannot be written as JSON, which is so for maps whose keys are not strings and for
/// types whose `Serialize` fails. [`try_to_string`] returns the error instead.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> String {
    try_to_string(value).expect("values with string keys can always be written as JSON")
}

/// Writes a value as Go's `json.Marshal` does, or says why it cannot be written.
pub fn try_to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    write(value, GoFormatter { layout: CompactFormatter, escape_html: true })
}

/// Writes a value as Go's `json.Encoder` does: [`to_string`] and a line break.
///
/// # Panics
/// As [`to_string`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> String {
    let mut text = to_string(value);
    text.push('\n');
    text
}

/// Writes a value as Go's `json.MarshalIndent(value, "", "  ")` does (sprig's `toPrettyJson`).
///
/// # Panics
/// As [`to_string`].
pub fn to_string_pretty<T: Serialize + ?Sized>(value: &T) -> String {
    write(value, GoFormatter { layout: PrettyFormatter::new(), escape_html: true })
        .expect("values with string keys can always be written as JSON")
}

/// Writes a value as [`to_string`] does, but leaves `<`, `>` and `&` as they are (sprig's
/// `toRawJson`).
///
/// # Panics
/// As [`to_string`].
pub fn to_string_raw<T: Serialize + ?Sized>(value: &T) -> String {
    write(value, GoFormatter { layout: CompactFormatter, escape_html: false })
        .expect("values with string keys can always be written as JSON")
}

fn write<T, F>(value: &T, formatter: F) -> Result<String, serde_json::Error>
where
    T: Serialize + ?Sized,
    F: Formatter,
{
    let mut out = Vec::with_capacity(128);
    value.serialize(&mut Serializer::with_formatter(&mut out, formatter))?;
    Ok(String::from_utf8(out).expect("JSON is written from strings"))
}

/// Turns every number into what Go has after `json.Unmarshal` into an `interface{}`: a float64.
/// Integers beyond 2^53 are rounded.
pub fn go_number_value(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let float = number.as_f64().and_then(Number::from_f64);
            Value::Number(float.unwrap_or(number))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(go_number_value).collect()),
        Value::Object(pairs) => {
            let convert = |(key, value)| (key, go_number_value(value));
            Value::Object(pairs.into_iter().map(convert).collect())
        }
        other => other,
    }
}

/// Puts Go's numbers and escapes into a layout.
struct GoFormatter<L> {
    layout: L,
    escape_html: bool,
}

impl<L: Formatter> Formatter for GoFormatter<L> {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(crate::number::format_json(value).as_bytes())
    }

    fn write_f32<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        writer.write_all(crate::number::format_json32(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, width, escape)) = find_escape(rest, self.escape_html) {
            writer.write_all(&rest.as_bytes()[..at])?;
            writer.write_all(escape.as_bytes())?;
            rest = &rest[at + width..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.layout.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.layout.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.layout.end_object_value(writer)
    }
}

/// The first character Go escapes and serde_json does not: where, how long, and as what.
fn find_escape(text: &str, escape_html: bool) -> Option<(usize, usize, &'static str)> {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().find_map(|(at, byte)| match byte {
        b'<' if escape_html => Some((at, 1, "\\u003c")),
        b'>' if escape_html => Some((at, 1, "\\u003e")),
        b'&' if escape_html => Some((at, 1, "\\u0026")),
        // The two separators that old JavaScript could not have in strings.
        0xE2 if bytes[at..].starts_with(b"\xE2\x80\xA8") => Some((at, 3, "\\u2028")),
        0xE2 if bytes[at..].starts_with(b"\xE2\x80\xA9") => Some((at, 3, "\\u2029")),
        _ => None,
    })
}
