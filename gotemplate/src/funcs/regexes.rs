//! sprig's regular expressions.
//!
//! Both Go's engine and ours run in linear time and share their syntax but for rare classes; a pattern's compiled size
//! has a bound. Start at [`register`].

use minijinja::Value;
use regex::{NoExpand, Regex, RegexBuilder};

use super::convert::text_list;
use super::{Args, Cx, FuncResult, Param, Registry};
use crate::error::FuncError;

/// The largest compiled pattern, in bytes.
const MAX_PROGRAM_BYTES: usize = 2 << 20;

pub(crate) fn register(r: &mut Registry) {
    use Param::{Int, Str};
    r.add("regexMatch", &[Str, Str], |_, a| {
        Ok(Value::from(compile(a.str(0)).is_ok_and(|re| re.is_match(a.str(1)))))
    });
    r.add("mustRegexMatch", &[Str, Str], |_, a| {
        Ok(Value::from(compile(a.str(0))?.is_match(a.str(1))))
    });
    r.add("regexFind", &[Str, Str], |_, a| {
        Ok(Value::from(compile(a.str(0))?.find(a.str(1)).map_or("", |found| found.as_str())))
    });
    r.add("regexFindAll", &[Str, Str, Int], |_, a| {
        let limit = usize::try_from(a.int(2)).unwrap_or(usize::MAX);
        let found = compile(a.str(0))?;
        Ok(text_list(found.find_iter(a.str(1)).take(limit).map(|found| found.as_str())))
    });
    r.add("regexReplaceAll", &[Str, Str, Str], |cx, a| {
        // Go writes `$1` and `${name}` as we do.
        let replaced = compile(a.str(0))?.replace_all(a.str(1), a.str(2)).into_owned();
        bounded(cx, replaced)
    });
    r.add("regexReplaceAllLiteral", &[Str, Str, Str], |cx, a| {
        let replaced = compile(a.str(0))?.replace_all(a.str(1), NoExpand(a.str(2))).into_owned();
        bounded(cx, replaced)
    });
    r.add("regexSplit", &[Str, Str, Int], |_, a| split(a));
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

fn compile(pattern: &str) -> Result<Regex, FuncError> {
    // Without this a `\d` would match every Unicode digit; Go's classes are ASCII.
    let built = RegexBuilder::new(&ascii_classes(pattern)).size_limit(MAX_PROGRAM_BYTES).build();
    built.map_err(|error| {
        let why = match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("pattern compiles to over {limit} bytes")
            }
            _ => "invalid pattern".to_owned(),
        };
        FuncError::new(format!("error parsing regexp: {why}: `{pattern}`"))
    })
}

/// Spells Perl classes and word boundaries as the ASCII ones they are in Go.
fn ascii_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(class @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                let negated = if class.is_ascii_uppercase() { "^" } else { "" };
                let set = match class.to_ascii_lowercase() {
                    'd' => "0-9",
                    's' => "\\t\\n\\f\\r ",
                    _ => "0-9A-Za-z_",
                };
                out.push_str(&format!("[{negated}{set}]"));
            }
            Some('b') => out.push_str("(?-u:\\b)"),
            Some('z') => out.push_str("\\z"),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

fn split(a: Args<'_>) -> FuncResult {
    let (text, limit) = (a.str(1), a.int(2));
    let pattern = compile(a.str(0))?;
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
