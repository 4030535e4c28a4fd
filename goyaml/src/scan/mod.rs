//! Cuts a text into the tokens of YAML 1.1, one at a time.
//!
//! Owns indentation and the question "is this a key?", which a `:` further on decides. Knows
//! nothing of nodes, types or Go values. The rules are those of go-yaml v2.4, which reads what
//! YAML 1.1 allows less some and plus some. Start at [`Scanner::peek`].

mod cursor;
mod property;
mod scalar;

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::error::{Error, Mark};
use cursor::Cursor;

/// How many characters after its start a `:` may make something a key.
const SIMPLE_KEY_LENGTH: usize = 1024;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind<'a> {
    StreamEnd,
    VersionDirective { major: u8, minor: u8 },
    TagDirective { handle: &'a str, prefix: String },
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    Tag { handle: &'a str, suffix: String },
    Scalar { value: Cow<'a, str>, is_plain: bool },
}

#[derive(Clone, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) mark: Mark,
}

/// Something that turns out to be a key if a `:` follows soon enough.
#[derive(Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    /// In block style, at the indentation of the mapping, nothing but a key may stand.
    required: bool,
    /// go-yaml v2 loses track of a key that is an empty flow collection: its `:` is read, but too
    /// late to put a key in front of tokens that were handed out already.
    forgotten: bool,
    token_number: usize,
    mark: Mark,
}

impl SimpleKey {
    /// Is `colon` near enough to make a key of it?
    fn reaches(&self, colon: Mark) -> bool {
        self.mark.line == colon.line && colon.index <= self.mark.index + SIMPLE_KEY_LENGTH
    }
}

