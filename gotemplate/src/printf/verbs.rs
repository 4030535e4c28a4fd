//! Writes one argument by its verb and flags, as Go's `fmt` does.
//!
//! Start at [`Printer::arg`].

use std::fmt::Write as _;

use minijinja::Value;

use crate::print::{
    format_exponent, format_fixed, format_general, is_print, quote, quote_with, special, to_text,
};
use crate::value::{Dict, Kind, as_dict, as_float, as_list, as_native, is_nil, kind_of, type_name};

/// What stands between the percent sign and the verb.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    // %+v and %#v
    pub(super) plus_v: bool,
    pub(super) sharp_v: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

/// Writes arguments.
pub(super) struct Printer {
    pub(super) out: String,
    pub(super) flags: Flags,
}

impl Printer {
    pub(super) fn new(capacity: usize) -> Self {
        Self { out: String::with_capacity(capacity), flags: Flags::default() }
    }

    pub(super) fn extra(&mut self, args: &[Value]) {
        self.flags = Flags::default();
        self.out.push_str("%!(EXTRA ");
        for (index, arg) in args.iter().enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            if is_nil(arg) {
                self.out.push_str("<nil>");
            } else {
                self.out.push_str(type_name(arg));
                self.out.push('=');
                self.arg(arg, 'v', 0);
            }
        }
        self.out.push(')');
    }

    pub(super) fn arg(&mut self, arg: &Value, verb: char, depth: usize) {
        let kind = kind_of(arg);
        if verb == 'T' && depth == 0 && kind != Kind::Nil {
            return self.pad(truncate(type_name(arg), self.flags.precision));
        }
        // `%w` is for errors alone, and Go notices before it looks into a list.
        if verb == 'w' && matches!(kind, Kind::List | Kind::Map) {
            return self.bad_verb(arg, verb);
        }
        match kind {
            Kind::Nil if depth > 0 && self.flags.sharp_v => self.out.push_str("interface {}(nil)"),
            Kind::Nil if depth > 0 => self.out.push_str("<nil>"),
            Kind::Nil if matches!(verb, 'v' | 'T') => self.pad("<nil>"),
            Kind::Nil => {
                let _ = write!(self.out, "%!{verb}(<nil>)");
            }
            Kind::Bool if matches!(verb, 't' | 'v') => {
                self.pad(if arg.is_true() { "true" } else { "false" });
            }
            Kind::Int => self.integer(arg, verb),
            Kind::Float => self.float(arg, verb),
            Kind::Str => self.string(arg, arg.as_str().unwrap_or_default(), verb),
            Kind::Bytes if !matches!(verb, 'v' | 'd') => {
                let text = String::from_utf8_lossy(arg.as_bytes().unwrap_or_default());
                self.string(arg, &text, verb);
            }
            Kind::Bytes => self.bytes(arg.as_bytes().unwrap_or_default()),
            Kind::List => self.list(arg, verb, depth),
            Kind::Map => self.map(arg, verb, depth),
            Kind::Native => {
                let text = as_native(arg).map(|n| n.print()).unwrap_or_default();
                let verb = if matches!(verb, 's' | 'x' | 'X' | 'q') { verb } else { 's' };
                self.string(arg, &text, verb);
            }
            Kind::Foreign => self.pad(&to_text(arg)),
            Kind::Bool => self.bad_verb(arg, verb),
        }
    }

    fn bad_verb(&mut self, arg: &Value, verb: char) {
        let _ = write!(self.out, "%!{verb}({}=", type_name(arg));
        self.arg(arg, 'v', 0);
        self.out.push(')');
    }

    fn pad(&mut self, text: &str) {
        let missing = self.flags.width.unwrap_or(0).saturating_sub(text.chars().count());
        let fill = if self.flags.zero && !self.flags.minus { '0' } else { ' ' };
        if self.flags.minus {
            self.out.push_str(text);
        }
        self.out.extend(std::iter::repeat_n(fill, missing));
        if !self.flags.minus {
            self.out.push_str(text);
        }
    }

    // Zeros that a number got already are not for the padding to add again.
    fn pad_with_blanks(&mut self, text: &str) {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(text);
        self.flags.zero = zero;
    }

    fn integer(&mut self, arg: &Value, verb: char) {
        let number = arg.as_i64().unwrap_or_default();
        let text = match verb {
            'v' | 'd' => number.unsigned_abs().to_string(),
            'b' => format!("{:b}", number.unsigned_abs()),
            'o' | 'O' => format!("{:o}", number.unsigned_abs()),
            'x' => format!("{:x}", number.unsigned_abs()),
            'X' => format!("{:X}", number.unsigned_abs()),
            'c' | 'q' | 'U' => return self.rune(number, verb),
            _ => return self.bad_verb(arg, verb),
        };
        let flags = self.flags;
        if flags.precision == Some(0) && number == 0 {
            return self.pad_with_blanks("");
        }
        let sign = match number {
            n if n < 0 => "-",
            _ if flags.plus => "+",
            _ if flags.space => " ",
            _ => "",
        };
        let zeros = match (flags.precision, flags.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if flags.zero && !flags.minus => width.saturating_sub(sign.len()),
            _ => 0,
        };
        let digits = zero_filled(&text, zeros);
        let prefix = match verb {
            'O' if flags.sharp && !digits.starts_with('0') => "0o0",
            'O' => "0o",
            'b' if flags.sharp => "0b",
            'o' if flags.sharp && !digits.starts_with('0') => "0",
            'x' if flags.sharp => "0x",
            'X' if flags.sharp => "0X",
            _ => "",
        };
        self.pad_with_blanks(&format!("{sign}{prefix}{digits}"));
    }

    fn rune(&mut self, number: i64, verb: char) {
        let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
        match verb {
            'c' => self.pad(&c.to_string()),
            'q' => self.pad(&quote_with(&c.to_string(), '\'', self.flags.plus)),
            _ => {
                let digits = self.flags.precision.unwrap_or(4).max(4);
                let mut text = format!("U+{number:0digits$X}");
                let shown = u32::try_from(number).ok().and_then(char::from_u32);
                if let Some(c) = shown.filter(|c| self.flags.sharp && is_print(*c)) {
                    let _ = write!(text, " '{c}'");
                }
                self.pad_with_blanks(&text);
            }
        }
    }

    fn float(&mut self, arg: &Value, verb: char) {
        let number = as_float(arg).unwrap_or_default();
        let text = match float_digits(number, verb, self.flags.precision) {
            Some(text) => text,
            None => return self.bad_verb(arg, verb),
        };
        let flags = self.flags;
        let unsigned = text.trim_start_matches(['-', '+']);
        let sign = match text.as_bytes().first() {
            Some(b'-') => "-",
            _ if flags.plus => "+",
            _ if flags.space => " ",
            _ => "",
        };
        if special(number).is_some() {
            let sign = if sign.is_empty() && text.starts_with('+') { "+" } else { sign };
            return self.pad_with_blanks(&format!("{sign}{unsigned}"));
        }
        let mut unsigned = unsigned.to_owned();
        if flags.sharp && verb != 'b' {
            let precision = flags.precision.map_or(6, |precision| precision as i64);
            let digits = if matches!(verb, 'e' | 'E' | 'f' | 'F' | 'X') { 0 } else { precision };
            unsigned = with_point(&unsigned, digits, matches!(verb, 'x' | 'X'));
        }
        let width = flags.width.unwrap_or(0);
        if flags.zero && !flags.minus && !sign.is_empty() {
            self.out.push_str(sign);
            self.out.push_str(&zero_filled(&unsigned, width.saturating_sub(sign.len())));
            return;
        }
        self.pad(&format!("{sign}{unsigned}"));
    }

    fn string(&mut self, arg: &Value, text: &str, verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.pad(&quote(truncate(text, self.flags.precision))),
            'v' | 's' => self.pad(truncate(text, self.flags.precision)),
            'q' => {
                let text = truncate(text, self.flags.precision);
                let raw = self.flags.sharp && can_backquote(text);
                let quoted =
                    if raw { format!("`{text}`") } else { quote_with(text, '"', self.flags.plus) };
                self.pad(&quoted);
            }
            'x' | 'X' => self.hex(text.as_bytes(), verb == 'X'),
            _ => self.bad_verb(arg, verb),
        }
    }

    fn hex(&mut self, bytes: &[u8], upper: bool) {
        // Go counts bytes here, not characters.
        let bytes = &bytes[..self.flags.precision.unwrap_or(bytes.len()).min(bytes.len())];
        let mut text = String::new();
        for (index, byte) in bytes.iter().enumerate() {
            if self.flags.space && index > 0 {
                text.push(' ');
            }
            if self.flags.sharp && (self.flags.space || index == 0) {
                text.push_str(if upper { "0X" } else { "0x" });
            }
            let _ = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
        }
        self.pad(&text);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if !self.flags.sharp_v {
            let texts: Vec<String> = bytes.iter().map(u8::to_string).collect();
            let _ = write!(self.out, "[{}]", texts.join(" "));
            return;
        }
        let texts: Vec<String> = bytes.iter().map(|b| format!("{b:#x}")).collect();
        let _ = write!(self.out, "[]byte{{{}}}", texts.join(", "));
    }

    fn list(&mut self, arg: &Value, verb: char, depth: usize) {
        let sharp = self.flags.sharp_v;
        if sharp {
            self.out.push_str(type_name(arg));
        }
        self.out.push(if sharp { '{' } else { '[' });
        for (index, item) in as_list(arg).unwrap_or_default().iter().enumerate() {
            if index > 0 {
                self.out.push_str(if sharp { ", " } else { " " });
            }
            self.item(item, verb, depth);
        }
        self.out.push(if sharp { '}' } else { ']' });
    }

    fn map(&mut self, arg: &Value, verb: char, depth: usize) {
        let sharp = self.flags.sharp_v;
        self.out.push_str(if sharp { type_name(arg) } else { "map" });
        self.out.push(if sharp { '{' } else { '[' });
        let entries = as_dict(arg).map(Dict::snapshot).unwrap_or_default();
        for (index, (key, item)) in entries.iter().enumerate() {
            if index > 0 {
                self.out.push_str(if sharp { ", " } else { " " });
            }
            self.item(&Value::from(key.clone()), verb, depth);
            self.out.push(':');
            self.item(item, verb, depth);
        }
        self.out.push(if sharp { '}' } else { ']' });
    }

    // An item of a list or map; flags are restored because some verbs clear them.
    fn item(&mut self, item: &Value, verb: char, depth: usize) {
        if depth > 100 {
            self.out.push_str("...");
            return;
        }
        let flags = self.flags;
        self.arg(item, verb, depth + 1);
        self.flags = flags;
    }
}

