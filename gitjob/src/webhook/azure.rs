//! Azure DevOps: basic authentication instead of a signature.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;

use super::secrets::SecretRef;
use super::{Push, commit_at, strings};

pub(super) fn is_signed_with(secret: &SecretRef, headers: &HeaderMap) -> bool {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let decoded = header
        .and_then(|text| text.strip_prefix("Basic "))
        .and_then(|text| STANDARD.decode(text.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((username, password)) = decoded.as_deref().and_then(|text| text.split_once(':'))
    else {
        return false;
    };
    // Both are compared whatever the first says.
    let is_user = secret.is_equal("azure-username", Some(username));
    let is_password = secret.is_equal("azure-password", Some(password));
    is_user & is_password
}

pub(super) fn read_push(payload: &Value) -> Push {
    let updates = payload.pointer("/resource/refUpdates").and_then(Value::as_array);
    let refs = updates.into_iter().flatten().filter_map(|update| {
        Some((update.get("name")?.as_str()?.to_owned(), commit_at(update, "/newObjectId")))
    });
    let urls = ["/resource/repository/remoteUrl", "/resource/repository/webUrl"];
    Push { urls: strings(payload, &urls), refs: refs.collect() }
}
