//! Skims values: plain, quoted, empty collections, block text.
//!
//! Start at [`Skim::read_value`].

use memchr::memchr3;
use serde_json::{Map, Value};

use super::{KEY, Skim};
use crate::resolve::{Dialect, Resolved, resolve_plain};

impl Skim<'_> {
    /// Reads the value that starts here, and keeps it under the key.
    pub(super) fn read_value(&mut self, key: Option<String>) -> Option<()> {
        let value = match self.peek(0)? {
            b'|' | b'>' => {
                self.skip_block_scalar().filter(|()| key.is_none()).map(|()| Value::Null)
            }
            quote @ (b'"' | b'\'') => self.read_quoted(quote, key.is_some()),
            b'{' => self.read_empty_mapping(),
            b'[' => self.read_list(key.is_some()),
            _ => self.read_plain(key.is_some()),
        }?;
        if let Some(key) = key {
            self.found(key, value);
        }
        Some(())
    }

    /// Nothing more on this line, and on to the next.
    fn end_line(&mut self) -> Option<()> {
        self.skip_spaces();
        if !self.at_line_end() {
            return None;
        }
        self.skip_line();
        Some(())
    }

    fn read_empty_mapping(&mut self) -> Option<Value> {
        if self.peek(1)? != b'}' {
            return None;
        }
        self.at += 2;
        self.end_line()?;
        Some(Value::Object(Map::new()))
    }

    /// A list of words and quoted texts on one line; nothing is wanted of what is in it.
    fn read_list(&mut self, wanted: bool) -> Option<Value> {
        let mut is_empty = true;
        self.at += 1;
        loop {
            self.skip_spaces();
            let rest = &self.bytes[self.at..];
            self.at += match rest.first()? {
                b']' => break,
                b'"' | b'\'' => self.quoted_length()?,
                byte if byte.is_ascii_alphanumeric() => {
                    rest.iter().position(|byte| !KEY[usize::from(*byte)])?
                }
                _ => return None,
            };
            is_empty = false;
            self.skip_spaces();
            match self.peek(0)? {
                b',' => self.at += 1,
                b']' => break,
                _ => return None,
            }
        }
        self.at += 1;
        self.end_line()?;
        (is_empty || !wanted).then(|| Value::Array(Vec::new()))
    }

    fn skip_block_scalar(&mut self) -> Option<()> {
        let outer = self.column();
        self.at += 1;
        if let Some(b'+' | b'-') = self.peek(0) {
            self.at += 1;
        }
        self.end_line()?;
        // The first line that is not empty says how far in the text is.
        let (mut indent, mut widest_blank) = (None, 0);
        loop {
            let start = self.at;
            let wanted = indent.unwrap_or(usize::MAX);
            while self.at - start < wanted && self.peek(0) == Some(b' ') {
                self.at += 1;
            }
            let column = self.at - start;
            match self.peek(0) {
                None => return Some(()),
                Some(b'\n') => {
                    widest_blank = widest_blank.max(column);
                    self.at += 1;
                }
                Some(_) if indent.is_some_and(|indent| column >= indent) => self.skip_line(),
                Some(b'\t') => return None,
                Some(_) if indent.is_none() && column > outer => {
                    if widest_blank > column {
                        return None;
                    }
                    indent = Some(column);
                    self.skip_line();
                }
                Some(_) => {
                    self.at = start;
                    return Some(());
                }
            }
        }
    }

    fn read_quoted(&mut self, quote: u8, wanted: bool) -> Option<Value> {
        self.at += 1;
        let start = self.at;
        let mut is_simple = true;
        loop {
            let rest = &self.bytes[self.at..];
            let other = if quote == b'"' { b'\\' } else { quote };
            self.at += memchr3(quote, other, b'\n', rest)? + 1;
            match (self.bytes[self.at - 1], self.peek(0)) {
                // Perhaps the end of the document.
                (b'\n', Some(b'-' | b'.')) => return None,
                (b'\n', _) => is_simple = false,
                (b'\'', Some(b'\'')) | (b'\\', Some(b'n' | b't' | b'r' | b'0' | b'"' | b'\\')) => {
                    is_simple = false;
                    self.at += 1;
                }
                (b'\\', _) => return None,
                _ => break,
            }
        }
        let value = match (wanted, is_simple) {
            (true, true) => Value::from(&self.text[start..self.at - 1]),
            (true, false) => return None,
            (false, _) => Value::Null,
        };
        self.end_line()?;
        Some(value)
    }

    fn read_plain(&mut self, wanted: bool) -> Option<Value> {
        if !self.starts_plain() {
            return None;
        }
        let start = self.at;
        let end = self.skip_plain_line()?;
        let text = self.text[start..end].trim_ascii_end();
        let value = match wanted {
            true => plain_value(text)?,
            false if is_not_in_json(text) => return None,
            false => Value::Null,
        };
        if self.bytes.get(end) != Some(&b'#') && self.skip_plain_rest()? && wanted {
            return None;
        }
        Some(value)
    }

    /// Indicators, and what only some of them may follow, are left to the whole way.
    fn starts_plain(&self) -> bool {
        match self.bytes[self.at] {
            b'-' => !self.is_space_or_end(1) && self.peek(1) != Some(b'\t'),
            byte => {
                byte.is_ascii_alphanumeric() || byte >= 0x80 || b"_/($^\\.+=~;)".contains(&byte)
            }
        }
    }

    /// To the next line; gives where the text ends on this one: at its end, or at a comment.
    fn skip_plain_line(&mut self) -> Option<usize> {
        loop {
            let rest = &self.bytes[self.at..];
            let Some(found) = memchr3(b':', b'#', b'\n', rest) else {
                self.at = self.bytes.len();
                return Some(self.at);
            };
            self.at += found + 1;
            let place = self.at - 1;
            match self.bytes[place] {
                b'\n' => return Some(place),
                b':' if self.is_space_or_end(0) || self.peek(0) == Some(b'\t') => return None,
                b'#' if matches!(self.bytes[place - 1], b' ' | b'\t') => {
                    self.skip_line();
                    return Some(place);
                }
                _ => {}
            }
        }
    }

    /// The lines that a plain scalar runs on to; whether there are any.
    fn skip_plain_rest(&mut self) -> Option<bool> {
        let outer = self.column();
        let mut goes_on = false;
        loop {
            let start = self.at;
            let column = self.next_column()?;
            if column.is_none_or(|column| column <= outer) || self.peek(0) == Some(b'#') {
                // Comments are skipped by whoever reads the next line.
                self.at = start;
                return Some(goes_on);
            }
            goes_on = true;
            let end = self.skip_plain_line()?;
            if self.bytes.get(end) == Some(&b'#') {
                return Some(true);
            }
        }
    }
}

/// Infinities and what is no number: they start with a sign or a point.
fn is_not_in_json(text: &str) -> bool {
    matches!(text.as_bytes()[0], b'.' | b'+' | b'-')
        && matches!(resolve_plain(text, Dialect::V2), Resolved::Float(number) if !number.is_finite())
}

fn plain_value(text: &str) -> Option<Value> {
    Some(match resolve_plain(text, Dialect::V2) {
        Resolved::Null => Value::Null,
        Resolved::Bool(flag) => Value::Bool(flag),
        Resolved::Int(number) => Value::from(number),
        Resolved::Uint(number) => Value::from(number),
        Resolved::Timestamp | Resolved::Str => Value::from(text),
        Resolved::Float(_) => return None,
    })
}
