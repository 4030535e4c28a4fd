//! The BundleDeployments of a Bundle as they shall be after this pass.
//!
//! Owns how a rollout step becomes labels, spec and values of one object. Pure. Start at
//! [`plan_deployments`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bundle_format::api::{
    Bundle, BundleDeployment, BundleDeploymentOptions, BundleDeploymentSpec, labels,
};
use bundle_format::content::{deployment_values_hash, values_document};
use bundle_format::options::{Target, add_namespace_metadata};
use bundle_format::rollout::{RolloutPlan, Step};
use bundle_format::target::ClusterView;
use kube::ResourceExt;
use runtime::ObjectKey;

use crate::stores::content_of;

/// One BundleDeployment that has to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentWrite {
    /// Which.
    pub key: ObjectKey,
    /// What is there now; `None` when it has to be created.
    pub old: Option<Arc<BundleDeployment>>,
    /// The labels it shall have.
    pub labels: BTreeMap<String, String>,
    /// The spec it shall have. `values_hash` is that of `values`.
    pub spec: BundleDeploymentSpec,
    /// The values it shall have.
    pub values: ValuesWrite,
    /// The spec or the labels differ from what is there.
    pub differs: bool,
}

/// What becomes of the Secret with the values of a BundleDeployment.
#[derive(Clone, Debug, PartialEq)]
pub enum ValuesWrite {
    /// There are none.
    None,
    /// These, staged and promoted; shared by clusters that have the same.
    Both(Arc<Vec<u8>>),
    /// These are staged; what is promoted stays as it is in the Secret.
    Staged(Arc<Vec<u8>>),
}

