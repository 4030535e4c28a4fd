//! Which change wakes which pass.
//!
//! Owns the arrows between kinds. Decides nothing else. Start at [`connect`].
//!
//! A change of status wakes only those who add it up, after a short delay: a thousand reports are
//! one pass. A change of spec wakes at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::{BundleDeployment, Cluster, labels, names};
use bundle_format::target::mapping::MappingMatcher;
use bundle_format::target::selector::Labels;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::{Resource as _, ResourceExt};
use runtime::{Change, ObjectKey};

use crate::cluster_group;
use crate::config::HubConfig;
use crate::content_gc::COUNT_DELAY;
use crate::context::{Context, Orphan};
use crate::stores::{KnownBundle, WAITING, bundle_of, contents_of, repo_of};

/// Delay of a Bundle's pass after something it may depend on changed.
const BUNDLE_DELAY: Duration = Duration::from_millis(50);
/// Delay of a Bundle's pass after its deployments reported something.
const REPORT_DELAY: Duration = Duration::from_millis(150);
/// Delay of a group's pass: it adds up whole clusters.
const GROUP_DELAY: Duration = Duration::from_millis(500);

/// Connects the caches with the queues. Objects that exist already count as changes.
pub(crate) fn connect(ctx: &Arc<Context>) {
    connect_config(ctx);
    connect_clusters(ctx);
    connect_targeting(ctx);
    connect_bundles(ctx);
    connect_deployments(ctx);
    connect_registration(ctx);
    connect_unserved(ctx);
    ctx.queues.orphans.add(Orphan::Access);
}

fn connect_unserved(ctx: &Arc<Context>) {
    let weak = Arc::downgrade(ctx);
    ctx.stores.unserved.subscribe(move |object| {
        if let Some(ctx) = weak.upgrade() {
            ctx.queues.unserved.add(object);
        }
    });
}

fn connect_config(ctx: &Arc<Context>) {
    let weak = Arc::downgrade(ctx);
    ctx.stores.config.subscribe(move |change| {
        let (Some(ctx), Some(map)) = (weak.upgrade(), &change.new) else { return };
        let text = map.data.as_ref().and_then(|data| data.get(labels::CONFIG_KEY));
        match text.map(|text| HubConfig::parse(text)).transpose() {
            Ok(config) => {
                if ctx.set_hub(config.unwrap_or_default()) {
                    wake_all_clusters(&ctx);
                }
            }
            Err(error) => tracing::error!(%error, "keeping the settings that were read last"),
        }
        ctx.queues.hub.add(());
    });
    // Also without a ConfigMap: then the defaults hold.
    ctx.queues.hub.add(());
}

fn wake_all_clusters(ctx: &Context) {
    for cluster in ctx.stores.clusters.list() {
        ctx.queues.clusters.add(ObjectKey::of_meta(&cluster.metadata));
    }
    for token in ctx.stores.tokens.list() {
        ctx.queues.tokens.add(ObjectKey::of_meta(&token.metadata));
    }
}

fn connect_clusters(ctx: &Arc<Context>) {
    let weak = Arc::downgrade(ctx);
    ctx.stores.clusters.subscribe(move |change| {
        let Some(ctx) = weak.upgrade() else { return };
        let namespace = change.key.namespace.as_str();
        match is_status_only(change) {
            // Usually our own write, after which there is nothing to do.
            true => ctx.wake_cluster_summary(change.key.clone()),
            false => ctx.queues.clusters.add(change.key.clone()),
        }
        wake_groups(&ctx, change);
        if targeting_changed(change) {
            wake_touched(&ctx, ctx.stores.fleet.set_cluster(&change.key, change.new.as_deref()));
            // Whether a Policy is meant for it depends on the Cluster too.
            let agent = ObjectKey::new(namespace, names::agent_bundle(&change.key.name));
            if ctx.stores.bundles.exists(&agent) {
                wake_touched(&ctx, vec![agent]);
            }
            wake_waiting_requests(&ctx, namespace);
        }
        if change.is_deletion() {
            ctx.memory.forget_cluster(&change.key);
            ctx.paces.clusters.forget(&change.key);
        }
        if let (Some(old), None) = (&change.old, &change.new)
            && let Some(home) = old.cluster_namespace()
        {
            ctx.queues.orphans.add(Orphan::Namespace(home.to_owned()));
        }
    });
    let weak = Arc::downgrade(ctx);
    ctx.stores.namespaces.subscribe(move |change| {
        let Some(ctx) = weak.upgrade() else { return };
        ctx.queues.orphans.add(Orphan::Namespace(change.key.name.clone()));
        wake_mapped(&ctx, change);
        if let Some(cluster) = ctx.stores.cluster_of_namespace(&change.key.name)
            && change.new.is_none()
        {
            ctx.queues.clusters.add(ObjectKey::of_meta(&cluster.metadata));
        }
    });
}

