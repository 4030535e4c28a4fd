//! The options of one bundle on one cluster.
//!
//! Owns how bundle, target, customizations and cluster make them, and the deployment id that
//! follows. Must not know rollouts or Secrets' objects. Start at [`resolve_target`].

pub mod memo;
pub mod merge;
pub mod moved;
pub mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::bundle::{Bundle, BundleTarget, TargetCustomizationMode};
use crate::api::bundle_deployment::BundleDeployment;
use crate::api::labels;
use crate::api::options::BundleDeploymentOptions;
use crate::api::selector::LabelSelector;
use crate::content::{ContentId, DeploymentId, OptionsHash};
use crate::error::{Classify, ErrorClass};
use crate::placement::Placed;
use crate::target::{Choice, ClusterView, Match};

use memo::{Made, Memo};
use merge::merge_options;
pub use values::ValuesError;

/// One bundle on one cluster: what shall run there.
#[derive(Clone, Debug, PartialEq)]
pub struct Target<'a> {
    /// The cluster.
    pub cluster: &'a ClusterView,
    /// Its BundleDeployment as it is now; set by [`Target::with_deployment`].
    pub deployment: Option<&'a BundleDeployment>,
    /// The options with values; shared by clusters that have the same.
    pub options: Arc<BundleDeploymentOptions>,
    /// Equal to the deployed one when there is nothing to do.
    pub deployment_id: DeploymentId,
    /// The bundle or the cluster is paused.
    pub is_paused: bool,
}

impl<'a> Target<'a> {
    /// The same target with the BundleDeployment that exists for it.
    #[must_use]
    pub fn with_deployment(self, deployment: Option<&'a BundleDeployment>) -> Self {
        Self { deployment, ..self }
    }
}

/// Why a cluster has no options.
#[derive(Debug, thiserror::Error)]
#[error("targeting error: cluster {cluster} in namespace {namespace}: {source}")]
pub struct ResolveError {
    /// Name of the Cluster.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
    /// Cause; its text is part of ours because Fleet 0.16 prints both as one line.
    pub source: ValuesError,
}

impl Classify for ResolveError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// What comes into the options from outside bundle and cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// What `now` in a value template means.
    pub now: Timestamp,
    /// Union of the GitRepoRestrictions' selectors; only for bundles of a GitRepo.
    pub allowed_target_namespace_selector: Option<LabelSelector>,
    /// A Policy forbids to create namespaces.
    pub forbid_namespace_creation: bool,
}

/// Resolves the options of one cluster. For many clusters use one [`Resolver`].
///
/// # Errors
/// A template in the values that does not render.
pub fn resolve_target<'a>(
    bundle: &Bundle,
    content: &ContentId,
    placed: &Placed<'a>,
    rules: &Rules,
) -> Result<Target<'a>, ResolveError> {
    Resolver::new(bundle, content, rules.clone()).resolve(&placed.matched)
}

/// Resolves the options of one bundle for many clusters, sharing what they share.
#[derive(Debug)]
pub struct Resolver<'b> {
    bundle: &'b Bundle,
    content: &'b ContentId,
    rules: Rules,
    shared: BTreeMap<Choice, Shared>,
    memo: Memo,
}

/// Options of one choice before the cluster comes in.
#[derive(Debug)]
struct Shared {
    merged: BundleDeploymentOptions,
    needs_cluster: bool,
    unlabelled: Option<Made>,
    labelled: Option<Made>,
}

impl<'b> Resolver<'b> {
    /// A resolver for the current state of a bundle.
    pub fn new(bundle: &'b Bundle, content: &'b ContentId, rules: Rules) -> Self {
        Self::remembering(bundle, content, rules, Memo::default())
    }

    /// The same with what an earlier pass over the bundle left.
    pub fn remembering(
        bundle: &'b Bundle,
        content: &'b ContentId,
        rules: Rules,
        mut memo: Memo,
    ) -> Self {
        memo.begin(bundle, &rules);
        Self { bundle, content, rules, shared: BTreeMap::new(), memo }
    }

    /// What the next pass may use; `clusters` are those that this one looked at.
    #[must_use]
    pub fn into_memo(self, clusters: &[Arc<ClusterView>]) -> Memo {
        self.memo.end(clusters)
    }

