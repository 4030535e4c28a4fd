//! JSON as Go's `encoding/json` reads it.
//!
//! Owns the grammar, its error texts and exact numbers. Knows nothing of YAML.
//! Start at [`from_str`].

use serde_json::{Map, Number, Value};

/// Says why a text is not JSON, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Where reading stopped, in bytes from the start of the text.
    pub offset: usize,
    message: String,
}

/// Reads a JSON text as Go's `json.Unmarshal` into an `interface{}` does, except that integers
/// stay integers: see [`crate::json::go_number_value`] for the step to Go's float64.
///
/// Of duplicate keys the last one wins; half a surrogate pair becomes U+FFFD; other numbers are
/// rounded correctly (which `serde_json` without its `float_roundtrip` does not do). Depth is
/// bound by [`crate::MAX_DEPTH`].
pub fn from_str(text: &str) -> Result<Value, Error> {
    let bytes = text.as_bytes();
    let mut reader = Reader { text, bytes, pos: 0, depth: 0, too_large: None };
    let value = reader.read_value("looking for beginning of value")?;
    reader.skip_white_space();
    if reader.pos < reader.bytes.len() {
        return Err(reader.unexpected("after top-level value"));
    }
    match reader.too_large {
        Some(error) => Err(error),
        None => Ok(value),
    }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    depth: usize,
    /// A number beyond float64. Go checks the grammar of the whole text first.
    too_large: Option<Error>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.pos += 1;
        }
    }

    fn fail(&self, message: String) -> Error {
        Error { offset: self.pos, message }
    }

    /// The error for the character (or the end) at the current place.
    fn unexpected(&self, context: &str) -> Error {
        let shown = match self.text[self.pos..].chars().next() {
            None => {
                // Go feeds its machine one more blank at the end; inside a word it is in the way.
                let in_word = context != "in string literal"
                    && (context.starts_with("in ") || context.ends_with("numeric literal"));
                return self.fail(match in_word {
                    true => format!("invalid character ' ' {context}"),
                    false => "unexpected end of JSON input".to_owned(),
                });
            }
            Some('\'') => r"'\''".to_owned(),
            Some('"') => "'\"'".to_owned(),
            // Go looks at bytes, so a longer character shows as its first one.
            Some(c) => {
                let first = char::from(self.bytes[self.pos]);
                match c {
                    '\n' => r"'\n'".to_owned(),
                    '\t' => r"'\t'".to_owned(),
                    '\r' => r"'\r'".to_owned(),
                    '\\' => r"'\\'".to_owned(),
                    '\u{7}' => r"'\a'".to_owned(),
                    '\u{8}' => r"'\b'".to_owned(),
                    '\u{b}' => r"'\v'".to_owned(),
                    '\u{c}' => r"'\f'".to_owned(),
                    c if c < ' ' || c == '\u{7f}' => format!("'\\x{:02x}'", u32::from(c)),
                    _ => format!("'{first}'"),
                }
            }
        };
        self.fail(format!("invalid character {shown} {context}"))
    }

    fn read_value(&mut self, context: &str) -> Result<Value, Error> {
        self.skip_white_space();
        match self.peek() {
            Some(b'{') => self.nested(Self::read_object),
            Some(b'[') => self.nested(Self::read_array),
            Some(b'"') => self.read_string().map(Value::String),
            Some(b't') => self.read_word("true", Value::Bool(true)),
            Some(b'f') => self.read_word("false", Value::Bool(false)),
            Some(b'n') => self.read_word("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.read_number(),
            _ => Err(self.unexpected(context)),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Error>) -> Result<Value, Error> {
        self.depth += 1;
        if self.depth > crate::MAX_DEPTH {
            return Err(self.fail("exceeded max depth".to_owned()));
        }
        self.pos += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn read_object(&mut self) -> Result<Value, Error> {
        let mut pairs = Map::new();
        self.skip_white_space();
        if self.peek() == Some(b'}') {
            self.pos += 1;
            return Ok(Value::Object(pairs));
        }
        loop {
            self.skip_white_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key = self.read_string()?;
            self.skip_white_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.pos += 1;
            let value = self.read_value("looking for beginning of value")?;
            pairs.insert(key, value);
            if self.is_closed(b'}', "after object key:value pair")? {
                return Ok(Value::Object(pairs));
            }
        }
    }

    fn read_array(&mut self) -> Result<Value, Error> {
        let mut items = Vec::new();
        self.skip_white_space();
        if self.peek() == Some(b']') {
            self.pos += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.read_value("looking for beginning of value")?);
            if self.is_closed(b']', "after array element")? {
                return Ok(Value::Array(items));
            }
        }
    }

    /// Steps over the closing bracket or a comma.
    fn is_closed(&mut self, bracket: u8, context: &str) -> Result<bool, Error> {
        self.skip_white_space();
        match self.peek() {
            Some(byte) if byte == bracket || byte == b',' => {
                self.pos += 1;
                Ok(byte == bracket)
            }
            _ => Err(self.unexpected(context)),
        }
    }

    fn read_word(&mut self, word: &str, value: Value) -> Result<Value, Error> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                let expected = char::from(expected);
                return Err(self.unexpected(&format!("in literal {word} (expecting '{expected}')")));
            }
            self.pos += 1;
        }
        Ok(value)
    }

    fn read_number(&mut self) -> Result<Value, Error> {
        let start = self.pos;
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.skip_digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        let mut is_float = false;
        if self.peek() == Some(b'.') {
            is_float = true;
            self.pos += 1;
            self.expect_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_float = true;
            self.pos += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.expect_digits("in exponent of numeric literal")?;
        }
        let text = &self.text[start..self.pos];
        if !is_float && text != "-0" {
            if let Ok(number) = text.parse::<i64>() {
                return Ok(Value::from(number));
            }
            if let Ok(number) = text.parse::<u64>() {
                return Ok(Value::from(number));
            }
        }
        match text.parse().ok().and_then(Number::from_f64) {
            Some(number) => Ok(Value::Number(number)),
            None => {
                let text = text.to_owned();
                let message =
                    format!("json: cannot unmarshal number {text} into Go value of type float64");
                let error = self.fail(message);
                self.too_large.get_or_insert(error);
                Ok(Value::Null)
            }
        }
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.pos += 1;
        }
    }

    fn expect_digits(&mut self, context: &str) -> Result<(), Error> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.unexpected(context));
        }
        self.skip_digits();
        Ok(())
    }

    fn read_string(&mut self) -> Result<String, Error> {
        self.pos += 1;
        let mut value = String::new();
        loop {
            let start = self.pos;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1F)) {
                self.pos += 1;
            }
            value.push_str(&self.text[start..self.pos]);
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(value);
                }
                Some(b'\\') => {
                    self.pos += 1;
                    self.read_escape(&mut value)?;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn read_escape(&mut self, value: &mut String) -> Result<(), Error> {
        let plain = match self.peek() {
            Some(b'u') => {
                self.pos += 1;
                let c = self.read_unicode()?;
                value.push(c);
                return Ok(());
            }
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(self.unexpected("in string escape code")),
        };
        value.push(plain);
        self.pos += 1;
        Ok(())
    }

    /// Four hex digits, and four more when they are half of a pair.
    fn read_unicode(&mut self) -> Result<char, Error> {
        let first = self.read_hex()?;
        if (0xD800..0xDC00).contains(&first) && self.bytes[self.pos..].starts_with(b"\\u") {
            let before_second = self.pos;
            self.pos += 2;
            let second = self.read_hex()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            // It stands for itself.
            self.pos = before_second;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn read_hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let digit =
                digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            code = code << 4 | digit;
            self.pos += 1;
        }
        Ok(code)
    }
}
