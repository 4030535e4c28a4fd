//! Patches with a schema: server-side apply and strategic merge. The merging itself is judged in the
//! crate `patch` by recorded answers; here it is how the server uses it.

use hub::Hub;
use serde_json::{Value, json};

use crate::support::{Answer, get, post, send, widget_crd};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const APPLY: &str = "application/apply-patch+yaml";

async fn apply(hub: &Hub, query: &str, data: Value) -> Answer {
    let body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data});
    send(hub, "PATCH", &format!("{MAPS}/x?{query}"), APPLY, &body).await
}

#[tokio::test]
async fn what_a_manager_no_longer_applies_goes_and_what_others_own_stays() {
    let hub = Hub::memory();
    assert_eq!(apply(&hub, "fieldManager=one", json!({"a": "1", "b": "1"})).await.code, 201);
    assert_eq!(apply(&hub, "fieldManager=two", json!({"c": "1"})).await.code, 200);
    let after = apply(&hub, "fieldManager=one", json!({"a": "2"})).await;
    assert_eq!(after.body["data"], json!({"a": "2", "c": "1"}));
    let managers: Vec<&str> = after.body["metadata"]["managedFields"]
        .as_array()
        .expect("owners")
        .iter()
        .filter_map(|m| m["manager"].as_str())
        .collect();
    assert_eq!(managers, ["one", "two"]);
}

#[tokio::test]
async fn a_field_of_another_manager_is_a_conflict_unless_forced() {
    let hub = Hub::memory();
    apply(&hub, "fieldManager=one", json!({"a": "1"})).await;
    let refused = apply(&hub, "fieldManager=two", json!({"a": "2"})).await;
    assert_eq!(
        (refused.code, refused.body["details"]["causes"][0].clone()),
        (
            409,
            json!({
        "reason": "FieldManagerConflict", "field": ".data.a", "message": "conflict with \"one\""})
        )
    );
    assert_eq!(apply(&hub, "fieldManager=two&force=true", json!({"a": "2"})).await.code, 200);
}

#[tokio::test]
async fn applying_the_same_again_writes_nothing() {
    let hub = Hub::memory();
    let first = apply(&hub, "fieldManager=one", json!({"a": "1"})).await.body;
    assert_eq!(apply(&hub, "fieldManager=one", json!({"a": "1"})).await.body, first);
}

#[tokio::test]
async fn a_custom_object_is_applied_by_its_schema_and_its_status_apart() {
    let hub = Hub::memory();
    post(&hub, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", widget_crd()).await;
    let path = "/apis/example.com/v1/namespaces/default/widgets/w";
    let widget = |rest: Value| {
        let mut object = json!({"apiVersion": "example.com/v1", "kind": "Widget",
            "metadata": {"name": "w", "finalizers": ["example.com/hold"]}});
        patch_into(&mut object, rest);
        object
    };
    let made = send(
        &hub,
        "PATCH",
        &format!("{path}?fieldManager=one"),
        APPLY,
        &widget(json!({"spec": {"size": 2}})),
    )
    .await;
    assert_eq!((made.code, &made.body["spec"]["mode"]), (201, &json!("Fast")), "{}", made.body);
    let status = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "status": {"seen": 1}});
    let answer =
        send(&hub, "PATCH", &format!("{path}/status?fieldManager=agent"), APPLY, &status).await;
    assert_eq!((answer.code, &answer.body["status"]["seen"]), (200, &json!(1)), "{}", answer.body);
    let after = send(
        &hub,
        "PATCH",
        &format!("{path}?fieldManager=one"),
        APPLY,
        &widget(json!({"spec": {"size": 3}})),
    )
    .await;
    assert_eq!(
        (&after.body["status"]["seen"], &after.body["spec"]["size"]),
        (&json!(1), &json!(3))
    );
}

fn patch_into(object: &mut Value, rest: Value) {
    if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
        object.extend(rest);
    }
}

#[tokio::test]
async fn a_strategic_patch_merges_lists_by_their_key() {
    let hub = Hub::memory();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    post(&hub, deployments, json!({"metadata": {"name": "web"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]}}}})).await;
    let patch =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b:2"}]}}}});
    let path = format!("{deployments}/web");
    let after = send(&hub, "PATCH", &path, "application/strategic-merge-patch+json", &patch).await;
    let images: Vec<&Value> = after.body["spec"]["template"]["spec"]["containers"]
        .as_array()
        .expect("containers")
        .iter()
        .map(|c| &c["image"])
        .collect();
    assert_eq!(
        (images, &get(&hub, &path).await.body["metadata"]["generation"]),
        (vec![&json!("a:1"), &json!("b:2")], &json!(2))
    );
}
