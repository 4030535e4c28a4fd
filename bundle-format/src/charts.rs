//! Charts that lie elsewhere: what an index offers, which version is meant, who may ask for it.
//!
//! Owns the reading of Helm's `index.yaml`, the choice of a version, and per-path Helm credentials.
//! Must not know networks. Start at [`read_chart_versions`].

use std::collections::BTreeMap;

use gotemplate::funcs::semver::{Constraints, Version};
use serde_json::Value;

use crate::error::{Classify, ErrorClass};

/// An index whose entry cannot be cut out is read as a whole up to this size.
const WHOLE_INDEX_BYTES_MAX: usize = 8 << 20;
/// One chart's part of an index.
const ENTRY_BYTES_MAX: usize = 16 << 20;

/// One version of a chart, as an index offers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChartVersion {
    /// As written, perhaps with a leading `v`.
    pub version: String,
    /// Where the archive lies; relative ones are relative to the index.
    pub urls: Vec<String>,
    /// sha256 of the archive in hex; empty when the index does not say.
    pub digest: String,
}

/// Why a chart was not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// The index is not what Helm writes.
    #[error("index.yaml: {reason}")]
    Index {
        /// What is wrong.
        reason: String,
    },
    /// No such chart in the index.
    #[error("chart {chart:?} is not in the index")]
    NoChart {
        /// The name.
        chart: String,
    },
    /// The constraint cannot be read.
    #[error("helm.version {version:?}: {reason}")]
    Constraint {
        /// As written.
        version: String,
        /// Why not.
        reason: String,
    },
    /// Nothing fits.
    #[error("no version of chart {chart:?} matches {version:?}")]
    NoVersion {
        /// The name.
        chart: String,
        /// The constraint.
        version: String,
    },
    /// The credentials file cannot be read.
    #[error("secrets-path.yaml: {reason}")]
    Secrets {
        /// What is wrong; never its content.
        reason: String,
    },
}

impl Classify for ChartError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// The versions of one chart in the text of an `index.yaml`.
///
/// Big indexes hold thousands of charts; only the part of the wanted one is parsed, when the index
/// is laid out as Helm writes it.
///
/// # Errors
/// The index or the chart's entry cannot be read, or there is no such chart.
pub fn read_chart_versions(index: &str, chart: &str) -> Result<Vec<ChartVersion>, ChartError> {
    let fail = |reason: String| ChartError::Index { reason };
    let no_chart = || ChartError::NoChart { chart: chart.to_owned() };
    let parse = |text: &str| goyaml::from_str(text).map_err(|e| fail(e.to_string()));
    let entry = match cut_entry(index, chart) {
        Cut::Entry(text) if text.len() <= ENTRY_BYTES_MAX => parse(text)?[chart].clone(),
        Cut::Entry(_) => return Err(fail(format!("the entry of {chart:?} is too long"))),
        Cut::Absent => return Err(no_chart()),
        Cut::Unknown if index.len() <= WHOLE_INDEX_BYTES_MAX => {
            parse(index)?["entries"][chart].clone()
        }
        Cut::Unknown => return Err(fail("is too long".to_owned())),
    };
    let Value::Array(versions) = entry else { return Err(no_chart()) };
    Ok(versions.iter().map(read_version).collect())
}

fn read_version(entry: &Value) -> ChartVersion {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let urls = entry["urls"].as_array().into_iter().flatten();
    ChartVersion {
        version: text("version"),
        urls: urls.filter_map(Value::as_str).map(str::to_owned).collect(),
        digest: text("digest"),
    }
}

/// What cutting by lines found.
enum Cut<'a> {
    Entry(&'a str),
    Absent,
    /// Not laid out as Helm writes it.
    Unknown,
}

