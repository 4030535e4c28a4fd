//! `helm template`'s arguments, as far as the recorded cases use them.

use std::borrow::Borrow;
use std::sync::Arc;

use gotemplate::{Budget, FixedHost, MissingKey, Options, Scope, TemplateSet, Value};
use render::helm::{
    Capabilities, ChartRequest, CompiledChart, Error, KubeVersion, Release, SetKind, Values,
    check_dependencies, check_installable, registry, set_values, show_only,
};

fn scope() -> Scope {
    // Any moment in the last years will do: no case depends on it but through `<random>` lines.
    let host = FixedHost::new(1_780_000_000_000_000_000, 7);
    Scope { host: Arc::new(host), budget: Arc::new(Budget::default()) }
}

#[derive(Default)]
struct Arguments {
    names: Vec<String>,
    namespace: String,
    kube_version: Option<KubeVersion>,
    api_versions: Vec<String>,
    include_crds: bool,
    no_hooks: bool,
    skip_tests: bool,
    is_upgrade: bool,
    skip_schema: bool,
    show_only: Vec<String>,
    values: Values,
}

fn name_of(template: &str) -> Result<String, String> {
    let options = Options { missing_key: MissingKey::Default, ..Options::default() };
    let mut set = TemplateSet::new(registry(), options).map_err(|e| e.to_string())?;
    set.parse("name-template", template).map_err(|e| e.to_string())?;
    set.render("name-template", &Value::UNDEFINED, &scope()).map_err(|e| e.to_string())
}

fn parse(args: &[&str], base: Values) -> Result<Arguments, String> {
    let mut parsed =
        Arguments { namespace: "default".to_owned(), values: base, ..Arguments::default() };
    // Helm applies the kinds of --set in this order, whatever the order of the flags.
    for (flag, kind) in
        [("--set-json", SetKind::Json), ("--set", SetKind::Typed), ("--set-string", SetKind::Text)]
    {
        for pair in args.windows(2).filter(|pair| pair[0] == flag) {
            set_values(&mut parsed.values, pair[1], &kind).map_err(|e| e.to_string())?;
        }
    }
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().copied().unwrap_or_default();
        match *arg {
            "--namespace" => parsed.namespace = value().to_owned(),
            "--kube-version" => {
                let version = KubeVersion::parse(value()).map_err(|e| e.to_string())?;
                parsed.kube_version = Some(version);
            }
            "--api-versions" => parsed.api_versions.extend(value().split(',').map(str::to_owned)),
            "--show-only" => parsed.show_only.push(value().to_owned()),
            "--skip-schema-validation" => parsed.skip_schema = true,
            "--name-template" => parsed.names.insert(0, name_of(value())?),
            "--set" | "--set-string" | "--set-json" => {
                value();
            }
            "--include-crds" => parsed.include_crds = true,
            "--no-hooks" => parsed.no_hooks = true,
            "--skip-tests" => parsed.skip_tests = true,
            "--is-upgrade" => parsed.is_upgrade = true,
            "CHART" => {}
            flag if flag.starts_with("--") => return Err(format!("unknown flag {flag}")),
            name => parsed.names.push(name.to_owned()),
        }
    }
    Ok(parsed)
}

/// What `helm template` prints, or what it says when it fails.
pub(crate) fn template(
    chart: Result<impl Borrow<CompiledChart>, Error>,
    args: &[&str],
    base: Values,
) -> Result<String, String> {
    let args = parse(args, base)?;
    let compiled = chart.map_err(|e| e.to_string())?;
    let chart = compiled.borrow().chart();
    check_installable(chart).map_err(|e| e.to_string())?;
    check_dependencies(chart).map_err(|e| e.to_string())?;
    let release = Release {
        name: args.names.first().cloned().unwrap_or_default(),
        namespace: args.namespace,
        revision: 1,
        is_upgrade: args.is_upgrade,
    };
    let capabilities = Capabilities::new(args.kube_version.unwrap_or_default(), &args.api_versions);
    let request = ChartRequest {
        values: &args.values,
        release: &release,
        capabilities: &capabilities,
        check_schema: !args.skip_schema,
        keep_objects: false,
        scope: &scope(),
    };
    let rendered = compiled.borrow().render(&request).map_err(|e| e.to_string())?;
    let text = rendered.template_output(args.include_crds, !args.no_hooks, !args.skip_tests);
    if args.show_only.is_empty() {
        return Ok(text);
    }
    show_only(&text, &args.show_only).map_err(|e| e.to_string())
}

/// The words of a recorded failure, without what only the command line adds.
pub(crate) fn expected_error(stderr: &str) -> String {
    let lines = stderr.lines().filter(|line| !line.starts_with("level="));
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = text.strip_prefix("Error: ").unwrap_or(&text).to_owned();
    text.replace("Use --debug flag to render out invalid YAML", "").trim().to_owned()
}
