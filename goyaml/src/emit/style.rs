//! Chooses how a string is written: plain, quoted or as a block.
//!
//! Owns what each style can carry. Writes nothing. Start at [`Style::of`].

use crate::resolve::{Dialect, Resolved, is_base_60, old_boolean, resolve_plain};

/// How a string is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

/// What an inspection of a string found.
#[derive(Default)]
struct Findings {
    has_break: bool,
    /// Something that double quotes must escape.
    has_special: bool,
    has_tab: bool,
    /// An indicator that plain text in block style may not contain there.
    has_indicator: bool,
    /// A blank right before a line break, and right after one.
    space_break: bool,
    break_space: bool,
    /// Starts or ends with a space or a line break.
    has_edge: bool,
    ends_with_space: bool,
}

impl Style {
    /// The style of a string; keys cannot be written as blocks.
    pub(crate) fn of(text: &str, is_simple_key: bool, dialect: Dialect) -> Style {
        let found = inspect(text);
        let has_special = found.has_special || (found.has_tab && dialect == Dialect::V2);
        let single_allowed =
            !found.break_space && !found.space_break && !has_special && !found.has_tab;
        if text.contains('\n') {
            let block_allowed = !found.ends_with_space && !found.space_break && !has_special;
            return if block_allowed && !is_simple_key {
                Style::Literal
            } else {
                Style::DoubleQuoted
            };
        }
        if !reads_as_string(text, dialect) {
            return Style::DoubleQuoted;
        }
        let plain_allowed =
            single_allowed && !found.has_edge && !found.has_break && !found.has_indicator;
        match (plain_allowed, single_allowed) {
            (true, _) => Style::Plain,
            (false, true) => Style::SingleQuoted,
            (false, false) => Style::DoubleQuoted,
        }
    }
}

/// Would this text be read back as a string without quotes?
fn reads_as_string(text: &str, dialect: Dialect) -> bool {
    resolve_plain(text, dialect) == Resolved::Str
        && !is_base_60(text)
        && (dialect == Dialect::V2 || old_boolean(text).is_none())
}

/// Is there a line break of any kind in it?
pub(crate) fn is_multi_line(text: &str) -> bool {
    text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
}

pub(crate) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What need not be escaped in double quotes. Beyond the first plane everything is.
pub(crate) fn is_printable(c: char) -> bool {
    matches!(c,
        '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}'
        | '\u{ff00}'..='\u{fffd}')
}

fn inspect(text: &str) -> Findings {
    let mut found = Findings { has_indicator: starts_like_document(text), ..Findings::default() };
    let (mut previous_space, mut previous_break, mut after_blank) = (false, false, true);
    let last = text.len();
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if is_indicator(c, at == 0, after_blank, || before_blank(&text[end..])) {
            found.has_indicator = true;
        }
        match c {
            '\t' => found.has_tab = true,
            c if !is_printable(c) => found.has_special = true,
            _ => {}
        }
        let (space, line_break) = (c == ' ', is_break(c));
        if (space || line_break) && (at == 0 || end == last) {
            found.has_edge = true;
        }
        found.ends_with_space |= space && end == last;
        found.break_space |= space && previous_break;
        found.space_break |= line_break && previous_space;
        found.has_break |= line_break;
        after_blank = matches!(c, ' ' | '\t' | '\0') || line_break;
        (previous_space, previous_break) = (space, line_break);
    }
    found
}

fn starts_like_document(text: &str) -> bool {
    text.starts_with("---") || text.starts_with("...")
}

/// Go looks for blanks only here, not for line breaks.
fn before_blank(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with([' ', '\t'])
}

/// Does this character mean something in block style where it stands?
fn is_indicator(c: char, first: bool, after_blank: bool, before_blank: impl Fn() -> bool) -> bool {
    match c {
        '#' => after_blank,
        ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
        | '`' => first,
        '?' | '-' => first && before_blank(),
        ':' => before_blank(),
        _ => false,
    }
}
