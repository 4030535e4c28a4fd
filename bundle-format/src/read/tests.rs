use serde_json::json;

use super::*;
use crate::api::git_repo::{GitRepo, GitRepoBundle};
use crate::content::BASE64_GZ;

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm\n";

fn tree(files: &[(&str, &str)]) -> MemTree {
    MemTree::of(files.iter().map(|(path, text)| (*path, *text)))
}

fn scan(paths: &[&str]) -> ReadRequest {
    ReadRequest {
        name: "case".to_owned(),
        folders: Folders::Scan(paths.iter().map(|path| (*path).to_owned()).collect()),
        ..Default::default()
    }
}

fn names(outcome: &ReadOutcome) -> Vec<&str> {
    outcome.drafts.iter().map(|draft| draft.name.as_str()).collect()
}

#[test]
fn bundles_are_named_after_repo_and_folder() {
    // Vectors of fleet-yaml 2.3 and fleet-compat B.1, and golden `extra-several`.
    let long =
        "several/Long_Name.With--Odd..Chars_and_a_very_long_path_that_goes_on_and_on_for_ever";
    for (folder, name) in [
        ("multi-cluster/helm", "case-multi-cluster-helm"),
        (".", "case"),
        (long, "case-several-long-name-with-odd-chars-and-a-ver-e46e3"),
    ] {
        let file = format!("{folder}/cm.yaml");
        let tree = tree(&[(file.trim_start_matches("./"), CONFIG_MAP)]);
        assert_eq!(names(&read_bundles(&tree, &scan(&[folder]))), [name]);
    }
}

#[test]
fn one_bad_folder_fails_alone() {
    let tree = tree(&[
        ("a/cm.yaml", CONFIG_MAP),
        ("b/fleet.yaml", "helm: 1\n"),
        ("b/cm.yaml", CONFIG_MAP),
        ("c/fleet.yaml", "name: Not/Valid\n"),
        ("c/cm.yaml", CONFIG_MAP),
    ]);
    let outcome = read_bundles(&tree, &scan(&["a", "b", "c", "../d", "nothing"]));
    assert_eq!(names(&outcome), ["case-a"]);
    let failures: Vec<_> = outcome
        .failures
        .iter()
        .map(|failure| format!("{} | {}", failure.path, failure.error))
        .collect();
    assert_eq!(failures.len(), 3, "{failures:?}");
    assert_eq!(failures[0], "../d | path \"../d\" leads out of the repository");
    assert_eq!(failures[1], "b | b/fleet.yaml: line 1: helm must be a map, not a number");
    assert!(failures[2].starts_with("c | bundle name \"Not/Valid\" is not valid"), "{failures:?}");
    assert_eq!(outcome.notices, [Notice::PathWithoutBundle { path: "nothing".to_owned() }]);
    assert!(!outcome.is_complete());
}

#[test]
fn a_name_used_twice_is_refused_with_both_paths() {
    let tree = tree(&[
        ("a/fleet.yaml", "name: same\n"),
        ("a/cm.yaml", CONFIG_MAP),
        ("b/fleet.yaml", "name: same\n"),
        ("b/cm.yaml", CONFIG_MAP),
    ]);
    let outcome = read_bundles(&tree, &scan(&["a", "b"]));
    assert_eq!(names(&outcome), Vec::<&str>::new());
    let paths = vec!["a".to_owned(), "b".to_owned()];
    let error = ReadError::NameTaken { name: "same".to_owned(), paths };
    assert!(outcome.failures.iter().all(|failure| failure.error == error), "{outcome:?}");
    assert_eq!(outcome.failures.len(), 2);
    // The same folder through two paths is one bundle.
    assert_eq!(names(&read_bundles(&tree, &scan(&["a", "/a/", "./a"]))), ["same"]);
}

#[test]
fn nothing_at_all_is_an_error_in_the_words_of_the_reference() {
    let outcome = read_bundles(&tree(&[("a/x.txt", "")]), &scan(&["a", "b"]));
    assert_eq!(
        outcome.failures[0].error.to_string(),
        "no resource found at the following paths to deploy: [a b]"
    );
}

#[test]
fn listed_bundles_are_not_looked_for() {
    let tree = tree(&[
        ("app/fleet.yaml", "namespace: own\n"),
        ("app/dev/opts.yaml", "namespace: dev\n"),
        ("app/cm.yaml", CONFIG_MAP),
        ("app/sub/fleet.yaml", "{}"),
    ]);
    let bundle = |base: &str, options: &str| GitRepoBundle {
        base: base.to_owned(),
        options: options.to_owned(),
    };
    let folders = Folders::Listed(vec![
        bundle("app", "dev/opts.yaml"),
        bundle("app", ""),
        bundle("app", "prod.yaml"),
        bundle("nope", ""),
    ]);
    let outcome = read_bundles(&tree, &ReadRequest { folders, ..scan(&[]) });
    assert_eq!(names(&outcome), ["case-app", "case-app-dev-opts"]);
    let dev = &outcome.drafts[1];
    assert_eq!(dev.spec.options.namespace, "dev");
    assert!(!dev.files.contains_key("dev/opts.yaml") && !dev.files.contains_key("fleet.yaml"));
    assert!(dev.files.contains_key("sub/fleet.yaml"));
    assert_eq!(outcome.failures.len(), 2, "{:?}", outcome.failures);
}

