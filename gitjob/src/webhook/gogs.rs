//! Gogs and Gitea, whose payloads are GitHub's.

use http::HeaderMap;
use serde_json::Value;

use super::secrets::SecretRef;
use super::{Push, github};

pub(super) fn is_signed_with(secret: &SecretRef, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = headers.get("x-gogs-signature").and_then(|value| value.to_str().ok());
    // Gitea signs in GitHub's way too; people who set only that key mean it.
    secret.has_signed("gogs", header, body) || github::is_signed_with(secret, headers, body)
}

pub(super) fn read_push(payload: &Value) -> Push {
    github::read_push(payload)
}
