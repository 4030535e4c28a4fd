//! The data file: what was acknowledged is there after a restart.

use std::path::Path;

use hub::{Hub, OpenError, Options, StoreError};
use serde_json::json;

use crate::support::{config_map, delete, get, merge, post};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn open(folder: &Path) -> Result<Hub, OpenError> {
    Hub::open(&Options { data: Some(folder.to_owned()), ..Options::default() })
}

#[tokio::test]
async fn a_restart_finds_every_object_and_counts_on() {
    let folder = tempfile::tempdir().expect("folder");
    let hub = open(folder.path()).expect("opened");
    post(&hub, MAPS, config_map("kept")).await;
    post(&hub, MAPS, config_map("gone")).await;
    delete(&hub, &format!("{MAPS}/gone")).await;
    let before = merge(&hub, &format!("{MAPS}/kept"), json!({"data": {"a": "2"}})).await.body;
    drop(hub);
    let hub = open_when_released(folder.path()).await;
    assert_eq!(get(&hub, &format!("{MAPS}/kept")).await.body, before);
    assert_eq!(get(&hub, &format!("{MAPS}/gone")).await.code, 404);
    let next = post(&hub, MAPS, config_map("next")).await.body;
    let revision = |o: &serde_json::Value| -> u64 {
        o["metadata"]["resourceVersion"].as_str().expect("set").parse().expect("number")
    };
    assert!(revision(&next) > revision(&before));
}

/// The worker task lets go of the server on its next wake-up.
async fn open_when_released(folder: &Path) -> Hub {
    for _ in 0..1000 {
        match open(folder) {
            Err(OpenError::Store(StoreError::InUse { .. })) => tokio::task::yield_now().await,
            other => return other.expect("opened"),
        }
    }
    panic!("still in use");
}

#[tokio::test]
async fn a_second_instance_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let _first = open(folder.path()).expect("opened");
    assert!(matches!(open(folder.path()), Err(OpenError::Store(StoreError::InUse { .. }))));
}
