use serde_json::json;

use super::*;

fn cluster(name: &str, labels: &[(&str, &str)], groups: &[(&str, &str)]) -> ClusterView {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    ClusterView {
        name: name.to_owned(),
        namespace: "golden".to_owned(),
        labels: labels.iter().map(owned).collect(),
        groups: groups
            .iter()
            .map(|(name, area)| GroupView {
                name: (*name).to_owned(),
                labels: Labels::from([("area".to_owned(), (*area).to_owned())]),
            })
            .collect(),
        ..Default::default()
    }
}

fn spec(value: serde_json::Value) -> BundleSpec {
    serde_json::from_value(value).expect("a bundle spec")
}

fn names(spec: &BundleSpec, clusters: &[ClusterView]) -> Vec<String> {
    let matches = match_targets(spec, clusters).expect("valid selectors");
    matches.into_iter().map(|found| found.cluster.name.clone()).collect()
}

#[test]
fn each_criterion_selects_and_all_must_hold() {
    let clusters = [
        cluster("a", &[("env", "dev")], &[("default", ""), ("eu", "emea")]),
        cluster(
            "b",
            &[("env", "prod"), (labels::CLUSTER_DISPLAY_NAME, "Shown")],
            &[("default", "")],
        ),
        cluster("c", &[], &[]),
    ];
    for (target, expected) in [
        (json!({}), &[][..]),
        (json!({"clusterSelector": {}}), &["a", "b", "c"]),
        (json!({"clusterSelector": {"matchLabels": {"env": "dev"}}}), &["a"]),
        (json!({"clusterName": "Shown"}), &["b"]),
        (json!({"clusterGroup": "default"}), &["a", "b"]),
        (json!({"clusterGroupSelector": {"matchLabels": {"area": "emea"}}}), &["a"]),
        // Without groups a cluster is looked at as in one without name and labels.
        (json!({"clusterGroupSelector": {}}), &["a", "b", "c"]),
        (json!({"clusterGroup": "eu", "clusterName": "b"}), &[]),
    ] {
        let spec = spec(json!({"targets": [target]}));
        assert_eq!(names(&spec, &clusters), expected, "{target}");
    }
}

#[test]
fn the_last_targets_are_the_real_ones_and_the_others_customize() {
    let spec = spec(json!({
        "targets": [
            {"name": "wide", "clusterSelector": {}},
            {"name": "b", "clusterName": "b"},
            {"name": "real", "clusterSelector": {"matchLabels": {"env": "dev"}}},
        ],
        "targetRestrictions": [{"clusterSelector": {"matchLabels": {"env": "dev"}}}],
    }));
    let clusters = [cluster("b", &[("env", "dev")], &[]), cluster("a", &[], &[])];
    let matches = match_targets(&spec, &clusters).expect("valid");
    let first = Choice { target: 2, customizations: vec![0] };
    assert_eq!(matches, [Match { cluster: &clusters[0], choice: first }]);
    let all = BundleSpec {
        target_customization_mode: Some(crate::api::bundle::TargetCustomizationMode::AllMatches),
        ..spec
    };
    let matches = match_targets(&all, &clusters).expect("valid");
    assert_eq!(matches[0].choice.customizations, [0, 1]);
}

#[test]
fn do_not_deploy_on_the_target_or_a_chosen_customization_keeps_a_cluster_out() {
    let spec = spec(json!({
        "targets": [
            {"name": "first", "clusterName": "a"},
            {"name": "never", "clusterSelector": {}, "doNotDeploy": true},
            {"name": "real", "clusterSelector": {}},
        ],
        "targetRestrictions": [{"clusterSelector": {}}],
    }));
    let clusters = [cluster("a", &[], &[]), cluster("b", &[], &[])];
    assert_eq!(names(&spec, &clusters), ["a"]);
    let verdict = TargetMatcher::compile(&spec).expect("valid").match_cluster(&clusters[1]);
    assert_eq!(verdict, Verdict::DoNotDeploy { target: "never".to_owned() });
}

#[test]
fn the_order_of_clusters_does_not_matter() {
    let spec = spec(json!({"targets": [{"clusterSelector": {}}]}));
    let mut clusters: Vec<_> =
        ["b", "a-1", "a", "c"].iter().map(|name| cluster(name, &[], &[])).collect();
    let expected = ["a", "a-1", "b", "c"];
    assert_eq!(names(&spec, &clusters), expected);
    clusters.reverse();
    assert_eq!(names(&spec, &clusters), expected);
}

#[test]
fn the_bundle_of_an_agent_is_for_its_own_cluster_only() {
    let mut bundle = Bundle::default();
    bundle.metadata.name = Some("fleet-agent-a".to_owned());
    let annotations = [(labels::OBJECT_SET_ID.to_owned(), labels::MANAGE_AGENT_SET_ID.to_owned())];
    bundle.metadata.annotations = Some(annotations.into());
    assert!(is_candidate(&bundle, &cluster("a", &[], &[])));
    assert!(!is_candidate(&bundle, &cluster("b", &[], &[])));
    assert!(is_candidate(&Bundle::default(), &cluster("b", &[], &[])));
}
