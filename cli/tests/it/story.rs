//! A folder on its way to objects, through the three commands.

use std::path::Path;

use clap::Parser as _;
use cli::Ui;
use serde_json::{Value, json};

/// Runs a command line and answers with its output; panics when it fails.
fn fleet(line: &[&str]) -> String {
    let (mut ui, captured) = Ui::captured();
    let arguments = ["fleet"].iter().chain(line).map(std::ffi::OsString::from);
    let code = cli::run(arguments, &mut ui);
    let is_done = format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS);
    assert!(is_done, "{line:?}: {}", captured.err());
    captured.out()
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("it can be written");
    file.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_bundle_file_becomes_deployments_and_these_become_objects() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let bundle = "apiVersion: fleet.cattle.io/v1alpha1
kind: Bundle
metadata: {name: given, namespace: elsewhere}
spec:
  resources:
  - {name: cm.yaml, content: '{apiVersion: v1, kind: ConfigMap, metadata: {name: cm}, data: {text: \"{{ x }}\"}}'}
  - {name: templates/v.yaml, content: \"{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Values.who }}'}}\"}
  helm: {values: {who: '${ .ClusterName }-v'}}
  targets: [{clusterGroup: eu}]
";
    let world = "kind: Cluster
metadata: {name: a, namespace: ns, labels: {region: eu}}
---
kind: Cluster
metadata: {name: b, namespace: ns, labels: {region: us}}
---
kind: ClusterGroup
metadata: {name: eu, namespace: ns}
spec: {selector: {matchLabels: {region: eu}}}
";
    let (bundle, world) = (write(at, "b.yaml", bundle), write(at, "w.yaml", world));
    let applied = fleet(&["apply", "-n", "ns", "-f", &bundle, "-o", "-", "web"]);
    assert!(applied.contains("name: web\n  namespace: ns\n"), "{applied}");
    let applied = write(at, "applied.yaml", &applied);
    let targeted = fleet(&["target", "-b", &applied, "--world", &world]);
    assert_eq!(targeted.matches("kind: BundleDeployment").count(), 1, "{targeted}");
    let targeted = write(at, "targeted.yaml", &targeted);
    let objects = fleet(&["deploy", "--dry-run", "-i", &targeted]);
    assert!(objects.contains("name: cm\n") && objects.contains("name: a-v\n"), "{objects}");
    assert!(objects.contains("text: '{{ x }}'\n"), "only templates/ is rendered: {objects}");
    assert!(objects.contains("objectset.rio.cattle.io/id: -web\n"), "{objects}");
}

/// The bundle that `fleet apply` makes of folder `app` with these flags.
fn applied(flags: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let app = folder.path().join("app");
    std::fs::create_dir(&app).expect("made");
    write(&app, "fleet.yaml", "defaultNamespace: usual\n");
    write(&app, "other.yaml", "defaultNamespace: other\n");
    write(&app, "cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\n");
    let targets = "targets: [{clusterName: one}]\ntargetRestrictions: [{clusterName: two}]\n";
    let targets = write(folder.path(), "targets.yaml", targets);
    let flags = flags.iter().map(|flag| flag.replace("TARGETS", &targets));
    let line = ["fleet", "apply", "-o", "-", "web"].map(str::to_owned).into_iter().chain(flags);
    let cli::Command::Apply(args) = cli::Cli::parse_from(line).command else { unreachable!() };
    let (mut ui, captured) = Ui::captured();
    cli::apply::run_in(folder.path(), &args, &mut ui).expect("applied");
    goyaml::from_str(&captured.out()).expect("one bundle")
}

#[test]
fn each_flag_of_apply_about_a_bundle_changes_it() {
    let plain = applied(&["app"]);
    for (flags, pointer, wanted) in [
        (&["-l", "team=a"][..], "/metadata/labels/team", json!("a")),
        (&["--commit", "abc"], "/metadata/labels/fleet.cattle.io~1commit", json!("abc")),
        (&["-n", "other"], "/metadata/namespace", json!("other")),
        (&["-b", "other.yaml"], "/spec/defaultNamespace", json!("other")),
        (&["-a", "deployer"], "/spec/serviceAccount", json!("deployer")),
        (&["--sync-generation", "3"], "/spec/forceSyncGeneration", json!(3)),
        (&["--target-namespace", "forced"], "/spec/namespace", json!("forced")),
        (&["--paused"], "/spec/paused", json!(true)),
        (&["--keep-resources"], "/spec/keepResources", json!(true)),
        (&["--delete-namespace"], "/spec/deleteNamespace", json!(true)),
        (&["--correct-drift"], "/spec/correctDrift/enabled", json!(true)),
        (&["--correct-drift", "--correct-drift-force"], "/spec/correctDrift/force", json!(true)),
        (
            &["--correct-drift", "--correct-drift-keep-fail-history"],
            "/spec/correctDrift/keepFailHistory",
            json!(true),
        ),
        (&["--compress"], "/spec/resources/0/encoding", json!("base64+gz")),
        (&["--targets-file", "TARGETS"], "/spec/targets/0/clusterName", json!("one")),
        (&["--targets-file", "TARGETS"], "/spec/targetRestrictions/0/clusterName", json!("two")),
    ] {
        let changed = applied(&[flags, &["app"]].concat());
        assert_eq!(changed.pointer(pointer), Some(&wanted), "{flags:?}: {changed}");
        assert_ne!(plain.pointer(pointer), Some(&wanted), "{flags:?} changes nothing");
    }
    for flags in [
        &["--driven-scan", "app:other.yaml"][..],
        &["--driven-scan", "--driven-scan-sep", "@", "app@other.yaml"],
    ] {
        assert_eq!(applied(flags)["spec"]["defaultNamespace"], "other", "{flags:?}");
    }
}

#[test]
fn help_teaches_and_completion_completes() {
    let script = fleet(&["completion", "bash"]);
    assert!(script.contains("fleet") && script.contains("--world"));
}
