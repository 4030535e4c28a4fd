//! The options in a query: what may be said, and together with what.
//!
//! Owns the checks that kube-apiserver 1.36 makes before it looks at an object, and their words.
//! Start at [`check`].

use http::Method;
use serde_json::json;

use crate::error::{ApiError, Cause};
use crate::server::Call;

/// Longest field manager.
const MAX_MANAGER_BYTES: usize = 128;

/// Refuses options that the verb does not know or that contradict each other.
pub(crate) fn check(method: &Method, call: &Call) -> Result<(), ApiError> {
    let is_collection = call.path.name.is_none();
    match method.as_str() {
        "POST" => check_write(call, "CreateOptions"),
        "PUT" => check_write(call, "UpdateOptions"),
        "PATCH" => {
            check_write(call, "PatchOptions")?;
            let is_apply = call.content_type.starts_with("application/apply-patch");
            if !is_apply && call.query.text("force").is_some() {
                let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
                return Err(ApiError::bad_options("PatchOptions", cause));
            }
            Ok(())
        }
        "GET" if is_collection || call.query.flag("watch") => check_list(call),
        "DELETE" if is_collection => check_list(call),
        _ => Ok(()),
    }
}

fn check_write(call: &Call, kind: &str) -> Result<(), ApiError> {
    let refuse = |cause| Err(ApiError::bad_options(kind, cause));
    if let Some(manager) = call.query.text("fieldManager")
        && manager.len() > MAX_MANAGER_BYTES
    {
        let message = format!("Too long: may not be more than {MAX_MANAGER_BYTES} bytes");
        let field = "fieldManager".to_owned();
        return refuse(Cause { field, reason: "FieldValueTooLong", message });
    }
    if let Some(found) = call.query.text("dryRun").filter(|d| *d != "All") {
        return refuse(Cause::unsupported("dryRun", &json!([found]).to_string(), &["All"]));
    }
    match call.query.text("fieldValidation") {
        None | Some("Ignore" | "Warn" | "Strict") => Ok(()),
        Some(other) => {
            let known = ["", "Ignore", "Strict", "Warn"];
            refuse(Cause::unsupported("fieldValidation", &format!("{other:?}"), &known))
        }
    }
}

fn check_list(call: &Call) -> Result<(), ApiError> {
    let query = &call.query;
    let is_watch = query.flag("watch");
    if let Some(limit) = query.text("limit").filter(|l| l.parse::<i64>().is_err()) {
        let message = format!("strconv.ParseInt: parsing {limit:?}: invalid syntax");
        return Err(ApiError::bad_request(message));
    }
    let revision = query.text("resourceVersion").unwrap_or_default();
    if let Some(cause) = contradiction(call, revision, is_watch) {
        return Err(ApiError::bad_options("ListOptions", cause));
    }
    if !revision.is_empty() && revision.parse::<u64>().is_err() {
        let why = format!(
            "resourceVersion: Invalid value: {revision:?}: strconv.ParseUint: parsing {revision:?}: invalid syntax"
        );
        return Err(match is_watch {
            true => ApiError::plain(why),
            false => ApiError::bad_request(format!("invalid resource version: {why}")),
        });
    }
    if query.text("continue").is_some() && !matches!(revision, "" | "0") {
        let message = "specifying resource version is not allowed when using continue";
        return Err(ApiError::bad_request(message));
    }
    Ok(())
}

fn contradiction(call: &Call, revision: &str, is_watch: bool) -> Option<Cause> {
    const MATCH: &str = "resourceVersionMatch";
    let wanted = call.query.text(MATCH);
    if call.query.has("sendInitialEvents") {
        if !is_watch {
            let why = "sendInitialEvents is forbidden for list";
            return Some(Cause::forbidden("sendInitialEvents", why));
        }
        if wanted != Some("NotOlderThan") {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            return Some(Cause::forbidden(MATCH, why));
        }
        return None;
    }
    let found = wanted?;
    if is_watch {
        let why =
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        return Some(Cause::forbidden(MATCH, why));
    }
    if revision.is_empty() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        return Some(Cause::forbidden(MATCH, why));
    }
    if call.query.text("continue").is_some() {
        return Some(Cause::forbidden(MATCH, "resourceVersionMatch is forbidden for continue"));
    }
    if !matches!(found, "Exact" | "NotOlderThan") {
        let known = ["Exact", "NotOlderThan", ""];
        return Some(Cause::unsupported(MATCH, &format!("{found:?}"), &known));
    }
    (found == "Exact" && revision == "0").then(|| {
        let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        Cause::forbidden(MATCH, why)
    })
}
