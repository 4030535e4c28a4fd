//! Release records on the member cluster: read, written, and listed to find out whose they are.
//!
//! Owns the Secrets that hold them. Must not know how a release came about. Start at [`history`].

use std::collections::BTreeMap;

use bundle_format::api::labels::{AGENT_NAMESPACE, BUNDLE_ID};
use bundle_format::api::wire::Object;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use runtime::{ApiError, Classify, ErrorClass};
use serde_json::Value;

use super::member::{CallError, Member};
use crate::plan::ObjectKey;
use crate::release::{self, Release, ReleaseName, ReleaseStatus, Stamp};

/// Annotation on a record's Secret: which version of a bundle, with which options, it holds.
pub const DEPLOYMENT_ID: &str = "fleet.cattle.io/deployment-id";

const PAGE: u32 = 250;

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The record cannot be read or packed.
    #[error(transparent)]
    Record(#[from] release::Error),
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        Self::Call(error.into())
    }
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Call(error) => error.class(),
            Self::Record(_) => ErrorClass::User,
        }
    }
}

/// A record and the annotations of its Secret.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The record.
    pub release: Release,
    /// Annotations of the Secret.
    pub annotations: BTreeMap<String, String>,
}

/// Which release belongs to which bundle deployment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnedRelease {
    /// Name of the BundleDeployment.
    pub bundle_id: String,
    /// The release.
    pub release: ReleaseName,
}

/// All records of a release, oldest first. Records that cannot be read are left out.
pub async fn history(member: &Member, id: &ReleaseName) -> Result<Vec<Record>, Error> {
    let list = member.list_secrets(&id.namespace, &format!("owner=helm,name={}", id.name)).await?;
    let mut records: Vec<Record> = Vec::new();
    for secret in list["items"].as_array().into_iter().flatten() {
        match Release::from_secret(secret) {
            Ok(release) => records.push(Record { release, annotations: annotations_of(secret) }),
            Err(error) => tracing::warn!(%error, "release record left out"),
        }
    }
    records.sort_by_key(|record| record.release.version);
    Ok(records)
}

/// Reads one revision; `None` when it is gone.
pub async fn read(
    member: &Member,
    id: &ReleaseName,
    version: u32,
) -> Result<Option<Record>, Error> {
    let Some(secret) = member.get(&secret_key(id, version)).await? else { return Ok(None) };
    let release = Release::from_secret(&secret)?;
    Ok(Some(Record { release, annotations: annotations_of(&secret) }))
}

/// Creates a record, or writes it again when this revision exists already (after a crash, or a retry).
pub async fn write(member: &Member, record: &Record) -> Result<(), Error> {
    let Record { release, annotations } = record;
    let now = runtime::world::now();
    let key = secret_key(&release.id(), release.version);
    let secret = release.to_secret(annotations, Stamp::Created, now)?;
    match member.create(&key, &secret).await {
        Err(error) if error.code() == Some(409) => {
            let secret = release.to_secret(annotations, Stamp::Modified, now)?;
            member.merge_patch(&key, &secret).await?;
            Ok(())
        }
        result => Ok(result.map(|_| ())?),
    }
}

/// Writes the state of a record that exists.
pub async fn update(member: &Member, record: &Record) -> Result<(), Error> {
    let Record { release, annotations } = record;
    let mut secret = release.to_secret(annotations, Stamp::Modified, runtime::world::now())?;
    // Type and name never change; leaving them out lets the server refuse nothing but what matters.
    secret["metadata"]["labels"]["createdAt"] = Value::Null;
    member.merge_patch(&secret_key(&release.id(), release.version), &secret).await?;
    Ok(())
}

/// Marks the deployed records among `older` as superseded, those nobody finished as failed, and deletes those beyond
/// `keep_count`, the newest record (not among them) included in the count.
pub async fn retire(member: &Member, older: &[Record], keep_count: usize) -> Result<(), Error> {
    let kept_from = older.len().saturating_sub(keep_count.saturating_sub(1));
    for record in &older[..kept_from] {
        member.delete(&secret_key(&record.release.id(), record.release.version), None).await?;
    }
    for record in &older[kept_from..] {
        let status = match record.release.info.status {
            ReleaseStatus::Deployed => ReleaseStatus::Superseded,
            status if status.is_pending() => ReleaseStatus::Failed,
            _ => continue,
        };
        let mut record = record.clone();
        record.release.info.status = status;
        update(member, &record).await?;
    }
    Ok(())
}

