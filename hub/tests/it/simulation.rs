//! Workloads without nodes.

use std::time::Duration;

use hub::{Hub, Options, Simulation};
use serde_json::{Value, json};

use crate::support::{get, merge, post};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn deployment(annotations: Value) -> Value {
    json!({"metadata": {"name": "web", "annotations": annotations}, "spec": {"replicas": 2,
        "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "web:1"}]}}}})
}

fn simulating() -> Hub {
    let simulation = Some(Simulation { ready_after: Duration::from_secs(3) });
    Hub::open(&Options { simulation, ..Options::default() }).expect("opened")
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_ready_after_the_delay_and_again_after_a_change() {
    let hub = simulating();
    post(&hub, DEPLOYMENTS, deployment(json!({}))).await;
    let path = format!("{DEPLOYMENTS}/web");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(get(&hub, &path).await.body["status"]["readyReplicas"].is_null());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(get(&hub, &path).await.body["status"]["readyReplicas"], 2);
    merge(&hub, &path, json!({"spec": {"replicas": 5}})).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let status = get(&hub, &path).await.body["status"].take();
    assert_eq!((&status["readyReplicas"], &status["observedGeneration"]), (&json!(5), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn a_workload_fails_on_demand() {
    let hub = simulating();
    post(&hub, DEPLOYMENTS, deployment(json!({"simulate.hub/fail": "no image"}))).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let status = get(&hub, &format!("{DEPLOYMENTS}/web")).await.body["status"].take();
    assert_eq!(
        (&status["unavailableReplicas"], &status["conditions"][1]["message"]),
        (&json!(2), &json!("no image"))
    );
}
