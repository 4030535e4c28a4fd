//! Local copies of everything the controller reads, and how to find things in them.
//!
//! Owns the watches, their indexes and what is kept of each object. Knows nothing of decisions.
//! Start at [`Stores`].

use std::borrow::Cow;
use std::sync::Arc;

use bundle_format::api::{
    Bundle, BundleDeployment, BundleNamespaceMapping, Cluster, ClusterGroup, ClusterRegistration,
    ClusterRegistrationToken, Content, GitRepo, GitRepoRestriction, Policy, labels, names,
};
use bundle_format::content::{ContentId, Manifest};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::Client;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use runtime::cache::CacheBuilder;
use runtime::{Cache, ObjectKey};
use serde::{Deserialize, Deserializer};

use crate::fleet::Fleet;
use crate::unserved::UnservedStores;

/// Index of BundleDeployments by `<namespace>/<name>` of their Bundle.
pub const BY_BUNDLE: &str = "bundle";
/// Index of Bundles and BundleDeployments by `<namespace>/<name>` of their GitRepo.
pub const BY_REPO: &str = "repo";
/// Index of Bundles and BundleDeployments by the Content they need.
pub const BY_CONTENT: &str = "content";
/// Index of Clusters and ClusterRegistrations by `<namespace>/<clientID>`.
const BY_CLIENT_ID: &str = "client-id";
/// Index of Clusters by the namespace of their BundleDeployments.
pub const BY_CLUSTER_NAMESPACE: &str = "cluster-namespace";

/// Index of ClusterRegistrations that are not granted, by namespace.
pub const WAITING: &str = "waiting";

/// Bundles listed at once: they arrive with their files, up to a megabyte each.
const BUNDLES_PAGE: u32 = 20;

/// A Bundle whose files were replaced by their identity as soon as they were read: they are big,
/// and only needed once per version.
#[derive(Clone, Debug)]
pub struct KnownBundle {
    /// The Bundle, without `spec.resources`.
    pub bundle: Bundle,
    /// Name of the Content that holds the files.
    pub content: ContentId,
    /// sha256 of the files as one manifest.
    pub sha256: String,
}

impl<'de> Deserialize<'de> for KnownBundle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bundle = Bundle::deserialize(deserializer)?;
        let manifest = Manifest { resources: std::mem::take(&mut bundle.spec.resources) };
        let sha256 = names::sha256_hex(manifest.to_json().as_bytes());
        let content = match (&bundle.spec.helm_op_options, bundle.spec.contents_id.as_str()) {
            (None, "") => ContentId::of_digest(&sha256),
            (_, id) => ContentId::recorded(id),
        };
        Ok(Self { bundle, content, sha256 })
    }
}

impl Resource for KnownBundle {
    type DynamicType = ();
    type Scope = <Bundle as Resource>::Scope;

    fn kind(dt: &()) -> Cow<'_, str> {
        Bundle::kind(dt)
    }
    fn group(dt: &()) -> Cow<'_, str> {
        Bundle::group(dt)
    }
    fn version(dt: &()) -> Cow<'_, str> {
        Bundle::version(dt)
    }
    fn plural(dt: &()) -> Cow<'_, str> {
        Bundle::plural(dt)
    }
    fn meta(&self) -> &ObjectMeta {
        &self.bundle.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.bundle.metadata
    }
}

