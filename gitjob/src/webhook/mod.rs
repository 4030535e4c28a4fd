//! Webhooks: a push only wakes the GitRepos that follow it.
//!
//! Owns the route from a request to a wake, and the answers. Nothing out of a payload is ever
//! deployed: the commit that is deployed comes from the git server. Requests are authenticated
//! before their payload is parsed. Start at [`receive`].

mod azure;
mod bitbucket;
mod github;
mod gitlab;
mod gogs;
mod secrets;
mod url;

use std::collections::BTreeSet;
use std::sync::Arc;

use bundle_format::api::GitRepo;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use kube::api::{Api, Patch, PatchParams};
use runtime::ObjectKey;
use runtime::clock::time_text;
use runtime::http_server::{Answer, text};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::context::Context;
use crate::git::{CommitId, Reference};
use crate::memory::Hint;
pub(crate) use secrets::SecretCache;
use secrets::{SecretRef, WebhookSecrets};
pub(crate) use url::normalise;

/// Longest payload we read; GitHub's own limit is 25 MB, real pushes have some kilobytes.
const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// GitRepos woken by one request.
const WAKES_MAX: usize = 10_000;

/// A forge: how it signs, and how it says what was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    Gogs,
    GitHub,
    GitLab,
    Bitbucket,
    BitbucketServer,
    Azure,
}

/// What was pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Push {
    /// Addresses of the repository, web and ssh.
    urls: Vec<String>,
    /// Full ref names and the commits they point to now; a deleted ref has none.
    refs: Vec<(String, Option<CommitId>)>,
}

impl Provider {
    /// Fleet 0.16 looks for Gogs first: Gitea sends GitHub's headers too.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let has = |name: &str| headers.contains_key(name);
        match () {
            () if has("x-gogs-event") => Some(Self::Gogs),
            () if has("x-github-event") => Some(Self::GitHub),
            () if has("x-gitlab-event") => Some(Self::GitLab),
            () if has("x-hook-uuid") => Some(Self::Bitbucket),
            () if has("x-event-key") => Some(Self::BitbucketServer),
            () if has("x-vss-activityid") || has("x-vss-subscriptionid") => Some(Self::Azure),
            () => None,
        }
    }

    /// The event, and whether it is one that can move a ref.
    fn event(self, headers: &HeaderMap) -> (&str, bool) {
        let (name, pushes): (_, &[&str]) = match self {
            Self::Gogs => ("x-gogs-event", &["push", "create"]),
            Self::GitHub => ("x-github-event", &["push"]),
            Self::GitLab => ("x-gitlab-event", &["Push Hook", "Tag Push Hook"]),
            Self::Bitbucket => ("x-event-key", &["repo:push"]),
            Self::BitbucketServer => ("x-event-key", &["repo:refs_changed"]),
            // Azure names the event in the payload.
            Self::Azure => return ("git.push", true),
        };
        let event = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        (event, pushes.contains(&event))
    }

    fn is_signed_with(self, secret: &SecretRef, headers: &HeaderMap, body: &[u8]) -> bool {
        match self {
            Self::Gogs => gogs::is_signed_with(secret, headers, body),
            Self::GitHub => github::is_signed_with(secret, headers, body),
            Self::GitLab => gitlab::is_signed_with(secret, headers),
            Self::Bitbucket => bitbucket::is_cloud_signed_with(secret, headers),
            Self::BitbucketServer => bitbucket::is_server_signed_with(secret, headers, body),
            Self::Azure => azure::is_signed_with(secret, headers),
        }
    }

    /// The key of a Secret that holds this forge's secret.
    fn key(self) -> &'static str {
        match self {
            Self::Gogs => "gogs",
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Bitbucket => "bitbucket",
            Self::BitbucketServer => "bitbucket-server",
            Self::Azure => "azure-password",
        }
    }

    fn read_push(self, payload: &Value) -> Push {
        match self {
            Self::Gogs => gogs::read_push(payload),
            Self::GitHub => github::read_push(payload),
            Self::GitLab => gitlab::read_push(payload),
            Self::Bitbucket => bitbucket::read_cloud_push(payload),
            Self::BitbucketServer => bitbucket::read_server_push(payload),
            Self::Azure => azure::read_push(payload),
        }
    }
}

