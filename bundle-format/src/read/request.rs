//! What to read, and what a GitRepo says about every bundle in it.
//!
//! Owns the request and where its parts come from. Must not know files. Start at [`ReadRequest`].

use std::collections::BTreeMap;

use crate::api::bundle::{BundleTarget, BundleTargetRestriction};
use crate::api::git_repo::{GitRepo, GitRepoBundle, GitTarget};
use crate::api::labels;
use crate::api::options::CorrectDrift;

use super::resources::ReadLimits;

/// Which folders of a repository to read, and what holds for every bundle in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadRequest {
    /// Name of the GitRepo; bundle names begin with it.
    pub name: String,
    /// The folders.
    pub folders: Folders,
    /// Read this file of every folder that is found, relative to it, instead of `fleet.yaml`.
    pub options_file: Option<String>,
    /// What holds for every bundle.
    pub overrides: BundleOverrides,
    /// Bounds.
    pub limits: ReadLimits,
}

/// The folders of a repository that become bundles.
#[derive(Clone, Debug, PartialEq)]
pub enum Folders {
    /// Paths or patterns; bundles are looked for at and below each. Empty means the root.
    Scan(Vec<String>),
    /// Each base is one bundle; nothing is looked for.
    Listed(Vec<GitRepoBundle>),
}

impl Default for Folders {
    fn default() -> Self {
        Self::Scan(Vec::new())
    }
}

impl Folders {
    /// The folders as a person wrote them, for messages.
    pub(crate) fn as_written(&self) -> Vec<String> {
        match self {
            Self::Scan(paths) if paths.is_empty() => vec![".".to_owned()],
            Self::Scan(paths) => paths.clone(),
            Self::Listed(bundles) => bundles.iter().map(|bundle| bundle.base.clone()).collect(),
        }
    }
}

/// What a GitRepo (or the flags of `fleet apply`) lays over every bundle.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BundleOverrides {
    /// Labels; those of `fleet.yaml` win.
    pub labels: BTreeMap<String, String>,
    /// Account to deploy with; wins when not empty.
    pub service_account: String,
    /// Namespace of every bundle and every target; wins when not empty.
    pub target_namespace: String,
    /// Stage only.
    pub paused: bool,
    /// Always replaces what `fleet.yaml` says.
    pub force_sync_generation: i64,
    /// Leave objects behind on deletion.
    pub keep_resources: bool,
    /// Delete the namespace on deletion.
    pub delete_namespace: bool,
    /// Replaces that of `fleet.yaml` when enabled.
    pub correct_drift: Option<CorrectDrift>,
    /// The clusters: appended to the bundle's own targets.
    pub targets: Vec<BundleTarget>,
    /// The only clusters a bundle may go to.
    pub target_restrictions: Vec<BundleTargetRestriction>,
    /// Compress every file, whatever the size.
    pub compress: bool,
    /// Accept `imageScans`.
    pub image_scans_enabled: bool,
}

impl ReadRequest {
    /// The request of a GitRepo: its labels and name as labels, its targets as restrictions too.
    pub fn of_git_repo(repo: &GitRepo) -> Self {
        let spec = &repo.spec;
        let name = repo.metadata.name.clone().unwrap_or_default();
        let mut labels = repo.metadata.labels.clone().unwrap_or_default();
        labels.insert(labels::REPO_NAME.to_owned(), name.clone());
        let default = [default_target()];
        let targets = if spec.targets.is_empty() { &default[..] } else { &spec.targets };
        let folders = match spec.bundles.is_empty() {
            true => Folders::Scan(spec.paths.clone()),
            false => Folders::Listed(spec.bundles.clone()),
        };
        let overrides = BundleOverrides {
            labels,
            service_account: spec.service_account.clone(),
            target_namespace: spec.target_namespace.clone(),
            paused: spec.paused,
            force_sync_generation: spec.force_sync_generation,
            keep_resources: spec.keep_resources,
            delete_namespace: spec.delete_namespace,
            correct_drift: spec.correct_drift.clone(),
            targets: targets.iter().map(real_target).collect(),
            target_restrictions: targets.iter().map(restriction).collect(),
            ..Default::default()
        };
        Self { name, folders, overrides, ..Default::default() }
    }
}

/// The clusters of a GitRepo or bundle that names none: the group `default`.
fn default_target() -> GitTarget {
    GitTarget {
        name: "default".to_owned(),
        cluster_group: "default".to_owned(),
        ..Default::default()
    }
}

/// [`default_target`] as a target of a bundle.
pub(crate) fn default_bundle_target() -> BundleTarget {
    real_target(&default_target())
}

/// A GitRepo's target as the last entries of a bundle's targets hold it.
pub(crate) fn real_target(target: &GitTarget) -> BundleTarget {
    BundleTarget {
        name: target.name.clone(),
        cluster_name: target.cluster_name.clone(),
        cluster_selector: target.cluster_selector.clone(),
        cluster_group: target.cluster_group.clone(),
        cluster_group_selector: target.cluster_group_selector.clone(),
        ..Default::default()
    }
}

/// A GitRepo's target as a bundle's restrictions hold it.
pub(crate) fn restriction(target: &GitTarget) -> BundleTargetRestriction {
    BundleTargetRestriction {
        name: target.name.clone(),
        cluster_name: target.cluster_name.clone(),
        cluster_selector: target.cluster_selector.clone(),
        cluster_group: target.cluster_group.clone(),
        cluster_group_selector: target.cluster_group_selector.clone(),
    }
}
