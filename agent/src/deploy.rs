//! Brings one version of a bundle into the cluster: fetch, render, plan, write, record.
//!
//! Owns the order of these steps and what is left behind when one fails. Every step may be repeated after a crash:
//! the record is written before the first object. Must not know queues or statuses. Start at [`deploy`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::BundleDeployment;
use bundle_format::api::labels::{
    AGENT_NAMESPACE, BUNDLE_ID, COMMIT, DEFAULT_SERVICE_ACCOUNT, KEEP_RESOURCES, SERVICE_ACCOUNT,
};
use bundle_format::api::names::{helm_release_name, object_set, object_set_hash};
use bundle_format::api::options::BundleDeploymentOptions;
use bundle_format::api::wire::Object;
use bundle_format::content::{ContentError, DeploymentId};
use gotemplate::{Budget, Scope};
use kube::ResourceExt;
use render::helm::{Capabilities, KubeVersion};
use render::postrender::fill_namespaces;
use render::{RenderRequest, RenderedSet, Scopes};
use runtime::{Classify, ErrorClass, chain};
use serde_json::Value;

use crate::content::{self, Contents};
use crate::live::discovery::{Kinds, Resource};
use crate::live::execute::{RefusedObject, execute};
use crate::live::hooks::{self, run_hooks};
use crate::live::host::ClusterHost;
use crate::live::member::{CallError, Member};
use crate::live::observe::observe_objects;
use crate::live::releases::{self, DEPLOYMENT_ID, Record};
use crate::live::wait::{TimedOut, wait_until_established, wait_until_ready};
use crate::namespace;
use crate::plan::ObjectKey;
use crate::plan::apply::{ApplyOptions, ApplyPlan, DesiredSet, LiveSet, Refusal, plan_apply};
use crate::plan::hooks::{Hook, Moment};
use crate::release::{Chart, Info, Release, ReleaseName, ReleaseStatus};
use crate::values;

const DEFAULT_HISTORY: i64 = 2;
/// What Helm gives a hook when no time limit is set.
pub(crate) const HOOK_LIMIT: Duration = Duration::from_secs(300);

/// What the agent needs in order to deploy anything.
pub struct Deployer {
    /// The hub.
    pub hub: kube::Client,
    /// The member cluster, as the agent.
    pub member: Member,
    /// Contents of bundles.
    pub contents: Contents,
    /// Namespace of the agent; accounts to impersonate live in it.
    pub agent_namespace: String,
    /// Scope of the agent, empty for the only one in a cluster.
    pub scope: String,
}

/// A version of a bundle that is in the cluster.
#[derive(Debug)]
pub struct Deployed {
    /// The release.
    pub release: ReleaseName,
    /// Its revision.
    pub version: u32,
    /// Objects as they were applied, ownership marks included.
    pub desired: Vec<Value>,
    /// Objects as the server has them.
    pub live: BTreeMap<ObjectKey, Value>,
    /// How their kinds are reached.
    pub resources: Vec<(ObjectKey, Resource)>,
}

