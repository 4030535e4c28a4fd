//! `fleet deploy`: a BundleDeployment to the objects that reach the cluster.
//!
//! Owns the flags of the command and the form of its output. Must not know how charts render;
//! `render` does. Start at [`run`].

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bundle_format::api::bundle_deployment::BundleDeployment;
use bundle_format::api::content::Content;
use bundle_format::api::{labels, names};
use bundle_format::content::{DeploymentId, Manifest};
use clap::Args;
use gotemplate::{Budget, FixedHost, Scope};
use jiff::Timestamp;
use render::helm::{Capabilities, KubeVersion};
use render::postrender::NoScopes;
use render::{RenderRequest, RenderedSet, render_manifest};
use serde_json::Value;

use crate::input::{decode, kind_of, read_documents};
use crate::ui::{Format, Ui};

/// Render a bundle deployment
///
/// The input holds a Content and a BundleDeployment, as `fleet target` prints them. With --dry-run
/// the rendered objects are printed, hooks last, and no cluster is needed: charts find no objects
/// when they look for some, and get the same random numbers every time.
#[derive(Debug, Default, Args)]
#[command(verbatim_doc_comment)]
pub struct DeployArgs {
    /// File with the Content and the BundleDeployment, `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub input_file: PathBuf,
    /// Print the objects instead of deploying them
    #[arg(short, long)]
    pub dry_run: bool,
    /// Render for this cluster when the input holds several BundleDeployments
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Version of Kubernetes that charts are told in a dry run
    #[arg(long, value_name = "VERSION", default_value = "v1.25.0")]
    pub kube_version: String,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the command.
///
/// # Errors
/// Input that cannot be read, or content that does not render.
pub fn run(args: &DeployArgs, ui: &mut Ui) -> anyhow::Result<()> {
    if !args.dry_run {
        bail!("deploying is the agent's job: add --dry-run to see what it would deploy");
    }
    let documents = read_documents(&args.input_file)?;
    let deployment = pick_deployment(args, &documents)?;
    let manifest = pick_manifest(&documents, &deployment)?;
    let set = render_deployment(args, &manifest, &deployment)?;
    set.notices.iter().for_each(|notice| ui.warn(notice));
    let objects = set.definitions.into_iter().chain(set.objects).chain(set.hooks);
    let objects: Vec<Value> = objects.map(|object| object.value).collect();
    match args.format {
        // One list, as scripts of the reference read it.
        Format::Yaml => ui.out(&format!("{}\n", goyaml::to_string(&Value::Array(objects)))),
        Format::Json => ui.objects(&objects, Format::Json),
    }
}

fn pick_deployment(args: &DeployArgs, documents: &[Value]) -> anyhow::Result<BundleDeployment> {
    let is_wanted = |document: &&Value| {
        let cluster = &document["metadata"]["labels"][labels::CLUSTER];
        let name = args.cluster.as_deref();
        kind_of(document) == "BundleDeployment" && name.is_none_or(|name| cluster == name)
    };
    let found: Vec<&Value> = documents.iter().filter(is_wanted).collect();
    match found.as_slice() {
        [document] => decode(document),
        [] => bail!("failed to read bundledeployment resource from file"),
        several => {
            bail!("input holds {} BundleDeployments: choose one with --cluster", several.len())
        }
    }
}

fn pick_manifest(documents: &[Value], deployment: &BundleDeployment) -> anyhow::Result<Manifest> {
    let contents: Vec<&Value> =
        documents.iter().filter(|document| kind_of(document) == "Content").collect();
    let id = wanted_id(deployment);
    let wanted = contents.iter().find(|content| {
        content["metadata"]["name"].as_str().is_some_and(|name| id.starts_with(&format!("{name}:")))
    });
    let document = match (wanted, contents.as_slice()) {
        (Some(document), _) | (None, [document]) => document,
        _ => bail!("failed to read content resource from file"),
    };
    let content: Content = decode(document)?;
    let bytes = content.spec.content.context("Content holds no content")?;
    Ok(Manifest::unpack(&bytes.0, &content.spec.sha256sum)?)
}

/// The version to render: the promoted one, or the staged one when nothing was promoted yet.
fn wanted_id(deployment: &BundleDeployment) -> &str {
    match deployment.spec.deployment_id.as_str() {
        "" => &deployment.spec.staged_deployment_id,
        id => id,
    }
}

fn render_deployment(
    args: &DeployArgs,
    manifest: &Manifest,
    deployment: &BundleDeployment,
) -> anyhow::Result<RenderedSet> {
    let options = match deployment.spec.deployment_id.is_empty() {
        true => &deployment.spec.staged_options,
        false => &deployment.spec.options,
    };
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let of_options = options.helm.as_ref().map_or("", |helm| helm.release_name.as_str());
    let release_name = match of_options {
        "" => names::helm_release_name(name),
        name => name.to_owned(),
    };
    let own_labels = deployment.metadata.labels.as_ref();
    let content = wanted_id(deployment).parse::<DeploymentId>().map(|id| id.content);
    let host = Arc::new(FixedHost::new(Timestamp::now().as_nanosecond(), 0));
    let request = RenderRequest {
        bundle_id: name,
        // Without an agent there is no namespace to put in front.
        set_id: &format!("-{name}"),
        release_name: &release_name,
        revision: 1,
        commit: own_labels.and_then(|all| all.get(labels::COMMIT)).map_or("", String::as_str),
        manifest_id: content.as_ref().map_or("", |content| content.as_str()),
        values: &options.values().cloned().unwrap_or_default(),
        capabilities: &Capabilities::new(KubeVersion::parse(&args.kube_version)?, &[]),
        scope: &Scope { host, budget: Arc::new(Budget::default()) },
        scopes: &NoScopes,
        charts: None,
    };
    render_manifest(manifest, options, &request)
        .with_context(|| format!("rendering bundle deployment {name}"))
}
