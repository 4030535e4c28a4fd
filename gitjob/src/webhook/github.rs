//! GitHub, and forges that copy it.

use http::HeaderMap;
use serde_json::Value;

use super::secrets::SecretRef;
use super::{Push, commit_at, strings};

/// Only SHA-256 counts: `X-Hub-Signature` alone is SHA-1.
pub(super) fn is_signed_with(secret: &SecretRef, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
    secret.has_signed("github", header.and_then(|text| text.strip_prefix("sha256=")), body)
}

pub(super) fn read_push(payload: &Value) -> Push {
    let urls = ["html_url", "clone_url", "ssh_url", "git_url", "url"]
        .map(|field| format!("/repository/{field}"));
    let names = strings(payload, &["/ref"]);
    let commit = commit_at(payload, "/after");
    Push {
        urls: strings(payload, &urls.each_ref().map(String::as_str)),
        refs: names.into_iter().map(|name| (name, commit.clone())).collect(),
    }
}
