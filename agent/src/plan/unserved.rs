//! Options that have no effect yet.
//!
//! Owns their names and what happens instead, so that no option is accepted and ignored. What has no effect by design
//! is in `COMPATIBILITY.md`. Must not know statuses. Start at [`unserved_options`].

use bundle_format::api::options::BundleDeploymentOptions;

/// An option that is set and has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Its name in the API.
    pub field: &'static str,
    /// What happens instead.
    pub instead: &'static str,
}

/// The options of a deployment that are set and have no effect, in a fixed order.
#[must_use]
pub fn unserved_options(options: &BundleDeploymentOptions) -> Vec<Unserved> {
    let waits_in_vain =
        options.helm.as_ref().is_some_and(|helm| helm.wait_for_jobs && helm.timeout_seconds <= 0);
    [
        (
            waits_in_vain,
            Unserved {
                field: "waitForJobs",
                instead: "helm.waitForJobs has no effect without helm.timeoutSeconds: nothing is waited for",
            },
        ),
        (
            options.delete_namespace,
            Unserved {
                field: "deleteNamespace",
                instead: "deleteNamespace has no effect in this cluster: the namespace stays when the bundle \
                          goes away",
            },
        ),
    ]
    .into_iter()
    .filter_map(|(is_set, unserved)| is_set.then_some(unserved))
    .collect()
}
