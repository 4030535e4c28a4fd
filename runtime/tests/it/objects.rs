use std::sync::{Arc, Mutex};

use kube::Client;
use runtime::objects::{core, create, delete, ensure, fleet, get};
use serde_json::json;

use crate::fake_api::{client, failure, json};

/// A client of a server that has every name taken and no object to read, and what it was asked.
fn contrary_server() -> (Client, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let client = client(move |method, target, _| {
        seen.lock().unwrap().push(format!("{method} {target}"));
        match method {
            "POST" => failure(409, "exists"),
            "PATCH" => json(200, &json!({})),
            _ => failure(404, "not found"),
        }
    });
    (client, asked)
}

#[tokio::test]
async fn what_exists_is_merged_into() {
    let (client, asked) = contrary_server();
    let (path, map) = (core("n", "configmaps"), json!({"metadata": {"name": "m"}}));
    ensure(&client, &path, &map).await.unwrap();
    let path = "/api/v1/namespaces/n/configmaps";
    assert_eq!(*asked.lock().unwrap(), [format!("POST {path}"), format!("PATCH {path}/m")]);
    let error = create(&client, path, &map).await.unwrap_err();
    assert_eq!(error.code(), Some(409), "only `ensure` takes what is there");
}

#[tokio::test]
async fn what_is_gone_is_none_and_need_not_be_deleted() {
    let (client, asked) = contrary_server();
    let path = format!("{}/web", fleet("fleet-local", "bundles"));
    assert_eq!(get(&client, &path).await.unwrap(), None);
    delete(&client, &path).await.unwrap();
    let path = "/apis/fleet.cattle.io/v1alpha1/namespaces/fleet-local/bundles/web";
    assert_eq!(*asked.lock().unwrap(), ["GET", "DELETE"].map(|verb| format!("{verb} {path}")));
}
