//! Renders a chart: which templates there are, what they see, in which order they run.
//!
//! Owns the data of each chart's templates and the wording of errors. The language is
//! `gotemplate`'s. Start at [`render_chart`].

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use gotemplate::value::{self, Dict, Entries, as_dict, from_json, native};
use gotemplate::{ErrorKind, Scope, TemplateSet, Value};
use serde_json::Value as Json;

use super::capabilities::{Capabilities, CapabilitiesObject};
use super::chart::{Chart, CrdFile};
use super::compiled::CompiledChart;
use super::dependencies::{is_compatible, process_dependencies};
use super::documents::{Document, RenderedFiles, read_objects};
use super::error::Error;
use super::files::Files;
use super::functions::{FAIL_END, FAIL_START, without_no_value};
use super::hooks::{Hook, sort_documents};
use super::schema::validate_schema;
use super::values::{Values, coalesce_values};

/// Templates whose names end so are plain minijinja templates.
const PLAIN_SUFFIX: &str = ".j2";

/// What templates see as `.Release`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The release's name.
    pub name: String,
    /// The namespace it goes to.
    pub namespace: String,
    /// 1 for an installation.
    pub revision: i64,
    /// Whether an earlier revision is there.
    pub is_upgrade: bool,
}

/// Everything that a render depends on, besides the chart.
#[derive(Clone, Copy, Debug)]
pub struct ChartRequest<'a> {
    /// The user's values.
    pub values: &'a Values,
    /// `.Release`
    pub release: &'a Release,
    /// `.Capabilities`
    pub capabilities: &'a Capabilities,
    /// Whether values are checked against the charts' schemas.
    pub check_schema: bool,
    /// Whether documents are kept decoded too; their texts always are.
    pub keep_objects: bool,
    /// The way to the world, and the bounds.
    pub scope: &'a Scope,
}

/// What a chart renders to.
#[derive(Clone, Debug, Default)]
pub struct RenderedChart {
    /// Documents in install order, hooks left out.
    pub documents: Vec<Document>,
    /// Hooks in install order of their kinds.
    pub hooks: Vec<Hook>,
    /// Files of `crds/` folders.
    pub crds: Vec<CrdFile>,
    /// The main chart's NOTES.txt.
    pub notes: String,
}

impl RenderedChart {
    /// The manifest as Helm stores it in a release: each document behind its source.
    #[must_use]
    pub fn manifest(&self, include_crds: bool) -> String {
        let crds = self.crds.iter().filter(|_| include_crds);
        let crds = crds.map(|crd| with_source(crd.path(), &crd.text()));
        let documents = self.documents.iter();
        let documents = documents.map(|document| with_source(&document.path, document.text()));
        crds.chain(documents).collect()
    }

    /// What `helm template` prints.
    #[must_use]
    pub fn template_output(&self, include_crds: bool, hooks: bool, tests: bool) -> String {
        let mut out = String::with_capacity(self.expected_output());
        self.write_template_output((include_crds, hooks, tests), |text| out.push_str(text));
        out
    }

    /// Room for everything that may be printed.
    fn expected_output(&self) -> usize {
        let frame = "---\n# Source: \n\n".len();
        let crds = self.crds.iter().map(|crd| crd.path().len() + crd.bytes());
        let hooks = self.hooks.iter().map(|hook| &hook.document);
        let documents = self.documents.iter().chain(hooks);
        let documents = documents.map(|document| document.path.len() + document.text().len());
        crds.chain(documents).map(|bytes| bytes + frame).sum::<usize>() + 1
    }

    /// [`RenderedChart::template_output`] piece by piece, without building the whole.
    pub fn write_template_output(
        &self,
        (include_crds, hooks, tests): (bool, bool, bool),
        mut write: impl FnMut(&str),
    ) {
        let crds = self.crds.iter().filter(|_| include_crds);
        let crds = crds.map(|crd| (crd.path(), crd.text()));
        let documents = self.documents.iter();
        let documents = documents.map(|document| (&*document.path, Cow::from(document.text())));
        let mut pieces = crds.chain(documents).peekable();
        while let Some((path, text)) = pieces.next() {
            write("---\n# Source: ");
            write(path);
            write("\n");
            // Helm trims the end of the manifest, and only there.
            let text = if pieces.peek().is_some() { &*text } else { text.trim_end() };
            write(text);
            if pieces.peek().is_some() || !text.is_empty() {
                write("\n");
            }
        }
        if self.is_empty(include_crds) {
            write("\n");
        }
        for hook in self.hooks.iter().filter(|hook| hooks && (tests || !hook.is_test())) {
            write(&with_source(&hook.document.path, hook.document.text()));
        }
    }

    fn is_empty(&self, include_crds: bool) -> bool {
        self.documents.is_empty() && (self.crds.is_empty() || !include_crds)
    }
}

