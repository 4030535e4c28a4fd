//! Bundles: from files and targets to one BundleDeployment per cluster.
//!
//! Owns the order observe → decide → write. The decisions themselves are `bundle_format`'s. Start
//! at [`reconcile_bundle`].

pub mod apply;
pub mod downstream;
pub mod memory;
pub mod observe;
pub mod plan;

use std::collections::BTreeSet;
use std::time::Duration;

use bundle_format::api::{Bundle, BundleStatus};
use bundle_format::options::{Resolver, Target};
use bundle_format::placement::{PlacementPolicy, place_targets};
use bundle_format::rollout::plan_rollout;
use bundle_format::target::match_targets;
use jiff::Timestamp;
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};
use runtime::events::{EventType, Occurrence};
use runtime::status::{StatusWrite, patch_status};
use runtime::{NextWake, ObjectKey, chain};

use crate::context::Context;
use crate::error::Error;
use crate::registration::token::wake_at;
use crate::stores::KnownBundle;
pub use apply::apply_rollout;
use memory::LastPass;
pub use observe::{BundleWorld, ObserveError, observe_bundle};
use plan::standing::Standing;
use plan::status::Outcome;

/// Time between two looks at Secrets and ConfigMaps that are sent along.
const SOURCE_INTERVAL: Duration = Duration::from_secs(15);

/// How long a pass that wrote BundleDeployments leaves its status to the next one.
const STATUS_DELAY: Duration = Duration::from_millis(150);

