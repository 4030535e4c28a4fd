//! Go's `printf`: every verb, flag, width and argument index for the types that templates have.
//!
//! Owns reading a format; `verbs` writes each argument. Knows nothing of templates. Start at
//! [`sprintf`].

mod verbs;

use std::fmt::Write as _;

use minijinja::Value;

use crate::value::{Kind, kind_of};
use verbs::{Flags, Printer};

// Go refuses larger widths and precisions too ("tooLarge").
const MAX_WIDTH: usize = 1_000_000;

/// Formats as Go's `fmt.Sprintf`, mistakes included: `%!d(string=x)`, `%!s(MISSING)`.
#[must_use]
pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut printer = Printer::new(format.len() + 16);
    let mut scan = Scan { text: format, pos: 0, args, next_arg: 0, reordered: false, good: true };
    scan.run(&mut printer);
    printer.out
}

struct Scan<'a> {
    text: &'a str,
    pos: usize,
    args: &'a [Value],
    next_arg: usize,
    /// Whether any argument was chosen by `[n]`: then nothing is said about those left over.
    reordered: bool,
    /// Whether the `[n]` of this directive were right so far.
    good: bool,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn run(&mut self, printer: &mut Printer) {
        while self.pos < self.text.len() {
            let rest = &self.text[self.pos..];
            let literal = rest.find('%').unwrap_or(rest.len());
            printer.out.push_str(&rest[..literal]);
            self.pos += literal;
            if self.pos >= self.text.len() {
                break;
            }
            self.pos += 1;
            self.directive(printer);
        }
        if !self.reordered && self.next_arg < self.args.len() {
            printer.extra(&self.args[self.next_arg..]);
        }
    }

    fn directive(&mut self, printer: &mut Printer) {
        self.good = true;
        printer.flags = Flags::default();
        self.flags(&mut printer.flags);
        let after_index = self.index();
        let mut after_index = self.width(printer, after_index);
        if self.peek() == Some(b'.') && self.pos + 1 < self.text.len() {
            self.pos += 1;
            self.good &= !after_index;
            after_index = self.index();
            after_index = self.precision(printer, after_index);
        }
        if !after_index {
            self.index();
        }
        self.verb(printer);
    }

    // Whether an index still waits for its verb.
    fn width(&mut self, printer: &mut Printer, after_index: bool) -> bool {
        if self.peek() != Some(b'*') {
            printer.flags.width = self.number();
            self.good &= !(after_index && printer.flags.width.is_some());
            return after_index;
        }
        self.pos += 1;
        match self.star() {
            Some(width) => {
                if width < 0 {
                    printer.flags.minus = true;
                    printer.flags.zero = false;
                }
                printer.flags.width = usize::try_from(width.unsigned_abs()).ok();
            }
            None => printer.out.push_str("%!(BADWIDTH)"),
        }
        false
    }

    fn precision(&mut self, printer: &mut Printer, after_index: bool) -> bool {
        if self.peek() != Some(b'*') {
            printer.flags.precision = Some(self.number().unwrap_or(0));
            return after_index;
        }
        self.pos += 1;
        printer.flags.precision = self.star().and_then(|number| usize::try_from(number).ok());
        if printer.flags.precision.is_none() {
            printer.out.push_str("%!(BADPREC)");
        }
        false
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
    }

    // A number that is far too large takes the rest of the format with it, as in Go.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            if number.is_some_and(|number| number > MAX_WIDTH) {
                self.pos = self.text.len();
                return None;
            }
            number = Some(number.unwrap_or(0) * 10 + usize::from(digit - b'0'));
            self.pos += 1;
        }
        number
    }

    // `[3]`: the next argument is the third. Whether there was a number in brackets.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.text[self.pos..];
        let Some(end) = rest.find(']').filter(|_| rest.len() >= 3) else {
            self.good = false;
            self.pos += 1;
            return false;
        };
        let inner = &rest[1..end];
        self.pos += end + 1;
        if inner.is_empty() || !inner.bytes().all(|byte| byte.is_ascii_digit()) {
            self.good = false;
            return false;
        }
        match inner.parse::<usize>() {
            Ok(number) if (1..=self.args.len()).contains(&number) => self.next_arg = number - 1,
            _ => self.good = false,
        }
        true
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
            if matches!(verb, 'v' | 'w') {
                printer.flags.sharp_v = std::mem::take(&mut printer.flags.sharp);
                printer.flags.plus_v = std::mem::take(&mut printer.flags.plus);
            }
            printer.arg(arg, verb, 0);
        } else {
            let _ = write!(printer.out, "%!{verb}(MISSING)");
        }
    }
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

    #[test]
    fn widths_and_precisions_beyond_rusts_own_are_gos() {
        use sha2::Digest as _;
        // What Go 1.26 prints: its length and the start of its SHA-256.
        for (format, arg, length, digest) in [
            ("%080000d", int(3), 80_000, "6a6cd56ae360f099"),
            ("%+070000.2f", (-1.1e-5).into(), 70_000, "770362b3d9d93476"),
            ("%.70000f", (-1.1e-5).into(), 70_003, "7210e1b1cdd30f3d"),
            ("%.70000e", (-1.1e-5).into(), 70_007, "df216e27bd8f9fa4"),
            ("%.70000g", (-1.1e-5).into(), 70, "3010e043a7468654"),
            ("%70000s", "x".into(), 70_000, "e61afe7726bc5c46"),
            ("%-70000d", int(3), 70_000, "8559d96d26ea8d8b"),
            ("%#.70000x", int(3), 70_002, "a69fed3dc97ea5dc"),
            ("%.70000d", int(3), 70_000, "0ce2c715cfb16a3c"),
            ("%070000x", int(3), 70_000, "0ce2c715cfb16a3c"),
        ] {
            let printed = sprintf(format, &[arg]);
            let hex: String =
                sha2::Sha256::digest(&printed).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!((printed.len(), &hex[..16]), (length, digest), "{format}");
        }
    }
}
