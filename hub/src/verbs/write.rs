//! What every changing verb shares: decode, normalise, check, commit, tell the workers.
//!
//! Owns the order of these steps and the retry on conflict. The rules of kinds are in `strategy`,
//! those of CRD schemas in `schema`. Start at [`create`] and [`modify`].

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::error::ApiError;
use crate::managed_fields::Writer;
use crate::meta;
use crate::registry::Kind;
use crate::server::{Call, Server};
use crate::store::{Committed, Expect, Key, Write};
use crate::strategy::{self, Part};
use crate::{StoreError, User};
use crate::{media, strategy::check};

/// Attempts of a change that names no resourceVersion, before the client hears of the conflict.
const MAX_ATTEMPTS_COUNT: usize = 100;

/// What to do about fields that the kind does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// How a write is meant.
#[derive(Debug, Clone)]
pub(crate) struct How {
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    pub(crate) manager: String,
    pub(crate) part: Part,
    /// Who writes; `None` for the server's own workers.
    pub(crate) user: Option<User>,
    /// `status`, `scale` and the like, as field managers are told apart by it.
    pub(crate) subresource: &'static str,
    /// The object comes from an apply: its `managedFields` are right as they are.
    pub(crate) brings_owners: bool,
    /// Paths of fields that the body names twice.
    pub(crate) repeated: Vec<String>,
}

impl How {
    /// As the server's own workers write.
    pub(crate) fn internal(manager: &str) -> How {
        How {
            dry_run: false,
            validation: FieldValidation::Ignore,
            manager: manager.to_owned(),
            part: Part::Main,
            user: None,
            subresource: "",
            brings_owners: false,
            repeated: Vec::new(),
        }
    }

    pub(crate) fn of(call: &Call) -> Result<How, ApiError> {
        let validation = match call.query.text("fieldValidation") {
            Some("Ignore") => FieldValidation::Ignore,
            None | Some("Warn") => FieldValidation::Warn,
            // `options` has refused every other word.
            Some(_) => FieldValidation::Strict,
        };
        let (part, subresource) = match call.path.subresource.as_deref() {
            Some("status") => (Part::Status, "status"),
            Some("finalize") => (Part::Finalize, "finalize"),
            Some("scale") => (Part::Main, "scale"),
            _ => (Part::Main, ""),
        };
        let (dry_run, manager) = (call.query.is_dry_run(), call.manager.clone());
        let user = Some(call.user.clone());
        let brings_owners = false;
        let repeated = match validation {
            FieldValidation::Ignore => Vec::new(),
            _ => crate::body_check::repeated_fields(&call.content_type, &call.body),
        };
        Ok(How { dry_run, validation, manager, part, user, subresource, brings_owners, repeated })
    }
}

/// What a write came to.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
    /// The object as it was stored, if it was.
    text: Option<Bytes>,
}

impl Done {
    fn not_stored(object: Value, warnings: Vec<String>) -> Done {
        Done { object, warnings, text: None }
    }

    fn stored(committed: Committed, warnings: Vec<String>) -> Done {
        Done { object: committed.object, warnings, text: Some(committed.text) }
    }

    /// The object as JSON.
    pub(crate) fn text(&self) -> Bytes {
        self.text.clone().unwrap_or_else(|| super::show::to_bytes(&self.object))
    }
}

/// Reads the body as an object of the call's kind.
pub(crate) fn decode(call: &Call) -> Result<Value, ApiError> {
    let name = &call.kind.kind;
    let unrecognised = |why: &str| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {name}): {why} ({})",
            summary(&call.body)
        ))
    };
    let mut object = media::decode(&call.content_type, &call.body).map_err(|error| match error
        .message
        .starts_with("couldn't get version/kind")
    {
        true => unrecognised(&error.message),
        false => error,
    })?;
    if call.kind.is_custom() && object.is_object() {
        for (field, label) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
            if object[field].as_str().unwrap_or_default().is_empty() {
                let text = String::from_utf8_lossy(&call.body);
                return Err(unrecognised(&format!("Object '{label}' is missing in '{text}'")));
            }
        }
    }
    check_identity(&mut object, &call.kind)?;
    Ok(object)
}

/// The start of a body, as the peer quotes it.
fn summary(body: &[u8]) -> String {
    const MAX_BYTES: usize = 30;
    if body.len() <= MAX_BYTES {
        return String::from_utf8_lossy(body).into_owned();
    }
    format!("{} ...", String::from_utf8_lossy(&body[..MAX_BYTES]))
}