/// Brings one Bundle and its BundleDeployments where they shall be.
pub async fn reconcile_bundle(ctx: &Context, key: &ObjectKey) -> Result<NextWake, Error> {
    let Some(known) = ctx.stores.bundles.get(key) else {
        ctx.memory.forget_bundle(key);
        ctx.stores.fleet.forget_bundle(key);
        return Ok(NextWake::OnChange);
    };
    apply::settle_doubts(ctx, key).await?;
    if known.bundle.metadata.deletion_timestamp.is_some() {
        return apply::finalize_bundle(ctx, &known).await;
    }
    let LastPass { epoch, settled, reports } = ctx.memory.begin_pass(key);
    if let Some(standing) = settled.and_then(|held| take_reports(ctx, key, held, &reports)) {
        let status = plan::status::plan_status(&known, &standing, &ctx.now_text());
        ctx.memory.settle(key, epoch, standing);
        write_status(ctx, &known, &status).await?;
        return Ok(NextWake::OnChange);
    }
    apply::ensure_finalizer(ctx, &known).await?;
    match roll_out(ctx, &known, epoch).await {
        Ok((status, next_wake)) => {
            if let Some(status) = status {
                write_status(ctx, &known, &status).await?;
            }
            Ok(next_wake.map_or(NextWake::OnChange, |at| wake_at(at, ctx.now())))
        }
        Err(error @ Error::User { .. }) => {
            let message = match &error {
                Error::User { detail, .. } => detail.clone(),
                other => chain(other),
            };
            let status = plan::status::failed_status(&known, &message, &ctx.now_text());
            write_status(ctx, &known, &status).await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// The clusters of a settled rollout after what was reported; `None` when it has to be planned anew.
fn take_reports(
    ctx: &Context,
    key: &ObjectKey,
    mut standing: Standing,
    homes: &BTreeSet<String>,
) -> Option<Standing> {
    let mut homes = homes.iter();
    let holds = homes.all(|home| {
        let deployment = observe::deployment_in(&ctx.stores, key, home);
        standing.take_report(home, deployment.as_deref())
    });
    (holds && standing.rest()).then_some(standing)
}

/// Decides and writes; returns what the Bundle says afterwards, if that is worth a write now, and
/// when to look again.
async fn roll_out(
    ctx: &Context,
    known: &KnownBundle,
    epoch: u64,
) -> Result<(Option<BundleStatus>, Option<Timestamp>), Error> {
    let key = ObjectKey::of_meta(&known.bundle.metadata);
    let user = |detail: String| Error::User { object: format!("bundle {key}"), detail };
    let world = observe_bundle(&ctx.stores, known);
    tell_violation(ctx, &known.bundle, world.as_ref().err()).await;
    let world = world.map_err(|error| user(chain(&error)))?;
    let clusters = world.clusters.iter().map(|cluster| &**cluster);
    let matches = match_targets(&world.bundle.spec, clusters)
        .map_err(|error| user(format!("targeting error: {}", chain(&error))))?;
    let placed = place_targets(&PlacementPolicy::default(), matches);
    let memo = ctx.memory.take_options(&key);
    let rules = world.rules.clone();
    let mut resolver = Resolver::remembering(&world.bundle, &known.content, rules, memo);
    let mut targets: Vec<Target<'_>> = Vec::with_capacity(placed.len());
    for placed in &placed {
        let target = resolver.resolve(&placed.matched).map_err(|error| user(chain(&error)))?;
        let deployment = world.deployment_of(target.cluster);
        targets.push(target.with_deployment(deployment));
    }
    ctx.memory.keep_options(&key, resolver.into_memo(&world.clusters));
    let strategy = world.bundle.spec.rollout_strategy.clone().unwrap_or_default();
    let plan = plan_rollout(&strategy, &targets, ctx.now()).map_err(|error| user(chain(&error)))?;
    let writes =
        plan::deployments::plan_deployments(&world.bundle, &targets, &plan, &world.deployments);
    // A cluster that leaves counts in no budget any more, so it leaves before others change.
    apply::delete_orphans(ctx, &world, &targets).await?;
    let written_count = apply_rollout(ctx, known, &targets, writes).await?;
    let after = observe::deployments_of(&ctx.stores, &key);
    let sends_along = downstream::publish_downstream(ctx, known, &after).await?;
    let standing = Standing::of(Outcome::of(&targets, &plan), &after);
    let status = plan::status::plan_status(known, &standing, &ctx.now_text());
    if standing.outcome().is_settled && standing.holds(&after) && !sends_along {
        ctx.memory.settle(&key, epoch, standing);
    } else if plan.next_wake.is_some_and(|at| at <= ctx.now()) && known.bundle.status.is_some() {
        // The next pass follows at once and will have more to say.
        return Ok((None, plan.next_wake));
    }
    let look_again = sends_along.then(|| ctx.now() + SOURCE_INTERVAL);
    let next_wake = plan.next_wake.or(look_again);
    if written_count > 0 && ctx.memory.leave_status(&key) {
        // Its own writes wake it, and until then the first agents may have answered.
        let soon = ctx.now() + STATUS_DELAY;
        return Ok((None, Some(next_wake.map_or(soon, |at| at.min(soon)))));
    }
    Ok((Some(status), next_wake))
}

/// Says in an Event that a Policy forbids the Bundle, once as long as it does.
async fn tell_violation(ctx: &Context, bundle: &Bundle, error: Option<&ObserveError>) {
    const REASON: &str = "PolicyViolation";
    let Some(ObserveError::Policy(violation)) = error else {
        return ctx.events.clear(bundle.metadata.uid.as_deref().unwrap_or_default(), REASON);
    };
    let note = &violation.to_string();
    let kind = EventType::Warning;
    let occurrence = Occurrence { kind, reason: REASON, action: "CheckPolicy", note };
    ctx.events.publish(bundle, &occurrence).await;
}

async fn write_status(
    ctx: &Context,
    known: &KnownBundle,
    after: &BundleStatus,
) -> Result<(), Error> {
    let bundle = &known.bundle;
    let before = serde_json::to_value(&bundle.status).unwrap_or_default();
    let after = serde_json::to_value(after).unwrap_or_default();
    let name = bundle.name_any();
    let api: Api<PartialObjectMeta<Bundle>> =
        Api::namespaced(ctx.client.clone(), &bundle.namespace().unwrap_or_default());
    let write = StatusWrite { name: &name, resource_version: None, noise: &[] };
    patch_status(&api, &write, &before, &after).await?;
    ctx.memory.note_status(&ObjectKey::of_meta(&bundle.metadata));
    Ok(())
}