/// Deletes all records of a release.
pub async fn delete_all(member: &Member, id: &ReleaseName) -> Result<(), Error> {
    let list = member.list_secrets(&id.namespace, &format!("owner=helm,name={}", id.name)).await?;
    for secret in list["items"].as_array().into_iter().flatten() {
        let name = secret["metadata"]["name"].as_str().unwrap_or_default();
        let key = ObjectKey { name: name.to_owned(), ..secret_key(id, 0) };
        member.delete(&key, None).await?;
    }
    Ok(())
}

/// Finds all releases of this agent.
///
/// Our records say on their Secret whose they are, so that only metadata is read; records of another Fleet agent
/// say it inside, so their newest revision is unpacked.
pub async fn find_owned(
    member: &Member,
    agent_namespace: &str,
) -> Result<Vec<OwnedRelease>, Error> {
    let secrets: Api<Secret> = Api::all(member.client().clone());
    let mut params = ListParams::default().labels("owner=helm").limit(PAGE);
    let mut owned = BTreeMap::new();
    let mut unlabelled: BTreeMap<ReleaseName, u32> = BTreeMap::new();
    loop {
        let page = secrets
            .list_metadata(&params)
            .await
            .map_err(|error| ApiError::new("list release records", error))?;
        for secret in &page.items {
            let Some(namespace) = secret.namespace() else { continue };
            let Some(name) = secret.labels().get("name").cloned() else { continue };
            let id = ReleaseName { namespace, name };
            let annotations = secret.annotations();
            match (annotations.get(BUNDLE_ID), annotations.get(AGENT_NAMESPACE)) {
                (Some(bundle_id), Some(agent)) if agent == agent_namespace => {
                    owned.insert(id, bundle_id.clone());
                }
                (Some(_), Some(_)) => {}
                _ => {
                    let version = secret
                        .labels()
                        .get("version")
                        .and_then(|text| text.parse().ok())
                        .unwrap_or(0);
                    let newest = unlabelled.entry(id).or_default();
                    *newest = version.max(*newest);
                }
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    for (id, version) in unlabelled {
        if owned.contains_key(&id) {
            continue;
        }
        // A record that cannot be read is not ours: ours were written by this code or by Helm.
        if let Ok(Some(record)) = read(member, &id, version).await
            && record.release.annotation(AGENT_NAMESPACE) == Some(agent_namespace)
            && let Some(bundle_id) = record.release.annotation(BUNDLE_ID)
        {
            owned.insert(id, bundle_id.to_owned());
        }
    }
    Ok(owned.into_iter().map(|(release, bundle_id)| OwnedRelease { bundle_id, release }).collect())
}

fn secret_key(id: &ReleaseName, version: u32) -> ObjectKey {
    ObjectKey {
        api_version: "v1".to_owned(),
        kind: "Secret".to_owned(),
        namespace: id.namespace.clone(),
        name: id.secret_name(version),
    }
}

fn annotations_of(secret: &Value) -> BTreeMap<String, String> {
    let annotations = secret.pointer("/metadata/annotations").and_then(Value::as_object);
    let pairs = annotations.into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

impl Member {
    async fn list_secrets(&self, namespace: &str, selector: &str) -> Result<Value, CallError> {
        // `=` and `,` are the only characters of a selector on release names that need escaping.
        let selector = selector.replace('=', "%3D").replace(',', "%2C");
        let path = format!("/api/v1/namespaces/{namespace}/secrets?labelSelector={selector}");
        self.read_path(&path, "list release records").await
    }
}

/// The annotations of a record's Secret.
#[must_use]
pub fn record_annotations(
    bundle_id: &str,
    agent_namespace: &str,
    deployment_id: &str,
) -> BTreeMap<String, String> {
    let pairs = [
        (BUNDLE_ID, bundle_id),
        (AGENT_NAMESPACE, agent_namespace),
        (DEPLOYMENT_ID, deployment_id),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The five annotations by which Fleet knows its releases, for the chart's metadata.
#[must_use]
pub fn chart_annotations(pairs: &[(&str, &str)]) -> Object {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect()
}
