//! The real kubectl and helm on a hub, over TLS.
//!
//! Skipped with a message where the programs are not installed (`FLEET_HELM` may name helm).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine as _;
use hub::{Hub, Listening, Options, Simulation, User};

/// A hub that listens, and a folder whose kubeconfig leads to it.
struct Desk {
    _listening: Listening,
    folder: tempfile::TempDir,
}

/// Whether a program can be started.
fn find(program: &str, variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| program.into(), PathBuf::from);
    let found = Command::new(&path).arg("--help").output().is_ok();
    if !found {
        eprintln!("skipped: there is no {program} (set {variable}, or put it on the PATH)");
    }
    found.then_some(path)
}

impl Desk {
    async fn open() -> Desk {
        let simulation = Simulation { ready_after: Duration::from_millis(50) };
        let options = Options { simulation: Some(simulation), ..Options::default() };
        let hub = Hub::open(&options).expect("a hub in memory");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let listening = hub.listen(any, &[]).await.expect("a port");
        hub.ready().await;
        let admin = hub.client_identity(&User::administrator()).expect("a certificate");
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "hub",
            "clusters": [{"name": "hub", "cluster": {
                "server": format!("https://{}", listening.address()),
                "certificate-authority-data": encode(hub.ca_certificate())}}],
            "users": [{"name": "admin", "user": {
                "client-certificate-data": encode(&admin.certificate),
                "client-key-data": encode(&admin.key)}}],
            "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": "admin"}}],
        });
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("kubeconfig"), config.to_string()).expect("written");
        Desk { _listening: listening, folder }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    /// Runs a command line on a thread of its own; the hub answers on this runtime.
    async fn run(&self, program: &Path, line: &str) -> Output {
        let mut command = Command::new(program);
        let folder = self.folder.path();
        command
            .args(line.split(' ').map(|word| word.replace('~', " ")))
            .current_dir(folder)
            .env("KUBECONFIG", folder.join("kubeconfig"))
            .env("HOME", folder)
            .env("HELM_CACHE_HOME", folder.join("helm"))
            .env("KUBE_EDITOR", folder.join("editor.sh"));
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        output.expect("no panic").expect("started")
    }

    /// Runs a command that has to succeed; its standard output.
    async fn good(&self, program: &Path, line: &str) -> String {
        let output = self.run(program, line).await;
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{line}\n{out}{err}");
        out
    }

    /// Runs a command that has to fail; its standard error.
    async fn bad(&self, program: &Path, line: &str) -> String {
        let output = self.run(program, line).await;
        let (out, err) = texts(&output);
        assert!(!output.status.success(), "{line} succeeded\n{out}");
        err
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Fails with everything that was printed when a word is missing.
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'web:1'}]}
";

