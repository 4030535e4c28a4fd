//! Which characters a YAML text may contain at all.
//!
//! Knows nothing of what they mean. Start at [`find_forbidden`].

use crate::error::{Error, Mark};

/// Finds the first of the characters that YAML 1.1 forbids everywhere, even in quotes.
pub(crate) fn find_forbidden(text: &str) -> Option<usize> {
    unusual_characters(text).find(|(_, c)| !is_allowed(*c)).map(|(at, _)| at)
}

/// What Go says of it.
pub(crate) fn forbidden_character(text: &str, at: usize) -> Error {
    let line = text[..at].matches('\n').count() as u32;
    let column = text[..at].chars().rev().take_while(|c| *c != '\n').count() as u32;
    let mark = Mark { index: 0, line, column };
    Error::node(mark, "control characters are not allowed")
}

/// The characters other than printable ASCII, tabs and `\n`, and where they are.
pub(crate) fn unusual_characters(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    const CHUNK: usize = 64;
    let is_unusual = |byte: u8| {
        u8::from(byte.wrapping_sub(b' ') > b'~' - b' ')
            & u8::from(byte != b'\t')
            & u8::from(byte != b'\n')
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        // Many bytes at a time, which only a loop without a way out and without a choice allows;
        // most texts need no second look.
        let rest = &text.as_bytes()[at..];
        let usual = rest
            .chunks(CHUNK)
            .take_while(|some| some.iter().fold(0, |any, byte| any | is_unusual(*byte)) == 0);
        let usual = usual.count() * CHUNK;
        let rest = rest.get(usual..)?;
        at += usual + rest.iter().position(|byte| is_unusual(*byte) != 0)?;
        let place = at;
        let c = text[place..].chars().next()?;
        at += c.len_utf8();
        Some((place, c))
    })
}

/// Can this character stand in a YAML text at all?
pub(crate) fn is_allowed(c: char) -> bool {
    matches!(c,
        ' '..='~' | '\t' | '\n' | '\r' | '\u{85}'
        | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