/// Why a version did not get into the cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The deployment id of the hub cannot be read.
    #[error("read the deployment id")]
    Id(#[source] ContentError),
    /// The bundle needs something that this version of the agent cannot do.
    #[error("{what} is not supported by this agent yet")]
    NotServed {
        /// What.
        what: String,
    },
    /// The account to impersonate does not exist.
    #[error("looking up service account {namespace}/{name}: ServiceAccount \"{name}\" not found")]
    NoAccount {
        /// Namespace of the agent.
        namespace: String,
        /// Name of the account.
        name: String,
    },
    /// The content could not be fetched.
    #[error(transparent)]
    Content(#[from] content::Error),
    /// The values could not be read.
    #[error(transparent)]
    Values(#[from] values::Error),
    /// The bundle cannot be rendered.
    #[error(transparent)]
    Render(#[from] render::Error),
    /// Rendering was cut off.
    #[error("rendering stopped before it was done")]
    RenderStopped,
    /// The cluster does not serve a kind.
    #[error(
        "unable to build kubernetes objects from release manifest: resource mapping not found for name: \"{name}\" \
         namespace: \"{namespace}\" from \"{file}\": no matches for kind \"{kind}\" in version \"{api_version}\"\n\
         ensure CRDs are installed first"
    )]
    UnknownKind {
        /// Name of the object.
        name: String,
        /// Namespace of the object.
        namespace: String,
        /// File of the object.
        file: String,
        /// Kind of the object.
        kind: String,
        /// Version of the object.
        api_version: String,
    },
    /// The namespace of the release is not as it must be.
    #[error(transparent)]
    Namespace(#[from] namespace::Error),
    /// An object exists and belongs to somebody else.
    #[error(transparent)]
    NotOurs(#[from] Refusal),
    /// A release record could not be read or written.
    #[error(transparent)]
    Record(#[from] releases::Error),
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The API server refused objects.
    #[error("{}", refusal_text(.0))]
    Refused(Vec<RefusedObject>),
    /// A hook failed.
    #[error(transparent)]
    Hook(#[from] hooks::Error),
    /// The objects did not get ready in time.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    /// A failure of an atomic release, which was undone.
    #[error("release {release} failed, and has been rolled back due to atomic being set: {cause}")]
    RolledBack {
        /// The release.
        release: String,
        /// What failed.
        cause: Box<Error>,
    },
}

impl Error {
    /// Nothing was, or stays, applied, and trying again changes nothing: Fleet's "fatal" errors.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::NotOurs(_) | Self::TimedOut(_) | Self::RolledBack { .. } => true,
            Self::Render(render::Error::Helm(error)) => {
                matches!(error, render::helm::Error::KubeVersion { .. })
            }
            _ => false,
        }
    }

    /// Waits for a kind to be served.
    #[must_use]
    pub fn awaits_kind(&self) -> bool {
        matches!(self, Self::UnknownKind { .. } | Self::Call(CallError::UnknownKind { .. }))
    }
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Content(error) => error.class(),
            Self::Values(error) => error.class(),
            Self::Record(error) => error.class(),
            Self::Call(error) => error.class(),
            Self::Namespace(error) => error.class(),
            Self::RenderStopped => ErrorClass::Unavailable,
            Self::Refused(objects) => {
                let transient =
                    objects.iter().all(|object| object.error.class() == ErrorClass::Unavailable);
                let forbidden = objects.iter().any(|object| object.error.code() == Some(403));
                if transient && !forbidden { ErrorClass::Unavailable } else { ErrorClass::User }
            }
            _ => ErrorClass::User,
        }
    }
}

fn refusal_text(objects: &[RefusedObject]) -> String {
    let lines: Vec<String> = objects.iter().map(refused_line).collect();
    lines.join("; ")
}

/// One refused object in the words of the reference.
fn refused_line(object: &RefusedObject) -> String {
    let (group, version) =
        object.key.api_version.rsplit_once('/').unwrap_or(("", &object.key.api_version));
    let words = server_words(&object.error);
    let ObjectKey { namespace, name, kind, .. } = &object.key;
    let name = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
    format!("server-side apply failed for object {name} {group}/{version}, Kind={kind}: {words}")
}

/// The server's own sentence, without our action in front of it.
#[must_use]
pub fn server_words(error: &CallError) -> String {
    match error {
        CallError::Api(error) => error.source.to_string(),
        other => chain(other),
    }
}

/// Deploys the version that the BundleDeployment names.
///
/// Guarantees: safe to repeat at any point; nothing is deleted before everything new was accepted; a version that
/// was refused leaves one record `failed`, however often it is tried.
pub async fn deploy(deployer: &Deployer, deployment: &BundleDeployment) -> Result<Deployed, Error> {
    let spec = &deployment.spec;
    if spec.helm_chart_options.is_some() {
        return Err(Error::NotServed {
            what: "a HelmOp, whose chart the agent fetches itself,".to_owned(),
        });
    }
    if spec.oci_contents {
        return Err(Error::NotServed { what: "bundle content in an OCI registry".to_owned() });
    }
    let id: DeploymentId = spec.deployment_id.parse().map_err(Error::Id)?;
    let account = deployer.account(&spec.options).await?;
    let (manifest, values, kinds) = tokio::try_join!(
        async { Ok::<_, Error>(deployer.contents.manifest(&id).await?) },
        async { Ok(values::observe_values(&deployer.hub, &account, deployment).await?) },
        async { Ok(deployer.member.discovery().kinds().await.map_err(CallError::from)?) },
    )?;
    let release = release_name(deployment);
    let namespace_made = namespace::prepare(&account, &release.namespace, &spec.options).await?;
    namespace::copy_downstream_resources(&deployer.hub, &account, deployment).await?;
    let history = releases::history(&account, &release).await?;
    let attempt = Attempt { deployer, deployment, account, release, history, kinds };
    let (rendered, values) = attempt.render(manifest, values, &id).await?;
    attempt.install(rendered, values, namespace_made).await
}

/// Namespace and name of the release of a deployment.
#[must_use]
pub fn release_name(deployment: &BundleDeployment) -> ReleaseName {
    let options = &deployment.spec.options;
    let named = options
        .helm
        .as_ref()
        .map(|helm| helm.release_name.as_str())
        .filter(|name| !name.is_empty());
    ReleaseName {
        namespace: options.release_namespace().to_owned(),
        name: named.map_or_else(|| helm_release_name(&deployment.name_any()), str::to_owned),
    }
}

impl Deployer {
    /// The member cluster as the account that a deployment runs as.
    pub async fn account(&self, options: &BundleDeploymentOptions) -> Result<Member, Error> {
        let named = !options.service_account.is_empty();
        let name = if named { options.service_account.as_str() } else { DEFAULT_SERVICE_ACCOUNT };
        let key = ObjectKey {
            api_version: "v1".to_owned(),
            kind: "ServiceAccount".to_owned(),
            namespace: self.agent_namespace.clone(),
            name: name.to_owned(),
        };
        match (self.member.get(&key).await?, named) {
            (Some(_), _) => Ok(self.member.impersonating(&self.agent_namespace, name)),
            (None, false) => Ok(self.member.clone()),
            (None, true) => Err(Error::NoAccount {
                namespace: self.agent_namespace.clone(),
                name: name.to_owned(),
            }),
        }
    }

    /// The label value on all objects of a deployment.
    #[must_use]
    pub fn set_hash(&self, deployment: &str) -> String {
        object_set_hash(&object_set(deployment, &self.scope))
    }
}

/// One try to deploy one version.
struct Attempt<'a> {
    deployer: &'a Deployer,
    deployment: &'a BundleDeployment,
    account: Member,
    release: ReleaseName,
    history: Vec<Record>,
    kinds: Arc<Kinds>,
}