const MAP: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: map, namespace: default}
data: {a: '1'}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_applies_shows_and_changes() {
    let Some(kubectl) = find("kubectl", "FLEET_KUBECTL") else { return };
    let desk = Desk::open().await;
    let k = kubectl.as_path();
    let web = desk.write("web.yaml", WEB);
    let map = desk.write("map.yaml", MAP);
    says(&desk.good(k, &format!("apply -f {map}")).await, &["configmap/map created"]);
    says(&desk.good(k, &format!("apply -f {map}")).await, &["configmap/map unchanged"]);
    let changed = desk.write("map.yaml", &MAP.replace("'1'", "'2'"));
    let diff = desk.run(k, &format!("diff -f {changed}")).await;
    assert_eq!(diff.status.code(), Some(1), "{}", texts(&diff).1);
    says(&texts(&diff).0, &["-  a: \"1\"", "+  a: \"2\""]);
    says(&desk.good(k, &format!("apply -f {changed}")).await, &["configmap/map configured"]);
    let theirs = desk.write("theirs.yaml", &MAP.replace("'1'", "'3'"));
    let line = format!("apply --server-side --field-manager=other -f {theirs}");
    says(&desk.bad(k, &line).await, &["Apply failed with 1 conflict", ".data.a"]);
    let line = format!("apply --server-side --force-conflicts --field-manager=other -f {theirs}");
    says(&desk.good(k, &line).await, &["serverside-applied"]);

    desk.good(k, &format!("apply --server-side -f {web}")).await;
    desk.good(k, "wait --for=condition=Available --timeout=20s deployment/web").await;
    desk.good(k, "rollout status deployment/web --timeout=20s").await;
    desk.good(k, "wait --for=jsonpath={.status.readyReplicas}=2 --timeout=20s deployment/web")
        .await;
    says(&desk.good(k, "scale deployment/web --replicas=3").await, &["scaled"]);
    desk.good(k, "wait --for=jsonpath={.status.readyReplicas}=3 --timeout=20s deployment/web")
        .await;
    says(&desk.good(k, "get deployments -o wide").await, &["READY", "3/3", "web:1", "app=web"]);
    says(&desk.good(k, "get deployment web -o yaml").await, &["kind: Deployment", "replicas: 3"]);
    says(&desk.good(k, "get all").await, &["deployment.apps/web", "service/kubernetes"]);
    let name = "get deployment web -o jsonpath={.metadata.name}";
    assert_eq!(desk.good(k, name).await, "web");
    let columns = "get deployment -o custom-columns=N:.metadata.name,R:.spec.replicas";
    says(&desk.good(k, columns).await, &["N ", "web   3"]);
    says(&desk.good(k, "describe deployment web").await, &["Replicas:", "3 desired", "web:1"]);
    desk.good(k, "label configmap map tier=one").await;
    desk.good(k, "annotate configmap map note=two").await;
    let selected = "get configmaps -l tier=one -o name";
    assert_eq!(desk.good(k, selected).await.trim(), "configmap/map");
    let editor = desk.write("editor.sh", "#!/bin/sh\nsed -i 's/tier: one/tier: edited/' \"$1\"\n");
    desk.good(Path::new("chmod"), &format!("+x {editor}")).await;
    says(&desk.good(k, "edit configmap map").await, &["configmap/map edited"]);
    let tier = "get configmap map -o jsonpath={.metadata.labels.tier}";
    assert_eq!(desk.good(k, tier).await, "edited");
    let restarted = desk.good(k, "rollout restart deployment/web").await;
    says(&restarted, &["restarted"]);
    desk.good(k, "set image deployment/web web=web:2").await;
    desk.good(k, "delete deployment web --cascade=foreground --timeout=20s").await;
    desk.good(k, "wait --for=delete --timeout=20s deployment/web").await;
    says(&desk.bad(k, "get deployment web").await, &["NotFound", "\"web\" not found"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_asks_and_creates() {
    let Some(kubectl) = find("kubectl", "FLEET_KUBECTL") else { return };
    let desk = Desk::open().await;
    let k = kubectl.as_path();
    let version = desk.good(k, "version").await;
    says(&version, &["Server Version: v1.36"]);
    says(&desk.good(k, "explain deployment.spec.replicas").await, &["FIELD: replicas <integer>"]);
    says(&desk.good(k, "api-resources").await, &["deployments", "customresourcedefinitions"]);
    says(&desk.good(k, "api-versions").await, &["apps/v1", "rbac.authorization.k8s.io/v1"]);
    says(&desk.good(k, "auth can-i create pods").await, &["yes"]);
    says(&desk.good(k, "auth can-i --list").await, &["*.*"]);
    says(&desk.good(k, "auth whoami").await, &["system:masters"]);
    says(&desk.bad(k, "get secrets --as=jane").await, &["Forbidden", "cannot list resource"]);
    for line in [
        "create namespace team",
        "create configmap a --from-literal=k=v -n team",
        "create secret generic b --from-literal=k=v -n team",
        "create deployment c --image=c:1 --replicas=2 --port=80 -n team",
        "create service clusterip d --tcp=80:8080 -n team",
        "create serviceaccount e -n team",
        "create role f --verb=get --resource=pods -n team",
        "create rolebinding g --role=f --serviceaccount=team:e -n team",
        "create job h --image=h -n team",
        "create cronjob i --image=i --schedule=*~*~*~*~* -n team",
        "create ingress j --rule=a.example/=d:80 -n team",
        "create poddisruptionbudget k --selector=app=c --min-available=1 -n team",
        "create quota l --hard=pods=5 -n team",
        "expose deployment c --name=m -n team",
        "run n --image=n -n team",
    ] {
        let word = if line.starts_with("expose") { " exposed" } else { " created" };
        says(&desk.good(k, line).await, &[word]);
    }
    says(
        &desk.good(k, "auth can-i get pods -n team --as=system:serviceaccount:team:e").await,
        &["yes"],
    );
    assert!(desk.good(k, "create token e -n team").await.starts_with("eyJ"));
    let logs = desk.bad(k, "logs n -n team").await;
    says(&logs, &["rror"]);
    desk.good(k, "delete namespace team --timeout=30s").await;
    says(&desk.bad(k, "get namespace team").await, &["NotFound"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_installs_upgrades_rolls_back_and_uninstalls() {
    let Some(helm) = find("helm", "FLEET_HELM") else { return };
    let desk = Desk::open().await;
    let h = helm.as_path();
    desk.write("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n");
    desk.write("chart/values.yaml", "greeting: hello\n");
    desk.write("chart/templates/web.yaml", WEB);
    let template = MAP
        .replace("'1'", "{{ .Values.greeting }}")
        .replace("name: map", "name: {{ .Release.Name }}");
    desk.write("chart/templates/map.yaml", &template);
    says(&desk.good(h, "install one chart --wait --timeout 30s").await, &["STATUS: deployed"]);
    says(&desk.good(h, "upgrade one chart --set greeting=bye").await, &["REVISION: 2"]);
    says(&desk.good(h, "get manifest one").await, &["a: bye"]);
    says(&desk.good(h, "history one").await, &["superseded", "deployed"]);
    says(&desk.good(h, "ls").await, &["one", "web-1.0.0"]);
    desk.good(h, "rollback one 1").await;
    says(&desk.good(h, "get manifest one").await, &["a: hello"]);
    says(&desk.good(h, "uninstall one").await, &["uninstalled"]);
    assert!(!desk.good(h, "ls").await.contains("one"));
}
