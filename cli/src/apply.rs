//! `fleet apply`: folders to bundles.
//!
//! Owns the flags of the command and the way from them to a read request. Must not know how folders
//! become bundles; `bundle_format::read` does. Start at [`run`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use bundle_format::api::bundle::{Bundle, BundleSpec};
use bundle_format::api::git_repo::GitRepoBundle;
use bundle_format::api::labels;
use bundle_format::api::options::CorrectDrift;
use bundle_format::read::{
    BundleDraft, BundleOverrides, Folders, ReadOutcome, ReadRequest, read_bundles,
};
use clap::Args;
use serde_json::{Value, json};

use crate::dir_tree::DirTree;
use crate::git_head::head_commit;
use crate::input::{decode, read_documents, read_text};
use crate::ui::{Format, Ui, format_objects};

/// Make bundles from folders, and print them
///
/// Every PATH (default: the current folder) is searched for bundles: a folder with a fleet.yaml is
/// one, and so is the PATH itself when it holds manifests. PATH may be a pattern such as apps/*.
/// With -o nothing is needed but the files:
///
///   fleet apply -o - my-repo apps/web
#[derive(Debug, Default, Args)]
#[command(verbatim_doc_comment)]
pub struct ApplyArgs {
    /// Name of the repository; bundle names begin with it
    #[arg(value_name = "BUNDLE_NAME")]
    pub name: String,
    /// Folders or patterns, relative to the current folder
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,

    /// Write the bundles to this file, `-` for standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Take the finished bundle from this file, `-` for standard input, instead of folders
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Read this file of every folder instead of its fleet.yaml
    #[arg(short, long, value_name = "FILE")]
    pub bundle_file: Option<String>,
    /// Namespace of the bundles
    #[arg(short, long, env = "NAMESPACE", default_value = labels::LOCAL_NAMESPACE)]
    pub namespace: String,
    /// Labels of the bundles
    #[arg(short, long = "label", value_name = "KEY=VALUE,…", value_parser = parse_label, value_delimiter = ',')]
    pub labels: Vec<(String, String)>,
    /// Commit to label the bundles with [default: HEAD of the current folder's repository]
    #[arg(long, env = "COMMIT")]
    pub commit: Option<String>,
    /// File with targets and targetRestrictions to append
    #[arg(long, value_name = "FILE")]
    pub targets_file: Option<PathBuf>,

    /// What holds for every bundle.
    #[command(flatten)]
    pub overrides: OverrideArgs,
    /// How folders are found.
    #[command(flatten)]
    pub scan: ScanArgs,
    /// Access to charts that lie elsewhere.
    #[command(flatten)]
    pub helm: HelmAccessArgs,
}

/// What holds for every bundle
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "For every bundle")]
pub struct OverrideArgs {
    /// Compress every file of the bundles
    #[arg(short, long)]
    pub compress: bool,
    /// Account that agents deploy with
    #[arg(short = 'a', long, default_value = "", hide_default_value = true)]
    pub service_account: String,
    /// Change it to deploy again what has not changed
    #[arg(long, value_name = "NUMBER", default_value_t, hide_default_value = true)]
    pub sync_generation: i64,
    /// Namespace that every object is forced into
    #[arg(long, default_value = "", hide_default_value = true)]
    pub target_namespace: String,
    /// Stage the bundles without deploying them
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t, hide_default_value = true)]
    pub paused: bool,
    /// Leave the objects behind when the bundle is deleted
    #[arg(long)]
    pub keep_resources: bool,
    /// Delete the target namespace when the bundle is deleted
    #[arg(long)]
    pub delete_namespace: bool,
    /// Undo changes that others make to the objects
    #[arg(long)]
    pub correct_drift: bool,
    /// Replace objects that cannot be changed when undoing
    #[arg(long)]
    pub correct_drift_force: bool,
    /// Keep the Helm history of undoings that failed
    #[arg(long)]
    pub correct_drift_keep_fail_history: bool,
    /// Accept imageScans in fleet.yaml
    #[arg(long)]
    pub imagescan_enabled: bool,
    /// Secret of the OCI registry that keeps the contents
    #[arg(long, default_value = "", hide_default_value = true)]
    pub oci_registry_secret: String,
}

/// How folders are found
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Finding folders")]
pub struct ScanArgs {
    /// Take every PATH as one bundle, written FOLDER or FOLDER:OPTIONS_FILE
    #[arg(long)]
    pub driven_scan: bool,
    /// What stands between folder and options file
    #[arg(long, value_name = "CHARACTER", default_value = ":")]
    pub driven_scan_sep: String,
    /// Accepted for old scripts: reading is one pass, there is nothing to bound
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "4",
        env = "FLEET_BUNDLE_CREATION_MAX_CONCURRENCY"
    )]
    pub bundle_creation_max_concurrency: u32,
}

