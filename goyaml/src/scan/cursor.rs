//! Walks over the characters of a text and keeps count of line and column.
//!
//! Owns the classes of characters YAML 1.1 knows. Knows nothing of tokens.
//! Start at [`Cursor::skip`].

use crate::error::Mark;

/// A place in a text, and what stands there. Past the end every byte reads as 0, which a YAML
/// text cannot contain.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    mark: Mark,
}

impl<'a> Cursor<'a> {
    /// A byte order mark in front says how the text is encoded and is no part of it.
    pub(crate) fn new(text: &'a str) -> Cursor<'a> {
        let pos = text.len() - text.strip_prefix('\u{feff}').unwrap_or(text).len();
        Cursor { text, bytes: text.as_bytes(), pos, mark: Mark::default() }
    }

    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    pub(crate) fn column(&self) -> i64 {
        i64::from(self.mark.column)
    }

    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// The byte `ahead` of the current one, 0 past the end.
    pub(crate) fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.pos + ahead).copied().unwrap_or(0)
    }

    pub(crate) fn slice(&self, from: usize) -> &'a str {
        &self.text[from..self.pos]
    }

    pub(crate) fn at_end(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    pub(crate) fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.peek(ahead), b' ' | b'\t')
    }

    pub(crate) fn is_break(&self, ahead: usize) -> bool {
        match self.peek(ahead) {
            b'\n' | b'\r' => true,
            // next line, line separator, paragraph separator
            0xC2 => self.peek(ahead + 1) == 0x85,
            0xE2 => self.peek(ahead + 1) == 0x80 && matches!(self.peek(ahead + 2), 0xA8 | 0xA9),
            _ => false,
        }
    }

    pub(crate) fn is_break_or_end(&self, ahead: usize) -> bool {
        match self.peek(ahead) {
            0 | b'\n' | b'\r' => true,
            0xC2 | 0xE2 => self.is_break(ahead),
            _ => false,
        }
    }

    pub(crate) fn is_blank_break_or_end(&self, ahead: usize) -> bool {
        match self.peek(ahead) {
            0 | b'\n' | b'\r' | b' ' | b'\t' => true,
            0xC2 | 0xE2 => self.is_break(ahead),
            _ => false,
        }
    }

    /// Letters, digits, `_` and `-`: what anchors and tag handles are made of.
    pub(crate) fn is_word(&self, ahead: usize) -> bool {
        let byte = self.peek(ahead);
        byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
    }

    pub(crate) fn is_byte_order_mark(&self) -> bool {
        self.peek(0) == 0xEF && self.peek(1) == 0xBB && self.peek(2) == 0xBF
    }

    /// Does the line start with `---` or `...` on its own?
    pub(crate) fn is_document_indicator(&self) -> bool {
        let first = self.peek(0);
        self.mark.column == 0
            && matches!(first, b'-' | b'.')
            && self.peek(1) == first
            && self.peek(2) == first
            && self.is_blank_break_or_end(3)
    }

    /// Steps over one character that is not a line break.
    pub(crate) fn skip(&mut self) {
        self.pos += char_width(self.peek(0));
        self.mark.index += 1;
        self.mark.column += 1;
    }

    /// Steps over `count` ASCII characters.
    pub(crate) fn skip_ascii(&mut self, count: usize) {
        self.pos += count;
        self.mark.index += count;
        self.mark.column += count as u32;
    }

    /// Steps over at most `limit` spaces.
    pub(crate) fn skip_spaces(&mut self, limit: usize) {
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        let rest = &rest[..limit.min(rest.len())];
        let eights = rest.chunks_exact(8).take_while(|eight| *eight == b"        ").count() * 8;
        let ones = rest[eights..].iter().take_while(|byte| **byte == b' ').count();
        self.skip_ascii(eights + ones);
    }

    pub(crate) fn skip_blanks(&mut self) {
        while self.is_blank(0) {
            self.skip_ascii(1);
        }
    }

    pub(crate) fn skip_to_break(&mut self) {
        loop {
            self.skip_run(|byte| !matches!(byte, 0 | b'\n' | b'\r' | 0xC2 | 0xE2));
            if self.is_break_or_end(0) {
                return;
            }
            self.skip();
        }
    }

    /// Steps over the bytes that `is_inside` takes, in one go. It must take the bytes that go on
    /// with a character (0x80 to 0xBF).
    pub(crate) fn skip_run(&mut self, is_inside: impl Fn(u8) -> bool) {
        let rest = &self.bytes[self.pos.min(self.bytes.len())..];
        let width = rest.iter().position(|byte| !is_inside(*byte)).unwrap_or(rest.len());
        // Bytes that go on with a character start none.
        let count = rest[..width].iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        self.pos += width;
        self.mark.index += count;
        self.mark.column += count as u32;
    }

    /// Steps over one line break and says what it stands for in a value.
    pub(crate) fn take_break(&mut self) -> &'static str {
        let (width, text) = match self.peek(0) {
            b'\r' if self.peek(1) == b'\n' => (2, "\n"),
            b'\r' | b'\n' => (1, "\n"),
            0xC2 => (2, "\n"),
            _ if self.peek(2) == 0xA8 => (3, "\u{2028}"),
            _ => (3, "\u{2029}"),
        };
        self.pos += width;
        self.mark.index += if width == 2 && self.bytes[self.pos - 2] == b'\r' { 2 } else { 1 };
        self.mark.line += 1;
        self.mark.column = 0;
        text
    }

    pub(crate) fn skip_break(&mut self) {
        if self.is_break(0) {
            self.take_break();
        }
    }

    /// At the end of the text the last line counts as ended.
    pub(crate) fn end_line(&mut self) {
        if self.mark.column != 0 {
            self.mark.column = 0;
            self.mark.line += 1;
        }
    }
}

fn char_width(first: u8) -> usize {
    match first {
        0..=0x7F => 1,
        0x80..=0xDF => 2,
        0xE0..=0xEF => 3,
        _ => 4,
    }
}
