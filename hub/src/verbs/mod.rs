//! The verbs: what a request does.
//!
//! Owns one file per verb; `write` is what all changing verbs share, `show` what all answers share.
//! Knows nothing of sockets or storage layout. Start at [`write::create`] and [`write::modify`].

pub(crate) mod bootstrap;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod options;
pub(crate) mod patch;
pub(crate) mod review;
pub(crate) mod scale;
pub(crate) mod show;
pub(crate) mod update;
pub(crate) mod watch;
pub(crate) mod write;

use std::sync::Arc;

use http::Method;

use crate::body::HubResponse;
use crate::error::ApiError;
use crate::server::{Call, Server, method_not_allowed};

/// A request on a path under an object.
pub(crate) async fn subresource(
    server: &Arc<Server>,
    method: &Method,
    call: Call,
    name: &str,
) -> Result<HubResponse, ApiError> {
    let verb = match method.as_str() {
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "POST" => "create",
        _ => return Err(method_not_allowed()),
    };
    if !call.kind.has_subresource(name, verb) {
        return Err(ApiError::no_resource());
    }
    match (name, verb) {
        ("status", "get") => get::get(server, &call),
        ("status" | "finalize", "update") => update::update(server, &call).await,
        ("status", "patch") => patch::patch(server, &call).await,
        ("scale", "get") => scale::get(server, &call),
        ("scale", "update" | "patch") => scale::change(server, &call).await,
        ("token", "create") => review::token(server, &call),
        ("eviction", "create") => delete::delete(server, &call).await,
        _ => Err(method_not_allowed()),
    }
}