fn is_status_only(change: &Change<Cluster>) -> bool {
    matches!((&change.old, &change.new), (Some(old), Some(new))
        if is_same_wish(&old.metadata, &new.metadata))
}

/// Whether two states of an object differ in nothing that a person or another process asked for.
fn is_same_wish(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.generation == new.generation
        && old.labels == new.labels
        && old.annotations == new.annotations
        && old.deletion_timestamp == new.deletion_timestamp
}

/// Whether bundles may have to go elsewhere, or render otherwise, because of a Cluster's change.
fn targeting_changed(change: &Change<Cluster>) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return true };
    let schedule = |cluster: &Cluster| {
        cluster.status.as_ref().map(|status| (status.scheduled, status.active_schedule))
    };
    !is_same_wish(&old.metadata, &new.metadata)
        || old.cluster_namespace() != new.cluster_namespace()
        || schedule(old) != schedule(new)
}

/// Wakes Bundles to whose plan something happened.
fn wake_touched(ctx: &Context, bundles: Vec<ObjectKey>) {
    for bundle in bundles {
        ctx.memory.mark_stale(&bundle);
        ctx.queues.bundles.add_after(bundle, BUNDLE_DELAY);
    }
}

/// Wakes all Bundles of a namespace: a rule for all of them changed.
fn wake_bundles_of(ctx: &Context, namespace: &str) {
    let bundles = ctx.stores.bundles.list_in(namespace);
    wake_touched(ctx, bundles.iter().map(|known| ObjectKey::of_meta(known.meta())).collect());
}

/// Wakes the Bundles that a mapping leads to a namespace, or led there before it changed.
fn wake_mapped(ctx: &Context, change: &Change<PartialObjectMeta<Namespace>>) {
    let labels = |side: &Option<Arc<PartialObjectMeta<Namespace>>>| {
        side.as_ref().map(|held| held.labels().clone())
    };
    let (before, after) = (labels(&change.old), labels(&change.new));
    if before == after {
        return;
    }
    for mapping in ctx.stores.mappings.list() {
        // One that means nothing keeps its bundles from going anywhere.
        let Ok(Some(mapping)) = MappingMatcher::compile(&mapping) else { continue };
        let reaches = |labels: &Option<Labels>| labels.as_ref().is_some_and(|l| mapping.reaches(l));
        if reaches(&before) != reaches(&after) {
            let bundles = ctx.stores.bundles.list_in(mapping.namespace());
            let mapped = bundles.iter().filter(|known| mapping.maps(&known.bundle));
            wake_touched(ctx, mapped.map(|known| ObjectKey::of_meta(known.meta())).collect());
        }
    }
}

/// Wakes the groups a Cluster left or joined, and those it is in if it says something else now.
fn wake_groups(ctx: &Context, change: &Change<Cluster>) {
    let says_same = matches!((&change.old, &change.new), (Some(old), Some(new))
        if cluster_group::says_same(old, new));
    let is_same_member = matches!((&change.old, &change.new), (Some(old), Some(new))
        if old.metadata.labels == new.metadata.labels);
    if says_same && is_same_member {
        return;
    }
    let groups_of = |side: &Option<Arc<Cluster>>| {
        let held = side.as_ref();
        held.map(|held| ctx.stores.fleet.groups_holding(&change.key.namespace, held.labels()))
            .unwrap_or_default()
    };
    let (before, after) = (groups_of(&change.old), groups_of(&change.new));
    for group in before.union(&after) {
        let is_member = before.contains(group) && after.contains(group);
        if !(says_same && is_member) {
            ctx.queues.groups.add_after(group.clone(), GROUP_DELAY);
        }
    }
}

