//! Writes strings in each of the four styles, folding long lines as go-yaml v2 does.
//!
//! Owns quotes, escapes and block headers. Does not choose the style.
//! Start at [`Emitter::write_plain`].

use super::style::{is_break, is_printable};
use super::{Emitter, STEP};

impl Emitter {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn put_str(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    /// Copies a line break; the rare ones stay what they are.
    fn copy_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    pub(super) fn write_plain(&mut self, text: &str, indent: usize, is_simple_key: bool) {
        if !self.whitespace {
            self.put(' ');
        }
        // Plain text has neither breaks nor spaces at its ends.
        self.write_folded(text, indent, !is_simple_key, false);
        self.whitespace = false;
        self.indention = false;
    }

    /// Writes text on one line, or on several if it is too long: a single space after the
    /// margin becomes a line break.
    fn write_folded(&mut self, text: &str, indent: usize, may_fold: bool, quoted: bool) {
        // A byte is at most a character, so this text cannot reach the margin.
        let fits = self.column + text.len() <= self.width;
        if (fits || !may_fold) && !quoted {
            self.put_str(text);
            return;
        }
        let mut previous_space = false;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            let is_space = c == ' ';
            let at_edge = quoted && (rest.is_empty() || rest.len() + 1 == text.len());
            let folds = is_space
                && may_fold
                && !previous_space
                && self.column > self.width
                && !at_edge
                && !rest.starts_with(' ');
            if folds {
                self.write_indent(indent);
            } else {
                if quoted && c == '\'' {
                    self.put('\'');
                }
                self.put(c);
                self.indention &= is_space;
            }
            previous_space = is_space;
        }
    }

    /// Breaks other than `\n` may stand in single quotes; nothing else needs care there.
    pub(super) fn write_single_quoted(&mut self, text: &str, indent: usize, is_simple_key: bool) {
        self.write_indicator("'", false);
        let mut after_break = false;
        for piece in text.split_inclusive(is_break) {
            let line = piece.trim_end_matches(is_break);
            if after_break && !line.is_empty() {
                self.write_indent(indent);
            }
            self.write_folded(line, indent, !is_simple_key, true);
            if let Some(c) = piece[line.len()..].chars().next() {
                self.copy_break(c);
                self.indention = true;
                after_break = true;
            }
        }
        self.put('\'');
        self.whitespace = false;
        self.indention = false;
    }

    pub(super) fn write_double_quoted(&mut self, text: &str, indent: usize, is_simple_key: bool) {
        self.write_indicator("\"", false);
        // go-yaml asks for the mark at the start of the text whichever character it is at.
        let escapes_all = text.starts_with('\u{feff}');
        let mut previous_space = false;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let is_first = rest.len() == text.len();
            rest = &rest[c.len_utf8()..];
            let is_space = c == ' ' && !escapes_all;
            if escapes_all || !is_printable(c) || is_break(c) || matches!(c, '"' | '\\') {
                self.put_escape(c);
            } else if is_space
                && !is_simple_key
                && !previous_space
                && self.column > self.width
                && !is_first
                && !rest.is_empty()
            {
                self.write_indent(indent);
                if rest.starts_with(' ') {
                    self.put('\\');
                }
            } else {
                self.put(c);
            }
            previous_space = is_space;
        }
        self.put('"');
        self.whitespace = false;
        self.indention = false;
    }

    fn put_escape(&mut self, c: char) {
        let code = u32::from(c);
        let short = match c {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{a0}' => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ => {
                self.put_str(&match code {
                    0..=0xFF => format!("\\x{code:02X}"),
                    0x100..=0xFFFF => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                });
                return;
            }
        };
        self.put('\\');
        self.put(short);
    }

    pub(super) fn write_literal(&mut self, text: &str, indent: usize) {
        self.write_indicator("|", false);
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.put_str(&STEP.to_string());
        }
        let mut from_end = text.chars().rev();
        match (from_end.next().is_some_and(is_break), from_end.next()) {
            (false, _) => self.put('-'),
            (true, None) => self.put('+'),
            (true, Some(before)) if is_break(before) => self.put('+'),
            (true, Some(_)) => {}
        }
        self.put_break();
        self.indention = true;
        self.whitespace = true;
        for piece in text.split_inclusive(is_break) {
            let line = piece.trim_end_matches(is_break);
            if !line.is_empty() {
                self.write_indent(indent);
                self.put_str(line);
                self.indention = false;
            }
            if let Some(c) = piece[line.len()..].chars().next() {
                self.copy_break(c);
                self.indention = true;
            }
        }
    }
}
