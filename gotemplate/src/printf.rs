//! Go's `printf`: every verb, flag, width and argument index for the types that templates have.
//!
//! Knows nothing of templates. Start at [`sprintf`].

use std::fmt::Write as _;

use minijinja::Value;

use crate::print::{
    format_exponent, format_general, is_print, quote, quote_with, special, to_text,
};
use crate::value::{Dict, Kind, as_dict, as_float, as_list, as_native, is_nil, kind_of, type_name};

// Go refuses larger widths and precisions too ("tooLarge").
const MAX_WIDTH: usize = 1_000_000;

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    // %+v and %#v
    plus_v: bool,
    sharp_v: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats as Go's `fmt.Sprintf`, mistakes included: `%!d(string=x)`, `%!s(MISSING)`.
#[must_use]
pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut printer =
        Printer { out: String::with_capacity(format.len() + 16), flags: Flags::default() };
    let mut scan = Scan { text: format, pos: 0, args, next_arg: 0, reordered: false, good: true };
    scan.run(&mut printer);
    printer.out
}

struct Scan<'a> {
    text: &'a str,
    pos: usize,
    args: &'a [Value],
    next_arg: usize,
    reordered: bool,
    good: bool,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn run(&mut self, printer: &mut Printer) {
        let mut any_reordered = false;
        while self.pos < self.text.len() {
            let rest = &self.text[self.pos..];
            let literal = rest.find('%').unwrap_or(rest.len());
            printer.out.push_str(&rest[..literal]);
            self.pos += literal;
            if self.pos >= self.text.len() {
                break;
            }
            self.pos += 1;
            self.reordered = false;
            self.directive(printer);
            any_reordered |= self.reordered;
        }
        if !any_reordered && self.next_arg < self.args.len() {
            printer.extra(&self.args[self.next_arg..]);
        }
    }

    fn directive(&mut self, printer: &mut Printer) {
        self.good = true;
        printer.flags = Flags::default();
        self.flags(&mut printer.flags);
        let mut after_index = self.index();
        if self.peek() == Some(b'*') {
            self.pos += 1;
            match self.star() {
                Some(width) => {
                    printer.flags.minus |= width < 0;
                    printer.flags.zero &= !printer.flags.minus;
                    printer.flags.width = Some(width.unsigned_abs() as usize);
                }
                None => printer.out.push_str("%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            printer.flags.width = self.number();
            if after_index && printer.flags.width.is_some() {
                self.good = false;
            }
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            if after_index {
                self.good = false;
            }
            after_index = self.index();
            if self.peek() == Some(b'*') {
                self.pos += 1;
                match self.star() {
                    Some(precision) => {
                        printer.flags.precision = usize::try_from(precision).ok();
                        if precision < 0 {
                            printer.out.push_str("%!(BADPREC)");
                        }
                    }
                    None => printer.out.push_str("%!(BADPREC)"),
                }
                after_index = false;
            } else {
                printer.flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            self.index();
        }
        self.verb(printer);
    }

    fn flags(&mut self, flags: &mut Flags) {
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.pos += 1;
        }
        if flags.minus {
            flags.zero = false;
        }
    }

    fn number(&mut self) -> Option<usize> {
        let start = self.pos;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.pos += 1;
        }
        self.text[start..self.pos].parse().ok().filter(|n| *n <= MAX_WIDTH)
    }

    // `[3]`: the next argument is the third.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let Some(end) = self.text[self.pos..].find(']') else {
            self.good = false;
            self.pos += 1;
            return false;
        };
        let number = self.text[self.pos + 1..self.pos + end].parse::<usize>().ok();
        self.pos += end + 1;
        match number {
            Some(number) if number >= 1 && number <= self.args.len() => {
                self.next_arg = number - 1;
                true
            }
            _ => {
                self.good = false;
                true
            }
        }
    }

    fn star(&mut self) -> Option<i64> {
        let arg = self.args.get(self.next_arg)?;
        self.next_arg += 1;
        if kind_of(arg) != Kind::Int {
            return None;
        }
        arg.as_i64().filter(|n| n.unsigned_abs() as usize <= MAX_WIDTH)
    }

    fn verb(&mut self, printer: &mut Printer) {
        let Some(verb) = self.text[self.pos..].chars().next() else {
            printer.out.push_str("%!(NOVERB)");
            return;
        };
        self.pos += verb.len_utf8();
        if verb == '%' {
            printer.out.push('%');
        } else if !self.good {
            let _ = write!(printer.out, "%!{verb}(BADINDEX)");
        } else if let Some(arg) = self.args.get(self.next_arg) {
            self.next_arg += 1;
            if verb == 'v' {
                printer.flags.sharp_v = std::mem::take(&mut printer.flags.sharp);
                printer.flags.plus_v = std::mem::take(&mut printer.flags.plus);
            }
            printer.arg(arg, verb, 0);
        } else {
            let _ = write!(printer.out, "%!{verb}(MISSING)");
        }
    }
}

