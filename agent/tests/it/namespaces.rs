//! Which namespaces a deployment may use.

use runtime::objects;
use serde_json::{Value, json};

use crate::world::{WEB, World, config_map, map_text, message};

#[tokio::test(start_paused = true)]
async fn a_namespace_is_forced_upon_every_object() {
    let world = World::start().await;
    let plain = map_text("plain", "1");
    let elsewhere = map_text("elsewhere", "1").replace("{name:", "{namespace: default, name:");
    let files = [("plain.yaml", plain.as_str()), ("elsewhere.yaml", elsewhere.as_str())];
    world.deploy("app", &files, json!({"namespace": "forced"})).await;
    let held = world.until_state("app", "Ready").await;
    assert_eq!(held["status"]["release"], "forced/app:1");
    for name in ["plain", "elsewhere"] {
        let path = format!("{}/{name}", objects::core("forced", "configmaps"));
        assert_ne!(world.get(&path).await, Value::Null, "{name}");
        assert_eq!(world.get(&config_map(name)).await, Value::Null, "{name}");
    }
    let path = format!("{}/elsewhere", objects::core("default", "configmaps"));
    assert_eq!(world.get(&path).await, Value::Null);
    // A default leaves the others where they want to be.
    world.deploy("free", &files, json!({})).await;
    world.until_state("free", "Ready").await;
    assert_ne!(world.get(&path).await, Value::Null);
    assert_ne!(world.get(&config_map("plain")).await, Value::Null);
}

// Words as recorded in observed/errors-cluster-scoped-object.yaml.
#[tokio::test(start_paused = true)]
async fn no_object_without_a_namespace_goes_where_one_is_forced() {
    let world = World::start().await;
    let (map, namespace) =
        (map_text("m", "1"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: q}\n");
    let files = [("m.yaml", map.as_str()), ("q.yaml", namespace)];
    world.deploy("app", &files, json!({"namespace": WEB})).await;
    let held = world.until_state("app", "ErrApplied").await;
    let words = "error while running post render on files: invalid cluster scoped object \
                 [name=q kind=Namespace apiVersion=v1] found. Your config uses targetNamespace or \
                 namespace and thus forbids cluster-scoped resources. If you do not intend to \
                 disallow cluster scoped resources, you could switch to defaultNamespace";
    assert_eq!(message(&held, "Deployed"), words);
    assert_eq!(world.get("/api/v1/namespaces/q").await, Value::Null);
    assert_eq!(world.get(&config_map("m")).await, Value::Null);
}

#[tokio::test(start_paused = true)]
async fn only_a_namespace_with_the_labels_a_restriction_asks_for_is_used() {
    let world = World::start().await;
    let map = map_text("m", "1");
    let options = |namespace: &str| {
        json!({"namespace": namespace,
            "allowedTargetNamespaceSelector": {"matchLabels": {"team": "a"}}})
    };
    world.deploy("app", &[("m.yaml", &map)], options("new")).await;
    let held = world.until_state("app", "ErrApplied").await;
    let words = "target namespace new does not exist on downstream cluster";
    assert_eq!(message(&held, "Deployed"), words);
    assert_eq!(world.get("/api/v1/namespaces/new").await, Value::Null, "it is not made");
    world.deploy("app", &[("m.yaml", &map)], options(WEB)).await;
    let refused = |held: &Value| message(held, "Deployed").contains("does not match");
    let held = world.until("app", refused).await;
    let words = message(&held, "Deployed");
    let wanted = "target namespace web does not match AllowedTargetNamespaceSelector (team=a); \
                  namespace labels map[kubernetes.io/metadata.name:web]";
    assert_eq!(words, wanted);
    assert_eq!(world.get(&config_map("m")).await, Value::Null);
    let labels = json!({"metadata": {"labels": {"team": "a"}}});
    objects::merge(&world.member, "/api/v1/namespaces/web", &labels).await.unwrap();
    world.until_state("app", "Ready").await;
}