#[test]
fn a_fleet_yml_serves_where_there_is_no_fleet_yaml() {
    let tree = tree(&[
        ("a/fleet.yaml", "name: first\n"),
        ("a/fleet.yml", "name: second\n"),
        ("a/cm.yaml", CONFIG_MAP),
        ("b/fleet.yml", "name: third\n"),
        ("b/cm.yaml", CONFIG_MAP),
    ]);
    assert_eq!(names(&read_bundles(&tree, &scan(&["a", "b"]))), ["first", "third"]);
}

#[test]
fn values_files_are_folded_and_left_out_and_charts_propagate() {
    let fleet_yaml = "
helm:
  chart: chart
  values: {a: 1, m: {x: 1}}
  valuesFiles: [v.yaml, chart/extra.yaml]
targetCustomizations:
- clusterSelector: {}
  helm: {valuesFiles: [t.yaml]}
";
    let tree = tree(&[
        ("app/fleet.yaml", fleet_yaml),
        ("app/v.yaml", "m: {z: 2}\n"),
        ("app/t.yaml", "own: true\n"),
        ("app/chart/extra.yaml", "a: 2\n"),
        ("app/chart/Chart.yaml", "name: c\n"),
    ]);
    let outcome = read_bundles(&tree, &scan(&["app"]));
    let draft = &outcome.drafts[0];
    assert_eq!(draft.files.keys().collect::<Vec<_>>(), ["chart/Chart.yaml"]);
    let values = draft.spec.options.values().cloned().map(serde_json::Value::Object);
    assert_eq!(values, Some(json!({"a": 2.0, "m": {"x": 1.0, "z": 2.0}})));
    let target = &draft.spec.targets[0];
    assert_eq!((target.name.as_str(), draft.charts.len()), ("target000", 0));
    let helm = target.options.helm.as_ref().expect("there is one");
    assert_eq!(helm.chart, "chart");
    assert_eq!(helm.values, json!({"own": true}).as_object().cloned());
}

#[test]
fn a_chart_elsewhere_is_asked_for_once_and_completes_the_draft() {
    let fleet_yaml = "
helm: {repo: 'https://charts.example.com', chart: web, version: 1.0.0}
targets:
- {name: same, clusterSelector: {}, helm: {force: true}}
- {name: other, clusterSelector: {}, helm: {version: 2.0.0}}
";
    let tree = tree(&[("app/fleet.yaml", fleet_yaml)]);
    let mut outcome = read_bundles(&tree, &scan(&["app"]));
    let mut draft = outcome.drafts.remove(0);
    let versions: Vec<_> = draft.charts.iter().map(|chart| chart.version.as_str()).collect();
    assert_eq!(versions, ["1.0.0", "2.0.0"]);
    for request in draft.charts.clone() {
        assert!(!draft.is_complete());
        draft.add_chart(&request, [("web/Chart.yaml".to_owned(), b"name: web".to_vec())].into());
    }
    assert!(draft.is_complete());
    let bundle = draft.into_bundle("ns");
    let name = &bundle.spec.resources[0].name;
    assert!(name.starts_with(".chart/") && name.ends_with("/web/Chart.yaml"), "{name}");
}

#[test]
fn a_missing_dependency_of_a_chart_is_asked_for() {
    let chart = "name: c\ndependencies:\n- {name: a, version: 1.x, repository: 'https://r'}\n- {name: b, version: 1.x}\n- {name: d, version: 1.x}\n";
    let tree = tree(&[
        ("c/Chart.yaml", chart),
        ("c/charts/a-1.0.0.tgz", ""),
        ("c/charts/renamed/Chart.yaml", "name: b\n"),
    ]);
    // A chart alone has a manifest's ending, so its folder is a bundle.
    let outcome = read_bundles(&tree, &scan(&["c"]));
    let missing: Vec<_> = outcome.drafts[0].dependencies.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(missing, ["d"]);
    let mut draft = outcome.drafts[0].clone();
    let dependency = draft.dependencies[0].clone();
    draft.add_dependency(&dependency, [("d-1.0.tgz".to_owned(), Vec::new())].into());
    assert!(draft.is_complete() && draft.files.contains_key("charts/d-1.0.tgz"));
}

