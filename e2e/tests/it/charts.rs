//! The charts, as far as no helm is needed. The rest is told on real clusters.

use std::ffi::OsString;
use std::process::ExitCode;

use e2e::peers::workspace;
use serde_json::{Value, json};

/// Rights of the hub's processes, as `helm template` prints them (recorded by the story
/// `rights_are_those_of_the_golden`, which compares with the real helm).
const GOLDEN: &str = include_str!("../golden/rbac.yaml");

#[test]
fn hub_processes_hold_no_star() {
    for line in GOLDEN.lines() {
        assert!(!line.contains('*'), "a star in the rights of the hub: {line}");
    }
    assert!(GOLDEN.contains("kind: ClusterRole"), "the golden holds no role");
}

#[test]
fn images_are_our_own() {
    for chart in ["fleet", "fleet-agent"] {
        let path = workspace().join("charts").join(chart).join("values.yaml");
        let values = std::fs::read_to_string(path).expect("each chart has values");
        let values = goyaml::from_str(&values).expect("they are YAML");
        let images = ["image", "agentImage"].map(|key| values[key]["repository"].clone());
        for image in images.iter().filter(|image| !image.is_null()) {
            assert_eq!(image, "flotilla/fleet", "in chart {chart}");
        }
    }
}

/// What `fleet template` makes of chart `fleet` with these values.
fn render(values: &Value) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), values.to_string()).expect("written");
    let chart = workspace().join("charts/fleet");
    let words = ["fleet", "template", "fleet"].map(OsString::from);
    let more = [chart.as_os_str(), "-n".as_ref(), "cattle-fleet-system".as_ref(), "-f".as_ref()];
    let arguments = words.into_iter().chain(more.map(OsString::from)).chain([file.path().into()]);
    let (mut ui, captured) = cli::Ui::captured();
    let code = cli::run(arguments, &mut ui);
    assert_eq!(code, ExitCode::SUCCESS, "{values}: {}", captured.err());
    let text = captured.out();
    let documents = goyaml::documents(&text);
    documents.iter().map(|document| goyaml::from_str(document.text).expect("YAML")).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The pods of Deployments fleet-controller and gitjob.
fn pods(objects: &[Value]) -> [&Value; 2] {
    ["fleet-controller", "gitjob"].map(|name| {
        let mut all = of_kind(objects, "Deployment");
        let one = all.find(|one| one["metadata"]["name"] == name);
        &one.expect("a Deployment")["spec"]["template"]
    })
}

/// A part of the only container of each of them.
fn in_containers<'a>(objects: &'a [Value], part: &str) -> [&'a Value; 2] {
    pods(objects).map(|pod| &pod["spec"]["containers"][0][part])
}

fn config(objects: &[Value]) -> Value {
    let mut maps = of_kind(objects, "ConfigMap");
    let map = maps.find(|map| map["metadata"]["name"] == "fleet-controller").expect("a config");
    serde_json::from_str(map["data"]["config"].as_str().expect("a text")).expect("JSON")
}

// `fleet-charts-cli.md` has two more, which nothing reads there either.
#[test]
fn the_configuration_has_the_keys_of_the_reference() {
    let secrets = json!({"global": {"cattle": {"imagePullSecrets": [{"name": "pull"}]}}});
    let config = config(&render(&secrets));
    let keys = |value: &Value| Vec::from_iter(value.as_object().expect("a map").keys().cloned());
    let expected = [
        "agentCheckinInterval",
        "agentImage",
        "agentImagePullPolicy",
        "agentTLSMode",
        "agentWorkers",
        "apiServerCA",
        "apiServerURL",
        "bootstrap",
        "garbageCollectionInterval",
        "gitClientTimeout",
        "ignoreClusterRegistrationLabels",
        "imagePullSecrets",
        "systemDefaultRegistry",
    ];
    assert_eq!(keys(&config), expected);
    let expected = [
        "agentNamespace",
        "branch",
        "clusterLabels",
        "localAgentDisabled",
        "namespace",
        "paths",
        "repo",
        "secret",
    ];
    assert_eq!(keys(&config["bootstrap"]), expected);
}

