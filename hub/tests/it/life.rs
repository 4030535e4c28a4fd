//! Life cycles: finalizers, owners, namespaces, CRDs.

use hub::Hub;
use serde_json::{Value, json};

use crate::support::{config_map, delete, eventually, get, merge, post, send, widget_crd};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_removed() {
    let hub = Hub::memory();
    let mut object = config_map("x");
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&hub, MAPS, object).await;
    let path = format!("{MAPS}/x");
    let held = delete(&hub, &path).await;
    assert!(held.body["metadata"]["deletionTimestamp"].is_string(), "{}", held.body);
    assert_eq!(get(&hub, &path).await.code, 200);
    merge(&hub, &path, json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(get(&hub, &path).await.code, 404);
}

fn owned_by(name: &str, owner: &Value, blocks: bool) -> Value {
    let mut object = config_map(name);
    object["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap",
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": blocks}]);
    object
}

#[tokio::test]
async fn the_dependents_of_a_deleted_owner_follow_it() {
    let hub = Hub::memory();
    let owner = post(&hub, MAPS, config_map("owner")).await.body;
    let child = post(&hub, MAPS, owned_by("child", &owner, true)).await.body;
    post(&hub, MAPS, owned_by("grandchild", &child, true)).await;
    delete(&hub, &format!("{MAPS}/owner")).await;
    for name in ["child", "grandchild"] {
        let path = format!("{MAPS}/{name}");
        eventually(|| async { get(&hub, &path).await.code == 404 }).await;
    }
}

#[tokio::test]
async fn an_orphaned_dependent_stays_without_its_reference() {
    let hub = Hub::memory();
    let owner = post(&hub, MAPS, config_map("owner")).await.body;
    post(&hub, MAPS, owned_by("child", &owner, true)).await;
    delete(&hub, &format!("{MAPS}/owner?propagationPolicy=Orphan")).await;
    eventually(|| async { get(&hub, &format!("{MAPS}/owner")).await.code == 404 }).await;
    let child = get(&hub, &format!("{MAPS}/child")).await.body;
    assert!(child["metadata"]["ownerReferences"].is_null(), "{child}");
}

#[tokio::test]
async fn foreground_deletion_waits_for_a_blocking_dependent() {
    let hub = Hub::memory();
    let owner = post(&hub, MAPS, config_map("owner")).await.body;
    let mut child = owned_by("child", &owner, true);
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&hub, MAPS, child).await;
    let options = json!({"propagationPolicy": "Foreground"});
    let path = format!("{MAPS}/owner");
    send(&hub, "DELETE", &path, "application/json", &options).await;
    let child_path = format!("{MAPS}/child");
    eventually(|| async {
        get(&hub, &child_path).await.body["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    assert_eq!(get(&hub, &path).await.code, 200);
    merge(&hub, &child_path, json!({"metadata": {"finalizers": []}})).await;
    eventually(|| async { get(&hub, &path).await.code == 404 }).await;
}

#[tokio::test]
async fn an_object_whose_owner_never_existed_is_removed() {
    let hub = Hub::memory();
    let ghost = json!({"metadata": {"name": "ghost", "uid": "0-0"}});
    post(&hub, MAPS, owned_by("child", &ghost, false)).await;
    eventually(|| async { get(&hub, &format!("{MAPS}/child")).await.code == 404 }).await;
}

#[tokio::test]
async fn a_namespace_goes_with_everything_in_it_and_takes_nothing_new_meanwhile() {
    let hub = Hub::memory();
    let namespaces = "/api/v1/namespaces";
    post(&hub, namespaces, json!({"metadata": {"name": "n"}})).await;
    let inside = "/api/v1/namespaces/n/configmaps";
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&hub, inside, held).await;
    let deleted = delete(&hub, "/api/v1/namespaces/n").await;
    assert_eq!(deleted.body["status"]["phase"], "Terminating");
    let late = post(&hub, inside, config_map("late")).await;
    assert_eq!((late.code, &late.body["reason"]), (403, &json!("Forbidden")));
    let held = format!("{inside}/held");
    eventually(|| async {
        get(&hub, &held).await.body["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    assert_eq!(get(&hub, "/api/v1/namespaces/n").await.code, 200);
    merge(&hub, &held, json!({"metadata": {"finalizers": null}})).await;
    eventually(|| async { get(&hub, "/api/v1/namespaces/n").await.code == 404 }).await;
    let nowhere = post(&hub, inside, config_map("x")).await;
    assert_eq!(nowhere.body["message"], "namespaces \"n\" not found");
}

#[tokio::test]
async fn a_crd_goes_after_its_objects_and_its_kind_with_it() {
    let hub = Hub::memory();
    post(&hub, CRDS, widget_crd()).await;
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w", "finalizers": ["example.com/hold"]}});
    assert_eq!(post(&hub, widgets, widget).await.code, 201);
    let crd = format!("{CRDS}/widgets.example.com");
    delete(&hub, &crd).await;
    let path = format!("{widgets}/w");
    eventually(|| async {
        get(&hub, &path).await.body["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    merge(&hub, &path, json!({"metadata": {"finalizers": null}})).await;
    eventually(|| async { get(&hub, &crd).await.code == 404 }).await;
    assert_eq!(get(&hub, widgets).await.code, 404);
}

#[tokio::test]
async fn a_claim_in_use_and_its_volume_outlive_their_deletion() {
    let hub = Hub::memory();
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": "disk",
            "resources": {"requests": {"storage": "1Mi"}}}});
    post(&hub, claims, claim).await;
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": "disk"},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Mi"},
            "hostPath": {"path": "/d"},
            "claimRef": {"namespace": "default", "name": "data"}}});
    post(&hub, "/api/v1/persistentvolumes", volume).await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"},
        "spec": {"containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}});
    post(&hub, pods, pod).await;

    let (claim, volume) = (format!("{claims}/data"), "/api/v1/persistentvolumes/disk");
    delete(&hub, volume).await;
    delete(&hub, &claim).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(get(&hub, &claim).await.body["metadata"]["deletionTimestamp"].is_string());
    assert!(get(&hub, volume).await.body["metadata"]["deletionTimestamp"].is_string());

    delete(&hub, &format!("{pods}/user?gracePeriodSeconds=0")).await;
    eventually(|| async { get(&hub, &claim).await.code == 404 }).await;
    eventually(|| async { get(&hub, volume).await.code == 404 }).await;
}
