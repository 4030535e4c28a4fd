//! `fleet template`: a chart to what `helm template` prints.
//!
//! Owns the flags of the command, reading of values files and chart folders. Must not know how
//! charts render; `render::helm` does. Start at [`run`].

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use bundle_format::read::{EntryKind, FileTree};
use clap::Args;
use gotemplate::{Budget, Options, Scope, TemplateSet, Value};
use render::helm::{
    ArchiveLimits, Capabilities, Chart, ChartFile, ChartRequest, CompiledChart, IgnoreRules,
    KubeVersion, Release, SetKind, Values, check_dependencies, check_installable, load_chart,
    load_chart_archive, load_values, merge_maps, registry, set_values, show_only, without_ignored,
};

use crate::dir_tree::DirTree;
use crate::host::LocalHost;
use crate::input::read_text;
use crate::remote_chart::{ChartSourceArgs, Located, locate_chart};
use crate::ui::Ui;

/// Render a chart as `helm template` does
///
/// CHART is a folder, a .tgz file or its address, the name of a chart in the repository --repo, or
/// oci://REGISTRY/NAME. Flags and output are those of helm 4.3; nothing is asked of any cluster.
///
///   fleet template web ./charts/web -f values.yaml --set replicas=3
///   fleet template web podinfo --repo https://stefanprodan.github.io/podinfo --version 6.x
#[derive(Debug, Default, Args)]
#[command(verbatim_doc_comment, disable_version_flag = true)]
pub struct TemplateArgs {
    /// Name of the release, then the chart; with --name-template or --generate-name the chart
    #[arg(value_name = "NAME] [CHART", required = true, num_args = 1..=2)]
    pub name_and_chart: Vec<String>,

    /// Namespace of the release
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// Template that makes the name of the release
    #[arg(long, value_name = "TEMPLATE")]
    pub name_template: Option<String>,
    /// Make a name from the chart's and the time
    #[arg(short, long)]
    pub generate_name: bool,
    /// Set .Release.IsUpgrade instead of .Release.IsInstall
    #[arg(long)]
    pub is_upgrade: bool,

    /// File with values, `-` for standard input; later ones win
    #[arg(short = 'f', long, value_name = "FILE", value_delimiter = ',', help_heading = "Values")]
    pub values: Vec<PathBuf>,
    /// Values as key=value,key.sub[0]={a,b}
    #[arg(long, value_name = "KEY=VALUE,…", help_heading = "Values")]
    pub set: Vec<String>,
    /// The same, but every value is text
    #[arg(long, value_name = "KEY=TEXT,…", help_heading = "Values")]
    pub set_string: Vec<String>,
    /// The same, but every value is JSON; or one JSON object
    #[arg(long, value_name = "KEY=JSON,…", help_heading = "Values")]
    pub set_json: Vec<String>,
    /// The same, but every value is the text of a file
    #[arg(long, value_name = "KEY=FILE,…", help_heading = "Values")]
    pub set_file: Vec<String>,
    /// One key and its text, taken as it is
    #[arg(long, value_name = "KEY=TEXT", help_heading = "Values")]
    pub set_literal: Vec<String>,
    /// Do not check the values against the chart's schema
    #[arg(long, help_heading = "Values")]
    pub skip_schema_validation: bool,

    /// Version of Kubernetes for .Capabilities.KubeVersion
    #[arg(long, value_name = "VERSION", help_heading = "Capabilities")]
    pub kube_version: Option<String>,
    /// More API versions for .Capabilities.APIVersions
    #[arg(
        short,
        long,
        value_name = "VERSION,…",
        value_delimiter = ',',
        help_heading = "Capabilities"
    )]
    pub api_versions: Vec<String>,

    /// Print the files of crds/ too
    #[arg(long, help_heading = "Output")]
    pub include_crds: bool,
    /// Leave hooks out
    #[arg(long, help_heading = "Output")]
    pub no_hooks: bool,
    /// Leave test hooks out
    #[arg(long, help_heading = "Output")]
    pub skip_tests: bool,
    /// Print only what comes from these templates; patterns such as templates/*.yaml
    #[arg(short, long, value_name = "TEMPLATE", help_heading = "Output")]
    pub show_only: Vec<String>,

    /// Charts that lie elsewhere.
    #[command(flatten)]
    pub source: ChartSourceArgs,
}

/// What `helm template` adds to errors of a render.
const HINT: &str = "\n\nUse --debug flag to render out invalid YAML";

