//! From a Bundle to deployments, and what they add up to.

use serde_json::{Value, json};

use crate::world::{HOME, World, condition, deployment, object};

fn all() -> Value {
    json!([{"name": "all", "clusterSelector": {}}])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_made_by_hand_gets_a_deployment_per_cluster_and_takes_them_along() {
    let world = World::start().await;
    let one = world.cluster("one", json!({"env": "dev"})).await;
    let two = world.cluster("two", json!({"env": "dev"})).await;
    world.bundle("hand", json!({"targets": all()})).await;
    let path = deployment(&one, "hand");
    let held = world.until(&path, |held| held["spec"]["deploymentID"].is_string()).await;
    let id = held["spec"]["deploymentID"].as_str().unwrap();
    let (content, options) = id.split_once(':').unwrap();
    assert!(content.starts_with("s-") && content.len() == 63 && options.len() == 64, "{id}");
    let labels = &held["metadata"]["labels"];
    for (key, value) in [
        ("bundle-name", "hand"),
        ("bundle-namespace", HOME),
        ("managed", "true"),
        ("cluster", "one"),
        ("cluster-namespace", HOME),
        ("content-name", content),
    ] {
        assert_eq!(labels[format!("fleet.cattle.io/{key}")], value, "{labels}");
    }
    let contents = format!("/apis/fleet.cattle.io/v1alpha1/contents/{content}");
    let object = world.until(&contents, |held| held["status"]["referenceCount"] == 2).await;
    let sha256 = object["sha256sum"].as_str().unwrap();
    assert_eq!(format!("s-{sha256}")[..63], *content, "{object}");

    for namespace in [&one, &two] {
        world.report_ready(&deployment(namespace, "hand")).await;
    }
    let ready = world.until("bundles/hand", |held| condition(held, "Ready").0 == "True").await;
    assert_eq!(ready["status"]["display"]["readyClusters"], "2/2");

    world.delete("bundles/hand").await;
    world.until_gone("bundles/hand").await;
    world.until_gone(&path).await;
    world.until_gone(&contents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_lets_a_bundle_reach_clusters_of_another_namespace() {
    let world = World::start().await;
    let namespace = world.cluster_in("other", "far", json!({})).await;
    world.bundle("wide", json!({"targets": all()})).await;
    let said = |held: &Value| held["status"]["display"]["state"] == "NoMatch";
    world.until("bundles/wide", said).await;
    let labels = json!({"labels": {"team": "a"}});
    world.patch("/api/v1/namespaces/other", json!({"metadata": labels})).await;
    world.patch("bundles/wide", json!({"metadata": {"labels": {"wide": "yes"}}})).await;
    let mapping = json!({"apiVersion": "fleet.cattle.io/v1alpha1",
        "kind": "BundleNamespaceMapping", "metadata": {"name": "to-other"},
        "bundleSelector": {"matchLabels": {"wide": "yes"}},
        "namespaceSelector": {"matchLabels": {"team": "a"}}});
    world.post("bundlenamespacemappings", mapping).await;
    let path = deployment(&namespace, "wide");
    let held = world.until(&path, |held| !held.is_null()).await;
    assert_eq!(held["metadata"]["labels"]["fleet.cattle.io/bundle-namespace"], HOME);
    // Who is led where changes with the namespace's labels, too.
    for team in ["b", "a"] {
        let labels = json!({"labels": {"team": team}});
        world.patch("/api/v1/namespaces/other", json!({"metadata": labels})).await;
        world.until(&path, |held| held.is_null() == (team == "b")).await;
    }
    world.delete("bundlenamespacemappings/to-other").await;
    world.until_gone(&path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_counted_in_the_status() {
    let world = World::start().await;
    let first = world.cluster("one", json!({"stage": "first"})).await;
    let second = world.cluster("two", json!({"stage": "second"})).await;
    let partitions: Vec<Value> = ["first", "second"]
        .map(|stage| json!({"name": stage, "clusterSelector": {"matchLabels": {"stage": stage}}}))
        .into();
    let strategy = json!({"partitions": partitions, "maxUnavailablePartitions": 0,
        "maxUnavailable": 0});
    world.bundle("staged", json!({"targets": all(), "rolloutStrategy": strategy})).await;
    let held = world
        .until("bundles/staged", |held| {
            held["status"]["partitions"].as_array().is_some_and(|all| all.len() == 2)
        })
        .await;
    for (partition, name) in
        held["status"]["partitions"].as_array().unwrap().iter().zip(["first", "second"])
    {
        assert_eq!((&partition["name"], &partition["count"]), (&json!(name), &json!(1)));
    }
    // `maxUnavailable: 0` holds new deployments back too (COMPATIBILITY.md).
    for namespace in [first, second] {
        let held = world.get(&deployment(&namespace, "staged")).await;
        assert!(held.is_null() || held["spec"]["deploymentID"].is_null(), "{held}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_sent_along_is_copied_and_follows_its_source() {
    let world = World::start().await;
    let namespace = world.cluster("one", json!({})).await;
    let secrets = format!("/api/v1/namespaces/{HOME}/secrets");
    let secret = json!({"metadata": {"name": "db"}, "stringData": {"password": "one"}});
    world.post(&secrets, secret).await;
    let along = json!([{"kind": "Secret", "name": "db"}]);
    world.bundle("app", json!({"targets": all(), "downstreamResources": along})).await;
    let copy = format!("/api/v1/namespaces/{namespace}/secrets/db");
    let held = world.until(&copy, |held| !held.is_null()).await;
    assert_eq!(held["metadata"]["ownerReferences"][0]["kind"], "BundleDeployment", "{held}");
    let first = world.get(&deployment(&namespace, "app")).await;
    let data = held["data"]["password"].clone();
    let changed = json!({"stringData": {"password": "two"}});
    world.patch(&format!("{secrets}/db"), changed).await;
    // The source is compared every 15 s: a change of the Bundle looks at once.
    world.patch("bundles/app", json!({"spec": {"defaultNamespace": "x"}})).await;
    world.until(&copy, |held| held["data"]["password"] != data).await;
    let generation = |held: &Value| held["spec"]["downstreamResourcesGeneration"].as_i64();
    world.until(&deployment(&namespace, "app"), |held| generation(held) > generation(&first)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_without_the_account_its_policy_asks_for_is_not_rolled_out() {
    let world = World::start().await;
    let namespace = world.cluster("one", json!({})).await;
    let policy = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "Policy",
        "metadata": {"name": "strict"}, "requireServiceAccount": true,
        "allowedServiceAccounts": ["tenant"]});
    world.post("policies", policy).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.bundle("app", json!({"targets": all()})).await;
    let held = world.until("bundles/app", |held| condition(held, "Ready").0 == "False").await;
    let (_, _, message) = condition(&held, "Ready");
    assert!(message.contains("serviceAccount is required by Policy but is not set"), "{message}");
    assert!(world.get(&deployment(&namespace, "app")).await.is_null());
    world.patch("bundles/app", json!({"spec": {"serviceAccount": "other"}})).await;
    world
        .until("bundles/app", |held| {
            condition(held, "Ready").2.contains("disallowed serviceAccount other")
        })
        .await;
    world.patch("bundles/app", json!({"spec": {"serviceAccount": "tenant"}})).await;
    let held = world.until(&deployment(&namespace, "app"), |held| !held.is_null()).await;
    assert_eq!(held["spec"]["stagedOptions"]["createNamespace"], false, "{held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_are_not_served_say_so() {
    let world = World::start().await;
    for (plural, kind, spec) in [
        ("helmops", "HelmOp", json!({"helm": {"chart": "web"}})),
        ("schedules", "Schedule", json!({"schedule": "0 0 1 * * *", "duration": "1h"})),
        ("imagescans", "ImageScan", json!({"image": "web", "interval": "1m"})),
    ] {
        world.post(plural, object(kind, json!({"name": "x"}), spec)).await;
        let what = format!("{plural}/x");
        let held = world.until(&what, |held| condition(held, "Ready").0 == "False").await;
        let (status, reason, message) = condition(&held, "Accepted");
        assert_eq!((status, reason), ("False", "NotServed"), "{held}");
        assert!(message.contains("not served yet"), "{message}");
        let version = held["metadata"]["resourceVersion"].clone();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(world.get(&what).await["metadata"]["resourceVersion"], version, "said once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_metrics_and_go_with_their_objects() {
    let world = World::start().await;
    let one = world.cluster("one", json!({})).await;
    world.bundle("app", json!({"targets": all()})).await;
    world.until(&deployment(&one, "app"), |held| held["spec"]["deploymentID"].is_string()).await;
    world.report_ready(&deployment(&one, "app")).await;
    world.until("bundles/app", |held| condition(held, "Ready").0 == "True").await;
    for line in [
        "fleet_bundle_desired_ready{name=\"app\",namespace=\"clusters\",repo=\"\"} 1",
        "fleet_bundle_state{name=\"app\",namespace=\"clusters\",repo=\"\",state=\"Ready\"} 1",
        "fleet_bundle_state{name=\"app\",namespace=\"clusters\",repo=\"\",state=\"NotReady\"} 0",
        "cluster_name=\"one\",cluster_namespace=\"clusters\",repo=\"\",bundle=\"app\",\
         bundle_namespace=\"clusters\",state=\"Ready\"} 1",
        "fleet_cluster_state{name=\"one\",namespace=\"clusters\",cluster_name=\"\",\
         cluster_display_name=\"\",state=\"WaitCheckIn\"} 1",
    ] {
        world.until_told(|told| told.contains(line)).await;
    }
    assert!(world.scrape(true, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(world.scrape(true, "/readyz").await.starts_with("HTTP/1.1 200"));
    world.delete("bundles/app").await;
    world.until_gone("bundles/app").await;
    world.until_told(|told| !told.contains("name=\"app\"")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_asks_for_a_label_nobody_set_is_told_by_its_bundle() {
    let world = World::start().await;
    world.cluster("one", json!({"env": "dev"})).await;
    let helm = json!({"values": {"region": "${ .ClusterLabels.region }"}});
    world.bundle("app", json!({"targets": all(), "helm": helm})).await;
    let failed = |held: &Value| condition(held, "Ready").2.contains("targeting error");
    let bundle = world.until("bundles/app", failed).await;
    let (status, _, message) = condition(&bundle, "Ready");
    assert_eq!(status, "False");
    assert!(message.contains("map has no entry for key \"region\""), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_violated_policy_is_told_by_an_event_and_once() {
    let world = World::start().await;
    world.cluster("one", json!({})).await;
    let policy = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "Policy",
        "metadata": {"name": "strict"}, "requireServiceAccount": true});
    world.post("policies", policy).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.bundle("app", json!({"targets": all()})).await;
    let events = format!("/apis/events.k8s.io/v1/namespaces/{HOME}/events");
    let told = |list: &Value| {
        let all = list["items"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|one| one["reason"] == "PolicyViolation").collect::<Vec<Value>>()
    };
    let list = world.until(&events, |list| !told(list).is_empty()).await;
    let event = &told(&list)[0];
    assert_eq!(
        (&event["type"], &event["regarding"]["kind"]),
        (&json!("Warning"), &json!("Bundle"))
    );
    assert_eq!(event["regarding"]["name"], "app");
    assert_eq!(event["note"], "serviceAccount is required by Policy but is not set on the Bundle");
    // Another pass over the same Bundle is no news.
    world.patch("bundles/app", json!({"spec": {"paused": true}})).await;
    let seen =
        |held: &Value| held["status"]["observedGeneration"] == held["metadata"]["generation"];
    world.until("bundles/app", seen).await;
    assert_eq!(told(&world.get(&events).await).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespaces_a_restriction_allows_are_checked_by_the_agent() {
    let world = World::start().await;
    let namespace = world.cluster("one", json!({})).await;
    let selector = json!({"matchLabels": {"team": "a"}});
    let restriction = json!({"apiVersion": "fleet.cattle.io/v1alpha1",
        "kind": "GitRepoRestriction", "metadata": {"name": "tenant"},
        "allowedTargetNamespaceSelector": selector});
    world.post("gitreporestrictions", restriction).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.bundle_of("repo", "app", json!({"targets": all(), "namespace": "web"})).await;
    world.bundle("hand", json!({"targets": all(), "namespace": "web"})).await;
    let told = |name: &'static str| {
        let path = deployment(&namespace, name);
        let world = &world;
        async move {
            let held = world.until(&path, |held| held["spec"]["deploymentID"].is_string()).await;
            held["spec"]["options"]["allowedTargetNamespaceSelector"].clone()
        }
    };
    assert_eq!(told("app").await, selector);
    assert_eq!(told("hand").await, Value::Null, "it restricts GitRepos");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitrepos_counts_are_metrics_without_its_credentials() {
    let world = World::start().await;
    let one = world.cluster("one", json!({})).await;
    let spec = json!({"repo": "https://me:s3cret@git.example/x.git", "branch": "main"});
    let repo = world.post("gitrepos", object("GitRepo", json!({"name": "repo"}), spec)).await;
    let status = json!({"commit": "abc", "gitJobStatus": "Current",
        "observedGeneration": repo["metadata"]["generation"]});
    world.patch("gitrepos/repo/status", json!({"status": status})).await;
    world.bundle_of("repo", "app", json!({"targets": all()})).await;
    let path = deployment(&one, "app");
    world.until(&path, |held| held["spec"]["deploymentID"].is_string()).await;
    let labels = "name=\"repo\",namespace=\"clusters\",repo=\"https://git.example/x.git\",\
                  branch=\"main\"";
    let is = |what: &str, count: u32| format!("fleet_gitrepo_{what}{{{labels}}} {count}");
    let desired = is("desired_ready_clusters", 1);
    world.until_told(|told| told.contains(&desired)).await;
    world.report_ready(&path).await;
    let ready = is("ready_clusters", 1);
    world.until_told(|told| told.contains(&ready) && !told.contains("s3cret")).await;
    world.delete("gitrepos/repo").await;
    world.until_told(|told| !told.contains("fleet_gitrepo_ready_clusters{")).await;
}
