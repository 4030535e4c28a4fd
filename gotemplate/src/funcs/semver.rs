//! Versions and constraints as Masterminds/semver 3.5 understands them.
//!
//! Owns parsing, ordering and matching. Knows nothing of templates or charts. Start at [`Constraints::parse`].
//!
//! Helm, sprig and Fleet all use that library, and it differs from npm's and Cargo's rules: `1.2` is a version, `=1.2`
//! means any `1.2.x`, a pre-release matches only where a comparator of the same group names one. The table in
//! `tests/golden/semver` was recorded from it.

use std::cmp::Ordering;
use std::fmt;

/// Longest version or constraint text that is looked at, in bytes.
pub const MAX_TEXT_BYTES: usize = 256;

/// One version: three numbers, an optional pre-release and optional build metadata.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version {
    /// Major, minor, patch.
    pub core: [u64; 3],
    /// What follows `-`; empty when the version is a release.
    pub prerelease: String,
    /// What follows `+`; never takes part in the order.
    pub metadata: String,
    /// The text it was read from.
    pub original: String,
}

/// Says why a version or a constraint cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// Not a version at all.
    InvalidVersion,
    /// A pre-release identifier holds a character outside `[0-9A-Za-z-]`.
    InvalidPrerelease,
    /// A number in a pre-release starts with zero.
    LeadingZero,
    /// The constraint's text, which has no meaning.
    ImproperConstraint(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidVersion => f.write_str("invalid semantic version"),
            Self::InvalidPrerelease => f.write_str("invalid prerelease string"),
            Self::LeadingZero => f.write_str("version segment starts with 0"),
            Self::ImproperConstraint(text) => {
                write!(f, "improper constraint: {}", crate::print::quote(text))
            }
        }
    }
}

impl std::error::Error for Error {}

impl Version {
    /// Reads a version leniently: a leading `v`, missing minor or patch, and leading zeros are accepted.
    ///
    /// # Errors
    /// [`Error::InvalidVersion`] and the pre-release errors.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let parts = Parts::split(text).ok_or(Error::InvalidVersion)?;
        let mut core = [0; 3];
        for (slot, number) in core.iter_mut().zip(parts.numbers) {
            *slot = match number {
                Some(digits) => digits.parse().map_err(|_| Error::InvalidVersion)?,
                None => 0,
            };
        }
        check_prerelease(parts.prerelease)?;
        Ok(Self {
            core,
            prerelease: parts.prerelease.to_owned(),
            metadata: parts.metadata.to_owned(),
            original: text.to_owned(),
        })
    }

    /// Compares by precedence; build metadata does not count.
    #[must_use]
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.core
            .cmp(&other.core)
            .then_with(|| compare_prereleases(&self.prerelease, &other.prerelease))
    }

    fn is_prerelease(&self) -> bool {
        !self.prerelease.is_empty()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.core;
        write!(f, "{major}.{minor}.{patch}")?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

/// A version text cut into its parts, nothing of it judged yet.
struct Parts<'a> {
    numbers: [Option<&'a str>; 3],
    prerelease: &'a str,
    metadata: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let parts = Self::split_with(text, |c| c.is_ascii_digit())?;
        Some(parts)
    }

    fn split_with(text: &'a str, is_number: impl Fn(char) -> bool) -> Option<Self> {
        if text.len() > MAX_TEXT_BYTES {
            return None;
        }
        let rest = text.strip_prefix('v').unwrap_or(text);
        let core_end = rest.find(['-', '+']).unwrap_or(rest.len());
        let (core, tail) = rest.split_at(core_end);
        let (prerelease, metadata) = split_tail(tail)?;
        let mut numbers = [None; 3];
        for (index, number) in core.split('.').enumerate() {
            if number.is_empty() || !number.chars().all(&is_number) {
                return None;
            }
            *numbers.get_mut(index)? = Some(number);
        }
        Some(Self { numbers, prerelease, metadata })
    }
}