/// Runs the command.
///
/// # Errors
/// A chart or values that cannot be read, or a chart that does not render.
pub fn run(args: &TemplateArgs, ui: &mut Ui) -> anyhow::Result<()> {
    let kube_version = match &args.kube_version {
        Some(version) => KubeVersion::parse(version)?,
        None => KubeVersion::default(),
    };
    let (name, chart) = name_and_chart(args)?;
    let located = locate_chart(&chart, &args.source)?;
    let values = merge_values(args)?;
    let compiled = CompiledChart::new(read_chart(located)?)?;
    let chart = compiled.chart();
    check_installable(chart)?;
    if chart.metadata.deprecated {
        ui.warn("this chart is deprecated");
    }
    check_dependencies(chart)?;
    let release = Release {
        name,
        namespace: args.namespace.clone(),
        revision: 1,
        is_upgrade: args.is_upgrade,
    };
    let request = ChartRequest {
        values: &values,
        release: &release,
        capabilities: &Capabilities::new(kube_version, &args.api_versions),
        check_schema: !args.skip_schema_validation,
        keep_objects: false,
        scope: &scope(),
    };
    let rendered = compiled.render(&request).map_err(|error| match error.is_render() {
        true => anyhow!("{error}{HINT}"),
        false => error.into(),
    })?;
    // The process is about to end: its memory goes at once, not piece by piece.
    let (rendered, _) = (ManuallyDrop::new(rendered), ManuallyDrop::new(compiled));
    let (crds, hooks, tests) = (args.include_crds, !args.no_hooks, !args.skip_tests);
    if !args.show_only.is_empty() {
        let text = rendered.template_output(crds, hooks, tests);
        return ui.out(&show_only(&text, &args.show_only)?);
    }
    let mut done = Ok(());
    rendered.write_template_output((crds, hooks, tests), |text| {
        if done.is_ok() {
            done = ui.out(text);
        }
    });
    done
}

fn scope() -> Scope {
    Scope { host: Arc::new(LocalHost), budget: Arc::new(Budget::default()) }
}

fn name_and_chart(args: &TemplateArgs) -> anyhow::Result<(String, String)> {
    if let [name, chart] = &args.name_and_chart[..] {
        if args.generate_name {
            bail!("cannot set --generate-name and also specify a name");
        }
        if args.name_template.is_some() {
            bail!("cannot set --name-template and also specify a name");
        }
        return Ok((name.clone(), chart.clone()));
    }
    let chart = args.name_and_chart.first().cloned().unwrap_or_default();
    if let Some(template) = &args.name_template {
        let mut set = TemplateSet::new(registry(), Options::default())?;
        set.parse("name-template", template)?;
        let name = set.render("name-template", &Value::UNDEFINED, &scope())?;
        return Ok((name, chart));
    }
    // helm template names a release so when nobody else does, whatever --generate-name says.
    Ok(("release-name".to_owned(), chart))
}

// The kinds of flags count in this order, whatever the order on the command line, as in Helm.
fn merge_values(args: &TemplateArgs) -> anyhow::Result<Values> {
    let mut values = Values::new();
    for file in &args.values {
        let read = load_values(&read_text(file)?);
        let read = read.map_err(|cause| anyhow!("failed to parse {}: {cause}", file.display()))?;
        values = merge_maps(values, read);
    }
    let read_file = |name: &str| read_text(Path::new(name)).map_err(|e| format!("{e:#}"));
    for (texts, kind) in [
        (&args.set_json, SetKind::Json),
        (&args.set, SetKind::Typed),
        (&args.set_string, SetKind::Text),
        (&args.set_file, SetKind::File(&read_file)),
        (&args.set_literal, SetKind::Literal),
    ] {
        for text in texts {
            set_values(&mut values, text, &kind)?;
        }
    }
    Ok(values)
}

fn read_chart(located: Located) -> anyhow::Result<Chart> {
    let limits = ArchiveLimits::default();
    let path = match located {
        Located::Archive(bytes) => return Ok(load_chart_archive(&bytes, limits)?),
        Located::Here(path) => path,
    };
    if path.is_dir() {
        let files = read_folder(&path)?;
        return Ok(load_chart(without_ignored(files)?, limits)?);
    }
    let chart = path.display();
    let size = path.metadata().with_context(|| format!("reading {chart}"))?.len();
    if size > limits.bytes {
        bail!("{chart}: has more than {} bytes (bound: chart bytes)", limits.bytes);
    }
    let bytes = std::fs::read(&path).with_context(|| format!("reading {chart}"))?;
    if !bytes.starts_with(b"\x1f\x8b") {
        bail!("file '{chart}' does not appear to be a gzipped archive");
    }
    Ok(load_chart_archive(&bytes, limits)?)
}