/// Access to charts that lie elsewhere
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Charts from elsewhere")]
pub struct HelmAccessArgs {
    /// User name
    #[arg(long, env = "HELM_USERNAME")]
    pub username: Option<String>,
    /// File with the password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// File with CA certificates
    #[arg(long, value_name = "FILE")]
    pub cacerts_file: Option<PathBuf>,
    /// File with an SSH key
    #[arg(long = "ssh-privatekey-file", value_name = "FILE")]
    pub ssh_private_key_file: Option<PathBuf>,
    /// Send credentials only to URLs that begin like this
    #[arg(long, value_name = "REGEX")]
    pub helm_repo_url_regex: Option<String>,
    /// File with credentials by path
    #[arg(long, value_name = "FILE")]
    pub helm_credentials_by_path_file: Option<PathBuf>,
    /// Use plain HTTP
    #[arg(long)]
    pub helm_basic_http: bool,
    /// Do not check certificates
    #[arg(long)]
    pub helm_insecure_skip_tls: bool,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Runs the command.
///
/// # Errors
/// Anything that kept a folder from becoming a bundle; the others are printed all the same.
pub fn run(args: &ApplyArgs, ui: &mut Ui) -> anyhow::Result<()> {
    run_in(Path::new("."), args, ui)
}

/// Runs the command as if `folder` were the current one.
///
/// # Errors
/// As [`run`].
pub fn run_in(folder: &Path, args: &ApplyArgs, ui: &mut Ui) -> anyhow::Result<()> {
    let Some(output) = &args.output else {
        bail!("writing bundles to a cluster is not part of this build: print them with -o -");
    };
    if !args.overrides.oci_registry_secret.is_empty() {
        bail!("--oci-registry-secret: contents in OCI registries are not part of this build");
    }
    let (objects, failure) = match &args.file {
        Some(file) => (vec![serde_json::to_value(finished_bundle(args, file)?)?], None),
        None => {
            let tree = DirTree::open(folder)
                .with_context(|| format!("opening folder {}", folder.display()))?;
            let outcome = read_bundles(&tree, &read_request(folder, args)?);
            bundle_objects(args, outcome, ui)?
        }
    };
    match output.to_str() {
        Some("-") => ui.objects(&objects, Format::Yaml)?,
        _ => std::fs::write(output, format_objects(&objects, Format::Yaml))
            .with_context(|| format!("writing {}", output.display()))?,
    }
    failure.map_or(Ok(()), Err)
}

/// A bundle that somebody else finished: gets the name and namespace of the command line.
fn finished_bundle(args: &ApplyArgs, file: &Path) -> anyhow::Result<Bundle> {
    let documents = read_documents(file)?;
    let [document] = documents.as_slice() else {
        bail!("{}: holds {} documents, expected one Bundle", file.display(), documents.len());
    };
    let mut bundle: Bundle = decode(document)?;
    bundle.metadata.name = Some(args.name.clone());
    bundle.metadata.namespace = Some(args.namespace.clone());
    bundle.status = None;
    Ok(bundle)
}

/// What the flags ask to read.
fn read_request(folder: &Path, args: &ApplyArgs) -> anyhow::Result<ReadRequest> {
    let mut all_labels: BTreeMap<String, String> = args.labels.iter().cloned().collect();
    let commit = args.commit.clone().or_else(|| head_commit(folder));
    if let Some(commit) = commit.filter(|commit| !commit.is_empty()) {
        all_labels.insert(labels::COMMIT.to_owned(), commit);
    }
    let targets = match &args.targets_file {
        Some(file) => read_targets(file)?,
        None => BundleSpec::default(),
    };
    let folders = match args.scan.driven_scan {
        true => Folders::Listed(
            args.paths
                .iter()
                .map(|path| listed_folder(path, &args.scan.driven_scan_sep))
                .collect::<anyhow::Result<_>>()?,
        ),
        false => Folders::Scan(args.paths.clone()),
    };
    let flags = &args.overrides;
    Ok(ReadRequest {
        name: args.name.clone(),
        folders,
        options_file: args.bundle_file.clone(),
        overrides: BundleOverrides {
            labels: all_labels,
            service_account: flags.service_account.clone(),
            target_namespace: flags.target_namespace.clone(),
            paused: flags.paused,
            force_sync_generation: flags.sync_generation,
            keep_resources: flags.keep_resources,
            delete_namespace: flags.delete_namespace,
            correct_drift: Some(CorrectDrift {
                enabled: flags.correct_drift,
                force: flags.correct_drift_force,
                keep_fail_history: flags.correct_drift_keep_fail_history,
            }),
            targets: targets.targets,
            target_restrictions: targets.target_restrictions,
            compress: flags.compress,
            image_scans_enabled: flags.imagescan_enabled,
        },
        ..Default::default()
    })
}

fn listed_folder(path: &str, separator: &str) -> anyhow::Result<GitRepoBundle> {
    let (base, options) = path.split_once(separator).unwrap_or((path, ""));
    if options.contains(separator) {
        bail!("invalid bundle path: {path:?}: more than one {separator:?} in it");
    }
    Ok(GitRepoBundle { base: base.to_owned(), options: options.to_owned() })
}

/// A targets file is a Bundle's spec of which only the targets are used.
fn read_targets(file: &Path) -> anyhow::Result<BundleSpec> {
    let value = goyaml::from_str(&read_text(file)?)
        .map_err(|error| anyhow!("{}: line {}: {}", file.display(), error.line, error.message))?;
    match value {
        Value::Null => Ok(BundleSpec::default()),
        value => serde_json::from_value(value).with_context(|| file.display().to_string()),
    }
}

/// The objects to print, and the failure to end with.
fn bundle_objects(
    args: &ApplyArgs,
    outcome: ReadOutcome,
    ui: &mut Ui,
) -> anyhow::Result<(Vec<Value>, Option<anyhow::Error>)> {
    outcome.notices.iter().for_each(|notice| ui.warn(&notice.to_string()));
    let mut failures: Vec<String> = Vec::new();
    for failure in &outcome.failures {
        let is_named = failure.error.to_string().contains(failure.path.as_str());
        let path = if failure.path.is_empty() { "." } else { &failure.path };
        failures.push(match is_named {
            true => failure.error.to_string(),
            false => format!("{path}: {}", failure.error),
        });
    }
    let mut objects = Vec::new();
    for draft in outcome.drafts {
        for notice in &draft.notices {
            ui.warn(&notice.to_string());
        }
        for problem in &draft.problems {
            ui.warn(&format!("bundle {}: {problem}: agents will refuse it", draft.name));
        }
        match missing_charts(&args.helm, &draft) {
            Some(missing) => failures.push(missing),
            None => objects.extend(draft_objects(draft, &args.namespace)?),
        }
    }
    let failure = (!failures.is_empty()).then(|| anyhow!(failures.join("; ")));
    Ok((objects, failure))
}

/// The charts that a draft lacks, in words; `None` when it is complete.
fn missing_charts(access: &HelmAccessArgs, draft: &BundleDraft) -> Option<String> {
    if draft.is_complete() {
        return None;
    }
    let charts = draft.charts.iter().map(|chart| {
        format!("chart {:?} version {:?} of repo {:?}", chart.chart, chart.version, chart.repo)
    });
    let dependencies = draft.dependencies.iter().map(|dependency| {
        format!("dependency {:?} of chart {:?}", dependency.name, dependency.parent)
    });
    let listed = charts.chain(dependencies).collect::<Vec<_>>().join(", ");
    let unused =
        if access.is_set() { "; the flags for access to charts have no effect" } else { "" };
    Some(format!(
        "bundle {}: needs {listed}, and fetching charts is not part of this build{unused}",
        draft.name
    ))
}

impl HelmAccessArgs {
    fn is_set(&self) -> bool {
        self.username.is_some()
            || self.password_file.is_some()
            || self.cacerts_file.is_some()
            || self.ssh_private_key_file.is_some()
            || self.helm_repo_url_regex.is_some()
            || self.helm_credentials_by_path_file.is_some()
            || self.helm_basic_http
            || self.helm_insecure_skip_tls
    }
}

fn draft_objects(mut draft: BundleDraft, namespace: &str) -> anyhow::Result<Vec<Value>> {
    let scans = std::mem::take(&mut draft.image_scans);
    let mut objects = vec![serde_json::to_value(draft.into_bundle(namespace))?];
    for scan in scans {
        objects.push(json!({
            "apiVersion": labels::API_VERSION,
            "kind": "ImageScan",
            "metadata": {"name": scan.name, "namespace": namespace},
            "spec": serde_json::to_value(scan.spec)?,
        }));
    }
    Ok(objects)
}
