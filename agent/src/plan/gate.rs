//! Tells whether a bundle deployment may be worked on now.
//!
//! Owns pause, schedule, missing values and dependencies. Must not know what the work is. Start at
//! [`check_gate`].

use std::sync::Arc;

use bundle_format::api::bundle::BundleRef;
use bundle_format::api::labels::{BUNDLE_NAME, BUNDLE_NAMESPACE};
use bundle_format::api::{BundleDeployment, LabelSelector};
use bundle_format::summary::deployment_state;
use bundle_format::target::selector::Selector;
use kube::ResourceExt;

/// What keeps a bundle deployment from being worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing.
    Open,
    /// Paused, off schedule, without its values or without a version: left alone, drift included.
    Resting,
    /// A bundle it depends on is not there or not in an accepted state.
    Waiting {
        /// The words of Fleet 0.16.
        message: String,
    },
}

/// Checks a bundle deployment against the others of its cluster.
#[must_use]
pub fn check_gate(deployment: &BundleDeployment, others: &[Arc<BundleDeployment>]) -> Gate {
    let spec = &deployment.spec;
    if spec.paused || spec.off_schedule || spec.waiting_for_values || spec.deployment_id.is_empty()
    {
        return Gate::Resting;
    }
    let bundle_namespace = deployment.labels().get(BUNDLE_NAMESPACE).cloned().unwrap_or_default();
    let mut unready = Vec::new();
    for dependency in &spec.depends_on {
        let Some(selector) = effective_selector(dependency, &bundle_namespace) else { continue };
        let compiled = match Selector::compile(&selector) {
            Ok(compiled) => compiled,
            Err(error) => return Gate::Waiting { message: error.to_string() },
        };
        let found: Vec<_> =
            others.iter().filter(|other| compiled.matches(other.labels())).collect();
        if found.is_empty() {
            let message = format!(
                "list bundledeployments: no bundles matching labels {} in namespace {bundle_namespace}",
                selector_text(&selector)
            );
            return Gate::Waiting { message };
        }
        let unaccepted = found.into_iter().filter(|other| !is_accepted(other, dependency));
        unready.extend(unaccepted.map(|other| other.name_any()));
    }
    if unready.is_empty() {
        return Gate::Open;
    }
    Gate::Waiting { message: format!("dependent bundle(s) are not ready: [{}]", unready.join(" ")) }
}

/// A name adds two labels to the selector; neither name nor selector selects nothing.
fn effective_selector(dependency: &BundleRef, bundle_namespace: &str) -> Option<LabelSelector> {
    if dependency.name.is_empty() && dependency.selector.is_none() {
        return None;
    }
    let mut selector = dependency.selector.clone().unwrap_or_default();
    if !dependency.name.is_empty() {
        selector.match_labels.insert(BUNDLE_NAME.to_owned(), dependency.name.clone());
        selector.match_labels.insert(BUNDLE_NAMESPACE.to_owned(), bundle_namespace.to_owned());
    }
    Some(selector)
}

/// A selector in the words of `kubectl get -l`.
pub(crate) fn selector_text(selector: &LabelSelector) -> String {
    let equal = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let others = selector.match_expressions.iter().map(|expression| {
        format!(
            "{} {} ({})",
            expression.key,
            expression.operator.to_lowercase(),
            expression.values.join(",")
        )
    });
    equal.chain(others).collect::<Vec<_>>().join(",")
}

fn is_accepted(deployment: &BundleDeployment, dependency: &BundleRef) -> bool {
    let state = deployment_state(deployment).as_str();
    if dependency.accepted_states.is_empty() {
        return state == "Ready";
    }
    dependency.accepted_states.iter().any(|accepted| accepted == state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(name: &str, ready: bool) -> BundleDeployment {
        let mut deployment = BundleDeployment::default();
        deployment.metadata.name = Some(name.to_owned());
        let labels = [(BUNDLE_NAME, name), (BUNDLE_NAMESPACE, "clusters")];
        deployment.metadata.labels = Some(
            labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        );
        deployment.spec.deployment_id = "s-1:1".to_owned();
        deployment.spec.staged_deployment_id = "s-1:1".to_owned();
        let status = bundle_format::api::BundleDeploymentStatus {
            applied_deployment_id: "s-1:1".to_owned(),
            ready,
            non_modified: true,
            ..Default::default()
        };
        deployment.status = Some(status);
        deployment
    }

    fn depending_on(name: &str) -> BundleDeployment {
        let mut deployment = deployment("dependent", true);
        deployment.spec.depends_on =
            vec![BundleRef { name: name.to_owned(), ..BundleRef::default() }];
        deployment
    }

    // Texts recorded in observed/errors-dependson-missing.yaml and errors-dependson-notready.yaml.
    #[test]
    fn missing_dependency_is_named_by_its_labels() {
        let message = "list bundledeployments: no bundles matching labels fleet.cattle.io/bundle-name=no-such-bundle,\
                       fleet.cattle.io/bundle-namespace=clusters in namespace clusters";
        let gate = check_gate(&depending_on("no-such-bundle"), &[]);
        assert_eq!(gate, Gate::Waiting { message: message.to_owned() });
    }

    #[test]
    fn unready_dependency_keeps_the_gate_closed_until_it_is_ready() {
        let unready = [Arc::new(deployment("e-kind-a", false))];
        let message = "dependent bundle(s) are not ready: [e-kind-a]".to_owned();
        assert_eq!(check_gate(&depending_on("e-kind-a"), &unready), Gate::Waiting { message });
        let ready = [Arc::new(deployment("e-kind-a", true))];
        assert_eq!(check_gate(&depending_on("e-kind-a"), &ready), Gate::Open);
    }

    #[test]
    fn accepted_states_replace_ready() {
        let mut dependent = depending_on("e-kind-a");
        dependent.spec.depends_on[0].accepted_states = vec!["NotReady".to_owned()];
        assert_eq!(check_gate(&dependent, &[Arc::new(deployment("e-kind-a", false))]), Gate::Open);
    }

    #[test]
    fn paused_deployment_rests() {
        let mut paused = deployment("a", true);
        paused.spec.paused = true;
        assert_eq!(check_gate(&paused, &[]), Gate::Resting);
    }
}
