//! The walk: one commit, fourteen names, in order, every type written out.
//!
//! This file is the map of `ARCHITECTURE.md` as code: it stops compiling when the map is wrong. The
//! stories of `tests/conformance` run the same functions on real clusters.

use std::sync::Arc;

use agent::content::fetch_manifest;
use agent::live::execute::{ChangeSet, execute};
use agent::live::member::Member;
use agent::plan::apply::{ApplyOptions, ApplyPlan, DesiredSet, LiveSet, plan_apply};
use anyhow::Result;
use bundle_format::api::{Bundle, BundleDeploymentOptions, RolloutStrategy};
use bundle_format::content::{ContentId, DeploymentId, Manifest};
use bundle_format::options::{Rules, Target, resolve_target};
use bundle_format::placement::{Placed, PlacementPolicy, place_targets};
use bundle_format::read::{FileTree, ReadOutcome, ReadRequest, read_bundles};
use bundle_format::rollout::{RolloutPlan, plan_rollout};
use bundle_format::target::{ClusterView, Match, match_targets};
use controller::bundle::plan::deployments::DeploymentWrite;
use controller::bundle::{BundleWorld, apply_rollout, observe_bundle};
use controller::stores::{KnownBundle, Stores};
use gitjob::git::{CommitId, GitStore, GitTree, Remote, fetch_tree, resolve_head};
use gitjob::plan::publish::{PublishPlan, WantedBundle};
use gitjob::publish::{Destination, Published, publish_bundles};
use jiff::Timestamp;
use kube::Client;
use render::{RenderRequest, RenderedSet, render_manifest};
use tokio_util::sync::CancellationToken;

/// From a remote to published bundles: `gitjob`.
async fn walk_gitjob(
    store: &Arc<GitStore>,
    remote: &Remote,
    request: &ReadRequest,
    plan: (&PublishPlan, &[WantedBundle]),
    to: &Destination<'_>,
) -> Result<Published> {
    let commit: CommitId = resolve_head(remote).await?;
    let tree: GitTree = fetch_tree(store, remote, &commit, &CancellationToken::new()).await?;
    let files: &dyn FileTree = &tree;
    let _drafts: ReadOutcome = read_bundles(files, request);
    Ok(publish_bundles(to, plan.0, plan.1).await)
}

/// From a bundle to what each cluster gets now: `controller`, all decisions in `bundle-format`.
async fn walk_controller(
    ctx: &controller::Context,
    stores: &Stores,
    known: &KnownBundle,
    (bundle, content): (&Bundle, &ContentId),
    clusters: &[ClusterView],
) -> Result<RolloutPlan> {
    let _world: BundleWorld = observe_bundle(stores, known)?;
    let matches: Vec<Match<'_>> = match_targets(&bundle.spec, clusters)?;
    let placed: Vec<Placed<'_>> = place_targets(&PlacementPolicy::default(), matches);
    let rules = Rules::default();
    let resolved = placed.iter().map(|one| resolve_target(bundle, content, one, &rules));
    let targets: Vec<Target<'_>> = resolved.collect::<Result<_, _>>()?;
    let strategy = RolloutStrategy::default();
    let plan: RolloutPlan = plan_rollout(&strategy, &targets, Timestamp::UNIX_EPOCH)?;
    let writes: Vec<DeploymentWrite> = Vec::new();
    apply_rollout(ctx, known, &targets, writes).await?;
    Ok(plan)
}

/// From a deployment id to objects in the cluster: `agent`.
async fn walk_agent(
    hub: &Client,
    id: &DeploymentId,
    (options, request): (&BundleDeploymentOptions, &RenderRequest<'_>),
    (desired, live, rules): (&DesiredSet, &LiveSet, &ApplyOptions<'_>),
    member: &Member,
) -> Result<ChangeSet> {
    let manifest: Manifest = fetch_manifest(hub, id).await?;
    let _rendered: RenderedSet = render_manifest(&manifest, options, request)?;
    let plan: ApplyPlan = plan_apply(desired, live, rules)?;
    Ok(execute(member, &plan, false).await)
}

/// What was checked is that this compiles; running it is what the stories do.
#[test]
fn the_walk_compiles_in_the_order_of_the_map() {
    let steps = [
        std::any::type_name_of_val(&walk_gitjob),
        std::any::type_name_of_val(&walk_controller),
        std::any::type_name_of_val(&walk_agent),
    ];
    let map = include_str!("../../../ARCHITECTURE.md");
    let places = ["gitjob::publish::", "controller::bundle::", "agent::live::"];
    for (step, place) in steps.iter().zip(places) {
        assert!(map.contains(place), "{step} ends at {place}, which the map does not have");
    }
}
