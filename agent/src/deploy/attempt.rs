//! One try to bring one version into the cluster: render, plan, record, write, and take back what must be.
//!
//! Owns the order of these steps. Invariant: the record of a version is written before its first object, so that a
//! crash leaves nothing that nobody knows of. Start at [`Attempt::install`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::BundleDeployment;
use bundle_format::api::labels::{
    AGENT_NAMESPACE, BUNDLE_ID, COMMIT, KEEP_RESOURCES, SERVICE_ACCOUNT,
};
use bundle_format::api::names::object_set;
use bundle_format::api::options::HelmOptions;
use bundle_format::api::wire::Object;
use bundle_format::content::{DeploymentId, Manifest};
use kube::ResourceExt;
use render::helm::{Capabilities, KubeVersion};
use render::postrender::fill_namespaces;
use render::{Budget, RenderRequest, RenderedSet, Scope, Scopes};
use runtime::chain;
use serde_json::Value;

use super::{Deployed, Deployer, Error, HOOK_LIMIT, Served, add_objects_of};
use crate::live::discovery::Kinds;
use crate::live::execute::{RefusedObject, execute};
use crate::live::hooks::run_hooks;
use crate::live::host::ClusterHost;
use crate::live::member::{CallError, Member};
use crate::live::observe::observe_objects;
use crate::live::releases::{self, DEPLOYMENT_ID, Record};
use crate::live::wait::{wait_until_established, wait_until_ready};
use crate::plan::ObjectKey;
use crate::plan::apply::{ApplyOptions, ApplyPlan, DesiredSet, LiveSet, plan_apply};
use crate::plan::health::Patience;
use crate::plan::hooks::{Hook, Moment};
use crate::release::{Chart, Info, Release, ReleaseName, ReleaseStatus};

/// Revisions of a release that are kept unless the bundle says otherwise.
const DEFAULT_HISTORY: i64 = 2;
/// One try to deploy one version.
pub(super) struct Attempt<'a> {
    pub(super) deployer: &'a Deployer,
    pub(super) deployment: &'a BundleDeployment,
    pub(super) account: Member,
    pub(super) release: ReleaseName,
    pub(super) history: Vec<Record>,
    pub(super) kinds: Arc<Kinds>,
}

