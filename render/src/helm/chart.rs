//! Files → chart, with the charts below it.
//!
//! Owns which file means what. Knows nothing of values merging or templates' content. Start at
//! [`load_chart`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::archive::{ArchiveLimits, ChartFile, Usage, unpack, without_bom};
use super::compiled::lossy_text;
use super::error::Error;
use super::ignore::IgnoreRules;
use super::metadata::Metadata;
use super::values::{load_values, merge_maps};

/// A chart and its subcharts, as loaded: no dependency switched off yet. Clones share what is big.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Chart.yaml and requirements.yaml.
    pub metadata: Metadata,
    /// values.yaml.
    pub values: Arc<Map<String, Json>>,
    /// values.schema.json.
    pub schema: Option<Arc<Vec<u8>>>,
    /// Files below `templates/`.
    pub templates: Arc<Vec<TemplateFile>>,
    /// Everything else, for `.Files` and `crds/`.
    pub files: Arc<Vec<ChartFile>>,
    /// The charts below `charts/`.
    pub dependencies: Vec<Chart>,
}

/// A file below `templates/`; what is parsed from it shares its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFile {
    /// Such as `templates/deployment.yaml`.
    pub name: String,
    /// Its content; what is not UTF-8 is replaced.
    pub text: Arc<String>,
}

impl TemplateFile {
    fn new(file: ChartFile) -> Self {
        let text = String::from_utf8(file.data)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Self { name: file.name, text: Arc::new(text) }
    }
}

impl Chart {
    /// The chart's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The custom resource definitions of this chart and those below it.
    #[must_use]
    pub fn crds(&self) -> Vec<CrdFile> {
        let mut crds = Vec::new();
        self.collect_crds(self.name(), &mut crds);
        crds
    }

    /// The bytes of all files, those of the charts below included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let templates = self.templates.iter().map(|file| file.text.len());
        let own = templates.chain(self.files.iter().map(|file| file.data.len()));
        let schema = self.schema.as_ref().map_or(0, |schema| schema.len());
        let below = self.dependencies.iter().map(Chart::bytes);
        own.chain(below).sum::<usize>() + schema
    }

    fn collect_crds(&self, path: &str, crds: &mut Vec<CrdFile>) {
        let is_manifest = |name: &str| {
            let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
            ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        };
        for (index, file) in self.files.iter().enumerate() {
            if file.name.starts_with("crds/") && is_manifest(&file.name) {
                let path = format!("{path}/{}", file.name);
                crds.push(CrdFile { path, files: self.files.clone(), index });
            }
        }
        for dependency in &self.dependencies {
            dependency.collect_crds(&format!("{path}/charts/{}", dependency.name()), crds);
        }
    }
}

/// A file of a `crds/` folder; it shares the chart's bytes.
#[derive(Clone, Debug)]
pub struct CrdFile {
    path: String,
    files: Arc<Vec<ChartFile>>,
    index: usize,
}

impl CrdFile {
    /// Such as `web/crds/thing.yaml`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How long it is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.files[self.index].data.len()
    }

    /// Its content.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        lossy_text(&self.files[self.index].data)
    }
}

/// The files of a chart's folder that are part of the chart: without what `.helmignore` names.
///
/// # Errors
/// [`Error::Ignore`].
pub fn without_ignored(files: Vec<ChartFile>) -> Result<Vec<ChartFile>, Error> {
    let rules = files.iter().find(|file| file.name == ".helmignore");
    let text = rules.map(|file| String::from_utf8_lossy(&file.data)).unwrap_or_default();
    let rules = IgnoreRules::parse(&text)?;
    Ok(files
        .into_iter()
        .filter(|file| !rules.ignores(&file.name))
        .map(|file| ChartFile { data: without_bom(file.data), ..file })
        .collect())
}

/// Loads a chart from its files; names are relative to the chart's folder.
///
/// # Errors
/// The file that is missing or wrong, or the bound that was passed.
pub fn load_chart(files: Vec<ChartFile>, limits: ArchiveLimits) -> Result<Chart, Error> {
    let mut usage = Usage::new(limits);
    for file in &files {
        usage.take_file(file.data.len() as u64)?;
    }
    load(files, &mut usage, 0)
}

/// Loads a chart from a `.tgz`.
///
/// Its `.helmignore` counts here too. Helm reads it when it packs, so for archives that Helm
/// packed this changes nothing; archives packed by hand render as their folder would.
///
/// # Errors
/// The file that is missing or wrong, or the bound that was passed.
pub fn load_chart_archive(bytes: &[u8], limits: ArchiveLimits) -> Result<Chart, Error> {
    let mut usage = Usage::new(limits);
    let files = without_ignored(unpack(bytes, &mut usage)?)?;
    load(files, &mut usage, 0)
}

fn text_of(file: &ChartFile) -> Result<&str, Error> {
    std::str::from_utf8(&file.data).map_err(|_| file_error(&file.name, "it is not UTF-8"))
}

fn file_error(file: &str, cause: impl ToString) -> Error {
    Error::File { file: file.to_owned(), cause: cause.to_string() }
}

