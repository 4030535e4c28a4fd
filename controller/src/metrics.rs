//! States of bundles, deployments, clusters, groups and GitRepos as metrics, with the names of
//! Fleet 0.16.
//!
//! Owns names and labels. Read from the caches when somebody asks, so an object that is gone has
//! no series. Labels are names, states and addresses without credentials; never messages, commits
//! or generations, of which there is no end. Start at [`StateMetrics`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bundle_format::api::{BundleSummary, ResourceCounts, labels};
use kube::api::ObjectMeta;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::context::Context;
use crate::stores::label;

/// The states of bundles and deployments, the worst first.
const STATES: [&str; 7] =
    ["ErrApplied", "WaitApplied", "Modified", "OutOfSync", "Pending", "NotReady", "Ready"];
const CLUSTER_STATES: [&str; 4] = ["NotReady", "Ready", "WaitCheckIn", "Offline"];
const GROUP_STATES: [&str; 2] = ["NotReady", "Ready"];

type Labels = Vec<(&'static str, String)>;
type Samples = BTreeMap<String, Vec<(Labels, i64)>>;

/// The metrics; clones share them. Empty until this process leads.
#[derive(Clone, Default)]
pub struct StateMetrics {
    source: Arc<Mutex<Weak<Context>>>,
}

impl fmt::Debug for StateMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateMetrics")
    }
}

impl StateMetrics {
    /// Reads the caches of this term of leadership from now on, as long as it lasts.
    pub fn observe(&self, ctx: &Arc<Context>) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(ctx);
    }
}

