//! One folder to one bundle draft.
//!
//! Owns the order in which a `fleet.yaml`, its values files, the GitRepo and the files make a
//! bundle (Fleet 0.16). Must not know how folders were found. Start at [`read_folder`].

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::bundle::{BundleSpec, BundleTarget};
use crate::api::names;
use crate::api::options::HelmOptions;
use crate::fleet_yaml::FleetYaml;
use crate::options::merge::merge_values;

use super::check::check_manifests;
use super::draft::{BundleDraft, ChartRequest, ImageScanDraft, chart_dependencies};
use super::request::{
    BundleOverrides, ReadRequest, default_bundle_target, real_target, restriction,
};
use super::resources::{ReadLimits, collect_files};
use super::roots::find_fleet_yaml;
use super::tree::{Boundary, EntryKind, FileTree, TreeError, join_path, resolve_path, split_path};
use super::{Notice, ReadError};

/// A folder to read, and the file that holds its options.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BundleFolder {
    /// The folder, without links followed: names are made from it.
    pub(super) path: String,
    /// The file as written, when a GitRepo lists one.
    pub(super) options_file: Option<String>,
}

impl BundleFolder {
    pub(super) fn listed(path: String, options_file: &str) -> Self {
        Self { path, options_file: Some(options_file.to_owned()).filter(|file| !file.is_empty()) }
    }

    /// The name of the bundle unless `fleet.yaml` gives another.
    fn bundle_name(&self, repo: &str) -> String {
        let mut id = join_path(repo, &self.path);
        if let Some(file) = &self.options_file {
            let (folder, name) = split_path(file);
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            id = join_path(&id, &join_path(folder, stem));
        }
        names::helm_release_name(&super::tree::clean_path(&id).unwrap_or(id))
    }
}

/// Reads one folder; `None` when it holds nothing to deploy.
///
/// # Errors
/// See [`ReadError`].
pub(super) fn read_folder(
    tree: &dyn FileTree,
    request: &ReadRequest,
    folder: &BundleFolder,
) -> Result<Option<BundleDraft>, ReadError> {
    require_folder(tree, folder)?;
    let mut notices = Vec::new();
    let fleet_yaml = read_fleet_yaml(tree, folder, &request.limits, &mut notices)?;
    let derived_name = folder.bundle_name(&request.name);
    let image_scans = image_scans(&fleet_yaml, &derived_name, &request.overrides)?;

    let FleetYaml { name, labels, annotations, mut spec, target_customizations, .. } = fleet_yaml;
    spec.targets.extend(target_customizations);
    name_targets(&mut spec.targets);
    propagate_chart(&mut spec);
    fold_values_files(tree, folder, &mut spec, &request.limits)?;
    let charts = chart_requests(tree, folder, &spec)?;
    let excluded = excluded_files(folder, &spec);
    let files = collect_files(tree, &folder.path, &excluded, &request.limits, &mut notices)?;
    if files.is_empty() && charts.is_empty() {
        return Ok(None);
    }
    lay_over(&mut spec, &request.overrides, fleet_yaml.override_targets.as_deref());

    let name = if name.is_empty() { derived_name } else { name };
    if !is_bundle_name(&name) {
        return Err(ReadError::Name { name });
    }
    let disable_update =
        spec.options.helm.as_ref().is_some_and(|helm| helm.disable_dependency_update);
    let dependencies = if disable_update { Vec::new() } else { chart_dependencies(&files) };
    let mut all_labels = request.overrides.labels.clone();
    all_labels.extend(labels);
    Ok(Some(BundleDraft {
        path: folder.path.clone(),
        name,
        labels: all_labels,
        annotations,
        problems: check_manifests(&spec, &files, &charts),
        spec,
        files,
        compress: request.overrides.compress,
        image_scans,
        charts,
        dependencies,
        notices,
    }))
}

fn require_folder(tree: &dyn FileTree, folder: &BundleFolder) -> Result<(), ReadError> {
    match resolve_path(tree, &folder.path, Boundary::Repository) {
        Ok((_, EntryKind::Folder)) => Ok(()),
        Ok(_) | Err(TreeError::NotFound { .. }) => {
            Err(ReadError::NoFolder { base: folder.path.clone() })
        }
        Err(error) => Err(error.into()),
    }
}

