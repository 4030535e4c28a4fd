//! Writes JSON values as YAML, byte for byte as go-yaml does.
//!
//! Owns layout: indentation, line folding, block scalars, complex keys. Which style a string gets
//! is decided in `style`, the order of keys in `order`. Start at [`Emitter::write_document`].

mod order;
mod roundtrip;
mod scalar;
mod style;

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use crate::error::Error;
use crate::number::{format_g, format_json};
use crate::resolve::Dialect;
use order::sort_keys;
use roundtrip::pass_through_json;
use style::{Style, is_multi_line};

/// Keys longer than this many bytes are written as `? key`.
const SIMPLE_KEY_BYTES: usize = 128;
/// v2 folds lines at a space after this column; v3 never does.
const V2_WIDTH: usize = 80;
const STEP: usize = 2;

/// Where a node stands, which decides how a collection in it is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Item,
    Value,
}

pub(crate) struct Emitter {
    out: String,
    dialect: Dialect,
    width: usize,
    /// Characters on the current line.
    column: usize,
    /// The last thing written was white space or an opening indicator.
    whitespace: bool,
    /// Nothing but indentation and `-`, `?`, `:` indicators stands on this line so far.
    indention: bool,
    /// What Go's way through JSON would not have survived.
    refused: Option<Error>,
}

impl Emitter {
    pub(crate) fn new(dialect: Dialect) -> Emitter {
        let width = if dialect == Dialect::V2 { V2_WIDTH } else { usize::MAX };
        Emitter {
            out: String::with_capacity(256),
            dialect,
            width,
            column: 0,
            whitespace: true,
            indention: true,
            refused: None,
        }
    }

    /// Writes one document with the line break at its end, and says what Go would not write.
    pub(crate) fn write_document(mut self, value: &Value) -> (String, Option<Error>) {
        self.write_node(value, 0, Place::Root);
        self.write_indent(0);
        (self.out, self.refused)
    }

    /// `indent` is the column of the collection that the node is in.
    fn write_node(&mut self, value: &Value, indent: usize, place: Place) {
        // Text that goes on on further lines is indented once more, in the root as well.
        let inner = indent + STEP;
        match value {
            Value::Null => self.write_plain("null", inner, false),
            Value::Bool(flag) => {
                self.write_plain(if *flag { "true" } else { "false" }, inner, false)
            }
            Value::Number(number) => {
                let text = number_text(number, self.dialect);
                self.write_plain(&text, inner, false);
            }
            Value::String(text) => {
                let text = self.through_json(text, false);
                self.write_string(&text, inner, false);
            }
            Value::Array(items) if items.is_empty() => self.write_indicator("[]", false),
            Value::Object(pairs) if pairs.is_empty() => self.write_indicator("{}", false),
            Value::Array(items) => {
                // v2 puts the dashes of a list under the key it belongs to.
                let bare = place == Place::Value && !self.indention && self.dialect == Dialect::V2;
                let indent = if place == Place::Root || bare { indent } else { inner };
                self.write_sequence(items, indent);
            }
            Value::Object(pairs) => {
                let indent = if place == Place::Root { indent } else { inner };
                self.write_mapping(pairs, indent);
            }
        }
    }

    fn write_sequence(&mut self, items: &[Value], indent: usize) {
        for item in items {
            self.write_indent(indent);
            self.write_indicator("-", true);
            self.write_node(item, indent, Place::Item);
        }
    }

    /// v2 gets the text out of JSON that was read as YAML; says what is left of it.
    fn through_json<'t>(&mut self, text: &'t str, is_key: bool) -> Cow<'t, str> {
        if self.dialect == Dialect::V3 {
            return Cow::Borrowed(text);
        }
        let (text, error) = pass_through_json(text, is_key);
        if self.refused.is_none() {
            self.refused = error;
        }
        text
    }

    fn write_mapping(&mut self, pairs: &Map<String, Value>, indent: usize) {
        let mut keys: Vec<(&str, &Value)> =
            pairs.iter().map(|(key, value)| (key.as_str(), value)).collect();
        sort_keys(&mut keys, self.dialect);
        for (key, value) in keys {
            let key: &str = &self.through_json(key, true);
            self.write_indent(indent);
            if key.len() <= SIMPLE_KEY_BYTES && !is_multi_line(key) {
                self.write_string(key, indent + STEP, true);
                self.write_colon();
            } else {
                self.write_indicator("?", true);
                self.write_string(key, indent + STEP, false);
                self.write_indent(indent);
                self.write_indicator(":", true);
            }
            self.write_node(value, indent, Place::Value);
        }
    }

    /// Goes to column `indent`, on a new line unless only indentation stands on this one.
    fn write_indent(&mut self, indent: usize) {
        let full = self.column > indent || (self.column == indent && !self.whitespace);
        if !self.indention || full {
            self.put_break();
        }
        while self.column < indent {
            self.out.push(' ');
            self.column += 1;
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn put_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn write_indicator(&mut self, indicator: &str, keeps_indention: bool) {
        if !self.whitespace {
            self.out.push(' ');
            self.column += 1;
        }
        self.out.push_str(indicator);
        self.column += indicator.len();
        self.whitespace = false;
        self.indention &= keeps_indention;
    }

    /// The `:` right behind a simple key.
    fn write_colon(&mut self) {
        self.out.push(':');
        self.column += 1;
        self.whitespace = false;
        self.indention = false;
    }

    /// `indent` is where further lines of the text start.
    fn write_string(&mut self, text: &str, indent: usize, is_simple_key: bool) {
        match Style::of(text, is_simple_key, self.dialect) {
            Style::Plain => self.write_plain(text, indent, is_simple_key),
            Style::SingleQuoted => self.write_single_quoted(text, indent, is_simple_key),
            Style::DoubleQuoted => self.write_double_quoted(text, indent, is_simple_key),
            Style::Literal => self.write_literal(text, indent),
        }
    }
}

/// v2 sees numbers after they went through JSON, v3 sees Go's own.
fn number_text(number: &Number, dialect: Dialect) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    let Some(float) = number.as_f64() else { return number.to_string() };
    if dialect == Dialect::V2 {
        let text = format_json(float);
        if let Ok(whole) = text.parse::<i64>() {
            return whole.to_string();
        }
        if let Ok(whole) = text.parse::<u64>() {
            return whole.to_string();
        }
    }
    format_g(float)
}
