//! sprig's string functions: trimming, padding, wrapping, searching, random texts.
//!
//! Changing the case of words is in [`super::words`]. Start at [`register`].

use minijinja::Value;

use super::convert::{text_list, text_of, texts_of};
use super::{Args, Cx, FuncResult, Param, Registry};
use crate::error::FuncError;
use crate::print::quote;
use crate::value::{self, Entries, is_nil};

pub(crate) fn register(registry: &mut Registry) {
    register_trim(registry);
    register_search(registry);
    register_build(registry);
    register_random(registry);
}

fn register_trim(r: &mut Registry) {
    use Param::{Int, Str};
    r.add("trim", &[Str], |_, a| text(a.str(0).trim_matches(is_go_space)));
    r.add("trimAll", &[Str, Str], |_, a| text(trim_set(a.str(1), a.str(0))));
    r.alias("trimall", "trimAll");
    r.add("trimSuffix", &[Str, Str], |_, a| {
        text(a.str(1).strip_suffix(a.str(0)).unwrap_or(a.str(1)))
    });
    r.add("trimPrefix", &[Str, Str], |_, a| {
        text(a.str(1).strip_prefix(a.str(0)).unwrap_or(a.str(1)))
    });
    r.add("nospace", &[Str], |_, a| Ok(Value::from(without_space(a.str(0)))));
    r.add("trunc", &[Int, Str], |_, a| Ok(Value::from(truncate(a.int(0), a.str(1)))));
    r.add("substr", &[Int, Int, Str], |_, a| substring(a.int(0), a.int(1), a.str(2)));
    r.add("abbrev", &[Int, Str], |_, a| Ok(Value::from(abbreviate(a.str(1), 0, a.int(0)))));
    r.add("abbrevboth", &[Int, Int, Str], |_, a| {
        let (left, right) = (a.int(0), a.int(1));
        if right < 4 || (left > 0 && right < 7) {
            return text(a.str(2));
        }
        Ok(Value::from(abbreviate(a.str(2), left, right)))
    });
}

fn register_search(r: &mut Registry) {
    use Param::{Any, Int, Str};
    r.add("contains", &[Str, Str], |_, a| Ok(Value::from(a.str(1).contains(a.str(0)))));
    r.add("hasPrefix", &[Str, Str], |_, a| Ok(Value::from(a.str(1).starts_with(a.str(0)))));
    r.add("hasSuffix", &[Str, Str], |_, a| Ok(Value::from(a.str(1).ends_with(a.str(0)))));
    r.add("split", &[Str, Str], |_, a| Ok(numbered(split_text(a.str(1), a.str(0), -1))));
    r.add("splitn", &[Str, Int, Str], |_, a| {
        Ok(numbered(split_text(a.str(2), a.str(0), a.int(1))))
    });
    r.add("splitList", &[Str, Str], |_, a| Ok(text_list(split_text(a.str(1), a.str(0), -1))));
    r.add("toStrings", &[Any], |_, a| Ok(text_list(texts_of(a.get(0)))));
    r.add("join", &[Str, Any], |cx, a| bounded(cx, texts_of(a.get(1)).join(a.str(0))));
    r.add("sortAlpha", &[Any], |_, a| {
        let mut texts = match value::as_list(a.get(0)) {
            Some(_) => texts_of(a.get(0)),
            None => return Ok(text_list([text_of(a.get(0))])),
        };
        texts.sort();
        Ok(text_list(texts))
    });
    r.add("plural", &[Str, Str, Int], |_, a| text(if a.int(2) == 1 { a.str(0) } else { a.str(1) }));
}