/// All local copies.
///
/// A copy may be late, but what follows from an object was made by somebody who knew that object.
/// Those that decide where bundles go begin with the newest state: an older one would take back what
/// was decided since, and delete what it does not know.
pub struct Stores {
    /// ConfigMap `fleet-controller` alone.
    pub config: Cache<ConfigMap>,
    /// Namespaces, metadata only.
    pub namespaces: Cache<PartialObjectMeta<Namespace>>,
    /// Clusters.
    pub clusters: Cache<Cluster>,
    /// ClusterGroups.
    pub groups: Cache<ClusterGroup>,
    /// BundleNamespaceMappings.
    pub mappings: Cache<BundleNamespaceMapping>,
    /// Bundles without their files.
    pub bundles: Cache<KnownBundle>,
    /// BundleDeployments.
    pub deployments: Cache<BundleDeployment>,
    /// GitRepos.
    pub git_repos: Cache<GitRepo>,
    /// GitRepoRestrictions.
    pub restrictions: Cache<GitRepoRestriction>,
    /// Policies.
    pub policies: Cache<Policy>,
    /// Contents, metadata only.
    pub contents: Cache<PartialObjectMeta<Content>>,
    /// ClusterRegistrationTokens.
    pub tokens: Cache<ClusterRegistrationToken>,
    /// ClusterRegistrations.
    pub registrations: Cache<ClusterRegistration>,
    /// Secrets with the values of Bundles.
    pub bundle_values: Cache<Secret>,
    /// Secrets with the values of BundleDeployments, metadata only.
    pub deployment_values: Cache<PartialObjectMeta<Secret>>,
    /// Secrets that wait for an agent to fetch its credential, metadata only.
    pub credentials: Cache<PartialObjectMeta<Secret>>,
    /// Objects of kinds that are not served. Nothing waits for them.
    pub unserved: UnservedStores,
    /// Clusters and groups put together, as bundles look at them.
    pub fleet: Fleet,
}

impl Stores {
    /// Starts all watches.
    pub fn start(client: &Client, system_namespace: &str) -> Self {
        let registration_namespace = labels::registration_namespace(system_namespace);
        Self {
            config: CacheBuilder::new(client.clone())
                .namespace(system_namespace)
                .fields(&format!("metadata.name={}", labels::CONTROLLER_CONFIG_NAME))
                .start(),
            namespaces: CacheBuilder::new(client.clone()).newest().metadata_only().start(),
            clusters: clusters(client),
            groups: CacheBuilder::new(client.clone()).newest().start(),
            mappings: CacheBuilder::new(client.clone()).newest().start(),
            bundles: bundles(client),
            deployments: deployments(client),
            git_repos: CacheBuilder::new(client.clone()).start(),
            restrictions: CacheBuilder::new(client.clone()).start(),
            policies: CacheBuilder::new(client.clone()).start(),
            contents: CacheBuilder::new(client.clone()).metadata_only().start(),
            tokens: CacheBuilder::new(client.clone()).start(),
            registrations: registrations(client),
            bundle_values: CacheBuilder::new(client.clone())
                .fields(&format!("type={}", labels::BUNDLE_VALUES_TYPE))
                .start(),
            deployment_values: CacheBuilder::new(client.clone())
                .fields(&format!("type={}", labels::BUNDLE_DEPLOYMENT_VALUES_TYPE))
                .metadata_only()
                .start(),
            credentials: CacheBuilder::new(client.clone())
                .namespace(registration_namespace)
                .fields(&format!("type={}", labels::AGENT_CREDENTIAL_TYPE))
                .metadata_only()
                .start(),
            unserved: UnservedStores::start(client),
            fleet: Fleet::default(),
        }
    }

    /// Waits until every copy is complete: before that, absence proves nothing.
    pub async fn synced(&self) {
        self.config.synced().await;
        self.namespaces.synced().await;
        self.clusters.synced().await;
        self.groups.synced().await;
        self.mappings.synced().await;
        self.bundles.synced().await;
        self.deployments.synced().await;
        self.git_repos.synced().await;
        self.restrictions.synced().await;
        self.policies.synced().await;
        self.contents.synced().await;
        self.tokens.synced().await;
        self.registrations.synced().await;
        self.bundle_values.synced().await;
        self.deployment_values.synced().await;
        self.credentials.synced().await;
    }

    /// The Cluster whose BundleDeployments live in a namespace.
    pub fn cluster_of_namespace(&self, namespace: &str) -> Option<Arc<Cluster>> {
        self.clusters.by_index(BY_CLUSTER_NAMESPACE, namespace).into_iter().next()
    }

    /// The Cluster of a client.
    pub fn cluster_of_client(&self, namespace: &str, client_id: &str) -> Option<Arc<Cluster>> {
        let key = client_key(Some(namespace), client_id)?;
        self.clusters.by_index(BY_CLIENT_ID, &key).into_iter().next()
    }