// Not by Rust's own formatting, which ends the process for widths that Go still takes.
fn zero_filled(digits: &str, width: usize) -> String {
    let zeros = width.saturating_sub(digits.len());
    std::iter::repeat_n('0', zeros).chain(digits.chars()).collect()
}

fn truncate(text: &str, precision: Option<usize>) -> &str {
    let end = precision.and_then(|count| text.char_indices().nth(count)).map(|(at, _)| at);
    &text[..end.unwrap_or(text.len())]
}

fn can_backquote(text: &str) -> bool {
    !text.chars().any(|c| c == '`' || c == '\u{feff}' || (c.is_control() && c != '\t'))
}

// A float's digits with their sign; `None` where the verb is not for floats.
fn float_digits(number: f64, verb: char, precision: Option<usize>) -> Option<String> {
    if !"veEfFgGxXb".contains(verb) {
        return None;
    }
    if let Some(text) = special(number) {
        return Some(text.to_owned());
    }
    Some(match verb {
        'v' | 'g' | 'G' => format_general(number, precision, verb == 'G'),
        'e' | 'E' => format_exponent(number, Some(precision.unwrap_or(6)), verb == 'E'),
        'f' | 'F' => format_fixed(number, precision.unwrap_or(6)),
        'b' => binary_float(number),
        _ => hex_float(number, precision, verb == 'X'),
    })
}

