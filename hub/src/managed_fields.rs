//! Field managers: who owns which field after a write.
//!
//! Owns the step from a request to the crate `patch`, which knows the rules, and the wording of
//! conflicts as a `Status`. Start at [`Writer`].

use patch::apply::{self, Error, Request, describe_manager};
use patch::fields::FieldSet;
use patch::schema::Schema;
use serde_json::Value;

use crate::error::{ApiError, Cause};
use crate::meta;
use crate::registry::Kind;
use crate::strategy::Part;
use crate::verbs::write::How;

/// Who writes, to what kind, when.
pub(crate) struct Writer<'a> {
    schema: Option<Schema<'a>>,
    how: &'a How,
    api_version: String,
    now: &'a str,
    ignored: FieldSet,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(kind: &'a Kind, how: &'a How, now: &'a str) -> Writer<'a> {
        let ignored = match how.part {
            Part::Main | Part::Finalize if kind.has_status => FieldSet::of_fields(&[&["status"]]),
            Part::Main | Part::Finalize => FieldSet::new(),
            Part::Status => FieldSet::of_fields(&[&["spec"], &["metadata"]]),
        };
        Writer { schema: kind.merge_schema(), how, api_version: kind.api_version(), now, ignored }
    }

    fn request(&self, schema: Schema<'a>) -> Request<'_> {
        Request {
            schema,
            manager: &self.how.manager,
            api_version: &self.api_version,
            subresource: self.how.subresource,
            now: self.now,
            ignored: &self.ignored,
        }
    }

    /// `new` with the owners of its fields after a write that is no apply.
    pub(crate) fn note(&self, live: Option<&Value>, new: Value) -> Value {
        match self.schema {
            Some(schema) => apply::update(live, &new, &self.request(schema)),
            None => new,
        }
    }

    /// The object after an apply, its owners with it.
    pub(crate) fn apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        force: bool,
    ) -> Result<Value, ApiError> {
        let Some(schema) = self.schema else {
            return Err(ApiError::internal("no schema is known for this kind"));
        };
        let typed = format!(
            "({}/{}; {}, Kind={})",
            meta::text(config, "namespace"),
            meta::text(config, "name"),
            match self.api_version.contains('/') {
                true => self.api_version.clone(),
                false => format!("/{}", self.api_version),
            },
            config["kind"].as_str().unwrap_or_default()
        );
        let mut config = config.clone();
        // What the server fills in is never applied; a resourceVersion is a precondition.
        let metadata = meta::metadata_mut(&mut config);
        let revision = metadata.remove("resourceVersion");
        for field in ["creationTimestamp", "uid", "generation", "selfLink"] {
            if metadata.get(field).is_some_and(Value::is_null) {
                metadata.remove(field);
            }
        }
        let applied = apply::apply(live, &config, &self.request(schema), force);
        let mut object = applied.map_err(|e| refusal(&e, &typed))?.object;
        let metadata = meta::metadata_mut(&mut object);
        metadata.remove("resourceVersion");
        metadata
            .extend(revision.filter(|r| !r.is_null()).map(|r| ("resourceVersion".to_owned(), r)));
        Ok(object)
    }
}

fn refusal(error: &Error, object: &str) -> ApiError {
    match error {
        Error::Conflicts(conflicts) => {
            let causes = conflicts.iter().map(|conflict| Cause {
                field: conflict.field.to_string(),
                reason: "FieldManagerConflict",
                message: format!("conflict with {}", describe_manager(&conflict.manager)),
            });
            ApiError::new(409, "Conflict", error.to_string()).with_causes(causes.collect())
        }
        Error::Schema(why) => {
            ApiError::plain(format!("failed to create typed patch object {object}: {why}"))
        }
        other => ApiError::bad_request(other.to_string()),
    }
}