fn with_source(path: &str, text: &str) -> String {
    format!("---\n# Source: {path}\n{text}\n")
}

/// Renders a chart.
///
/// # Errors
/// The first thing that is wrong, in Helm's order: release name, dependencies, schema, Kubernetes
/// version, templates, documents.
pub fn render_chart(chart: &Chart, request: &ChartRequest<'_>) -> Result<RenderedChart, Error> {
    CompiledChart::new(chart.clone())?.render(request)
}

pub(super) fn render_compiled(
    compiled: &CompiledChart,
    request: &ChartRequest<'_>,
) -> Result<RenderedChart, Error> {
    check_release_name(&request.release.name)?;
    let mut chart = compiled.chart().clone();
    process_dependencies(&mut chart, request.values)?;
    let values = coalesce_values(&chart, request.values)?;
    if request.check_schema {
        validate_schema(compiled, &chart, &values)?;
    }
    check_kube_version(&chart, request.capabilities)?;
    let mut files = render_templates(compiled, &chart, values, request)?;
    let notes_path = format!("{}/templates/NOTES.txt", chart.name());
    let notes = files.get(&*notes_path).cloned().unwrap_or_default();
    files.retain(|path, _| !path.strip_suffix(PLAIN_SUFFIX).unwrap_or(path).ends_with("NOTES.txt"));
    let documents = match request.keep_objects {
        true => read_objects(files)?,
        false => compiled.known_files().read(files)?,
    };
    let (documents, hooks) = sort_documents(documents);
    Ok(RenderedChart { documents, hooks, crds: chart.crds(), notes })
}

fn check_release_name(name: &str) -> Result<(), Error> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let part = |part: &str| {
        edge(part.chars().next())
            && edge(part.chars().last())
            && part.chars().all(|c| edge(Some(c)) || c == '-')
    };
    if name.len() <= 53 && name.split('.').all(part) {
        return Ok(());
    }
    Err(Error::ReleaseName(name.to_owned()))
}

fn check_kube_version(chart: &Chart, capabilities: &Capabilities) -> Result<(), Error> {
    let constraint = &chart.metadata.kube_version;
    let version = &capabilities.kube_version;
    if constraint.is_empty() || is_compatible(constraint, &version.normalized) {
        return Ok(());
    }
    Err(Error::KubeVersion { constraint: constraint.clone(), version: version.version.clone() })
}

/// One file below a `templates/` folder.
struct Template<'a> {
    name: String,
    text: &'a Arc<String>,
    data: Value,
    base_path: String,
}

