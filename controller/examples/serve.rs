//! Scratch: the controller and fake agents on the cluster of KUBECONFIG.
use bundle_format::api::*;
use futures::StreamExt;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

#[tokio::main]
async fn main() {
    runtime::client::install_crypto_provider();
    runtime::telemetry::init(Default::default());
    let client = runtime::client::from_environment(None, "fleet-controller").await.unwrap();
    let stop = runtime::shutdown::on_signal().unwrap();
    let mut config = controller::ControllerConfig::in_process("cattle-fleet-system");
    config.api_server = controller::config::ApiServer {
        url: std::env::var("HUB_URL").unwrap_or_default(),
        ca: std::fs::read_to_string(std::env::var("HUB_CA").unwrap_or_default())
            .unwrap_or_default(),
    };
    config.bootstrap = std::env::var("NO_BOOTSTRAP").is_err();
    if std::env::var("FAKE").is_ok() {
        let client = client.clone();
        tokio::spawn(async move {
            let agents = runtime::client::from_environment(None, "fake-agents").await.unwrap();
            let _ = client;
            let api: Api<BundleDeployment> = Api::all(agents.clone());
            let mut stream = kube::runtime::watcher::watcher(api, Default::default()).boxed();
            let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(32));
            while let Some(event) = stream.next().await {
                let Ok(
                    kube::runtime::watcher::Event::Apply(bd)
                    | kube::runtime::watcher::Event::InitApply(bd),
                ) = event
                else {
                    continue;
                };
                let applied =
                    bd.status.as_ref().map(|s| s.applied_deployment_id.clone()).unwrap_or_default();
                if bd.spec.deployment_id.is_empty() || applied == bd.spec.deployment_id {
                    continue;
                }
                let agents = agents.clone();
                let permit = slots.clone().acquire_owned().await.unwrap();
                tokio::spawn(async move {
                    let api: Api<BundleDeployment> =
                        Api::namespaced(agents, &bd.namespace().unwrap());
                    let body = json!({"status": {"appliedDeploymentID": bd.spec.deployment_id, "ready": true, "nonModified": true, "display": {"deployed":"True","monitored":"True","state":"Ready"}, "resourceCounts": {"desiredReady": 2, "ready": 2},
                        "resources": [{"kind":"ConfigMap","apiVersion":"v1","namespace":"x","name":"a"},{"kind":"Deployment","apiVersion":"apps/v1","namespace":"x","name":"b"}],
                        "conditions":[{"type":"Ready","status":"True"},{"type":"Deployed","status":"True"}]}});
                    let _ = api
                        .patch_status(&bd.name_any(), &PatchParams::default(), &Patch::Merge(&body))
                        .await;
                    drop(permit);
                });
            }
        });
    }
    controller::run(config, client, stop).await.unwrap();
}