/// Wakes the requests of a namespace that were not granted yet.
fn wake_waiting_requests(ctx: &Context, namespace: &str) {
    for request in ctx.stores.registrations.by_index(WAITING, namespace) {
        ctx.queues.registrations.add(ObjectKey::of_meta(&request.metadata));
    }
}

fn connect_targeting(ctx: &Arc<Context>) {
    let weak = Arc::downgrade(ctx);
    ctx.stores.groups.subscribe(move |change| {
        let Some(ctx) = weak.upgrade() else { return };
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && is_same_wish(&old.metadata, &new.metadata)
        {
            // As with Bundles: the last pass may not have known of our own write.
            ctx.queues.groups.add_after(change.key.clone(), GROUP_DELAY);
            return;
        }
        ctx.queues.groups.add(change.key.clone());
        wake_touched(&ctx, ctx.stores.fleet.set_group(&change.key, change.new.as_deref()));
    });
    let weak = Arc::downgrade(ctx);
    ctx.stores.mappings.subscribe(move |change| {
        if let Some(ctx) = weak.upgrade() {
            wake_bundles_of(&ctx, &change.key.namespace);
        }
    });
    let weak = Arc::downgrade(ctx);
    ctx.stores.policies.subscribe(move |change| {
        if let Some(ctx) = weak.upgrade() {
            wake_bundles_of(&ctx, &change.key.namespace);
        }
    });
    let weak = Arc::downgrade(ctx);
    ctx.stores.restrictions.subscribe(move |change| {
        if let Some(ctx) = weak.upgrade() {
            wake_bundles_of(&ctx, &change.key.namespace);
        }
    });
}

fn connect_bundles(ctx: &Arc<Context>) {
    let weak = Arc::downgrade(ctx);
    ctx.stores.bundles.subscribe(move |change| {
        let Some(ctx) = weak.upgrade() else { return };
        let own_write = matches!((&change.old, &change.new), (Some(old), Some(new))
            if is_same_wish(&old.bundle.metadata, &new.bundle.metadata));
        if !own_write {
            ctx.memory.mark_stale(&change.key);
            ctx.queues.bundles.add(change.key.clone());
        } else {
            // A pass that ran before this write of ours was seen compared with the status before
            // it, and may have found nothing to say.
            ctx.queues.bundles.add_after(change.key.clone(), REPORT_DELAY);
        }
        for known in [&change.old, &change.new].into_iter().flatten() {
            wake_repo_of_bundle(&ctx, known);
            if !own_write {
                wake_cluster_of_agent(&ctx, known);
            }
            ctx.queues
                .contents
                .add_after(ObjectKey::cluster_scoped(known.content.to_string()), COUNT_DELAY);
        }
    });
    let weak = Arc::downgrade(ctx);
    ctx.stores.bundle_values.subscribe(move |change| {
        if let Some(ctx) = weak.upgrade() {
            ctx.memory.mark_stale(&change.key);
            ctx.queues.bundles.add(change.key.clone());
        }
    });
    let weak = Arc::downgrade(ctx);
    ctx.stores.git_repos.subscribe(move |change| {
        let Some(ctx) = weak.upgrade() else { return };
        if change.is_deletion() {
            ctx.paces.git_repos.forget(&change.key);
        }
        match (&change.old, &change.new) {
            (Some(old), Some(new)) if is_same_wish(&old.metadata, &new.metadata) => {
                ctx.wake_repo_summary(change.key.clone());
            }
            _ => ctx.queues.git_repos.add_after(change.key.clone(), BUNDLE_DELAY),
        }
    });
    let weak = Arc::downgrade(ctx);
    ctx.stores.contents.subscribe(move |change| {
        let Some(ctx) = weak.upgrade() else { return };
        match change.is_deletion() {
            true => ctx.claims.note_gone(&change.key.name),
            false => ctx.queues.contents.add_after(change.key.clone(), COUNT_DELAY),
        }
    });
}

/// Somebody touched the Bundle of an agent: its Cluster sets it right.
fn wake_cluster_of_agent(ctx: &Context, known: &KnownBundle) {
    let meta = &known.bundle.metadata;
    let id = crate::stores::annotation(meta, labels::OBJECT_SET_ID);
    if id == Some(labels::MANAGE_AGENT_SET_ID)
        && let Some(target) = known.bundle.spec.targets.first()
    {
        let namespace = meta.namespace.clone().unwrap_or_default();
        ctx.queues
            .clusters
            .add_after(ObjectKey::new(namespace, &target.cluster_name), BUNDLE_DELAY);
    }
}