/// Answers one request: 200 something was woken (or a ping), 202 understood and ignored, with the
/// reason, 401 wrong or missing signature, 403 no secret to check against, 405, 413, 400.
///
/// (Fleet 0.16 answers 500 to a missing signature and to other events, 200 to other branches: live
/// finding 31.)
pub(crate) async fn receive(ctx: Arc<Context>, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return text(405, "only POST is served here\n");
    }
    let Some(provider) = Provider::of(&parts.headers) else {
        return text(202, "ignored: no header says which forge this comes from\n");
    };
    let Ok(body) = Limited::new(body, PAYLOAD_BYTES_MAX).collect().await else {
        return text(413, "payload too large\n");
    };
    respond(&ctx, provider, &parts.headers, &body.to_bytes()).await
}

async fn respond(
    ctx: &Arc<Context>,
    provider: Provider,
    headers: &HeaderMap,
    body: &Bytes,
) -> Answer {
    let (event, is_push) = provider.event(headers);
    if provider == Provider::GitHub && event == "ping" {
        return text(200, "Webhook received successfully\n");
    }
    if !is_push {
        return text(202, format!("ignored: event {event:?} moves no ref\n"));
    }
    let secrets = match WebhookSecrets::observe(ctx).await {
        Ok(secrets) => secrets,
        Err(error) => {
            let error = runtime::chain(&error);
            tracing::warn!(error, "webhook secrets not read");
            return text(503, "Webhook processing failed\n");
        }
    };
    let signed_with = secrets.matching(|s| provider.is_signed_with(s, headers, body));
    if signed_with.is_empty() && !ctx.config.allow_unsigned_webhooks {
        return match secrets.have_key(provider.key()) {
            true => text(401, "Webhook processing failed: wrong or missing signature\n"),
            false => text(
                403,
                format!(
                    "no webhook secret has the key {:?}: webhooks are closed\n",
                    provider.key()
                ),
            ),
        };
    }
    let Ok(payload) = serde_json::from_slice::<Value>(body) else {
        return text(400, "Webhook processing failed: the payload is not JSON\n");
    };
    let push = provider.read_push(&payload);
    let woken_count = wake(ctx, &push, &secrets, &signed_with).await;
    match woken_count {
        0 => text(202, "ignored: no GitRepo follows what was pushed\n"),
        _ => text(200, "succeeded\n"),
    }
}

/// Wakes the GitRepos that follow the pushed refs and whose secret signed the request.
async fn wake(
    ctx: &Arc<Context>,
    push: &Push,
    secrets: &WebhookSecrets,
    signed_with: &BTreeSet<ObjectKey>,
) -> usize {
    let urls: BTreeSet<String> = push.urls.iter().filter_map(|url| normalise(url)).collect();
    let mut woken_count = 0;
    for url in urls {
        for repo in ctx.repos_at(&url) {
            let Some(commit) = followed_commit(&repo, push) else { continue };
            let is_allowed = match secrets.effective(&repo) {
                Some(secret) => signed_with.contains(&secret),
                None => ctx.config.allow_unsigned_webhooks,
            };
            if is_allowed && woken_count < WAKES_MAX {
                hint(ctx, &repo, &commit).await;
                woken_count += 1;
            }
        }
    }
    woken_count
}

