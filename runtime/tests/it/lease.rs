use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime::Clock;
use runtime::lease::{LeaseConfig, LeaseTiming, lead};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::fake_api;

/// One Lease with the API server's compare-and-set, and a switch that makes it unreachable.
#[derive(Default)]
struct Store {
    lease: Option<Value>,
    version: u64,
    is_down: bool,
}

fn api(store: &Arc<Mutex<Store>>) -> kube::Client {
    let store = Arc::clone(store);
    fake_api::client(move |method, _, body| {
        let mut store = store.lock().unwrap();
        if store.is_down {
            return fake_api::failure(500, "down");
        }
        store.version += 1;
        let version = store.version.to_string();
        match (method, store.lease.clone()) {
            ("GET", None) => return fake_api::failure(404, "not found"),
            ("GET", Some(lease)) => return fake_api::json(200, &lease),
            ("POST", Some(_)) => return fake_api::failure(409, "exists"),
            ("POST", None) => store.lease = Some(body),
            ("PATCH", Some(mut lease)) => {
                if lease["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                    return fake_api::failure(409, "conflict");
                }
                for (key, value) in body["spec"].as_object().unwrap() {
                    lease["spec"][key] = value.clone();
                }
                store.lease = Some(lease);
            }
            other => panic!("unexpected {other:?}"),
        }
        let lease = store.lease.as_mut().unwrap();
        lease["metadata"]["resourceVersion"] = json!(version);
        fake_api::json(200, lease)
    })
}

/// Who leads now; at most one at a time or the test fails.
type Leader = Arc<Mutex<Option<&'static str>>>;

fn candidate(client: kube::Client, who: &'static str, leader: &Leader) -> CancellationToken {
    let stop = CancellationToken::new();
    let timing = LeaseTiming {
        lease_duration: Duration::from_secs(30),
        renew_deadline: Duration::from_secs(25),
        retry_period: Duration::from_secs(10),
    };
    let config =
        LeaseConfig { namespace: "ns".into(), name: "lease".into(), identity: who.into(), timing };
    let (shutdown, leader) = (stop.clone(), Arc::clone(leader));
    tokio::spawn(lead(client, config, Clock::system(), shutdown, move |term| {
        let leader = Arc::clone(&leader);
        async move {
            assert_eq!(leader.lock().unwrap().replace(who), None, "two leaders");
            term.cancelled().await;
            *leader.lock().unwrap() = None;
        }
    }));
    stop
}

#[tokio::test(start_paused = true)]
async fn leadership_is_exclusive_survives_an_outage_and_passes_on() {
    let store: Arc<Mutex<Store>> = Arc::default();
    let leader: Leader = Arc::default();
    let a = candidate(api(&store), "a", &leader);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _b = candidate(api(&store), "b", &leader);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(*leader.lock().unwrap(), Some("a"));

    store.lock().unwrap().is_down = true;
    tokio::time::sleep(Duration::from_secs(36)).await;
    assert_eq!(*leader.lock().unwrap(), None, "steps down when it cannot renew");
    store.lock().unwrap().is_down = false;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(leader.lock().unwrap().is_some(), "somebody leads again");

    a.cancel();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(*leader.lock().unwrap(), Some("b"));
}
