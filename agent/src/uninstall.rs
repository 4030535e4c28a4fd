//! Takes releases out of the cluster whose bundle deployment is gone or has moved.
//!
//! Owns what is deleted and what stays. Must not know why a bundle deployment went. Start at [`uninstall`].

use bundle_format::api::labels::{KEEP_RESOURCES, SERVICE_ACCOUNT};
use bundle_format::api::options::{BundleDeploymentOptions, OverwrittenResource};
use futures::{FutureExt, StreamExt, stream};
use runtime::chain;
use serde_json::Value;

use crate::deploy::{Deployer, Error, HOOK_LIMIT, add_objects_of, server_words};
use crate::live::execute::RefusedObject;
use crate::live::hooks::run_hooks;
use crate::live::member::{CallError, Member};
use crate::live::observe::{PARALLEL_CALLS, observe_objects};
use crate::live::releases::{self, Record};
use crate::plan::ObjectKey;
use crate::plan::apply::{PruneDecision, is_taken_over, phase, plan_prune};
use crate::plan::hooks::{Hook, Moment};
use crate::release::{ReleaseName, ReleaseStatus};

/// A bundle that still exists, and what it takes over.
#[derive(Debug)]
pub struct Adopter {
    /// The namespace of its release.
    pub namespace: String,
    /// The objects.
    pub overwrites: Vec<OverwrittenResource>,
}

impl Adopter {
    /// What a bundle with these options takes over.
    #[must_use]
    pub fn of(options: &BundleDeploymentOptions) -> Self {
        let namespace = options.release_namespace().to_owned();
        Self { namespace, overwrites: options.overwrites.clone() }
    }
}

/// Uninstalls a release.
///
/// An object stays when another release owns it now, when it says so, or when a bundle that still exists will take
/// it over (`adopters`). With `keepResources`, and for the agent's own release, only the records go.
pub async fn uninstall(
    deployer: &Deployer,
    id: &ReleaseName,
    bundle_id: &str,
    adopters: &[Adopter],
) -> Result<(), Error> {
    let history = releases::history(&deployer.member, id).await?;
    let Some(last) = history.last() else { return Ok(()) };
    let account = account_of(deployer, last).await?;
    let keeps = last.release.annotation(KEEP_RESOURCES) == Some("true")
        || bundle_id.starts_with("fleet-agent");
    if keeps {
        releases::delete_all(&account, id).await?;
        tracing::info!(release = %id, deployment = bundle_id, "release forgotten, its objects stay");
        return Ok(());
    }
    let mut objects = Vec::new();
    let kinds = deployer.member.discovery().kinds().await.map_err(CallError::from)?;
    for record in history.iter().rev() {
        let superseded = record.release.info.status == ReleaseStatus::Superseded;
        if superseded && !objects.is_empty() {
            continue;
        }
        add_objects_of(&record.release, &kinds, &mut objects);
    }
    let hooks: Vec<Hook> = last.release.hooks.iter().filter_map(Hook::from_record).collect();
    run_hooks(&account, &hooks, Moment::PreDelete, HOOK_LIMIT).await?;
    delete_objects(&account, id, &objects, adopters).await?;
    run_hooks(&account, &hooks, Moment::PostDelete, HOOK_LIMIT).await?;
    releases::delete_all(&account, id).await?;
    tracing::info!(release = %id, deployment = bundle_id, "release uninstalled");
    Ok(())
}

/// The account that installed the release; the agent itself when that account is gone.
async fn account_of(deployer: &Deployer, record: &Record) -> Result<Member, Error> {
    let options = BundleDeploymentOptions {
        service_account: record.release.annotation(SERVICE_ACCOUNT).unwrap_or_default().to_owned(),
        ..Default::default()
    };
    match deployer.account(&options).await {
        Err(Error::NoAccount { .. }) => Ok(deployer.member.clone()),
        account => account,
    }
}

/// Deletes in the reverse order of creation, phase by phase.
async fn delete_objects(
    member: &Member,
    release: &ReleaseName,
    objects: &[Value],
    adopters: &[Adopter],
) -> Result<(), Error> {
    let live = observe_objects(member, objects.iter().map(ObjectKey::of)).await?;
    let mut doomed: Vec<(ObjectKey, String)> = Vec::new();
    for object in objects {
        let key = ObjectKey::of(object);
        let found = live.get(&key);
        let adopted = adopters
            .iter()
            .any(|adopter| is_taken_over(&adopter.overwrites, &adopter.namespace, &key));
        if adopted || plan_prune(found, object, release) != PruneDecision::Delete {
            continue;
        }
        let uid = found.and_then(|object| object.pointer("/metadata/uid")).and_then(Value::as_str);
        doomed.push((key, uid.unwrap_or_default().to_owned()));
    }
    doomed.sort_by_key(|(key, _)| std::cmp::Reverse(phase(key)));
    let mut refused = Vec::new();
    for chunk in doomed.chunk_by(|left, right| phase(&left.0) == phase(&right.0)) {
        let mut calls = Vec::new();
        for (key, uid) in chunk {
            let uid = Some(uid.as_str()).filter(|uid| !uid.is_empty());
            calls.push(async move { (key.clone(), delete_object(member, key, uid).await) }.boxed());
        }
        let results: Vec<_> = stream::iter(calls).buffer_unordered(PARALLEL_CALLS).collect().await;
        for (key, result) in results {
            if let Err(error) = result {
                tracing::warn!(%key, error = server_words(&error), "object not deleted");
                refused.push(RefusedObject { key, error });
            }
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Error::Refused(refused)) }
}

/// Deletes an object if it is still the one with this uid.
///
/// A server answers 409 when somebody made a new object of that name, which is not ours, but also when it was
/// merely too busy: only a look tells.
async fn delete_object(
    member: &Member,
    key: &ObjectKey,
    uid: Option<&str>,
) -> Result<(), CallError> {
    let error = match member.delete(key, uid).await {
        Err(error) if error.code() == Some(409) => error,
        result => return result.map(drop),
    };
    let live = member.get(key).await?;
    let is_same = live.is_some_and(|live| {
        uid.is_none() || live.pointer("/metadata/uid").and_then(Value::as_str) == uid
    });
    if is_same { Err(error) } else { Ok(()) }
}

/// Deletes what was copied from the hub for a bundle deployment.
pub async fn delete_copies(member: &Member, bundle_id: &str) {
    for (kind, plural) in [("Secret", "secrets"), ("ConfigMap", "configmaps")] {
        match member.list_copies(plural, bundle_id).await {
            Ok(keys) => {
                for (namespace, name) in keys {
                    let key = ObjectKey {
                        api_version: "v1".to_owned(),
                        kind: kind.to_owned(),
                        namespace,
                        name,
                    };
                    if let Err(error) = member.delete(&key, None).await {
                        tracing::warn!(%key, error = chain(&error), "copied object not deleted");
                    }
                }
            }
            Err(error) => tracing::warn!(kind, error = chain(&error), "copied objects not listed"),
        }
    }
}
