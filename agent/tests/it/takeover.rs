//! A member cluster that another Fleet agent looked after until now, as it was recorded.

use std::time::Duration;

use runtime::objects;
use serde_json::{Value, json};

use crate::world::{World, rewrite_record};

const DEPLOYMENT: &str = include_str!("../golden/takeover/deployment.yaml");
const RELEASE: &str = include_str!("../golden/takeover/release.yaml");
const OBJECTS: &str = include_str!("../golden/takeover/objects.yaml");
const NAMESPACE: &str = "fleet-mc-helm-example";

/// The objects of a file, without what only the server that had them may say.
fn read(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").map(|text| goyaml::from_str(text).unwrap());
    documents
        .map(|mut object| {
            for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "finalizers"]
            {
                object["metadata"].as_object_mut().unwrap().remove(field);
            }
            object
        })
        .collect()
}

fn path_of(object: &Value) -> String {
    let (api, plural) = match object["kind"].as_str().unwrap() {
        "Deployment" => ("/apis/apps/v1", "deployments"),
        "Service" => ("/api/v1", "services"),
        _ => ("/api/v1", "secrets"),
    };
    format!("{api}/namespaces/{NAMESPACE}/{plural}")
}

#[tokio::test(start_paused = true)]
async fn what_another_agent_installed_is_watched_and_removed_but_not_installed_again() {
    let mut world = World::start_lively().await;
    world.stop().await;
    world.create("/api/v1/namespaces", json!({"metadata": {"name": NAMESPACE}})).await;
    let mut planted = read(OBJECTS);
    let [release] = &read(RELEASE)[..] else { unreachable!("one record") };
    let decoded = release["data"]["release(decoded)"].clone();
    planted.push(rewrite_record(release, &decoded));
    let mut paths = Vec::new();
    for object in &planted {
        world.create(&path_of(object), object.clone()).await;
        paths.push(format!("{}/{}", path_of(object), object["metadata"]["name"].as_str().unwrap()));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut before = Vec::new();
    for path in &paths {
        before.push(world.get(path).await);
    }
    // Neither its content nor its values are on the hub: what is not needed is not asked for.
    let [deployment] = &read(DEPLOYMENT)[..] else { unreachable!("one deployment") };
    let (name, status) = (deployment["metadata"]["name"].as_str().unwrap(), &deployment["status"]);
    world.plant(deployment).await;
    world.restart().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    for (path, before) in paths.iter().zip(&before) {
        assert_eq!(&world.get(path).await, before, "{path}");
    }
    let held = world.until_state(name, "Ready").await;
    for field in ["appliedDeploymentID", "release", "ready", "nonModified", "display"] {
        assert_eq!(held["status"][field], status[field], "{field}");
    }
    assert_eq!(held["status"]["resourceCounts"]["ready"], 5, "{held}");
    // It is watched.
    let service = format!("{}/frontend", path_of(&json!({"kind": "Service"})));
    let patch = json!({"spec": {"selector": {"tier": "other"}}});
    objects::merge(&world.member, &service, &patch).await.unwrap();
    world.until_state(name, "Modified").await;
    // And it goes with its deployment, record included.
    world.delete_deployment(name).await;
    for path in &paths {
        world.until_member(path, Value::is_null).await;
    }
}
