//! Why a pass failed.
//!
//! Owns the errors common to all reconcilers of this crate and their class.

use bundle_format::error::{Classify, ErrorClass};
use runtime::ApiError;
use runtime::client::ClientError;

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or could not be reached.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A cluster's API server cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something a user has to change; it stands in the status already.
    #[error("{object}: {detail}")]
    User {
        /// Which object.
        object: String,
        /// What is wrong and how to fix it.
        detail: String,
    },
    /// Something that is about to exist does not exist yet.
    #[error("waiting for {what}")]
    NotYet {
        /// What is missing.
        what: String,
    },
    /// An invariant broke.
    #[error("{what}; please report this")]
    Bug {
        /// Which.
        what: String,
    },
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Api(error) => error.class(),
            Self::Client(error) => error.class(),
            Self::User { .. } => ErrorClass::User,
            Self::NotYet { .. } => ErrorClass::Unavailable,
            Self::Bug { .. } => ErrorClass::Bug,
        }
    }
}
