//! What every pass of a process shares.
//!
//! Owns the caches, and which change wakes which GitRepo. Decides nothing. Start at
//! [`Context::start`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bundle_format::api::{Bundle, GitRepo, GitRepoRestriction, Policy, labels};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::{Client, Resource, ResourceExt};
use runtime::cache::{CacheBuilder, Change};
use runtime::events::Events;
use runtime::{Cache, Clock, ObjectKey, Queue};

use crate::chart::ChartStore;
use crate::config::GitjobConfig;
use crate::git::remote::Link;
use crate::git::{GitError, GitStore, Heads};
use crate::memory::{Memory, Written};
use crate::metrics::GitMetrics;
use crate::net::Fetcher;
use crate::plan::publish::{KnownBundle, SOURCE_DIGEST};
use crate::webhook::{SecretCache, normalise};

const BY_REPO: &str = "by-repo";
const BY_SECRET: &str = "by-secret";
const BY_URL: &str = "by-url";

/// Shared by all passes.
pub(crate) struct Context {
    /// Settings.
    pub(crate) config: GitjobConfig,
    /// The hub.
    pub(crate) client: Client,
    /// All GitRepos.
    pub(crate) repos: Cache<GitRepo>,
    /// All GitRepoRestrictions.
    pub(crate) restrictions: Cache<GitRepoRestriction>,
    /// All Policies.
    pub(crate) policies: Cache<Policy>,
    /// Metadata of all Bundles.
    pub(crate) bundles: Cache<PartialObjectMeta<Bundle>>,
    /// Names and versions of all Secrets.
    pub(crate) secrets: Cache<PartialObjectMeta<Secret>>,
    /// Charts from elsewhere.
    pub(crate) charts: ChartStore,
    /// Git over the network.
    pub(crate) link: Arc<Link>,
    /// Shared answers about refs.
    pub(crate) heads: Heads,
    /// Fetched objects.
    pub(crate) store: Arc<GitStore>,
    /// Kubernetes Events.
    pub(crate) events: Events,
    /// Metrics.
    pub(crate) metrics: GitMetrics,
    /// What was found out earlier.
    pub(crate) memory: Memory,
    /// GitRepos that want a pass.
    pub(crate) queue: Queue<ObjectKey>,
    /// Data of the Secrets that sign webhooks.
    pub(crate) webhook_secrets: SecretCache,
    /// This process works on GitRepos now.
    leading: AtomicBool,
    /// The callbacks are in place.
    subscribed: AtomicBool,
    /// The time.
    pub(crate) clock: Clock,
}

impl Context {
    /// Starts the caches. Nothing wakes a GitRepo yet: see [`Context::subscribe`].
    ///
    /// # Errors
    /// When the work folder cannot be made.
    pub(crate) fn start(
        config: GitjobConfig,
        client: Client,
        queue: Queue<ObjectKey>,
    ) -> Result<Arc<Self>, GitError> {
        let fetcher = Arc::new(Fetcher::of_process());
        let clock = config.clock.clone();
        let events =
            Events::new(client.clone(), &config.reporter(), &config.identity, clock.clone());
        Ok(Arc::new(Self {
            repos: CacheBuilder::<GitRepo>::new(client.clone())
                .index(BY_SECRET, secrets_of)
                .index(BY_URL, |repo| normalise(&repo.spec.repo).into_iter().collect())
                .shrink(shrink_repo)
                .start(),
            restrictions: CacheBuilder::new(client.clone()).start(),
            policies: CacheBuilder::new(client.clone()).start(),
            bundles: CacheBuilder::<PartialObjectMeta<Bundle>>::new(client.clone())
                .metadata_only()
                .index(BY_REPO, |bundle| owner_of(bundle).into_iter().collect())
                .shrink(shrink_bundle)
                .start(),
            secrets: CacheBuilder::<PartialObjectMeta<Secret>>::new(client.clone())
                .metadata_only()
                .shrink(shrink_secret)
                .start(),
            link: match (&config.source, config.allow_local_repositories) {
                (Some(source), _) => Link::of_source(Arc::clone(&fetcher), Arc::clone(source)),
                (None, true) => Link::serving_local(Arc::clone(&fetcher), config.git_timeout),
                (None, false) => Link::new(Arc::clone(&fetcher), config.git_timeout),
            },
            store: GitStore::new(config.work_dir.join("git"), config.fetch)?,
            heads: Heads::default(),
            metrics: GitMetrics::default(),
            memory: Memory::default(),
            webhook_secrets: SecretCache::default(),
            leading: AtomicBool::new(false),
            subscribed: AtomicBool::new(false),
            charts: ChartStore::new(fetcher, config.work_dir.join("charts")),
            events,
            clock,
            client,
            queue,
            config,
        }))
    }

    /// Waits for the first complete list of everything.
    pub(crate) async fn synced(&self) {
        self.repos.synced().await;
        self.restrictions.synced().await;
        self.policies.synced().await;
        self.bundles.synced().await;
        self.secrets.synced().await;
    }

