use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_format::api::GitRepo;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::world::{Setup, World};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\n";

/// Sends a GitHub delivery; returns the status code.
async fn deliver(world: &World, event: &str, secret: Option<&str>, payload: &Value) -> u16 {
    let mut headers = vec![("x-github-event", event.to_owned())];
    let signature = secret.map(|secret| format!("sha256={}", signature(secret, payload)));
    headers.extend(signature.map(|signature| ("x-hub-signature-256", signature)));
    post(world, &headers, payload).await
}

async fn post(world: &World, headers: &[(&'static str, String)], payload: &Value) -> u16 {
    let mut request = reqwest::Client::new().post(&world.webhooks).body(payload.to_string());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.send().await.unwrap().status().as_u16()
}

/// The HMAC of the payload, in hexadecimal digits.
fn signature(secret: &str, payload: &Value) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(payload.to_string().as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn create_secret(world: &World, name: &str, keys: Value) {
    world.secret(name, keys).await;
    // Secrets reach the process through a watch.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// A GitRepo `web` with one commit, and a delivery that announces another one, which nobody has.
/// Returns both.
async fn announce_forged(world: &World) -> (String, String) {
    let first = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"pollingInterval": "1h", "webhookSecret": "own"})).await;
    world.published("web", &first).await;
    create_secret(world, "own", json!({"github": "0wn"})).await;
    let forged = "d".repeat(40);
    let payload = push(world, "main", &forged);
    assert_eq!(deliver(world, "push", Some("0wn"), &payload).await, 200);
    (first, forged)
}

fn push(world: &World, branch: &str, commit: &str) -> Value {
    json!({"ref": format!("refs/heads/{branch}"), "after": commit,
        "repository": {"clone_url": world.git.repo(), "html_url": "https://other.example/x"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_push_wakes_the_gitrepo_and_nothing_else_does() {
    let world = World::start().await;
    let own = "0wn".to_owned();
    let first = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"pollingInterval": "1h"})).await;
    world.published("web", &first).await;

    let second = world.git.commit(&[("a/m.yaml", Some("kind: X\napiVersion: v1\n"))]);
    let payload = push(&world, "main", &second);
    assert_eq!(deliver(&world, "ping", None, &json!({})).await, 200);
    assert_eq!(deliver(&world, "push", Some(&own), &payload).await, 403);
    create_secret(&world, "gitjob-webhook", json!({"github": own.clone()})).await;
    assert_eq!(deliver(&world, "push", None, &payload).await, 401);
    assert_eq!(deliver(&world, "push", Some("wrong"), &payload).await, 401);
    assert_eq!(deliver(&world, "issues", Some(&own), &payload).await, 202);
    let other = push(&world, "other", &second);
    assert_eq!(deliver(&world, "push", Some(&own), &other).await, 202);
    let repo = world.repos().get("web").await.unwrap();
    assert_eq!(repo.status.unwrap().commit, first);

    world.writes();
    let started = Instant::now();
    assert_eq!(deliver(&world, "push", Some(&own), &payload).await, 200);
    let repo = world.published("web", &second).await;
    eprintln!("webhook to published: {} ms", started.elapsed().as_millis());
    assert_eq!(repo.status.unwrap().webhook_commit, second);
    assert_eq!(repo.spec.polling_interval.unwrap().0, "1h", "a webhook never changes the spec");
    assert_eq!(world.writes(), ["PATCH bundles/web", "PATCH gitrepos/web/status"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_does_not_appear_is_told_and_no_longer_waited_for() {
    let window = Some(Duration::from_secs(3));
    let world = World::start_with(Setup { webhook_window: window, ..Setup::default() }).await;
    let (first, forged) = announce_forged(&world).await;
    let hooked = |commit: &str| {
        let commit = commit.to_owned();
        move |repo: &GitRepo| repo.status.as_ref().is_some_and(|s| s.webhook_commit == commit)
    };
    world.until("web", hooked(&forged)).await;
    assert_eq!(world.events("WebhookCommitNotVisible").await, Vec::new(), "it may yet appear");
    world.until("web", hooked(&first)).await;
    let events = world.events("WebhookCommitNotVisible").await;
    assert_eq!(events.len(), 1);
    assert!(events[0].note.as_deref().unwrap_or_default().contains(&forged));
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.git.requests();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.git.requests(), Vec::<String>::new(), "nobody looks any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_commit_is_not_deployed() {
    let world = World::start().await;
    let (first, _) = announce_forged(&world).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = world.repos().get("web").await.unwrap().status.unwrap();
    assert_eq!(
        (status.commit.as_str(), status.git_job_status.as_str()),
        (first.as_str(), "Current")
    );
}

/// A push of a commit nobody has to branch `main`, or to tag `v1`, in the forms of the forges, each
/// with the headers that `secret` makes.
fn pushes(repo: &str, secret: &str) -> Vec<(Vec<(&'static str, String)>, Value)> {
    let (main, commit) = ("refs/heads/main", "b".repeat(40));
    let github = json!({"ref": main, "after": commit, "repository": {"clone_url": repo}});
    let cloud = json!({
        "push": {"changes": [{"new": {"type": "branch", "name": "main", "target": {"hash": commit}}}]},
        "repository": {"links": {"html": {"href": repo}}},
    });
    let server = json!({
        "changes": [{"ref": {"id": main}, "toHash": commit}],
        "repository": {"links": {"clone": [{"name": "http", "href": repo}]}},
    });
    let azure = json!({"eventType": "git.push", "resource": {
        "refUpdates": [{"name": main, "newObjectId": commit}], "repository": {"remoteUrl": repo}}});
    let gitlab = json!({"ref": main, "checkout_sha": commit, "project": {"git_http_url": repo}});
    let tag = json!({"ref": "refs/tags/v1", "after": "a".repeat(40), "checkout_sha": commit,
        "project": {"git_http_url": repo}});
    let of_gitlab = |event: &str| {
        vec![("x-gitlab-event", event.to_owned()), ("x-gitlab-token", secret.to_owned())]
    };
    let login = STANDARD.encode(format!("user:{secret}"));
    vec![
        (of_gitlab("Push Hook"), gitlab),
        (of_gitlab("Tag Push Hook"), tag),
        (
            vec![
                ("x-gogs-event", "push".to_owned()),
                ("x-gogs-signature", signature(secret, &github)),
            ],
            github,
        ),
        (vec![("x-event-key", "repo:push".to_owned()), ("x-hook-uuid", secret.to_owned())], cloud),
        (
            vec![
                ("x-event-key", "repo:refs_changed".to_owned()),
                ("x-hub-signature", format!("sha256={}", signature(secret, &server))),
            ],
            server,
        ),
        (
            vec![("x-vss-activityid", "1".to_owned()), ("authorization", format!("Basic {login}"))],
            azure,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_forge_is_understood_and_its_secret_checked() {
    let world = World::start().await;
    let commit = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git.git(&["tag", "v1"]);
    world.git.push("v1");
    world.git_repo("web", json!({"pollingInterval": "1h"})).await;
    world.published("web", &commit).await;
    let keys = json!({"gitlab": "0wn", "gogs": "0wn", "bitbucket": "0wn", "bitbucket-server": "0wn",
        "azure-username": "user", "azure-password": "0wn"});
    create_secret(&world, "gitjob-webhook", keys).await;
    let repo = world.git.repo();
    for (headers, payload) in pushes(&repo, "wrong") {
        assert_eq!(post(&world, &headers, &payload).await, 401, "{headers:?}");
    }
    for (headers, payload) in pushes(&repo, "0wn") {
        let is_followed = payload["ref"] != "refs/tags/v1";
        let wanted = if is_followed { 200 } else { 202 };
        assert_eq!(post(&world, &headers, &payload).await, wanted, "{headers:?}");
    }
    world.patch("web", json!({"spec": {"revision": "v1"}})).await;
    let is_seen = |repo: &GitRepo| {
        repo.status.as_ref().map(|status| status.observed_generation) == repo.metadata.generation
    };
    world.until("web", is_seen).await;
    let [_, (headers, payload), ..] = &pushes(&repo, "0wn")[..] else { unreachable!() };
    assert_eq!(post(&world, headers, payload).await, 200, "a tag that is followed");
}