/// Cuts `-pre+meta`; both halves must be dotted identifiers.
fn split_tail(tail: &str) -> Option<(&str, &str)> {
    let (prerelease, metadata) = match tail.strip_prefix('-') {
        Some(rest) => match rest.split_once('+') {
            Some((prerelease, metadata)) => (Some(prerelease), Some(metadata)),
            None => (Some(rest), None),
        },
        None => (None, tail.strip_prefix('+')),
    };
    for half in [prerelease, metadata].into_iter().flatten() {
        if !half.split('.').all(is_identifier) {
            return None;
        }
    }
    Some((prerelease.unwrap_or(""), metadata.unwrap_or("")))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn check_prerelease(prerelease: &str) -> Result<(), Error> {
    if prerelease.is_empty() {
        return Ok(());
    }
    for identifier in prerelease.split('.') {
        let numeric = identifier.bytes().all(|b| b.is_ascii_digit());
        if numeric && identifier.len() > 1 && identifier.starts_with('0') {
            return Err(Error::LeadingZero);
        }
    }
    Ok(())
}

fn compare_prereleases(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match compare_identifiers(x, y) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

/// Numbers compare as numbers and stand before words.
fn compare_identifiers(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(x), Ok(y)) => x.cmp(&y),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

/// Alternatives separated by `||`, each a list of comparators that must all hold.
#[derive(Clone, Debug)]
pub struct Constraints {
    groups: Vec<Group>,
}

#[derive(Clone, Debug)]
struct Group {
    comparators: Vec<Comparator>,
    /// A pre-release is considered by the whole group once one comparator names one.
    names_prerelease: bool,
}

#[derive(Clone, Debug)]
struct Comparator {
    operator: Operator,
    version: Version,
    /// How many of the three numbers were given; the rest were missing or wildcards.
    given_count: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Tilde,
    Caret,
}

/// The operators, longest first so that `>=` is not read as `>`.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterEqual),
    ("=>", Operator::GreaterEqual),
    ("<=", Operator::LessEqual),
    ("=<", Operator::LessEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

impl Constraints {
    /// Reads a constraint such as `>=1.21-0, <2 || ^3.1`.
    ///
    /// # Errors
    /// [`Error::ImproperConstraint`] with the part that has no meaning.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::ImproperConstraint(format!("longer than {MAX_TEXT_BYTES} bytes")));
        }
        let groups = text.split("||").map(Group::parse).collect::<Result<_, _>>()?;
        Ok(Self { groups })
    }

    /// Tells whether `version` satisfies one of the alternatives.
    #[must_use]
    pub fn matches(&self, version: &Version) -> bool {
        self.groups.iter().any(|group| group.matches(version))
    }
}

impl Group {
    fn parse(text: &str) -> Result<Self, Error> {
        let improper = || Error::ImproperConstraint(text.to_owned());
        let whole = |error: Error| match error {
            Error::ImproperConstraint(_) => improper(),
            other => other,
        };
        let mut comparators = Vec::new();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(improper());
        }
        while !rest.is_empty() {
            let (comparator, after) =
                Comparator::take(rest).ok_or_else(improper)?.map_err(whole)?;
            let (range_end, after) = take_range_end(after).ok_or_else(improper)?;
            match range_end {
                // `1.2 - 2.3` stands for `>=1.2 <=2.3`; it takes no operators of its own.
                Some(end) if comparator.0.is_none() => {
                    comparators
                        .push(Comparator { operator: Operator::GreaterEqual, ..comparator.1 });
                    let end = end.map_err(whole)?;
                    comparators.push(Comparator { operator: Operator::LessEqual, ..end });
                }
                Some(_) => return Err(improper()),
                None => comparators.push(comparator.1),
            }
            rest = take_separator(after).ok_or_else(improper)?;
        }
        let names_prerelease = comparators.iter().any(|c| c.version.is_prerelease());
        Ok(Self { comparators, names_prerelease })
    }

    fn matches(&self, version: &Version) -> bool {
        if version.is_prerelease() && !self.names_prerelease {
            return false;
        }
        self.comparators.iter().all(|comparator| comparator.matches(version))
    }
}

/// Skips what stands between two comparators: blanks or one comma. `None` when they touch.
fn take_separator(text: &str) -> Option<&str> {
    let trimmed = text.trim_start();
    if trimmed.is_empty() {
        return Some(trimmed);
    }
    if let Some(after) = trimmed.strip_prefix(',') {
        let after = after.trim_start();
        return (!after.is_empty()).then_some(after);
    }
    (trimmed.len() < text.len()).then_some(trimmed)
}

type RangeEnd = Option<Result<Comparator, Error>>;

/// Reads ` - VERSION`, the second half of a hyphen range.
fn take_range_end(text: &str) -> Option<(RangeEnd, &str)> {
    let trimmed = text.trim_start();
    let Some(after) = trimmed.strip_prefix('-').filter(|_| trimmed.len() < text.len()) else {
        return Some((None, text));
    };
    let version = after.trim_start();
    if version.len() == after.len() {
        return None;
    }
    let (word, rest) = take_word(version);
    Some((Some(Comparator::read(Operator::LessEqual, word)), rest))
}