struct Printer {
    out: String,
    flags: Flags,
}

impl Printer {
    fn extra(&mut self, args: &[Value]) {
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

    fn arg(&mut self, arg: &Value, verb: char, depth: usize) {
        if verb == 'T' {
            return self.pad(type_name(arg));
        }
        match kind_of(arg) {
            Kind::Nil if depth > 0 && self.flags.sharp_v => self.out.push_str("interface {}(nil)"),
            Kind::Nil if depth > 0 => self.out.push_str("<nil>"),
            Kind::Nil if verb == 'v' => self.pad("<nil>"),
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
        let fill = if self.flags.zero { '0' } else { ' ' };
        if self.flags.minus {
            self.out.push_str(text);
        }
        self.out.extend(std::iter::repeat_n(fill, missing));
        if !self.flags.minus {
            self.out.push_str(text);
        }
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
        let sign = match number {
            n if n < 0 => "-",
            _ if self.flags.plus || self.flags.plus_v => "+",
            _ if self.flags.space => " ",
            _ => "",
        };
        if self.flags.precision == Some(0) && number == 0 {
            self.flags.zero = false;
            return self.pad("");
        }
        let zeros = match (self.flags.precision, self.flags.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if self.flags.zero => width.saturating_sub(sign.len()),
            _ => 0,
        };
        let digits = format!("{text:0>zeros$}");
        let prefix = match verb {
            'O' => "0o",
            'b' if self.flags.sharp => "0b",
            'o' if self.flags.sharp && !digits.starts_with('0') => "0",
            'x' if self.flags.sharp => "0x",
            'X' if self.flags.sharp => "0X",
            _ => "",
        };
        self.flags.zero = false;
        self.pad(&format!("{sign}{prefix}{digits}"));
    }

    fn rune(&mut self, number: i64, verb: char) {
        let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
        match verb {
            'c' => self.pad(&c.to_string()),
            'q' => self.pad(&quote_with(&c.to_string(), '\'', self.flags.plus)),
            _ => {
                let mut text = format!("U+{number:04X}");
                if self.flags.sharp && is_print(c) {
                    let _ = write!(text, " '{c}'");
                }
                self.flags.zero = false;
                self.pad(&text);
            }
        }
    }

    fn float(&mut self, arg: &Value, verb: char) {
        let number = as_float(arg).unwrap_or_default();
        let precision = self.flags.precision;
        let text = match verb {
            _ if special(number).is_some() && "veEfFgGxXb".contains(verb) => {
                special(number).unwrap_or_default().to_owned()
            }
            'v' | 'g' | 'G' => format_general(number, precision, verb == 'G'),
            'e' | 'E' => format_exponent(number, Some(precision.unwrap_or(6)), verb == 'E'),
            'f' | 'F' => format!("{number:.*}", precision.unwrap_or(6)),
            'x' | 'X' => hex_float(number, verb == 'X'),
            _ => return self.bad_verb(arg, verb),
        };
        let unsigned = text.trim_start_matches(['-', '+']);
        let sign = match text.as_bytes().first() {
            Some(b'-') => "-",
            _ if self.flags.plus || self.flags.plus_v => "+",
            _ if self.flags.space => " ",
            Some(b'+') => "+",
            _ => "",
        };
        if special(number).is_some() {
            self.flags.zero = false;
        } else if self.flags.zero {
            let width = self.flags.width.unwrap_or(0).saturating_sub(sign.len());
            self.flags.width = None;
            return self.pad(&format!("{sign}{unsigned:0>width$}"));
        }
        self.pad(&format!("{sign}{unsigned}"));
    }

    fn string(&mut self, arg: &Value, text: &str, verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.pad(&quote(text)),
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

fn truncate(text: &str, precision: Option<usize>) -> &str {
    let end = precision.and_then(|count| text.char_indices().nth(count)).map(|(at, _)| at);
    &text[..end.unwrap_or(text.len())]
}

fn can_backquote(text: &str) -> bool {
    !text.chars().any(|c| c == '`' || c == '\u{feff}' || (c.is_control() && c != '\t'))
}

// %x of a float, shortest form: -0x1.23abcp+20.
fn hex_float(number: f64, upper: bool) -> String {
    let bits = number.to_bits();
    let sign = if bits >> 63 == 1 { "-" } else { "" };
    let mut mantissa = bits & 0x000f_ffff_ffff_ffff;
    let biased = ((bits >> 52) & 0x7ff) as i32;
    let mut exponent = biased - 1023;
    let text = if number == 0.0 {
        format!("{sign}0x0p+00")
    } else {
        if biased == 0 {
            let shift = mantissa.leading_zeros() as i32 - 11;
            mantissa = (mantissa << shift) & 0x000f_ffff_ffff_ffff;
            exponent = -1022 - shift;
        }
        let digits = format!("{mantissa:013x}");
        let digits = digits.trim_end_matches('0');
        let point = if digits.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        format!("{sign}0x1{point}{digits}p{exponent_sign}{:02}", exponent.abs())
    };
    if upper { text.to_uppercase() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{dict, int, list, nil};

    fn check(format: &str, args: &[Value], expected: &str) {
        assert_eq!(sprintf(format, args), expected, "{format}");
    }

    // Expected texts recorded from Go 1.26.
    #[test]
    fn verbs_print_as_in_go() {
        let f = Value::from;
        check("%g %v %G", &[f(1e6), f(1e6), f(1e-7)], "1e+06 1e+06 1E-07");
        check(
            "%6.2f|%08.3f|%e",
            &[f(1.23456), f(1.23456), f(123_456.789)],
            "  1.23|0001.235|1.234568e+05",
        );
        check(
            "%5.1f|%-10.2e|%10g|%.3g",
            &[f(1.25), f(12345.678), f(1e-10), f(1234.5678)],
            "  1.2|1.23e+04  |     1e-10|1.23e+03",
        );
        check(
            "%05d|%-5d|%5d|%+5d|% d|%x|%o|%O|%b",
            &[int(42), int(42), int(42), int(42), int(42), int(-255), int(8), int(8), int(5)],
            "00042|42   |   42|  +42| 42|-ff|10|0o10|101",
        );
        check(
            "%#x|%#o|%05s|%-05d|%.3d|%c|%U",
            &[int(255), int(8), Value::from("ab"), int(42), int(7), int(65), int(0x1_f600)],
            "0xff|010|000ab|42   |007|A|U+1F600",
        );
        check(
            "%.2s|%5.1s|%+q|%#q|%x",
            &["h\u{e9}llo".into(), "world".into(), "\u{e9}".into(), "a`b".into(), f(3.5)],
            "h\u{e9}|    w|\"\\u00e9\"|\"a`b\"|0x1.cp+01",
        );
        check(
            "%x %X % x %#x",
            &["hello".into(), Value::from_bytes(b"hi".to_vec()), "hello".into(), "hello".into()],
            "68656c6c6f 6869 68 65 6c 6c 6f 0x68656c6c6f",
        );
    }

    #[test]
    fn mistakes_print_as_in_go() {
        check("%d %s %v", &[1.5.into(), int(3), nil()], "%!d(float64=1.5) %!s(int=3) <nil>");
        check("%d %d", &[int(1)], "1 %!d(MISSING)");
        check("%d\n", &[int(1), int(2)], "1\n%!(EXTRA int=2)");
        check("%t %s", &["x".into(), true.into()], "%!t(string=x) %!s(bool=true)");
        check("%s|%d|%v", &[nil(), nil(), nil()], "%!s(<nil>)|%!d(<nil>)|<nil>");
        check("%", &[int(1)], "%!(NOVERB)%!(EXTRA int=1)");
    }

    #[test]
    fn containers_and_indexes_print_as_in_go() {
        let items = list(vec!["a".into(), int(1), nil()]);
        let map = dict([("b".into(), 1.0.into()), ("a".into(), "x".into())].into());
        check(
            "%s %d",
            &[items.clone(), items.clone()],
            "[a %!s(int=1) <nil>] [%!d(string=a) 1 <nil>]",
        );
        check(
            "%#v %#v",
            &[items, map],
            "[]interface {}{\"a\", 1, interface {}(nil)} map[string]interface {}{\"a\":\"x\", \"b\":1}",
        );
        check("%[2]d %[1]d", &[int(1), int(2)], "2 1");
        check("%*d|%.*f", &[int(5), int(42), int(2), 1.23456.into()], "   42|1.23");
    }
}
