//! A quick way through documents of which little is wanted.
//!
//! Manifests are nearly all keys, plain values and block text. Of a document that holds nothing
//! else this reads what is wanted line by line, without tokens and nodes; on anything it does not
//! know for sure it gives up, and the whole way of `scan`, `parse` and `decode` decides, errors
//! included. Owns no rule of its own: what it accepts, the whole way reads as the same value
//! (`tests/it/skim.rs` and the fuzz target `yaml` compare them). Start at [`skim`].

mod value;

use memchr::{memchr, memchr3};
use serde_json::{Map, Value};

use crate::Part;
use crate::characters::{is_allowed, unusual_characters};
use crate::resolve::{Dialect, Resolved, resolve_plain};

/// Nesting and lengths of keys up to which no bound of the whole way can be met.
const MAX_FRAMES: usize = 60;
const MAX_KEY_LENGTH: usize = 500;

/// The wanted part of a document, if it is one mapping of the simple sort.
pub(crate) fn skim(text: &str, part: Part) -> Option<Value> {
    if !is_simple_text(text) {
        return None;
    }
    let mut skim = Skim { text, bytes: text.as_bytes(), at: 0, frames: Vec::new(), open: None };
    while let Some(column) = skim.next_line()? {
        if skim.frames.is_empty() {
            skim.push(Frame::mapping(column, part, None))?;
        }
        skim.read_line(column)?;
    }
    skim.finish()
}

/// Neither characters that YAML forbids nor line breaks other than `\n`.
fn is_simple_text(text: &str) -> bool {
    let is_simple =
        |c| is_allowed(c) && !matches!(c, '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    unusual_characters(text).all(|(_, c)| is_simple(c))
}

/// The bytes of keys that are one word.
const KEY: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut more = b"_./-".as_slice();
    while let [byte, rest @ ..] = more {
        table[*byte as usize] = true;
        more = rest;
    }
    table
};

/// A block collection that lines may still be added to.
struct Frame {
    column: usize,
    is_sequence: bool,
    /// What is wanted of a mapping.
    part: Part,
    /// Its key in the mapping around it, if it is wanted there.
    key: Option<String>,
    found: Map<String, Value>,
}

impl Frame {
    fn mapping(column: usize, part: Part, key: Option<String>) -> Self {
        Self { column, is_sequence: false, part, key, found: Map::new() }
    }

    fn sequence(column: usize) -> Self {
        Self { is_sequence: true, ..Self::mapping(column, Part::Nothing, None) }
    }
}

/// A key or `-` at the end of a line: its value is what is further in on the next one.
struct Open {
    /// The key, if its value is wanted, and what of it.
    wanted: Option<(String, Part)>,
}

struct Skim<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The collections around the current line, the outermost first.
    frames: Vec<Frame>,
    /// Belongs to the innermost of them.
    open: Option<Open>,
}

