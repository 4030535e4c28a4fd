//! `fleet target`: a bundle to what each cluster gets.
//!
//! Owns the flags of the command and the form of its output. Must not know how targets match;
//! `bundle_format::plan` does. Start at [`run`].

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use bundle_format::api::bundle::{Bundle, RolloutStrategy};
use bundle_format::api::bundle_deployment::BundleDeploymentStatus;
use bundle_format::api::labels;
use bundle_format::content::Manifest;
use bundle_format::options::Rules;
use bundle_format::placement::PlacementPolicy;
use bundle_format::plan::{BundleWorld, desired_deployment, plan_bundle};
use bundle_format::target::ClusterView;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::input::{decode, read_documents};
use crate::ui::{Format, Ui, format_objects};
use crate::world::World;

/// Print what a bundle becomes on each cluster that it matches
///
/// Prints the Content and one BundleDeployment per cluster, values inline, as if all clusters could
/// take the new version now. --world reads Clusters, ClusterGroups, BundleNamespaceMappings and
/// Namespaces from a file, so that no cluster is needed.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct TargetArgs {
    /// File with the Bundle, `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub bundle_file: PathBuf,
    /// File with the clusters and their groups
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
    /// Namespace of the bundle, and so of the clusters [default: the bundle's own]
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Print the clusters that matched, as YAML, to standard error
    #[arg(short = 'l', long)]
    pub dump_input_list: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the command.
///
/// # Errors
/// Files that cannot be read, or a bundle that cannot be targeted.
pub fn run(args: &TargetArgs, ui: &mut Ui) -> anyhow::Result<()> {
    let mut documents = read_documents(&args.bundle_file)?;
    let document = match documents.len() {
        1 => documents.remove(0),
        count => {
            bail!("{}: holds {count} documents, expected one Bundle", args.bundle_file.display())
        }
    };
    let mut bundle: Bundle = decode(&document)?;
    if let Some(namespace) = &args.namespace {
        bundle.metadata.namespace = Some(namespace.clone());
    }
    let Some(file) = &args.world else {
        bail!(
            "reading clusters from an API server is not part of this build: name a file with --world"
        );
    };
    let clusters = World::read(file)?.candidates(&bundle);
    let (objects, matched) = target_objects(bundle, &clusters)?;
    if args.dump_input_list {
        ui.note(&format!("clusters that matched:\n{}", format_objects(&matched, Format::Yaml)));
    }
    match args.format {
        Format::Json => ui.objects(&objects, Format::Json),
        Format::Yaml => objects
            .iter()
            .try_for_each(|object| ui.out(&format!("---\n{}\n", goyaml::to_string(object)))),
    }
}

/// The Content and the BundleDeployments, and beside them the clusters they are for.
fn target_objects(
    mut bundle: Bundle,
    clusters: &[ClusterView],
) -> anyhow::Result<(Vec<Value>, Vec<Value>)> {
    // All clusters at once: this is about what they get, not about when.
    let strategy = bundle.spec.rollout_strategy.get_or_insert_with(RolloutStrategy::default);
    strategy.max_new = Some(i64::try_from(clusters.len())?);
    let now = Timestamp::now();
    let rules = Rules { now, ..Default::default() };
    let world = BundleWorld {
        bundle: &bundle,
        clusters,
        deployments: &[],
        policy: &PlacementPolicy::default(),
        rules: &rules,
    };
    let plan = plan_bundle(&world, now).context("matching targets")?;
    let packed = Manifest::of_bundle(&bundle.spec).pack();
    let mut objects = vec![json!({
        "apiVersion": labels::API_VERSION,
        "kind": "Content",
        "metadata": {"name": plan.content.as_str()},
        "content": base64::engine::general_purpose::STANDARD.encode(&packed.gzip),
        "sha256sum": packed.sha256,
        "status": {},
    })];
    for (target, step) in plan.targets.iter().zip(&plan.rollout.steps) {
        if let Some(mut deployment) = desired_deployment(&bundle, target, step) {
            deployment.status = Some(BundleDeploymentStatus::default());
            objects.push(serde_json::to_value(deployment)?);
        }
    }
    let matched = plan.targets.iter().map(|target| {
        let groups: Vec<_> =
            target.cluster.groups.iter().map(|group| group.name.as_str()).collect();
        json!({
            "cluster": target.cluster.cluster_ref().to_string(),
            "labels": target.cluster.labels,
            "clusterGroups": groups,
            "deploymentID": target.deployment_id.to_string(),
        })
    });
    Ok((objects, matched.collect()))
}
