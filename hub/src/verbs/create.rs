//! `create`: a new object.
//!
//! Start at [`create`].

use std::sync::Arc;

use crate::body::{self, HubResponse};
use crate::error::ApiError;
use crate::server::{Call, Server, method_not_allowed};
use crate::verbs::show;
use crate::verbs::write::{self, How};

/// Stores the body as a new object and answers with it.
pub(crate) async fn create(server: &Arc<Server>, call: Call) -> Result<HubResponse, ApiError> {
    if !call.kind.has_verb("create") {
        return Err(method_not_allowed());
    }
    let how = How::of(&call)?;
    let object = write::decode(&call)?;
    let namespace = call.path.namespace.as_deref();
    let done = write::create(server, &call.kind, namespace, object, &how).await?;
    let text = show::object(&call, &done.text(), server.world.now());
    Ok(body::warn(body::raw_json(201, text), &done.warnings))
}
