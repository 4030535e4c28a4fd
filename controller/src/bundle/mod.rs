//! Bundles: from files and targets to one BundleDeployment per cluster.
//!
//! Owns the order observe → decide → write. The decisions themselves are `bundle_format`'s. Start
//! at [`reconcile_bundle`].

pub mod apply;
pub mod downstream;
pub mod memory;
pub mod observe;
pub mod plan;

use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::{Bundle, BundleStatus};
use bundle_format::options::{Resolver, Target};
use bundle_format::placement::{PlacementPolicy, place_targets};
use bundle_format::rollout::plan_rollout;
use bundle_format::target::match_targets;
use jiff::Timestamp;
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};
use runtime::status::{StatusWrite, patch_status};
use runtime::{NextWake, ObjectKey, chain};

use crate::context::Context;
use crate::error::Error;
use crate::registration::token::wake_at;
use crate::stores::KnownBundle;
pub use apply::apply_rollout;
pub use observe::{BundleWorld, observe_bundle};
use plan::status::Outcome;

/// Time between two looks at Secrets and ConfigMaps that are sent along.
const SOURCE_INTERVAL: Duration = Duration::from_secs(15);

/// Brings one Bundle and its BundleDeployments where they shall be.
pub async fn reconcile_bundle(ctx: &Context, key: &ObjectKey) -> Result<NextWake, Error> {
    let Some(known) = ctx.stores.bundles.get(key) else {
        ctx.memory.forget_bundle(key);
        return Ok(NextWake::OnChange);
    };
    if known.bundle.metadata.deletion_timestamp.is_some() {
        return apply::finalize_bundle(ctx, &known).await;
    }
    if let Some(settled) = ctx.memory.settled(key) {
        let deployments = observe::deployments_of(&ctx.stores, key);
        if let Some(outcome) = settled.refreshed(&deployments) {
            let status = plan::status::plan_status(&known, &outcome, &deployments, &ctx.now_text());
            write_status(ctx, &known, &status).await?;
            return Ok(NextWake::OnChange);
        }
    }
    apply::ensure_finalizer(ctx, &known).await?;
    match roll_out(ctx, &known).await {
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

/// Decides and writes; returns what the Bundle says afterwards, if that is worth a write now, and
/// when to look again.
async fn roll_out(
    ctx: &Context,
    known: &KnownBundle,
) -> Result<(Option<BundleStatus>, Option<Timestamp>), Error> {
    let key = ObjectKey::of_meta(&known.bundle.metadata);
    let epoch = ctx.memory.epoch(&key);
    let user = |detail: String| Error::User { object: format!("bundle {key}"), detail };
    let world = observe_bundle(&ctx.stores, known).map_err(|error| user(chain(&error)))?;
    let matches = match_targets(&world.bundle.spec, &world.clusters)
        .map_err(|error| user(format!("targeting error: {}", chain(&error))))?;
    let placed = place_targets(&PlacementPolicy::default(), matches);
    let mut resolver = Resolver::new(&world.bundle, &known.content, world.rules.clone());
    let mut targets: Vec<Target<'_>> = Vec::with_capacity(placed.len());
    for placed in &placed {
        let target = resolver.resolve(&placed.matched).map_err(|error| user(chain(&error)))?;
        let deployment = world.deployment_of(target.cluster);
        targets.push(target.with_deployment(deployment));
    }
    let strategy = world.bundle.spec.rollout_strategy.clone().unwrap_or_default();
    let plan = plan_rollout(&strategy, &targets, ctx.now()).map_err(|error| user(chain(&error)))?;
    let writes =
        plan::deployments::plan_deployments(&world.bundle, &targets, &plan, &world.deployments);
    apply_rollout(ctx, known, &targets, writes).await?;
    apply::delete_orphans(ctx, &world, &targets).await?;
    let after = observe::deployments_of(&ctx.stores, &key);
    let sends_along = downstream::publish_downstream(ctx, known, &after).await?;
    let outcome = Arc::new(Outcome::of(&targets, &plan));
    if outcome.is_settled && !sends_along {
        ctx.memory.settle(&key, epoch, Arc::clone(&outcome));
    } else if plan.next_wake.is_some_and(|at| at <= ctx.now()) && known.bundle.status.is_some() {
        // The next pass follows at once and will have more to say.
        return Ok((None, plan.next_wake));
    }
    let status = plan::status::plan_status(known, &outcome, &after, &ctx.now_text());
    let look_again = sends_along.then(|| ctx.now() + SOURCE_INTERVAL);
    Ok((Some(status), plan.next_wake.or(look_again)))
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
    Ok(())
}