impl Skim<'_> {
    /// Goes to the first character of the next line that has content, and gives its column;
    /// `Some(None)` at the end.
    fn next_line(&mut self) -> Option<Option<usize>> {
        loop {
            let column = self.next_column()?;
            if self.peek(0) != Some(b'#') {
                return Some(column);
            }
            self.skip_line();
        }
    }

    /// The same, but a comment is content.
    fn next_column(&mut self) -> Option<Option<usize>> {
        loop {
            let start = self.at;
            self.skip_spaces();
            match self.peek(0) {
                None => return Some(None),
                Some(b'\n') => self.at += 1,
                Some(b'\t') => return None,
                Some(_) => return Some(Some(self.at - start)),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn skip_spaces(&mut self) {
        while self.peek(0) == Some(b' ') {
            self.at += 1;
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    }

    /// Whether a blank or the end of the line stands there; a tab is left to the whole way.
    fn is_space_or_end(&self, ahead: usize) -> bool {
        matches!(self.peek(ahead), None | Some(b' ' | b'\n'))
    }

    fn is_item(&self) -> bool {
        self.peek(0) == Some(b'-') && self.is_space_or_end(1)
    }

    fn push(&mut self, frame: Frame) -> Option<()> {
        (self.frames.len() < MAX_FRAMES).then(|| self.frames.push(frame))
    }

    fn column(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.column)
    }

    /// Finds the collection that a line in this column belongs to.
    fn settle(&mut self, column: usize, is_item: bool) -> Option<()> {
        let innermost = self.frames.last()?;
        let may_open = column > innermost.column
            // The items of a list may stand in the column of its key.
            || column == innermost.column && is_item && !innermost.is_sequence;
        if may_open {
            let wanted = self.open.take()?.wanted;
            return match (is_item, wanted) {
                (true, None) => self.push(Frame::sequence(column)),
                (false, None) => self.push(Frame::mapping(column, Part::Nothing, None)),
                (false, Some((key, part @ Part::Keys(_)))) => {
                    self.push(Frame::mapping(column, part, Some(key)))
                }
                (_, Some(_)) => None,
            };
        }
        self.close_open();
        while self.column() > column {
            self.pop();
        }
        // A list that stands in the column of its key ends with the next key.
        if !is_item && self.frames.last()?.is_sequence {
            self.pop();
        }
        let innermost = self.frames.last()?;
        (innermost.column == column && innermost.is_sequence == is_item).then_some(())
    }

    /// Nothing follows that could be the open value: it is null.
    fn close_open(&mut self) {
        if let Some(Open { wanted: Some((key, _)) }) = self.open.take() {
            self.found(key, Value::Null);
        }
    }

    fn found(&mut self, key: String, value: Value) {
        if let Some(frame) = self.frames.last_mut() {
            frame.found.insert(key, value);
        }
    }

    fn pop(&mut self) -> Option<Value> {
        let frame = self.frames.pop()?;
        let value = Value::Object(frame.found);
        match frame.key {
            None => Some(value),
            Some(key) => {
                self.found(key, value);
                None
            }
        }
    }

    fn finish(mut self) -> Option<Value> {
        self.close_open();
        while self.frames.len() > 1 {
            self.pop();
        }
        self.pop()
    }

    fn read_line(&mut self, column: usize) -> Option<()> {
        let is_item = self.is_item();
        let key_end = if is_item { None } else { self.key_end() };
        if let Some(end) = key_end {
            self.settle(column, false)?;
            return self.read_pair(end);
        }
        if is_item {
            self.settle(column, true)?;
            return self.read_items(column);
        }
        // A value on a line of its own.
        let open = self.open.take().filter(|_| column > self.column())?;
        self.read_value(open.wanted.map(|(key, _)| key))
    }

    /// Reads an item, and those that start inside it on the same line.
    fn read_items(&mut self, mut column: usize) -> Option<()> {
        loop {
            let dash = self.at;
            self.at += 1;
            self.skip_spaces();
            if self.at_line_end() {
                self.skip_line();
                self.open = Some(Open { wanted: None });
                return Some(());
            }
            column += self.at - dash;
            if let Some(end) = self.key_end() {
                self.push(Frame::mapping(column, Part::Nothing, None))?;
                return self.read_pair(end);
            }
            if !self.is_item() {
                return self.read_value(None);
            }
            self.push(Frame::sequence(column))?;
        }
    }

    /// At the end of the line, or at a comment; spaces were skipped.
    fn at_line_end(&self) -> bool {
        match self.peek(0) {
            None | Some(b'\n') => true,
            Some(b'#') => self.bytes[..self.at].ends_with(b" "),
            Some(_) => false,
        }
    }

    /// How long the quoted text is that starts here, if it ends on its line and has no escapes.
    fn quoted_length(&self) -> Option<usize> {
        let (quote, text) = self.bytes[self.at..].split_first()?;
        let end = memchr3(*quote, b'\\', b'\n', text)?;
        (text[end] == *quote).then_some(end + 2)
    }

    /// Where the `:` of a key is that starts here.
    fn key_end(&self) -> Option<usize> {
        let rest = &self.bytes[self.at..];
        let length = match rest.first()? {
            b'"' | b'\'' => self.quoted_length()?,
            b'-' => return None,
            _ => rest.iter().position(|byte| !KEY[usize::from(*byte)])?,
        };
        let is_key = rest.get(length) == Some(&b':')
            && (1..MAX_KEY_LENGTH).contains(&length)
            && self.is_space_or_end(length + 1);
        is_key.then_some(self.at + length)
    }

    /// Reads a key whose `:` is at `end`, and its value as far as it is on this line.
    fn read_pair(&mut self, end: usize) -> Option<()> {
        let part = self.frames.last()?.part;
        let key = &self.text[self.at..end];
        let text = match key.as_bytes()[0] {
            b'"' | b'\'' => &key[1..key.len() - 1],
            _ if is_text_key(key) => key,
            _ => return None,
        };
        let wanted = match part.below(text) {
            Part::Nothing => None,
            part => Some((text.to_owned(), *part)),
        };
        self.at = end + 1;
        self.skip_spaces();
        if self.at_line_end() {
            self.skip_line();
            self.open = Some(Open { wanted });
            return Some(());
        }
        self.read_value(wanted.map(|(key, _)| key))
    }
}

/// A plain key that is neither a number nor `yes`, `null` and the like.
fn is_text_key(key: &str) -> bool {
    let is_word = key.len() > "false".len() && key.as_bytes()[0].is_ascii_alphabetic();
    is_word || resolve_plain(key, Dialect::V2) == Resolved::Str
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Part = Part::Keys(&[
        ("kind", Part::All),
        ("metadata", Part::Keys(&[("name", Part::All), ("annotations", Part::All)])),
    ]);

    #[track_caller]
    fn skims(text: &str, wanted: &str) {
        let wanted: Value = serde_json::from_str(wanted).expect("JSON");
        assert_eq!(skim(text, HEAD), Some(wanted.clone()), "{text}");
        assert_eq!(whole(text), Ok(wanted), "{text}");
    }

    fn whole(text: &str) -> Result<Value, crate::Error> {
        let tree = crate::parse::parse(text, crate::MAX_DEPTH)?;
        crate::decode::Decoder::new(&tree, false, crate::MAX_DEPTH).decode(&HEAD)
    }

    #[test]
    fn usual_manifests_are_skimmed() {
        skims("# c\nkind: A\n\nspec: {}\n", r#"{"kind": "A"}"#);
        skims(
            "kind: A # c\nx:\n- a: 1\n  b: [] # d\n-\n- - 2\nz:\n  - c\nmetadata:",
            r#"{"kind": "A", "metadata": null}"#,
        );
        skims(
            "metadata:\n  name: \"a b\"\n  annotations:\nkind: 'B'\n",
            r#"{"kind": "B", "metadata": {"name": "a b", "annotations": null}}"#,
        );
        skims("a: |\n  x: [\n\n    y\nb: >-\n\n  z\nkind: 3\n", r#"{"kind": 3}"#);
        skims(
            "a: it goes\n  on, and - on\n\n  # c\nb: 'x\n\n c'' d'\nc: \"\\n\\\"\n y\"\nkind: no\n",
            r#"{"kind": false}"#,
        );
        skims(
            "kind: A\nkind: B\nmetadata:\n  name: x\nmetadata: {}\n",
            r#"{"kind": "B", "metadata": {}}"#,
        );
    }

    #[test]
    fn what_is_not_certain_is_left_to_the_whole_way() {
        for text in [
            "",
            "- a",
            "a: b: c",
            "a: b\n  c: d",
            "a: &x b",
            "a: *x",
            "a: !!str b",
            "? a",
            "<<: {}",
            "a: {b: c}",
            "a: \"\\x41\"",
            "a: 'b",
            "a: 'b' c",
            "a: .inf",
            "a: -.INF",
            "1: a",
            "null: a",
            "a: |2\n   b",
            "a: |\n    \n  b",
            "a:\n\tb: c",
            "a: b\n\tc",
            "a\u{2028}: b",
            "a: b\r\n",
            "...",
            "a: 'b\n--- c'",
            "kind:\n  a: b",
            "kind: |\n  a",
            "kind: 1.5",
            "kind: [a]",
            "a: [b c]",
            "a: [.inf]",
            "a: [b: c]",
            "a: [\"b\": c]",
            "a: [b,,c]",
        ] {
            assert_eq!(skim(text, HEAD), None, "{text:?}");
        }
    }
}
