//! Where the values of a chart come from.

use runtime::objects;
use serde_json::json;

use crate::world::{WEB, World, config_map, message};

const CHART: &str = "apiVersion: v2\nname: app\nversion: 1.0.0\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n\
                        data: {{- toYaml .Values.data | nindent 2 }}\n";
const FILES: [(&str, &str); 2] = [("Chart.yaml", CHART), ("templates/m.yaml", TEMPLATE)];

/// Waits until a deployment says that account `tenant` may not read what it needs.
async fn until_forbidden(world: &World, name: &str) {
    let held = world.until_state(name, "ErrApplied").await;
    let words = message(&held, "Deployed");
    assert!(words.contains("forbidden") && words.contains(":tenant\" cannot get"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn values_of_the_member_win_over_those_of_the_bundle_and_later_ones_over_earlier() {
    let world = World::start().await;
    let text = "data: {b: map, c: map, d: map}";
    let map = json!({"metadata": {"name": "vals"}, "data": {"values.yaml": text}});
    world.create(&objects::core(WEB, "configmaps"), map).await;
    let secret = json!({"metadata": {"name": "vals"}, "stringData": {"own": "data: {c: secret}"}});
    world.create(&objects::core("default", "secrets"), secret).await;
    let account = json!({"metadata": {"name": "last"},
        "stringData": {"values.yaml": "data: {d: last}"}});
    world.create(&objects::core(WEB, "secrets"), account).await;
    // Key and namespace have defaults: `values.yaml`, and where the release is.
    let from = json!([{"configMapKeyRef": {"name": "vals"}},
        {"secretKeyRef": {"name": "vals", "namespace": "default", "key": "own"}},
        {"secretKeyRef": {"name": "last"}}]);
    let hash = world.values("app", &json!({"data": {"a": "hub", "b": "hub"}})).await;
    let options = json!({"helm": {"valuesFrom": from}});
    world.deploy_with("app", &FILES, options, json!({"valuesHash": hash})).await;
    world.until_state("app", "Ready").await;
    let held = world.get(&config_map("m")).await;
    assert_eq!(held["data"], json!({"a": "hub", "b": "map", "c": "secret", "d": "last"}));
}

// Words as recorded in observed/errors-valuesfrom-missing-key.yaml and -secret.yaml.
#[tokio::test(start_paused = true)]
async fn what_values_from_misses_is_told_in_the_words_of_the_reference() {
    let world = World::start().await;
    let secret = json!({"metadata": {"name": "vals"}, "stringData": {"other": "x: 1"}});
    world.create(&objects::core(WEB, "secrets"), secret).await;
    let from = |selector| json!({"helm": {"valuesFrom": [{"secretKeyRef": selector}]}});
    world.deploy("key", &FILES, from(json!({"name": "vals", "key": "nokey"}))).await;
    let held = world.until_state("key", "ErrApplied").await;
    let words = "key nokey is missing from secret web/vals, can't use it in valuesFrom";
    assert_eq!(message(&held, "Deployed"), words);
    world.deploy("secret", &FILES, from(json!({"name": "absent"}))).await;
    let held = world.until_state("secret", "ErrApplied").await;
    let words = message(&held, "Deployed");
    assert!(words.starts_with("secrets \"absent\" not found"), "{words}");
    // Its arrival is enough.
    let secret = json!({"metadata": {"name": "absent"}, "stringData": {"values.yaml": "data: {}"}});
    world.create(&objects::core(WEB, "secrets"), secret).await;
    world.until_state("secret", "Ready").await;
}

#[tokio::test(start_paused = true)]
async fn values_from_are_read_in_the_name_of_the_account() {
    let world = World::start().await;
    world.account("tenant", WEB, &["configmaps", "secrets"]).await;
    let secret = json!({"metadata": {"name": "theirs"}, "stringData": {"values.yaml": "data: {}"}});
    world.create(&objects::core("default", "secrets"), secret).await;
    let from = json!([{"secretKeyRef": {"name": "theirs", "namespace": "default"}}]);
    let options = json!({"serviceAccount": "tenant", "helm": {"valuesFrom": from}});
    world.deploy("app", &FILES, options).await;
    until_forbidden(&world, "app").await;
}

#[tokio::test(start_paused = true)]
async fn values_that_are_not_those_of_the_version_are_not_deployed() {
    let world = World::start().await;
    let old = world.values("app", &json!({"data": {"v": "old"}})).await;
    let values = json!({"data": {"v": "new"}});
    let new = bundle_format::content::deployment_values_hash(values.to_string().as_bytes(), b"");
    let hash = json!({"valuesHash": new});
    world.deploy_with("app", &FILES, json!({}), hash).await;
    let held = world.until_state("app", "WaitApplied").await;
    let words = format!(
        "retrying, hash mismatch between secret and bundledeployment: actual {old} != expected {new}"
    );
    assert_eq!(message(&held, "Deployed"), words);
    assert!(world.get(&config_map("m")).await.is_null());
    world.values("app", &values).await;
    world.until_state("app", "Ready").await;
    assert_eq!(world.get(&config_map("m")).await["data"], json!({"v": "new"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_looks_up_what_its_account_may_see() {
    let world = World::start().await;
    world.account("tenant", WEB, &["configmaps", "secrets"]).await;
    for namespace in [WEB, "default"] {
        let map = json!({"metadata": {"name": "seen"}, "data": {"color": namespace}});
        world.create(&objects::core(namespace, "configmaps"), map).await;
    }
    let template = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\n\
             data: {{v: {{{{ (lookup \"v1\" \"ConfigMap\" \"{namespace}\" \"seen\").data.color }}}}, \
             none: \"{{{{ len (lookup \"v1\" \"ConfigMap\" \"{namespace}\" \"absent\") }}}}\"}}\n"
        )
    };
    let tenant = json!({"serviceAccount": "tenant"});
    let (near, far) = (template(WEB), template("default"));
    world.deploy("near", &[FILES[0], ("templates/m.yaml", &near)], tenant.clone()).await;
    world.until_state("near", "Ready").await;
    assert_eq!(world.get(&config_map("m")).await["data"], json!({"v": WEB, "none": "0"}));
    world.deploy("far", &[FILES[0], ("templates/m.yaml", &far)], tenant).await;
    until_forbidden(&world, "far").await;
}

#[tokio::test(start_paused = true)]
async fn a_schema_counts_unless_it_is_passed_over_and_names_are_looked_up_nowhere() {
    let world = World::start().await;
    let schema = r#"{"properties": {"port": {"type": "integer"}}}"#;
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n\
                    data: {port: \"{{ .Values.port }}\", host: \"{{ getHostByName \"localhost\" }}\"}\n";
    let files = [FILES[0], ("values.schema.json", schema), ("templates/m.yaml", template)];
    let helm = |more: serde_json::Value| {
        let mut helm = json!({"values": {"port": "no number"}});
        helm.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"helm": helm})
    };
    world.deploy("app", &files, helm(json!({}))).await;
    let held = world.until_state("app", "ErrApplied").await;
    let words = message(&held, "Deployed");
    assert!(words.contains("values don't meet the specifications of the schema"), "{words}");
    world.deploy("app", &files, helm(json!({"skipSchemaValidation": true}))).await;
    world.until_state("app", "Ready").await;
    let wanted = json!({"port": "no number", "host": ""});
    assert_eq!(world.get(&config_map("m")).await["data"], wanted);
    let neither = json!({"skipSchemaValidation": true, "disableDNS": true});
    world.deploy("app", &files, helm(neither)).await;
    world.until("app", |held| held["status"]["release"] == "web/app:2").await;
    assert_eq!(world.get(&config_map("m")).await["data"], wanted);
}