fn wake_repo_of_bundle(ctx: &Context, known: &KnownBundle) {
    let meta = &known.bundle.metadata;
    if let Some(repo) = crate::stores::label(meta, labels::REPO_NAME) {
        let namespace = meta.namespace.clone().unwrap_or_default();
        ctx.wake_repo_summary(ObjectKey::new(namespace, repo));
    }
}

fn connect_deployments(ctx: &Arc<Context>) {
    let weak = Arc::downgrade(ctx);
    ctx.stores.deployments.subscribe(move |change| {
        let Some(ctx) = weak.upgrade() else { return };
        let gone = change.is_deletion();
        if change.new.as_ref().is_some_and(|new| new.metadata.deletion_timestamp.is_some())
            || change.old.is_none()
        {
            ctx.queues.orphans.add(Orphan::Deployment(change.key.clone()));
        }
        for deployment in [&change.old, &change.new].into_iter().flatten() {
            wake_owners(&ctx, deployment, gone);
        }
        if let Some(cluster) = ctx.stores.cluster_of_namespace(&change.key.namespace) {
            ctx.wake_cluster_summary(ObjectKey::of_meta(&cluster.metadata));
        }
        wake_contents(&ctx, change);
    });
    let weak = Arc::downgrade(ctx);
    ctx.stores.deployment_values.subscribe(move |change| {
        let Some(ctx) = weak.upgrade() else { return };
        if change.is_deletion()
            && let Some(deployment) = ctx.stores.deployments.get(&change.key)
            && let Some(bundle) = bundle_of(&deployment.metadata)
        {
            ctx.memory.mark_stale(&bundle);
            ctx.queues.bundles.add(bundle);
        }
    });
}

fn wake_owners(ctx: &Context, deployment: &BundleDeployment, gone: bool) {
    if let Some(bundle) = bundle_of(&deployment.metadata) {
        let home = deployment.metadata.namespace.as_deref().unwrap_or_default();
        ctx.memory.note_report(&bundle, home);
        let delay = if gone { Duration::ZERO } else { REPORT_DELAY };
        ctx.queues.bundles.add_after(bundle, delay);
    }
    if let Some(repo) = repo_of(&deployment.metadata) {
        ctx.wake_repo_summary(repo);
    }
}

/// Wakes the Contents whose number of users changed.
fn wake_contents(ctx: &Context, change: &Change<BundleDeployment>) {
    let contents = |side: &Option<Arc<BundleDeployment>>| -> BTreeSet<String> {
        let live = side.as_ref().filter(|held| held.metadata.deletion_timestamp.is_none());
        live.into_iter().flat_map(|held| contents_of(held)).map(str::to_owned).collect()
    };
    let (before, after) = (contents(&change.old), contents(&change.new));
    for content in before.symmetric_difference(&after) {
        ctx.memory.note_referenced(content);
        ctx.queues.contents.add_after(ObjectKey::cluster_scoped(content), COUNT_DELAY);
    }
}

fn connect_registration(ctx: &Arc<Context>) {
    let weak = Arc::downgrade(ctx);
    ctx.stores.tokens.subscribe(move |change| {
        let Some(ctx) = weak.upgrade() else { return };
        ctx.queues.tokens.add(change.key.clone());
        wake_waiting_requests(&ctx, &change.key.namespace);
    });
    let weak = Arc::downgrade(ctx);
    ctx.stores.registrations.subscribe(move |change| {
        let Some(ctx) = weak.upgrade() else { return };
        if !change.is_deletion() {
            ctx.queues.registrations.add(change.key.clone());
            return;
        }
        ctx.queues.orphans.add(Orphan::Access);
        // Others of the same client may have waited behind it.
        let client = change.old.as_ref().map(|old| old.spec.client_id.as_str()).unwrap_or_default();
        for rival in ctx.stores.requests_of_client(&change.key.namespace, client) {
            ctx.queues.registrations.add(ObjectKey::of_meta(&rival.metadata));
        }
    });
    let weak = Arc::downgrade(ctx);
    ctx.stores.credentials.subscribe(move |change| {
        if let (Some(ctx), Some(_)) = (weak.upgrade(), &change.new) {
            ctx.queues.orphans.add(Orphan::Credential(change.key.clone()));
        }
    });
}
