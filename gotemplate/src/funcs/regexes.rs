//! sprig's regular expressions.
//!
//! Both Go's engine and ours run in linear time and share their syntax but for rare classes; a pattern's compiled size
//! has a bound. Start at [`register`].

mod mistakes;

use std::sync::{Arc, PoisonError};

use minijinja::Value;
use regex::{NoExpand, Regex, RegexBuilder};

use self::mistakes::mistake;
use super::convert::text_list;
use super::{Args, Cx, FuncResult, Param, Registry};
use crate::error::FuncError;

/// The largest compiled pattern, in bytes.
const MAX_PROGRAM_BYTES: usize = 2 << 20;

/// Compiled patterns that one run keeps.
const MAX_PATTERNS: usize = 32;

pub(crate) fn register(r: &mut Registry) {
    use Param::{Int, Str};
    r.add("regexMatch", &[Str, Str], |cx, a| {
        Ok(Value::from(compile(cx, a.str(0)).is_ok_and(|re| re.is_match(a.str(1)))))
    });
    r.add("mustRegexMatch", &[Str, Str], |cx, a| {
        Ok(Value::from(compile(cx, a.str(0))?.is_match(a.str(1))))
    });
    r.add("regexFind", &[Str, Str], |cx, a| {
        Ok(Value::from(compile(cx, a.str(0))?.find(a.str(1)).map_or("", |found| found.as_str())))
    });
    r.add("regexFindAll", &[Str, Str, Int], |cx, a| {
        let limit = usize::try_from(a.int(2)).unwrap_or(usize::MAX);
        let found = compile(cx, a.str(0))?;
        Ok(text_list(found.find_iter(a.str(1)).take(limit).map(|found| found.as_str())))
    });
    r.add("regexReplaceAll", &[Str, Str, Str], |cx, a| {
        // Go writes `$1` and `${name}` as we do.
        let replaced = compile(cx, a.str(0))?.replace_all(a.str(1), a.str(2)).into_owned();
        bounded(cx, replaced)
    });
    r.add("regexReplaceAllLiteral", &[Str, Str, Str], |cx, a| {
        let replaced =
            compile(cx, a.str(0))?.replace_all(a.str(1), NoExpand(a.str(2))).into_owned();
        bounded(cx, replaced)
    });
    r.add("regexSplit", &[Str, Str, Int], split);
    r.add("regexQuoteMeta", &[Str], |_, a| Ok(Value::from(quote_meta(a.str(0)))));
    for (must, name) in [
        ("mustRegexFind", "regexFind"),
        ("mustRegexFindAll", "regexFindAll"),
        ("mustRegexReplaceAll", "regexReplaceAll"),
        ("mustRegexReplaceAllLiteral", "regexReplaceAllLiteral"),
        ("mustRegexSplit", "regexSplit"),
    ] {
        r.alias(must, name);
    }
}

/// The compiled pattern; a run keeps the first few, because charts use them in loops.
fn compile(cx: &Cx<'_>, pattern: &str) -> Result<Arc<Regex>, FuncError> {
    let kept = || cx.run.patterns.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept().get(pattern) {
        return Ok(known.clone());
    }
    let built = Arc::new(build(pattern)?);
    let mut kept = kept();
    if kept.len() < MAX_PATTERNS {
        kept.insert(pattern.to_owned(), built.clone());
    }
    Ok(built)
}

fn build(pattern: &str) -> Result<Regex, FuncError> {
    let built =
        RegexBuilder::new(&translated(pattern)).octal(true).size_limit(MAX_PROGRAM_BYTES).build();
    built.map_err(|error| {
        let why = match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("pattern compiles to over {limit} bytes: `{pattern}`")
            }
            _ => mistake(pattern),
        };
        FuncError::new(format!("error parsing regexp: {why}"))
    })
}

