//! The one error of this crate: what is wrong and where.
//!
//! Owns positions of problems and the exact text Go prints for them. Knows nothing of files:
//! callers put the file name in front. Start at [`Error`].

/// Says why a text is not readable as YAML or JSON, and where.
///
/// `Display` prints the text Go prints (`sigs.k8s.io/yaml` 1.6 on go-yaml v2.4), e.g.
/// `yaml: line 4: did not find expected key`. Go's line is sometimes one less than the true one;
/// [`Error::line`] is always the true one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.go_text())]
pub struct Error {
    /// Line of the problem, counted from 1; 0 when the problem has no place.
    pub line: usize,
    /// Column of the problem in characters, counted from 1; 0 when the problem has no place.
    pub column: usize,
    /// What is wrong, without position and without the prefix `yaml:`.
    pub message: String,
    prefix: Prefix,
    go_line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    /// go-yaml: `yaml: line 4: …`.
    Yaml,
    /// go-yaml collects these: `yaml: unmarshal errors:\n  line 4: …`.
    YamlList,
    /// encoding/json and the converter of sigs.k8s.io/yaml put nothing in front.
    None,
}

/// A place in the text, counted from 0 as the scanner does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Characters since the start of the text.
    pub(crate) index: usize,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Error {
    fn new(prefix: Prefix, mark: Option<Mark>, message: String) -> Error {
        let (line, column) =
            mark.map_or((0, 0), |at| (at.line as usize + 1, at.column as usize + 1));
        Error { line, column, message, prefix, go_line: line }
    }

    /// A problem the scanner met at `at`; `context` is where the broken token started.
    pub(crate) fn scanner(at: Mark, context: Mark, message: impl Into<String>) -> Error {
        // Go leaves the line out when the problem is on the first line, unless the token it
        // belongs to started further down (which cannot be) or the line is known otherwise.
        let go_line = if at.line != 0 { at.line + 1 } else { context.line };
        Error { go_line: go_line as usize, ..Error::new(Prefix::Yaml, Some(at), message.into()) }
    }

    /// A problem the parser met at the token that starts at `at`.
    pub(crate) fn parser(at: Mark, context: Mark, message: impl Into<String>) -> Error {
        // go-yaml v2 prints the parser's lines counted from 0.
        let go_line = if at.line != 0 { at.line } else { context.line };
        Error { go_line: go_line as usize, ..Error::new(Prefix::Yaml, Some(at), message.into()) }
    }

    /// A problem with a node that is well formed; Go prints no line for these.
    pub(crate) fn node(at: Mark, message: impl Into<String>) -> Error {
        Error { go_line: 0, ..Error::new(Prefix::Yaml, Some(at), message.into()) }
    }

    /// A problem of one node that Go collects in a list with line numbers.
    pub(crate) fn listed(at: Mark, message: impl Into<String>) -> Error {
        Error::new(Prefix::YamlList, Some(at), message.into())
    }

    /// A problem of the step from YAML to JSON.
    pub(crate) fn conversion(at: Option<Mark>, message: impl Into<String>) -> Error {
        Error::new(Prefix::None, at, message.into())
    }

    fn go_text(&self) -> String {
        match self.prefix {
            Prefix::None => self.message.clone(),
            Prefix::Yaml if self.go_line == 0 => format!("yaml: {}", self.message),
            Prefix::Yaml => format!("yaml: line {}: {}", self.go_line, self.message),
            Prefix::YamlList => {
                format!("yaml: unmarshal errors:\n  line {}: {}", self.go_line, self.message)
            }
        }
    }
}
