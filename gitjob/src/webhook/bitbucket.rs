//! Bitbucket Cloud (the hook's UUID is the secret) and Bitbucket Server (signed).

use http::HeaderMap;
use serde_json::Value;

use super::secrets::SecretRef;
use super::{Push, commit_at, strings};

pub(super) fn is_cloud_signed_with(secret: &SecretRef, headers: &HeaderMap) -> bool {
    secret.is_equal("bitbucket", headers.get("x-hook-uuid").and_then(|v| v.to_str().ok()))
}

pub(super) fn is_server_signed_with(secret: &SecretRef, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = headers.get("x-hub-signature").and_then(|value| value.to_str().ok());
    let signature = header.and_then(|text| text.strip_prefix("sha256="));
    secret.has_signed("bitbucket-server", signature, body)
}

pub(super) fn read_cloud_push(payload: &Value) -> Push {
    let changes = payload.pointer("/push/changes").and_then(Value::as_array);
    let refs = changes.into_iter().flatten().filter_map(|change| {
        let name = change.pointer("/new/name")?.as_str()?;
        let folder = match change.pointer("/new/type")?.as_str()? {
            "branch" => "heads",
            _ => "tags",
        };
        Some((format!("refs/{folder}/{name}"), commit_at(change, "/new/target/hash")))
    });
    Push { urls: strings(payload, &["/repository/links/html/href"]), refs: refs.collect() }
}

pub(super) fn read_server_push(payload: &Value) -> Push {
    let changes = payload.get("changes").and_then(Value::as_array);
    let refs = changes.into_iter().flatten().filter_map(|change| {
        Some((change.pointer("/ref/id")?.as_str()?.to_owned(), commit_at(change, "/toHash")))
    });
    let clones = payload.pointer("/repository/links/clone").and_then(Value::as_array);
    let urls = clones.into_iter().flatten().flat_map(|link| strings(link, &["/href"]));
    // Over http the path of a clone address has `scm/` in front, over ssh it has not.
    let urls = urls.flat_map(|url| [url.replacen("/scm/", "/", 1), url]).collect();
    Push { urls, refs: refs.collect() }
}