    /// Resolves the options of one cluster.
    ///
    /// # Errors
    /// A template in the values that does not render.
    pub fn resolve<'a>(&mut self, matched: &Match<'a>) -> Result<Target<'a>, ResolveError> {
        let cluster = matched.cluster;
        let (options, hash) =
            self.resolve_options(cluster, &matched.choice).map_err(|source| ResolveError {
                cluster: cluster.name.clone(),
                namespace: cluster.namespace.clone(),
                source,
            })?;
        let deployment_id = DeploymentId { content: self.content.clone(), options: hash };
        let is_paused = self.bundle.spec.paused || cluster.is_paused;
        Ok(Target { cluster, deployment: None, options, deployment_id, is_paused })
    }

    fn resolve_options(
        &mut self,
        cluster: &ClusterView,
        choice: &Choice,
    ) -> Result<Made, ValuesError> {
        let (bundle, rules, now) = (self.bundle, &self.rules, self.rules.now);
        let shared = self.shared.entry(choice.clone()).or_insert_with(|| {
            let merged = merge_choice(bundle, rules, choice);
            let needs_cluster = values::needs_cluster(&merged);
            Shared { merged, needs_cluster, unlabelled: None, labelled: None }
        });
        let labels = values::template_labels(cluster);
        if shared.needs_cluster && !labels.is_empty() {
            if let Some(known) = self.memo.get(cluster, choice) {
                return Ok(known);
            }
            let made = finish(values::resolve_values(&shared.merged, cluster, &labels, now)?);
            self.memo.note(cluster, choice, &made);
            return Ok(made);
        }
        // Without templates only the presence of labels makes a difference.
        let is_labelled = !labels.is_empty();
        let slot = if is_labelled { &mut shared.labelled } else { &mut shared.unlabelled };
        if let Some(known) = slot {
            return Ok(known.clone());
        }
        let options = match is_labelled {
            true => values::resolve_values(&shared.merged, cluster, &labels, now)?,
            false => shared.merged.clone(),
        };
        Ok(slot.insert(finish(options)).clone())
    }
}

fn finish(options: BundleDeploymentOptions) -> Made {
    let hash = OptionsHash::of(&options);
    (Arc::new(options), hash)
}

/// Bundle options, then the target's or, when there are any, the customizations'.
///
/// Under first-match the customization takes the place of the target's options; under all-matches
/// all are merged onto them in order (Fleet 0.16, golden `extra-modes`).
fn merge_choice(bundle: &Bundle, rules: &Rules, choice: &Choice) -> BundleDeploymentOptions {
    let targets: &[BundleTarget] = &bundle.spec.targets;
    let all = bundle.spec.target_customization_mode == Some(TargetCustomizationMode::AllMatches);
    let mut own = match (all, choice.customizations.first()) {
        (false, Some(&first)) => targets[first].options.clone(),
        _ => targets[choice.target].options.clone(),
    };
    if all {
        for &index in &choice.customizations {
            own = merge_options(&own, &targets[index].options);
        }
    }
    let mut merged = merge_options(&bundle.spec.options, &own);
    // Wherever the values come from, Go has read their numbers as float64 before it hashes them.
    if let Some(values) = merged.helm.as_mut().and_then(|helm| helm.values.as_mut()) {
        let numbers = goyaml::json::go_number_value(Value::Object(std::mem::take(values)));
        *values = numbers.as_object().cloned().unwrap_or_default();
    }
    let of_git_repo =
        bundle.metadata.labels.as_ref().is_some_and(|labels| {
            labels.get(labels::REPO_NAME).is_some_and(|name| !name.is_empty())
        });
    if of_git_repo && rules.allowed_target_namespace_selector.is_some() {
        merged.allowed_target_namespace_selector = rules.allowed_target_namespace_selector.clone();
    }
    if rules.forbid_namespace_creation {
        merged.create_namespace = Some(false);
    }
    merged
}

/// Adds the namespace labels and annotations of every target, matching or not, to the options of a
/// BundleDeployment. They are not part of the deployment id (Fleet 0.16, fleet-compat E.2).
pub fn add_namespace_metadata(options: &mut BundleDeploymentOptions, targets: &[BundleTarget]) {
    for target in targets {
        options.namespace_labels.extend(target.namespace_labels.clone());
        options.namespace_annotations.extend(target.namespace_annotations.clone());
    }
}
