//! sprig's functions that change the case of words.
//!
//! Start at [`register`]. The word rules follow what sprig 3.3 prints, not its libraries' documentation.

use minijinja::Value;

use super::strings::is_go_space;
use super::{Param, Registry};

pub(crate) fn register(r: &mut Registry) {
    const STR: &[Param] = &[Param::Str];
    r.add("upper", STR, |_, a| Ok(Value::from(map_chars(a.str(0), upper))));
    r.add("lower", STR, |_, a| Ok(Value::from(map_chars(a.str(0), lower))));
    r.add("title", STR, |_, a| Ok(Value::from(title(a.str(0)))));
    r.add("untitle", STR, |_, a| Ok(Value::from(untitle(a.str(0)))));
    r.add("swapcase", STR, |_, a| {
        Ok(Value::from(map_chars(a.str(0), |c| if c.is_uppercase() { lower(c) } else { upper(c) })))
    });
    r.add("initials", STR, |_, a| Ok(Value::from(initials(a.str(0)))));
    r.add("snakecase", STR, |_, a| Ok(Value::from(separate(a.str(0), '_'))));
    r.add("kebabcase", STR, |_, a| Ok(Value::from(separate(a.str(0), '-'))));
    r.add("camelcase", STR, |_, a| Ok(Value::from(pascal(a.str(0)))));
}

fn map_chars(text: &str, map: impl Fn(char) -> char) -> String {
    text.chars().map(map).collect()
}

// Go maps character by character; one that would become several stays.
fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    mapped.next().filter(|_| mapped.next().is_none()).unwrap_or(c)
}

fn lower(c: char) -> char {
    let mut mapped = c.to_lowercase();
    mapped.next().filter(|_| mapped.next().is_none()).unwrap_or(c)
}

/// Go's `strings.Title`: a letter is raised after anything that is no letter, digit or underscore.
fn title(text: &str) -> String {
    let mut after_separator = true;
    map_in_order(text, |c| {
        let mapped = if after_separator { upper(c) } else { c };
        after_separator = if c.is_ascii() {
            !(c.is_ascii_alphanumeric() || c == '_')
        } else {
            !c.is_alphanumeric() && is_go_space(c)
        };
        mapped
    })
}

fn untitle(text: &str) -> String {
    let mut after_blank = true;
    map_in_order(text, |c| {
        let mapped = if after_blank { lower(c) } else { c };
        after_blank = is_go_space(c);
        mapped
    })
}

fn map_in_order(text: &str, mut map: impl FnMut(char) -> char) -> String {
    text.chars().map(&mut map).collect()
}

/// The first byte of each word, shown as the character of that number.
fn initials(text: &str) -> String {
    text.split(is_go_space).filter_map(|word| word.bytes().next().map(char::from)).collect()
}

fn is_connector(c: char) -> bool {
    matches!(c, '_' | '-') || is_go_space(c)
}

/// `HTTPServer2x` to `http_server_2x`: lower-case words with a connector between them.
fn separate(text: &str, connector: char) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 8);
    let (mut at, mut in_words) = (0, false);
    while at < chars.len() {
        if is_connector(chars[at]) {
            out.push(connector);
            (at, in_words) = (at + 1, false);
            continue;
        }
        if in_words {
            out.push(connector);
        }
        let end = word_end(&chars, at);
        out.extend(chars[at..end].iter().map(|c| lower(*c)));
        (at, in_words) = (end, true);
    }
    out
}

/// Where the word that starts at `start` ends.
fn word_end(chars: &[char], start: usize) -> usize {
    let run = |from: usize, belongs: fn(char) -> bool| {
        from + chars[from..].iter().take_while(|c| belongs(**c)).count()
    };
    let is_digit = |c: char| c.is_numeric();
    let is_rest = |c: char| !c.is_uppercase() && !c.is_numeric() && !is_connector(c);
    if is_digit(chars[start]) {
        // A word that starts with digits keeps all that is not upper case: `2m3s`.
        return run(start, |c| !c.is_uppercase() && !is_connector(c)).max(start + 1);
    }
    let uppers = run(start, char::is_uppercase);
    let letters = match uppers - start {
        0 | 1 => run(uppers, is_rest),
        // The last capital of a run belongs to the word it begins: `HTTPServer`.
        _ if chars.get(uppers).copied().is_some_and(is_rest) => return uppers - 1,
        _ => uppers,
    };
    let digits = run(letters, is_digit);
    // Digits join the word before them unless lower-case letters follow: `Bld4`, but `http_2xx`.
    if digits > letters && chars.get(digits).copied().is_some_and(is_rest) {
        letters
    } else {
        digits
    }
}

/// `some_words` to `SomeWords`; capitals at the start of a word are lowered but for the first.
fn pascal(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = chars.iter().take_while(|c| is_connector(**c)).count();
    out.extend(&chars[..at]);
    while at < chars.len() {
        out.push(upper(chars[at]));
        at += 1;
        while at < chars.len() && chars[at].is_uppercase() {
            out.push(lower(chars[at]));
            at += 1;
        }
        while at < chars.len() && !is_connector(chars[at]) {
            out.push(chars[at]);
            at += 1;
        }
        // Of several connectors the last one is dropped; at the end of the text all stay.
        let end = at + chars[at..].iter().take_while(|c| is_connector(**c)).count();
        let kept = if end == chars.len() { end } else { end.saturating_sub(1).max(at) };
        out.extend(&chars[at..kept]);
        at = end;
    }
    out
}
