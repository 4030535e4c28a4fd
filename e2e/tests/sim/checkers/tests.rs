//! Each checker can fail: a world that breaks its invariant, beside one that does not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Judge, Wish, is_noise};
use crate::view::{Change, Key, View};

const HOME: &str = "cluster-home";

fn key(resource: &str, namespace: &str, name: &str) -> Key {
    let [resource, namespace, name] = [resource, namespace, name].map(str::to_owned);
    Key { resource, namespace, name }
}

/// Puts an object into a cluster's store.
fn put(view: &mut View, cluster: &str, key: Key, object: Value) {
    let change =
        Change { cluster: cluster.to_owned(), key, revision: 1, old: None, new: Some(object) };
    view.take(&change);
}

fn change(cluster: &str, key: Key, old: Value, new: Value) -> Change {
    let some = |value: Value| (!value.is_null()).then_some(value);
    let mut new = some(new);
    if let Some(new) = &mut new {
        new["metadata"]["resourceVersion"] = "7".into();
    }
    Change { cluster: cluster.to_owned(), key, revision: 7, old: some(old), new }
}

/// The invariant that a change breaks.
fn broken_by(view: &View, change: &Change, wish: &Wish) -> Option<String> {
    let broken = Judge::new().on_change(view, change, wish).err()?;
    broken.split_once(':').map(|(name, _)| name.to_owned())
}

/// The invariants that a settled world breaks.
fn broken_in(view: &View, wish: &Wish) -> Vec<String> {
    let broken = Judge::new().when_settled(view, wish);
    broken.iter().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
}

fn deployment(name: &str, wanted: &str, applied: &str) -> Value {
    let is_done = wanted == applied;
    json!({
        "metadata": {"uid": name, "labels": {
            "fleet.cattle.io/bundle-name": "r-web", "fleet.cattle.io/bundle-namespace": "fleet-default",
            "fleet.cattle.io/repo-name": "r"}},
        "spec": {"deploymentID": wanted, "stagedDeploymentID": wanted},
        "status": {"appliedDeploymentID": applied, "ready": is_done, "nonModified": is_done},
    })
}

fn own_text(text: &str) -> Value {
    json!({"metadata": {"uid": "u",
        "labels": {"objectset.rio.cattle.io/hash": "h"},
        "annotations": {"objectset.rio.cattle.io/id": "default-r-web"}},
        "data": {"text": text}})
}

/// A fleet of one member with one bundle, all of it as it should be.
fn good_world() -> (View, Wish) {
    let mut view = View::default();
    let hub = |view: &mut View, kind: &str, namespace: &str, name: &str, object: Value| {
        put(view, "hub", key(&format!("fleet.cattle.io/{kind}"), namespace, name), object);
    };
    let summary = json!({"ready": 1, "desiredReady": 1});
    let status = json!({"observedGeneration": 2, "summary": summary, "namespace": HOME});
    let object = json!({"metadata": {"generation": 2}, "status": status});
    let mut bundle = object.clone();
    bundle["metadata"]["labels"] = json!({"fleet.cattle.io/repo-name": "r"});
    bundle["spec"] = json!({"rolloutStrategy": {"maxUnavailable": 1}});
    let mut cluster = object.clone();
    cluster["status"]["agent"] = json!({"lastSeen": "2026-03-01T00:00:00Z"});
    hub(&mut view, "clusters", "fleet-default", "m", cluster);
    hub(&mut view, "gitrepos", "fleet-default", "r", object);
    hub(&mut view, "bundles", "fleet-default", "r-web", bundle);
    hub(&mut view, "contents", "", "s-1", json!({"metadata": {}}));
    hub(&mut view, "bundledeployments", HOME, "r-web", deployment("a", "s-1:x", "s-1:x"));
    put(&mut view, "m", key("/configmaps", "web", "r-web"), own_text("r/web#1"));
    let record = json!({"metadata": {"labels": {"owner": "helm", "name": "r-web", "status": "deployed",
        "version": "1"}, "annotations": {"fleet.cattle.io/bundle-id": "r-web"}}});
    put(&mut view, "m", key("/secrets", "web", "record"), record);
    let place = ("web".to_owned(), "r-web".to_owned());
    let texts = BTreeMap::from([(place, "r/web#1".to_owned())]);
    let wish = Wish {
        texts: BTreeMap::from([("m".to_owned(), texts)]),
        members: BTreeSet::from(["m".to_owned()]),
        committed: BTreeSet::from(["r/web#1".to_owned(), "r/web#2".to_owned()]),
        ..Wish::default()
    };
    (view, wish)
}

#[test]
fn a_good_world_breaks_nothing() {
    let (view, wish) = good_world();
    assert_eq!(broken_in(&view, &wish), Vec::<String>::new());
}