/// Checks `apiVersion` and `kind`; a built-in kind may leave them out.
pub(crate) fn check_identity(object: &mut Value, kind: &Kind) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the body is not an object"));
    }
    let wanted = kind.api_version();
    for (field, expected) in [("kind", kind.kind.as_str()), ("apiVersion", wanted.as_str())] {
        match object[field].as_str() {
            Some(found) if found == expected => {}
            None | Some("") if !kind.is_custom() => object[field] = expected.into(),
            None | Some("") => {
                let label = if field == "kind" { "Kind" } else { "apiVersion" };
                return Err(ApiError::bad_request(format!(
                    "Object '{label}' is missing in '{object}'"
                )));
            }
            Some(found) if field == "kind" && kind.is_custom() => {
                let why = format!("Invalid value: {found:?}: must be {expected}");
                let name = meta::text(object, "name");
                let cause = crate::error::Cause::invalid("kind", why);
                return Err(ApiError::invalid(&kind.group, found, name, vec![cause]));
            }
            Some(found) if field == "kind" => {
                return Err(ApiError::bad_request(format!(
                    "{found} in version {0:?} cannot be handled as a {expected}: converting ({0}.{found}) to ({1}.{expected}): unknown conversion",
                    kind.version,
                    kind.internal_group()
                )));
            }
            Some(found) if !kind.is_custom() => {
                return Err(ApiError::bad_request(format!(
                    "{0} in version {found:?} cannot be handled as a {0}: no kind {0:?} is registered for version {found:?} in scheme \"pkg/runtime/scheme.go:111\"",
                    kind.kind
                )));
            }
            Some(found) => {
                return Err(ApiError::bad_request(format!(
                    "the API version in the data ({found}) does not match the expected API version ({expected})"
                )));
            }
        }
    }
    Ok(())
}

/// Stores a new object.
pub(crate) async fn create(
    server: &Arc<Server>,
    kind: &Kind,
    namespace: Option<&str>,
    mut object: Value,
    how: &How,
) -> Result<Done, ApiError> {
    if !kind.is_custom() && object["kind"].is_null() {
        // The server's own writers name only what matters.
        object["kind"] = kind.kind.as_str().into();
        object["apiVersion"] = kind.api_version().into();
    }
    strategy::place(kind, namespace, &mut object)?;
    if namespace.is_some() || kind.namespaced {
        check_namespace(server, kind, namespace.unwrap_or_default(), &object)?;
    }
    if !meta::text(&object, "resourceVersion").is_empty() {
        let message = "resourceVersion should not be set on objects to be created";
        return Err(ApiError::plain(message));
    }
    let mut warnings = normalise(kind, &mut object, how)?;
    warnings.extend(rule_warnings(kind, &object));
    let generated = meta::text(&object, "name").is_empty();
    if generated {
        strategy::generate_name(kind, &mut object, &server.world)?;
    }
    let mut owners = meta::metadata_mut(&mut object).remove("managedFields");
    if !how.brings_owners {
        // What the server adds from here on belongs to nobody, as with the peer.
        let mut noted = Writer::new(kind, how, &server.world.stamp()).note(None, object.clone());
        owners = meta::metadata_mut(&mut noted).remove("managedFields");
    }
    if &*kind.resource == "/pods" {
        crate::admission::admit_pod(server, kind, namespace.unwrap_or_default(), &mut object)?;
    }
    strategy::prepare_create(kind, &mut object, &server.world);
    check::object(kind, &object)?;
    check::create(kind, &object)?;
    let owners = owners.map(|owners| ("managedFields".to_owned(), owners));
    meta::metadata_mut(&mut object).extend(owners);
    let name = meta::text(&object, "name").to_owned();
    let key = Key::new(&kind.resource, namespace, &name);
    server.check_escalation(how.user.as_ref(), kind, &key, &object)?;
    if how.dry_run {
        if server.store.latest(&key).is_some() {
            return Err(ApiError::exists(&kind.about(&name)));
        }
        return Ok(Done::not_stored(object, warnings));
    }
    let write = Write { key: key.clone(), expect: Expect::Absent, object, delete: false };
    let committed = server.store.commit(write).await;
    let committed = committed.map_err(|e| ApiError::from_store(&e, &kind.about(&name)))?;
    server.after_write(&key, &committed.object, false);
    Ok(Done::stored(committed, warnings))
}

/// A warning for each rule of a CRD that is stored but not enforced.
fn rule_warnings(kind: &Kind, object: &Value) -> Vec<String> {
    if !kind.is_crd() {
        return Vec::new();
    }
    let unknown = crate::rules::unknown(&object["spec"]["versions"]).into_iter();
    let text = |rule| format!("this server does not evaluate the validation rule {rule:?}");
    unknown.map(text).collect()
}

