//! GitLab: a token instead of a signature.

use http::HeaderMap;
use serde_json::Value;

use super::secrets::SecretRef;
use super::{Push, commit_at, strings};

pub(super) fn is_signed_with(secret: &SecretRef, headers: &HeaderMap) -> bool {
    secret.is_equal("gitlab", headers.get("x-gitlab-token").and_then(|v| v.to_str().ok()))
}

pub(super) fn read_push(payload: &Value) -> Push {
    let urls = [
        "/project/web_url",
        "/project/git_http_url",
        "/project/git_ssh_url",
        "/repository/git_http_url",
        "/repository/git_ssh_url",
        "/repository/homepage",
    ];
    // `after` of an annotated tag is the tag object; `checkout_sha` is the commit.
    let commit = commit_at(payload, "/checkout_sha").or_else(|| commit_at(payload, "/after"));
    let names = strings(payload, &["/ref"]);
    Push {
        urls: strings(payload, &urls),
        refs: names.into_iter().map(|name| (name, commit.clone())).collect(),
    }
}