/// Breaks a good world and says which invariants see it.
fn after(breaking: impl FnOnce(&mut View, &mut Wish)) -> Vec<String> {
    let (mut view, mut wish) = good_world();
    breaking(&mut view, &mut wish);
    broken_in(&view, &wish)
}

fn object_of<'a>(view: &'a mut View, cluster: &str, key: &Key) -> &'a mut Value {
    view.clusters.get_mut(cluster).unwrap().objects.get_mut(key).unwrap()
}

fn bundle_key() -> Key {
    key("fleet.cattle.io/bundles", "fleet-default", "r-web")
}

fn deployment_key() -> Key {
    key("fleet.cattle.io/bundledeployments", HOME, "r-web")
}

#[test]
fn deployments_belong_sees_a_deployment_without_its_bundle() {
    let broken = after(|view, _| {
        view.clusters.get_mut("hub").unwrap().objects.remove(&bundle_key());
    });
    assert_eq!(broken, ["deployments-belong"]);
}

#[test]
fn applied_is_planned_sees_a_generation_nobody_observed() {
    let broken = after(|view, _| {
        object_of(view, "hub", &bundle_key())["metadata"]["generation"] = 3.into();
    });
    assert_eq!(broken, ["applied-is-planned"]);
}

#[test]
fn applied_is_planned_sees_a_version_that_was_not_applied() {
    let broken = after(|view, _| {
        object_of(view, "hub", &deployment_key())["status"]["appliedDeploymentID"] = "s-0:x".into();
    });
    assert_eq!(broken, ["applied-is-planned", "counts-add-up"]);
}

#[test]
fn wish_fulfilled_sees_an_old_text_and_a_leftover() {
    let broken = after(|_, wish| {
        let texts = wish.texts.get_mut("m").unwrap();
        texts.values_mut().for_each(|text| *text = "r/web#2".to_owned());
    });
    assert_eq!(broken, ["wish-fulfilled"]);
    assert_eq!(after(|_, wish| wish.texts.clear()), ["wish-fulfilled"]);
}

#[test]
fn wish_fulfilled_sees_a_member_without_an_agent() {
    let broken = after(|view, _| {
        let status = json!({"observedGeneration": 2, "namespace": HOME});
        let object = json!({"metadata": {"generation": 2}, "status": status});
        put(view, "hub", key("fleet.cattle.io/clusters", "fleet-default", "m"), object);
    });
    assert!(broken.contains(&"wish-fulfilled".to_owned()), "{broken:?}");
}

#[test]
fn nothing_orphaned_sees_objects_and_releases_without_deployment() {
    let broken = after(|view, _| {
        let record = object_of(view, "m", &key("/secrets", "web", "record"));
        record["metadata"]["annotations"]["fleet.cattle.io/bundle-id"] = "gone".into();
    });
    assert_eq!(broken, ["nothing-orphaned"]);
    let broken = after(|view, _| {
        let held = object_of(view, "m", &key("/configmaps", "web", "r-web"));
        held["metadata"]["annotations"]["objectset.rio.cattle.io/id"] = "default-gone".into();
    });
    assert_eq!(broken, ["nothing-orphaned"]);
}

#[test]
fn nothing_orphaned_sees_a_release_that_is_not_deployed() {
    let broken = after(|view, _| {
        let record = object_of(view, "m", &key("/secrets", "web", "record"));
        record["metadata"]["labels"]["status"] = "pending-upgrade".into();
    });
    assert_eq!(broken, ["nothing-orphaned"]);
}

#[test]
fn counts_add_up_sees_a_summary_that_is_not_the_recount() {
    let broken = after(|view, _| {
        object_of(view, "hub", &bundle_key())["status"]["summary"]["ready"] = 2.into();
    });
    assert_eq!(broken, ["counts-add-up"]);
}

#[test]
fn nothing_half_deleted_sees_what_never_goes() {
    let broken = after(|view, _| {
        object_of(view, "hub", &bundle_key())["metadata"]["deletionTimestamp"] = "now".into();
    });
    assert_eq!(broken, ["nothing-half-deleted"]);
}

#[test]
fn revisions_rise_sees_a_revision_that_does_not_and_a_uid_that_changes() {
    let (view, wish) = good_world();
    let again = change("m", key("/configmaps", "x", "y"), Value::Null, json!({"metadata": {}}));
    let mut judge = Judge::new();
    assert!(judge.on_change(&view, &again, &wish).is_ok());
    assert!(judge.on_change(&view, &again, &wish).unwrap_err().starts_with("revisions-rise"));
    let (old, mut new) = (own_text("r/web#1"), own_text("r/web#1"));
    new["metadata"]["uid"] = "other".into();
    let swapped = change("m", key("/configmaps", "web", "r-web"), old, new);
    assert_eq!(broken_by(&view, &swapped, &wish).as_deref(), Some("revisions-rise"));
}

