//! Brings one version of a bundle into the cluster: fetch, render, plan, write, record.
//!
//! Owns the order of these steps and what is left behind when one fails. Every step may be repeated after a crash:
//! the record is written before the first object. Must not know queues or statuses. Start at [`deploy`].

mod attempt;
mod error;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::BundleDeployment;
use bundle_format::api::labels::DEFAULT_SERVICE_ACCOUNT;
use bundle_format::api::names::{helm_release_name, object_set, object_set_hash};
use bundle_format::api::options::BundleDeploymentOptions;
use bundle_format::content::DeploymentId;
use kube::ResourceExt;
use render::Scopes;
use render::helm::ChartCache;
use runtime::chain;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::attempt::Attempt;
pub use self::error::{Error, refusal_words, server_words};
use crate::content::Contents;
use crate::live::discovery::{Kinds, Resource};
use crate::live::member::{CallError, Member};
use crate::live::recent::Recent;
use crate::live::releases;
use crate::plan::ObjectKey;
use crate::release::{Release, ReleaseName};
use crate::{namespace, values};

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
    /// Charts that were rendered before: other values do not parse them again.
    pub charts: Arc<ChartCache>,
    /// Namespace of the agent; accounts to impersonate live in it.
    pub agent_namespace: String,
    /// Scope of the agent, empty for the only one in a cluster.
    pub scope: String,
    /// Accounts that were looked for a moment ago.
    pub accounts: Recent,
    /// Namespaces that were there a moment ago.
    pub namespaces: Recent,
    /// Places for renders: they take a thread each, and more of them than cores only take memory.
    pub renders: Semaphore,
}

/// Renders at the same time.
pub const RENDERS_MAX: usize = 4;

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
    /// How their kinds are reached, and those of the objects that the version before had besides.
    pub resources: Vec<(ObjectKey, Resource)>,
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
    let namespace_made = deployer.prepare(&account, &release.namespace, &spec.options).await?;
    namespace::copy_downstream_resources(&deployer.hub, &account, deployment).await?;
    let history = releases::history(&account, &release).await?;
    let attempt = Attempt { deployer, deployment, account, release, history, kinds };
    let (rendered, values) = attempt.render(manifest, values, &id).await?;
    let namespace = attempt.release.namespace.clone();
    let installed = attempt.install(rendered, values, namespace_made).await;
    if installed.is_err() {
        // It may be gone, and that be the reason: the next try asks.
        deployer.namespaces.forget(&namespace);
    }
    installed
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
        let now = Instant::now();
        let exists = match self.accounts.get(name, now) {
            Some(exists) => exists,
            None => {
                let exists = self.member.get(&key).await?.is_some();
                self.accounts.note(name, exists, now);
                exists
            }
        };
        match (exists, named) {
            (true, _) => Ok(self.member.impersonating(&self.agent_namespace, name)),
            (false, false) => Ok(self.member.clone()),
            (false, true) => Err(Error::NoAccount {
                namespace: self.agent_namespace.clone(),
                name: name.to_owned(),
            }),
        }
    }

    /// Makes the namespace of a release usable; returns whether it was made. Asks for it once a second, unless
    /// something is wanted of it.
    async fn prepare(
        &self,
        account: &Member,
        name: &str,
        options: &BundleDeploymentOptions,
    ) -> Result<bool, Error> {
        let is_plain = options.namespace_labels.is_empty()
            && options.namespace_annotations.is_empty()
            && options.allowed_target_namespace_selector.is_none();
        let now = Instant::now();
        if is_plain && self.namespaces.get(name, now) == Some(true) {
            return Ok(false);
        }
        let made = namespace::prepare(account, name, options).await?;
        // One that has to be there already may be missing: that is told by what is written into it.
        self.namespaces.note(name, options.create_namespace != Some(false), now);
        Ok(made)
    }

    /// The label value on all objects of a deployment.
    #[must_use]
    pub fn set_hash(&self, deployment: &str) -> String {
        object_set_hash(&object_set(deployment, &self.scope))
    }
}

/// The objects of a release, as they were rendered then, each in the namespace it was written into. A document that
/// cannot be read is left out.
#[must_use]
pub fn objects_of(release: &Release, kinds: &Kinds) -> Vec<Value> {
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
    let served = Served { kinds, defined: BTreeMap::new() };
    render::postrender::fill_namespaces(&mut objects, &release.namespace, &served);
    objects.into_iter().map(|object| object.value).collect()
}

/// Adds the objects of a release that are not among `found` yet.
pub fn add_objects_of(release: &Release, kinds: &Kinds, found: &mut Vec<Value>) {
    for object in objects_of(release, kinds) {
        let key = ObjectKey::of(&object);
        if !found.iter().any(|known| ObjectKey::of(known) == key) {
            found.push(object);
        }
    }
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
