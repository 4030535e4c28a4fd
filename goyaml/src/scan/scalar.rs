//! Scans scalars: plain, quoted, literal and folded.
//!
//! Owns line folding, escapes and chomping. Does not know what a plain scalar resolves to.
//! Start at [`Scanner::fetch_plain`].

use std::borrow::Cow;

use super::{Kind, Scanner};
use crate::error::{Error, Mark};

/// The blanks and line breaks between two pieces of a plain or quoted scalar.
#[derive(Default)]
struct Gap {
    blanks: String,
    first_break: Option<&'static str>,
    more_breaks: String,
}

impl Gap {
    /// One line break becomes a space, several lose their first; the rare separators stay.
    fn fold_into(&mut self, value: &mut String) {
        match self.first_break.take() {
            None => value.push_str(&self.blanks),
            Some("\n") if self.more_breaks.is_empty() => value.push(' '),
            Some("\n") => value.push_str(&self.more_breaks),
            Some(separator) => {
                value.push_str(separator);
                value.push_str(&self.more_breaks);
            }
        }
        self.blanks.clear();
        self.more_breaks.clear();
    }

    fn add_break(&mut self, text: &'static str) {
        if self.first_break.is_none() {
            self.blanks.clear();
            self.first_break = Some(text);
        } else {
            self.more_breaks.push_str(text);
        }
    }
}

/// The bytes that neither end a plain or quoted scalar nor need a second look.
const PLAIN: [bool; 256] = {
    let mut table = [true; 256];
    let mut special = b"\0\n\r \t:,?[]{}\"'\\\xC2\xE2".as_slice();
    while let [byte, rest @ ..] = special {
        table[*byte as usize] = false;
        special = rest;
    }
    table
};

#[derive(Clone, Copy, PartialEq)]
enum Chomp {
    Strip,
    Clip,
    Keep,
}

