//! Public bundles against what Rancher Fleet's own command rendered of them.
//!
//! `FLEET_BUNDLES` names their folder, else `../shared/bundles` beside the workspace. Without it the test says so
//! and passes. Objects are compared after parsing, in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bundle_format::api::options::BundleDeploymentOptions;
use bundle_format::api::wire::Object;
use bundle_format::content::Manifest;
use gotemplate::{Budget, FixedHost, Scope};
use render::helm::{Capabilities, KubeVersion};
use render::postrender::NoScopes;
use render::{Error, RenderRequest, render_manifest};
use serde_json::Value;

fn bundles() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/bundles");
    let folder = std::env::var_os("FLEET_BUNDLES").map_or(default, PathBuf::from);
    folder.join("manifest.json").is_file().then_some(folder)
}

/// What the command printed for one deployment.
enum Recorded {
    Objects(Vec<Value>),
    Error(String),
}

/// Sections start with `### <deployment>@<cluster>`.
fn recorded(text: &str) -> BTreeMap<String, Recorded> {
    let sections = text.split("### ").skip(1).filter_map(|section| section.split_once('\n'));
    let read = |body: &str| match body.trim_start().strip_prefix("# error: ") {
        Some(error) => Recorded::Error(error.trim().to_owned()),
        None => {
            let objects = goyaml::from_str(body).expect("the recording is YAML");
            Recorded::Objects(objects.as_array().cloned().unwrap_or_default())
        }
    };
    sections.map(|(name, body)| (name.trim().to_owned(), read(body))).collect()
}

/// Contents by name and deployments as recorded by `fleet target`.
fn targets(text: &str) -> (BTreeMap<String, Manifest>, Vec<Value>) {
    let (mut contents, mut deployments) = (BTreeMap::new(), Vec::new());
    for document in goyaml::documents(text) {
        let object = goyaml::from_str(document.text).expect("the recording is YAML");
        match object["kind"].as_str() {
            Some("Content") => {
                let content: bundle_format::api::Content =
                    serde_json::from_value(object.clone()).expect("a Content");
                let gzip = content.spec.content.expect("content").0;
                let manifest = Manifest::unpack(&gzip, &content.spec.sha256sum)
                    .expect("content fits its digest");
                let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
                contents.insert(name, manifest);
            }
            Some("BundleDeployment") => deployments.push(object),
            _ => {}
        }
    }
    (contents, deployments)
}

fn render(manifest: &Manifest, deployment: &Value) -> Result<Vec<Value>, Error> {
    // Of a paused deployment the command takes the staged content, but not the staged options.
    let options: BundleDeploymentOptions =
        serde_json::from_value(deployment["spec"]["options"].clone()).expect("options");
    let name = deployment["metadata"]["name"].as_str().expect("a name");
    let id = deployment["spec"]["stagedDeploymentID"].as_str().unwrap_or_default();
    let values: Object = options.values().cloned().unwrap_or_default();
    let capabilities = Capabilities::new(KubeVersion::parse("v1.33.0").expect("a version"), &[]);
    let scope = Scope { host: Arc::new(FixedHost::default()), budget: Arc::new(Budget::default()) };
    let request = RenderRequest {
        bundle_id: name,
        set_id: &format!("-{name}"),
        release_name: options
            .helm
            .as_ref()
            .map(|h| h.release_name.as_str())
            .filter(|n| !n.is_empty())
            .unwrap_or(name),
        revision: 1,
        commit: "",
        manifest_id: id.split(':').next().unwrap_or_default(),
        values: &values,
        capabilities: &capabilities,
        scope: &scope,
        scopes: &NoScopes,
        charts: None,
    };
    let set = render_manifest(manifest, &options, &request)?;
    Ok(set.objects.into_iter().map(|object| object.value).collect())
}

/// Kubernetes' own lists of numbers: the recording went through Go's float64.
fn as_go(value: &Value) -> Value {
    goyaml::json::go_number_value(value.clone())
}

fn difference(got: &Result<Vec<Value>, Error>, want: &Recorded) -> Option<String> {
    match (got, want) {
        (Ok(got), Recorded::Objects(want)) => {
            let (got, want): (Vec<_>, Vec<_>) =
                (got.iter().map(as_go).collect(), want.iter().map(as_go).collect());
            (got != want).then(|| {
                let at = got.iter().zip(&want).position(|(got, want)| got != want);
                let at = at.unwrap_or(got.len().min(want.len()));
                format!("object {at}\n  got:  {:?}\n  want: {:?}", got.get(at), want.get(at))
            })
        }
        (Err(_), Recorded::Error(_)) => None,
        (Ok(got), Recorded::Error(want)) => {
            Some(format!("rendered {} objects, want error {want}", got.len()))
        }
        (Err(got), Recorded::Objects(_)) => Some(format!("error {got}")),
    }
}

#[test]
fn recorded_bundles_render_to_the_recorded_objects() {
    let Some(folder) = bundles() else {
        println!("no recorded bundles: set FLEET_BUNDLES");
        return;
    };
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).expect("readable");
    let cases: Vec<Value> = serde_json::from_str(&manifest).expect("JSON");
    let (mut compared, mut kustomize, mut failures) = (0, 0, Vec::new());
    for case in cases.iter().filter(|case| case["result"] == "ok") {
        let name = case["case"].as_str().expect("a name");
        let read =
            |file: &str| std::fs::read_to_string(folder.join(name).join(file)).expect("readable");
        let want = recorded(&read("rendered.txt"));
        let (contents, deployments) = targets(&read("targets.yaml"));
        for deployment in &deployments {
            let content = deployment["spec"]["stagedDeploymentID"]
                .as_str()
                .and_then(|id| id.split(':').next());
            let Some(content) = content.and_then(|id| contents.get(id)) else { continue };
            let cluster = &deployment["metadata"]["labels"]["fleet.cattle.io/cluster"];
            let section = format!(
                "{}@{}",
                deployment["metadata"]["name"].as_str().expect("a name"),
                cluster.as_str().expect("a label")
            );
            let Some(want) = want.get(&section) else { continue };
            let got = render(content, deployment);
            if matches!(got, Err(Error::NotServed { .. })) {
                kustomize += 1;
                continue;
            }
            compared += 1;
            if let Some(text) = difference(&got, want) {
                failures.push(format!("{name} {section}: {text}"));
            }
        }
    }
    println!("{compared} deployments compared, {kustomize} need kustomize");
    assert!(compared > 300, "only {compared} deployments compared");
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}