    /// Adds every GitRepo to the queue; from the first call on, changes wake those they concern.
    pub(crate) fn subscribe(self: &Arc<Self>) {
        if self.subscribed.swap(true, Ordering::Relaxed) {
            for repo in self.repos.list() {
                self.queue.add(ObjectKey::of(&*repo));
            }
            return;
        }
        let (queue, memory) = (self.queue.clone(), self.memory.clone());
        self.repos.subscribe(move |change| {
            if !is_repo_news(change) {
                return;
            }
            if change.old.is_some() {
                // What is being built was asked for by an older spec.
                memory.cancel(&change.key);
            }
            queue.add(change.key.clone());
        });
        let queue = self.queue.clone();
        self.bundles.subscribe(move |change| {
            let is_news = match (&change.old, &change.new) {
                // New Bundles come from us, or were there before us.
                (None, _) => false,
                (Some(old), Some(new)) => is_bundle_news(&old.metadata, &new.metadata),
                (Some(_), None) => true,
            };
            if is_news && let Some(repo) = change.old.as_deref().and_then(owner_name) {
                queue.add(ObjectKey::new(change.key.namespace.clone(), repo));
            }
        });
        self.wake_on_rules();
        let context = Arc::downgrade(self);
        self.secrets.subscribe(move |change| {
            let Some(context) = context.upgrade() else { return };
            for repo in context.repos.by_index(BY_SECRET, &change.key.to_string()) {
                context.queue.add(ObjectKey::of(&*repo));
            }
        });
    }

    /// A restriction or policy concerns every GitRepo of its namespace.
    fn wake_on_rules(self: &Arc<Self>) {
        fn wake(context: &std::sync::Weak<Context>, namespace: &str) {
            let Some(context) = context.upgrade() else { return };
            for repo in context.repos.list_in(namespace) {
                context.queue.add(ObjectKey::of(&*repo));
            }
        }
        let context = Arc::downgrade(self);
        self.restrictions.subscribe(move |change| wake(&context, &change.key.namespace));
        let context = Arc::downgrade(self);
        self.policies.subscribe(move |change| wake(&context, &change.key.namespace));
    }

    /// Says whether this process works on GitRepos now.
    pub(crate) fn set_leading(&self, is_leading: bool) {
        self.leading.store(is_leading, Ordering::Relaxed);
    }

    /// Whether this process works on GitRepos now.
    pub(crate) fn is_leading(&self) -> bool {
        self.leading.load(Ordering::Relaxed)
    }

    /// The GitRepos of a normalised address.
    pub(crate) fn repos_at(&self, url: &str) -> Vec<Arc<GitRepo>> {
        self.repos.by_index(BY_URL, url)
    }

    /// Whether the object belongs to this process's shard.
    #[must_use]
    pub(crate) fn serves(&self, repo: &GitRepo) -> bool {
        let shard = repo.labels().get(labels::SHARD_REF).map(String::as_str).unwrap_or_default();
        shard == self.config.shard_id
    }

    /// The Bundles of a GitRepo.
    #[must_use]
    pub(crate) fn bundles_of(&self, repo: &ObjectKey) -> Vec<Arc<PartialObjectMeta<Bundle>>> {
        self.bundles.by_index(BY_REPO, &repo.to_string())
    }

    /// The Bundles that a plan for this GitRepo has to know: its own, and those whose names it
    /// wants.
    #[must_use]
    pub(crate) fn known_bundles(
        &self,
        repo: &ObjectKey,
        wanted: &BTreeSet<String>,
    ) -> Vec<KnownBundle> {
        let written = self.memory.with(repo, |memory| memory.written.clone());
        let own = self.bundles_of(repo);
        let named = wanted
            .iter()
            .filter_map(|name| self.bundles.get(&ObjectKey::new(repo.namespace.clone(), name)));
        let mut known: Vec<KnownBundle> = own
            .into_iter()
            .chain(named)
            .map(|bundle| known_bundle(&bundle, written.get(&bundle.name_any())))
            .collect();
        known.sort_by(|a, b| a.name.cmp(&b.name));
        known.dedup_by(|a, b| a.name == b.name);
        known
    }
}

/// What is known of a Bundle from the cache, which may lag, and from what this process wrote.
fn known_bundle(bundle: &PartialObjectMeta<Bundle>, written: Option<&Written>) -> KnownBundle {
    let meta = &bundle.metadata;
    let generation = meta.generation.unwrap_or_default();
    let uid = meta.uid.clone().unwrap_or_default();
    let ours = written.filter(|ours| ours.uid == uid);
    let newer = ours.filter(|ours| generation < ours.generation);
    let shown = || bundle.annotations().get(SOURCE_DIGEST).cloned();
    KnownBundle {
        name: bundle.name_any(),
        repo: owner_name(bundle),
        helm_op: bundle.labels().get(labels::HELM_OP_NAME).cloned(),
        uid,
        digest: newer.map_or_else(shown, |ours| Some(ours.digest.clone())),
        is_deleting: meta.deletion_timestamp.is_some(),
        is_touched: ours.is_some_and(|ours| ours.is_doubtful || generation > ours.generation),
    }
}