impl Template<'_> {
    fn is_partial(&self) -> bool {
        base_name(&self.name).starts_with('_')
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What the templates of all charts share.
struct Shared {
    release: Value,
    capabilities: Value,
}

fn render_templates(
    compiled: &CompiledChart,
    chart: &Chart,
    values: Values,
    request: &ChartRequest<'_>,
) -> Result<RenderedFiles, Error> {
    let shared = Shared {
        release: release_value(request.release),
        capabilities: native(CapabilitiesObject::new(request.capabilities)),
    };
    let mut templates = Vec::new();
    let values = from_json(&Json::Object(values));
    collect(chart, chart.name(), values, (&shared, true), &mut templates);
    // Deeper paths first, then by name backwards: definitions of outer charts come last and win.
    let depth = |template: &Template<'_>| template.name.matches('/').count();
    templates.sort_by_cached_key(|template| Reverse((depth(template), template.name.clone())));
    let rendering = parse_templates(compiled, &templates)?.start(request.scope);
    let mut files = RenderedFiles::new();
    for template in templates.iter().filter(|template| !template.is_partial()) {
        if let Some(data) = as_dict(&template.data) {
            data.insert("Template", template_value(template));
        }
        let text = rendering
            .render(&template.name, &template.data)
            .map_err(|error| exec_error(&template.name, &error))?;
        files.insert(Arc::from(&*template.name), without_no_value(text));
    }
    Ok(files)
}

fn parse_templates(
    compiled: &CompiledChart,
    templates: &[Template<'_>],
) -> Result<TemplateSet, Error> {
    let mut set = compiled.empty_set();
    for template in templates {
        let parsed = match template.name.ends_with(PLAIN_SUFFIX) {
            true => set.parse_plain(&template.name, template.text),
            false => compiled.parse(&template.name, template.text).map(|parsed| set.add(&parsed)),
        };
        parsed.map_err(|error| parse_error(&template.name, &error))?;
    }
    Ok(set)
}

fn template_value(template: &Template<'_>) -> Value {
    let pairs = [("Name", &template.name), ("BasePath", &template.base_path)];
    value::dict(pairs.into_iter().map(|(k, text)| (k.into(), text.as_str().into())).collect())
}

fn release_value(release: &Release) -> Value {
    value::dict(Entries::from([
        ("Name".into(), release.name.as_str().into()),
        ("Namespace".into(), release.namespace.as_str().into()),
        ("IsUpgrade".into(), release.is_upgrade.into()),
        ("IsInstall".into(), (!release.is_upgrade).into()),
        ("Revision".into(), value::int(release.revision)),
        ("Service".into(), "Helm".into()),
    ]))
}

// Collects a chart's templates with the data they see; gives back that data. A subchart's values
// are the same map as the parent's entry for it, so a `set` in one is seen by the other.
fn collect<'a>(
    chart: &'a Chart,
    path: &str,
    values: Value,
    (shared, is_root): (&Shared, bool),
    templates: &mut Vec<Template<'a>>,
) -> Value {
    let subcharts = value::dict(Entries::new());
    let entries = Entries::from([
        ("Chart".into(), value::dict(chart.metadata.to_entries(is_root))),
        ("Files".into(), native(Files::new(&chart.files))),
        ("Release".into(), shared.release.clone()),
        ("Capabilities".into(), shared.capabilities.clone()),
        ("Values".into(), values.clone()),
        ("Subcharts".into(), subcharts.clone()),
    ]);
    let data = Value::from_object(Dict::passing("Template", entries));
    for child in &chart.dependencies {
        let own = as_dict(&values).and_then(|values| values.get(child.name()));
        let own = own.filter(|own| as_dict(own).is_some());
        let own = own.unwrap_or_else(|| value::dict(Entries::new()));
        let path = format!("{path}/charts/{}", child.name());
        let inner = collect(child, &path, own, (shared, false), templates);
        if let Some(subcharts) = as_dict(&subcharts) {
            subcharts.insert(child.name(), inner);
        }
    }
    for file in chart.templates.iter() {
        if chart.metadata.is_library() && !base_name(&file.name).starts_with('_') {
            continue;
        }
        templates.push(Template {
            name: format!("{path}/{}", file.name),
            text: &file.text,
            data: data.clone(),
            base_path: format!("{path}/templates"),
        });
    }
    data
}

// Go's message without its chain: where, and what.
fn parse_error(name: &str, error: &gotemplate::Error) -> Error {
    let parts: Vec<&str> = error.text().split(": ").collect();
    Error::Render(match parts[..] {
        [_, location, .., cause] => format!("parse error at ({location}): {cause}"),
        [_, cause] => format!("parse error at ({cause}): {cause}"),
        _ => format!("parse error in ({name}): {}", error.text()),
    })
}

fn exec_error(name: &str, error: &gotemplate::Error) -> Error {
    if error.kind() == ErrorKind::Bound {
        return Error::Bound { template: name.to_owned(), cause: error.clone() };
    }
    Error::Render(exec_error_text(name, error))
}

// Helm's layout of a template error: one block for each template on the way to the cause. A
// chain that holds anything but template errors is shown as Go words it.
fn exec_error_text(name: &str, error: &gotemplate::Error) -> String {
    let text = error.text();
    let parts: Vec<&str> = text.splitn(3, ": ").collect();
    let [_, location, rest] = parts[..] else {
        return format!("execution error in ({name}): {text}");
    };
    if let (Some(start), Some(end)) = (rest.find(FAIL_START), rest.rfind(FAIL_END))
        && start < end
    {
        let cause = &rest[start + FAIL_START.len()..end];
        return format!("execution error at ({location}): {cause}");
    }
    let mut blocks: Vec<String> = Vec::new();
    let mut current = Some(error);
    while let Some(error) = current {
        let Some(block) = error_block(error.text()) else { return text.to_owned() };
        if blocks.last() != Some(&block) {
            blocks.push(block);
        }
        current = error.inner();
    }
    blocks.concat().trim().to_owned()
}

fn error_block(text: &str) -> Option<String> {
    let rest = text.strip_prefix("template: ")?;
    if rest.starts_with("no template ") {
        return Some(format!("{text}\n"));
    }
    let before_chain = |cause: &str| cause.split(" template:").next().unwrap_or(cause).to_owned();
    if let Some((location, after)) = rest.split_once(": executing ") {
        let quoted = after.strip_prefix('"')?;
        let (function, after) = quoted.split_once('"')?;
        let (node, cause) = after.strip_prefix(" at <")?.split_once(">: ")?;
        let cause = before_chain(cause);
        return Some(format!("{location}\n  executing \"{function}\" at <{node}>:\n    {cause}\n"));
    }
    let (location, cause) = rest.rsplit_once(": ")?;
    Some(format!("{location}\n  {}\n", before_chain(cause)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_names_are_checked() {
        for (name, ok) in [
            ("web", true),
            ("web-1.x", true),
            ("", false),
            ("Web", false),
            ("-web", false),
            ("a..b", false),
            (&*"x".repeat(54), false),
        ] {
            assert_eq!(check_release_name(name).is_ok(), ok, "{name}");
        }
    }
}