/// Spells a pattern so that our engine reads it as Go does: Perl classes and word boundaries are
/// ASCII, and within a class neither `[` nor `&&`, `--` and `~~` mean anything.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut class = Class::Outside;
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let is_first = class == Class::Start && c != '^';
        let mut len = c.len_utf8();
        match c {
            '\\' => len += escape(&mut out, after),
            '[' if class == Class::Outside => {
                out.push('[');
                class = Class::Start;
                rest = after;
                continue;
            }
            '[' => match after.find(":]").filter(|_| after.starts_with(':')) {
                Some(end) => {
                    len += end + 2;
                    out.push_str(&rest[..len]);
                }
                None => out.push_str("\\["),
            },
            ']' if class == Class::Inside => {
                out.push(']');
                class = Class::Outside;
                rest = after;
                continue;
            }
            ']' if is_first => out.push_str("\\]"),
            '&' | '~' if class != Class::Outside => out.extend(['\\', c]),
            '-' if class != Class::Outside && after.starts_with('-') => out.push_str("\\-"),
            c => out.push(c),
        }
        if class == Class::Start && c != '^' {
            class = Class::Inside;
        }
        rest = &rest[len..];
    }
    out
}

/// Where in a pattern: a `]` right behind `[` or `[^` is one of the class.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Outside,
    Start,
    Inside,
}

// Writes the escape whose text behind the backslash is `after`; gives back its length there.
fn escape(out: &mut String, after: &str) -> usize {
    let Some(c) = after.chars().next() else {
        out.push('\\');
        return 0;
    };
    let set = match c.to_ascii_lowercase() {
        'd' => "0-9",
        's' => "\\t\\n\\f\\r ",
        'w' => "0-9A-Za-z_",
        _ => "",
    };
    match c {
        // In brackets of its own also within a class: in `[\w-.]` the `-` means itself.
        'd' | 's' | 'w' => out.push_str(&format!("[{set}]")),
        'D' | 'S' | 'W' => out.push_str(&format!("[^{set}]")),
        'b' => out.push_str("(?-u:\\b)"),
        'B' => out.push_str("(?-u:\\B)"),
        'Q' => {
            let end = after.find("\\E").unwrap_or(after.len());
            out.push_str(&regex::escape(&after[1..end]));
            return (end + 2).min(after.len());
        }
        other => out.extend(['\\', other]),
    }
    c.len_utf8()
}

fn split(cx: &Cx<'_>, a: Args<'_>) -> FuncResult {
    let (text, limit) = (a.str(1), a.int(2));
    let pattern = compile(cx, a.str(0))?;
    if limit == 0 {
        return Ok(text_list(Vec::<String>::new()));
    }
    let max = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut parts, mut start, mut end) = (Vec::new(), 0, 0);
    for found in pattern.find_iter(text) {
        if parts.len() + 1 >= max {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(&text[start..end]);
        }
        start = found.end();
    }
    if end != text.len() || text.is_empty() {
        parts.push(&text[start..]);
    }
    Ok(text_list(parts))
}

fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn bounded(cx: &Cx<'_>, text: String) -> FuncResult {
    cx.budget().take_output(text.len())?;
    Ok(Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Recorded from Go 1.26's regexp.
    #[test]
    fn classes_mean_what_they_mean_in_go() {
        let cases = [
            ("[[]", "a[b", "["),
            ("[]a]+", "x]a]", "]a]"),
            ("[^]a]", "]ax", "x"),
            ("[a&&b]+", "x&b&a", "&b&a"),
            ("[\\d-x]+", "a1-x2", "1-x2"),
            ("[\\w-\\.]+", "+a-b.c+", "a-b.c"),
            ("[[:alpha:]_]+", "1a_b2", "a_b"),
            ("[\\W]+", "ab, c", ", "),
            ("\\Qa.b\\E+", "aab a.bb", "a.bb"),
            ("\\101", "xAy", "A"),
            ("\\d+", "\u{663}7", "7"),
        ];
        for (pattern, text, wanted) in cases {
            let pattern = build(pattern).unwrap();
            assert_eq!(pattern.find(text).map(|found| found.as_str()), Some(wanted), "{pattern}");
        }
    }
}
