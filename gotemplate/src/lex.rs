//! Template text → tokens, as Go's lexer cuts them.
//!
//! Owns delimiters, trim markers and comments. Knows nothing of the grammar. Start at
//! [`Lexer::next_token`].

use std::borrow::Cow;

use memchr::memmem::Finder;

/// What opens and closes an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimiters {
    /// Opens an action, `{{`.
    pub left: String,
    /// Closes an action, `}}`.
    pub right: String,
}

impl Delimiters {
    /// The given delimiters.
    #[must_use]
    pub fn new(left: &str, right: &str) -> Self {
        Self { left: left.to_owned(), right: right.to_owned() }
    }
}

impl Default for Delimiters {
    fn default() -> Self {
        Self::new("{{", "}}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    Str,
    Text,
    Variable,
    // Keywords.
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

#[derive(Clone, Debug)]
pub(crate) struct Token<'a> {
    pub kind: TokenKind,
    pub pos: usize,
    pub text: Cow<'a, str>,
}

impl Token<'_> {
    fn is_keyword(&self) -> bool {
        use TokenKind::{
            Block, Break, Continue, Define, Dot, Else, End, If, Nil, Range, Template, With,
        };
        matches!(
            self.kind,
            Block
                | Break
                | Continue
                | Dot
                | Define
                | Else
                | End
                | If
                | Nil
                | Range
                | Template
                | With
        )
    }

    /// The token as error messages name it.
    pub(crate) fn describe(&self) -> String {
        if self.kind == TokenKind::Eof {
            return "EOF".to_owned();
        }
        if self.kind == TokenKind::Error {
            return self.text.clone().into_owned();
        }
        if self.is_keyword() {
            return format!("<{}>", self.text);
        }
        match self.text.char_indices().nth(10) {
            Some((cut, _)) if self.text.len() > 10 => {
                format!("{}...", crate::print::quote(&self.text[..cut]))
            }
            _ => crate::print::quote(&self.text),
        }
    }
}

fn keyword(word: &str) -> Option<TokenKind> {
    Some(match word {
        "block" => TokenKind::Block,
        "break" => TokenKind::Break,
        "continue" => TokenKind::Continue,
        "define" => TokenKind::Define,
        "else" => TokenKind::Else,
        "end" => TokenKind::End,
        "if" => TokenKind::If,
        "range" => TokenKind::Range,
        "nil" => TokenKind::Nil,
        "template" => TokenKind::Template,
        "with" => TokenKind::With,
        _ => return None,
    })
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];
const LEFT_COMMENT: &str = "/*";
const RIGHT_COMMENT: &str = "*/";

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

fn has_left_trim(text: &str) -> bool {
    text.starts_with('-') && text[1..].starts_with(SPACES)
}

fn has_right_trim(text: &str) -> bool {
    text.starts_with(SPACES) && text[1..].starts_with('-')
}

pub(crate) struct Lexer<'a> {
    input: &'a str,
    left: &'a str,
    right: &'a str,
    left_finder: Finder<'a>,
    pos: usize,
    start: usize,
    paren_depth: usize,
    inside: bool,
    failed: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a str, delimiters: &'a Delimiters) -> Self {
        Self {
            input,
            left: &delimiters.left,
            right: &delimiters.right,
            left_finder: Finder::new(&delimiters.left),
            pos: 0,
            start: 0,
            paren_depth: 0,
            inside: false,
            failed: false,
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn emit(&mut self, kind: TokenKind) -> Token<'a> {
        let token =
            Token { kind, pos: self.start, text: Cow::Borrowed(&self.input[self.start..self.pos]) };
        self.start = self.pos;
        token
    }

