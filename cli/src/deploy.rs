//! `fleet deploy`: a BundleDeployment to the objects that reach the cluster.
//!
//! Owns the flags of the command and the form of its output. Must not know how charts render;
//! `render` does. Start at [`run`].

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::ui::Ui;

/// Render a bundle deployment
///
/// The input holds a Content and a BundleDeployment, as `fleet target` prints them. With --dry-run
/// the rendered objects are printed and no cluster is needed.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct DeployArgs {
    /// File with the Content and the BundleDeployment, `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub input_file: PathBuf,
    /// Print the objects instead of deploying them
    #[arg(short, long)]
    pub dry_run: bool,
    /// Namespace of the release when the options name none
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// Version of Kubernetes that charts are told in a dry run
    #[arg(long, value_name = "VERSION", default_value = "v1.25.0")]
    pub kube_version: String,
    /// Namespace of the agent that shall own the release
    #[arg(short, long, value_name = "NAMESPACE")]
    pub agent_namespace: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Input that cannot be read, or content that does not render.
pub fn run(_args: &DeployArgs, _ui: &mut Ui) -> anyhow::Result<()> {
    bail!("rendering is not part of this build yet")
}
