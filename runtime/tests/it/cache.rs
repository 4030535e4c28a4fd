use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use runtime::cache::{Cache, CacheBuilder, ObjectKey};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::fake_api::{self, Watch};

fn map(name: &str, version: u32, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": name, "namespace": "ns", "resourceVersion": version.to_string(),
            "managedFields": [{"manager": "x"}]}})
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn initial_end(version: u32) -> Value {
    let annotations = json!({"k8s.io/initial-events-end": "true"});
    event(
        "BOOKMARK",
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"resourceVersion": version.to_string(), "annotations": annotations}}),
    )
}

fn start(watch: &Watch) -> Cache<ConfigMap> {
    let watch = watch.clone();
    let client = fake_api::client(move |_, _, _| watch.answer());
    CacheBuilder::<ConfigMap>::new(client)
        .seed(1)
        .index("by-color", |m| {
            m.data.iter().flatten().filter(|(k, _)| *k == "color").map(|(_, v)| v.clone()).collect()
        })
        .start()
}

/// A complete copy that holds `ns/a`, which is red, and the events it will get.
async fn with_a_red_one() -> (UnboundedSender<Value>, Cache<ConfigMap>) {
    let (events, watch) = fake_api::watch();
    let cache = start(&watch);
    events.send(event("ADDED", map("a", 1, &json!({"color": "red"})))).unwrap();
    events.send(initial_end(2)).unwrap();
    cache.synced().await;
    (events, cache)
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the condition never held");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_fit_fails_alone() {
    let (events, watch) = fake_api::watch();
    let cache = start(&watch);
    events.send(event("ADDED", map("good", 1, &json!({"color": "red"})))).unwrap();
    events.send(event("ADDED", map("bad", 2, &json!("not a map")))).unwrap();
    events.send(initial_end(3)).unwrap();
    cache.synced().await;

    assert_eq!(cache.len(), 1);
    let bad = ObjectKey::new("ns", "bad");
    assert!(cache.exists(&bad) && cache.get(&bad).is_none());
    assert!(cache.poisoned_at(&bad).unwrap().error.contains("not a map"));
    let good = cache.get(&ObjectKey::new("ns", "good")).unwrap();
    assert!(good.metadata.managed_fields.as_ref().is_none_or(Vec::is_empty));

    events.send(event("MODIFIED", map("bad", 4, &json!({"color": "blue"})))).unwrap();
    until(|| cache.get(&bad).is_some()).await;
    assert!(cache.poisoned().is_empty());
}

#[tokio::test(start_paused = true)]
async fn indexes_and_subscribers_follow_each_change() {
    let (events, cache) = with_a_red_one().await;

    let told: Arc<Mutex<Vec<(String, bool, bool)>>> = Arc::default();
    let sink = Arc::clone(&told);
    cache.subscribe(move |change| {
        let entry = (change.key.to_string(), change.old.is_some(), change.new.is_some());
        sink.lock().unwrap().push(entry);
    });
    events.send(event("MODIFIED", map("a", 3, &json!({"color": "blue"})))).unwrap();
    events.send(event("ADDED", map("b", 4, &json!({"color": "blue"})))).unwrap();
    events.send(event("DELETED", map("a", 5, &json!({"color": "blue"})))).unwrap();
    until(|| cache.len() == 1 && !cache.exists(&ObjectKey::new("ns", "a"))).await;

    let entry = |key: &str, old, new| (key.to_owned(), old, new);
    assert_eq!(
        *told.lock().unwrap(),
        [
            entry("ns/a", false, true),
            entry("ns/a", true, true),
            entry("ns/b", false, true),
            entry("ns/a", true, false)
        ]
    );
    assert!(cache.by_index("by-color", "red").is_empty());
    assert_eq!(cache.by_index("by-color", "blue").len(), 1);
    assert_eq!(cache.list_in("ns").len(), 1);
    assert!(cache.list_in("n").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_without_streaming_lists_is_paged() {
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&requests);
    let (_events, watch) = fake_api::watch();
    let client = fake_api::client(move |_, target, _| {
        seen.lock().unwrap().push(target.to_owned());
        if target.contains("sendInitialEvents") {
            return fake_api::failure(422, "sendInitialEvents is forbidden");
        }
        if target.contains("watch=true") {
            return watch.answer();
        }
        fake_api::json(
            200,
            &json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "9"},
            "items": [map("a", 1, &json!({}))]}),
        )
    });
    let cache = CacheBuilder::<ConfigMap>::new(client).namespace("ns").start();
    cache.synced().await;
    assert_eq!(cache.len(), 1);
    let first = requests.lock().unwrap()[0].clone();
    assert!(first.starts_with("/api/v1/namespaces/ns/configmaps?"), "{first}");
}