fn register_build(r: &mut Registry) {
    use Param::{Any, Int, ManyAny, Str};
    r.add("hello", &[], |_, _| text("Hello!"));
    r.add("toString", &[Any], |_, a| Ok(Value::from(text_of(a.get(0)))));
    r.add("quote", &[ManyAny], |cx, a| bounded(cx, each(a, |item| quote(&text_of(item)))));
    r.add("squote", &[ManyAny], |cx, a| {
        bounded(cx, each(a, |item| format!("'{}'", text_of(item))))
    });
    r.add("cat", &[ManyAny], |cx, a| bounded(cx, each(a, text_of)));
    r.add("indent", &[Int, Str], |cx, a| indent(cx, a.int(0), a.str(1), ""));
    r.add("nindent", &[Int, Str], |cx, a| indent(cx, a.int(0), a.str(1), "\n"));
    r.add("repeat", &[Int, Str], |cx, a| {
        let count = usize::try_from(a.int(0)).map_err(|_| "strings: negative Repeat count")?;
        cx.budget().take_output(count.saturating_mul(a.str(1).len()))?;
        Ok(Value::from(a.str(1).repeat(count)))
    });
    r.add("replace", &[Str, Str, Str], replace);
    r.add("wrap", &[Int, Str], |cx, a| bounded(cx, wrap(a.str(1), a.int(0), "\n", false)));
    r.add("wrapWith", &[Int, Str, Str], |cx, a| {
        let newline = if a.str(1).is_empty() { "\n" } else { a.str(1) };
        bounded(cx, wrap(a.str(2), a.int(0), newline, true))
    });
}

fn register_random(r: &mut Registry) {
    use Param::{Int, Str};
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    r.add("randAlphaNum", &[Int], |cx, a| random_text(cx, a.int(0), ALNUM));
    r.add("randAlpha", &[Int], |cx, a| random_text(cx, a.int(0), LETTERS));
    r.add("randNumeric", &[Int], |cx, a| random_text(cx, a.int(0), b"0123456789"));
    r.add("randAscii", &[Int], |cx, a| {
        let printable: Vec<u8> = (b' '..=b'~').collect();
        random_text(cx, a.int(0), &printable)
    });
    r.add("shuffle", &[Str], |cx, a| {
        let mut chars: Vec<char> = a.str(0).chars().collect();
        for last in (1..chars.len()).rev() {
            chars.swap(last, random_below(cx, last as u64 + 1) as usize);
        }
        Ok(Value::from(chars.into_iter().collect::<String>()))
    });
}

fn text(text: &str) -> FuncResult {
    Ok(Value::from(text))
}

/// Gives a text back after its bytes were taken from the budget.
fn bounded(cx: &Cx<'_>, text: String) -> FuncResult {
    cx.budget().take_output(text.len())?;
    Ok(Value::from(text))
}

/// Go's `unicode.IsSpace`.
pub(crate) fn is_go_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
        || (c > '\u{ff}' && c.is_whitespace())
}

/// The text without white space. Where there is any, Go's function takes bytes for characters.
fn without_space(text: &str) -> String {
    if !text.contains(is_go_space) {
        return text.to_owned();
    }
    text.bytes().map(char::from).filter(|c| !is_go_space(*c)).collect()
}

/// Go's `strings.Trim`: every character of `set`, at both ends.
fn trim_set<'a>(text: &'a str, set: &str) -> &'a str {
    text.trim_matches(|c| set.contains(c))
}

/// Every argument that is not nil, converted and joined by blanks.
fn each(args: Args<'_>, convert: impl Fn(&Value) -> String) -> String {
    let items: Vec<String> = args.all().iter().filter(|v| !is_nil(v)).map(convert).collect();
    items.join(" ")
}

// Go cuts bytes; a character that is cut in two becomes the replacement character here.
fn cut(text: &str, range: std::ops::Range<usize>) -> String {
    String::from_utf8_lossy(&text.as_bytes()[range]).into_owned()
}

fn truncate(count: i64, text: &str) -> String {
    let len = text.len();
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 && len > size {
        return cut(text, len - size..len);
    }
    if count >= 0 && len > size { cut(text, 0..size) } else { text.to_owned() }
}

fn substring(start: i64, end: i64, text: &str) -> FuncResult {
    let len = text.len() as i64;
    let (from, to) = match (start, end) {
        (start, end) if start < 0 => (0, end),
        (start, end) if end < 0 || end > len => (start, len),
        other => other,
    };
    if to < 0 || to > len || from > to {
        let range = match (to < 0 || to > len, start < 0) {
            (true, true) if to >= 0 => format!("[:{to}] with length {len}"),
            (_, true) => format!("[:{to}]"),
            (true, false) if to >= 0 => format!("[:{to}] with length {len}"),
            _ => format!("[{from}:{to}]"),
        };
        return Err(FuncError::new(format!("runtime error: slice bounds out of range {range}")));
    }
    Ok(Value::from(cut(text, from as usize..to as usize)))
}

