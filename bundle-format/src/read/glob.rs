//! Shell patterns for one path part, as Go's `filepath.Match` reads them.
//!
//! Owns parsing and matching. Must not know files. Start at [`Glob`].

/// A pattern: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a character that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    AnyChar,
    AnyRun,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// A pattern Go refuses too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?} is malformed: {reason}")]
pub struct GlobError {
    /// The pattern.
    pub pattern: String,
    /// In words.
    pub reason: &'static str,
}

/// True when a text means more than itself.
pub(crate) fn has_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

impl Glob {
    /// Reads a pattern.
    pub(crate) fn parse(pattern: &str) -> Result<Self, GlobError> {
        let error = |reason| GlobError { pattern: pattern.to_owned(), reason };
        let mut chars = pattern.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::AnyRun,
                '?' => Token::AnyChar,
                '\\' => Token::Char(chars.next().ok_or_else(|| error("it ends in a backslash"))?),
                '[' => parse_class(&mut chars).ok_or_else(|| error("a [ class is not closed"))?,
                c => Token::Char(c),
            });
        }
        Ok(Self(tokens))
    }

    /// True when the whole name fits.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut token, mut at) = (0, 0);
        // Where to go on when the text after the last `*` did not fit: give that `*` one more.
        let mut retry: Option<(usize, usize)> = None;
        while at < name.len() || token < self.0.len() {
            match (self.0.get(token), name.get(at)) {
                (Some(Token::AnyRun), _) => {
                    retry = Some((token, at + 1));
                    token += 1;
                    continue;
                }
                (Some(wanted), Some(&c)) if wanted.fits(c) => {
                    token += 1;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            match retry {
                Some((star, from)) if from <= name.len() && name[from - 1] != '/' => {
                    retry = Some((star, from + 1));
                    token = star + 1;
                    at = from;
                }
                _ => return false,
            }
        }
        true
    }
}

impl Token {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Char(wanted) => *wanted == c,
            Self::AnyChar => c != '/',
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
            Self::AnyRun => false,
        }
    }
}

/// The rest of a class after its `[`. `None` for what Go calls a bad pattern: not closed, empty,
/// or a `-` or `]` where a character is due.
fn parse_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Token::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => class_char(chars)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        // The cases of Go's own path/filepath tests that need no separator, and some of ours.
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[x\\-]", "-", true),
            ("", "", true),
            ("*", "", true),
        ] {
            let glob = Glob::parse(pattern).expect(pattern);
            assert_eq!(glob.matches(name), expected, "{pattern} {name}");
        }
        for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\"] {
            assert!(Glob::parse(pattern).is_err(), "{pattern}");
        }
    }
}
