//! In whose name a deployment is written.

use runtime::objects;
use serde_json::{Value, json};

use crate::world::{SYSTEM, WEB, World, config_map, map_text, message};

const ACCOUNT: &str = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot}\n";

/// Waits until a deployment failed for want of rights; returns the words.
async fn until_forbidden(world: &World, name: &str) -> String {
    let held = world.until_state(name, "ErrApplied").await;
    let words = message(&held, "Deployed").to_owned();
    assert!(words.contains("forbidden"), "{words}");
    words
}

#[tokio::test(start_paused = true)]
async fn a_deployment_may_do_what_its_account_may_and_no_more() {
    let world = World::start().await;
    world.account("tenant", WEB, &["configmaps", "secrets"]).await;
    let options = json!({"serviceAccount": "tenant"});
    let map = map_text("m", "1");
    world.deploy("allowed", &[("m.yaml", &map)], options.clone()).await;
    world.until_state("allowed", "Ready").await;
    world.deploy("more", &[("robot.yaml", ACCOUNT)], options.clone()).await;
    let words = until_forbidden(&world, "more").await;
    let user = format!("User \"system:serviceaccount:{SYSTEM}:tenant\" cannot");
    assert!(words.contains(&user), "{words}");
    let robot = format!("{}/robot", objects::core(WEB, "serviceaccounts"));
    assert_eq!(world.get(&robot).await, Value::Null);
    // In another namespace it may nothing at all, not even keep a record.
    let mut elsewhere = options;
    elsewhere["defaultNamespace"] = json!("default");
    world.deploy("elsewhere", &[("m.yaml", &map)], elsewhere).await;
    until_forbidden(&world, "elsewhere").await;
    assert_eq!(world.get("/api/v1/namespaces/default/configmaps/m").await, Value::Null);
}

#[tokio::test(start_paused = true)]
async fn fleet_default_is_taken_where_there_is_one_and_no_account_is_named() {
    let world = World::start().await;
    world.deploy("before", &[("robot.yaml", ACCOUNT)], json!({})).await;
    world.until_state("before", "Ready").await;
    world.account("fleet-default", WEB, &["configmaps", "secrets"]).await;
    world.account("tenant", WEB, &["serviceaccounts", "secrets"]).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let other = ACCOUNT.replace("robot", "other");
    world.deploy("after", &[("robot.yaml", &other)], json!({})).await;
    let words = until_forbidden(&world, "after").await;
    assert!(words.contains(":fleet-default\" cannot"), "{words}");
    // What is named wins.
    world.deploy("named", &[("robot.yaml", &other)], json!({"serviceAccount": "tenant"})).await;
    world.until_state("named", "Ready").await;
}

// Words as recorded in observed/errors-service-account-missing.yaml.
#[tokio::test(start_paused = true)]
async fn a_missing_account_is_told_in_the_words_of_the_reference() {
    let world = World::start().await;
    let map = map_text("m", "1");
    world.deploy("app", &[("m.yaml", &map)], json!({"serviceAccount": "nobody"})).await;
    let held = world.until_state("app", "ErrApplied").await;
    let words = "looking up service account cattle-fleet-system/nobody: \
                 ServiceAccount \"nobody\" not found";
    assert_eq!(message(&held, "Deployed"), words);
    assert_eq!(world.get(&config_map("m")).await, Value::Null);
    // Its arrival is enough.
    world.account("nobody", WEB, &["configmaps", "secrets"]).await;
    world.until_state("app", "Ready").await;
}

#[tokio::test(start_paused = true)]
async fn a_release_goes_in_the_name_of_the_account_that_installed_it() {
    let world = World::start().await;
    world.account("tenant", WEB, &["configmaps", "secrets"]).await;
    let map = map_text("m", "1");
    world.deploy("app", &[("m.yaml", &map)], json!({"serviceAccount": "tenant"})).await;
    world.until_state("app", "Ready").await;
    // It lost a right since: the agent's own rights must not stand in for it.
    let role = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{WEB}/roles/tenant");
    let resources =
        |names: Value| json!({"rules": [{"apiGroups": [""], "resources": names, "verbs": ["*"]}]});
    let secrets = resources(json!(["secrets"]));
    objects::merge(&world.member, &role, &secrets).await.unwrap();
    world.delete_deployment("app").await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_ne!(world.get(&config_map("m")).await, Value::Null);
    let both = resources(json!(["configmaps", "secrets"]));
    objects::merge(&world.member, &role, &both).await.unwrap();
    world.until_member(&config_map("m"), Value::is_null).await;
}