#[test]
fn only_committed_content_sees_a_text_of_no_commit() {
    let (view, wish) = good_world();
    let place = || key("/configmaps", "web", "new");
    let foreign = change("m", place(), Value::Null, own_text("r/web#99"));
    assert_eq!(broken_by(&view, &foreign, &wish).as_deref(), Some("only-committed-content"));
    let known = change("m", place(), Value::Null, own_text("r/web#2"));
    assert_eq!(broken_by(&view, &known, &wish), None);
}

#[test]
fn newest_wins_sees_an_older_commit_come_back() {
    let (view, wish) = good_world();
    let place = || key("/configmaps", "web", "other");
    let back = change("m", place(), own_text("r/web#2"), own_text("r/web#1"));
    assert_eq!(broken_by(&view, &back, &wish).as_deref(), Some("newest-wins"));
    let on = change("m", place(), own_text("r/web#1"), own_text("r/web#2"));
    assert_eq!(broken_by(&view, &on, &wish), None);
}

#[test]
fn prune_only_own_sees_what_is_done_to_somebody_elses_objects() {
    let (view, wish) = good_world();
    let theirs = || json!({"metadata": {"uid": "t", "labels": {"made-by": "somebody-else"}}, "data": {"a": "1"}});
    let place = || key("/configmaps", "foreign", "theirs");
    let gone = change("m", place(), theirs(), Value::Null);
    assert_eq!(broken_by(&view, &gone, &wish).as_deref(), Some("prune-only-own"));
    let mut other = theirs();
    other["data"]["a"] = "2".into();
    let changed = change("m", place(), theirs(), other);
    assert_eq!(broken_by(&view, &changed, &wish).as_deref(), Some("prune-only-own"));
}

#[test]
fn budget_kept_sees_a_second_cluster_change_before_the_first_is_done() {
    let (mut view, wish) = good_world();
    let place = || key("fleet.cattle.io/bundledeployments", "cluster-two", "r-web");
    let told = change(
        "hub",
        place(),
        deployment("b", "s-1:x", "s-1:x"),
        deployment("b", "s-1:y", "s-1:x"),
    );
    assert_eq!(broken_by(&view, &told, &wish), None);
    *object_of(&mut view, "hub", &deployment_key()) = deployment("a", "s-1:y", "s-1:x");
    assert_eq!(broken_by(&view, &told, &wish).as_deref(), Some("budget-kept"));
}

#[test]
fn content_kept_sees_a_content_go_that_is_named_and_a_name_without_content() {
    let (view, wish) = good_world();
    let place = key("fleet.cattle.io/contents", "", "s-1");
    let gone = change("hub", place, json!({"metadata": {}}), Value::Null);
    assert_eq!(broken_by(&view, &gone, &wish).as_deref(), Some("content-kept"));
    let place = key("fleet.cattle.io/bundledeployments", HOME, "other");
    let new = change("hub", place, Value::Null, deployment("c", "s-9:x", ""));
    assert_eq!(broken_by(&view, &new, &wish).as_deref(), Some("content-kept"));
}

#[test]
fn no_credential_out_sees_a_password_and_a_token_outside_of_secrets() {
    let (view, wish) = good_world();
    for text in [format!("no access with {}", super::CANARY), "eyJhbGciOiJFUzI1NiJ9.e30".to_owned()]
    {
        let object = json!({"metadata": {}, "status": {"message": text}});
        let told = |resource| change("hub", key(resource, "n", "x"), Value::Null, object.clone());
        let broken = broken_by(&view, &told("fleet.cattle.io/gitrepos"), &wish);
        assert_eq!(broken.as_deref(), Some("no-credential-out"));
        assert_eq!(broken_by(&view, &told("/secrets"), &wish), None);
    }
}

#[test]
fn quiet_when_unchanged_sees_all_writes_but_heartbeats() {
    let cluster = |seen: &str, ready: u64| json!({"metadata": {}, "status": {"agent": {"lastSeen": seen}, "ready": ready}});
    let place = || key("fleet.cattle.io/clusters", "fleet-default", "m");
    assert!(is_noise(&change("hub", place(), cluster("a", 1), cluster("b", 1))));
    assert!(!is_noise(&change("hub", place(), cluster("a", 1), cluster("a", 2))));
    assert!(!is_noise(&change("hub", bundle_key(), cluster("a", 1), cluster("a", 1))));
    assert!(!is_noise(&change("m", key("/secrets", "a", "b"), json!({}), Value::Null)));
}
