//! Options made from templates, kept from pass to pass.
//!
//! Owns when they may be used again. Must not know how they are made. Start at [`Memo`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::bundle::{Bundle, BundleTarget, TargetCustomizationMode};
use crate::api::options::BundleDeploymentOptions;
use crate::content::OptionsHash;
use crate::target::selector::Labels;
use crate::target::{Choice, ClusterView};

use super::Rules;

/// The options of clusters for which templates were rendered: a pass renders those of clusters that
/// changed, and all only when the bundle did.
///
/// Guarantees: what it returns is what rendering would. A view is never changed, only replaced, and
/// those that are held here keep their address: the same address is the same cluster, unchanged.
#[derive(Debug, Default)]
pub struct Memo {
    inputs: Option<Inputs>,
    views: Vec<Arc<ClusterView>>,
    by_address: BTreeMap<usize, (Choice, Made)>,
    made_count: usize,
}

/// Options and their hash.
pub(super) type Made = (Arc<BundleDeploymentOptions>, OptionsHash);

/// All that options are made of, the cluster left out. Files are no part of it.
#[derive(Clone, Debug, PartialEq)]
struct Inputs {
    options: BundleDeploymentOptions,
    targets: Vec<BundleTarget>,
    mode: Option<TargetCustomizationMode>,
    labels: Option<Labels>,
    rules: Rules,
}

fn address(view: &ClusterView) -> usize {
    std::ptr::from_ref(view).addr()
}

impl Memo {
    /// How many clusters' templates the last pass rendered.
    pub fn made_count(&self) -> usize {
        self.made_count
    }

    /// Begins a pass: forgets everything when the bundle or the rules changed.
    pub(super) fn begin(&mut self, bundle: &Bundle, rules: &Rules) {
        let spec = &bundle.spec;
        let inputs = Inputs {
            options: spec.options.clone(),
            targets: spec.targets.clone(),
            mode: spec.target_customization_mode,
            labels: bundle.metadata.labels.clone(),
            rules: rules.clone(),
        };
        if self.inputs.as_ref() != Some(&inputs) {
            *self = Self { inputs: Some(inputs), ..Self::default() };
        }
        self.made_count = 0;
    }

    pub(super) fn get(&self, cluster: &ClusterView, choice: &Choice) -> Option<Made> {
        let (held, made) = self.by_address.get(&address(cluster))?;
        (held == choice).then(|| made.clone())
    }

    pub(super) fn note(&mut self, cluster: &ClusterView, choice: &Choice, made: &Made) {
        self.made_count += 1;
        self.by_address.insert(address(cluster), (choice.clone(), made.clone()));
    }

    /// Ends a pass over these clusters: holds those with an entry, forgets all others.
    pub(super) fn end(mut self, views: &[Arc<ClusterView>]) -> Self {
        let known: BTreeSet<usize> = views.iter().map(|view| address(view)).collect();
        self.by_address.retain(|address, _| known.contains(address));
        let is_held = |view: &&Arc<ClusterView>| self.by_address.contains_key(&address(view));
        self.views = views.iter().filter(is_held).cloned().collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::content::{ContentId, DeploymentId};
    use crate::options::Resolver;
    use crate::target::match_targets;

    const CLUSTERS: usize = 5_000;

    fn bundle(values: Value) -> Bundle {
        let target = json!({"name": "all", "clusterSelector": {}});
        let spec = json!({"helm": {"values": values}, "targets": [target]});
        serde_json::from_value(json!({"metadata": {"name": "b"}, "spec": spec})).expect("a bundle")
    }

    fn view(index: usize, zone: &str) -> Arc<ClusterView> {
        Arc::new(ClusterView {
            name: format!("c{index:04}"),
            labels: [("zone".to_owned(), zone.to_owned())].into(),
            ..Default::default()
        })
    }

    fn pass(
        memo: Memo,
        bundle: &Bundle,
        content: &str,
        views: &[Arc<ClusterView>],
    ) -> (Memo, Vec<DeploymentId>) {
        let content = ContentId::of_digest(content);
        let mut resolver = Resolver::remembering(bundle, &content, Rules::default(), memo);
        let clusters = views.iter().map(|view| &**view);
        let matches = match_targets(&bundle.spec, clusters).expect("valid selectors");
        let ids = matches
            .iter()
            .map(|matched| resolver.resolve(matched).expect("values").deployment_id)
            .collect();
        (resolver.into_memo(views), ids)
    }

    #[test]
    fn of_five_thousand_clusters_only_those_that_changed_are_rendered() {
        let templated = bundle(json!({"zone": "${ .ClusterLabels.zone }"}));
        let mut views: Vec<_> = (0..CLUSTERS).map(|index| view(index, "a")).collect();
        let (memo, first) = pass(Memo::default(), &templated, "1", &views);
        assert_eq!(memo.made_count(), CLUSTERS);
        let (memo, again) = pass(memo, &templated, "1", &views);
        assert_eq!((memo.made_count(), &again), (0, &first));

        views[7] = view(7, "b");
        views.remove(9);
        let (memo, changed) = pass(memo, &templated, "2", &views);
        assert_eq!(memo.made_count(), 1);
        assert_eq!((memo.views.len(), memo.by_address.len()), (CLUSTERS - 1, CLUSTERS - 1));
        assert_eq!(changed, pass(Memo::default(), &templated, "2", &views).1);
        assert_ne!(changed[7].options, changed[8].options);

        let other = bundle(json!({"zone": "${ .ClusterLabels.zone }", "x": 1}));
        let (memo, ids) = pass(memo, &other, "2", &views);
        assert_eq!(memo.made_count(), CLUSTERS - 1);
        assert_eq!(ids, pass(Memo::default(), &other, "2", &views).1);
    }

    #[test]
    fn without_templates_there_is_nothing_to_remember() {
        let plain = bundle(json!({"zone": "a"}));
        let views: Vec<_> = (0..3).map(|index| view(index, "a")).collect();
        let (memo, _) = pass(Memo::default(), &plain, "1", &views);
        assert_eq!((memo.made_count(), memo.views.len()), (0, 0));
    }
}