/// The BundleDeployments that have to change, one per target that needs it.
///
/// `existing` are those of the Bundle by namespace.
pub fn plan_deployments(
    bundle: &Bundle,
    targets: &[Target<'_>],
    plan: &RolloutPlan,
    existing: &BTreeMap<String, Arc<BundleDeployment>>,
) -> Vec<DeploymentWrite> {
    let mut shared = SharedParts::of(bundle);
    let planned = targets.iter().zip(&plan.steps).filter_map(|(target, step)| {
        let namespace = target.cluster.cluster_namespace.as_deref()?;
        let old = existing.get(namespace);
        if old.is_none() && !step.create {
            return None;
        }
        Some(plan_one(&mut shared, bundle, target, (namespace, old, step)))
    });
    planned.filter(|write| write.differs || write.values != ValuesWrite::None).collect()
}

/// What BundleDeployments of a Bundle have in common.
struct SharedParts {
    labels: BTreeMap<String, String>,
    name: String,
    /// By the address of the options they are made of, which all targets hold on to.
    stored: BTreeMap<usize, Arc<Stored>>,
}

/// Options as an object holds them, and the values beside it.
struct Stored {
    options: BundleDeploymentOptions,
    values: Option<Values>,
}

struct Values {
    document: Arc<Vec<u8>>,
    /// The hash when these are both staged and promoted.
    hash: String,
}

impl SharedParts {
    fn of(bundle: &Bundle) -> Self {
        let name = bundle.name_any();
        let mut common: BTreeMap<String, String> = bundle
            .labels()
            .iter()
            .filter(|(key, _)| is_inherited(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        common.insert(labels::BUNDLE_NAME.into(), name.clone());
        common.insert(labels::BUNDLE_NAMESPACE.into(), bundle.namespace().unwrap_or_default());
        common.insert(labels::MANAGED.into(), "true".into());
        Self { labels: common, name, stored: BTreeMap::new() }
    }

    /// What becomes of a target's options: made once, however many clusters share them.
    fn stored(&mut self, target: &Target<'_>, bundle: &Bundle) -> Arc<Stored> {
        let address = Arc::as_ptr(&target.options).addr();
        let stored = self.stored.entry(address).or_insert_with(|| {
            let document = target.options.values().map(values_document);
            let values = document.map(|document| Values {
                hash: deployment_values_hash(&document, &document),
                document: Arc::new(document),
            });
            Arc::new(Stored { options: stored_options(&target.options, bundle), values })
        });
        Arc::clone(stored)
    }
}

/// A Bundle's labels that its deployments get: the user's, and those of Fleet itself.
fn is_inherited(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    domain == labels::GROUP || !(labels::is_cattle_key(key) || domain == "kubectl.kubernetes.io")
}

fn plan_one(
    shared: &mut SharedParts,
    bundle: &Bundle,
    target: &Target<'_>,
    (namespace, old, step): (&str, Option<&Arc<BundleDeployment>>, &Step),
) -> DeploymentWrite {
    let mut labels = shared.labels.clone();
    labels.extend(cluster_labels(target.cluster));
    let held = old.map(|old| old.spec.clone()).unwrap_or_default();
    let mut spec = BundleDeploymentSpec {
        paused: target.is_paused,
        off_schedule: target.cluster.is_off_schedule,
        depends_on: bundle.spec.depends_on.clone(),
        correct_drift: target.options.correct_drift.clone(),
        helm_chart_options: bundle.spec.helm_op_options.clone(),
        oci_contents: false,
        waiting_for_values: false,
        ..held
    };
    let values = move_versions(&mut spec, shared, (bundle, target, step));
    if bundle.spec.helm_op_options.is_none() {
        labels.extend(content_labels(&spec));
    }
    let differs = old.is_none_or(|old| old.spec != spec || *old.labels() != labels);
    DeploymentWrite {
        key: ObjectKey::new(namespace, &shared.name),
        old: old.cloned(),
        labels,
        spec,
        values,
        differs,
    }
}

fn cluster_labels(cluster: &ClusterView) -> [(String, String); 2] {
    [
        (labels::CLUSTER.into(), cluster.name.clone()),
        (labels::CLUSTER_NAMESPACE.into(), cluster.namespace.clone()),
    ]
}

/// The labels by which those who need a Content are found: all of them, those that run one version
/// while another is staged too.
fn content_labels(spec: &BundleDeploymentSpec) -> impl Iterator<Item = (String, String)> {
    let staged = content_of(&spec.staged_deployment_id);
    let deployed = content_of(&spec.deployment_id).filter(|&deployed| staged != Some(deployed));
    [(labels::CONTENT_NAME, staged), (labels::DEPLOYED_CONTENT_NAME, deployed)]
        .into_iter()
        .filter_map(|(label, content)| Some((label.to_owned(), content?.to_owned())))
}

/// Stages and promotes as the step says, and takes the values out of the options.
fn move_versions(
    spec: &mut BundleDeploymentSpec,
    shared: &mut SharedParts,
    (bundle, target, step): (&Bundle, &Target<'_>, &Step),
) -> ValuesWrite {
    if step.sync_diff {
        spec.options.diff.clone_from(&target.options.diff);
        spec.staged_options.diff.clone_from(&target.options.diff);
    }
    if !step.stage {
        return ValuesWrite::None;
    }
    let stored = shared.stored(target, bundle);
    spec.staged_options.clone_from(&stored.options);
    spec.staged_deployment_id = target.deployment_id.to_string();
    let runs = step.promote || spec.deployment_id == spec.staged_deployment_id;
    if step.promote {
        spec.deployment_id.clone_from(&spec.staged_deployment_id);
    }
    if runs {
        spec.options.clone_from(&spec.staged_options);
    }
    match (runs, &stored.values) {
        (true, Some(values)) => {
            spec.values_hash.clone_from(&values.hash);
            ValuesWrite::Both(Arc::clone(&values.document))
        }
        (true, None) => {
            spec.values_hash.clear();
            ValuesWrite::None
        }
        // Their hash depends on what is promoted, which only the Secret knows.
        (false, Some(values)) => ValuesWrite::Staged(Arc::clone(&values.document)),
        (false, None) if spec.values_hash.is_empty() => ValuesWrite::None,
        (false, None) => ValuesWrite::Staged(Arc::default()),
    }
}

/// The options as they stand in the object: without values, with the namespace's labels.
fn stored_options(options: &BundleDeploymentOptions, bundle: &Bundle) -> BundleDeploymentOptions {
    let mut stored = options.clone();
    if let Some(helm) = &mut stored.helm {
        helm.values = None;
    }
    add_namespace_metadata(&mut stored, &bundle.spec.targets);
    stored
}

#[cfg(test)]
mod tests {
    use bundle_format::api::RolloutStrategy;
    use bundle_format::content::ContentId;
    use bundle_format::options::{Resolver, Rules};
    use bundle_format::rollout::plan_rollout;
    use bundle_format::target::match_targets;
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_users_labels_reach_the_deployment_and_ranchers_do_not() {
        for (key, inherited) in [
            ("team", true),
            ("fleet.cattle.io/commit", true),
            ("example.com/x", true),
            ("management.cattle.io/x", false),
            ("objectset.rio.cattle.io/hash", false),
            ("kubectl.kubernetes.io/x", false),
        ] {
            assert_eq!(is_inherited(key), inherited, "{key}");
        }
    }

    #[test]
    fn labels_name_every_content_that_is_needed() {
        let labels = |deployed: &str, staged: &str| -> Vec<(String, String)> {
            let spec = BundleDeploymentSpec {
                deployment_id: deployed.into(),
                staged_deployment_id: staged.into(),
                ..Default::default()
            };
            content_labels(&spec).collect()
        };
        let named = |label: &str, content: &str| (label.to_owned(), content.to_owned());
        let staged = || named(labels::CONTENT_NAME, "s-new");
        assert_eq!(labels("s-new:a", "s-new:b"), [staged()]);
        assert_eq!(labels("", "s-new:b"), [staged()]);
        let deployed = named(labels::DEPLOYED_CONTENT_NAME, "s-old");
        assert_eq!(labels("s-old:a", "s-new:a"), [staged(), deployed]);
    }

    #[test]
    fn clusters_that_share_their_options_share_the_values_to_be_written() {
        let bundle: Bundle = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "b", "namespace": "ns"},
            "spec": {"helm": {"values": {"a": 1}}, "targets": [{"clusterSelector": {}}]},
        }))
        .unwrap();
        let views = ["one", "two"].map(|name| ClusterView {
            name: name.into(),
            cluster_namespace: Some(format!("home-{name}")),
            ..Default::default()
        });
        let content = ContentId::of_digest("d");
        let mut resolver = Resolver::new(&bundle, &content, Rules::default());
        let matches = match_targets(&bundle.spec, &views).unwrap();
        let targets: Vec<_> =
            matches.iter().map(|matched| resolver.resolve(matched).unwrap()).collect();
        let plan = plan_rollout(&RolloutStrategy::default(), &targets, Timestamp::UNIX_EPOCH);
        let writes = plan_deployments(&bundle, &targets, &plan.unwrap(), &BTreeMap::new());
        let [ValuesWrite::Both(one), ValuesWrite::Both(two)] =
            [&writes[0].values, &writes[1].values]
        else {
            unreachable!("both are written")
        };
        assert!(Arc::ptr_eq(one, two));
        assert_eq!(writes[0].spec.values_hash, deployment_values_hash(one, one));
        assert_eq!(writes[0].spec.staged_options, writes[1].spec.staged_options);
    }
}
