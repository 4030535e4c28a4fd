//! What is wrong with a pattern, in the words of Go's `regexp/syntax`.
//!
//! Only asked once the engine refused the pattern, so this looks for mistakes and skips what is
//! right. Start at [`mistake`].

/// The largest count Go allows in `{n,m}`.
const MAX_REPEAT: u32 = 1_000;

/// Go's words for the first mistake in a pattern that does not compile.
pub(super) fn mistake(pattern: &str) -> String {
    let mut scan = Scan { pattern, pos: 0, depth: 0, before: Before::Nothing };
    while scan.pos < pattern.len() {
        if let Err(words) = scan.step() {
            return words;
        }
    }
    match scan.depth {
        0 => format!("invalid pattern: `{pattern}`"),
        _ => format!("missing closing ): `{pattern}`"),
    }
}

/// What a repetition would repeat.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    Item,
    /// A repetition that starts here.
    Repetition(usize),
}

struct Scan<'a> {
    pattern: &'a str,
    pos: usize,
    depth: usize,
    before: Before,
}

type Step = Result<(), String>;

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        &self.pattern[self.pos..]
    }

    fn step(&mut self) -> Step {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return Ok(()) };
        match c {
            '\\' => self.pos += escape_len(rest)?,
            '[' => self.pos += class_len(rest)?,
            '(' => {
                self.depth += 1;
                self.pos += group_len(rest)?;
                self.before = Before::Nothing;
                return Ok(());
            }
            ')' if self.depth == 0 => return Err(format!("unexpected ): `{}`", self.pattern)),
            ')' => {
                self.depth -= 1;
                self.pos += 1;
            }
            '|' => {
                self.pos += 1;
                self.before = Before::Nothing;
                return Ok(());
            }
            '*' | '+' | '?' => return self.repetition(1),
            '{' => {
                if let Some(len) = repeat_len(rest)? {
                    return self.repetition(len);
                }
                self.pos += 1;
            }
            c => self.pos += c.len_utf8(),
        }
        self.before = Before::Item;
        Ok(())
    }

    fn repetition(&mut self, len: usize) -> Step {
        let start = self.pos;
        self.pos += len;
        let text = &self.pattern[start..self.pos];
        match self.before {
            Before::Nothing => Err(format!("missing argument to repetition operator: `{text}`")),
            Before::Repetition(first) => {
                let text = &self.pattern[first..self.pos];
                Err(format!("invalid nested repetition operator: `{text}`"))
            }
            Before::Item => {
                // `a*?` takes as little as it can; that is one operator.
                self.pos += usize::from(self.rest().starts_with('?'));
                self.before = Before::Repetition(start);
                Ok(())
            }
        }
    }
}

// The length of `{2}`, `{2,}` or `{2,3}`; `None` is a brace and nothing more.
fn repeat_len(rest: &str) -> Result<Option<usize>, String> {
    let Some((inner, _)) = rest[1..].split_once('}') else { return Ok(None) };
    let (min, max) = inner.split_once(',').unwrap_or((inner, inner));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(min) || !(max.is_empty() || is_number(max)) {
        return Ok(None);
    }
    let number =
        |text: &str, or: u32| if text.is_empty() { or } else { text.parse().unwrap_or(u32::MAX) };
    let (min, max) = (number(min, 0), number(max, MAX_REPEAT));
    let text = &rest[..inner.len() + 2];
    if min > MAX_REPEAT || max > MAX_REPEAT || min > max {
        return Err(format!("invalid repeat count: `{text}`"));
    }
    Ok(Some(text.len()))
}

fn escape_len(rest: &str) -> Result<usize, String> {
    let Some(c) = rest[1..].chars().next() else {
        return Err("trailing backslash at end of expression: ``".to_owned());
    };
    let end = 1 + c.len_utf8();
    let is_known = !c.is_ascii_alphanumeric() || "AbBCQEzdDsSwWpPaftnrvx01234567".contains(c);
    if !is_known {
        return Err(format!("invalid escape sequence: `{}`", &rest[..end]));
    }
    if !matches!(c, 'p' | 'P') {
        return Ok(end);
    }
    let len = match rest[end..].chars().next() {
        Some('{') => rest.find('}').map_or(rest.len(), |at| at + 1),
        Some(name) => end + name.len_utf8(),
        None => end,
    };
    let is_letter = len == end + 1 && "CLMNPSZ".contains(&rest[end..len]);
    match is_letter || rest[end..].starts_with('{') && known_class(&rest[end + 1..len]) {
        true => Ok(len),
        false => Err(format!("invalid character class range: `{}`", &rest[..len])),
    }
}