impl Collector for StateMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let Some(ctx) = source else { return Ok(()) };
        passes(&ctx, &mut encoder)?;
        for (name, samples) in collect(&ctx) {
            let mut family =
                encoder.encode_descriptor(&name, "As in Fleet 0.16", None, MetricType::Gauge)?;
            for (labels, value) in samples {
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// How many passes each queue ran, under the name every controller gives this number.
fn passes(ctx: &Context, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let (name, help) = ("controller_runtime_reconcile", "Passes by controller and result");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (queue, stats) in ctx.queues.stats() {
        let done = stats.pass_count - stats.failure_count;
        for (result, count) in [("success", done), ("error", stats.failure_count)] {
            let labels: Labels =
                vec![("controller", queue.to_owned()), ("result", result.to_owned())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn collect(ctx: &Context) -> Samples {
    let mut samples = Samples::new();
    bundles(ctx, &mut samples);
    deployments(ctx, &mut samples);
    clusters(ctx, &mut samples);
    groups(ctx, &mut samples);
    git_repos(ctx, &mut samples);
    samples
}

fn add(samples: &mut Samples, prefix: &str, labels: &Labels, values: &[(&str, i64)]) {
    for (name, value) in values {
        samples.entry(format!("{prefix}_{name}")).or_default().push((labels.clone(), *value));
    }
}

/// One series per state: 1 for the current one.
fn add_state(
    samples: &mut Samples,
    prefix: &str,
    labels: &Labels,
    states: &[&'static str],
    now: &str,
) {
    // An empty state is said where everything is ready (Fleet 0.16 leaves `Ready` at 0 then).
    let now = if now.is_empty() { "Ready" } else { now };
    for state in states {
        let mut labels = labels.clone();
        labels.push(("state", (*state).to_owned()));
        add(samples, prefix, &labels, &[("state", i64::from(*state == now))]);
    }
}

fn object(meta: &ObjectMeta) -> Labels {
    vec![
        ("name", meta.name.clone().unwrap_or_default()),
        ("namespace", meta.namespace.clone().unwrap_or_default()),
    ]
}

fn of_label(meta: &ObjectMeta, key: &str) -> String {
    label(meta, key).unwrap_or_default().to_owned()
}

fn bundles(ctx: &Context, samples: &mut Samples) {
    for known in ctx.stores.bundles.list() {
        let Some(status) = &known.bundle.status else { continue };
        let meta = &known.bundle.metadata;
        let mut labels = object(meta);
        labels.push(("repo", of_label(meta, labels::REPO_NAME)));
        add(samples, "fleet_bundle", &labels, &summary_values(&status.summary));
        add_state(samples, "fleet_bundle", &labels, &STATES, &status.display.state);
    }
}

fn summary_values(summary: &BundleSummary) -> [(&'static str, i64); 8] {
    [
        ("not_ready", summary.not_ready),
        ("wait_applied", summary.wait_applied),
        ("err_applied", summary.err_applied),
        ("out_of_sync", summary.out_of_sync),
        ("modified", summary.modified),
        ("ready", summary.ready),
        ("pending", summary.pending),
        ("desired_ready", summary.desired_ready),
    ]
}

fn deployments(ctx: &Context, samples: &mut Samples) {
    for deployment in ctx.stores.deployments.list() {
        let meta = &deployment.metadata;
        let mut labels = object(meta);
        for (name, key) in [
            ("cluster_name", labels::CLUSTER),
            ("cluster_namespace", labels::CLUSTER_NAMESPACE),
            ("repo", labels::REPO_NAME),
            ("bundle", labels::BUNDLE_NAME),
            ("bundle_namespace", labels::BUNDLE_NAMESPACE),
        ] {
            labels.push((name, of_label(meta, key)));
        }
        let state = bundle_format::summary::deployment_state(&deployment).to_string();
        add_state(samples, "fleet_bundledeployment", &labels, &STATES, &state);
    }
}

fn clusters(ctx: &Context, samples: &mut Samples) {
    for cluster in ctx.stores.clusters.list() {
        let Some(status) = &cluster.status else { continue };
        let mut labels = object(&cluster.metadata);
        for (name, key) in [
            ("cluster_name", labels::MANAGEMENT_CLUSTER_NAME),
            ("cluster_display_name", labels::CLUSTER_DISPLAY_NAME),
        ] {
            labels.push((name, of_label(&cluster.metadata, key)));
        }
        let own = [
            ("desired_ready_git_repos", status.desired_ready_git_repos),
            ("ready_git_repos", status.ready_git_repos),
            ("desired_ready_helm_ops", status.desired_ready_helm_ops),
            ("ready_helm_ops", status.ready_helm_ops),
        ];
        add(samples, "fleet_cluster", &labels, &own);
        let counts = resource_values(&status.resource_counts);
        add(samples, "fleet_cluster_resources_count", &labels, &counts);
        let state = match status.display.state.as_str() {
            known @ ("" | "WaitCheckIn" | "Offline") => known,
            _ => "NotReady",
        };
        add_state(samples, "fleet_cluster", &labels, &CLUSTER_STATES, state);
    }
}

fn resource_values(counts: &ResourceCounts) -> [(&'static str, i64); 8] {
    [
        ("desiredready", counts.desired_ready),
        ("missing", counts.missing),
        ("modified", counts.modified),
        ("notready", counts.not_ready),
        ("orphaned", counts.orphaned),
        ("ready", counts.ready),
        ("unknown", counts.unknown),
        ("waitapplied", counts.wait_applied),
    ]
}

fn groups(ctx: &Context, samples: &mut Samples) {
    for group in ctx.stores.groups.list() {
        let Some(status) = &group.status else { continue };
        let labels = object(&group.metadata);
        let own = [
            ("cluster_count", status.cluster_count),
            ("non_ready_cluster_count", status.non_ready_cluster_count),
            ("bundle_desired_ready", status.summary.desired_ready),
            ("bundle_ready", status.summary.ready),
        ];
        add(samples, "fleet_cluster_group", &labels, &own);
        let mut counts = resource_values(&status.resource_counts);
        counts[0].0 = "desired_ready";
        add(samples, "fleet_cluster_group_resource_count", &labels, &counts);
        let state = if status.display.state.is_empty() { "Ready" } else { "NotReady" };
        add_state(samples, "fleet_cluster_group", &labels, &GROUP_STATES, state);
    }
}

fn git_repos(ctx: &Context, samples: &mut Samples) {
    for repo in ctx.stores.git_repos.list() {
        let Some(status) = &repo.status else { continue };
        let mut labels = object(&repo.metadata);
        labels.push(("repo", without_credentials(&repo.spec.repo)));
        labels.push(("branch", repo.spec.branch.clone()));
        let counts = &status.resource_counts;
        let values = [
            ("resources_desired_ready", counts.desired_ready),
            ("resources_missing", counts.missing),
            ("resources_modified", counts.modified),
            ("resources_not_ready", counts.not_ready),
            ("resources_orphaned", counts.orphaned),
            ("resources_ready", counts.ready),
            ("resources_unknown", counts.unknown),
            ("resources_wait_applied", counts.wait_applied),
            ("desired_ready_clusters", status.desired_ready_clusters),
            ("ready_clusters", status.ready_clusters),
        ];
        add(samples, "fleet_gitrepo", &labels, &values);
    }
}

/// An address without user and password.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.rsplit('@').next().unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_loses_its_credentials() {
        let clean = "https://git.example.com/a.git";
        assert_eq!(without_credentials("https://me:t0ken@git.example.com/a.git?token=x"), clean);
        assert_eq!(without_credentials("git@example.com:a.git"), "git@example.com:a.git");
    }

    #[test]
    fn one_state_at_a_time_is_one() {
        let mut samples = Samples::new();
        add_state(&mut samples, "fleet_cluster_group", &Vec::new(), &GROUP_STATES, "");
        let values: Vec<i64> =
            samples["fleet_cluster_group_state"].iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [0, 1]);
    }
}