fn owner_name(bundle: &PartialObjectMeta<Bundle>) -> Option<String> {
    bundle.labels().get(labels::REPO_NAME).cloned()
}

fn owner_of(bundle: &PartialObjectMeta<Bundle>) -> Option<String> {
    let namespace = bundle.namespace().unwrap_or_default();
    owner_name(bundle).map(|repo| ObjectKey::new(namespace, repo).to_string())
}

/// `<namespace>/<name>` of every Secret a GitRepo may use.
fn secrets_of(repo: &GitRepo) -> Vec<String> {
    let namespace = repo.namespace().unwrap_or_default();
    let spec = &repo.spec;
    let names = [
        spec.client_secret_name.as_str(),
        &spec.helm_secret_name,
        &spec.helm_secret_name_for_paths,
        crate::git::auth::DEFAULT_SECRET,
    ];
    let named = names.into_iter().filter(|name| !name.is_empty());
    named.map(|name| ObjectKey::new(namespace.clone(), name).to_string()).collect()
}

/// The parts of the status that the controller fills are big and not ours.
pub(crate) fn shrink_repo(repo: &mut GitRepo) {
    if let Some(status) = &mut repo.status {
        status.resources = Vec::new();
        status.per_cluster_resource_counts.clear();
        status.summary = Default::default();
    }
}

fn shrink_bundle(bundle: &mut PartialObjectMeta<Bundle>) {
    let meta = &mut bundle.metadata;
    let keep = [labels::REPO_NAME, labels::HELM_OP_NAME];
    if let Some(labels) = &mut meta.labels {
        labels.retain(|key, _| keep.contains(&key.as_str()));
    }
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|key, _| key == SOURCE_DIGEST);
    }
    meta.owner_references = None;
    meta.finalizers = None;
}

fn shrink_secret(secret: &mut PartialObjectMeta<Secret>) {
    let meta = &mut secret.metadata;
    meta.labels = None;
    meta.annotations = None;
    meta.owner_references = None;
    meta.finalizers = None;
}

/// Our own status writes are no news; what webhooks of other processes write is.
fn is_repo_news(change: &Change<GitRepo>) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return true };
    let webhook = |repo: &GitRepo| repo.status.as_ref().map(|s| s.webhook_commit.clone());
    old.metadata.generation != new.metadata.generation
        || old.metadata.labels != new.metadata.labels
        || old.meta().deletion_timestamp != new.meta().deletion_timestamp
        || old.metadata.finalizers != new.metadata.finalizers
        || webhook(old) != webhook(new)
}

fn is_bundle_news(old: &kube::api::ObjectMeta, new: &kube::api::ObjectMeta) -> bool {
    old.generation != new.generation
        || old.labels != new.labels
        || old.deletion_timestamp != new.deletion_timestamp
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(generation: i64, digest: &str) -> PartialObjectMeta<Bundle> {
        let mut bundle = PartialObjectMeta::<Bundle>::default();
        bundle.metadata.name = Some("app".to_owned());
        bundle.metadata.uid = Some("one".to_owned());
        bundle.metadata.generation = Some(generation);
        bundle.annotations_mut().insert(SOURCE_DIGEST.to_owned(), digest.to_owned());
        bundle
    }

    fn written(generation: i64, digest: &str) -> Written {
        let unknown = Written::unknown("one".to_owned(), tokio::time::Instant::now());
        Written { generation, digest: digest.to_owned(), is_doubtful: false, ..unknown }
    }

    #[test]
    fn what_was_written_counts_while_the_cache_shows_an_older_bundle() {
        let known = known_bundle(&shown(3, "unpaused"), Some(&written(4, "paused")));
        assert_eq!((known.digest.as_deref(), known.is_touched), (Some("paused"), false));
        let known = known_bundle(&shown(4, "paused"), Some(&written(4, "paused")));
        assert_eq!((known.digest.as_deref(), known.is_touched), (Some("paused"), false));
        let known = known_bundle(&shown(5, "paused"), Some(&written(4, "paused")));
        assert!(known.is_touched, "somebody else wrote it");
        let mut other = shown(1, "new");
        other.metadata.uid = Some("two".to_owned());
        let known = known_bundle(&other, Some(&written(4, "paused")));
        assert_eq!(known.digest.as_deref(), Some("new"), "it was made anew");
    }

    #[test]
    fn a_bundle_whose_write_had_no_answer_is_written_again() {
        let doubtful = Written { is_doubtful: true, ..written(3, "paused") };
        assert!(known_bundle(&shown(3, "paused"), Some(&doubtful)).is_touched);
    }
}