#[test]
fn what_the_git_repo_says_is_laid_over_the_fleet_yaml() {
    let repo: GitRepo = serde_json::from_value(json!({
        "metadata": {"name": "case", "labels": {"team": "repo", "tier": "x"}},
        "spec": {
            "paths": ["a"], "targetNamespace": "forced", "serviceAccount": "sa", "paused": true,
            "forceSyncGeneration": 4, "keepResources": true, "correctDrift": {"enabled": true},
            "targets": [{"name": "dev", "clusterSelector": {"matchLabels": {"env": "dev"}}}],
        },
    }))
    .expect("a GitRepo");
    let fleet_yaml = "
labels: {team: app}
annotations: {note: x}
namespace: own
forceSyncGeneration: 9
targetCustomizations:
- {name: c, clusterSelector: {}, namespace: customized}
";
    let tree = tree(&[("a/fleet.yaml", fleet_yaml), ("a/cm.yaml", CONFIG_MAP)]);
    let outcome = read_bundles(&tree, &ReadRequest::of_git_repo(&repo));
    let bundle = outcome.drafts[0].clone().into_bundle("ns");
    let labels = bundle.metadata.labels.expect("some");
    let label = |key: &str| labels.get(key).map(String::as_str);
    assert_eq!(label("team"), Some("app"));
    assert_eq!((label("tier"), label("fleet.cattle.io/repo-name")), (Some("x"), Some("case")));
    let options = &bundle.spec.options;
    assert_eq!((options.namespace.as_str(), options.service_account.as_str()), ("forced", "sa"));
    assert_eq!((options.force_sync_generation, options.keep_resources), (4, true));
    assert!(bundle.spec.paused && options.correct_drift.as_ref().is_some_and(|d| d.enabled));
    let targets: Vec<_> = bundle.spec.targets.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(targets, ["c", "dev"]);
    assert!(bundle.spec.targets.iter().all(|target| target.options.namespace == "forced"));
    assert_eq!(bundle.spec.customizations().len(), 1);
}

#[test]
fn override_targets_take_the_place_of_the_git_repos_even_when_empty() {
    let mut request = scan(&["a"]);
    request.overrides.targets = vec![request::default_bundle_target()];
    for (fleet_yaml, expected) in [
        ("overrideTargets: [{name: mine, clusterName: x}]\n", vec![("mine", 1)]),
        ("overrideTargets: []\n", vec![("default", 0)]),
        ("{}\n", vec![("default", 0)]),
    ] {
        let tree = tree(&[("a/fleet.yaml", fleet_yaml), ("a/cm.yaml", CONFIG_MAP)]);
        let draft = read_bundles(&tree, &request).drafts.remove(0);
        let restrictions = draft.spec.target_restrictions.len();
        let seen: Vec<_> =
            draft.spec.targets.iter().map(|t| (t.name.as_str(), restrictions)).collect();
        assert_eq!(seen, expected, "{fleet_yaml}");
    }
}

#[test]
fn image_scans_need_the_feature_and_a_tag_name() {
    let file = |text: &str| {
        let fleet_yaml = format!("imageScans:\n- {text}\n");
        tree(&[("a/fleet.yaml", fleet_yaml.as_str()), ("a/cm.yaml", CONFIG_MAP)])
    };
    let good = "{image: example.com/x, tagName: t, interval: 30s, policy: {semver: {range: '*'}}}";
    let mut request = scan(&["a"]);
    let off = read_bundles(&file(good), &request);
    assert_eq!(off.failures[0].error, ReadError::ImageScansDisabled);
    request.overrides.image_scans_enabled = true;
    let scans = read_bundles(&file(good), &request).drafts.remove(0).image_scans;
    assert_eq!(scans[0].name, "imagescan-case-a-0");
    let unnamed = read_bundles(&file("{image: x}"), &request);
    assert_eq!(unnamed.failures[0].error, ReadError::ImageScanName { index: 0 });
}

#[test]
fn a_big_bundle_is_compressed_and_a_small_one_is_text() {
    let big = format!("a: {}\n", "x".repeat(1_000_000));
    let draft = |text: &str| {
        read_bundles(&tree(&[("a/x.yaml", text), ("a/y.txt", "y")]), &scan(&["a"])).drafts.remove(0)
    };
    let encodings = |draft: BundleDraft| {
        let resources = draft.into_bundle("ns").spec.resources;
        resources.into_iter().map(|resource| resource.encoding).collect::<Vec<_>>()
    };
    assert_eq!(encodings(draft(&big)), [BASE64_GZ, BASE64_GZ]);
    assert_eq!(encodings(draft("a: 1\n")), ["", ""]);
}

#[test]
fn a_manifest_that_is_not_yaml_is_named_with_its_line_where_it_is_deployed_as_it_is() {
    let bad = "apiVersion: v1\nkind: ConfigMap\n---\na: [\n";
    let problems = |files: &[(&str, &str)]| {
        let draft = read_bundles(&tree(files), &scan(&["a"])).drafts.remove(0);
        draft.problems.into_iter().map(|problem| (problem.file, problem.line)).collect::<Vec<_>>()
    };
    let found = problems(&[("a/sub/bad.yaml", bad), ("a/good.yaml", CONFIG_MAP)]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 == "sub/bad.yaml" && found[0].1 >= 4, "{found:?}");
    for elsewhere in ["a/templates/bad.yaml", "a/nested/bad.yaml", "a/overlays/o/bad.yaml"] {
        let files = [(elsewhere, bad), ("a/nested/fleet.yaml", "{}"), ("a/good.yaml", CONFIG_MAP)];
        assert_eq!(problems(&files), [], "{elsewhere}");
    }
    assert_eq!(problems(&[("a/bad.yaml", bad), ("a/Chart.yaml", "name: c\n")]), []);
}
