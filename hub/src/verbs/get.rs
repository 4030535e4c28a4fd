//! `get`: one object.
//!
//! Owns the reading of one object in the asked view. Start at [`get`].

use crate::body::{self, HubResponse};
use crate::error::ApiError;
use crate::server::{Call, Server};
use crate::verbs::show;

/// Answers with the object, or with 404.
pub(crate) fn get(server: &Server, call: &Call) -> Result<HubResponse, ApiError> {
    let entry = server.store.get(&call.key(call.name()));
    let entry = entry.ok_or_else(|| ApiError::not_found(&call.about()))?;
    // A read "not older than N" must not be answered before N is reached.
    if let Some(asked) = call.query.number("resourceVersion") {
        let current = server.store.revision();
        if asked > current {
            let error = crate::StoreError::Future { asked, current };
            return Err(ApiError::from_store(&error, &call.about()));
        }
    }
    let text = show::object(call, &entry.bytes(), server.world.now());
    Ok(body::raw_json(200, text))
}
