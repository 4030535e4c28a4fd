//! Says what an error means for the next attempt.
//!
//! Owns the four classes and nothing else: the class alone decides on retry, status and log level
//! (never the text of an error). Start at [`ErrorClass`].

/// What has to happen before another attempt can succeed.
///
/// | class | next pass | status says | log |
/// |---|---|---|---|
/// | `User` | on the next change | failed, and the fix | `warn`, once |
/// | `Conflict` | at once, with a fresh read | nothing new | `debug` |
/// | `Unavailable` | backoff | still trying, since when | `warn` with the attempt number |
/// | `Bug` | long backoff | internal error, and where to report it | `error` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// The spec, the repository or a setting must change first.
    User,
    /// Someone else wrote the object first: read again, decide again.
    Conflict,
    /// The network, an API or a rate limit: the same attempt may succeed later.
    Unavailable,
    /// An invariant of ours broke.
    Bug,
}

impl ErrorClass {
    /// The word used as a metrics label and as a log field.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Bug => "bug",
        }
    }
}

impl std::fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that knows its class. Every error enum of the project implements it.
pub trait Classify: std::error::Error {
    /// The class that decides what happens next.
    fn class(&self) -> ErrorClass;
}

/// Prints an error and its causes as one line, `outer: inner: innermost`.
///
/// Messages describe only their own layer, so the edge that reports an error joins them once.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Transparent wrappers print their source themselves; saying it twice helps nobody.
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
