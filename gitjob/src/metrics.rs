//! Metrics of the git side, with the names of Fleet 0.16.
//!
//! Start at [`GitMetrics::register`].

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use runtime::ObjectKey;
use runtime::metrics::Metrics;

/// Which GitRepo.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RepoLabels {
    /// Name.
    pub(crate) name: String,
    /// Namespace.
    pub(crate) namespace: String,
}

impl RepoLabels {
    fn of(key: &ObjectKey) -> Self {
        Self { name: key.name.clone(), namespace: key.namespace.clone() }
    }
}

type Histograms = Family<RepoLabels, Histogram, fn() -> Histogram>;

/// The metrics; clones share them.
#[derive(Clone)]
pub(crate) struct GitMetrics {
    looks_ok: Family<RepoLabels, Counter>,
    looks_failed: Family<RepoLabels, Counter>,
    look_secs: Histograms,
    builds_ok: Family<RepoLabels, Counter>,
    builds_failed: Family<RepoLabels, Counter>,
    build_secs: Histograms,
}

impl Default for GitMetrics {
    fn default() -> Self {
        Self {
            looks_ok: Family::default(),
            looks_failed: Family::default(),
            look_secs: Family::new_with_constructor(look_histogram),
            builds_ok: Family::default(),
            builds_failed: Family::default(),
            build_secs: Family::new_with_constructor(build_histogram),
        }
    }
}

fn look_histogram() -> Histogram {
    Histogram::new([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
}

fn build_histogram() -> Histogram {
    Histogram::new([1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 180.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0])
}

impl GitMetrics {
    /// Adds everything to the registry. Counters get `_total` from the encoder.
    pub(crate) fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            let fetch = "fleet_gitrepo_fetch_latest_commit";
            registry.register(
                format!("{fetch}_success"),
                "Looks at a repository that found its commit",
                self.looks_ok.clone(),
            );
            registry.register(
                format!("{fetch}_failure"),
                "Looks at a repository that failed",
                self.looks_failed.clone(),
            );
            registry.register(
                format!("{fetch}_duration_seconds"),
                "Duration of looks at a repository",
                self.look_secs.clone(),
            );
            registry.register(
                "fleet_gitjobs_created_success",
                "Commits read and published",
                self.builds_ok.clone(),
            );
            registry.register(
                "fleet_gitjobs_created_failure",
                "Commits not, or not wholly, published",
                self.builds_failed.clone(),
            );
            registry.register(
                "fleet_gitjob_duration_seconds",
                "Duration of reading and publishing a commit",
                self.build_secs.clone(),
            );
        });
    }

    /// Notes one look.
    pub(crate) fn note_look(&self, repo: &ObjectKey, is_ok: bool, took: Duration) {
        let labels = RepoLabels::of(repo);
        let counter = if is_ok { &self.looks_ok } else { &self.looks_failed };
        counter.get_or_create(&labels).inc();
        self.look_secs.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Notes one build.
    pub(crate) fn note_build(&self, repo: &ObjectKey, is_ok: bool, took: Duration) {
        let labels = RepoLabels::of(repo);
        let counter = if is_ok { &self.builds_ok } else { &self.builds_failed };
        counter.get_or_create(&labels).inc();
        self.build_secs.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Drops the series of a GitRepo that is gone.
    pub(crate) fn forget(&self, repo: &ObjectKey) {
        let labels = RepoLabels::of(repo);
        for family in [&self.looks_ok, &self.looks_failed, &self.builds_ok, &self.builds_failed] {
            family.remove(&labels);
        }
        self.look_secs.remove(&labels);
        self.build_secs.remove(&labels);
    }
}