/// The commit that a pushed ref now has, if the GitRepo follows that ref and does not have it yet.
/// A GitRepo without branch accepts every branch, as in Fleet 0.16.
fn followed_commit(repo: &GitRepo, push: &Push) -> Option<CommitId> {
    let spec = &repo.spec;
    let known = repo.status.as_ref().map(|status| status.commit.as_str()).unwrap_or_default();
    let follows = |name: &str| match Reference::of_spec(&spec.branch, &spec.revision) {
        Reference::Commit(_) => false,
        Reference::Revision(wanted) => {
            name == wanted
                || name.strip_prefix("refs/tags/") == Some(&wanted)
                || name.strip_prefix("refs/heads/") == Some(&wanted)
        }
        Reference::Branch(_) if spec.branch.is_empty() => name.starts_with("refs/heads/"),
        Reference::Branch(wanted) => name.strip_prefix("refs/heads/") == Some(&wanted),
    };
    let moved = push.refs.iter().filter(|(name, _)| follows(name));
    let mut commits = moved.filter_map(|(_, commit)| commit.clone());
    commits.find(|commit| commit.as_str() != known)
}

/// Wakes one GitRepo: in this process when it works on it, else through its status, where the
/// process that does sees it.
async fn hint(ctx: &Arc<Context>, repo: &GitRepo, commit: &CommitId) {
    let key = ObjectKey::of(repo);
    let now = ctx.clock.now();
    tracing::info!(git_repo = %key, commit = %commit, "webhook");
    if ctx.is_leading() && ctx.serves(repo) {
        ctx.memory.with(&key, |memory| {
            let is_other = memory.built.as_ref().is_none_or(|built| built.key.commit != *commit);
            if let Some(running) = memory.running.as_ref().filter(|_| is_other) {
                running.cancel();
            }
            let commit = commit.to_string();
            memory.hint = Some(Hint { commit, at: now, since: Instant::now(), is_open: true });
        });
        ctx.queue.add(key);
        return;
    }
    let api: Api<GitRepo> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let status = json!({"webhookCommit": commit.as_str(), "lastWebhookTime": time_text(now)});
    let patch = Patch::Merge(json!({ "status": status }));
    if let Err(error) = api.patch_status(&key.name, &PatchParams::default(), &patch).await {
        let error = runtime::chain(&error);
        tracing::warn!(git_repo = %key, error, "webhook not passed on");
    }
}

/// Collects non-empty strings at these paths of a payload.
fn strings(payload: &Value, pointers: &[&str]) -> Vec<String> {
    let found = pointers.iter().filter_map(|pointer| payload.pointer(pointer)?.as_str());
    found.filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// A commit in a payload; forges write zeros for a ref that was deleted.
fn commit_at(payload: &Value, pointer: &str) -> Option<CommitId> {
    let text = payload.pointer(pointer)?.as_str()?;
    CommitId::parse(text).filter(|id| id.as_str().bytes().any(|b| b != b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(branch: &str, revision: &str) -> GitRepo {
        let mut repo = GitRepo::default();
        repo.spec.branch = branch.to_owned();
        repo.spec.revision = revision.to_owned();
        repo
    }

    #[test]
    fn only_followed_refs_count() {
        let commit = CommitId::parse(&"a1".repeat(20)).unwrap();
        let push = |name: &str| Push {
            urls: Vec::new(),
            refs: vec![(name.to_owned(), Some(commit.clone()))],
        };
        let follows = |repo: GitRepo, name: &str| followed_commit(&repo, &push(name)).is_some();
        assert!(follows(repo("main", ""), "refs/heads/main"));
        assert!(!follows(repo("main", ""), "refs/heads/other"));
        assert!(!follows(repo("main", ""), "refs/tags/main"));
        assert!(follows(repo("", ""), "refs/heads/any"));
        assert!(follows(repo("main", "v1"), "refs/tags/v1"));
        assert!(!follows(repo("main", &"b".repeat(40)), "refs/heads/main"));
        let mut current = repo("main", "");
        current.status.get_or_insert_default().commit = commit.to_string();
        assert!(!follows(current, "refs/heads/main"));
    }
}