// Reads what is not ignored; links are followed as far as they stay in the folder.
fn read_folder(folder: &Path) -> anyhow::Result<Vec<ChartFile>> {
    let tree = DirTree::open(folder).with_context(|| format!("reading {}", folder.display()))?;
    let limits = ArchiveLimits::default();
    let rules = match tree.entry(".helmignore")? {
        Some(_) => String::from_utf8_lossy(&tree.read(".helmignore", limits.bytes)?).into_owned(),
        None => String::new(),
    };
    let rules = IgnoreRules::parse(&rules)?;
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), 0)];
    let mut bytes = 0;
    while let Some((folder, depth)) = folders.pop() {
        if depth > MAX_FOLDER_DEPTH {
            bail!("{folder}: folders are nested deeper than {MAX_FOLDER_DEPTH} (bound: folders)");
        }
        for entry in tree.list(&folder)? {
            let name = match folder.is_empty() {
                true => entry.name,
                false => format!("{folder}/{}", entry.name),
            };
            // A link to a folder cannot be read as a file.
            let is_folder = entry.kind == EntryKind::Folder
                || entry.kind == EntryKind::Link && tree.list(&name).is_ok();
            if rules.ignores_entry(&name, is_folder) {
                continue;
            }
            if is_folder {
                folders.push((name, depth + 1));
                continue;
            }
            let data = tree.read(&name, limits.bytes - bytes)?;
            bytes += data.len() as u64;
            files.push(ChartFile { name, data });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

// A link to a folder above itself would go on for ever.
const MAX_FOLDER_DEPTH: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        write("Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n");
        write("values.yaml", "replicas: 1\n");
        write(".helmignore", "*.bak\n");
        write("templates/a.yaml", "a: {{ .Values.replicas }} {{ .Release.Name }}\n");
        write("templates/b.yaml", "b: {{ .Release.Namespace }}\n");
        write("templates/c.yaml.bak", "{{ fail \"read\" }}");
        folder
    }

    fn template(arguments: &[&str]) -> (anyhow::Result<()>, String) {
        use clap::Parser as _;
        let line = [&["fleet", "template"], arguments].concat();
        let cli = crate::Cli::try_parse_from(line).expect("arguments");
        let crate::Command::Template(args) = cli.command else { panic!("another command") };
        let (mut ui, captured) = Ui::captured();
        let done = run(&args, &mut ui);
        (done, captured.out())
    }

    #[test]
    fn a_folder_is_printed_document_by_document() {
        let chart = chart();
        let path = chart.path().to_str().expect("UTF-8");
        let (done, out) = template(&["rel", path, "--set", "replicas=3", "-n", "ns1"]);
        done.expect("it renders");
        assert_eq!(
            out,
            "---\n# Source: web/templates/a.yaml\na: 3 rel\n\n---\n\
             # Source: web/templates/b.yaml\nb: ns1\n"
        );
    }

    /// A repository as `helm package` and `helm repo index` 4.3.1 made it.
    const REPOSITORY: [(&str, &[u8]); 4] = [
        ("index.yaml", include_bytes!("../tests/repository/index.yaml")),
        ("web-1.2.0.tgz", include_bytes!("../tests/repository/web-1.2.0.tgz")),
        ("web-1.3.0.tgz", include_bytes!("../tests/repository/web-1.3.0.tgz")),
        ("web-2.0.0-rc.1.tgz", include_bytes!("../tests/repository/web-2.0.0-rc.1.tgz")),
    ];

    /// Serves the repository until the test ends, and says where.
    fn serve_repository() -> String {
        use std::io::{BufRead as _, BufReader, Write as _};
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let name = head[0].split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
                let found = REPOSITORY.iter().find(|(known, _)| *known == name);
                let (status, body) = found.map_or(("404 Not Found", &[][..]), |f| ("200 OK", f.1));
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n");
                let sent = stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes());
                sent.and_then(|()| stream.write_all(body)).expect("an answer");
            }
        });
        address
    }

    // What helm 4.3.1 printed for the same flags: the same chart, or a refusal.
    #[test]
    fn a_chart_comes_out_of_a_repository_in_the_version_that_helm_picks() {
        let repo = serve_repository();
        for (flags, version) in [
            (&[][..], "1.3.0"),
            (&["--devel"], "2.0.0-rc.1"),
            (&["--version", "1.2.x"], "1.2.0"),
            (&["--version", "2.0.0-rc.1"], "2.0.0-rc.1"),
        ] {
            let line = [&["rel", "web", "--repo", &repo, "--set", "replicas=3"], flags].concat();
            let (done, out) = template(&line);
            done.expect("it renders");
            let wanted = format!(
                "---\n# Source: web/templates/map.yaml\napiVersion: v1\nkind: ConfigMap\n\
                 metadata: {{name: rel, namespace: default}}\n\
                 data: {{version: \"{version}\", replicas: \"3\"}}\n"
            );
            assert_eq!(out, wanted, "{flags:?}");
        }
        for line in [&["rel", "web", "--version", "^2"], &["rel", "nope", "--devel", "--no-hooks"]]
        {
            let (done, out) = template(&[&line[..], &["--repo", &repo]].concat());
            assert!(done.is_err() && out.is_empty(), "{line:?}");
        }
        let (done, out) = template(&["rel", &format!("{repo}/web-1.2.0.tgz")]);
        done.expect("an address of an archive is a chart too");
        assert!(out.contains("version: \"1.2.0\""), "{out}");
    }

    #[test]
    fn show_only_picks_templates() {
        let chart = chart();
        let path = chart.path().to_str().expect("UTF-8");
        let (done, out) = template(&["rel", path, "-s", "templates/b.yaml"]);
        done.expect("it renders");
        assert_eq!(out, "---\n# Source: web/templates/b.yaml\nb: default\n\n");
        let (done, _) = template(&["rel", path, "-s", "templates/zz.yaml"]);
        let error = done.expect_err("no such template").to_string();
        assert_eq!(error, "could not find template templates/zz.yaml in chart");
    }
}