impl Attempt<'_> {
    pub(super) async fn render(
        &self,
        manifest: Manifest,
        values: Object,
        id: &DeploymentId,
    ) -> Result<(RenderedSet, Object), Error> {
        let name = self.deployment.name_any();
        let set_id = object_set(&name, &self.deployer.scope);
        let options = self.deployment.spec.options.clone();
        let commit = self.deployment.labels().get(COMMIT).cloned().unwrap_or_default();
        let (release_name, revision) = (self.release.name.clone(), self.next_version());
        let (manifest_id, kinds) = (id.content.to_string(), Arc::clone(&self.kinds));
        let capabilities = capabilities(&kinds)?;
        let charts = Arc::clone(&self.deployer.charts);
        let host = Arc::new(ClusterHost::new(self.account.clone()));
        let scope = Scope { host, budget: Arc::new(Budget::default()) };
        // The semaphore is never closed: without a place there is no error either.
        let _place = self.deployer.renders.acquire().await.ok();
        // Rendering may take long: it must not hold up the other deployments' network traffic.
        let task = runtime::world::on_thread(move || {
            let request = RenderRequest {
                bundle_id: &name,
                set_id: &set_id,
                release_name: &release_name,
                revision,
                commit: &commit,
                manifest_id: &manifest_id,
                values: &values,
                capabilities: &capabilities,
                scope: &scope,
                scopes: &Served { kinds: &kinds, defined: BTreeMap::new() },
                charts: Some(&charts),
            };
            render::render_manifest(&manifest, &options, &request).map(|set| (set, values))
        });
        Ok(task.await.map_err(|_| Error::RenderStopped)??)
    }

    /// A version that failed or was interrupted before keeps its number, so that trying does not write history.
    fn next_version(&self) -> u32 {
        match self.history.last() {
            Some(last) if self.is_same_attempt(last) => last.release.version,
            Some(last) => last.release.version + 1,
            None => 1,
        }
    }

    fn is_same_attempt(&self, record: &Record) -> bool {
        record.annotations.get(DEPLOYMENT_ID) == Some(&self.deployment.spec.deployment_id)
            && record.release.info.status != ReleaseStatus::Superseded
    }

    pub(super) async fn install(
        &self,
        mut set: RenderedSet,
        values: Object,
        namespace_made: bool,
    ) -> Result<Deployed, Error> {
        let served = Served { kinds: &self.kinds, defined: defined_scopes(&set) };
        fill_namespaces(&mut set.objects, &self.release.namespace, &served);
        fill_namespaces(&mut set.hooks, &self.release.namespace, &served);
        self.check_kinds(&set, &served).await?;
        let desired = DesiredSet { objects: set.objects.iter().map(|o| o.value.clone()).collect() };
        let (plan, mut live) = self.plan(&desired, namespace_made).await?;
        let hooks: Vec<Hook> =
            set.hooks.iter().map(|hook| Hook::read(&hook.source, &hook.value)).collect();
        let mut record = self.record(&set, &hooks, values);
        releases::write(&self.account, &record).await?;
        match self.write_objects(&set, &desired, &hooks, &plan).await {
            // What the server answered is what is there: no need to read it again.
            Ok(written) => live.extend(written),
            Err(error) => return Err(self.fail(record, error, &desired).await),
        }
        record.release.info.status = ReleaseStatus::Deployed;
        record.release.info.description =
            if record.release.version == 1 { "Install complete" } else { "Upgrade complete" }
                .to_owned();
        releases::update(&self.account, &record).await?;
        self.retire().await;
        self.deployed(record.release.version, plan, live).await
    }

    /// Definitions, hooks before, objects, the wait for them, hooks after.
    async fn write_objects(
        &self,
        set: &RenderedSet,
        desired: &DesiredSet,
        hooks: &[Hook],
        plan: &ApplyPlan,
    ) -> Result<BTreeMap<ObjectKey, Value>, Error> {
        let (before, after) = match self.history.is_empty() {
            true => (Moment::PreInstall, Moment::PostInstall),
            false => (Moment::PreUpgrade, Moment::PostUpgrade),
        };
        let definitions: Vec<Value> =
            set.definitions.iter().map(|object| object.value.clone()).collect();
        create_definitions(&self.account, &definitions).await?;
        let limit = self.timeout().unwrap_or(HOOK_LIMIT);
        run_hooks(&self.account, hooks, before, limit).await?;
        let changes = execute(&self.account, plan, self.helm(|helm| helm.force)).await;
        if !changes.refused.is_empty() {
            return Err(Error::Refused(changes.refused));
        }
        if let Some(limit) = self.timeout() {
            let keys: Vec<ObjectKey> = desired.objects.iter().map(ObjectKey::of).collect();
            let patience = match self.helm(|helm| helm.wait_for_jobs) {
                true => Patience::JobsComplete,
                false => Patience::JobsRun,
            };
            wait_until_ready(&self.account, &keys, patience, limit).await?;
        }
        run_hooks(&self.account, hooks, after, limit).await?;
        Ok(changes.written)
    }

    /// What the deployment is watched for from here on.
    async fn deployed(
        &self,
        version: u32,
        plan: ApplyPlan,
        mut live: BTreeMap<ObjectKey, Value>,
    ) -> Result<Deployed, Error> {
        live.retain(|key, _| !plan.prune.iter().any(|(pruned, _)| pruned == key));
        let former: Vec<ObjectKey> = plan.prune.into_iter().map(|(key, _)| key).collect();
        let desired: Vec<Value> =
            plan.phases.into_values().flatten().map(|step| step.object).collect();
        let resources = self.deployer.member.resources(&desired, former).await?;
        Ok(Deployed { release: self.release.clone(), version, desired, live, resources })
    }

    /// All kinds must be served, or be defined by this very set.
    async fn check_kinds(&self, set: &RenderedSet, served: &Served<'_>) -> Result<(), Error> {
        for object in set.objects.iter().chain(&set.hooks) {
            let key = ObjectKey::of(&object.value);
            if key.name.is_empty() {
                let (file, line) = (object.source.clone(), object.first_line);
                return Err(Error::NoName { file, line, kind: key.kind });
            }
            if served.is_namespaced(&key.api_version, &key.kind).is_some() {
                continue;
            }
            if self.deployer.member.resource(&key).await.is_err() {
                let ObjectKey { api_version, kind, namespace, name } = key;
                return Err(Error::UnknownKind {
                    name,
                    namespace,
                    file: object.source.clone(),
                    kind,
                    api_version,
                });
            }
        }
        Ok(())
    }

    async fn plan(
        &self,
        desired: &DesiredSet,
        namespace_made: bool,
    ) -> Result<(ApplyPlan, BTreeMap<ObjectKey, Value>), Error> {
        let previous = self.previous();
        let mut keys: Vec<ObjectKey> =
            desired.objects.iter().chain(&previous).map(ObjectKey::of).collect();
        keys.sort();
        keys.dedup();
        let mut objects = observe_objects(&self.account, keys).await?;
        if namespace_made {
            // We made it a moment ago for the record; the bundle's own namespace object may have it.
            objects.retain(|key, _| key.kind != "Namespace" || key.name != self.release.namespace);
        }
        let live = LiveSet { objects, previous };
        let set_hash = self.deployer.set_hash(&self.deployment.name_any());
        let options = ApplyOptions {
            release: &self.release,
            set_hash: &set_hash,
            take_ownership: !self.history.is_empty() || self.helm(|helm| helm.take_ownership),
            overwrites: &self.deployment.spec.options.overwrites,
            write_all: false,
        };
        Ok((plan_apply(desired, &live, &options)?, live.objects))
    }

    /// Objects that earlier revisions may have left: those of the last one that was deployed, and of every one
    /// since. One that failed may have made objects that no later one knows.
    fn previous(&self) -> Vec<Value> {
        let is_deployed = |record: &Record| record.release.info.status == ReleaseStatus::Deployed;
        let from = self.history.iter().rposition(is_deployed).unwrap_or(0);
        self.objects_in(self.history[from..].iter().rev())
    }

    fn last_deployed(&self) -> Option<&Record> {
        self.history
            .iter()
            .rev()
            .find(|record| record.release.info.status == ReleaseStatus::Deployed)
    }

    /// The objects of some records, each once, namespaces filled in.
    fn objects_in<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Vec<Value> {
        let mut found: Vec<Value> = Vec::new();
        for record in records {
            add_objects_of(&record.release, &self.kinds, &mut found);
        }
        found
    }

    fn timeout(&self) -> Option<Duration> {
        let seconds =
            self.deployment.spec.options.helm.as_ref().map_or(0, |helm| helm.timeout_seconds);
        u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    fn helm(&self, read: impl Fn(&HelmOptions) -> bool) -> bool {
        self.deployment.spec.options.helm.as_ref().is_some_and(read)
    }

    /// Leaves the record `failed`; an atomic release is taken back first.
    async fn fail(&self, mut record: Record, error: Error, desired: &DesiredSet) -> Error {
        record.release.info.status = ReleaseStatus::Failed;
        record.release.info.description =
            format!("Release {:?} failed: {error}", self.release.name);
        let atomic = self.helm(|helm| helm.atomic);
        if atomic && let Err(second) = self.roll_back(desired).await {
            tracing::warn!(release = %self.release, error = chain(&second), "rollback failed, trying again later");
            return second;
        }
        if let Err(second) = releases::update(&self.account, &record).await {
            tracing::warn!(release = %self.release, error = chain(&second), "record of the failure not written");
        }
        self.retire_failed(desired).await;
        if atomic {
            return Error::RolledBack {
                release: self.release.name.clone(),
                cause: Box::new(error),
            };
        }
        error
    }

    /// Applies what was deployed before and deletes what this version added.
    async fn roll_back(&self, desired: &DesiredSet) -> Result<(), Error> {
        let before = DesiredSet { objects: self.objects_in(self.last_deployed()) };
        let keys: Vec<ObjectKey> =
            desired.objects.iter().chain(&before.objects).map(ObjectKey::of).collect();
        let objects = observe_objects(&self.account, keys).await?;
        let live = LiveSet { objects, previous: desired.objects.clone() };
        let set_hash = self.deployer.set_hash(&self.deployment.name_any());
        let options = ApplyOptions {
            release: &self.release,
            set_hash: &set_hash,
            take_ownership: true,
            overwrites: &[],
            write_all: true,
        };
        let changes = execute(&self.account, &plan_apply(&before, &live, &options)?, true).await;
        if changes.refused.is_empty() { Ok(()) } else { Err(Error::Refused(changes.refused)) }
    }

    fn record(&self, set: &RenderedSet, hooks: &[Hook], values: Object) -> Record {
        let now = runtime::Clock::system().now_text();
        let version = self.next_version();
        let first = self.history.first().map(|record| record.release.info.first_deployed.clone());
        let options = &self.deployment.spec.options;
        let name = self.deployment.name_any();
        let commit = self.deployment.labels().get(COMMIT).map(String::as_str).unwrap_or_default();
        let mut metadata = set.chart.metadata.clone();
        let owner = releases::chart_annotations(&[
            (BUNDLE_ID, &name),
            (COMMIT, commit),
            (AGENT_NAMESPACE, &self.deployer.agent_namespace),
            (SERVICE_ACCOUNT, &options.service_account),
            (KEEP_RESOURCES, if options.keep_resources { "true" } else { "false" }),
        ]);
        match metadata["annotations"].as_object_mut() {
            Some(annotations) => annotations.extend(owner),
            None => metadata["annotations"] = Value::Object(owner),
        }
        let is_install = self.history.is_empty();
        let release = Release {
            name: self.release.name.clone(),
            namespace: self.release.namespace.clone(),
            version,
            info: Info {
                first_deployed: first.unwrap_or_else(|| now.clone()),
                last_deployed: now,
                status: if is_install {
                    ReleaseStatus::PendingInstall
                } else {
                    ReleaseStatus::PendingUpgrade
                },
                description: if is_install {
                    "Initial install underway"
                } else {
                    "Preparing upgrade"
                }
                .to_owned(),
                notes: set.notes.clone(),
                ..Info::default()
            },
            chart: Chart { metadata, values: set.chart.values.clone(), ..Chart::default() },
            config: Value::Object(values),
            manifest: set.manifest.clone(),
            hooks: hooks.iter().map(Hook::to_record).collect(),
            apply_method: "ssa".to_owned(),
        };
        let deployment_id = &self.deployment.spec.deployment_id;
        let annotations =
            releases::record_annotations(&name, &self.deployer.agent_namespace, deployment_id);
        Record { release, annotations }
    }

    /// Failed versions must not pile up; the last good one is never among those that go, nor is one that alone
    /// knows of an object.
    async fn retire_failed(&self, desired: &DesiredSet) {
        let current = self.next_version();
        let good = self.objects_in(self.last_deployed());
        let known: BTreeSet<ObjectKey> =
            desired.objects.iter().chain(&good).map(ObjectKey::of).collect();
        let is_old_failure = |record: &&Record| {
            record.release.info.status == ReleaseStatus::Failed
                && record.release.version != current
                && self
                    .objects_in([*record])
                    .iter()
                    .all(|object| known.contains(&ObjectKey::of(object)))
        };
        let old: Vec<Record> = self.history.iter().filter(is_old_failure).cloned().collect();
        if let Err(error) = releases::retire(&self.account, &old, 1).await {
            tracing::warn!(release = %self.release, error = chain(&error), "old failures not tidied up");
        }
    }

    /// Old records are history: failing to tidy them up does not fail the deployment.
    async fn retire(&self) {
        let helm = self.deployment.spec.options.helm.as_ref();
        let keep = helm.map_or(0, |helm| helm.max_history);
        let keep_count =
            usize::try_from(if keep > 0 { keep } else { DEFAULT_HISTORY }).unwrap_or(usize::MAX);
        let current = self.next_version();
        let older: Vec<Record> = self
            .history
            .iter()
            .filter(|record| record.release.version != current)
            .cloned()
            .collect();
        if let Err(error) = releases::retire(&self.account, &older, keep_count).await {
            tracing::warn!(release = %self.release, error = chain(&error), "old release records not tidied up");
        }
    }
}

