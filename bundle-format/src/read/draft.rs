//! A bundle on its way: read, but perhaps still without the charts that lie elsewhere.
//!
//! Owns the draft and how it becomes a Bundle. Must not know where charts come from. Start at
//! [`BundleDraft`].

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::api::bundle::{Bundle, BundleSpec, BundleStatus};
use crate::api::image_scan::ImageScanSpec;
use crate::api::names::sha256_hex;
use crate::api::options::HelmOptions;
use crate::content::encode_resource;

use super::Notice;
use super::check::ManifestProblem;
use super::resources::Files;
use super::tree::split_path;

/// The JSON size from which on every file of a bundle is compressed (Fleet 0.16).
const COMPRESS_FROM_BYTES: usize = 1_000_000;

/// A bundle as its folder describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct BundleDraft {
    /// The folder in the repository; the root is empty.
    pub path: String,
    /// Name of the Bundle.
    pub name: String,
    /// Labels of the Bundle.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Bundle.
    pub annotations: BTreeMap<String, String>,
    /// The spec without its resources.
    pub spec: BundleSpec,
    /// The files, by name relative to the folder.
    pub files: Files,
    /// Compress every file, whatever the size.
    pub compress: bool,
    /// ImageScans to create beside the Bundle.
    pub image_scans: Vec<ImageScanDraft>,
    /// Charts to fetch before the draft is complete.
    pub charts: Vec<ChartRequest>,
    /// Dependencies of charts in the bundle that are not there.
    pub dependencies: Vec<ChartDependency>,
    /// Manifests that no agent could read: reason enough not to publish the bundle.
    pub problems: Vec<ManifestProblem>,
    /// Things worth telling a person.
    pub notices: Vec<Notice>,
}

/// An ImageScan to create.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageScanDraft {
    /// Name.
    pub name: String,
    /// Spec; the GitRepo's name is not in it yet.
    pub spec: ImageScanSpec,
}

/// A chart that is not in the folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChartRequest {
    /// Name, URL or path, as written.
    pub chart: String,
    /// Index or registry, as written.
    pub repo: String,
    /// Version or constraint, as written.
    pub version: String,
}

impl ChartRequest {
    /// The chart that these options name.
    pub fn of_options(helm: &HelmOptions) -> Self {
        Self { chart: helm.chart.clone(), repo: helm.repo.clone(), version: helm.version.clone() }
    }

    /// The folder of the bundle that the chart's files go to (Fleet 0.16, fleet-compat B).
    pub fn folder(&self) -> String {
        let key = format!("{}:{}:{}", self.chart, self.repo, self.version);
        format!(".chart/{}", sha256_hex(key.as_bytes()))
    }
}

/// A dependency that a chart in the bundle declares and that is not in its `charts` folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChartDependency {
    /// Folder of the chart that needs it, relative to the bundle.
    pub parent: String,
    /// Name.
    pub name: String,
    /// Version or constraint.
    pub version: String,
    /// Index, registry, or `file://` path.
    pub repository: String,
}

impl BundleDraft {
    /// True when nothing has to be fetched any more.
    pub fn is_complete(&self) -> bool {
        self.charts.is_empty() && self.dependencies.is_empty()
    }

    /// Adds the files of a fetched chart, named relative to the chart's archive or folder.
    ///
    /// A file that is there already stays: a folder wins over what is fetched into it.
    pub fn add_chart(&mut self, request: &ChartRequest, files: Files) {
        let folder = request.folder();
        for (name, bytes) in files {
            self.files.entry(format!("{folder}/{name}")).or_insert(bytes);
        }
        self.charts.retain(|open| open != request);
    }

    /// Adds a fetched dependency, packed (`.tgz`) or as files below `charts/`.
    pub fn add_dependency(&mut self, dependency: &ChartDependency, files: Files) {
        let parent = match dependency.parent.as_str() {
            "" => "charts".to_owned(),
            parent => format!("{parent}/charts"),
        };
        for (name, bytes) in files {
            self.files.entry(format!("{parent}/{name}")).or_insert(bytes);
        }
        self.dependencies.retain(|open| open != dependency);
    }