#[tokio::test(start_paused = true)]
async fn a_relist_reports_what_vanished_and_is_silent_about_the_rest() {
    let (first, first_watch) = fake_api::watch();
    let (second, second_watch) = fake_api::watch();
    let watches = Mutex::new(vec![second_watch, first_watch]);
    let client = fake_api::client(move |_, _, _| match watches.lock().unwrap().pop() {
        Some(watch) => watch.answer(),
        None => fake_api::failure(500, "no more"),
    });
    let cache = CacheBuilder::<ConfigMap>::new(client).seed(1).start();
    first.send(event("ADDED", map("stays", 1, &json!({})))).unwrap();
    first.send(event("ADDED", map("goes", 2, &json!({})))).unwrap();
    first.send(initial_end(3)).unwrap();
    cache.synced().await;
    let counts: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let sink = Arc::clone(&counts);
    cache.subscribe(move |c| *sink.lock().unwrap().entry(c.key.to_string()).or_default() += 1);

    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
    first.send(event("ERROR", gone)).unwrap();
    drop(first);
    second.send(event("ADDED", map("stays", 1, &json!({})))).unwrap();
    second.send(initial_end(9)).unwrap();
    until(|| cache.len() == 1).await;
    // Once each for subscribing, once more for the one that vanished.
    let counts = counts.lock().unwrap().clone();
    assert_eq!(counts, BTreeMap::from([("ns/goes".into(), 2), ("ns/stays".into(), 1)]));
}

fn typed(object: Value) -> ConfigMap {
    serde_json::from_value(object).unwrap()
}

fn color(cache: &Cache<ConfigMap>, name: &str) -> Option<String> {
    let held = cache.get(&ObjectKey::new("ns", name))?;
    held.data.as_ref()?.get("color").cloned()
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_said_is_there_at_once_and_older_events_do_not_undo_it() {
    let (events, cache) = with_a_red_one().await;

    cache.take_in(typed(map("a", 7, &json!({"color": "blue"}))));
    cache.take_in(typed(map("made", 8, &json!({"color": "blue"}))));
    assert_eq!(color(&cache, "a").as_deref(), Some("blue"));
    assert_eq!(cache.by_index("by-color", "blue").len(), 2);

    // The watch comes after: before our write somebody else wrote, and deleted an earlier `made`.
    events.send(event("MODIFIED", map("a", 5, &json!({"color": "green"})))).unwrap();
    events.send(event("DELETED", map("made", 6, &json!({"color": "old"})))).unwrap();
    events.send(event("ADDED", map("seen", 9, &json!({})))).unwrap();
    until(|| cache.exists(&ObjectKey::new("ns", "seen"))).await;
    assert_eq!(color(&cache, "a").as_deref(), Some("blue"));
    assert_eq!(color(&cache, "made").as_deref(), Some("blue"));

    // What comes later counts, and an answer that is late does not.
    events.send(event("DELETED", map("made", 11, &json!({})))).unwrap();
    until(|| !cache.exists(&ObjectKey::new("ns", "made"))).await;
    cache.take_in(typed(map("made", 10, &json!({"color": "late"}))));
    assert!(!cache.exists(&ObjectKey::new("ns", "made")), "it was deleted since");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_show_an_answer_is_not_believed_before_it_was_asked_for() {
    let (first, first_watch) = fake_api::watch();
    let (second, second_watch) = fake_api::watch();
    let watches = Mutex::new(vec![second_watch, first_watch]);
    let client = fake_api::client(move |_, target, _| {
        if target.contains("watch=true") {
            return watches.lock().unwrap().pop().unwrap().answer();
        }
        match target.contains("/kept") {
            true => fake_api::json(200, &map("kept", 7, &json!({"color": "blue"}))),
            false => fake_api::failure(404, "gone"),
        }
    });
    let cache = CacheBuilder::<ConfigMap>::new(client).seed(1).start();
    first.send(initial_end(2)).unwrap();
    cache.synced().await;
    cache.take_in(typed(map("kept", 7, &json!({"color": "blue"}))));
    cache.take_in(typed(map("deleted", 8, &json!({"color": "blue"}))));

    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
    first.send(event("ERROR", gone)).unwrap();
    drop(first);
    second.send(event("ADDED", map("kept", 4, &json!({"color": "red"})))).unwrap();
    second.send(initial_end(5)).unwrap();
    until(|| !cache.exists(&ObjectKey::new("ns", "deleted"))).await;
    assert_eq!(color(&cache, "kept").as_deref(), Some("blue"));
}

#[tokio::test(start_paused = true)]
async fn a_write_of_which_nobody_knows_is_asked_for() {
    let (events, watch) = fake_api::watch();
    let client = fake_api::client(move |_, target, _| match target {
        _ if target.contains("watch=true") => watch.answer(),
        _ if target.contains("/done") => {
            fake_api::json(200, &map("done", 7, &json!({"color": "blue"})))
        }
        _ => fake_api::failure(404, "never made"),
    });
    let cache = CacheBuilder::<ConfigMap>::new(client).seed(1).start();
    events.send(initial_end(2)).unwrap();
    cache.synced().await;
    for name in ["done", "lost"] {
        cache.refresh(&ObjectKey::new("ns", name)).await.unwrap();
    }
    assert_eq!(color(&cache, "done").as_deref(), Some("blue"));
    assert_eq!(cache.len(), 1);
}
