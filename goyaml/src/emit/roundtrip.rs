//! What `sigs.k8s.io/yaml` does to strings before it writes them: it makes JSON and reads that as
//! YAML.
//!
//! Owns what gets lost or refused on that way. Start at [`pass_through_json`].

use std::borrow::Cow;

use crate::characters::is_allowed;
use crate::error::{Error, Mark};

/// How long a quoted key may be, quotes included.
const KEY_CHARACTERS: usize = 1024;

/// The string as it comes out, and the error Go reports where nothing comes out.
pub(super) fn pass_through_json(text: &str, is_key: bool) -> (Cow<'_, str>, Option<Error>) {
    // Everything dangerous is outside of ASCII, or long, or the delete character.
    let is_harmless =
        text.len() < KEY_CHARACTERS / 6 && text.bytes().all(|byte| byte.is_ascii() && byte != 0x7F);
    if is_harmless {
        return (Cow::Borrowed(text), None);
    }
    let at = Mark::default();
    if text.chars().any(|c| c >= ' ' && !is_allowed(c)) {
        let error = Error::node(at, "control characters are not allowed");
        return (Cow::Borrowed(text), Some(error));
    }
    let has_break = text.contains('\u{85}');
    if is_key && (has_break || json_length(text) > KEY_CHARACTERS) {
        let error = Error::node(at, "did not find expected ',' or '}'");
        return (Cow::Borrowed(text), Some(error));
    }
    if has_break && has_document_indicator(text) {
        let error = Error::node(at, "found unexpected document indicator");
        return (Cow::Borrowed(text), Some(error));
    }
    (if has_break { Cow::Owned(fold_next_lines(text)) } else { Cow::Borrowed(text) }, None)
}

/// Characters of the text as JSON, quotes included.
fn json_length(text: &str) -> usize {
    2 + text.chars().map(json_width).sum::<usize>()
}

fn json_width(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => 6,
        _ => 1,
    }
}

/// Does a line of its own look like the start or the end of a document?
fn has_document_indicator(text: &str) -> bool {
    text.match_indices('\u{85}').any(|(at, line_break)| {
        let line = &text[at + line_break.len()..];
        let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
        rest.is_some_and(|rest| rest.starts_with([' ', '\u{85}']))
    })
}

/// The one line break that JSON does not escape is folded: one becomes a space, more become
/// line breaks, and the spaces around them go.
fn fold_next_lines(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{85}') {
        folded.push_str(rest[..at].trim_end_matches(' '));
        let after = rest[at..].trim_start_matches(['\u{85}', ' ']);
        let gap = &rest[at..rest.len() - after.len()];
        match gap.matches('\u{85}').count() {
            1 => folded.push(' '),
            count => folded.extend(std::iter::repeat_n('\n', count - 1)),
        }
        rest = after;
    }
    folded.push_str(rest);
    folded
}
