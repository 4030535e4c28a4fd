//! Plain manifests: which files count, and the chart that stands in for them in the release record.
//!
//! Owns the selection of files and the synthetic `Chart.yaml` of Rancher Fleet 0.16. Must not know labels or
//! namespaces: that is `postrender.rs`. Start at [`render_raw`].

use std::collections::BTreeSet;

use bundle_format::api::options::BundleDeploymentOptions;
use serde_json::json;

use crate::chart::render_files;
use crate::helm::ChartFile;
use crate::objects::decode_documents;
use crate::overlay::apply_overlays;
use crate::{ChartInfo, Error, Files, RenderRequest, RenderedSet};

/// Folder of chart templates in a bundle of plain manifests.
const TEMPLATES: &str = "templates/";

/// Files that mark a folder as a bundle or chart of its own.
const OWN_ROOTS: &[&str] = &["fleet.yaml", "fleet.yml", "Chart.yaml"];

/// Renders a bundle of plain manifests.
pub(crate) fn render_raw(
    files: &Files,
    options: &BundleDeploymentOptions,
    request: &RenderRequest<'_>,
) -> Result<RenderedSet, Error> {
    let overlays = options.yaml.as_ref().map(|yaml| yaml.overlays.as_slice()).unwrap_or_default();
    let files = apply_overlays(files, overlays)?;
    let foreign = foreign_folders(&files);
    let info = synthetic_chart(request, !overlays.is_empty());
    let mut set = render_templates(&files, info, options, request)?;
    for (name, bytes) in &files {
        if !is_foreign(name, &foreign) && !name.starts_with(TEMPLATES) && is_manifest(name) {
            decode_documents(name, bytes, &mut set.objects, &mut set.notices)?;
        }
    }
    Ok(set)
}

/// Files below `templates/` are chart templates even in a bundle that is no chart.
fn render_templates(
    files: &Files,
    info: ChartInfo,
    options: &BundleDeploymentOptions,
    request: &RenderRequest<'_>,
) -> Result<RenderedSet, Error> {
    let templates = files.iter().filter(|(name, _)| name.starts_with(TEMPLATES));
    let mut chart: Vec<ChartFile> = templates
        .map(|(name, data)| ChartFile { name: name.clone(), data: data.clone() })
        .collect();
    if chart.is_empty() {
        return Ok(RenderedSet { chart: info, ..RenderedSet::default() });
    }
    let metadata = goyaml::to_string(&info.metadata).into_bytes();
    chart.push(ChartFile { name: "Chart.yaml".to_owned(), data: metadata });
    render_files(chart, info.metadata, options, request)
}

fn is_manifest(name: &str) -> bool {
    let known = [".yaml", ".yml", ".json"].iter().any(|suffix| name.ends_with(suffix));
    known && name != "fleet.yaml" && name != "fleet.yml"
}

/// Folders below the root that hold a bundle or chart of their own.
fn foreign_folders(files: &Files) -> BTreeSet<String> {
    let folders = files.keys().filter_map(|name| {
        let (folder, file) = name.rsplit_once('/')?;
        OWN_ROOTS.contains(&file).then(|| format!("{folder}/"))
    });
    folders.collect()
}

fn is_foreign(name: &str, foreign: &BTreeSet<String>) -> bool {
    foreign.iter().any(|folder| name.starts_with(folder))
}

fn synthetic_chart(request: &RenderRequest<'_>, has_overlays: bool) -> ChartInfo {
    // Overlays make the manifest id the version whatever the commit (Fleet 0.16).
    let version = match request.commit.get(..12) {
        Some(short) if request.commit.len() > 12 && !has_overlays => format!("v0.0.0+git-{short}"),
        _ => format!("v0.0.0+{}", request.manifest_id),
    };
    ChartInfo {
        metadata: json!({ "apiVersion": "v2", "name": request.bundle_id, "version": version }),
        values: json!({}),
    }
}
