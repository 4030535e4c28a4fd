//! Carries a plan out.
//!
//! Owns the calls, their order and what is remembered of their answers. Must not decide. Start at [`execute`].

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{FutureExt, StreamExt, stream};
use serde_json::Value;

use super::member::{CallError, Member};
use super::observe::PARALLEL_CALLS;
use super::wait::{wait_until_established, wait_until_gone};
use crate::plan::ObjectKey;
use crate::plan::apply::{ApplyPlan, ApplyStep, Phase, PruneDecision, Write, is_leaving};

/// An object the API server did not take, with its words.
#[derive(Debug)]
pub struct RefusedObject {
    /// Which object.
    pub key: ObjectKey,
    /// Why.
    pub error: CallError,
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct ChangeSet {
    /// Objects as the server answered after writing them.
    pub written: BTreeMap<ObjectKey, Value>,
    /// Objects that were deleted.
    pub pruned: Vec<ObjectKey>,
    /// Objects that could not be written or deleted, in the plan's order.
    pub refused: Vec<RefusedObject>,
}

/// Writes and deletes what the plan says.
///
/// Objects of one phase go side by side; a phase starts when the one before ended. An object that is refused does
/// not keep the others from being written; nothing is pruned then, because what is still needed is not known.
/// Guarantees: safe to repeat after a crash at any point.
pub async fn execute(member: &Member, plan: &ApplyPlan, force: bool) -> ChangeSet {
    let mut changes = ChangeSet::default();
    for (phase, steps) in &plan.phases {
        write_phase(member, steps, force, &mut changes).await;
        if *phase == Phase::Definitions && steps.iter().any(|step| step.write != Write::Keep) {
            let keys = steps.iter().map(|step| &step.key);
            wait_until_established(member, keys).await;
            // The error shows with the first object of the new kind.
            let _ = member.discovery().refresh(Duration::ZERO).await;
        }
    }
    if changes.refused.is_empty() {
        prune(member, plan, &mut changes).await;
    }
    changes
}

async fn write_phase(member: &Member, steps: &[ApplyStep], force: bool, changes: &mut ChangeSet) {
    let mut calls = Vec::new();
    for step in steps.iter().filter(|step| step.write != Write::Keep) {
        calls.push(write_step(member, step, force).boxed());
    }
    // `buffered` keeps the plan's order, and with it the order of error messages.
    let results: Vec<_> = stream::iter(calls).buffered(PARALLEL_CALLS).collect().await;
    for (key, result) in results {
        match result {
            Ok(object) => {
                changes.written.insert(key, object);
            }
            Err(error) => changes.refused.push(RefusedObject { key, error }),
        }
    }
}

async fn write_step(
    member: &Member,
    step: &ApplyStep,
    force: bool,
) -> (ObjectKey, Result<Value, CallError>) {
    let result = match member.apply(&step.key, &step.object).await {
        Err(error) if force && is_immutable(&error) => replace(member, step).await,
        Ok(object) if is_leaving(&object) => write_after(member, step).await,
        result => result,
    };
    (step.key.clone(), result)
}

/// Waits for the end of an object that is being deleted, and makes it anew.
async fn write_after(member: &Member, step: &ApplyStep) -> Result<Value, CallError> {
    wait_until_gone(member, &step.key).await;
    let object = member.apply(&step.key, &step.object).await?;
    if is_leaving(&object) {
        return Err(CallError::Leaving { object: step.key.to_string() });
    }
    Ok(object)
}

/// Applies objects as they are, whatever their state: the repair of drift.
pub async fn apply_all(member: &Member, objects: &[Value], force: bool) -> ChangeSet {
    let steps: Vec<ApplyStep> = objects
        .iter()
        .map(|object| ApplyStep {
            key: ObjectKey::of(object),
            write: Write::Update,
            object: object.clone(),
        })
        .collect();
    let mut changes = ChangeSet::default();
    write_phase(member, &steps, force, &mut changes).await;
    changes
}

/// Deletes an object that cannot be changed in place and makes it anew (`helm.force`).
async fn replace(member: &Member, step: &ApplyStep) -> Result<Value, CallError> {
    member.delete(&step.key, None).await?;
    wait_until_gone(member, &step.key).await;
    member.apply(&step.key, &step.object).await
}

async fn prune(member: &Member, plan: &ApplyPlan, changes: &mut ChangeSet) {
    let mut calls = Vec::new();
    for (key, decision) in &plan.prune {
        if *decision == PruneDecision::Delete {
            calls.push(async move { (key.clone(), member.delete(key, None).await) }.boxed());
        }
    }
    let results: Vec<_> = stream::iter(calls).buffered(PARALLEL_CALLS).collect().await;
    for (key, result) in results {
        match result {
            Ok(_) => changes.pruned.push(key),
            Err(error) => changes.refused.push(RefusedObject { key, error }),
        }
    }
}

// 422 is the server's answer to a change it never allows; the class, not the text, decides.
fn is_immutable(error: &CallError) -> bool {
    error.code() == Some(422)
}
