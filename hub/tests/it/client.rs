//! `kube::Client` on the hub, no socket between.

use futures::{StreamExt, TryStreamExt};
use hub::Hub;
use kube::api::{
    ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::core::ObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::support::{config_map, delete, get, merge, post, put, send, widget_crd};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

fn config_maps(client: Client) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    Api::namespaced_with(client, "default", &kind)
}

/// Secrets: every namespace has a ConfigMap of its own, but no Secret.
fn secrets(client: Client) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
    Api::namespaced_with(client, "default", &kind)
}

fn secret(name: &str) -> DynamicObject {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
    let mut object = DynamicObject::new(name, &kind);
    object.metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    object.data = json!({"data": {"a": "MQ=="}});
    object
}

#[tokio::test(start_paused = true)]
async fn kube_lists_patches_and_watches_in_virtual_time() {
    let api = secrets(Client::new(Hub::memory(), "default"));
    api.create(&PostParams::default(), &secret("one")).await.expect("created");
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut seen = std::pin::pin!(watcher(api.clone(), config).applied_objects());
        let first = seen.try_next().await.expect("watch").expect("object");
        assert_eq!(first.name_any(), "one");
        let text = first.resource_version().expect("set");
        let patch = json!({"metadata": {"annotations": {"b": text}}});
        api.patch("one", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("patched");
        let next = seen.try_next().await.expect("watch").expect("object");
        assert_eq!(next.annotations()["b"], text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_a_snapshot_even_when_objects_change_between_pages() {
    let hub = Hub::memory();
    let api = secrets(Client::new(hub.clone(), "default"));
    for i in 0..5 {
        api.create(&PostParams::default(), &secret(&format!("m{i}"))).await.expect("created");
    }
    let first = api.list(&ListParams::default().limit(2)).await.expect("page");
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    delete(&hub, &format!("{SECRETS}/m4")).await;
    post(&hub, SECRETS, json!({"metadata": {"name": "m5"}})).await;
    let token = first.metadata.continue_.expect("more");
    let second = api.list(&ListParams::default().continue_token(&token)).await.expect("page");
    let names: Vec<String> = second.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["m2", "m3", "m4"]);
}

#[tokio::test]
async fn a_write_based_on_an_old_state_is_refused() {
    let hub = Hub::memory();
    let made = post(&hub, MAPS, config_map("x")).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let path = format!("{MAPS}/x");
    assert_eq!(merge(&hub, &path, json!({"data": {"a": "2"}})).await.code, 200);
    let stale = put(&hub, &path, made.body).await;
    assert_eq!((stale.code, &stale.body["reason"]), (409, &json!("Conflict")));
    // The words of kube-apiserver 1.36.
    assert_eq!(
        stale.body["message"],
        "Operation cannot be fulfilled on configmaps \"x\": the object has been modified; please apply your changes to the latest version and try again"
    );
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let hub = Hub::memory();
    post(&hub, MAPS, config_map("x")).await;
    let path = format!("{MAPS}/x");
    let before = get(&hub, &path).await.body;
    let after = merge(&hub, &path, json!({"data": {"a": "1"}})).await.body;
    assert_eq!(after, before);
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_forgotten_revision_ends_with_410_and_the_client_lists_again() {
    let options = hub::Options { history_count: 3, ..hub::Options::default() };
    let hub = Hub::open(&options).expect("memory");
    for i in 0..6 {
        post(&hub, MAPS, config_map(&format!("m{i}"))).await;
    }
    let request = http::Request::get(format!("{MAPS}?watch=1&resourceVersion=2"));
    let response = hub.answer(request.body(String::new()).expect("request")).await;
    let body =
        http_body_util::BodyExt::collect(response.into_body()).await.expect("body").to_bytes();
    let event: serde_json::Value = serde_json::from_slice(&body).expect("one line");
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
}

#[tokio::test(start_paused = true)]
async fn a_watch_with_a_selector_shows_an_object_that_stops_matching_as_deleted() {
    let hub = Hub::memory();
    let api = config_maps(Client::new(hub.clone(), "default"));
    let config = watcher::Config::default().labels("env=dev");
    let mut events = std::pin::pin!(watcher(api, config));
    let mut labelled = config_map("x");
    labelled["metadata"]["labels"] = json!({"env": "dev"});
    assert!(matches!(events.next().await, Some(Ok(watcher::Event::Init))));
    assert!(matches!(events.next().await, Some(Ok(watcher::Event::InitDone))));
    post(&hub, MAPS, labelled).await;
    assert!(matches!(events.next().await, Some(Ok(watcher::Event::Apply(_)))));
    merge(&hub, &format!("{MAPS}/x"), json!({"metadata": {"labels": {"env": "prod"}}})).await;
    assert!(matches!(events.next().await, Some(Ok(watcher::Event::Delete(_)))));
}

#[tokio::test]
async fn a_crd_serves_its_kind_with_defaults_pruning_checks_and_columns() {
    let hub = Hub::memory();
    let crd =
        post(&hub, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", widget_crd()).await;
    assert_eq!(crd.code, 201, "{}", crd.body);
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let widget = |size: i64| {
        json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w"}, "spec": {"size": size, "extra": 1}, "status": {"x": 1}})
    };
    let bad = post(&hub, widgets, widget(0)).await;
    assert_eq!(bad.code, 422);
    assert_eq!(
        bad.body["message"],
        "Widget.example.com \"w\" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"
    );
    let good = post(&hub, widgets, widget(2)).await.body;
    assert_eq!(good["spec"], json!({"size": 2, "mode": "Fast"}));
    assert!(good["status"].is_null() && good["metadata"]["generation"] == 1);
    let status = json!({"status": {"conditions": [{"type": "Ready", "message": "fine"}]}, "spec": {"size": 9}});
    let after = merge(&hub, &format!("{widgets}/w/status"), status).await.body;
    assert_eq!((&after["spec"]["size"], &after["metadata"]["generation"]), (&json!(2), &json!(1)));
    let request = http::Request::get(widgets)
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let response = hub.answer(request.body(String::new()).expect("request")).await;
    let body =
        http_body_util::BodyExt::collect(response.into_body()).await.expect("body").to_bytes();
    let table: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(table["rows"][0]["cells"], json!(["w", 2, "fine"]));
    let strict = post(&hub, &format!("{widgets}?fieldValidation=Strict"), widget(2)).await;
    assert_eq!(
        (strict.code, &strict.body["message"]),
        (
            400,
            &json!(
                "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown field \"spec.extra\""
            )
        )
    );
}

#[tokio::test]
async fn a_json_patch_is_applied_whole_or_not_at_all() {
    let hub = Hub::memory();
    post(&hub, MAPS, config_map("x")).await;
    let path = format!("{MAPS}/x");
    let operations = json!([{"op": "replace", "path": "/data/a", "value": "2"},
        {"op": "test", "path": "/data/a", "value": "3"}]);
    let answer = send(&hub, "PATCH", &path, "application/json-patch+json", &operations).await;
    assert_eq!(answer.code, 422);
    assert_eq!(get(&hub, &path).await.body["data"]["a"], "1");
}

/// Objects that left the history window are kept packed; nobody can tell.
#[tokio::test]
async fn an_object_nobody_changed_for_long_reads_and_changes_as_any_other() {
    let hub = Hub::open(&hub::Options { history_count: 2, ..hub::Options::default() });
    let hub = hub.expect("opens");
    let path = "/api/v1/namespaces/default/configmaps";
    let mut large = config_map("large");
    large["data"]["text"] = "some text ".repeat(300).into();
    let made = post(&hub, path, large).await.body;
    for name in ["a", "b", "c", "d"] {
        post(&hub, path, config_map(name)).await;
    }
    let one = format!("{path}/large");
    assert_eq!(get(&hub, &one).await.body, made);
    let list = get(&hub, path).await.body;
    let items = list["items"].as_array().expect("a list");
    assert!(items.iter().any(|item| item["data"] == made["data"]), "{list}");
    let changed = merge(&hub, &one, json!({"data": {"a": "2"}})).await.body;
    assert_eq!(
        (&changed["data"]["a"], &changed["data"]["text"]),
        (&json!("2"), &made["data"]["text"])
    );
}
