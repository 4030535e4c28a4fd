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

/// What the library that sprig calls tells apart in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Number,
    /// Capitals, but for the last one before lower-case letters.
    Upper,
    /// Letters after at most one capital.
    Letters,
    Connectors,
    Punctuation,
    Other,
}

// Letters that make words; those of Chinese, Japanese and Korean do not.
fn is_word_letter(c: char) -> bool {
    c.is_alphabetic() && !matches!(c, '\u{3400}'..='\u{9fcc}' | '\u{20000}'..='\u{2b81d}')
}

// The Unicode category P, as far as texts in templates go: `$+<=>^`|~` are symbols.
fn is_punctuation(c: char) -> bool {
    match c {
        c if c.is_ascii() => c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c),
        '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' => true,
        '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{2043}' | '\u{3001}'..='\u{3003}' => true,
        _ => false,
    }
}

/// The parts of a text, each with its characters.
fn parts(text: &str) -> Vec<(Part, Vec<char>)> {
    let chars: Vec<char> = text.chars().collect();
    let mut parts = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let (part, end) = part_at(&chars, at);
        parts.push((part, chars[at..end].to_vec()));
        at = end;
    }
    parts
}

fn part_at(chars: &[char], start: usize) -> (Part, usize) {
    let run = |from: usize, belongs: fn(char) -> bool| {
        from + chars[from..].iter().take_while(|c| belongs(**c)).count()
    };
    let is_lower_letter = |c: char| is_word_letter(c) && !c.is_uppercase();
    let is_other =
        |c: char| !is_connector(c) && !is_word_letter(c) && !c.is_numeric() && !is_punctuation(c);
    match chars[start] {
        c if is_connector(c) => (Part::Connectors, run(start, is_connector)),
        c if is_punctuation(c) => (Part::Punctuation, run(start, is_punctuation)),
        c if c.is_uppercase() => {
            let end = run(start, char::is_uppercase);
            let begins_word = chars.get(end).copied().is_some_and(is_word_letter);
            match (end - start, begins_word) {
                (1, true) => (Part::Upper, run(end, is_lower_letter)),
                // The last capital of a run belongs to the word it begins: `HTTPServer`.
                (_, true) => (Part::Upper, end - 1),
                _ => (Part::Upper, end),
            }
        }
        c if is_word_letter(c) => (Part::Letters, run(start + 1, is_lower_letter)),
        c if c.is_numeric() => (Part::Number, run(start, char::is_numeric)),
        _ => (Part::Other, run(start + 1, is_other)),
    }
}

/// `HTTPServer2x` to `http_server_2x`: lower-case words with a connector between them.
fn separate(text: &str, connector: char) -> String {
    let parts = parts(text);
    let kind_at = |index: usize| parts.get(index).map(|(part, _)| *part);
    let mut out = String::with_capacity(text.len() + 8);
    let write = |index: usize, out: &mut String| {
        let (part, chars) = &parts[index];
        match part {
            Part::Connectors => out.extend(chars.iter().map(|_| connector)),
            Part::Upper => out.extend(chars.iter().map(|c| lower(*c))),
            _ => out.extend(chars),
        }
    };
    let joins = |part: Option<Part>| matches!(part, Some(Part::Letters | Part::Number));
    let is_word = |part: Option<Part>| {
        part.is_some_and(|part| !matches!(part, Part::Connectors | Part::Punctuation))
    };
    let mut at = 0;
    while let Some(part) = kind_at(at) {
        write(at, &mut out);
        at += 1;
        let next = kind_at(at);
        match part {
            Part::Connectors | Part::Punctuation => continue,
            Part::Number => {}
            _ if next != Some(Part::Number) => {}
            _ if kind_at(at + 1).is_none() => continue,
            // Digits join the word before them unless letters follow: `Bld4`, but `http_2xx`.
            _ if kind_at(at + 1) != Some(Part::Letters) => {
                write(at, &mut out);
                at += 1;
                if is_word(kind_at(at)) {
                    out.push(connector);
                }
                continue;
            }
            _ => {
                out.push(connector);
                write(at, &mut out);
                at += 1;
            }
        }
        // A word that starts with digits keeps the letters and digits behind it: `2m3s`.
        let takes_more = part == Part::Number || next == Some(Part::Number);
        while takes_more && joins(kind_at(at)) {
            write(at, &mut out);
            at += 1;
        }
        if is_word(kind_at(at)) {
            out.push(connector);
        }
    }
    out
}

/// `some_words` to `SomeWords`; capitals at the start of a word are lowered but for the first.
fn pascal(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = chars.iter().take_while(|c| is_connector(**c)).count();
    out.extend(&chars[..at]);
    if at == chars.len() {
        // Of connectors alone the last one comes twice.
        out.extend(chars.last());
    }
    while at < chars.len() {
        let starts_upper = chars[at].is_uppercase();
        out.push(upper(chars[at]));
        at += 1;
        while starts_upper && at < chars.len() && chars[at].is_uppercase() {
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