impl Attempt<'_> {
    async fn render(
        &self,
        manifest: bundle_format::content::Manifest,
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
        let host = Arc::new(ClusterHost::new(self.account.clone()));
        let scope = Scope { host, budget: Arc::new(Budget::default()) };
        // Rendering may take long: it must not hold up the other deployments' network traffic.
        let task = tokio::task::spawn_blocking(move || {
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

    async fn install(
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
        let (plan, previous) = self.plan(&desired, namespace_made).await?;
        let hooks: Vec<Hook> =
            set.hooks.iter().map(|hook| Hook::read(&hook.source, &hook.value)).collect();
        let mut record = self.record(&set, &hooks, values);
        releases::write(&self.account, &record).await?;
        if let Err(error) = self.write_objects(&set, &desired, &hooks, &plan).await {
            return Err(self.fail(record, error, &desired, previous).await);
        }
        record.release.info.status = ReleaseStatus::Deployed;
        record.release.info.description =
            if record.release.version == 1 { "Install complete" } else { "Upgrade complete" }
                .to_owned();
        releases::update(&self.account, &record).await?;
        self.retire().await;
        self.deployed(record.release.version, plan).await
    }

    /// Definitions, hooks before, objects, the wait for them, hooks after.
    async fn write_objects(
        &self,
        set: &RenderedSet,
        desired: &DesiredSet,
        hooks: &[Hook],
        plan: &ApplyPlan,
    ) -> Result<(), Error> {
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
            wait_until_ready(&self.account, &keys, limit).await?;
        }
        Ok(run_hooks(&self.account, hooks, after, limit).await?)
    }

    /// Reads what is there now: it is what the deployment is watched for from here on.
    async fn deployed(&self, version: u32, plan: ApplyPlan) -> Result<Deployed, Error> {
        let desired: Vec<Value> =
            plan.phases.into_values().flatten().map(|step| step.object).collect();
        let live =
            observe_objects(&self.deployer.member, desired.iter().map(ObjectKey::of)).await?;
        let mut resources = Vec::with_capacity(desired.len());
        for key in desired.iter().map(ObjectKey::of) {
            let resource = self.deployer.member.resource(&key).await?;
            resources.push((key, resource));
        }
        Ok(Deployed { release: self.release.clone(), version, desired, live, resources })
    }

    /// All kinds must be served, or be defined by this very set.
    async fn check_kinds(&self, set: &RenderedSet, served: &Served<'_>) -> Result<(), Error> {
        for object in set.objects.iter().chain(&set.hooks) {
            let key = ObjectKey::of(&object.value);
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
    ) -> Result<(ApplyPlan, Vec<Value>), Error> {
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
        Ok((plan_apply(desired, &live, &options)?, live.previous))
    }

    /// Objects that earlier revisions may have left: those of the last record, whatever became of it, and those of
    /// the last one that was deployed.
    fn previous(&self) -> Vec<Value> {
        let deployed =
            self.history.iter().rev().find(|r| r.release.info.status == ReleaseStatus::Deployed);
        let mut previous: Vec<Value> = Vec::new();
        for record in self.history.last().into_iter().chain(deployed) {
            let mut objects = objects_of(&record.release);
            let served = Served { kinds: &self.kinds, defined: BTreeMap::new() };
            fill_namespaces(&mut objects, &self.release.namespace, &served);
            for object in objects {
                let key = ObjectKey::of(&object.value);
                if !previous.iter().any(|known| ObjectKey::of(known) == key) {
                    previous.push(object.value);
                }
            }
        }
        previous
    }

    fn timeout(&self) -> Option<Duration> {
        let seconds =
            self.deployment.spec.options.helm.as_ref().map_or(0, |helm| helm.timeout_seconds);
        u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    fn helm(&self, read: impl Fn(&bundle_format::api::options::HelmOptions) -> bool) -> bool {
        self.deployment.spec.options.helm.as_ref().is_some_and(read)
    }

    /// Leaves the record `failed`; an atomic release is taken back first.
    async fn fail(
        &self,
        mut record: Record,
        error: Error,
        desired: &DesiredSet,
        previous: Vec<Value>,
    ) -> Error {
        record.release.info.status = ReleaseStatus::Failed;
        record.release.info.description =
            format!("Release {:?} failed: {error}", self.release.name);
        let atomic = self.helm(|helm| helm.atomic);
        if atomic && let Err(second) = self.roll_back(desired, previous).await {
            tracing::warn!(release = %self.release, error = chain(&second), "rollback failed, trying again later");
            return second;
        }
        if let Err(second) = releases::update(&self.account, &record).await {
            tracing::warn!(release = %self.release, error = chain(&second), "record of the failure not written");
        }
        self.retire_failed().await;
        if atomic {
            return Error::RolledBack {
                release: self.release.name.clone(),
                cause: Box::new(error),
            };
        }
        error
    }

    /// Applies what was deployed before and deletes what this version added.
    async fn roll_back(&self, desired: &DesiredSet, previous: Vec<Value>) -> Result<(), Error> {
        let before = DesiredSet { objects: previous };
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

    /// Failed versions must not pile up; the last good one is never among those that go.
    async fn retire_failed(&self) {
        let current = self.next_version();
        let is_old_failure = |record: &&Record| {
            record.release.info.status == ReleaseStatus::Failed && record.release.version != current
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

/// The objects of a release, as they were rendered then. A document that cannot be read is left out.
#[must_use]
pub fn objects_of(release: &Release) -> Vec<render::RenderedObject> {
    let mut objects = Vec::new();
    let read = render::objects::decode_documents(
        "release manifest",
        release.manifest.as_bytes(),
        &mut objects,
        &mut Vec::new(),
    );
    if let Err(error) = read {
        tracing::warn!(release = %release.id(), error = chain(&error), "manifest of the release cannot be read");
    }
    objects
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

/// Scopes of kinds: those the cluster serves, and those a set defines itself.
pub struct Served<'a> {
    /// What the cluster serves.
    pub kinds: &'a Kinds,
    /// Group and kind of definitions in the set, and whether their objects live in namespaces.
    pub defined: BTreeMap<(String, String), bool>,
}

impl Scopes for Served<'_> {
    fn is_namespaced(&self, api_version: &str, kind: &str) -> Option<bool> {
        if let Some(resource) = self.kinds.get(api_version, kind) {
            return Some(resource.namespaced);
        }
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        self.defined.get(&(group.to_owned(), kind.to_owned())).copied()
    }
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
