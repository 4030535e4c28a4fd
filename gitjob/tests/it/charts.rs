use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::git_server::GitServer;
use crate::tls::Front;
use crate::world::{World, condition};

fn archive(name: &str, version: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let chart = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    for (path, text) in [
        (format!("{name}/Chart.yaml"), chart.as_str()),
        (format!("{name}/templates/map.yaml"), "kind: ConfigMap\napiVersion: v1\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// Puts a chart repository with two versions of `web` on the server.
fn serve_charts(server: &GitServer) {
    let mut index = "apiVersion: v1\nentries:\n  web:\n".to_owned();
    let mut behaviour = server.behaviour.lock().unwrap();
    for version in ["1.0.0", "1.2.0"] {
        let url = format!("web-{version}.tgz");
        index.push_str(&format!("  - name: web\n    version: {version}\n    urls: [{url}]\n"));
        behaviour.files.insert(format!("/charts/{url}"), archive("web", version));
    }
    behaviour.files.insert("/charts/index.yaml".to_owned(), index.into_bytes());
}

/// Puts chart `web` 1.2.0 on the server as an OCI registry keeps it, as `charts/web`.
fn serve_registry(server: &GitServer) {
    let layer = archive("web", "1.2.0");
    let digest: String = Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let kind = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
    let manifest = json!({"schemaVersion": 2, "layers": [
        {"mediaType": kind, "digest": format!("sha256:{digest}"), "size": layer.len()}]});
    let tags = json!({"name": "charts/web", "tags": ["1.0.0", "1.2.0", "latest"]});
    let files = [
        (format!("blobs/sha256:{digest}"), layer),
        ("manifests/1.2.0".to_owned(), manifest.to_string().into_bytes()),
        ("tags/list".to_owned(), tags.to_string().into_bytes()),
    ];
    let mut behaviour = server.behaviour.lock().unwrap();
    behaviour.files.extend(files.map(|(name, file)| (format!("/v2/charts/web/{name}"), file)));
}

/// The version of the chart in a bundle.
async fn chart_version(world: &World, bundle: &str) -> String {
    let bundle = world.bundles().get(bundle).await.unwrap();
    let mut files = bundle.spec.resources.iter();
    let chart = files.find(|file| file.name.ends_with("web/Chart.yaml")).unwrap();
    chart.content.split("version: ").last().unwrap().trim().to_owned()
}

fn fleet_yaml(server: &GitServer, chart: &str, version: &str) -> String {
    let repo = format!("{}/charts", server.url);
    format!("helm:\n  repo: {repo}\n  chart: {chart}\n  version: \"{version}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_of_a_repository_comes_into_the_bundle_in_the_version_that_fits() {
    let world = World::start().await;
    serve_charts(&world.git);
    let good = fleet_yaml(&world.git, "web", "~1.0");
    let bad = fleet_yaml(&world.git, "nope", "");
    world.git.commit(&[("a/fleet.yaml", Some(&good)), ("b/fleet.yaml", Some(&bad))]);
    world.git_repo("web", json!({"paths": ["a", "b"]})).await;
    let repo = world.until("web", |repo| condition(repo, "Stalled").0 == "True").await;
    let (_, message) = condition(&repo, "Ready");
    assert!(message.contains("b: ") && message.contains("not in the index"), "{message}");
    let bundle = world.bundles().get("web-a").await.unwrap();
    let names: Vec<_> = bundle.spec.resources.iter().map(|r| r.name.as_str()).collect();
    let chart = bundle.spec.resources.iter().find(|r| r.name.ends_with("web/Chart.yaml"));
    assert!(chart.is_some_and(|r| r.content.contains("version: 1.0.0")), "{names:?}");
    assert!(names[0].starts_with(".chart/") && names.len() == 2, "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_credentials_go_only_where_the_expression_allows() {
    let world = World::start().await;
    let charts = GitServer::start().await;
    serve_charts(&charts);
    charts.behaviour.lock().unwrap().password = Some("helm:s3cret".to_owned());
    world.secret("helm", json!({"username": "helm", "password": "s3cret"})).await;
    let commit = world.git.commit(&[("a/fleet.yaml", Some(&fleet_yaml(&charts, "web", "1.2.0")))]);
    world.git_repo("web", json!({"paths": ["a"], "helmSecretName": "helm"})).await;
    let repo = world.until("web", |repo| condition(repo, "Stalled").0 == "True").await;
    let (_, message) = condition(&repo, "Ready");
    assert!(message.contains("helmRepoURLRegex is empty"), "{message}");
    assert!(!message.contains("s3cret"));
    assert_eq!(charts.behaviour.lock().unwrap().authorizations, Vec::<String>::new());

    world.patch("web", json!({"spec": {"helmRepoURLRegex": "http://127.0.0.1:.*"}})).await;
    world.published("web", &commit).await;
    assert!(!charts.behaviour.lock().unwrap().authorizations.is_empty());
    assert_eq!(world.bundle_names().await, ["web-a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_taken_from_the_address_of_its_archive() {
    let world = World::start().await;
    serve_charts(&world.git);
    let fleet = format!("helm:\n  chart: {}/charts/web-1.2.0.tgz\n", world.git.url);
    let commit = world.git.commit(&[("a/fleet.yaml", Some(&fleet))]);
    world.git_repo("web", json!({"paths": ["a"]})).await;
    world.published("web", &commit).await;
    assert_eq!(chart_version(&world, "web-a").await, "1.2.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_comes_from_a_registry_without_tls_where_the_secret_says_so() {
    let world = World::start().await;
    serve_registry(&world.git);
    let host = world.git.url.trim_start_matches("http://");
    let source = |version: &str| {
        format!("helm:\n  repo: oci://{host}/charts/web\n  version: \"{version}\"\n")
    };
    let (exact, range) = (source("1.2.0"), source(">=1.1"));
    let files = [("a/fleet.yaml", Some(exact.as_str())), ("b/fleet.yaml", Some(range.as_str()))];
    let commit = world.git.commit(&files);
    world.secret("helm", json!({"basicHTTP": "true"})).await;
    let spec = json!({"paths": ["a", "b"], "helmSecretName": "helm"});
    world.git_repo("web", spec).await;
    world.published("web", &commit).await;
    for bundle in ["web-a", "web-b"] {
        assert_eq!(chart_version(&world, bundle).await, "1.2.0");
    }
    // TLS is the rule, and what others fetched without is not for those who keep to it.
    world.git_repo("tls", json!({"paths": ["a"]})).await;
    let repo = world.until("tls", |repo| condition(repo, "Stalled").0 == "True").await;
    let (_, message) = condition(&repo, "Ready");
    assert!(message.contains("https://") && message.contains("not reachable"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_helm_secret_says_whose_certificates_count() {
    let world = World::start().await;
    let charts = GitServer::start().await;
    serve_charts(&charts);
    let front = Front::start(&charts.url).await;
    let fleet = format!("helm:\n  repo: {}/charts\n  chart: web\n  version: 1.2.0\n", front.url);
    let commit = world.git.commit(&[("a/fleet.yaml", Some(&fleet))]);
    world.git_repo("strict", json!({"paths": ["a"]})).await;
    let repo = world.until("strict", |repo| condition(repo, "Stalled").0 == "True").await;
    let (_, message) = condition(&repo, "Ready");
    assert!(message.to_lowercase().contains("certificate"), "{message}");
    for (name, keys) in [
        ("careless", json!({"insecureSkipVerify": "true"})),
        ("trusting", json!({"cacerts": front.pem})),
    ] {
        world.secret(name, keys).await;
        world.git_repo(name, json!({"paths": ["a"], "helmSecretName": name})).await;
        world.published(name, &commit).await;
        assert_eq!(chart_version(&world, &format!("{name}-a")).await, "1.2.0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_helm_secret_fetches_the_charts_again() {
    let world = World::start().await;
    let charts = GitServer::start().await;
    serve_charts(&charts);
    let wants = |password: &str| {
        charts.behaviour.lock().unwrap().password = Some(format!("helm:{password}"));
    };
    wants("one");
    world.secret("helm", json!({"username": "helm", "password": "one"})).await;
    // A range: an exact version that is known is not fetched twice.
    let commit = world.git.commit(&[("a/fleet.yaml", Some(&fleet_yaml(&charts, "web", "~1.0")))]);
    let spec = json!({"paths": ["a"], "helmSecretName": "helm", "pollingInterval": "1h",
        "helmRepoURLRegex": "http://127.0.0.1:.*"});
    world.git_repo("web", spec).await;
    world.published("web", &commit).await;
    wants("two");
    charts.behaviour.lock().unwrap().authorizations.clear();
    world.secret("helm", json!({"username": "helm", "password": "two"})).await;
    let wanted = STANDARD.encode("helm:two");
    for _ in 0..400 {
        let seen = charts.behaviour.lock().unwrap().authorizations.clone();
        if seen.iter().any(|header| header.ends_with(&wanted)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let seen = charts.behaviour.lock().unwrap().authorizations.clone();
    assert!(seen.iter().any(|header| header.ends_with(&wanted)), "{seen:?}");
    world.published("web", &commit).await;
}
