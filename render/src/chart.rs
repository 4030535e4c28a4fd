//! Charts of a bundle: which files make one, and what became of it.
//!
//! Owns the way from bundle files to [`CompiledChart::render`] and back, for real charts and for the `templates/`
//! folder of plain manifests. Must not know templates or values themselves. Start at [`render_bundle_chart`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bundle_format::api::options::BundleDeploymentOptions;
use serde_json::{Value, json};

use crate::helm::{self, ArchiveLimits, ChartFile, ChartRequest, CompiledChart, Release};
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
    let load = || {
        let inside = files.iter().filter_map(|(name, data)| {
            let name = name.strip_prefix(&prefix)?;
            Some(ChartFile { name: name.to_owned(), data: data.clone() })
        });
        helm::load_chart(inside.collect(), ArchiveLimits::default())
    };
    let chart = match request.charts {
        Some(cache) => cache.get_or_load(&format!("{} {root}", request.manifest_id), load)?,
        None => Arc::new(CompiledChart::new(load()?)?),
    };
    let metadata = read_metadata(files.get(&format!("{prefix}Chart.yaml")));
    render_compiled(&chart, metadata, options, request)
}

/// Renders a set of chart files, `Chart.yaml` among them.
pub(crate) fn render_files(
    files: Vec<ChartFile>,
    metadata: Value,
    options: &BundleDeploymentOptions,
    request: &RenderRequest<'_>,
) -> Result<RenderedSet, Error> {
    let chart = helm::load_chart(files, ArchiveLimits::default())?;
    render_compiled(&CompiledChart::new(chart)?, metadata, options, request)
}

fn render_compiled(
    chart: &CompiledChart,
    metadata: Value,
    options: &BundleDeploymentOptions,
    request: &RenderRequest<'_>,
) -> Result<RenderedSet, Error> {
    let release = Release {
        name: request.release_name.to_owned(),
        namespace: options.release_namespace().to_owned(),
        revision: i64::from(request.revision),
        is_upgrade: request.revision > 1,
    };
    let helm = options.helm.as_ref();
    let rendered = chart.render(&ChartRequest {
        values: request.values,
        release: &release,
        capabilities: request.capabilities,
        check_schema: !helm.is_some_and(|helm| helm.skip_schema_validation),
        keep_objects: true,
        scope: request.scope,
    })?;
    let values = Value::Object((*chart.chart().values).clone());
    let info = ChartInfo { metadata, values };
    let mut set = RenderedSet { chart: info, notes: rendered.notes, ..RenderedSet::default() };
    let hooks = rendered.hooks.into_iter().map(|hook| hook.document);
    for document in rendered.documents.into_iter().chain(hooks) {
        if document.object.is_null() {
            continue;
        }
        let object = RenderedObject {
            source: document.path.to_string(),
            first_line: 1,
            is_template: true,
            value: document.object,
        };
        expand(object, &mut set.objects)?;
    }
    // A definition that several charts bring is applied once.
    let mut definitions: BTreeMap<String, RenderedObject> = BTreeMap::new();
    for crd in rendered.crds {
        let mut objects = Vec::new();
        let text = crd.text();
        decode_documents(crd.path(), text.as_bytes(), &mut objects, &mut set.notices)?;
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
