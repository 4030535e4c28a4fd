//! Two kinds of patterns: Go's `filepath.Match`, and the globs of `.Files.Glob`.
//!
//! Start at [`file_match`] and [`Glob`].

/// Go's `filepath.Match`: `*` and `?` stop at slashes, `[a-z]`, `[^a-z]`, `\` escapes.
/// `None` if the pattern is malformed.
pub(crate) fn file_match(pattern: &str, name: &str) -> Option<bool> {
    Some(Glob::file(pattern)?.matches(name))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    File,
    Wide,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Char(char),
    /// One character that is no slash.
    One,
    /// Any characters that are no slash.
    Some,
    /// Any characters.
    All,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Either(Vec<Glob>),
}

// Alternatives within alternatives; more are refused.
const MAX_NESTING: usize = 8;

impl Glob {
    /// The patterns of `filepath.Match`.
    pub(crate) fn file(pattern: &str) -> Option<Self> {
        Self::new(pattern, Dialect::File)
    }

    /// The globs of `.Files.Glob`: also `**` across slashes, `{a,b}`, and `[!a-z]`.
    pub(crate) fn wide(pattern: &str) -> Option<Self> {
        Self::new(pattern, Dialect::Wide)
    }

    fn new(pattern: &str, dialect: Dialect) -> Option<Self> {
        let mut chars: Vec<char> = pattern.chars().collect();
        chars.reverse();
        let glob = parse(&mut chars, dialect, 0)?;
        chars.is_empty().then_some(glob)
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        if !self.may_match(name) {
            return false;
        }
        let name: Vec<char> = name.chars().collect();
        ends(&self.0, &name, &[0]).contains(&name.len())
    }

    /// Whether the characters before the first wildcard, and those after the last, are there: most
    /// names fail here.
    fn may_match(&self, name: &str) -> bool {
        let is_same = |(part, c): (&Part, char)| match part {
            Part::Char(wanted) => Some(*wanted == c),
            _ => None,
        };
        let start = self.0.iter().zip(name.chars()).map_while(is_same).all(|same| same);
        start && self.0.iter().rev().zip(name.chars().rev()).map_while(is_same).all(|same| same)
    }
}

// `chars` is reversed. Inside of alternatives it stops at `,` or `}`.
fn parse(chars: &mut Vec<char>, dialect: Dialect, nesting: usize) -> Option<Glob> {
    let mut parts = Vec::new();
    while let Some(c) = chars.pop() {
        let part = match c {
            '*' => {
                let mut stars = 1;
                while chars.last() == Some(&'*') {
                    chars.pop();
                    stars += 1;
                }
                if stars > 1 && dialect == Dialect::Wide { Part::All } else { Part::Some }
            }
            '?' => Part::One,
            '[' => parse_class(chars, dialect)?,
            '\\' => Part::Char(chars.pop()?),
            '{' if dialect == Dialect::Wide => {
                let mut options = Vec::new();
                loop {
                    if nesting >= MAX_NESTING {
                        return None;
                    }
                    options.push(parse(chars, dialect, nesting + 1)?);
                    if chars.pop()? == '}' {
                        break;
                    }
                }
                Part::Either(options)
            }
            ',' | '}' if nesting > 0 => {
                chars.push(c);
                break;
            }
            c => Part::Char(c),
        };
        parts.push(part);
    }
    Some(Glob(parts))
}

fn parse_class(chars: &mut Vec<char>, dialect: Dialect) -> Option<Part> {
    let negation = if dialect == Dialect::Wide { '!' } else { '^' };
    let negated = chars.last() == Some(&negation);
    if negated {
        chars.pop();
    }
    let mut ranges = Vec::new();
    loop {
        let low = match chars.pop()? {
            ']' if !ranges.is_empty() => break,
            '\\' => chars.pop()?,
            c => c,
        };
        let mut high = low;
        if chars.last() == Some(&'-') && chars.iter().rev().nth(1) != Some(&']') {
            chars.pop();
            high = match chars.pop()? {
                '\\' => chars.pop()?,
                c => c,
            };
        }
        ranges.push((low, high));
    }
    Some(Part::Class { negated, ranges })
}

// Where a match of `parts` that starts at one of `starts` (sorted) can end. Sets of positions
// instead of backtracking: the work is bounded by pattern × name.
fn ends(parts: &[Part], name: &[char], starts: &[usize]) -> Vec<usize> {
    let mut at: Vec<usize> = starts.to_vec();
    for part in parts {
        let mut next = std::collections::BTreeSet::new();
        for &start in &at {
            match part {
                Part::Char(c) => {
                    if name.get(start) == Some(c) {
                        next.insert(start + 1);
                    }
                }
                Part::One => {
                    if name.get(start).is_some_and(|c| *c != '/') {
                        next.insert(start + 1);
                    }
                }
                Part::Class { negated, ranges } => {
                    if name.get(start).is_some_and(|c| {
                        *c != '/' && ranges.iter().any(|(a, b)| a <= c && c <= b) != *negated
                    }) {
                        next.insert(start + 1);
                    }
                }
                Part::Some | Part::All => {
                    let stop = match part {
                        Part::Some => name[start..].iter().position(|c| *c == '/'),
                        _ => None,
                    };
                    next.extend(start..=stop.map_or(name.len(), |len| start + len));
                }
                Part::Either(options) => {
                    for option in options {
                        next.extend(ends(&option.0, name, &[start]));
                    }
                }
            }
        }
        at = next.into_iter().collect();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_patterns_match_as_in_go() {
        for (pattern, name, expected) in [
            ("*.yaml", "a.yaml", Some(true)),
            ("*.yaml", "a/b.yaml", Some(false)),
            ("a/*/c", "a/b/c", Some(true)),
            ("a?c", "abc", Some(true)),
            ("[a-c]x", "bx", Some(true)),
            ("[^a-c]x", "bx", Some(false)),
            ("a\\*", "a*", Some(true)),
            ("[", "a", None),
            ("{a}", "{a}", Some(true)),
        ] {
            assert_eq!(file_match(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn wide_patterns_cross_slashes_with_two_stars() {
        for (pattern, name, expected) in [
            ("files/**", "files/a/b.txt", true),
            ("files/*", "files/a/b.txt", false),
            ("**.yaml", "a/b.yaml", true),
            ("{a,b}*.txt", "b1.txt", true),
            ("{a,b}*.txt", "c1.txt", false),
            ("[!a]x", "bx", true),
            ("conf/{x,y/{p,q}}.ini", "conf/y/q.ini", true),
        ] {
            assert_eq!(Glob::wide(pattern).unwrap().matches(name), expected, "{pattern} {name}");
        }
        assert!(Glob::wide("{a").is_none());
    }
}
