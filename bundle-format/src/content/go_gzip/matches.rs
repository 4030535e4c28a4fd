//! Bytes to literals and repetitions.
//!
//! Owns the search: chains of places with the same four bytes, and the habit of looking one byte
//! further before taking a repetition. Must not know how tokens are written. Start at
//! [`Matcher::next_token`].

use super::Token;

const WINDOW: usize = 1 << 15;
const MIN_MATCH: usize = 4;
const MAX_MATCH: usize = 258;
const HASH_BITS: u32 = 17;

/// A repetition this long ends the search for a longer one.
const NICE_LENGTH: usize = 128;
/// Places looked at in one search.
const MAX_TRIES: usize = 128;
/// A repetition this long is taken without looking one byte further.
const LAZY_LENGTH: usize = 16;
/// A repetition of the shortest length is worth it only this near.
const SHORT_MATCH_REACH: usize = 4096;

/// No place yet.
const NOWHERE: u32 = u32::MAX;

/// Walks over bytes and says how to write them.
pub(super) struct Matcher<'a> {
    bytes: &'a [u8],
    index: usize,
    buffer_start: usize,
    /// Latest place of each hash of four bytes.
    heads: Vec<u32>,
    /// For each place in the window, the one before it with the same hash.
    previous: Vec<u32>,
    /// Head of the chain at the last place that was hashed; kept where nothing can be hashed any
    /// more, as Go does.
    chain_head: u32,
    /// The repetition found at the place before, not taken yet.
    pending: Option<(usize, usize)>,
    has_pending_byte: bool,
    written: usize,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            index: 0,
            buffer_start: 0,
            heads: vec![NOWHERE; 1 << HASH_BITS],
            previous: vec![NOWHERE; WINDOW],
            chain_head: NOWHERE,
            pending: None,
            has_pending_byte: false,
            written: 0,
        }
    }

    /// How many bytes the tokens so far stand for.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// The bytes of a block, unless some have left the buffer: then Go cannot store them as they
    /// are.
    pub(super) fn window(&self, start: usize, end: usize) -> Option<&'a [u8]> {
        (start >= self.buffer_start).then(|| &self.bytes[start..end])
    }

    /// Moves Go's buffer of two windows on by one, as it does to read more when less than a longest
    /// and a shortest match is left in it. What falls out is not found any more.
    fn move_buffer(&mut self) {
        let is_used_up = self.index - self.buffer_start > 2 * WINDOW - (MIN_MATCH + MAX_MATCH);
        if is_used_up && self.buffer_start + 2 * WINDOW < self.bytes.len() {
            self.buffer_start += WINDOW;
        }
    }

    /// The next token; `None` at the end.
    pub(super) fn next_token(&mut self) -> Option<Token> {
        loop {
            self.move_buffer();
            let ahead = self.bytes.len() - self.index;
            if ahead == 0 {
                let is_due = std::mem::take(&mut self.has_pending_byte);
                self.written = self.bytes.len();
                return is_due.then(|| Token::Literal(self.bytes[self.index - 1]));
            }
            self.insert(self.index, true);
            let before = self.pending.take();
            let before_length = before.map_or(MIN_MATCH - 1, |(length, _)| length);
            let found = match ahead > before_length && before_length < LAZY_LENGTH {
                true => self.find(self.index, ahead),
                false => None,
            };
            let found_length = found.map_or(MIN_MATCH - 1, |(length, _)| length);
            if let Some((length, distance)) = before.filter(|(length, _)| found_length <= *length) {
                return Some(self.take_repeat(length, distance));
            }
            self.pending = found;
            self.index += 1;
            if std::mem::replace(&mut self.has_pending_byte, true) {
                self.written = self.index - 1;
                return Some(Token::Literal(self.bytes[self.index - 2]));
            }
        }
    }

    /// Takes the repetition that began one byte ago.
    fn take_repeat(&mut self, length: usize, distance: usize) -> Token {
        let end = self.index + length - 1;
        for place in self.index + 1..end {
            self.insert(place, false);
        }
        self.index = end;
        self.has_pending_byte = false;
        self.written = end;
        Token::Repeat { length: length as u16, distance: distance as u16 }
    }

    /// Adds a place to the chain of its four bytes, if that many are left.
    fn insert(&mut self, place: usize, is_current: bool) {
        let Some(four) = self.bytes.get(place..place + MIN_MATCH) else { return };
        let word = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
        let hash = (word.wrapping_mul(0x1e35_a7bd) >> (32 - HASH_BITS)) as usize;
        let head = std::mem::replace(&mut self.heads[hash], place as u32);
        self.previous[place % WINDOW] = head;
        if is_current {
            self.chain_head = head;
        }
    }

    /// The longest repetition at a place, the nearest of equally long ones: length and distance.
    fn find(&self, place: usize, ahead: usize) -> Option<(usize, usize)> {
        let longest = ahead.min(MAX_MATCH);
        let nice = longest.min(NICE_LENGTH);
        let oldest = place.saturating_sub(WINDOW).max(self.buffer_start);
        let mut best: Option<(usize, usize)> = None;
        let mut candidate = self.chain_head;
        for _ in 0..MAX_TRIES {
            if candidate == NOWHERE || (candidate as usize) < oldest {
                break;
            }
            let at = candidate as usize;
            let length = self.common_length(at, place, longest);
            let is_longer = length > best.map_or(MIN_MATCH - 1, |(length, _)| length);
            if is_longer && (length > MIN_MATCH || place - at <= SHORT_MATCH_REACH) {
                best = Some((length, place - at));
                if length >= nice {
                    break;
                }
            }
            // The slot of the oldest place has been given to the current one.
            if at + WINDOW == place {
                break;
            }
            candidate = self.previous[at % WINDOW];
        }
        best
    }

    fn common_length(&self, a: usize, b: usize, longest: usize) -> usize {
        let pairs = self.bytes[a..].iter().zip(&self.bytes[b..b + longest]);
        pairs.take_while(|(a, b)| a == b).count()
    }
}
