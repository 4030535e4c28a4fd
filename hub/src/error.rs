//! Errors as Kubernetes says them: a `Status` object with code, reason and details.
//!
//! Owns the words of kube-apiserver 1.36, which scripts and clients read. Knows nothing of HTTP
//! bodies. Start at [`ApiError`].

use serde_json::{Value, json};

use crate::store::StoreError;

/// One field that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) field: String,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Cause {
        Cause { field: field.into(), reason: "FieldValueInvalid", message: message.into() }
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Cause {
        let message = format!("Forbidden: {detail}");
        Cause { field: field.into(), reason: "FieldValueForbidden", message }
    }

    /// `found` as JSON, `supported` in the order of the peer.
    pub(crate) fn unsupported(field: impl Into<String>, found: &str, supported: &[&str]) -> Cause {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let message = format!("Unsupported value: {found}: supported values: {}", list.join(", "));
        Cause { field: field.into(), reason: "FieldValueNotSupported", message }
    }

    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Cause {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Cause { field: field.into(), reason: "FieldValueRequired", message }
    }
}

/// Each text once, as the peer joins them.
fn without_repeats(texts: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    texts.into_iter().filter(|text| seen.insert(text.clone())).collect()
}

/// What an error is about: group and plural of the resource, name of the object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) name: String,
}

impl About {
    /// `plural.group`, the form used in messages.
    fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    about: About,
    causes: Vec<Cause>,
    uid: Option<String>,
    /// `details` is there even when it holds nothing: what the peer's generic errors do.
    has_details: bool,
    retry_after_seconds: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        let (about, causes, uid, retry_after_seconds) = Default::default();
        let (message, has_details) = (message.into(), false);
        ApiError { code, reason, message, about, causes, uid, has_details, retry_after_seconds }
    }

    /// An error with `details` that may be empty.
    pub(crate) fn generic(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { has_details: true, ..ApiError::new(code, reason, message) }
    }

    /// 500 without a reason: an error that the peer did not foresee as one of the API.
    pub(crate) fn plain(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "", message)
    }

    /// 404 for a path without a resource.
    pub(crate) fn no_resource() -> ApiError {
        ApiError::generic(404, "NotFound", "the server could not find the requested resource")
    }

    /// 422 for the options of a request: `CreateOptions`, `ListOptions` and the like.
    pub(crate) fn bad_options(kind: &str, cause: Cause) -> ApiError {
        ApiError::invalid("meta.k8s.io", kind, "", vec![cause])
    }

    fn about(mut self, about: &About) -> ApiError {
        self.about = about.clone();
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "BadRequest", message)
    }

    pub(crate) fn unauthorized() -> ApiError {
        ApiError::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn not_found(about: &About) -> ApiError {
        let message = format!("{} {:?} not found", about.qualified(), about.name);
        ApiError::new(404, "NotFound", message).about(about)
    }

    pub(crate) fn exists(about: &About) -> ApiError {
        let message = format!("{} {:?} already exists", about.qualified(), about.name);
        ApiError::new(409, "AlreadyExists", message).about(about)
    }

    pub(crate) fn conflict(about: &About, why: &str) -> ApiError {
        let (what, name) = (about.qualified(), &about.name);
        let message = format!("Operation cannot be fulfilled on {what} {name:?}: {why}");
        ApiError::new(409, "Conflict", message).about(about)
    }

    pub(crate) fn modified(about: &About) -> ApiError {
        ApiError::conflict(
            about,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn forbidden(about: &About, why: &str) -> ApiError {
        let what = about.qualified();
        let message = if about.name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} {:?} is forbidden: {why}", about.name)
        };
        ApiError::new(403, "Forbidden", message).about(about)
    }

    /// 422: `kind` here is the kind, not the plural, as the peer does it.
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> ApiError {
        let about =
            About { group: group.to_owned(), resource: kind.to_owned(), name: name.to_owned() };
        let texts: Vec<String> =
            causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let texts = without_repeats(texts);
        let list = match &texts[..] {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let message = format!("{qualified} {name:?} is invalid: {list}");
        let mut error = ApiError::new(422, "Invalid", message).about(&about);
        error.causes = causes;
        error
    }

    pub(crate) fn expired(message: impl Into<String>) -> ApiError {
        ApiError::new(410, "Expired", message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "InternalError", message)
    }

    pub(crate) fn unsupported_media(found: &str, accepted: &str) -> ApiError {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        tracing::debug!(found, "media type refused");
        ApiError::new(415, "UnsupportedMediaType", message)
    }

    /// Adds the fields in dispute to a conflict of server-side apply.
    pub(crate) fn with_causes(mut self, causes: Vec<Cause>) -> ApiError {
        self.causes = causes;
        self
    }

    pub(crate) fn from_store(error: &StoreError, about: &About) -> ApiError {
        match error {
            StoreError::Exists => ApiError::exists(about),
            StoreError::Conflict => ApiError::modified(about),
            StoreError::Gone { .. } => ApiError::expired(error.to_string()),
            StoreError::Future { .. } => {
                let mut e = ApiError::new(504, "Timeout", format!("Timeout: {error}"));
                e.retry_after_seconds = Some(1);
                e.causes = vec![Cause {
                    field: String::new(),
                    reason: "ResourceVersionTooLarge",
                    message: "Too large resource version".into(),
                }];
                e
            }
            StoreError::Disk { .. } | StoreError::InUse { .. } => {
                ApiError::internal(error.to_string())
            }
        }
    }

    /// The `Status` object that a client reads.
    pub(crate) fn status(&self) -> Value {
        let mut details = serde_json::Map::new();
        let mut put = |key: &str, text: &str| {
            if !text.is_empty() {
                details.insert(key.to_owned(), text.into());
            }
        };
        put("name", &self.about.name);
        put("group", &self.about.group);
        put("kind", &self.about.resource);
        put("uid", self.uid.as_deref().unwrap_or_default());
        if !self.causes.is_empty() {
            let cause = |c: &Cause| {
                let mut row = json!({"reason": c.reason, "message": c.message});
                if !c.field.is_empty() {
                    row["field"] = c.field.as_str().into();
                }
                row
            };
            details.insert("causes".into(), self.causes.iter().map(cause).collect());
        }
        if let Some(seconds) = self.retry_after_seconds {
            details.insert("retryAfterSeconds".into(), seconds.into());
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !details.is_empty() || self.has_details {
            status["details"] = Value::Object(details);
        }
        status
    }
}
