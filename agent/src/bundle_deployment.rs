//! One BundleDeployment: observe it, decide, bring the cluster there, report.
//!
//! Owns the order of a pass and the memory between passes. Decisions are in [`crate::plan`], work in
//! [`crate::deploy`] and [`crate::live`], words in [`crate::status`]. Start at [`Reconciler::reconcile`].

use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::BundleDeployment;
use bundle_format::api::bundle_deployment::BundleDeploymentStatus;
use kube::{Api, ResourceExt};
use runtime::events::{EventType, Events, Occurrence};
use runtime::status::{StatusWrite, patch_status};
use runtime::{
    ApiError, Cache, Classify, Clock, ErrorClass, NextWake, ObjectKey as HubKey, Queue, chain,
};
use serde_json::Value;

use crate::deploy::{self, Deployed, Deployer, deploy, release_name};
use crate::live::execute::RefusedObject;
use crate::live::member::CallError;
use crate::live::observe::observe_objects;
use crate::live::releases;
use crate::live::watch::Watches;
use crate::memory::Memory;
use crate::monitor::Monitored;
use crate::plan::ObjectKey;
use crate::plan::apply::with_ownership;
use crate::plan::gate::{Gate, check_gate};
use crate::release::{ReleaseName, ReleaseStatus};
use crate::status::{Finding, ObjectState, Report, summarize_deployment};
use crate::uninstall::{Adopter, delete_copies, uninstall};

