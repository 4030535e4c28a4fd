//! What the definitions of our kinds accept and keep, on the embedded API server.

use bundle_format::api::crds::definitions;
use hub::Hub;
use kube::Client;
use runtime::ApiError;
use runtime::objects::{self, fleet};
use serde_json::{Value, json};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A client of a server that has our kinds.
async fn client() -> Client {
    let hub = Hub::memory();
    hub.ready().await;
    let client = Client::new(hub, "default");
    for crd in definitions() {
        objects::create(&client, CRDS, &crd).await.expect("a definition");
    }
    client
}

/// Creates an object `one` in namespace `default`.
async fn create(client: &Client, kind: &str, body: Value) -> Result<Value, ApiError> {
    let mut object = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": kind,
        "metadata": {"name": "one"}});
    let members = body.as_object().expect("members").clone();
    object.as_object_mut().expect("an object").extend(members);
    let plural = match kind {
        "Policy" => "policies".to_owned(),
        kind => kind.to_lowercase() + "s",
    };
    objects::create(client, &fleet("default", &plural), &object).await
}

/// The server's words, when it refuses the object.
async fn refusal(client: &Client, kind: &str, spec: Value) -> String {
    let refused = create(client, kind, json!({ "spec": spec })).await.expect_err("refused");
    assert_eq!(refused.code(), Some(422), "{refused:?}");
    refused.source.to_string()
}

#[tokio::test]
async fn durations_are_those_of_go() {
    let client = client().await;
    let spec = json!({"repo": "https://git.example/r", "pollingInterval": "1d"});
    let said = refusal(&client, "GitRepo", spec).await;
    let wanted = "must be a valid Go duration using units ns, us, µs, ms, s, m, h \
                  (e.g. 15s, 5m, 2h, 1h30m); units like d (days) or w (weeks) are not supported";
    assert!(said.contains("spec.pollingInterval") && said.contains(wanted), "{said}");
    let spec = json!({"repo": "https://git.example/r", "pollingInterval": "1h30m"});
    create(&client, "GitRepo", json!({ "spec": spec })).await.expect("a duration");
}

#[tokio::test]
async fn release_names_are_those_of_helm() {
    let client = client().await;
    for name in ["x".repeat(54), "Upper".to_owned(), "-front".to_owned()] {
        let said = refusal(&client, "Bundle", json!({"helm": {"releaseName": name}})).await;
        assert!(said.contains("spec.helm.releaseName"), "{said}");
    }
    let spec = json!({"helm": {"releaseName": "x".repeat(53)}});
    create(&client, "Bundle", json!({ "spec": spec })).await.expect("a name");
}

#[tokio::test]
async fn a_gitrepo_names_its_repository() {
    let client = client().await;
    let said = refusal(&client, "GitRepo", json!({"branch": "main"})).await;
    assert!(said.contains("spec.repo: Required value"), "{said}");
}

#[tokio::test]
async fn bundles_choose_the_first_match_unless_they_say_otherwise() {
    let client = client().await;
    let bundle = create(&client, "Bundle", json!({"spec": {}})).await.expect("a bundle");
    assert_eq!(bundle["spec"]["targetCustomizationMode"], "FirstMatch");
}

#[tokio::test]
async fn a_field_may_be_null() {
    let client = client().await;
    let spec = json!({"repo": "https://git.example/r", "paths": null, "targets": null,
        "clientSecretName": null, "correctDrift": null, "pollingInterval": null});
    create(&client, "GitRepo", json!({ "spec": spec })).await.expect("nulls");
    let spec = json!({"helm": null, "targets": null, "resources": null, "dependsOn": null});
    create(&client, "Bundle", json!({ "spec": spec })).await.expect("nulls");
}

#[tokio::test]
async fn a_status_is_written_through_its_own_resource() {
    let client = client().await;
    let body = json!({"spec": {}, "status": {"observedGeneration": 7}});
    let bundle = create(&client, "Bundle", body).await.expect("a bundle");
    assert_eq!(bundle["status"]["observedGeneration"], Value::Null);
    let path = format!("{}/one", fleet("default", "bundles"));
    let status = json!({"status": {"observedGeneration": 7}});
    objects::merge(&client, &path, &status).await.expect("merged");
    let bundle = objects::get(&client, &path).await.expect("read").expect("there");
    assert_eq!(bundle["status"]["observedGeneration"], Value::Null);
    objects::merge(&client, &format!("{path}/status"), &status).await.expect("merged");
    let bundle = objects::get(&client, &path).await.expect("read").expect("there");
    assert_eq!(bundle["status"]["observedGeneration"], 7);

    create(&client, "Policy", json!({"spec": {}})).await.expect("a policy");
    let path = format!("{}/one/status", fleet("default", "policies"));
    let refused = objects::merge(&client, &path, &status).await.expect_err("refused");
    assert!(refused.is_not_found(), "a policy has no status: {refused:?}");
}