/// What charts may know of the cluster.
fn capabilities(kinds: &Kinds) -> Result<Capabilities, render::Error> {
    let version = KubeVersion::parse(&kinds.kube_version)?;
    // What the cluster serves, and nothing else: Helm's own list is only for renders without a cluster.
    Ok(Capabilities {
        kube_version: version,
        api_versions: kinds.api_versions.iter().cloned().collect(),
    })
}

/// Creates definitions of a chart's `crds/` folder that are missing; existing ones are left alone, as Helm does.
async fn create_definitions(account: &Member, definitions: &[Value]) -> Result<(), Error> {
    let mut created = Vec::new();
    for definition in definitions {
        let key = ObjectKey::of(definition);
        match account.create(&key, definition).await {
            Ok(_) => created.push(key),
            Err(error) if error.code() == Some(409) => {}
            Err(error) => return Err(Error::Refused(vec![RefusedObject { key, error }])),
        }
    }
    if !created.is_empty() {
        wait_until_established(account, created.iter()).await;
        account.discovery().refresh(Duration::ZERO).await.map_err(CallError::from)?;
    }
    Ok(())
}

fn defined_scopes(set: &RenderedSet) -> BTreeMap<(String, String), bool> {
    let definitions = set.objects.iter().chain(&set.definitions).map(|object| &object.value);
    let definitions = definitions.filter(|value| value["kind"] == "CustomResourceDefinition");
    definitions
        .map(|value| {
            let text = |pointer| {
                value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            (
                (text("/spec/group"), text("/spec/names/kind")),
                value["spec"]["scope"] == "Namespaced",
            )
        })
        .collect()
}