#[test]
fn a_registry_stands_before_every_image() {
    let registry = "registry.example";
    let objects = render(&json!({"global": {"cattle": {"systemDefaultRegistry": registry}}}));
    let expected = json!("registry.example/flotilla/fleet:dev");
    assert_eq!(in_containers(&objects, "image"), [&expected; 2]);
    let config = config(&objects);
    assert_eq!(config["systemDefaultRegistry"], "registry.example/");
    assert_eq!(config["agentImage"], expected);
}

#[test]
fn pull_secrets_reach_every_pod_and_the_configuration() {
    let secrets = json!([{"name": "pull"}]);
    let objects = render(&json!({"global": {"cattle": {"imagePullSecrets": secrets}}}));
    assert_eq!(pods(&objects).map(|pod| &pod["spec"]["imagePullSecrets"]), [&secrets; 2]);
    assert_eq!(config(&objects)["imagePullSecrets"], secrets);
}

#[test]
fn resources_are_for_all_for_one_or_for_none() {
    let common = json!({"limits": {"memory": "1Gi"}});
    let (own, none) = (json!({"requests": {"cpu": "2"}}), json!({}));
    assert_eq!(in_containers(&render(&json!({ "resources": common })), "resources"), [&common; 2]);
    let values = json!({"limits": common["limits"], "fleetController": own, "gitjob": none});
    let objects = render(&json!({ "resources": values }));
    assert_eq!(in_containers(&objects, "resources"), [&own, &none]);
}

#[test]
fn every_pod_gets_the_extras_and_the_proxy() {
    let extra = |name: &str| json!({"fleetController": {name: "c"}, "gitjob": {name: "g"}});
    let objects = render(&json!({
        "extraEnv": [{"name": "MORE", "value": "yes"}],
        "extraLabels": extra("team"),
        "extraAnnotations": extra("note"),
        "proxy": "http://proxy.example:3128",
        "noProxy": "10.0.0.0/8",
        "proxyCACert": "a certificate",
    }));
    for (pod, value) in pods(&objects).into_iter().zip(["c", "g"]) {
        assert_eq!(pod["metadata"]["labels"]["team"], value);
        assert_eq!(pod["metadata"]["annotations"]["note"], value);
    }
    for variables in in_containers(&objects, "env") {
        let proxy = "http://proxy.example:3128";
        for (name, value) in [
            ("MORE", "yes"),
            ("HTTP_PROXY", proxy),
            ("HTTPS_PROXY", proxy),
            ("NO_PROXY", "10.0.0.0/8"),
            ("PROXY_CA_BUNDLE", "a certificate"),
        ] {
            let wanted = json!({"name": name, "value": value});
            let found = variables.as_array().is_some_and(|all| all.contains(&wanted));
            assert!(found, "no {wanted} in {variables}");
        }
    }
}

#[test]
fn metrics_are_served_unless_they_are_switched_off() {
    let has_metrics = |objects: &[Value]| {
        let is_metrics = |port: &Value| port["name"] == "metrics";
        let any = |ports: &Value| ports.as_array().is_some_and(|all| all.iter().any(is_metrics));
        let containers = in_containers(objects, "ports").map(any);
        let services = of_kind(objects, "Service").filter(|one| any(&one["spec"]["ports"])).count();
        let disabled = in_containers(objects, "command").map(|words| {
            words.as_array().is_some_and(|words| words.contains(&json!("--disable-metrics")))
        });
        (containers, services, disabled)
    };
    assert_eq!(has_metrics(&render(&json!({}))), ([true; 2], 2, [false; 2]));
    let off = render(&json!({"metrics": {"enabled": false}}));
    assert_eq!(has_metrics(&off), ([false; 2], 0, [true; 2]));
}

#[test]
fn bootstrap_is_switched_off_in_the_command_line_and_needs_no_account() {
    for is_on in [true, false] {
        let objects = render(&json!({"bootstrap": {"enabled": is_on}}));
        let [controller, _] = pods(&objects);
        let container = &controller["spec"]["containers"][0];
        let words = ["command", "args"].map(|field| container[field].to_string()).concat();
        assert_eq!(words.contains("--disable-bootstrap"), !is_on, "{words}");
        let mut accounts = of_kind(&objects, "ServiceAccount");
        let account = accounts.find(|one| one["metadata"]["name"] == "fleet-controller-bootstrap");
        assert_eq!(account.is_some(), is_on);
    }
}