fn load(files: Vec<ChartFile>, usage: &mut Usage, depth: u64) -> Result<Chart, Error> {
    usage.check_depth(depth)?;
    let chart_yaml = files.iter().find(|file| file.name == "Chart.yaml");
    let chart_yaml = chart_yaml.ok_or(Error::NoChartYaml)?;
    let metadata = Metadata::parse(text_of(chart_yaml)?);
    let metadata = metadata.map_err(|cause| file_error("Chart.yaml", cause))?;
    let mut chart = Chart { metadata, ..Chart::default() };
    let mut below: BTreeMap<String, Vec<ChartFile>> = BTreeMap::new();
    for file in files {
        sort_in(&mut chart, file, &mut below)?;
    }
    chart.metadata.validate()?;
    for (name, files) in below {
        // Helm skips what starts with `_` or `.`.
        if name.starts_with(['_', '.']) {
            continue;
        }
        let loaded = load_below(&name, files, usage, depth + 1).map_err(|cause| {
            let parent = chart.name().to_owned();
            Error::Subchart { name: name.clone(), parent, cause: Box::new(cause) }
        })?;
        chart.dependencies.extend(loaded);
    }
    Ok(chart)
}

fn sort_in(
    chart: &mut Chart,
    file: ChartFile,
    below: &mut BTreeMap<String, Vec<ChartFile>>,
) -> Result<(), Error> {
    match &*file.name {
        "Chart.yaml" | "Chart.lock" => {}
        "values.yaml" => {
            let values = load_values(text_of(&file)?);
            let values = values.map_err(|cause| file_error("values.yaml", cause))?;
            let before = std::mem::take(Arc::make_mut(&mut chart.values));
            chart.values = Arc::new(merge_maps(before, values));
        }
        "values.schema.json" => chart.schema = Some(Arc::new(file.data)),
        "requirements.yaml" => {
            let read = chart.metadata.read_requirements(text_of(&file)?);
            read.map_err(|cause| file_error("requirements.yaml", cause))?;
            if chart.metadata.api_version == "v1" {
                Arc::make_mut(&mut chart.files).push(file);
            }
        }
        "requirements.lock" => {
            if chart.metadata.api_version == "v1" {
                Arc::make_mut(&mut chart.files).push(file);
            }
        }
        name if name.starts_with("templates/") => {
            Arc::make_mut(&mut chart.templates).push(TemplateFile::new(file));
        }
        name if name.starts_with("charts/") && !name.ends_with(".prov") => {
            let inner = name["charts/".len()..].to_owned();
            let first = inner.split('/').next().unwrap_or_default().to_owned();
            below.entry(first).or_default().push(ChartFile { name: inner, data: file.data });
        }
        _ => Arc::make_mut(&mut chart.files).push(file),
    }
    Ok(())
}

// One entry of `charts/`: an archive, or a folder. Loose files there are not charts.
fn load_below(
    name: &str,
    files: Vec<ChartFile>,
    usage: &mut Usage,
    depth: u64,
) -> Result<Option<Chart>, Error> {
    if name.ends_with(".tgz") {
        let [file] = &files[..] else {
            return Err(Error::Archive(format!("expected one file, found {}", files.len())));
        };
        usage.check_depth(depth)?;
        let files = unpack(&file.data, usage)?;
        return load(files, usage, depth).map(Some);
    }
    let inner: Vec<ChartFile> = files
        .into_iter()
        .filter_map(|file| {
            let (_, rest) = file.name.split_once('/')?;
            Some(ChartFile { name: rest.to_owned(), data: file.data })
        })
        .collect();
    load(inner, usage, depth).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Vec<ChartFile> {
        let file = |(name, text): &(&str, &str)| ChartFile {
            name: (*name).to_owned(),
            data: text.as_bytes().to_vec(),
        };
        list.iter().map(file).collect()
    }

    #[test]
    fn files_go_where_helm_puts_them() {
        let chart = load_chart(
            files(&[
                ("Chart.yaml", "name: a\nversion: 1.0.0\napiVersion: v2\n"),
                ("values.yaml", "x: 1\n"),
                ("templates/a.yaml", ""),
                ("crds/c.yaml", "kind: X"),
                ("charts/b/Chart.yaml", "name: b\nversion: 1.0.0\n"),
                ("charts/b/crds/d.yml", ""),
                ("charts/_c/Chart.yaml", ""),
            ]),
            ArchiveLimits::default(),
        )
        .unwrap();
        assert_eq!(chart.dependencies.len(), 1);
        assert_eq!(chart.templates.len(), 1);
        let crds: Vec<String> = chart.crds().iter().map(|crd| crd.path().to_owned()).collect();
        assert_eq!(crds, ["a/crds/c.yaml", "a/charts/b/crds/d.yml"]);
    }

    #[test]
    fn a_chart_without_chart_yaml_is_refused() {
        let error = load_chart(files(&[("x", "")]), ArchiveLimits::default()).unwrap_err();
        assert_eq!(error, Error::NoChartYaml);
    }
}
