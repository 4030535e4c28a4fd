use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::world::World;

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\n";

/// Sends a GitHub delivery; returns the status code.
async fn deliver(world: &World, event: &str, secret: Option<&str>, payload: &Value) -> u16 {
    let body = payload.to_string();
    let mut request = reqwest::Client::new()
        .post(&world.webhooks)
        .header("x-github-event", event)
        .body(body.clone());
    if let Some(secret) = secret {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let hex: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        request = request.header("x-hub-signature-256", format!("sha256={hex}"));
    }
    request.send().await.unwrap().status().as_u16()
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
    let secret =
        json!({"metadata": {"name": "gitjob-webhook"}, "stringData": {"github": own.clone()}});
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let secret: Secret = serde_json::from_value(secret).unwrap();
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
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
async fn a_forged_commit_is_not_deployed() {
    let world = World::start().await;
    let first = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"pollingInterval": "1h", "webhookSecret": "own"})).await;
    world.published("web", &first).await;
    let secret = json!({"metadata": {"name": "own"}, "stringData": {"github": "0wn"}});
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let secret: Secret = serde_json::from_value(secret).unwrap();
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let forged = "d".repeat(40);
    let payload = push(&world, "main", &forged);
    assert_eq!(deliver(&world, "push", Some("0wn"), &payload).await, 200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = world.repos().get("web").await.unwrap().status.unwrap();
    assert_eq!(
        (status.commit.as_str(), status.git_job_status.as_str()),
        (first.as_str(), "Current")
    );
}
