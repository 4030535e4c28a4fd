//! What differs from what was deployed, and the sign of life beside it.

use runtime::objects;
use serde_json::{Value, json};

use crate::world::{WEB, World, config_map, map_text, message};

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: example.com/mine\n";

/// Makes a Secret in the place of the deployed one whose type cannot be changed back.
async fn replace_secret(world: &World) {
    let path = format!("{}/s", objects::core(WEB, "secrets"));
    let mut held = world.get(&path).await;
    objects::delete(&world.member, &path).await.unwrap();
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        held["metadata"][field] = Value::Null;
    }
    held["type"] = json!("example.com/other");
    world.create(&objects::core(WEB, "secrets"), held).await;
}

#[tokio::test(start_paused = true)]
async fn drift_that_cannot_be_patched_away_is_repaired_by_force_only() {
    let world = World::start().await;
    let corrects = |force: bool| json!({"correctDrift": {"enabled": true, "force": force}});
    world.deploy_with("app", &[("s.yaml", SECRET)], json!({}), corrects(false)).await;
    world.until_state("app", "Ready").await;
    replace_secret(&world).await;
    let failed = |held: &Value| held["status"]["display"]["state"] == "ErrApplied";
    let held = world.until("app", failed).await;
    let words = message(&held, "Deployed");
    assert!(words.contains("s /v1, Kind=Secret"), "{words}");
    world.deploy_with("app", &[("s.yaml", SECRET)], json!({}), corrects(true)).await;
    let path = format!("{}/s", objects::core(WEB, "secrets"));
    world.until_member(&path, |held| held["type"] == "example.com/mine").await;
    let held = world.until_state("app", "Ready").await;
    assert_eq!(held["status"]["release"], "web/app:1", "a repair is no revision");
}

// Words as in observed Modified states: `extra`, and counted as orphaned.
#[tokio::test(start_paused = true)]
async fn what_the_version_before_had_is_extra_when_it_comes_back() {
    let mut world = World::start().await;
    let (a, b) = (map_text("a", "1"), map_text("b", "1"));
    world.deploy("app", &[("a.yaml", &a), ("b.yaml", &b)], json!({})).await;
    world.until_state("app", "Ready").await;
    let mut old = world.get(&config_map("b")).await;
    world.deploy("app", &[("a.yaml", &a)], json!({})).await;
    world.until_state("app", "Ready").await;
    assert_eq!(world.get(&config_map("b")).await, Value::Null);
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        old["metadata"][field] = Value::Null;
    }
    world.create(&objects::core(WEB, "configmaps"), old).await;
    let is_told = |held: &Value| {
        assert_eq!(message(held, "Ready"), "configmap.v1 web/b extra");
        let entry = &held["status"]["modifiedStatus"][0];
        assert_eq!((&entry["name"], &entry["delete"]), (&json!("b"), &json!(true)));
        let counts = &held["status"]["resourceCounts"];
        assert_eq!((&counts["orphaned"], &counts["desiredReady"]), (&json!(1), &json!(1)));
    };
    is_told(&world.until_state("app", "Modified").await);
    // A new agent sees it as well.
    world.stop().await;
    world.forget_status("app").await;
    world.restart().await;
    is_told(&world.until_state("app", "Modified").await);
    // What says that it may stay is not extra.
    for (field, key, value) in [
        ("labels", "objectset.rio.cattle.io/prune", "false"),
        ("annotations", "helm.sh/resource-policy", "keep"),
    ] {
        for (value, state) in [(json!(value), "Ready"), (Value::Null, "Modified")] {
            let patch = json!({"metadata": {field: {key: value}}});
            objects::merge(&world.member, &config_map("b"), &patch).await.unwrap();
            world.until_state("app", state).await;
        }
    }
    assert_ne!(world.get(&config_map("b")).await, Value::Null, "told, not deleted");
}

#[tokio::test(start_paused = true)]
async fn what_controllers_fill_in_is_no_drift() {
    const KINDS: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: sum, labels: {team: a}}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {part: sum}}]}
rules: []
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hook, labels: {team: a}}
webhooks:
- name: hook.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {service: {name: hook, namespace: web}}
";
    let world = World::start().await;
    world.deploy("app", &[("kinds.yaml", KINDS)], json!({})).await;
    world.until_state("app", "Ready").await;
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/sum";
    let hook = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/hook";
    let rules = json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    objects::merge(&world.member, role, &rules).await.unwrap();
    let mut webhooks = world.get(hook).await["webhooks"].clone();
    webhooks[0]["clientConfig"]["caBundle"] = json!("Q0E=");
    objects::merge(&world.member, hook, &json!({"webhooks": webhooks})).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    world.until_state("app", "Ready").await;
    // The rest of them is compared.
    for path in [role, hook] {
        for (team, state) in [("b", "Modified"), ("a", "Ready")] {
            let labels = json!({"metadata": {"labels": {"team": team}}});
            objects::merge(&world.member, path, &labels).await.unwrap();
            world.until_state("app", state).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_comes_at_once_and_then_at_each_interval() {
    let _clock = runtime::world::simulate(1, "2026-01-01T00:00:00Z".parse().unwrap());
    let world = World::start().await;
    let mut seen: Vec<jiff::Timestamp> = Vec::new();
    while seen.len() < 3 {
        let held = world.cluster().await;
        if let Some(text) = held["status"]["agent"]["lastSeen"].as_str() {
            assert_eq!(held["status"]["agent"]["namespace"], "cattle-fleet-system");
            let time = text.parse().unwrap();
            if seen.last() != Some(&time) {
                seen.push(time);
            }
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let gaps: Vec<i64> = seen.windows(2).map(|two| (two[1] - two[0]).get_seconds()).collect();
    // The default of the agent: 15 minutes.
    assert!(gaps.iter().all(|gap| (900..=901).contains(gap)), "{gaps:?}");
}