/// Cuts `  <chart>:` and its list out of the text, relying on Helm's indentation of two.
fn cut_entry<'a>(index: &'a str, chart: &str) -> Cut<'a> {
    let Some(entries) = find_line(index, 0, "entries:") else { return Cut::Unknown };
    let mut start = None;
    let mut has_keys = false;
    let mut at = entries;
    for line in index[entries..].split_inclusive('\n') {
        let text = line.trim_end();
        let indent = text.len() - text.trim_start().len();
        let is_end = indent == 0 && !text.is_empty() && !text.starts_with(['#', '-']);
        let is_key = indent == 2 && text.ends_with(':') && !text[2..].starts_with(['-', '#']);
        if let (Some(start), true) = (start, is_end || is_key) {
            return Cut::Entry(&index[start..at]);
        }
        if is_end {
            break;
        }
        if is_key {
            has_keys = true;
            let key = text[2..text.len() - 1].trim_matches(['"', '\'']);
            start = (key == chart).then_some(at);
        }
        at += line.len();
    }
    match (start, has_keys) {
        (Some(start), _) => Cut::Entry(&index[start..at]),
        (None, true) => Cut::Absent,
        (None, false) => Cut::Unknown,
    }
}

/// The offset after the line that is exactly `wanted`.
fn find_line(text: &str, from: usize, wanted: &str) -> Option<usize> {
    let mut at = from;
    for line in text[from..].split_inclusive('\n') {
        at += line.len();
        if line.trim_end() == wanted {
            return Some(at);
        }
    }
    None
}

/// The newest of these versions that satisfies a constraint; empty means the newest release.
///
/// An exact version finds itself even where constraints would not (pre-releases, odd texts), as
/// Helm does.
///
/// # Errors
/// The constraint cannot be read, or nothing satisfies it.
pub fn pick_version<'a>(
    versions: &'a [ChartVersion],
    chart: &str,
    constraint: &str,
) -> Result<&'a ChartVersion, ChartError> {
    if let Some(exact) = versions.iter().find(|v| !constraint.is_empty() && v.version == constraint)
    {
        return Ok(exact);
    }
    let text = if constraint.is_empty() { "*" } else { constraint };
    let wanted = Constraints::parse(text).map_err(|e| ChartError::Constraint {
        version: constraint.to_owned(),
        reason: e.to_string(),
    })?;
    let parsed = versions.iter().filter_map(|v| Some((Version::parse(&v.version).ok()?, v)));
    let fitting = parsed.filter(|(version, _)| wanted.matches(version));
    let newest = fitting.max_by(|(a, _), (b, _)| a.precedence(b));
    newest.map(|(_, version)| version).ok_or_else(|| ChartError::NoVersion {
        chart: chart.to_owned(),
        version: constraint.to_owned(),
    })
}

/// Whether a text names one version and no range, so that it may be remembered.
pub fn is_exact_version(text: &str) -> bool {
    let digits = text.strip_prefix('v').unwrap_or(text);
    digits.split('.').count() >= 3
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && Version::parse(text).is_ok()
}

/// Helm credentials of one path of a GitRepo.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PathCredentials {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
    /// CA certificates, PEM.
    pub ca_bundle: String,
    /// Skips the check of the server's certificate.
    pub insecure_skip_verify: bool,
    /// Speaks plain http to registries.
    pub basic_http: bool,
}

impl std::fmt::Debug for PathCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PathCredentials(..)")
    }
}

/// Reads key `secrets-path.yaml` of the Secret that `helmSecretNameForPaths` names: path or
/// pattern → credentials.
///
/// # Errors
/// Not YAML, or not a map of maps.
pub fn read_path_credentials(text: &str) -> Result<BTreeMap<String, PathCredentials>, ChartError> {
    let fail = |reason: &str| ChartError::Secrets { reason: reason.to_owned() };
    // The parser's words may quote the line, and the line may hold a password.
    let document = goyaml::from_str(text).map_err(|_| fail("is not YAML"))?;
    let Value::Object(paths) = document else { return Err(fail("is not a map of paths")) };
    let mut credentials = BTreeMap::new();
    for (path, entry) in paths {
        let Value::Object(entry) = entry else { return Err(fail("a path holds no map")) };
        let text =
            |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let flag = |key: &str| entry.get(key).is_some_and(|v| *v == true || *v == "true");
        credentials.insert(
            path,
            PathCredentials {
                username: text("username"),
                password: text("password"),
                ca_bundle: text("caBundle"),
                insecure_skip_verify: flag("insecureSkipVerify"),
                basic_http: flag("basicHTTP"),
            },
        );
    }
    Ok(credentials)
}