    /// All requests of a client, granted or not.
    pub fn requests_of_client(
        &self,
        namespace: &str,
        client_id: &str,
    ) -> Vec<Arc<ClusterRegistration>> {
        let key = client_key(Some(namespace), client_id);
        key.map(|key| self.registrations.by_index(BY_CLIENT_ID, &key)).unwrap_or_default()
    }
}

/// The entry of [`BY_CLIENT_ID`]; none for what names no client.
fn client_key(namespace: Option<&str>, client_id: &str) -> Option<String> {
    (!client_id.is_empty()).then(|| format!("{}/{client_id}", namespace.unwrap_or_default()))
}

fn clusters(client: &Client) -> Cache<Cluster> {
    CacheBuilder::new(client.clone())
        .newest()
        .index(BY_CLIENT_ID, |cluster: &Cluster| {
            let namespace = cluster.metadata.namespace.as_deref();
            client_key(namespace, &cluster.spec.client_id).into_iter().collect()
        })
        .index(BY_CLUSTER_NAMESPACE, |cluster: &Cluster| {
            cluster.cluster_namespace().map(str::to_owned).into_iter().collect()
        })
        .start()
}

fn registrations(client: &Client) -> Cache<ClusterRegistration> {
    CacheBuilder::new(client.clone())
        .newest()
        .index(BY_CLIENT_ID, |request: &ClusterRegistration| {
            let namespace = request.metadata.namespace.as_deref();
            client_key(namespace, &request.spec.client_id).into_iter().collect()
        })
        .index(WAITING, |request: &ClusterRegistration| {
            let namespace = request.metadata.namespace.clone().unwrap_or_default();
            (!request.is_granted()).then_some(namespace).into_iter().collect()
        })
        .start()
}

fn bundles(client: &Client) -> Cache<KnownBundle> {
    CacheBuilder::new(client.clone())
        .newest()
        .page_size(BUNDLES_PAGE)
        .index(BY_REPO, |known: &KnownBundle| {
            let namespace = known.bundle.metadata.namespace.as_deref().unwrap_or_default();
            let repo = label(&known.bundle.metadata, labels::REPO_NAME);
            repo.map(|repo| format!("{namespace}/{repo}")).into_iter().collect()
        })
        .index(BY_CONTENT, |known: &KnownBundle| vec![known.content.to_string()])
        .start()
}

fn deployments(client: &Client) -> Cache<BundleDeployment> {
    CacheBuilder::new(client.clone())
        .newest()
        .index(BY_BUNDLE, |deployment: &BundleDeployment| {
            bundle_of(&deployment.metadata).map(|key| key.to_string()).into_iter().collect()
        })
        .index(BY_REPO, |deployment: &BundleDeployment| {
            repo_of(&deployment.metadata).map(|key| key.to_string()).into_iter().collect()
        })
        .index(BY_CONTENT, |deployment: &BundleDeployment| {
            contents_of(deployment).map(str::to_owned).collect()
        })
        .start()
}

/// The value of a label.
pub fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// The value of an annotation.
pub fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The Bundle a BundleDeployment says it belongs to.
pub fn bundle_of(meta: &ObjectMeta) -> Option<ObjectKey> {
    Some(ObjectKey::new(label(meta, labels::BUNDLE_NAMESPACE)?, label(meta, labels::BUNDLE_NAME)?))
}

/// The GitRepo a BundleDeployment says it comes from.
pub fn repo_of(meta: &ObjectMeta) -> Option<ObjectKey> {
    Some(ObjectKey::new(label(meta, labels::BUNDLE_NAMESPACE)?, label(meta, labels::REPO_NAME)?))
}

/// The Contents a BundleDeployment needs: that of the version to run and that of the staged one.
pub fn contents_of(deployment: &BundleDeployment) -> impl Iterator<Item = &str> {
    let spec = &deployment.spec;
    [&spec.deployment_id, &spec.staged_deployment_id].into_iter().filter_map(|id| content_of(id))
}

/// The Content that a version is made of; a chart from a registry has none.
pub fn content_of(deployment_id: &str) -> Option<&str> {
    let (content, _) = deployment_id.split_once(':')?;
    (!content.is_empty()).then_some(content)
}