/// Shortens with `...` at the end, or at both ends when `offset` lies inside.
fn abbreviate(text: &str, offset: i64, width: i64) -> String {
    let len = text.len() as i64;
    if width < 4 || len <= width {
        return text.to_owned();
    }
    let offset = offset.min(len).min(len - (width - 3));
    if offset <= 4 {
        return cut(text, 0..(width - 3) as usize) + "...";
    }
    if width < 7 {
        return String::new();
    }
    if offset + width - 3 < len {
        let rest = cut(text, offset as usize..len as usize);
        return format!("...{}", abbreviate(&rest, 0, width - 3));
    }
    format!("...{}", cut(text, (len - (width - 3)) as usize..len as usize))
}

/// Go's `strings.SplitN`: an empty separator splits into characters; `max` < 0 means all.
pub(crate) fn split_text(text: &str, separator: &str, max: i64) -> Vec<String> {
    let max = match max {
        0 => return Vec::new(),
        max if max < 0 => usize::MAX,
        max => usize::try_from(max).unwrap_or(usize::MAX),
    };
    if !separator.is_empty() {
        return text.splitn(max, separator).map(str::to_owned).collect();
    }
    let mut parts: Vec<String> = Vec::new();
    for (index, c) in text.chars().enumerate() {
        match parts.last_mut() {
            Some(last) if index >= max => last.push(c),
            _ => parts.push(c.to_string()),
        }
    }
    parts
}

fn numbered(parts: Vec<String>) -> Value {
    let entries = parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| (format!("_{index}").into(), Value::from(part)))
        .collect::<Entries>();
    Value::from_object(value::Dict::typed("map[string]string", entries))
}

fn indent(cx: &Cx<'_>, spaces: i64, text: &str, before: &str) -> FuncResult {
    let spaces = usize::try_from(spaces).map_err(|_| "strings: negative Repeat count")?;
    let lines = text.bytes().filter(|b| *b == b'\n').count() + 1;
    let size = before.len() + text.len() + lines.saturating_mul(spaces);
    cx.budget().take_output(size)?;
    let mut out = String::with_capacity(size);
    out.push_str(before);
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.extend(std::iter::repeat_n(' ', spaces));
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn replace(cx: &Cx<'_>, a: Args<'_>) -> FuncResult {
    let (old, new, source) = (a.str(0), a.str(1), a.str(2));
    let count = if old.is_empty() { source.len() + 1 } else { source.matches(old).count() };
    cx.budget().take_output(source.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::from(source.replace(old, new)))
}

/// Breaks lines at blanks so that they are at most `width` bytes long, long words excepted.
fn wrap(text: &str, width: i64, newline: &str, break_words: bool) -> String {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut offset = 0;
    while bytes.len() - offset > width {
        if bytes[offset] == b' ' {
            offset += 1;
            continue;
        }
        let blank = bytes[offset..=offset + width].iter().rposition(|b| *b == b' ');
        let (end, next) = match blank {
            Some(at) => (offset + at, offset + at + 1),
            None if break_words => (offset + width, offset + width),
            None => match bytes[offset + width..].iter().position(|b| *b == b' ') {
                Some(at) => (offset + width + at, offset + width + at + 1),
                None => break,
            },
        };
        out.extend_from_slice(&bytes[offset..end]);
        out.extend_from_slice(newline.as_bytes());
        offset = next;
    }
    out.extend_from_slice(&bytes[offset..]);
    String::from_utf8_lossy(&out).into_owned()
}

fn random_text(cx: &Cx<'_>, count: i64, alphabet: &[u8]) -> FuncResult {
    let count = usize::try_from(count).unwrap_or(0);
    cx.budget().take_output(count)?;
    let mut out = String::with_capacity(count);
    for _ in 0..count {
        let index = random_below(cx, alphabet.len() as u64) as usize;
        out.push(char::from(alphabet[index]));
    }
    Ok(Value::from(out))
}

/// A random number below `limit`, every one as likely as the next.
pub(crate) fn random_below(cx: &Cx<'_>, limit: u64) -> u64 {
    let limit = limit.max(1);
    let fair = u64::MAX - u64::MAX % limit;
    loop {
        let mut bytes = [0; 8];
        cx.host().fill_random(&mut bytes);
        let number = u64::from_le_bytes(bytes);
        if number < fair {
            return number % limit;
        }
    }
}