/// Cuts the text at the first character that cannot belong to a version.
fn take_word(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '*')))
        .unwrap_or(text.len());
    text.split_at(end)
}

type Taken<'a> = ((Option<Operator>, Comparator), &'a str);

impl Comparator {
    /// Reads one comparator at the start of `text`; `None` when there is no version.
    fn take(text: &str) -> Option<Result<Taken<'_>, Error>> {
        let operator = OPERATORS.iter().find(|(sign, _)| text.starts_with(sign));
        let after = operator.map_or(text, |(sign, _)| text[sign.len()..].trim_start());
        let (word, rest) = take_word(after);
        if word.is_empty() {
            return None;
        }
        let operator = operator.map(|(_, operator)| *operator);
        let comparator = Self::read(operator.unwrap_or(Operator::Equal), word);
        Some(comparator.map(|comparator| ((operator, comparator), rest)))
    }

    fn read(operator: Operator, word: &str) -> Result<Self, Error> {
        let improper = || Error::ImproperConstraint(word.to_owned());
        let parts = Parts::split_with(word, |c| c.is_ascii_digit() || matches!(c, 'x' | 'X' | '*'))
            .ok_or_else(improper)?;
        let is_number = |n: &Option<&str>| n.is_some_and(|n| !matches!(n, "x" | "X" | "*"));
        let given_count = parts.numbers.iter().take_while(|n| is_number(n)).count();
        let mut version = zero();
        for (slot, number) in version.core.iter_mut().zip(parts.numbers).take(given_count) {
            *slot = number.unwrap_or("").parse().map_err(|_| improper())?;
        }
        check_prerelease(parts.prerelease)?;
        version.prerelease = parts.prerelease.to_owned();
        Ok(Self { operator, version, given_count })
    }

    fn matches(&self, version: &Version) -> bool {
        let order = version.precedence(&self.version);
        let [major, minor, _] = self.version.core;
        match self.operator {
            Operator::Equal if self.given_count < 3 => self.matches_tilde(version),
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => self.differs(version),
            Operator::Greater => match self.given_count {
                1 => version.core[0] > major,
                2 => version.core[..2] > [major, minor][..],
                _ => order.is_gt(),
            },
            Operator::GreaterEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            Operator::LessEqual => match self.given_count {
                1 => version.core[0] <= major,
                2 => version.core[..2] <= [major, minor][..],
                0 => version.core[0] == 0 && version.core[1] == 0,
                _ => order.is_le(),
            },
            Operator::Tilde => self.matches_tilde(version),
            Operator::Caret => self.matches_caret(version),
        }
    }

    /// `~1.2.3`: the same major and minor, not below. `~0.0.0` and `~*` accept everything.
    fn matches_tilde(&self, version: &Version) -> bool {
        if version.precedence(&self.version).is_lt() {
            return false;
        }
        if self.version.core == [0; 3] && matches!(self.given_count, 0 | 3) {
            return true;
        }
        let same_count = self.given_count.min(2);
        version.core[..same_count] == self.version.core[..same_count]
    }

    /// `^1.2.3`: the same left-most number that is not zero, not below.
    fn matches_caret(&self, version: &Version) -> bool {
        if version.precedence(&self.version).is_lt() {
            return false;
        }
        let fixed = self.version.core.iter().position(|n| *n > 0).unwrap_or(2);
        // A wildcard in the first place leaves `^0.0.0`, which only 0.0.0 satisfies.
        let given_count = if self.given_count == 0 { 3 } else { self.given_count };
        let same_count = (fixed + 1).min(given_count);
        version.core[..same_count] == self.version.core[..same_count]
    }

    fn differs(&self, version: &Version) -> bool {
        if matches!(self.given_count, 0 | 3) {
            return version.precedence(&self.version).is_ne();
        }
        if version.core[..self.given_count] != self.version.core[..self.given_count] {
            return true;
        }
        let any_prerelease = version.is_prerelease() || self.version.is_prerelease();
        self.given_count == 2
            && any_prerelease
            && compare_prereleases(&version.prerelease, &self.version.prerelease).is_ne()
    }
}

fn zero() -> Version {
    Version {
        core: [0; 3],
        prerelease: String::new(),
        metadata: String::new(),
        original: String::new(),
    }
}
