//! Charts of a bundle: which files make one, and what became of it.
//!
//! Owns the way from bundle files to [`helm::render_chart`] and back, for real charts and for the `templates/`
//! folder of plain manifests. Must not know templates or values themselves. Start at [`render_bundle_chart`].

use std::collections::BTreeMap;

use bundle_format::api::options::BundleDeploymentOptions;
use serde_json::{Value, json};

use crate::helm::{self, ArchiveLimits, ChartFile, ChartRequest, Release};
use crate::objects::{RenderedObject, decode_documents, expand};
use crate::{ChartInfo, Error, Files, RenderRequest, RenderedSet};

/// Renders the chart in a folder of the bundle; `root` is empty for the bundle itself.
pub(crate) fn render_bundle_chart(
    files: &Files,
    root: &str,
    options: &BundleDeploymentOptions,
    request: &RenderRequest<'_>,
) -> Result<RenderedSet, Error> {
    let prefix = if root.is_empty() { String::new() } else { format!("{root}/") };
    let inside = files.iter().filter_map(|(name, data)| {
        let name = name.strip_prefix(&prefix)?;
        Some(ChartFile { name: name.to_owned(), data: data.clone() })
    });
    let metadata = read_metadata(files.get(&format!("{prefix}Chart.yaml")));
    render_files(inside.collect(), metadata, options, request)
}

/// Renders a set of chart files, `Chart.yaml` among them.
pub(crate) fn render_files(
    files: Vec<ChartFile>,
    metadata: Value,
    options: &BundleDeploymentOptions,
    request: &RenderRequest<'_>,
) -> Result<RenderedSet, Error> {
    let chart = helm::load_chart(files, ArchiveLimits::default())?;
    let release = Release {
        name: request.release_name.to_owned(),
        namespace: options.release_namespace().to_owned(),
        revision: i64::from(request.revision),
        is_upgrade: request.revision > 1,
    };
    let helm = options.helm.as_ref();
    let rendered = helm::render_chart(
        &chart,
        &ChartRequest {
            values: request.values,
            release: &release,
            capabilities: request.capabilities,
            check_schema: !helm.is_some_and(|helm| helm.skip_schema_validation),
            scope: request.scope,
        },
    )?;
    let info = ChartInfo { metadata, values: Value::Object(chart.values.clone()) };
    let mut set = RenderedSet { chart: info, notes: rendered.notes, ..RenderedSet::default() };
    let hooks = rendered.hooks.into_iter().map(|hook| hook.document);
    for document in rendered.documents.into_iter().chain(hooks) {
        if document.object.is_null() {
            continue;
        }
        let object = RenderedObject {
            source: document.path,
            first_line: 1,
            is_template: true,
            value: document.object,
        };
        expand(object, &mut set.objects)?;
    }
    // A definition that several charts bring is applied once.
    let mut definitions: BTreeMap<String, RenderedObject> = BTreeMap::new();
    for (path, text) in rendered.crds {
        let mut objects = Vec::new();
        decode_documents(&path, text.as_bytes(), &mut objects, &mut set.notices)?;
        for object in objects {
            let name = object.value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            definitions.entry(name).or_insert(object);
        }
    }
    set.definitions = definitions.into_values().collect();
    Ok(set)
}

/// `Chart.yaml` as it stands; that it can be read is checked while the chart is loaded.
fn read_metadata(file: Option<&Vec<u8>>) -> Value {
    let text = file.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    goyaml::from_str(text).unwrap_or_else(|_| json!({}))
}