    fn error(&mut self, text: impl Into<String>) -> Token<'a> {
        self.failed = true;
        Token { kind: TokenKind::Error, pos: self.start, text: Cow::Owned(text.into()) }
    }

    /// The next token. After an error or the end, the end for ever.
    pub(crate) fn next_token(&mut self) -> Token<'a> {
        if self.failed {
            return Token { kind: TokenKind::Eof, pos: self.start, text: Cow::Borrowed("EOF") };
        }
        if self.inside { self.inside_action() } else { self.text() }
    }

    fn text(&mut self) -> Token<'a> {
        loop {
            let Some(offset) = self.left_finder.find(self.rest().as_bytes()) else {
                self.pos = self.input.len();
                let kind = if self.pos > self.start { TokenKind::Text } else { TokenKind::Eof };
                return self.emit(kind);
            };
            if offset > 0 {
                let delim = self.pos + offset;
                let text = &self.input[self.start..delim];
                let trims = has_left_trim(&self.input[delim + self.left.len()..]);
                let kept = if trims { text.trim_end_matches(SPACES).len() } else { text.len() };
                self.pos = self.start + kept;
                let token = self.emit(TokenKind::Text);
                self.pos = delim;
                self.start = delim;
                if kept > 0 {
                    return token;
                }
            }
            if let Some(token) = self.left_delim() {
                return token;
            }
        }
    }

    // `None`: it was a comment, and text goes on.
    fn left_delim(&mut self) -> Option<Token<'a>> {
        self.pos += self.left.len();
        let marker = if has_left_trim(self.rest()) { 2 } else { 0 };
        if self.rest()[marker..].starts_with(LEFT_COMMENT) {
            self.pos += marker;
            self.start = self.pos;
            return self.comment();
        }
        let token = self.emit(TokenKind::LeftDelim);
        self.inside = true;
        self.pos += marker;
        self.start = self.pos;
        self.paren_depth = 0;
        Some(token)
    }

    fn comment(&mut self) -> Option<Token<'a>> {
        self.pos += LEFT_COMMENT.len();
        let Some(end) = self.rest().find(RIGHT_COMMENT) else {
            return Some(self.error("unclosed comment"));
        };
        self.pos += end + RIGHT_COMMENT.len();
        let Some(trims) = self.at_right_delim() else {
            return Some(self.error("comment ends before closing delimiter"));
        };
        self.skip_right_delim(trims);
        self.start = self.pos;
        None
    }

    // Whether a right delimiter is here, and if so whether it trims.
    fn at_right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_trim(rest) && rest[2..].starts_with(self.right) {
            return Some(true);
        }
        rest.starts_with(self.right).then_some(false)
    }

    fn skip_right_delim(&mut self, trims: bool) {
        if trims {
            self.pos += 2;
        }
        self.pos += self.right.len();
        if trims {
            self.pos = self.input.len() - self.rest().trim_start_matches(SPACES).len();
        }
    }

    fn right_delim(&mut self, trims: bool) -> Token<'a> {
        if trims {
            self.pos += 2;
            self.start = self.pos;
        }
        self.pos += self.right.len();
        let token = self.emit(TokenKind::RightDelim);
        if trims {
            self.pos = self.input.len() - self.rest().trim_start_matches(SPACES).len();
            self.start = self.pos;
        }
        self.inside = false;
        token
    }

    fn inside_action(&mut self) -> Token<'a> {
        if let Some(trims) = self.at_right_delim() {
            if self.paren_depth == 0 {
                return self.right_delim(trims);
            }
            return self.error("unclosed left paren");
        }
        let Some(c) = self.bump() else { return self.error("unclosed action") };
        match c {
            c if is_space(c) => self.space(),
            '=' => self.emit(TokenKind::Assign),
            ':' if self.bump() == Some('=') => self.emit(TokenKind::Declare),
            ':' => self.error("expected :="),
            '|' => self.emit(TokenKind::Pipe),
            '"' => self.quoted('"', TokenKind::Str, "unterminated quoted string"),
            '\'' => self.quoted('\'', TokenKind::CharConstant, "unterminated character constant"),
            '`' => match self.rest().find('`') {
                Some(end) => {
                    self.pos += end + 1;
                    self.emit(TokenKind::RawString)
                }
                None => self.error("unterminated raw quoted string"),
            },
            '$' if self.at_terminator() => self.emit(TokenKind::Variable),
            '$' => self.name(TokenKind::Variable),
            // A point at the very end is a number to Go, and one that does not parse.
            '.' if self.peek().is_some_and(|c| !c.is_ascii_digit()) => {
                if self.at_terminator() {
                    self.emit(TokenKind::Dot)
                } else {
                    self.name(TokenKind::Field)
                }
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.pos = self.start;
                self.number()
            }
            c if is_alphanumeric(c) => self.identifier(),
            '(' => {
                self.paren_depth += 1;
                self.emit(TokenKind::LeftParen)
            }
            ')' if self.paren_depth == 0 => self.error("unexpected right paren"),
            ')' => {
                self.paren_depth -= 1;
                self.emit(TokenKind::RightParen)
            }
            c if c.is_ascii() && !c.is_ascii_control() => self.emit(TokenKind::Char),
            c => self.error(format!("unrecognized character in action: {}", describe_char(c))),
        }
    }

    fn space(&mut self) -> Token<'a> {
        while self.peek().is_some_and(is_space) {
            self.pos += 1;
        }
        // A trim marker takes the last space before it.
        let last = self.pos - 1;
        let rest = &self.input[last..];
        if has_right_trim(rest) && rest[2..].starts_with(self.right) {
            self.pos = last;
            if self.pos == self.start {
                return self.right_delim(true);
            }
        }
        self.emit(TokenKind::Space)
    }

    fn quoted(&mut self, quote: char, kind: TokenKind, unterminated: &str) -> Token<'a> {
        loop {
            let is_plain = |byte: &&u8| !matches!(**byte, b'\\' | b'\n' | b'"' | b'\'');
            self.pos += self.rest().as_bytes().iter().take_while(is_plain).count();
            match self.bump() {
                Some('\\') => {
                    if matches!(self.bump(), None | Some('\n')) {
                        return self.error(unterminated);
                    }
                }
                None | Some('\n') => return self.error(unterminated),
                Some(c) if c == quote => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn word(&mut self) {
        let is_plain = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        self.pos += self.rest().as_bytes().iter().take_while(is_plain).count();
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
    }

    fn name(&mut self, kind: TokenKind) -> Token<'a> {
        self.word();
        if self.at_terminator() { self.emit(kind) } else { self.bad_character() }
    }

    fn identifier(&mut self) -> Token<'a> {
        self.word();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let word = &self.input[self.start..self.pos];
        let kind = match word {
            "true" | "false" => TokenKind::Bool,
            word => keyword(word).unwrap_or(TokenKind::Identifier),
        };
        self.emit(kind)
    }

    fn bad_character(&mut self) -> Token<'a> {
        let c = self.peek().unwrap_or('\u{fffd}');
        self.error(format!("bad character {}", describe_char(c)))
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) if is_space(c) => true,
            Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with(self.right),
        }
    }

    fn number(&mut self) -> Token<'a> {
        if !self.scan_number() {
            return self.bad_number();
        }
        if matches!(self.peek(), Some('+' | '-')) {
            if !self.scan_number() || !self.input[..self.pos].ends_with('i') {
                return self.bad_number();
            }
            return self.emit(TokenKind::Complex);
        }
        self.emit(TokenKind::Number)
    }

    fn bad_number(&mut self) -> Token<'a> {
        let number = crate::print::quote(&self.input[self.start..self.pos]);
        self.error(format!("bad number syntax: {number}"))
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek().is_some_and(|c| set.contains(c));
        if found {
            self.pos += 1;
        }
        found
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        const HEX: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEX;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if digits == DECIMAL && self.accept("eE") || digits == HEX && self.accept("pP") {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.bump();
            return false;
        }
        true
    }
}

// Go's %#U.
fn describe_char(c: char) -> String {
    let code = u32::from(c);
    if crate::print::is_print(c) { format!("U+{code:04X} '{c}'") } else { format!("U+{code:04X}") }
}