// `Greek}`: whether the engine knows the class.
fn known_class(name: &str) -> bool {
    regex::Regex::new(&format!("\\p{{{name}")).is_ok()
}

fn class_len(rest: &str) -> Result<usize, String> {
    let mut at = 1 + usize::from(rest[1..].starts_with('^'));
    let mut is_first = true;
    let mut low: Option<(usize, char)> = None;
    loop {
        let Some(c) = rest[at..].chars().next() else {
            return Err(format!("missing closing ]: `{rest}`"));
        };
        if c == ']' && !is_first {
            return Ok(at + 1);
        }
        is_first = false;
        if c == '-' && low.is_some() && !rest[at + 1..].starts_with(']') {
            at += 1;
            let Some(high) = rest[at..].chars().next() else { continue };
            let (from, first) = low.take().unwrap_or((at, high));
            if high != '\\' && high < first {
                let text = &rest[from..at + high.len_utf8()];
                return Err(format!("invalid character class range: `{text}`"));
            }
            at += if high == '\\' { escape_len(&rest[at..])? } else { high.len_utf8() };
            continue;
        }
        low = None;
        if let Some(end) = rest[at..].find(":]").filter(|_| rest[at..].starts_with("[:")) {
            at += end + 2;
        } else if c == '\\' {
            at += escape_len(&rest[at..])?;
        } else {
            low = Some((at, c));
            at += c.len_utf8();
        }
    }
}

// The length of `(`, `(?i)`, `(?:` or `(?P<name>`.
fn group_len(rest: &str) -> Result<usize, String> {
    let Some(inner) = rest.strip_prefix("(?") else { return Ok(1) };
    if inner.starts_with("P<") || inner.starts_with('<') {
        let end = rest.find('>').map_or(rest.len(), |at| at + 1);
        let name = rest[..end].split_once('<').and_then(|(_, name)| name.strip_suffix('>'));
        let is_word = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
        };
        return match name.is_some_and(is_word) {
            true => Ok(end),
            false => Err(format!("invalid named capture: `{}`", &rest[..end])),
        };
    }
    for (at, c) in inner.char_indices() {
        match c {
            'i' | 'm' | 's' | 'U' | '-' => {}
            ':' | ')' => return Ok(2 + at + usize::from(c == ':')),
            c => {
                let text = &rest[..2 + at + c.len_utf8()];
                return Err(format!("invalid or unsupported Perl syntax: `{text}`"));
            }
        }
    }
    Err(format!("invalid or unsupported Perl syntax: `{rest}`"))
}

#[cfg(test)]
mod tests {
    use super::mistake;

    // Recorded from Go 1.26's regexp.Compile.
    #[test]
    fn mistakes_are_worded_as_in_go() {
        let cases = [
            ("a[b", "missing closing ]: `[b`"),
            ("[]a", "missing closing ]: `[]a`"),
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a|*", "missing argument to repetition operator: `*`"),
            ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("a{2,1}", "invalid repeat count: `{2,1}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("\\q", "invalid escape sequence: `\\q`"),
            ("a\\", "trailing backslash at end of expression: ``"),
            ("[b-a]", "invalid character class range: `b-a`"),
            ("\\pX", "invalid character class range: `\\pX`"),
            ("\\p{Foo}", "invalid character class range: `\\p{Foo}`"),
            ("(?P<n", "invalid named capture: `(?P<n`"),
            ("(?<=x)y", "invalid named capture: `(?<=x)y`"),
            ("(?z)a", "invalid or unsupported Perl syntax: `(?z`"),
            ("x(?=y)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
        ];
        for (pattern, words) in cases {
            assert_eq!(mistake(pattern), words, "{pattern}");
        }
    }
}