impl<'a> Scanner<'a> {
    pub(super) fn fetch_plain(&mut self) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.cursor.mark();
        let value = self.scan_plain(start)?;
        self.push_scalar(value, true, start)
    }

    /// Pushes a scalar of one line, and with it what its `:` will make of it if that follows.
    fn push_scalar(
        &mut self,
        value: Cow<'a, str>,
        is_plain: bool,
        start: Mark,
    ) -> Result<(), Error> {
        let is_key = self.cursor.peek(0) == b':' && self.cursor.is_blank_break_or_end(1);
        if is_key && self.in_block() && self.take_simple_key(start)? {
            self.push(Kind::Scalar { value, is_plain }, start);
            self.push_indicator(Kind::Value, false);
            return Ok(());
        }
        self.push(Kind::Scalar { value, is_plain }, start);
        Ok(())
    }

    fn scan_plain(&mut self, start: Mark) -> Result<Cow<'a, str>, Error> {
        let mut value = Cow::Borrowed("");
        let mut gap = Gap::default();
        let mut on_new_line = false;
        loop {
            if self.cursor.is_document_indicator() || self.cursor.peek(0) == b'#' {
                break;
            }
            let piece = self.take_plain_piece();
            if !piece.is_empty() {
                if value.is_empty() {
                    value = Cow::Borrowed(piece);
                } else {
                    gap.fold_into(value.to_mut());
                    value.to_mut().push_str(piece);
                }
                on_new_line = false;
            }
            if !(self.cursor.is_blank(0) || self.cursor.is_break(0)) {
                break;
            }
            self.scan_plain_gap(start, &mut gap, &mut on_new_line)?;
            if self.in_block() && self.cursor.column() <= self.indent {
                break;
            }
        }
        // A scalar that ran on to the next line leaves room for a key there.
        if on_new_line {
            self.simple_key_allowed = true;
        }
        Ok(value)
    }

    /// Takes characters up to an indicator, a comment or the end of the line; blanks inside are
    /// taken along, so that a value on one line is one slice of the text.
    fn take_plain_piece(&mut self) -> &'a str {
        let from = self.cursor.pos();
        let flow = !self.in_block();
        loop {
            self.cursor.skip_run(|byte| PLAIN[usize::from(byte)]);
            let byte = self.cursor.peek(0);
            let ends = match byte {
                0 | b'\n' | b'\r' => true,
                b' ' | b'\t' => {
                    let count = self.count_blanks_inside_plain(flow);
                    self.cursor.skip_ascii(count);
                    if count > 0 {
                        continue;
                    }
                    true
                }
                b':' => self.cursor.is_blank_break_or_end(1),
                b',' | b'?' | b'[' | b']' | b'{' | b'}' => flow,
                0xC2 | 0xE2 => self.cursor.is_break(0),
                _ => false,
            };
            if ends {
                return self.cursor.slice(from);
            }
            self.cursor.skip();
        }
    }

    /// How many blanks stand here with more of the scalar after them on the same line?
    fn count_blanks_inside_plain(&self, flow: bool) -> usize {
        let mut ahead = 1;
        while self.cursor.is_blank(ahead) {
            ahead += 1;
        }
        let goes_on = match self.cursor.peek(ahead) {
            b'#' => false,
            b':' => !self.cursor.is_blank_break_or_end(ahead + 1),
            b',' | b'?' | b'[' | b']' | b'{' | b'}' => !flow,
            _ => !self.cursor.is_break_or_end(ahead),
        };
        if goes_on { ahead } else { 0 }
    }

    fn scan_plain_gap(
        &mut self,
        start: Mark,
        gap: &mut Gap,
        on_new_line: &mut bool,
    ) -> Result<(), Error> {
        loop {
            if *on_new_line {
                self.cursor.skip_spaces(usize::MAX);
            }
            if self.cursor.is_blank(0) {
                let inside_indent = self.cursor.column() <= self.indent;
                if *on_new_line && inside_indent && self.cursor.peek(0) == b'\t' {
                    let message = "found a tab character that violates indentation";
                    return Err(Error::scanner(self.cursor.mark(), start, message));
                }
                if !*on_new_line {
                    gap.blanks.push(char::from(self.cursor.peek(0)));
                }
                self.cursor.skip_ascii(1);
            } else if self.cursor.is_break(0) {
                gap.add_break(self.cursor.take_break());
                *on_new_line = true;
            } else {
                return Ok(());
            }
        }
    }

    pub(super) fn fetch_quoted(&mut self, single: bool) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.cursor.mark();
        self.cursor.skip_ascii(1);
        let value = self.scan_quoted(single, start)?;
        self.push_scalar(value, false, start)
    }

    fn scan_quoted(&mut self, single: bool, start: Mark) -> Result<Cow<'a, str>, Error> {
        let quote = if single { b'\'' } else { b'"' };
        let from = self.cursor.pos();
        if let Some(value) = self.take_simple_quoted(quote, from) {
            return Ok(Cow::Borrowed(value));
        }
        let mut value = self.cursor.slice(from).to_owned();
        let mut gap = Gap::default();
        loop {
            self.check_inside_quotes(start)?;
            let joined = self.scan_quoted_piece(single, start, &mut value)?;
            if self.cursor.peek(0) == quote {
                self.cursor.skip_ascii(1);
                return Ok(Cow::Owned(value));
            }
            self.scan_quoted_gap(joined, &mut gap);
            gap.fold_into(&mut value);
        }
    }

    fn scan_quoted_gap(&mut self, joined: bool, gap: &mut Gap) {
        if joined {
            // An escaped line break stands for nothing, and those after it for themselves.
            gap.first_break = Some("");
        }
        loop {
            if self.cursor.is_break(0) {
                gap.add_break(self.cursor.take_break());
            } else if self.cursor.is_blank(0) {
                if gap.first_break.is_none() {
                    gap.blanks.push(char::from(self.cursor.peek(0)));
                }
                self.cursor.skip_ascii(1);
            } else {
                return;
            }
        }
    }

    /// The common case: no escape and no line break before the closing quote. Leaves the cursor
    /// on the first character that makes it harder.
    fn take_simple_quoted(&mut self, quote: u8, from: usize) -> Option<&'a str> {
        loop {
            self.cursor.skip_run(|byte| PLAIN[usize::from(byte)]);
            match self.cursor.peek(0) {
                byte if byte == quote => {
                    if quote == b'\'' && self.cursor.peek(1) == b'\'' {
                        return None;
                    }
                    let value = self.cursor.slice(from);
                    self.cursor.skip_ascii(1);
                    return Some(value);
                }
                0 | b'\n' | b'\r' => return None,
                b'\\' if quote == b'"' => return None,
                b' ' | b'\t' => {
                    if !self.skip_quoted_blanks() {
                        return None;
                    }
                }
                0xC2 | 0xE2 if self.cursor.is_break(0) => return None,
                _ => self.cursor.skip(),
            }
        }
    }

    /// Steps over blanks unless a line break follows them.
    fn skip_quoted_blanks(&mut self) -> bool {
        let mut count = 0;
        while self.cursor.is_blank(count) {
            count += 1;
        }
        if self.cursor.is_break(count) {
            return false;
        }
        self.cursor.skip_ascii(count);
        true
    }

    fn check_inside_quotes(&self, start: Mark) -> Result<(), Error> {
        let message = if self.cursor.is_document_indicator() {
            "found unexpected document indicator"
        } else if self.cursor.at_end() {
            "found unexpected end of stream"
        } else {
            return Ok(());
        };
        Err(Error::scanner(self.cursor.mark(), start, message))
    }

    /// Scans up to a blank, a break or the quote. True after an escaped line break, which joins
    /// the lines without a space.
    fn scan_quoted_piece(
        &mut self,
        single: bool,
        start: Mark,
        value: &mut String,
    ) -> Result<bool, Error> {
        while !self.cursor.is_blank_break_or_end(0) {
            match self.cursor.peek(0) {
                b'\'' if single && self.cursor.peek(1) == b'\'' => {
                    value.push('\'');
                    self.cursor.skip_ascii(2);
                }
                b'\'' if single => break,
                b'"' if !single => break,
                b'\\' if !single && self.cursor.is_break(1) => {
                    self.cursor.skip_ascii(1);
                    self.cursor.take_break();
                    return Ok(true);
                }
                b'\\' if !single => self.scan_escape(start, value)?,
                _ => {
                    let from = self.cursor.pos();
                    self.cursor.skip();
                    self.cursor.skip_run(|byte| PLAIN[usize::from(byte)]);
                    value.push_str(self.cursor.slice(from));
                }
            }
        }
        Ok(false)
    }

    fn scan_escape(&mut self, start: Mark, value: &mut String) -> Result<(), Error> {
        let digit_count = match self.cursor.peek(1) {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            byte => {
                let fail = "found unknown escape character";
                let plain = simple_escape(byte)
                    .ok_or_else(|| Error::scanner(self.cursor.mark(), start, fail))?;
                value.push(plain);
                self.cursor.skip_ascii(2);
                return Ok(());
            }
        };
        self.cursor.skip_ascii(2);
        let mut code = 0u32;
        for ahead in 0..digit_count {
            let digit = char::from(self.cursor.peek(ahead)).to_digit(16).ok_or_else(|| {
                let message = "did not find expected hexdecimal number";
                Error::scanner(self.cursor.mark(), start, message)
            })?;
            code = code << 4 | digit;
        }
        value.push(char::from_u32(code).ok_or_else(|| {
            let message = "found invalid Unicode character escape code";
            Error::scanner(self.cursor.mark(), start, message)
        })?);
        self.cursor.skip_ascii(digit_count);
        Ok(())
    }

    pub(super) fn fetch_block_scalar(&mut self, literal: bool) -> Result<(), Error> {
        self.drop_simple_key()?;
        self.simple_key_allowed = true;
        let start = self.cursor.mark();
        self.cursor.skip_ascii(1);
        let (chomp, increment) = self.scan_block_header(start)?;
        let value = self.scan_block_lines(literal, chomp, increment, start)?;
        self.push(Kind::Scalar { value: Cow::Owned(value), is_plain: false }, start);
        Ok(())
    }

    /// `|`, `|-`, `|2`, `|2-` or `|-2`, then nothing but a comment.
    fn scan_block_header(&mut self, start: Mark) -> Result<(Chomp, i64), Error> {
        let (mut chomp, mut increment) = (None, None);
        for _ in 0..2 {
            match self.cursor.peek(0) {
                sign @ (b'+' | b'-') if chomp.is_none() => {
                    chomp = Some(if sign == b'+' { Chomp::Keep } else { Chomp::Strip });
                }
                b'0' if increment.is_none() => {
                    let message = "found an indentation indicator equal to 0";
                    return Err(Error::scanner(self.cursor.mark(), start, message));
                }
                digit @ b'1'..=b'9' if increment.is_none() => {
                    increment = Some(i64::from(digit - b'0'));
                }
                _ => break,
            }
            self.cursor.skip_ascii(1);
        }
        self.cursor.skip_blanks();
        if self.cursor.peek(0) == b'#' {
            self.cursor.skip_to_break();
        }
        if !self.cursor.is_break_or_end(0) {
            let message = "did not find expected comment or line break";
            return Err(Error::scanner(self.cursor.mark(), start, message));
        }
        self.cursor.skip_break();
        Ok((chomp.unwrap_or(Chomp::Clip), increment.unwrap_or(0)))
    }

    fn scan_block_lines(
        &mut self,
        literal: bool,
        chomp: Chomp,
        increment: i64,
        start: Mark,
    ) -> Result<String, Error> {
        let mut indent = if increment > 0 { self.indent.max(0) + increment } else { 0 };
        let mut value = String::new();
        let (mut line_break, mut more_breaks) = ("", String::new());
        let mut was_indented = false;
        self.scan_block_breaks(&mut indent, &mut more_breaks, start)?;
        while self.cursor.column() == indent && !self.cursor.at_end() {
            // Lines that start with a blank are never folded, nor the line after one.
            let is_indented = self.cursor.is_blank(0);
            if !literal && line_break == "\n" && !was_indented && !is_indented {
                if more_breaks.is_empty() {
                    value.push(' ');
                }
            } else {
                value.push_str(line_break);
            }
            value.push_str(&more_breaks);
            more_breaks.clear();
            was_indented = is_indented;
            let from = self.cursor.pos();
            self.cursor.skip_to_break();
            value.push_str(self.cursor.slice(from));
            line_break = if self.cursor.at_end() { "" } else { self.cursor.take_break() };
            self.scan_block_breaks(&mut indent, &mut more_breaks, start)?;
        }
        if chomp != Chomp::Strip {
            value.push_str(line_break);
        }
        if chomp == Chomp::Keep {
            value.push_str(&more_breaks);
        }
        Ok(value)
    }

    /// Steps over indentation and empty lines; with `indent` 0 the first line decides it.
    fn scan_block_breaks(
        &mut self,
        indent: &mut i64,
        breaks: &mut String,
        start: Mark,
    ) -> Result<(), Error> {
        let mut widest = 0;
        loop {
            let inside = |column: i64| *indent == 0 || column < *indent;
            self.cursor.skip_spaces(match *indent {
                0 => usize::MAX,
                indent => usize::try_from(indent - self.cursor.column()).unwrap_or(0),
            });
            widest = widest.max(self.cursor.column());
            if inside(self.cursor.column()) && self.cursor.peek(0) == b'\t' {
                let message = "found a tab character where an indentation space is expected";
                return Err(Error::scanner(self.cursor.mark(), start, message));
            }
            if !self.cursor.is_break(0) {
                break;
            }
            breaks.push_str(self.cursor.take_break());
        }
        if *indent == 0 {
            *indent = widest.max(self.indent + 1).max(1);
        }
        Ok(())
    }
}

fn simple_escape(byte: u8) -> Option<char> {
    Some(match byte {
        b'0' => '\0',
        b'a' => '\u{7}',
        b'b' => '\u{8}',
        b't' | b'\t' => '\t',
        b'n' => '\n',
        b'v' => '\u{b}',
        b'f' => '\u{c}',
        b'r' => '\r',
        b'e' => '\u{1b}',
        b' ' => ' ',
        b'"' => '"',
        b'\'' => '\'',
        b'\\' => '\\',
        b'N' => '\u{85}',
        b'_' => '\u{a0}',
        b'L' => '\u{2028}',
        b'P' => '\u{2029}',
        _ => return None,
    })
}