fn read_fleet_yaml(
    tree: &dyn FileTree,
    folder: &BundleFolder,
    limits: &ReadLimits,
    notices: &mut Vec<Notice>,
) -> Result<FleetYaml, ReadError> {
    let file = match &folder.options_file {
        None => find_fleet_yaml(tree, &folder.path)?,
        Some(name) => {
            let path = join_path(&folder.path, name);
            match resolve_path(tree, &path, Boundary::Repository) {
                Ok((at, EntryKind::File)) => Some(at),
                Ok(_) | Err(TreeError::NotFound { .. }) => {
                    return Err(ReadError::OptionsFile { file: name.clone() });
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    let Some(file) = file else { return Ok(FleetYaml::default()) };
    let (read, unknown) = FleetYaml::parse(&file, &tree.read(&file, limits.file_bytes)?)?;
    notices.extend(unknown.into_iter().map(Notice::UnknownField));
    Ok(read)
}

fn image_scans(
    fleet_yaml: &FleetYaml,
    bundle: &str,
    overrides: &BundleOverrides,
) -> Result<Vec<ImageScanDraft>, ReadError> {
    if !fleet_yaml.image_scans.is_empty() && !overrides.image_scans_enabled {
        return Err(ReadError::ImageScansDisabled);
    }
    let mut drafts = Vec::new();
    for (index, entry) in fleet_yaml.image_scans.iter().enumerate() {
        if entry.spec.image.is_empty() {
            continue;
        }
        if entry.spec.tag_name.is_empty() {
            return Err(ReadError::ImageScanName { index });
        }
        let name = names::safe_concat_name(&["imagescan", bundle, &index.to_string()]);
        drafts.push(ImageScanDraft { name, spec: entry.spec.clone() });
    }
    Ok(drafts)
}

/// Gives targets without a name one by position: their values live under it in a Secret.
fn name_targets(targets: &mut [BundleTarget]) {
    for (index, target) in targets.iter_mut().enumerate() {
        if target.name.is_empty() {
            target.name = format!("target{index:03}");
        }
    }
}

/// Copies the chart of the bundle into the targets that customize Helm but name none, so that the
/// chart of every target's version is fetched.
fn propagate_chart(spec: &mut BundleSpec) {
    let Some(helm) = spec.options.helm.clone() else { return };
    for target in spec.targets.iter_mut().filter_map(|target| target.options.helm.as_mut()) {
        for (own, common) in [
            (&mut target.repo, &helm.repo),
            (&mut target.chart, &helm.chart),
            (&mut target.version, &helm.version),
        ] {
            if own.is_empty() {
                own.clone_from(common);
            }
        }
    }
}

/// Merges values files into values. At the top only for bundles that name a chart or repo; a chart
/// that lies in the folder itself keeps them unread there (Fleet 0.16,
/// golden `testdata-qa-test-apps-helm-app-values-files-with-no-values`).
fn fold_values_files(
    tree: &dyn FileTree,
    folder: &BundleFolder,
    spec: &mut BundleSpec,
    limits: &ReadLimits,
) -> Result<(), ReadError> {
    let common = spec.options.helm.as_mut().filter(|helm| names_chart(helm));
    let own = spec.targets.iter_mut().filter_map(|target| target.options.helm.as_mut());
    for helm in common.into_iter().chain(own) {
        for file in &helm.values_files {
            let failed = |reason: String| ReadError::ValuesFile { file: file.clone(), reason };
            let path = join_path(&folder.path, file);
            let (at, _) = resolve_path(tree, &path, Boundary::Repository)
                .map_err(|error| failed(error.to_string()))?;
            let bytes = tree.read(&at, limits.file_bytes).map_err(|e| failed(e.to_string()))?;
            let text = std::str::from_utf8(&bytes).map_err(|_| failed("is not UTF-8".into()))?;
            let over = match goyaml::from_str(text) {
                Ok(Value::Null) => continue,
                Ok(Value::Object(values)) => values,
                Ok(_) => return Err(failed("must be a map".to_owned())),
                Err(error) => {
                    return Err(failed(format!("line {}: {}", error.line, error.message)));
                }
            };
            let Value::Object(over) = goyaml::json::go_number_value(Value::Object(over)) else {
                continue;
            };
            if !over.is_empty() {
                merge_values(helm.values.get_or_insert_default(), over);
            }
        }
    }
    Ok(())
}

fn names_chart(helm: &HelmOptions) -> bool {
    !helm.chart.is_empty() || !helm.repo.is_empty()
}

/// The charts that are not in the folder, each once.
fn chart_requests(
    tree: &dyn FileTree,
    folder: &BundleFolder,
    spec: &BundleSpec,
) -> Result<Vec<ChartRequest>, ReadError> {
    let own = spec.targets.iter().filter_map(|target| target.options.helm.as_ref());
    let mut requests = BTreeSet::new();
    for helm in spec.options.helm.iter().chain(own).filter(|helm| names_chart(helm)) {
        let is_local = helm.repo.is_empty() && exists(tree, &join_path(&folder.path, &helm.chart))?;
        if !is_local {
            requests.insert(ChartRequest::of_options(helm));
        }
    }
    Ok(requests.into_iter().collect())
}

fn exists(tree: &dyn FileTree, path: &str) -> Result<bool, TreeError> {
    match resolve_path(tree, path, Boundary::Repository) {
        Ok(_) => Ok(true),
        Err(TreeError::NotFound { .. } | TreeError::Escapes { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Files whose content becomes options, by their names relative to the folder. Values files stay
/// out under their base name too, wherever the `fleet.yaml` that names them lies.
fn excluded_files(folder: &BundleFolder, spec: &BundleSpec) -> BTreeSet<String> {
    let own = spec.targets.iter().filter_map(|target| target.options.helm.as_ref());
    let values_files =
        spec.options.helm.iter().chain(own).flat_map(|helm| helm.values_files.iter());
    let mut excluded = BTreeSet::from(["fleet.yaml".to_owned()]);
    excluded.extend(folder.options_file.clone());
    for file in values_files {
        excluded.insert(file.clone());
        excluded.insert(split_path(file).1.to_owned());
    }
    excluded
}

/// Lays what the GitRepo says over what `fleet.yaml` says.
fn lay_over(
    spec: &mut BundleSpec,
    overrides: &BundleOverrides,
    override_targets: Option<&[crate::api::git_repo::GitTarget]>,
) {
    if !overrides.service_account.is_empty() {
        spec.options.service_account.clone_from(&overrides.service_account);
    }
    spec.options.force_sync_generation = overrides.force_sync_generation;
    match override_targets {
        Some(targets) => {
            spec.targets.extend(targets.iter().map(real_target));
            spec.target_restrictions.extend(targets.iter().map(restriction));
        }
        None => {
            spec.targets.extend(overrides.targets.iter().cloned());
            spec.target_restrictions.extend(overrides.target_restrictions.iter().cloned());
        }
    }
    if spec.targets.is_empty() {
        spec.targets.push(default_bundle_target());
    }
    if !overrides.target_namespace.is_empty() {
        spec.options.namespace.clone_from(&overrides.target_namespace);
        for target in &mut spec.targets {
            target.options.namespace.clone_from(&overrides.target_namespace);
        }
    }
    spec.paused |= overrides.paused;
    spec.options.keep_resources |= overrides.keep_resources;
    spec.options.delete_namespace |= overrides.delete_namespace;
    if let Some(drift) = overrides.correct_drift.as_ref().filter(|drift| drift.enabled) {
        spec.options.correct_drift = Some(drift.clone());
    }
}

/// A DNS-1123 subdomain that also fits a label value: BundleDeployments carry it as one.
fn is_bundle_name(name: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63
        && name.split('.').all(|part| {
            part.starts_with(is_alphanumeric)
                && part.ends_with(is_alphanumeric)
                && part.chars().all(|c| is_alphanumeric(c) || c == '-')
        })
}
