//! The chart gives the hub what it needs, and no star.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// The roles of a chart's template, without the lines that are template code.
fn roles(template: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/fleet/templates");
    let text = std::fs::read_to_string(path.join(template)).expect("the chart has roles");
    let mut in_comment = false;
    let plain = text.lines().filter(|line| {
        in_comment |= line.trim_start().starts_with("{{- /*");
        let keep = !in_comment && !line.trim_start().starts_with("{{");
        in_comment &= !line.contains("*/");
        keep
    });
    let plain = plain.map(|line| line.replace("{{", "'").replace("}}", "'")).collect::<Vec<_>>();
    plain
        .join("\n")
        .split("\n---")
        .filter(|document| document.contains("rules:"))
        .filter_map(|document| serde_yaml::from_str(document).ok())
        .collect()
}

fn words<'a>(rule: &'a Value, member: &str) -> Vec<&'a str> {
    rule[member].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn no_role_of_the_hub_has_a_star() {
    let roles = roles("rbac.yaml");
    assert!(roles.len() >= 3, "only {} roles were understood", roles.len());
    for role in &roles {
        for rule in role["rules"].as_array().expect("roles have rules") {
            for member in ["apiGroups", "resources", "verbs", "nonResourceURLs"] {
                assert!(
                    !words(rule, member).contains(&"*"),
                    "{}: {rule}",
                    role["metadata"]["name"]
                );
            }
        }
    }
}

// What the controller does, kind by kind. A permission that is missing shows up only as a log line
// of a running hub; one that is too many does not show up at all.
const NEEDS: &[(&str, &str, &[&str])] = &[
    ("", "namespaces", &["get", "list", "watch", "create", "patch", "delete"]),
    ("", "secrets", &["get", "list", "watch", "create", "patch", "delete"]),
    ("", "serviceaccounts", &["get", "list", "create", "patch", "delete"]),
    ("", "configmaps", &["get", "list", "watch", "create", "patch"]),
    ("apps", "deployments", &["get"]),
    ("events.k8s.io", "events", &["create"]),
    ("rbac.authorization.k8s.io", "roles", &["get", "list", "create", "patch", "delete"]),
    ("rbac.authorization.k8s.io", "rolebindings", &["get", "list", "create", "patch", "delete"]),
    ("rbac.authorization.k8s.io", "clusterroles", &["get", "create", "patch"]),
    ("rbac.authorization.k8s.io", "clusterrolebindings", &["list", "create", "patch", "delete"]),
    ("fleet.cattle.io", "bundles", &["get", "list", "watch", "create", "patch", "delete"]),
    ("fleet.cattle.io", "bundles/status", &["patch"]),
    ("fleet.cattle.io", "bundledeployments", &["list", "watch", "create", "patch", "delete"]),
    ("fleet.cattle.io", "clusters", &["get", "list", "watch", "create", "patch"]),
    ("fleet.cattle.io", "clusters/status", &["patch"]),
    ("fleet.cattle.io", "clustergroups", &["get", "list", "watch", "create", "patch"]),
    ("fleet.cattle.io", "clustergroups/status", &["patch"]),
    ("fleet.cattle.io", "contents", &["get", "list", "watch", "create", "delete"]),
    ("fleet.cattle.io", "contents/status", &["patch"]),
    ("fleet.cattle.io", "gitrepos", &["get", "list", "watch", "create", "patch"]),
    ("fleet.cattle.io", "gitrepos/status", &["patch"]),
    ("fleet.cattle.io", "clusterregistrations", &["list", "watch", "create", "patch", "delete"]),
    ("fleet.cattle.io", "clusterregistrations/status", &["patch"]),
    (
        "fleet.cattle.io",
        "clusterregistrationtokens",
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
    ("fleet.cattle.io", "clusterregistrationtokens/status", &["patch"]),
    ("fleet.cattle.io", "bundlenamespacemappings", &["list", "watch"]),
    ("fleet.cattle.io", "gitreporestrictions", &["list", "watch"]),
    ("fleet.cattle.io", "policies", &["list", "watch"]),
    ("fleet.cattle.io", "helmops", &["list", "watch"]),
    ("fleet.cattle.io", "helmops/status", &["patch"]),
    ("fleet.cattle.io", "imagescans", &["list", "watch"]),
    ("fleet.cattle.io", "imagescans/status", &["patch"]),
    ("fleet.cattle.io", "schedules", &["list", "watch"]),
    ("fleet.cattle.io", "schedules/status", &["patch"]),
];

#[test]
fn the_controller_may_do_what_it_does() {
    let roles = roles("rbac.yaml");
    let own = roles.iter().filter(|role| {
        role["kind"] == "ClusterRole" && role["metadata"]["name"] == "fleet-controller"
    });
    let rules = own.flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default());
    let mut granted: BTreeSet<(String, String, String)> = BTreeSet::new();
    for rule in rules {
        for group in words(&rule, "apiGroups") {
            for resource in words(&rule, "resources") {
                for verb in words(&rule, "verbs") {
                    granted.insert((group.into(), resource.into(), verb.into()));
                }
            }
        }
    }
    for (group, resource, verbs) in NEEDS {
        for verb in *verbs {
            let need = (group.to_string(), resource.to_string(), verb.to_string());
            assert!(granted.contains(&need), "the chart lacks {verb} {resource}.{group}");
        }
    }
}
