//! Manifests that no agent could read, found while the bundle is made.
//!
//! Owns which files are deployed as they are, and that these are YAML (live finding 24: otherwise
//! only the member says so, without the file's name). Must not know clusters. Start at
//! [`check_manifests`].

use std::collections::BTreeSet;
use std::fmt;

use crate::api::bundle::BundleSpec;
use crate::api::options::BundleDeploymentOptions;

use super::draft::ChartRequest;
use super::resources::Files;
use super::roots::FLEET_YAML_NAMES;
use super::tree::{join_path, split_path};

/// A manifest that is not YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestProblem {
    /// File, relative to the bundle.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The parser's words.
    pub message: String,
}

impl fmt::Display for ManifestProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}: {}", self.file, self.line, self.message)
    }
}

/// Reads the manifests of a bundle that some cluster would get as they are.
pub(super) fn check_manifests(
    spec: &BundleSpec,
    files: &Files,
    charts: &[ChartRequest],
) -> Vec<ManifestProblem> {
    if !charts.is_empty() || is_rendered(spec, files) {
        return Vec::new();
    }
    let left_out = folders_left_out(files);
    let raw = files.iter().filter(|(name, _)| is_raw_manifest(name, &left_out));
    raw.filter_map(|(name, bytes)| check_manifest(name, bytes)).collect()
}

/// True when Helm or kustomize makes the objects, on all clusters or on some: their files need not
/// be YAML.
fn is_rendered(spec: &BundleSpec, files: &Files) -> bool {
    let options = std::iter::once(&spec.options).chain(spec.targets.iter().map(|t| &t.options));
    options.into_iter().any(|options| {
        let has = |folder: &str, base: &str| files.contains_key(&join_path(folder, base));
        has(chart_folder(options), "Chart.yaml")
            || has(kustomize_folder(options), "kustomization.yaml")
    })
}

fn chart_folder(options: &BundleDeploymentOptions) -> &str {
    options.helm.as_ref().map_or("", |helm| helm.chart.trim_matches('/'))
}

fn kustomize_folder(options: &BundleDeploymentOptions) -> &str {
    options.kustomize.as_ref().map_or("", |kustomize| kustomize.dir.trim_matches('/'))
}

/// Folders whose files belong to another bundle or chart.
fn folders_left_out(files: &Files) -> BTreeSet<String> {
    let marks = |base: &str| base == "Chart.yaml" || FLEET_YAML_NAMES.contains(&base);
    let folders = files.keys().map(|name| split_path(name));
    folders
        .filter(|(folder, base)| !folder.is_empty() && marks(base))
        .map(|(folder, _)| folder.to_owned())
        .collect()
}

fn is_raw_manifest(name: &str, left_out: &BTreeSet<String>) -> bool {
    let is_manifest = [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
    let is_template = name.starts_with("templates/") || name.starts_with("overlays/");
    let mut folder = split_path(name).0;
    while !folder.is_empty() {
        if left_out.contains(folder) {
            return false;
        }
        folder = split_path(folder).0;
    }
    is_manifest && !is_template && !FLEET_YAML_NAMES.contains(&name)
}

fn check_manifest(name: &str, bytes: &[u8]) -> Option<ManifestProblem> {
    let problem = |line: usize, message: String| {
        Some(ManifestProblem { file: name.to_owned(), line, message })
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return problem(1, "is not UTF-8 text".to_owned());
    };
    for document in goyaml::documents(text) {
        if let Err(error) = goyaml::from_str(document.text) {
            return problem(document.first_line + error.line.max(1) - 1, error.message);
        }
    }
    None
}
