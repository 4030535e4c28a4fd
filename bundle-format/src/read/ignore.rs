//! `.fleetignore`: names that stay out of a bundle.
//!
//! Owns the syntax and what a pattern applies to. Must not know how folders are walked. Start at
//! [`IgnoreRules`].

use super::glob::{Glob, GlobError};

/// Name of the file.
pub(crate) const FILE_NAME: &str = ".fleetignore";

/// The patterns of one `.fleetignore`; they hold for its folder and everything below.
#[derive(Clone, Debug, Default)]
pub(crate) struct IgnoreRules(Vec<Rule>);

#[derive(Clone, Debug)]
enum Rule {
    /// `dir/*`: folders of exactly this base name.
    Folder(String),
    /// Anything else: base names that fit.
    Name(Glob),
}

impl IgnoreRules {
    /// Reads a `.fleetignore` (Fleet 0.16, golden `extra-ignore`).
    ///
    /// # Errors
    /// A pattern with an unclosed class or a backslash at its end.
    pub(crate) fn parse(text: &str) -> Result<Self, GlobError> {
        let mut rules = Vec::new();
        for line in text.split('\n') {
            let line = trim_blanks(line.strip_suffix('\r').unwrap_or(line));
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // A pattern with `/*` in it that is not exactly `name/*` names a folder that cannot
            // exist: base names have no slash. Keeping it keeps the reference's behaviour.
            rules.push(match line.find("/*") {
                Some(at) if at > 0 => {
                    Rule::Folder(line.strip_suffix("/*").unwrap_or(line).to_owned())
                }
                _ => Rule::Name(Glob::parse(line)?),
            });
        }
        Ok(Self(rules))
    }

    /// True when a base name below the rules' folder stays out.
    pub(crate) fn ignores(&self, name: &str, is_folder: bool) -> bool {
        self.0.iter().any(|rule| match rule {
            Rule::Folder(folder) => is_folder && folder == name,
            Rule::Name(glob) => glob.matches(name),
        })
    }
}

/// Cuts blanks at the end of a line, but keeps the first one when a backslash stands before it.
fn trim_blanks(line: &str) -> &str {
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\x0c' | '\x0b');
    let trimmed = line.trim_end_matches(is_blank);
    if trimmed.len() == line.len() {
        return line;
    }
    match trimmed.chars().next_back() {
        // `a\ ` keeps its escaped blank; a line of blanks keeps one, as the reference does.
        Some('\\') | None => &line[..=trimmed.len()],
        Some(_) => trimmed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_apply_to_base_names() {
        // Facts of golden `extra-ignore` and fleet-yaml 2.5.
        let rules = IgnoreRules::parse("# c\n*.md\r\nskip/\n!keep.md\nsub/*.txt\ncharts/*\nb\\ \n")
            .expect("well formed");
        for (name, is_folder, expected) in [
            ("a.md", false, true),
            ("keep.md", false, true),
            ("skip", true, false),
            ("x.txt", false, false),
            ("charts", true, true),
            ("charts", false, false),
            ("b ", false, true),
            ("# c", false, false),
        ] {
            assert_eq!(rules.ignores(name, is_folder), expected, "{name}");
        }
        assert!(IgnoreRules::parse("a[").is_err());
    }
}
