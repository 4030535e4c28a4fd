//! What can go wrong with a deployment, in words that name object, value and remedy.
//!
//! Owns the variants, their classes, and which of them Fleet calls fatal. Must not know what is done about them.
//! Start at [`Error`].

use bundle_format::content::ContentError;
use runtime::{Classify, ErrorClass, chain};

use crate::live::execute::RefusedObject;
use crate::live::hooks;
use crate::live::member::CallError;
use crate::live::releases;
use crate::live::wait::TimedOut;
use crate::plan::ObjectKey;
use crate::plan::apply::Refusal;
use crate::{content, namespace, values};

/// Why a version did not get into the cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The deployment id of the hub cannot be read.
    #[error("read the deployment id")]
    Id(#[source] ContentError),
    /// The bundle needs something that this version of the agent cannot do.
    #[error("{what} is not supported by this agent yet")]
    NotServed {
        /// What.
        what: String,
    },
    /// The account to impersonate does not exist.
    #[error("looking up service account {namespace}/{name}: ServiceAccount \"{name}\" not found")]
    NoAccount {
        /// Namespace of the agent.
        namespace: String,
        /// Name of the account.
        name: String,
    },
    /// The content could not be fetched.
    #[error(transparent)]
    Content(#[from] content::Error),
    /// The values could not be read.
    #[error(transparent)]
    Values(#[from] values::Error),
    /// The bundle cannot be rendered.
    #[error(transparent)]
    Render(#[from] render::Error),
    /// Rendering was cut off.
    #[error("rendering stopped before it was done")]
    RenderStopped,
    /// An object has no usable name.
    #[error(
        "{file}, document at line {line}: {kind} has no metadata.name, or one that YAML does not read as text; \
         quote names such as n, yes or 1"
    )]
    NoName {
        /// File of the object.
        file: String,
        /// Line of its document.
        line: usize,
        /// Kind of the object.
        kind: String,
    },
    /// The cluster does not serve a kind.
    #[error(
        "unable to build kubernetes objects from release manifest: resource mapping not found for name: \"{name}\" \
         namespace: \"{namespace}\" from \"{file}\": no matches for kind \"{kind}\" in version \"{api_version}\"\n\
         ensure CRDs are installed first"
    )]
    UnknownKind {
        /// Name of the object.
        name: String,
        /// Namespace of the object.
        namespace: String,
        /// File of the object.
        file: String,
        /// Kind of the object.
        kind: String,
        /// Version of the object.
        api_version: String,
    },
    /// The namespace of the release is not as it must be.
    #[error(transparent)]
    Namespace(#[from] namespace::Error),
    /// An object exists and belongs to somebody else.
    #[error(transparent)]
    NotOurs(#[from] Refusal),
    /// A release record could not be read or written.
    #[error(transparent)]
    Record(#[from] releases::Error),
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The API server refused objects.
    #[error("{}", refusal_text(.0))]
    Refused(Vec<RefusedObject>),
    /// A hook failed.
    #[error(transparent)]
    Hook(#[from] hooks::Error),
    /// The objects did not get ready in time.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    /// A failure of an atomic release, which was undone.
    #[error("release {release} failed, and has been rolled back due to atomic being set: {cause}")]
    RolledBack {
        /// The release.
        release: String,
        /// What failed.
        cause: Box<Error>,
    },
}

impl Error {
    /// Nothing was, or stays, applied, and trying again changes nothing: Fleet's "fatal" errors.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::NotOurs(_) | Self::TimedOut(_) | Self::RolledBack { .. } => true,
            Self::Render(render::Error::Helm(error)) => {
                matches!(error, render::helm::Error::KubeVersion { .. })
            }
            _ => false,
        }
    }

    /// Waits for a kind to be served.
    #[must_use]
    pub fn awaits_kind(&self) -> bool {
        matches!(self, Self::UnknownKind { .. } | Self::Call(CallError::UnknownKind { .. }))
    }
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Content(error) => error.class(),
            Self::Values(error) => error.class(),
            Self::Record(error) => error.class(),
            Self::Call(error) => error.class(),
            Self::Namespace(error) => error.class(),
            Self::RenderStopped => ErrorClass::Unavailable,
            Self::Refused(objects) => {
                let transient =
                    objects.iter().all(|object| object.error.class() == ErrorClass::Unavailable);
                let forbidden = objects.iter().any(|object| object.error.code() == Some(403));
                if transient && !forbidden { ErrorClass::Unavailable } else { ErrorClass::User }
            }
            _ => ErrorClass::User,
        }
    }
}

fn refusal_text(objects: &[RefusedObject]) -> String {
    let lines: Vec<String> = objects.iter().map(refused_line).collect();
    lines.join("; ")
}

/// One refused object in the words of the reference.
fn refused_line(object: &RefusedObject) -> String {
    let (group, version) =
        object.key.api_version.rsplit_once('/').unwrap_or(("", &object.key.api_version));
    let words = refusal_words(object);
    let ObjectKey { namespace, name, kind, .. } = &object.key;
    let name = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
    format!("server-side apply failed for object {name} {group}/{version}, Kind={kind}: {words}")
}

/// The server's words on an object; those on a Secret may quote its contents and are left out.
#[must_use]
pub fn refusal_words(object: &RefusedObject) -> String {
    let is_secret = object.key.kind == "Secret" && object.key.group().is_empty();
    match object.error.code() {
        // These answers speak of names and rights only.
        Some(401 | 403 | 404 | 409) | None => server_words(&object.error),
        Some(code) if is_secret => format!(
            "the API server refuses it (HTTP {code}); its words may quote the secret and are left out"
        ),
        Some(_) => server_words(&object.error),
    }
}

/// The server's own sentence, without our action in front of it.
#[must_use]
pub fn server_words(error: &CallError) -> String {
    match error {
        CallError::Api(error) => error.source.to_string(),
        other => chain(other),
    }
}
