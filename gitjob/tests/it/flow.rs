use std::time::Duration;

use bundle_format::api::{Bundle, GitRepo};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::world::{Setup, World, condition};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata:\n  v: \"1\"\n";

fn label<'a>(bundle: &'a Bundle, key: &str) -> &'a str {
    bundle.labels().get(key).map(String::as_str).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_touches_one_path_writes_one_bundle_and_one_status() {
    let world = World::start().await;
    let first = world.git.commit(&[("a/m.yaml", Some(MAP)), ("b/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"paths": ["a", "b"]})).await;
    let repo = world.published("web", &first).await;
    assert_eq!(repo.finalizers(), ["fleet.cattle.io/gitrepo-finalizer"]);
    assert_eq!(condition(&repo, "Accepted").0, "True");
    assert_eq!(world.bundle_names().await, ["web-a", "web-b"]);
    let before = world.bundles().get("web-a").await.unwrap();
    assert_eq!(label(&before, "fleet.cattle.io/repo-name"), "web");
    assert_eq!(before.spec.resources[0].name, "m.yaml");

    tokio::time::sleep(Duration::from_secs(3)).await;
    world.writes();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.writes(), Vec::<String>::new(), "an unchanged world causes no write");

    let second = world.git.commit(&[("b/m.yaml", Some(&MAP.replace("\"1\"", "\"2\"")))]);
    world.published("web", &second).await;
    assert_eq!(world.writes(), ["PATCH bundles/web-b", "PATCH gitrepos/web/status"]);
    let after = world.bundles().get("web-a").await.unwrap();
    assert_eq!(label(&after, "fleet.cattle.io/commit"), first);
    let changed = world.bundles().get("web-b").await.unwrap();
    assert_eq!(label(&changed, "fleet.cattle.io/commit"), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_path_takes_its_bundle_along_and_the_gitrepo_the_rest() {
    let world = World::start().await;
    let first = world.git.commit(&[("a/m.yaml", Some(MAP)), ("b/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"paths": ["a", "b"]})).await;
    world.published("web", &first).await;
    world.patch("web", json!({"spec": {"paths": ["a"]}})).await;
    for _ in 0..200 {
        if world.bundle_names().await == ["web-a"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(world.bundle_names().await, ["web-a"]);
    world.delete("web").await;
    for _ in 0..200 {
        if world.repos().get_opt("web").await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(world.repos().get_opt("web").await.unwrap().is_none());
    assert_eq!(world.bundle_names().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_path_is_reported_and_holds_nothing_back() {
    let world = World::start().await;
    let bad = "helm: nonsense\n";
    world.git.commit(&[
        ("a/m.yaml", Some(MAP)),
        ("b/m.yaml", Some(MAP)),
        ("b/fleet.yaml", Some(bad)),
    ]);
    world.git_repo("web", json!({"paths": ["a", "b"]})).await;
    let repo = world.until("web", |repo| condition(repo, "Stalled").0 == "True").await;
    assert_eq!(world.bundle_names().await, ["web-a"]);
    let (ready, message) = condition(&repo, "Ready");
    assert!(ready == "False" && message.contains("b/fleet.yaml"), "{message}");
    assert_eq!(repo.status.unwrap().git_job_status, "Failed");

    let fixed = world.git.commit(&[("b/fleet.yaml", Some("defaultNamespace: x\n"))]);
    let repo = world.published("web", &fixed).await;
    assert_eq!(condition(&repo, "Stalled").0, "False");
    assert!(condition(&repo, "Ready").1.starts_with("waiting for the deployments"));
    assert_eq!(world.bundle_names().await, ["web-a", "web-b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_another_gitrepo_is_refused_naming_the_owner() {
    let world = World::start().await;
    let commit =
        world.git.commit(&[("a/m.yaml", Some(MAP)), ("a/fleet.yaml", Some("name: shared\n"))]);
    world.git_repo("one", json!({"paths": ["a"]})).await;
    world.published("one", &commit).await;
    world.git_repo("two", json!({"paths": ["a"]})).await;
    let repo = world.until("two", |repo| condition(repo, "Stalled").0 == "True").await;
    let (_, message) = condition(&repo, "Ready");
    assert!(message.contains("already belongs to GitRepo one"), "{message}");
    world.delete("two").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.bundle_names().await, ["shared"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_leave_the_bundle_for_a_secret_of_its_own() {
    let world = World::start().await;
    let fleet = "helm:\n  values:\n    key: hidden\n";
    let commit = world.git.commit(&[
        ("a/Chart.yaml", Some("apiVersion: v2\nname: a\nversion: 0.1.0\n")),
        ("a/fleet.yaml", Some(fleet)),
    ]);
    world.git_repo("web", json!({"paths": ["a"]})).await;
    world.published("web", &commit).await;
    let bundle = world.bundles().get("web-a").await.unwrap();
    assert!(!serde_json::to_string(&bundle).unwrap().contains("hidden"));
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let secret = secrets.get("web-a").await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("fleet.cattle.io/bundle-values/v1alpha1"));
    assert_eq!(secret.owner_references()[0].uid, bundle.metadata.uid.unwrap());
    assert_eq!(secret.data.unwrap()["values.yaml"].0, br#"{"key":"hidden"}"#);

    let commit = world.git.commit(&[("a/fleet.yaml", Some("defaultNamespace: x\n"))]);
    world.published("web", &commit).await;
    assert!(secrets.get_opt("web-a").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_named_and_its_arrival_is_enough() {
    let world = World::start().await;
    world.git.behaviour.lock().unwrap().password = Some("me:pw".to_owned());
    let commit = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"clientSecretName": "git", "pollingInterval": "1h"})).await;
    let repo = world.until("web", |repo| condition(repo, "Accepted").0 == "False").await;
    let (_, message) = condition(&repo, "Accepted");
    assert_eq!(message, "error creating git job: Secret \"git\" not found");
    assert_eq!(condition(&repo, "Ready").0, "False");
    create_login(&world, "git").await;
    let repo = world.published("web", &commit).await;
    assert_eq!(condition(&repo, "Accepted").0, "True");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitrepo_that_names_no_secret_gets_the_default_one_of_its_namespace() {
    let world = World::start().await;
    world.git.behaviour.lock().unwrap().password = Some("me:pw".to_owned());
    let commit = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    create_login(&world, "gitcredential").await;
    world.git_repo("web", json!({"pollingInterval": "1h"})).await;
    world.published("web", &commit).await;
}

async fn create_login(world: &World, name: &str) {
    let secret = json!({"metadata": {"name": name}, "type": "kubernetes.io/basic-auth",
        "stringData": {"username": "me", "password": "pw"}});
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let secret: Secret = serde_json::from_value(secret).unwrap();
    secrets.create(&PostParams::default(), &secret).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn gitrepos_that_share_a_branch_share_its_looks() {
    let world = World::start().await;
    let commit = world.git.commit(&[("a/m.yaml", Some(MAP)), ("b/m.yaml", Some(MAP))]);
    for n in 0..20 {
        world.git_repo(&format!("r{n}"), json!({"paths": ["a"], "pollingInterval": "2s"})).await;
    }
    for n in 0..20 {
        world.published(&format!("r{n}"), &commit).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.git.requests();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let looks = world.git.requests();
    assert!((2..=4).contains(&looks.len()), "{looks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_reaches_outside_is_read_again_when_that_changes() {
    let world = World::start().await;
    let fleet = "helm:\n  chart: .\n  valuesFiles: [../shared/values.yaml]\n";
    let chart = "apiVersion: v2\nname: a\nversion: 0.1.0\n";
    let first = world.git.commit(&[
        ("a/fleet.yaml", Some(fleet)),
        ("a/Chart.yaml", Some(chart)),
        ("shared/values.yaml", Some("key: one\n")),
        ("b/m.yaml", Some(MAP)),
    ]);
    world.git_repo("web", json!({"paths": ["a", "b"]})).await;
    world.published("web", &first).await;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let before = secrets.get("web-a").await.unwrap();
    let second = world.git.commit(&[("shared/values.yaml", Some("key: two\n"))]);
    world.published("web", &second).await;
    let after = secrets.get("web-a").await.unwrap();
    assert_ne!(before.data, after.data);
    assert_eq!(after.data.unwrap()["values.yaml"].0, br#"{"key":"two"}"#);

    // Two paths that claim one name are refused, though one of them did not change.
    let clash = world.git.commit(&[("b/fleet.yaml", Some("name: web-a\n"))]);
    let repo = world.until("web", |repo| condition(repo, "Stalled").0 == "True").await;
    assert_eq!(repo.status.as_ref().unwrap().commit, clash);
    let (_, message) = condition(&repo, "Ready");
    assert!(message.contains("\"web-a\" is used by"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_takes_long_is_told_after_five_seconds_and_not_before() {
    let world = World::start().await;
    let first = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"pollingInterval": "1s"})).await;
    world.published("web", &first).await;
    world.git.behaviour.lock().unwrap().fetch_delay = Some(Duration::from_secs(7));
    world.writes();
    let second = world.git.commit(&[("a/m.yaml", Some(&MAP.replace("\"1\"", "\"2\"")))]);
    let started = std::time::Instant::now();
    let repo = world
        .until("web", |repo| {
            repo.status.as_ref().is_some_and(|status| status.git_job_status == "InProgress")
        })
        .await;
    let told_after = started.elapsed();
    assert!(told_after > Duration::from_millis(4900), "told after {told_after:?}");
    assert_eq!(condition(&repo, "Reconciling").0, "True");
    assert_eq!(condition(&repo, "Ready").0, "False");
    world.published("web", &second).await;
    let writes = world.writes();
    let status = "PATCH gitrepos/web/status";
    assert_eq!(writes, [status, "PATCH bundles/web", status], "one word before, one after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_repo_that_does_not_fit_its_type_fails_alone() {
    let world = World::start_with(Setup { takes_anything: true, ..Setup::default() }).await;
    let commit = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    let poisoned = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "GitRepo",
        "metadata": {"name": "poisoned"}, "spec": {"repo": world.git.repo(), "paths": "a"}});
    let resource = ApiResource::erase::<GitRepo>(&());
    let raw: Api<DynamicObject> =
        Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
    let poisoned: DynamicObject = serde_json::from_value(poisoned).unwrap();
    raw.create(&PostParams::default(), &poisoned).await.unwrap();
    world.git_repo("web", json!({"paths": ["a"]})).await;
    world.neighbour_published(&raw, "web", &commit).await;
    let told = world.neighbour_until(&raw, "poisoned", |object| {
        object.data["status"]["conditions"].as_array().is_some_and(|all| all.len() == 2)
    });
    let status = told.await.data["status"].clone();
    for condition in status["conditions"].as_array().unwrap() {
        assert_eq!(condition["status"], "False", "{status}");
        assert!(
            condition["message"].as_str().unwrap().contains("does not fit its type"),
            "{status}"
        );
    }
    // Mended, it is served like any other.
    let mended = json!({"spec": {"paths": ["a"], "branch": "main"}});
    raw.patch("poisoned", &PatchParams::default(), &Patch::Merge(&mended)).await.unwrap();
    world.neighbour_published(&raw, "poisoned", &commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_limit_of_git_is_that_of_the_configuration() {
    let world = World::start_with(Setup { git_timeout: Some("1s"), ..Setup::default() }).await;
    world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git.behaviour.lock().unwrap().hangs = true;
    let started = std::time::Instant::now();
    world.git_repo("web", json!({"pollingInterval": "1h"})).await;
    let repo = world.until("web", |repo| condition(repo, "GitPolling").0 == "False").await;
    let took = started.elapsed();
    assert!((900..4000).contains(&took.as_millis()), "{took:?}");
    let (_, message) = condition(&repo, "Ready");
    assert!(message.contains(&world.git.url), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_path_hands_its_objects_over_before_the_old_bundle_goes() {
    let world = World::start().await;
    let first = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"paths": ["*"]})).await;
    world.published("web", &first).await;
    world.git.commit(&[("a/m.yaml", None), ("b/m.yaml", Some(MAP))]);
    let wanted = |name: &'static str| {
        let world = &world;
        async move {
            for _ in 0..400 {
                if let Some(bundle) = world.bundles().get_opt(name).await.unwrap() {
                    return bundle;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            panic!("no bundle {name}");
        }
    };
    let new = wanted("web-b").await;
    let moved = serde_json::to_value(&new.spec.options.overwrites).unwrap();
    assert_eq!(moved, json!([{"kind": "ConfigMap", "name": "m"}]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.bundle_names().await, ["web-a", "web-b"], "nobody has rolled web-b out yet");
    let generation = new.metadata.generation;
    let status = json!({"status": {"observedGeneration": generation}});
    let params = PatchParams::default();
    world.bundles().patch_status("web-b", &params, &Patch::Merge(&status)).await.unwrap();
    for _ in 0..200 {
        if world.bundle_names().await == ["web-b"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("web-a stays: {:?}", world.bundle_names().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_commit_is_told_by_one_event() {
    let world = World::start().await;
    let first = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"pollingInterval": "1s"})).await;
    world.published("web", &first).await;
    let second = world.git.commit(&[("a/m.yaml", Some(&MAP.replace("\"1\"", "\"2\"")))]);
    world.published("web", &second).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let list = events.list(&ListParams::default()).await.unwrap();
    let of_commits = list.items.iter().filter(|e| e.reason.as_deref() == Some("GotNewCommit"));
    let mut notes: Vec<&str> = of_commits.filter_map(|event| event.note.as_deref()).collect();
    notes.sort_unstable();
    let mut wanted = [first.as_str(), second.as_str()];
    wanted.sort_unstable();
    assert_eq!(notes, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_sync_publishes_again_what_did_not_change() {
    let world = World::start().await;
    let commit = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"disablePolling": true})).await;
    world.published("web", &commit).await;
    let before = world.bundles().get("web").await.unwrap();
    assert_eq!(before.spec.options.force_sync_generation, 0);
    world.git.requests();
    world.patch("web", json!({"spec": {"forceSyncGeneration": 3}})).await;
    let is_done = |repo: &GitRepo| repo.status.as_ref().is_some_and(|s| s.update_generation == 3);
    world.until("web", is_done).await;
    assert!(!world.git.requests().is_empty(), "it looks again");
    let after = world.bundles().get("web").await.unwrap();
    // A part of the options: the version to deploy is a new one.
    assert_eq!(after.spec.options.force_sync_generation, 3);
    assert_eq!(after.spec.resources, before.spec.resources);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_broken_is_told_by_an_event() {
    let world = World::start().await;
    world.git.commit(&[("a/m.yaml", Some(MAP))]);
    let path = runtime::objects::fleet(&world.namespace, "policies");
    let policy = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "Policy",
        "metadata": {"name": "strict"}, "requireServiceAccount": true});
    runtime::objects::create(&world.client, &path, &policy).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.git_repo("web", json!({"paths": ["a"]})).await;
    let repo = world.until("web", |repo| condition(repo, "Accepted").0 == "False").await;
    let (_, message) = condition(&repo, "Accepted");
    assert_eq!(message, "serviceAccount is required by Policy but is not set");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let events = world.events("PolicyViolation").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].note.as_deref(), Some(message.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_and_builds_are_counted_until_their_gitrepo_goes() {
    let world = World::start().await;
    let commit = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    world.git_repo("web", json!({"paths": ["a"], "pollingInterval": "1h"})).await;
    world.published("web", &commit).await;
    world.git_repo("lost", json!({"branch": "nowhere"})).await;
    world.until("lost", |repo| condition(repo, "GitPolling").0 == "False").await;
    let of = |name: &str| format!("{{name=\"{name}\",namespace=\"work\"}}");
    for line in [
        format!("fleet_gitjobs_created_success_total{} 1", of("web")),
        format!("fleet_gitjob_duration_seconds_count{} 1", of("web")),
        format!("fleet_gitrepo_fetch_latest_commit_success_total{} ", of("web")),
        format!("fleet_gitrepo_fetch_latest_commit_duration_seconds_count{} ", of("web")),
        format!("fleet_gitrepo_fetch_latest_commit_failure_total{} ", of("lost")),
    ] {
        world.until_told(|told| told.contains(&line)).await;
    }
    world.git.commit(&[("a/fleet.yaml", Some("helm: nonsense\n"))]);
    world.patch("web", json!({"spec": {"forceSyncGeneration": 1}})).await;
    let failed = format!("fleet_gitjobs_created_failure_total{} 1", of("web"));
    world.until_told(|told| told.contains(&failed)).await;
    world.delete("web").await;
    world.until_told(|told| !told.contains("name=\"web\"") && told.contains("lost")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_namespace_goes_with_a_gitrepo_that_asks_for_it() {
    let world = World::start().await;
    let commit = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    for (name, namespace, more) in [
        ("goes", "apps", json!({"deleteNamespace": true})),
        ("stays", "plain", json!({})),
        ("keeps", "kept", json!({"deleteNamespace": true, "keepResources": true})),
        ("protected", "fleet-default", json!({"deleteNamespace": true})),
    ] {
        let object = json!({"metadata": {"name": namespace}});
        runtime::objects::create(&world.client, "/api/v1/namespaces", &object).await.unwrap();
        let mut spec = json!({"paths": ["a"], "targetNamespace": namespace});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.git_repo(name, spec).await;
        world.published(name, &commit).await;
        world.delete(name).await;
        while world.repos().get_opt(name).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let held = namespaces.get_opt(namespace).await.unwrap();
        let is_gone = held.is_none_or(|held| held.metadata.deletion_timestamp.is_some());
        assert_eq!(is_gone, name == "goes", "{name}");
    }
}