// The sharp flag: a point always, and zeros up to `digits` significant ones.
fn with_point(text: &str, mut digits: i64, is_hex: bool) -> String {
    let tail_at = text.find(|c| matches!(c, 'p' | 'P') || !is_hex && matches!(c, 'e' | 'E'));
    let (head, tail) = text.split_at(tail_at.unwrap_or(text.len()));
    let significant = head.trim_start_matches(['0', '.']);
    digits -= significant.chars().filter(|c| *c != '.').count() as i64;
    let mut out = head.to_owned();
    if !head.contains('.') {
        digits -= i64::from(head == "0");
        out.push('.');
    }
    out.extend(std::iter::repeat_n('0', usize::try_from(digits).unwrap_or(0)));
    out + tail
}

// %b of a float: the mantissa as a whole number and the power of two, 4503599627370496p-52.
fn binary_float(number: f64) -> String {
    let bits = number.to_bits();
    let sign = if bits >> 63 == 1 { "-" } else { "" };
    let biased = ((bits >> 52) & 0x7ff) as i64;
    let fraction = bits & 0x000f_ffff_ffff_ffff;
    let mantissa = if biased == 0 { fraction } else { fraction | 1 << 52 };
    format!("{sign}{mantissa}p{:+}", biased.max(1) - 1075)
}

// %x of a float, shortest form or rounded to even: -0x1.23abcp+20.
fn hex_float(number: f64, precision: Option<usize>, upper: bool) -> String {
    let bits = number.to_bits();
    let sign = if bits >> 63 == 1 { "-" } else { "" };
    let biased = ((bits >> 52) & 0x7ff) as i32;
    // The leading digit and 13 hexadecimal ones behind the point.
    let mut mantissa = bits & 0x000f_ffff_ffff_ffff;
    let mut exponent = if number == 0.0 { 0 } else { biased - 1023 };
    if biased != 0 {
        mantissa |= 1 << 52;
    } else if mantissa != 0 {
        let shift = mantissa.leading_zeros() as i32 - 11;
        mantissa <<= shift;
        exponent = -1022 - shift;
    }
    if let Some(kept) = precision.filter(|kept| *kept < 13) {
        let cut = 52 - 4 * kept as u32;
        let (rest, half) = (mantissa & ((1 << cut) - 1), 1u64 << (cut - 1));
        mantissa >>= cut;
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= cut;
        if mantissa >> 53 == 1 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut digits = format!("{:013x}", mantissa & 0x000f_ffff_ffff_ffff);
    match precision {
        Some(kept) if kept <= 13 => digits.truncate(kept),
        Some(kept) => digits.extend(std::iter::repeat_n('0', kept - 13)),
        None => digits.truncate(digits.trim_end_matches('0').len()),
    }
    let point = if digits.is_empty() { "" } else { "." };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    let first = mantissa >> 52;
    let text = format!("{sign}0x{first}{point}{digits}p{exponent_sign}{:02}", exponent.abs());
    if upper { text.to_uppercase() } else { text }
}