/// A namespaced object needs a namespace that exists and stays.
fn check_namespace(
    server: &Server,
    kind: &Kind,
    namespace: &str,
    object: &Value,
) -> Result<(), ApiError> {
    let key = Key::new(&"/namespaces".into(), None, namespace);
    let Some(entry) = server.store.latest(&key) else {
        let about = crate::error::About {
            resource: "namespaces".into(),
            name: namespace.into(),
            ..Default::default()
        };
        return Err(ApiError::not_found(&about));
    };
    if crate::gc::may_be_deleting(&entry.bytes()) && meta::is_deleting(&entry.value()) {
        let name = meta::text(object, "name");
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let cause = crate::error::Cause {
            field: "metadata.namespace".into(),
            reason: "NamespaceTerminating",
            message: format!("namespace {namespace} is being terminated"),
        };
        return Err(ApiError::forbidden(&kind.about(name), &why).with_causes(vec![cause]));
    }
    Ok(())
}

/// Drops or refuses unknown fields, fills defaults. Returns the warnings for the client.
pub(crate) fn normalise(
    kind: &Kind,
    object: &mut Value,
    how: &How,
) -> Result<Vec<String>, ApiError> {
    let mut unknown = strategy::normalise(kind, object)?;
    unknown.sort();
    let texts: Vec<String> = how
        .repeated
        .iter()
        .map(|path| format!("duplicate field {path:?}"))
        .chain(unknown.iter().map(|path| format!("unknown field {path:?}")))
        .collect();
    match how.validation {
        FieldValidation::Strict if !texts.is_empty() => {
            let message = format!("strict decoding error: {}", texts.join(", "));
            Err(ApiError::bad_request(format!(
                "{0} in version {1:?} cannot be handled as a {0}: {message}",
                kind.kind, kind.version
            )))
        }
        FieldValidation::Warn => Ok(texts),
        _ => Ok(Vec::new()),
    }
}

/// Changes an object: reads the newest state, lets `change` make the new one, checks and commits.
///
/// `change` runs again when another writer was faster, unless it insists on a resourceVersion.
pub(crate) async fn modify<F>(
    server: &Arc<Server>,
    kind: &Kind,
    key: &Key,
    how: &How,
    mut change: F,
) -> Result<Done, ApiError>
where
    F: FnMut(&Value) -> Result<Value, ApiError> + Send,
{
    let about = kind.about(key.name());
    for _ in 0..MAX_ATTEMPTS_COUNT {
        let entry = server.store.latest(key).ok_or_else(|| ApiError::not_found(&about))?;
        let old = crate::verbs::show::parse(&crate::verbs::show::convert(kind, &entry.bytes()));
        let mut new = change(&old)?;
        let insists = insisted_revision(&new, &about, entry.revision)?;
        let mut warnings = normalise(kind, &mut new, how)?;
        warnings.extend(rule_warnings(kind, &new));
        strategy::prepare_update(kind, &old, &mut new, how.part, &server.world.stamp())?;
        check::update(kind, &old, &new)?;
        if !how.brings_owners {
            new = Writer::new(kind, how, &server.world.stamp()).note(Some(&old), new);
        }
        server.check_escalation(how.user.as_ref(), kind, key, &new)?;
        if new == old {
            return Ok(Done::not_stored(old, warnings));
        }
        let gone = strategy::is_finished(kind, &new);
        if how.dry_run {
            return Ok(Done::not_stored(new, warnings));
        }
        let expect = Expect::Revision(entry.revision);
        let write = Write { key: key.clone(), expect, object: new, delete: gone };
        match server.store.commit(write).await {
            Ok(mut committed) => {
                server.after_write(key, &committed.object, gone);
                if gone {
                    // Nothing was written that could be read again: the answer has the old number.
                    meta::metadata_mut(&mut committed.object)
                        .insert("resourceVersion".into(), entry.revision.to_string().into());
                    return Ok(Done::not_stored(committed.object, warnings));
                }
                return Ok(Done::stored(committed, warnings));
            }
            Err(StoreError::Conflict) if !insists => {}
            Err(error) => return Err(ApiError::from_store(&error, &about)),
        }
    }
    Err(ApiError::modified(&about))
}

/// Whether the new object names the revision it is based on; an error when that is not the newest.
fn insisted_revision(
    new: &Value,
    about: &crate::error::About,
    current: u64,
) -> Result<bool, ApiError> {
    match meta::text(new, "resourceVersion") {
        "" | "0" => Ok(false),
        text if text.parse() == Ok(current) => Ok(true),
        _ => Err(ApiError::modified(about)),
    }
}
