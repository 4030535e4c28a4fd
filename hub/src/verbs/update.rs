//! `update`: a whole new state for an object.
//!
//! Start at [`update`].

use std::sync::Arc;

use serde_json::Value;

use crate::body::{self, HubResponse};
use crate::error::{ApiError, Cause};
use crate::meta;
use crate::registry::Kind;
use crate::server::{Call, Server};
use crate::verbs::show;
use crate::verbs::write::{self, Done, How};

/// Replaces the object (or its status) with the body and answers with the result.
pub(crate) async fn update(server: &Arc<Server>, call: &Call) -> Result<HubResponse, ApiError> {
    let how = How::of(call)?;
    let object = write::decode(call)?;
    let name = call.name();
    match meta::text(&object, "name") {
        found if found == name => {}
        "" => {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )));
        }
        found => {
            let message = format!(
                "the name of the object ({found}) does not match the name on the URL ({name})"
            );
            return Err(ApiError::bad_request(message));
        }
    }
    check_revision_is_there(&call.kind, name, &object)?;
    let key = call.key(name);
    if creates_on_update(&call.kind) && server.store.latest(&key).is_none() {
        server.authorize_create(call)?;
        let namespace = call.path.namespace.as_deref();
        let done = write::create(server, &call.kind, namespace, object, &how).await?;
        return Ok(answer(server, call, 201, &done));
    }
    let done = write::modify(server, &call.kind, &key, &how, |_| Ok(object.clone())).await?;
    Ok(answer(server, call, 200, &done))
}

/// Custom kinds refuse an update that does not say what it is based on.
fn check_revision_is_there(kind: &Kind, name: &str, object: &Value) -> Result<(), ApiError> {
    if kind.is_custom() && meta::revision(object) == 0 {
        let cause = Cause::invalid(
            "metadata.resourceVersion",
            "Invalid value: 0: must be specified for an update",
        );
        return Err(ApiError::invalid(&kind.group, &kind.plural, name, vec![cause]));
    }
    Ok(())
}

/// Kinds whose PUT creates what is not there.
pub(crate) fn creates_on_update(kind: &Kind) -> bool {
    matches!(&*kind.group, "coordination.k8s.io" | "rbac.authorization.k8s.io")
        || matches!(&*kind.resource, "/events" | "/endpoints" | "/limitranges")
}

pub(crate) fn answer(server: &Server, call: &Call, code: u16, done: &Done) -> HubResponse {
    let text = show::object(call, &done.text(), server.world.now());
    body::warn(body::raw_json(code, text), &done.warnings)
}
