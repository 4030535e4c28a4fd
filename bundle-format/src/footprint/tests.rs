use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::api::labels;
use crate::content::ContentId;
use crate::options::{Resolver, Rules};
use crate::placement::{PlacementPolicy, place_targets};
use crate::rollout::plan_rollout;
use crate::target::{GroupView, match_targets};

fn bundle(spec: Value) -> Bundle {
    let metadata = json!({"name": "b", "namespace": "ns"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a bundle")
}

fn map(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// One cluster in every state that the bundles below could tell apart, and in many they cannot.
fn views() -> Vec<ClusterView> {
    let labels = [
        map(&[]),
        map(&[("env", "dev")]),
        map(&[("env", "prod")]),
        map(&[("env", "prod"), ("other", "x")]),
        map(&[("kubectl.kubernetes.io/x", "y")]),
        map(&[("env", "prod"), (labels::CLUSTER_DISPLAY_NAME, "Shown")]),
    ];
    let group = |name: &str, area: &str| GroupView {
        name: name.to_owned(),
        labels: map(&[("area", area)]),
    };
    let groups = [vec![], vec![group("eu", "emea")], vec![group("eu", "emea"), group("us", "na")]];
    let mut views = Vec::new();
    for labels in &labels {
        for groups in &groups {
            let plain = ClusterView {
                name: "c".to_owned(),
                namespace: "ns".to_owned(),
                labels: labels.clone(),
                groups: groups.clone(),
                cluster_namespace: Some("home".to_owned()),
                ..Default::default()
            };
            let note = map(&[("note", "1")]);
            let value = json!({"zone": "a"}).as_object().expect("an object").clone();
            views.push(ClusterView { annotations: note, ..plain.clone() });
            views.push(ClusterView { template_values: value, ..plain.clone() });
            views.push(ClusterView { is_paused: true, ..plain.clone() });
            views.push(ClusterView { is_off_schedule: true, ..plain.clone() });
            views.push(ClusterView { cluster_namespace: None, ..plain.clone() });
            views.push(plain);
        }
    }
    views
}

fn bundles() -> Vec<Bundle> {
    let prod = json!({"matchLabels": {"env": "prod"}});
    let all = json!([{"name": "all", "clusterSelector": {}}]);
    let templated = |text: &str| json!({"values": {"a": {"b": [text]}}});
    let customize = json!({"name": "p", "clusterSelector": prod,
        "helm": {"values": {"x": "${ .ClusterLabels.env }"}}});
    let specs = [
        json!({"targets": all}),
        json!({"targets": [{"clusterSelector": prod}]}),
        json!({"targets": [{"clusterName": "Shown"}]}),
        json!({"targets": [{"clusterGroup": "us"}]}),
        json!({"targets": [{"clusterGroupSelector": {"matchLabels": {"area": "emea"}}}]}),
        json!({"targets": all, "targetRestrictions": [{"clusterGroup": "eu"}]}),
        json!({"targets": all, "helm": templated("global.fleet.clusterLabels.env")}),
        json!({"targets": all, "helm": templated("${ .ClusterLabels.env }")}),
        json!({"targets": all, "helm": templated("${ .ClusterAnnotations }")}),
        json!({"targets": all, "helm": {"templateValues": {"z": "${ .ClusterValues }"}}}),
        json!({"targets": all, "helm": {"values": {"a": 1}}}),
        json!({"targets": [customize, all[0]]}),
        json!({"targets": all, "rolloutStrategy": {"maxUnavailable": 1, "partitions": [
            {"name": "p", "clusterSelector": prod}, {"name": "g", "clusterGroup": "us"}]}}),
        json!({"targets": [{"name": "no", "clusterSelector": prod, "doNotDeploy": true}, all[0]]}),
    ];
    specs.into_iter().map(bundle).collect()
}

/// What the bundle does on the only cluster there is, in words.
fn outcome(bundle: &Bundle, view: &ClusterView) -> String {
    let content = ContentId::of_digest("d");
    let reachable = std::iter::once(view).filter(|view| view.cluster_namespace.is_some());
    let matches = match_targets(&bundle.spec, reachable).expect("valid selectors");
    let placed = place_targets(&PlacementPolicy::default(), matches);
    let mut resolver = Resolver::new(bundle, &content, Rules::default());
    let mut targets = Vec::new();
    for placed in &placed {
        match resolver.resolve(&placed.matched) {
            Ok(target) => targets.push(target),
            Err(error) => return error.to_string(),
        }
    }
    let strategy = bundle.spec.rollout_strategy.clone().unwrap_or_default();
    let plan = plan_rollout(&strategy, &targets, Timestamp::UNIX_EPOCH).expect("a plan");
    let said = targets.iter().map(|target| {
        let cluster = target.cluster;
        (&target.options, &target.deployment_id, target.is_paused, cluster.is_off_schedule)
    });
    format!("{:?} {plan:?}", said.collect::<Vec<_>>())
}

#[test]
fn clusters_with_the_same_footprint_get_the_same() {
    let views = views();
    let (mut same, mut other) = (0, 0);
    for bundle in bundles() {
        let interest = Interest::of_bundle(&bundle);
        let outcomes: Vec<String> = views.iter().map(|view| outcome(&bundle, view)).collect();
        for (old, before) in views.iter().zip(&outcomes) {
            for (new, after) in views.iter().zip(&outcomes) {
                match interest.is_touched(Some(old), Some(new)) {
                    true => other += 1,
                    false => {
                        same += 1;
                        assert_eq!(before, after, "{:?}\n{old:?}\n{new:?}", bundle.spec);
                    }
                }
            }
            let touched = interest.is_touched(Some(old), None);
            assert!(touched || *before == outcome(&bundle, &ClusterView::default()), "{old:?}");
        }
    }
    assert!(same > 1000 && other > 1000, "{same} pairs alike, {other} not");
}

#[test]
fn a_change_that_no_selector_or_template_sees_is_nothing_to_a_bundle() {
    let view = |labels: &[(&str, &str)]| ClusterView {
        name: "c".to_owned(),
        labels: map(labels),
        cluster_namespace: Some("home".to_owned()),
        ..Default::default()
    };
    let old = view(&[("env", "prod")]);
    let new = view(&[("env", "prod"), ("rack", "7")]);
    let touched: Vec<bool> = bundles()
        .iter()
        .map(|bundle| Interest::of_bundle(bundle).is_touched(Some(&old), Some(&new)))
        .collect();
    let templated = [6, 7, 8, 9, 11];
    for (index, touched) in touched.into_iter().enumerate() {
        assert_eq!(touched, templated.contains(&index), "bundle {index}");
    }
}

#[test]
fn only_who_asks_for_groups_can_be_touched_by_them() {
    let views = views();
    for bundle in bundles() {
        let interest = Interest::of_bundle(&bundle);
        for old in &views {
            let none = ClusterView { groups: Vec::new(), ..old.clone() };
            let touched = interest.is_touched(Some(old), Some(&none));
            assert!(!touched || interest.looks_at_groups(), "{:?}", bundle.spec);
        }
    }
    let asking: Vec<bool> =
        bundles().iter().map(|bundle| Interest::of_bundle(bundle).looks_at_groups()).collect();
    assert_eq!(asking.iter().filter(|asks| **asks).count(), 4);
}

#[test]
fn the_bundle_of_an_agent_looks_at_its_own_cluster_only() {
    let mut agent = bundle(json!({"targets": [{"clusterSelector": {}}]}));
    agent.metadata.name = Some(crate::api::names::agent_bundle("mine"));
    let set = (labels::OBJECT_SET_ID, labels::MANAGE_AGENT_SET_ID);
    agent.metadata.annotations = Some(map(&[set]));
    let interest = Interest::of_bundle(&agent);
    for (name, expected) in [("mine", true), ("yours", false)] {
        let view = ClusterView {
            name: name.to_owned(),
            cluster_namespace: Some("home".to_owned()),
            ..Default::default()
        };
        assert_eq!(interest.is_touched(None, Some(&view)), expected, "{name}");
    }
}