pub(crate) struct Scanner<'a> {
    cursor: Cursor<'a>,
    queue: VecDeque<Token<'a>>,
    taken_count: usize,
    /// The first token of the queue is certain; nothing was read since that was found out.
    head_is_certain: bool,
    stream_ended: bool,
    simple_key_allowed: bool,
    /// One per flow level, and one for block style.
    simple_keys: Vec<SimpleKey>,
    indent: i64,
    indents: Vec<i64>,
    max_depth: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, max_depth: usize) -> Scanner<'a> {
        Scanner {
            cursor: Cursor::new(text),
            queue: VecDeque::with_capacity(8),
            taken_count: 0,
            head_is_certain: false,
            stream_ended: false,
            simple_key_allowed: true,
            simple_keys: vec![SimpleKey::default()],
            indent: -1,
            indents: Vec::new(),
            max_depth,
        }
    }

    /// How far into the text it was necessary to look, counted in bytes: up to what tells a
    /// document's end (`--- `) from a token.
    pub(crate) fn reach(&self) -> usize {
        self.cursor.pos() + "--- ".len()
    }

    /// The next token, which stays where it is.
    pub(crate) fn peek(&mut self) -> Result<&Token<'a>, Error> {
        self.fill()?;
        Ok(&self.queue[0])
    }

    /// Takes the next token out. After the end of the stream there is only that, again and again.
    pub(crate) fn take(&mut self) -> Result<Token<'a>, Error> {
        self.fill()?;
        if self.queue.len() == 1 && matches!(self.queue[0].kind, Kind::StreamEnd) {
            return Ok(self.queue[0].clone());
        }
        self.taken_count += 1;
        self.head_is_certain = false;
        Ok(self.queue.pop_front().expect("fill() leaves a token in the queue"))
    }

    /// Reads on until the first token is certain, that is: no `:` can still put a key before it.
    #[inline]
    fn fill(&mut self) -> Result<(), Error> {
        // In block style only what was read last can still become a key.
        let is_settled = self.in_block() && !self.simple_keys[0].possible;
        if self.head_is_certain || is_settled && !self.queue.is_empty() {
            return Ok(());
        }
        self.fill_up()
    }

    #[inline(never)]
    fn fill_up(&mut self) -> Result<(), Error> {
        while self.queue.is_empty() || self.is_head_undecided()? {
            if self.stream_ended {
                break;
            }
            self.fetch()?;
        }
        self.head_is_certain = true;
        Ok(())
    }

    fn is_head_undecided(&mut self) -> Result<bool, Error> {
        // Token numbers grow with the flow level, so the one that matters can be searched for.
        let after = self.simple_keys.partition_point(|key| key.token_number <= self.taken_count);
        for level in (0..after).rev() {
            if self.simple_keys[level].token_number != self.taken_count {
                return Ok(false);
            }
            if self.simple_keys[level].possible && !self.simple_keys[level].forgotten {
                return self.is_still_key(level);
            }
        }
        Ok(false)
    }

    fn is_still_key(&mut self, level: usize) -> Result<bool, Error> {
        let (key, now) = (self.simple_keys[level], self.cursor.mark());
        if !key.possible || key.reaches(now) {
            return Ok(key.possible);
        }
        if key.required {
            return Err(self.no_colon(key.mark));
        }
        self.simple_keys[level].possible = false;
        Ok(false)
    }

    fn no_colon(&self, key: Mark) -> Error {
        Error::scanner(self.cursor.mark(), key, "could not find expected ':'")
    }

    fn level(&self) -> usize {
        self.simple_keys.len() - 1
    }

    fn in_block(&self) -> bool {
        self.simple_keys.len() == 1
    }

    fn push(&mut self, kind: Kind<'a>, mark: Mark) {
        self.queue.push_back(Token { kind, mark });
    }

    /// What comes next may turn out to be a key: remember where it started.
    fn save_simple_key(&mut self) -> Result<(), Error> {
        if self.simple_key_allowed {
            self.drop_simple_key()?;
            let level = self.level();
            self.simple_keys[level] = SimpleKey {
                possible: true,
                required: self.in_block() && self.indent == self.cursor.column(),
                forgotten: false,
                token_number: self.taken_count + self.queue.len(),
                mark: self.cursor.mark(),
            };
        }
        Ok(())
    }

    /// The usual way of a key in block style, whose `:` stands right behind it: it is pushed at
    /// once, not put in front later as [`Scanner::fetch_value`] does.
    fn take_simple_key(&mut self, start: Mark) -> Result<bool, Error> {
        let key = self.simple_keys[0];
        if !key.possible || key.mark != start || !key.reaches(self.cursor.mark()) {
            return Ok(false);
        }
        self.simple_keys[0].possible = false;
        self.open_block(i64::from(start.column), None, Kind::BlockMappingStart, start)?;
        self.push(Kind::Key, start);
        Ok(true)
    }

    fn drop_simple_key(&mut self) -> Result<(), Error> {
        let level = self.level();
        let key = &mut self.simple_keys[level];
        if key.possible && key.required {
            let mark = key.mark;
            return Err(self.no_colon(mark));
        }
        key.possible = false;
        Ok(())
    }

    /// Opens a block collection when `column` is further in than the current one. `at` is the
    /// place in the queue, for the mapping that is only discovered at the `:` of its first key.
    fn open_block(
        &mut self,
        column: i64,
        at: Option<usize>,
        kind: Kind<'a>,
        mark: Mark,
    ) -> Result<(), Error> {
        if self.in_block() && self.indent < column {
            self.indents.push(self.indent);
            self.indent = column;
            self.check_depth(self.indents.len(), mark)?;
            let at = at.unwrap_or(self.queue.len());
            self.queue.insert(at, Token { kind, mark });
        }
        Ok(())
    }

    fn check_depth(&self, depth: usize, mark: Mark) -> Result<(), Error> {
        if depth > self.max_depth {
            let message = format!("exceeded max depth of {}", self.max_depth);
            return Err(Error::scanner(self.cursor.mark(), mark, message));
        }
        Ok(())
    }

    fn close_blocks(&mut self, column: i64) {
        if self.in_block() {
            while self.indent > column {
                self.push(Kind::BlockEnd, self.cursor.mark());
                self.indent = self.indents.pop().unwrap_or(-1);
            }
        }
    }

    fn fetch(&mut self) -> Result<(), Error> {
        self.skip_to_token();
        self.close_blocks(self.cursor.column());
        if self.cursor.at_end() {
            return self.fetch_stream_end();
        }
        let first = self.cursor.peek(0);
        if self.cursor.column() == 0 {
            if first == b'%' {
                return self.fetch_directive();
            }
            if self.cursor.is_document_indicator() {
                return self.fetch_document_indicator(first);
            }
        }
        let stands_alone = || self.cursor.is_blank_break_or_end(1);
        match first {
            b'[' => self.fetch_flow_start(Kind::FlowSequenceStart),
            b'{' => self.fetch_flow_start(Kind::FlowMappingStart),
            b']' => self.fetch_flow_end(Kind::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(Kind::FlowMappingEnd),
            b',' => self.fetch_flow_entry(),
            b'-' if stands_alone() => self.fetch_block_entry(),
            b'?' if !self.in_block() || stands_alone() => self.fetch_key(),
            b':' if !self.in_block() || stands_alone() => self.fetch_value(),
            b'*' | b'&' => self.fetch_anchor(first == b'*'),
            b'!' => self.fetch_tag(),
            b'|' | b'>' if self.in_block() => self.fetch_block_scalar(first == b'|'),
            b'\'' | b'"' => self.fetch_quoted(first == b'\''),
            b'#' | b'|' | b'>' | b'%' | b'@' | b'`' | b'\t' => Err(self.no_token()),
            _ => self.fetch_plain(),
        }
    }

    fn no_token(&self) -> Error {
        let mark = self.cursor.mark();
        Error::scanner(mark, mark, "found character that cannot start any token")
    }

    fn skip_to_token(&mut self) {
        loop {
            if self.cursor.mark().index == 0 && self.cursor.is_byte_order_mark() {
                self.cursor.skip();
            }
            // A tab is no indentation, so it may not stand where a block key could start.
            let tabs = !self.in_block() || !self.simple_key_allowed;
            self.cursor.skip_spaces(usize::MAX);
            while tabs && self.cursor.is_blank(0) {
                self.cursor.skip_ascii(1);
            }
            if self.cursor.peek(0) == b'#' {
                self.cursor.skip_to_break();
            }
            if !self.cursor.is_break(0) {
                return;
            }
            self.cursor.take_break();
            if self.in_block() {
                self.simple_key_allowed = true;
            }
        }
    }

    fn fetch_stream_end(&mut self) -> Result<(), Error> {
        self.cursor.end_line();
        self.close_blocks(-1);
        self.drop_simple_key()?;
        self.simple_key_allowed = false;
        self.stream_ended = true;
        self.push(Kind::StreamEnd, self.cursor.mark());
        Ok(())
    }

    fn fetch_document_indicator(&mut self, first: u8) -> Result<(), Error> {
        self.close_blocks(-1);
        self.drop_simple_key()?;
        self.simple_key_allowed = false;
        let kind = if first == b'-' { Kind::DocumentStart } else { Kind::DocumentEnd };
        self.push(kind, self.cursor.mark());
        self.cursor.skip_ascii(3);
        Ok(())
    }

    fn fetch_flow_start(&mut self, kind: Kind<'a>) -> Result<(), Error> {
        self.save_simple_key()?;
        let mark = self.cursor.mark();
        let token_number = self.taken_count + self.queue.len();
        self.simple_keys.push(SimpleKey { token_number, mark, ..SimpleKey::default() });
        self.check_depth(self.level(), mark)?;
        self.push_indicator(kind, true);
        Ok(())
    }

    fn fetch_flow_end(&mut self, kind: Kind<'a>) -> Result<(), Error> {
        self.drop_simple_key()?;
        if !self.in_block() {
            let inner = self.simple_keys.pop();
            let level = self.level();
            let outer = &mut self.simple_keys[level];
            // No key was ever possible inside, so the entry still has the number of the bracket.
            outer.forgotten = inner.is_some_and(|key| key.token_number == outer.token_number);
        }
        self.push_indicator(kind, false);
        Ok(())
    }

    fn fetch_flow_entry(&mut self) -> Result<(), Error> {
        self.drop_simple_key()?;
        self.push_indicator(Kind::FlowEntry, true);
        Ok(())
    }

    /// Pushes a token of one character and says whether a simple key may follow it.
    fn push_indicator(&mut self, kind: Kind<'a>, simple_key_allowed: bool) {
        self.push(kind, self.cursor.mark());
        self.cursor.skip_ascii(1);
        self.simple_key_allowed = simple_key_allowed;
    }

    fn fetch_block_entry(&mut self) -> Result<(), Error> {
        if self.in_block() {
            self.check_allowed("block sequence entries are not allowed in this context")?;
            let (column, mark) = (self.cursor.column(), self.cursor.mark());
            self.open_block(column, None, Kind::BlockSequenceStart, mark)?;
        }
        self.drop_simple_key()?;
        self.push_indicator(Kind::BlockEntry, true);
        Ok(())
    }

    fn check_allowed(&self, message: &str) -> Result<(), Error> {
        let mark = self.cursor.mark();
        if self.simple_key_allowed { Ok(()) } else { Err(Error::scanner(mark, mark, message)) }
    }

    fn fetch_key(&mut self) -> Result<(), Error> {
        if self.in_block() {
            self.check_allowed("mapping keys are not allowed in this context")?;
            let (column, mark) = (self.cursor.column(), self.cursor.mark());
            self.open_block(column, None, Kind::BlockMappingStart, mark)?;
        }
        self.drop_simple_key()?;
        self.push_indicator(Kind::Key, self.in_block());
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<(), Error> {
        let level = self.level();
        if self.is_still_key(level)? {
            let key = self.simple_keys[level];
            let at = key.token_number.checked_sub(self.taken_count);
            let place = at.unwrap_or(self.queue.len());
            self.queue.insert(place, Token { kind: Kind::Key, mark: key.mark });
            let column = i64::from(key.mark.column);
            self.open_block(column, at, Kind::BlockMappingStart, key.mark)?;
            self.simple_keys[level].possible = false;
            self.push_indicator(Kind::Value, false);
            return Ok(());
        }
        if self.in_block() {
            self.check_allowed("mapping values are not allowed in this context")?;
            let (column, mark) = (self.cursor.column(), self.cursor.mark());
            self.open_block(column, None, Kind::BlockMappingStart, mark)?;
        }
        self.push_indicator(Kind::Value, self.in_block());
        Ok(())
    }
}
