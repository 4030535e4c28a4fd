//! The chart `fleet-crd` holds what the types say.

use std::path::Path;

use bundle_format::api::crds::{REFRESH_COMMAND, chart_files, definitions};

fn chart() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/fleet-crd")
}

#[test]
fn the_chart_holds_the_definitions_the_types_make() {
    for (path, text) in chart_files() {
        let held = std::fs::read_to_string(chart().join(&path)).unwrap_or_default();
        assert!(held == text, "charts/fleet-crd/{path} is out of date: run `{REFRESH_COMMAND}`");
    }
    let templates = std::fs::read_dir(chart().join("templates")).expect("chart has templates");
    assert_eq!(templates.count(), chart_files().len(), "a template belongs to no kind");
}

#[test]
fn no_definition_text_is_a_helm_template() {
    for (path, text) in chart_files() {
        assert!(!text.contains("{{"), "{path} would be read as a template");
    }
}

// The list of `kubectl api-resources` on a cluster with Rancher Fleet 0.16.
#[test]
fn definitions_have_the_names_and_scopes_of_the_reference() {
    let found = definitions()
        .iter()
        .map(|crd| {
            let spec = &crd["spec"];
            let status = spec["versions"][0]["subresources"]["status"].is_object();
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            (text(&spec["names"]["plural"]), text(&spec["scope"]), status)
        })
        .collect::<Vec<_>>();
    let expected = [
        ("bundledeployments", "Namespaced", true),
        ("bundlenamespacemappings", "Namespaced", true),
        ("bundles", "Namespaced", true),
        ("clustergroups", "Namespaced", true),
        ("clusterregistrations", "Namespaced", true),
        ("clusterregistrationtokens", "Namespaced", true),
        ("clusters", "Namespaced", true),
        ("contents", "Cluster", true),
        ("gitreporestrictions", "Namespaced", true),
        ("gitrepos", "Namespaced", true),
        ("helmops", "Namespaced", true),
        ("imagescans", "Namespaced", true),
        ("policies", "Namespaced", false),
        ("schedules", "Namespaced", true),
    ]
    .map(|(plural, scope, status)| (plural.to_owned(), scope.to_owned(), status));
    assert_eq!(found, expected);
}

#[test]
fn all_that_brings_bundles_is_in_the_category_fleet() {
    let definitions = definitions();
    let fleet = definitions.iter().filter(|crd| {
        crd["spec"]["names"]["categories"]
            .as_array()
            .is_some_and(|all| all.contains(&"fleet".into()))
    });
    let plurals: Vec<_> = fleet.map(|crd| crd["spec"]["names"]["plural"].as_str()).collect();
    assert_eq!(plurals, ["clustergroups", "gitrepos", "helmops"].map(Some));
}
