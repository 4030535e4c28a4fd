//! Errors worded as Go's text/template words them.
//!
//! Owns the error of parsing and running a template, and the error of one function. The text is
//! complete at every level of the chain, as with Go's wrapped errors: print it once.
//! Start at [`Error`].

use crate::budget::Exceeded;

/// Why a template could not be parsed or rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    kind: ErrorKind,
    text: String,
    // What Go's errors.Unwrap would give. Boxed: errors are rare, results are everywhere.
    inner: Option<Box<Error>>,
}

/// What went wrong, for callers that must tell the cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is no template.
    Parse,
    /// Running the template failed; the text names template, line and column.
    Exec,
    /// A function failed; found inside an [`ErrorKind::Exec`] error.
    Function,
    /// A bound of the [`Budget`](crate::Budget) was passed.
    Bound,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), inner: None }
    }

    pub(crate) fn wrapping(kind: ErrorKind, text: impl Into<String>, inner: Error) -> Self {
        let kind = if inner.kind == ErrorKind::Bound { ErrorKind::Bound } else { kind };
        Self { kind, text: text.into(), inner: Some(Box::new(inner)) }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The whole message, causes included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The error one level further in, such as that of an included template.
    #[must_use]
    pub fn inner(&self) -> Option<&Error> {
        self.inner.as_deref()
    }
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::new(ErrorKind::Bound, exceeded.to_string())
    }
}

/// Why a function failed. The template engine adds name, line and column.
///
/// Functions return plain text: `return Err("division by zero".into())`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuncError(pub(crate) Error);

impl FuncError {
    /// A failed function, with the words Go's would use.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Error::new(ErrorKind::Function, text))
    }

    /// A function that failed because a nested render did, with its own words around the cause's.
    /// `text` must contain the cause's text already, as with Go's `%w`.
    #[must_use]
    pub fn wrapping(text: impl Into<String>, inner: Error) -> Self {
        Self(Error::wrapping(ErrorKind::Function, text, inner))
    }
}

impl std::fmt::Display for FuncError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.text())
    }
}

impl std::error::Error for FuncError {}

impl From<String> for FuncError {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for FuncError {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<Exceeded> for FuncError {
    fn from(exceeded: Exceeded) -> Self {
        Self(exceeded.into())
    }
}

/// A nested render's error, passed on as it is.
impl From<Error> for FuncError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}