/// Changes of watched objects are gathered this long: a rollout writes many of them in a row.
const DEBOUNCE: Duration = Duration::from_millis(40);
/// A deployment that is not ready yet is given this long before its first status is written: most get ready within
/// it, and one write is saved.
const SETTLE: Duration = Duration::from_millis(120);
/// A version that was refused is tried again after this, doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(15);
const LONGEST_RETRY: Duration = Duration::from_secs(600);
const POD_CHECK: Duration = Duration::from_secs(16);

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The status could not be written.
    #[error(transparent)]
    Status(#[from] ApiError),
    /// The member could not be read.
    #[error(transparent)]
    Member(#[from] CallError),
    /// A release record could not be read.
    #[error(transparent)]
    Record(#[from] releases::Error),
    /// A deployment or uninstallation failed in a way that passes.
    #[error(transparent)]
    Deploy(#[from] deploy::Error),
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Status(error) => match error.class() {
                // Gone meanwhile; its deletion brings the next pass.
                ErrorClass::Conflict if error.is_not_found() => ErrorClass::User,
                class => class,
            },
            Self::Member(error) => error.class(),
            Self::Record(error) => error.class(),
            // Without this, what cannot be deleted now would never be tried again.
            Self::Deploy(_) => ErrorClass::Unavailable,
        }
    }
}

/// Everything a pass needs.
pub struct Reconciler {
    /// Fetches, renders, writes.
    pub deployer: Deployer,
    /// BundleDeployments of this cluster.
    pub deployments: Cache<BundleDeployment>,
    /// Passes to come.
    pub queue: Queue<String>,
    /// Watches on deployed objects.
    pub watches: Watches,
    /// Events on the member cluster.
    pub events: Events,
    /// Time.
    pub clock: Clock,
    /// Namespace of the BundleDeployments on the hub.
    pub cluster_namespace: String,
    /// What is known between passes.
    pub memory: Arc<Memory>,
}

impl Reconciler {
    /// Brings one bundle deployment one step further.
    ///
    /// Guarantees: may be cut off at any await and repeated; an unchanged world causes no write.
    pub async fn reconcile(&self, name: String) -> Result<NextWake, Error> {
        let key = HubKey::new(&self.cluster_namespace, &name);
        let Some(deployment) = self.deployments.get(&key) else {
            if self.deployments.exists(&key) {
                // It does not fit its type: whatever it says, it is not a reason to delete anything.
                return Ok(NextWake::OnChange);
            }
            return self.remove(&name).await;
        };
        match check_gate(&deployment, &self.deployments.list()) {
            Gate::Resting => {
                self.forget(&name);
                Ok(NextWake::OnChange)
            }
            Gate::Waiting { message } if !self.is_applied(&deployment) => {
                self.memory.lock().waiting.insert(name);
                self.report(&deployment, &Report::Waiting { reason: "Waiting", message: &message })
                    .await?;
                Ok(NextWake::OnChange)
            }
            Gate::Open | Gate::Waiting { .. } => {
                self.memory.lock().waiting.remove(&name);
                if self.is_deployed_here(&deployment) {
                    return self.monitor(&deployment).await;
                }
                if !self.is_applied(&deployment) || !self.is_monitored(&deployment).await? {
                    if let Some(left) = self.memory.hold(&deployment) {
                        return Ok(NextWake::After(left));
                    }
                    return self.deploy(&deployment).await;
                }
                self.monitor(&deployment).await
            }
        }
    }

    fn is_applied(&self, deployment: &BundleDeployment) -> bool {
        let spec = &deployment.spec;
        let Some(status) = &deployment.status else { return false };
        let copied = status.downstream_resources_generation == spec.downstream_resources_generation;
        status.applied_deployment_id == spec.deployment_id && !status.release.is_empty() && copied
    }

    /// Whether this very spec was deployed by this process. The status in the cache may not show it yet: deploying
    /// again would be in vain, and would leave a good release record pending if it failed half-way.
    fn is_deployed_here(&self, deployment: &BundleDeployment) -> bool {
        let state = self.memory.lock();
        let monitored = state.monitored.get(&deployment.name_any());
        monitored.is_some_and(|known| {
            known.deployment_id == deployment.spec.deployment_id
                && known.generation.is_some()
                && known.generation == deployment.metadata.generation
        })
    }

    /// Takes up watching a deployment again after a restart, from its release record.
    async fn is_monitored(&self, deployment: &BundleDeployment) -> Result<bool, Error> {
        let name = deployment.name_any();
        let wanted = &deployment.spec.deployment_id;
        if self
            .memory
            .lock()
            .monitored
            .get(&name)
            .is_some_and(|known| known.deployment_id == *wanted)
        {
            return Ok(true);
        }
        let release =
            deployment.status.as_ref().map(|status| status.release.as_str()).unwrap_or_default();
        let Some((id, version)) = ReleaseName::parse_status(release) else { return Ok(false) };
        let member = &self.deployer.member;
        let Some(record) = releases::read(member, &id, version).await? else { return Ok(false) };
        if record.release.info.status != ReleaseStatus::Deployed || id != release_name(deployment) {
            return Ok(false);
        }
        let kinds = member.discovery().kinds().await?;
        let desired: Vec<Value> = deploy::objects_of(&record.release, &kinds)
            .iter()
            .map(|object| with_ownership(object, &id))
            .collect();
        let before = match version {
            0 | 1 => None,
            _ => releases::read(member, &id, version - 1).await?,
        };
        let former = before.map(|record| deploy::objects_of(&record.release, &kinds));
        let keys: Vec<ObjectKey> = desired.iter().map(ObjectKey::of).collect();
        let former = former.iter().flatten().map(ObjectKey::of);
        let former = former.filter(|key| !keys.iter().any(|kept| kept.is_same_object(key)));
        let resources = member.resources(&desired, former.collect()).await?;
        self.watches.track(&name, &resources);
        let monitored = Monitored::new(id.clone(), version, wanted.clone(), &desired, resources);
        let mut state = self.memory.lock();
        state.owned.insert(id, name.clone());
        state.monitored.insert(name, monitored);
        Ok(true)
    }

    async fn deploy(&self, deployment: &BundleDeployment) -> Result<NextWake, Error> {
        let name = deployment.name_any();
        match deploy(&self.deployer, deployment).await {
            Ok(deployed) => {
                tracing::info!(
                    deployment = name,
                    deployment_id = deployment.spec.deployment_id,
                    release = deployed.release.to_status(deployed.version),
                    "deployed"
                );
                self.accept(deployment, deployed).await
            }
            Err(error) => self.refuse(deployment, error).await,
        }
    }

    async fn accept(
        &self,
        deployment: &BundleDeployment,
        deployed: Deployed,
    ) -> Result<NextWake, Error> {
        let name = deployment.name_any();
        let Deployed { release, version, desired, live, resources } = deployed;
        let id = deployment.spec.deployment_id.clone();
        let mut monitored =
            Monitored::new(release.clone(), version, id, &desired, resources.clone());
        let set_hash = self.deployer.set_hash(&name);
        monitored.generation = deployment.metadata.generation;
        let all = monitored.dirty();
        monitored.judge(deployment, &set_hash, (&all, &live), self.clock.now());
        let is_settled = monitored.states().iter().all(is_calm);
        {
            let mut state = self.memory.lock();
            state.failures.remove(&name);
            state.awaiting_kind.remove(&name);
            state.owned.insert(release.clone(), name.clone());
            state.monitored.insert(name.clone(), monitored);
        }
        self.watches.track(&name, &resources);
        self.tell(
            deployment,
            EventType::Normal,
            "Deployed",
            &format!("deployed as {}", release.to_status(version)),
        );
        if !is_settled {
            tokio::time::sleep(SETTLE).await;
            if let Some(monitored) = self.memory.lock().monitored.get_mut(&name) {
                monitored.look_again_at_unready();
            }
        }
        self.monitor(deployment).await
    }

    /// Releases of this deployment under other names: the objects they still own are not wanted any more.
    async fn remove_moved(&self, name: &str, current: &ReleaseName) -> Result<(), Error> {
        for moved in self.memory.releases_of(name) {
            if moved != *current {
                uninstall(&self.deployer, &moved, name, &[]).await?;
                self.memory.lock().owned.remove(&moved);
            }
        }
        Ok(())
    }

    async fn refuse(
        &self,
        deployment: &BundleDeployment,
        error: deploy::Error,
    ) -> Result<NextWake, Error> {
        let name = deployment.name_any();
        let message = chain(&error);
        let (class, count) = (error.class(), self.memory.count_failure(deployment));
        match class {
            // The caches and the hub are not in step yet; a few fresh looks usually do.
            ErrorClass::Conflict if count <= 5 => return Err(error.into_retry()),
            ErrorClass::Unavailable if count <= 2 => return Err(error.into_retry()),
            _ => {}
        }
        let objects: Vec<ObjectState> = match &error {
            deploy::Error::Refused(refused) => refused.iter().map(refused_state).collect(),
            _ => Vec::new(),
        };
        if error.awaits_kind()
            || matches!(&error, deploy::Error::Refused(all) if all.iter().any(is_unknown_kind))
        {
            self.memory.lock().awaiting_kind.insert(name.clone());
        }
        let is_waiting = class == ErrorClass::Conflict;
        let report = if error.is_fatal() {
            Report::NotInstalled { message: &message }
        } else if is_waiting {
            Report::Waiting { reason: "Waiting", message: &message }
        } else {
            Report::Failed { message: &message, objects: &objects }
        };
        if count == 1 || class != ErrorClass::User {
            tracing::warn!(deployment = name, attempt = count, error = message, "not deployed");
        }
        self.report(deployment, &report).await?;
        self.tell(deployment, EventType::Warning, "DeployFailed", &message);
        self.memory.hold_until(&name, retry_delay(count));
        Ok(NextWake::After(retry_delay(count)))
    }

    /// Looks at what changed, repairs what should be, and reports.
    async fn monitor(&self, deployment: &BundleDeployment) -> Result<NextWake, Error> {
        let name = deployment.name_any();
        self.look(deployment).await?;
        let corrects = deployment.spec.correct_drift.as_ref().is_some_and(|drift| drift.enabled);
        if corrects {
            self.correct(deployment).await?;
        }
        let Some((release, states, error, wake)) = self.read_monitored(&name) else {
            return Ok(NextWake::OnChange);
        };
        let report = Report::Applied {
            release: &release,
            objects: &states,
            correction_error: error.as_deref(),
        };
        self.report(deployment, &report).await?;
        self.remove_moved(&name, &release_name(deployment)).await?;
        Ok(wake)
    }

    fn read_monitored(
        &self,
        name: &str,
    ) -> Option<(String, Vec<ObjectState>, Option<String>, NextWake)> {
        let state = self.memory.lock();
        let monitored = state.monitored.get(name)?;
        let mut wake = NextWake::OnChange;
        if monitored.depends_on_time() {
            wake = wake.earliest(NextWake::After(POD_CHECK));
        }
        if monitored.correction_count > 0 {
            wake = wake.earliest(NextWake::After(retry_delay(monitored.correction_count)));
        }
        let release = monitored.release.to_status(monitored.version);
        Some((release, monitored.states(), monitored.correction_error.clone(), wake))
    }

    /// Reads dirty objects and judges them.
    async fn look(&self, deployment: &BundleDeployment) -> Result<(), Error> {
        let name = deployment.name_any();
        let dirty = match self.memory.lock().monitored.get_mut(&name) {
            Some(monitored) => {
                monitored.follow(deployment.metadata.generation);
                monitored.dirty()
            }
            None => return Ok(()),
        };
        if dirty.is_empty() {
            return Ok(());
        }
        let live = observe_objects(&self.deployer.member, dirty.keys().cloned()).await?;
        let set_hash = self.deployer.set_hash(&name);
        if let Some(monitored) = self.memory.lock().monitored.get_mut(&name) {
            monitored.judge(deployment, &set_hash, (&dirty, &live), self.clock.now());
        }
        Ok(())
    }

    /// Applies drifted objects again. No new revision of the release: what is deployed has not changed.
    async fn correct(&self, deployment: &BundleDeployment) -> Result<(), Error> {
        let name = deployment.name_any();
        let (drifted, dirty) = {
            let state = self.memory.lock();
            let look = |monitored: &Monitored| (monitored.drifted(), monitored.dirty());
            state.monitored.get(&name).map(look).unwrap_or_default()
        };
        if drifted.is_empty() {
            if let Some(monitored) = self.memory.lock().monitored.get_mut(&name) {
                monitored.correction_error = None;
                monitored.correction_count = 0;
            }
            return Ok(());
        }
        let force = deployment.spec.correct_drift.as_ref().is_some_and(|drift| drift.force);
        let account = self.deployer.account(&deployment.spec.options).await?;
        let changes = crate::live::execute::apply_all(&account, &drifted, force).await;
        let error =
            (!changes.refused.is_empty()).then(|| chain(&deploy::Error::Refused(changes.refused)));
        let repaired: Vec<String> = changes.written.keys().map(ToString::to_string).collect();
        let set_hash = self.deployer.set_hash(&name);
        if let Some(monitored) = self.memory.lock().monitored.get_mut(&name) {
            let number = |key: &ObjectKey| dirty.get(key).copied().unwrap_or_default();
            let written = changes.written.keys().map(|key| (key.clone(), number(key))).collect();
            monitored.judge(deployment, &set_hash, (&written, &changes.written), self.clock.now());
            monitored.correction_count =
                monitored.correction_count.saturating_add(u32::from(error.is_some()));
            monitored.correction_error.clone_from(&error);
        }
        if !repaired.is_empty() {
            tracing::info!(deployment = name, objects = repaired.join(", "), "drift corrected");
            self.tell(deployment, EventType::Normal, "DriftCorrected", &repaired.join(", "));
        }
        if let Some(error) = error {
            self.tell(deployment, EventType::Warning, "DriftNotCorrected", &error);
        }
        Ok(())
    }

    /// The bundle deployment is gone: so go its releases.
    async fn remove(&self, name: &str) -> Result<NextWake, Error> {
        self.forget(name);
        let adopters: Vec<_> = self
            .deployments
            .list()
            .iter()
            .flat_map(|other| [&other.spec.options, &other.spec.staged_options].map(Adopter::of))
            .collect();
        let mut releases = self.memory.releases_of(name);
        for release in &releases {
            // A renamed bundle keeps its release: what follows it upgrades what is there.
            if let Some(heir) = heir_of(release, &self.deployments.list()) {
                tracing::info!(%release, deployment = name, heir, "release handed over");
                self.memory.lock().owned.insert(release.clone(), heir);
            }
        }
        releases.retain(|release| self.memory.is_owned_by(release, name));
        for release in &releases {
            uninstall(&self.deployer, release, name, &adopters).await?;
            self.memory.lock().owned.remove(release);
        }
        if !releases.is_empty() {
            delete_copies(&self.deployer.member, name).await;
        }
        self.memory.lock().failures.remove(name);
        Ok(NextWake::OnChange)
    }

    fn forget(&self, name: &str) {
        self.watches.forget(name);
        let mut state = self.memory.lock();
        state.monitored.remove(name);
        state.waiting.remove(name);
        state.awaiting_kind.remove(name);
    }

    /// Writes the status if it says anything new.
    async fn report(
        &self,
        deployment: &BundleDeployment,
        report: &Report<'_>,
    ) -> Result<(), Error> {
        let name = deployment.name_any();
        // The pass may have started before our own last write came back through the watch.
        let latest = self.deployments.get(&HubKey::new(&self.cluster_namespace, &name));
        let before = latest.as_deref().unwrap_or(deployment).status.clone().unwrap_or_default();
        let base = BundleDeployment { status: Some(before.clone()), ..deployment.clone() };
        let after = summarize_deployment(&base, report, &self.clock.now_text());
        if before == after {
            return Ok(());
        }
        let api: Api<BundleDeployment> =
            Api::namespaced(self.deployer.hub.clone(), &self.cluster_namespace);
        // No precondition: nobody else writes this status.
        let write = StatusWrite { name: &name, resource_version: None, noise: &[] };
        patch_status(&api, &write, &to_json(&before), &to_json(&after)).await?;
        Ok(())
    }

    /// Writes an Event about the deployment into the namespace of its release.
    fn tell(&self, deployment: &BundleDeployment, kind: EventType, reason: &str, note: &str) {
        let mut about = BundleDeployment::default();
        about.metadata.name = deployment.metadata.name.clone();
        about.metadata.uid = deployment.metadata.uid.clone();
        about.metadata.namespace = Some(deployment.spec.options.release_namespace().to_owned());
        let (events, reason, note) = (self.events.clone(), reason.to_owned(), note.to_owned());
        // Nobody waits for an Event: the deployment goes on meanwhile.
        tokio::spawn(async move {
            let occurrence = Occurrence { kind, reason: &reason, action: "Deploy", note: &note };
            events.publish(&about, &occurrence).await;
        });
    }

    /// Asks for a pass soon after an object changed.
    pub fn wake_for_object(queue: &Queue<String>, name: &str) {
        queue.add_after(name.to_owned(), DEBOUNCE);
    }
}

impl deploy::Error {
    fn into_retry(self) -> Error {
        match self {
            Self::Call(error) => Error::Member(error),
            Self::Record(error) => Error::Record(error),
            other => Error::Deploy(other),
        }
    }
}

/// The deployment that will run under the name of a release whose own is gone.
fn heir_of(release: &ReleaseName, deployments: &[Arc<BundleDeployment>]) -> Option<String> {
    let heir = deployments.iter().find(|other| release_name(other) == *release)?;
    Some(heir.name_any())
}

fn retry_delay(count: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << count.saturating_sub(1).min(6)).min(LONGEST_RETRY)
}

fn is_calm(state: &ObjectState) -> bool {
    !matches!(&state.finding, Finding::Live { health, .. } if health.transitioning)
}

fn is_unknown_kind(object: &RefusedObject) -> bool {
    matches!(object.error, CallError::UnknownKind { .. })
}

fn refused_state(object: &RefusedObject) -> ObjectState {
    ObjectState {
        key: object.key.clone(),
        finding: Finding::Refused(deploy::refusal_words(object)),
    }
}

fn to_json(status: &BundleDeploymentStatus) -> Value {
    serde_json::to_value(status).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_bundle_inherits_the_release_of_its_name() {
        let named = |name: &str, release: &str| -> Arc<BundleDeployment> {
            let options = serde_json::json!({"defaultNamespace": "shop",
                "helm": {"releaseName": release}});
            let value = serde_json::json!({"metadata": {"name": name},
                "spec": {"options": options}});
            Arc::new(serde_json::from_value(value).unwrap())
        };
        let deployments = [named("new-path", "shop"), named("other", "other")];
        let release = release_name(&deployments[0]);
        assert_eq!(heir_of(&release, &deployments).as_deref(), Some("new-path"));
        assert_eq!(heir_of(&release, &deployments[1..]), None);
    }
}
