//! A folder on its way to objects, through the three commands.

use std::path::Path;

use cli::Ui;

/// Runs a command line and answers with its output; panics when it fails.
fn fleet(line: &[&str]) -> String {
    let (mut ui, captured) = Ui::captured();
    let tokio = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let arguments = ["fleet"].iter().chain(line).map(std::ffi::OsString::from);
    let code = tokio.block_on(cli::run(arguments, &mut ui));
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
  - {name: cm.yaml, content: '{apiVersion: v1, kind: ConfigMap, metadata: {name: cm}}'}
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
    assert!(objects.contains("objectset.rio.cattle.io/id: -web\n"), "{objects}");
}

#[test]
fn help_teaches_and_completion_completes() {
    let script = fleet(&["completion", "bash"]);
    assert!(script.contains("fleet") && script.contains("--world"));
}
