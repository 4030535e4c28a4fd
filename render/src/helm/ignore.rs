//! `.helmignore`: which files of a chart folder are not part of the chart.
//!
//! Helm's rules, not git's: the first matching rule decides, `**` is refused, a rule without a
//! slash matches base names only. Start at [`IgnoreRules::ignores`].

use super::error::Error;
use super::glob::Glob;

/// The rules of one `.helmignore`, and Helm's own: dot files below `templates/` are ignored.
#[derive(Clone, Debug)]
pub struct IgnoreRules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    /// `None` matches nothing.
    pattern: Option<Glob>,
    negated: bool,
    only_folders: bool,
    whole_path: bool,
}

impl IgnoreRules {
    /// Reads the rules.
    ///
    /// # Errors
    /// When a rule is no pattern.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut rules = Vec::new();
        for line in text.trim_start_matches('\u{feff}').lines() {
            rules.extend(parse_rule(line)?);
        }
        rules.extend(parse_rule("templates/.?*")?);
        Ok(Self(rules))
    }

    /// Whether a file is left out, by itself or with a folder it is in.
    #[must_use]
    pub fn ignores(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        folders.into_iter().any(|folder| self.ignores_entry(folder, true))
            || self.ignores_entry(path, false)
    }

    /// Whether a rule names this entry itself; for those who walk folders from the top.
    #[must_use]
    pub fn ignores_entry(&self, path: &str, is_folder: bool) -> bool {
        for rule in &self.0 {
            let hit = (is_folder || !rule.only_folders) && rule.matches(path);
            // As Helm has it: a negated rule ignores everything it does not match.
            if hit != rule.negated {
                return true;
            }
        }
        false
    }
}

impl Rule {
    fn matches(&self, path: &str) -> bool {
        let base = path.rsplit('/').next().unwrap_or(path);
        let name = if self.whole_path { path } else { base };
        self.pattern.as_ref().is_some_and(|pattern| pattern.matches(name))
    }
}

fn parse_rule(line: &str) -> Result<Option<Rule>, Error> {
    let text = line.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    if text.contains("**") {
        return Err(Error::Ignore("double-star (**) syntax is not supported".to_owned()));
    }
    if Glob::file(text).is_none() {
        return Err(Error::Ignore(format!("syntax error in pattern {text:?}")));
    }
    let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let (only_folders, text) = text.strip_suffix('/').map_or((false, text), |rest| (true, rest));
    let (rooted, pattern) = text.strip_prefix('/').map_or((false, text), |rest| (true, rest));
    let whole_path = rooted || pattern.contains('/');
    Ok(Some(Rule { pattern: Glob::file(pattern), negated, only_folders, whole_path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match_names_paths_and_folders() {
        let rules = IgnoreRules::parse("*.bak\n/top.txt\ndocs/\na/b.txt\n# note\n").unwrap();
        for (path, ignored) in [
            ("x/y.bak", true),
            ("top.txt", true),
            ("sub/top.txt", false),
            ("docs/readme.md", true),
            ("x/docs/readme.md", true),
            ("a/b.txt", true),
            ("x/a/b.txt", false),
            ("templates/.hidden", true),
            ("templates/x.yaml", false),
        ] {
            assert_eq!(rules.ignores(path), ignored, "{path}");
        }
        assert!(IgnoreRules::parse("a/**").is_err());
    }
}