/// The credentials of a bundle's folder: those of exactly its path, else of the first pattern, in
/// the order of their texts, that matches it. Folders above do not count (Fleet 0.16).
pub fn credentials_for<'a>(
    credentials: &'a BTreeMap<String, PathCredentials>,
    path: &str,
) -> Option<&'a PathCredentials> {
    let path = if path.is_empty() { "." } else { path };
    credentials.get(path).or_else(|| {
        let pattern = |text: &str| globset::GlobBuilder::new(text).literal_separator(true).build();
        let mut patterns = credentials.iter();
        patterns.find_map(|(text, found)| {
            let matcher = pattern(text).ok()?.compile_matcher();
            matcher.is_match(path).then_some(found)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
apiVersion: v1
entries:
  alpine:
  - name: alpine
    version: 0.2.0
    digest: aa
    urls:
    - charts/alpine-0.2.0.tgz
  - name: alpine
    version: 0.10.0
    urls: [https://cdn.example/alpine-0.10.0.tgz]
  - name: alpine
    version: 1.0.0-rc.1
    urls: []
  nginx:
  - name: nginx
    version: v1.1.0
    urls:
    - nginx-1.1.0.tgz
generated: \"2026-01-01T00:00:00Z\"
";

    fn picked(chart: &str, constraint: &str) -> Result<String, ChartError> {
        let versions = read_chart_versions(INDEX, chart)?;
        pick_version(&versions, chart, constraint).map(|version| version.version.clone())
    }

    #[test]
    fn the_newest_release_is_meant_unless_a_version_says_otherwise() {
        assert_eq!(picked("alpine", ""), Ok("0.10.0".into()));
        assert_eq!(picked("alpine", "~0.2"), Ok("0.2.0".into()));
        assert_eq!(picked("alpine", "1.0.0-rc.1"), Ok("1.0.0-rc.1".into()));
        assert_eq!(picked("nginx", "1.x"), Ok("v1.1.0".into()));
        assert!(matches!(picked("alpine", "^2"), Err(ChartError::NoVersion { .. })));
        assert!(matches!(picked("alpine", "nope"), Err(ChartError::Constraint { .. })));
        assert!(matches!(picked("redis", ""), Err(ChartError::NoChart { .. })));
    }

    #[test]
    fn an_index_in_another_layout_is_read_as_a_whole() {
        let json = r#"{"entries": {"a": [{"version": "1.0.0", "urls": ["a.tgz"]}]}}"#;
        assert_eq!(
            read_chart_versions(json, "a").map(|v| v[0].urls.clone()),
            Ok(vec!["a.tgz".into()])
        );
        let last = "entries:\n  a:\n  - version: 1.0.0\n";
        assert_eq!(read_chart_versions(last, "a").map(|v| v.len()), Ok(1));
        assert!(read_chart_versions("<html>", "a").is_err());
    }

    #[test]
    fn exact_versions_are_told_from_ranges() {
        for (text, exact) in [
            ("1.2.3", true),
            ("v1.2.3-rc.1", true),
            ("1.2", false),
            ("1.2.x", false),
            ("^1.2.3", false),
            ("", false),
        ] {
            assert_eq!(is_exact_version(text), exact, "{text}");
        }
    }

    #[test]
    fn credentials_of_a_path_are_exact_or_by_pattern() -> Result<(), ChartError> {
        let text = "a/b: {username: exact}\n'a/*': {username: pattern, basicHTTP: true}\n";
        let all = read_path_credentials(text)?;
        let user = |path: &str| credentials_for(&all, path).map(|found| found.username.clone());
        assert_eq!(user("a/b"), Some("exact".into()));
        assert_eq!(user("a/c"), Some("pattern".into()));
        assert_eq!(user("a/c/d"), None);
        let error = read_path_credentials("a: {password: 's3cret").map_err(|e| e.to_string());
        assert!(error.is_err_and(|text| !text.contains("s3cret")));
        Ok(())
    }
}