    /// Makes the Bundle. Values stay inline; whoever publishes it moves them into a Secret.
    pub fn into_bundle(mut self, namespace: &str) -> Bundle {
        self.spec.resources = self.encode(self.compress);
        if !self.compress && self.json_len() >= COMPRESS_FROM_BYTES {
            self.spec.resources = self.encode(true);
        }
        let some = |map: BTreeMap<String, String>| Some(map).filter(|map| !map.is_empty());
        let metadata = ObjectMeta {
            name: Some(self.name),
            namespace: Some(namespace.to_owned()),
            labels: some(self.labels),
            annotations: some(self.annotations),
            ..Default::default()
        };
        Bundle { metadata, spec: self.spec, status: None }
    }

    fn encode(&self, compress: bool) -> Vec<crate::api::bundle::BundleResource> {
        self.files.iter().map(|(name, bytes)| encode_resource(name, bytes, compress)).collect()
    }

    /// The length of the Bundle's JSON as Go writes it: that of an object with an empty status and
    /// without kind, version and namespace.
    fn json_len(&self) -> usize {
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            labels: Some(self.labels.clone()).filter(|map| !map.is_empty()),
            annotations: Some(self.annotations.clone()).filter(|map| !map.is_empty()),
            ..Default::default()
        };
        let members = [
            goyaml::json::to_string(&metadata),
            goyaml::json::to_string(&self.spec),
            goyaml::json::to_string(&BundleStatus::default()),
        ];
        members.iter().map(String::len).sum::<usize>() + r#"{"metadata":,"spec":,"status":}"#.len()
    }
}

/// The dependencies that charts in these files declare and lack.
pub(super) fn chart_dependencies(files: &Files) -> Vec<ChartDependency> {
    let mut missing = Vec::new();
    for (name, bytes) in files {
        let (folder, base) = split_path(name);
        if base != "Chart.yaml" {
            continue;
        }
        // A Chart.yaml that cannot be read is the renderer's to report.
        let Some(chart) = std::str::from_utf8(bytes).ok().and_then(|t| goyaml::from_str(t).ok())
        else {
            continue;
        };
        for dependency in chart["dependencies"].as_array().into_iter().flatten() {
            let text = |key: &str| dependency[key].as_str().unwrap_or_default().to_owned();
            let wanted = ChartDependency {
                parent: folder.to_owned(),
                name: text("name"),
                version: text("version"),
                repository: text("repository"),
            };
            if !wanted.name.is_empty() && !has_dependency(files, &wanted) {
                missing.push(wanted);
            }
        }
    }
    missing
}

fn has_dependency(files: &Files, wanted: &ChartDependency) -> bool {
    let charts = match wanted.parent.as_str() {
        "" => "charts/".to_owned(),
        parent => format!("{parent}/charts/"),
    };
    let below = files.range(charts.clone()..).take_while(|(name, _)| name.starts_with(&charts));
    below.map(|(name, bytes)| (&name[charts.len()..], bytes)).any(|(name, bytes)| {
        let packed = name.ends_with(".tgz")
            && name.strip_prefix(&wanted.name).is_some_and(|rest| rest.starts_with('-'));
        let unpacked = || match name.split_once('/') {
            Some((_, "Chart.yaml")) => chart_name(bytes).as_deref() == Some(&wanted.name),
            _ => false,
        };
        packed || unpacked()
    })
}

fn chart_name(chart_yaml: &[u8]) -> Option<String> {
    match goyaml::from_str(std::str::from_utf8(chart_yaml).ok()?).ok()? {
        Value::Object(chart) => chart.get("name")?.as_str().map(str::to_owned),
        _ => None,
    }
}
