//! Writes Bundles and their values Secrets.
//!
//! Owns the order of writes and the words for what the API refuses. Decides nothing: see
//! [`crate::plan::publish`]. Start at [`publish_bundles`].

use std::collections::BTreeMap;

use bundle_format::api::{Bundle, labels};
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use runtime::client::{ApiError, code_of, optional};
use runtime::status::diff_status;
use serde_json::{Value, json};

use crate::plan::publish::{PlannedWrite, PublishPlan, SOURCE_DIGEST, WantedBundle};

/// Field manager of everything gitjob applies.
pub const FIELD_MANAGER: &str = "fleet-gitjob";
/// Writes at the same time for one GitRepo.
const CONCURRENCY: usize = 8;

/// A Bundle that was written.
#[derive(Clone, Debug)]
pub struct PublishedBundle {
    /// Name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation` after the write.
    pub generation: i64,
    /// [`SOURCE_DIGEST`] after the write.
    pub digest: String,
}

/// What became of a plan. Failures do not stop the rest.
#[derive(Debug, Default)]
pub struct Published {
    /// Written.
    pub written: Vec<PublishedBundle>,
    /// Those of them that were not there before.
    pub created: Vec<String>,
    /// Deleted.
    pub deleted: Vec<String>,
    /// Refused by the API: name and words.
    pub failures: Vec<(String, ApiError)>,
}

/// Where Bundles go and what their labels say.
#[derive(Clone)]
pub struct Destination<'a> {
    /// Client of the hub.
    pub client: &'a Client,
    /// Namespace of the GitRepo.
    pub namespace: &'a str,
    /// The commit that changed these Bundles.
    pub commit: &'a str,
}

/// Writes what the plan says; what it deletes is left to [`delete_bundles`].
///
/// Idempotent, and safe to repeat when it was stopped half-way: the digest of a Bundle is written
/// with the Bundle, so what was written is found unchanged next time.
pub async fn publish_bundles(
    to: &Destination<'_>,
    plan: &PublishPlan,
    wanted: &[WantedBundle],
) -> Published {
    let mut writes = Vec::with_capacity(plan.writes.len());
    for write in &plan.writes {
        writes.push(async move {
            let bundle = &wanted[write.index];
            let name = bundle.name().to_owned();
            (name, write.uid.is_none(), write_bundle(to, bundle, write).await)
        });
    }
    let results: Vec<_> =
        futures::stream::iter(writes).buffer_unordered(CONCURRENCY).collect().await;
    let mut published = Published::default();
    for (name, is_new, result) in results {
        match result {
            Ok(bundle) => {
                published.created.extend(is_new.then(|| name.clone()));
                published.written.push(bundle);
            }
            Err(error) => published.failures.push((name, error)),
        }
    }
    published.written.sort_by(|a, b| a.name.cmp(&b.name));
    published.failures.sort_by(|a, b| a.0.cmp(&b.0));
    published
}

/// Deletes what the plan says.
pub async fn delete_bundles(to: &Destination<'_>, plan: &PublishPlan, published: &mut Published) {
    let mut deletes = Vec::with_capacity(plan.deletes.len());
    for name in &plan.deletes {
        deletes.push(
            async move { (name.clone(), delete_bundle(to.client, to.namespace, name).await) },
        );
    }
    let results: Vec<_> =
        futures::stream::iter(deletes).buffer_unordered(CONCURRENCY).collect().await;
    for (name, result) in results {
        match result {
            Ok(()) => published.deleted.push(name),
            Err(error) => published.failures.push((name, error)),
        }
    }
}

/// Deletes one Bundle; one that is gone already is fine.
///
/// # Errors
/// When the API refuses.
pub async fn delete_bundle(client: &Client, namespace: &str, name: &str) -> Result<(), ApiError> {
    let api: Api<Bundle> = Api::namespaced(client.clone(), namespace);
    let deleted = optional(api.delete(name, &DeleteParams::background()).await);
    deleted.map(drop).map_err(|e| ApiError::new(format!("delete bundle {namespace}/{name}"), e))
}

async fn write_bundle(
    to: &Destination<'_>,
    wanted: &WantedBundle,
    write: &PlannedWrite,
) -> Result<PublishedBundle, ApiError> {
    let api: Api<Bundle> = Api::namespaced(to.client.clone(), to.namespace);
    let name = wanted.name();
    let body = apply_body(wanted, to.commit);
    if write.is_takeover {
        take_over(&api, wanted, &body).await?;
    }
    // The controller reads the Secret as soon as the Bundle names its hash: Secret first.
    if !wanted.values.is_empty() {
        write_values(to, wanted, write.uid.as_deref()).await?;
    }
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let applied = api.patch(name, &params, &Patch::Apply(&body)).await;
    let applied = applied.map_err(|e| describe(to, wanted, &body, e))?;
    match (&write.uid, wanted.values.is_empty()) {
        (Some(_), true) => delete_values(to, name).await?,
        // Only now does the owner of the Secret have a uid.
        (None, false) => write_values(to, wanted, applied.metadata.uid.as_deref()).await?,
        _ => {}
    }
    Ok(PublishedBundle {
        name: name.to_owned(),
        uid: applied.metadata.uid.unwrap_or_default(),
        generation: applied.metadata.generation.unwrap_or_default(),
        digest: wanted.digest.clone(),
    })
}

fn apply_body(wanted: &WantedBundle, commit: &str) -> Value {
    let meta = &wanted.bundle.metadata;
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.insert(labels::COMMIT.to_owned(), commit.to_owned());
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.insert(SOURCE_DIGEST.to_owned(), wanted.digest.clone());
    json!({
        "apiVersion": labels::API_VERSION,
        "kind": "Bundle",
        "metadata": { "name": wanted.name(), "labels": labels, "annotations": annotations },
        "spec": wanted.bundle.spec,
    })
}

/// Makes a Bundle of another writer (Rancher Fleet) ours: fields we do not want are removed and
/// the old field managers forgotten, because an apply removes only what its own manager set.
async fn take_over(api: &Api<Bundle>, wanted: &WantedBundle, body: &Value) -> Result<(), ApiError> {
    let name = wanted.name();
    let fail = |e| ApiError::new(format!("take over bundle {name}"), e);
    let live = api.get(name).await.map_err(fail)?;
    let before = serde_json::to_value(&live.spec).unwrap_or_default();
    let spec = diff_status(&before, &body["spec"], &[]).unwrap_or_else(|| json!({}));
    let patch = json!({
        "metadata": {
            "resourceVersion": live.metadata.resource_version,
            "managedFields": [{}],
        },
        "spec": spec,
    });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
    api.patch(name, &params, &Patch::Merge(&patch)).await.map(drop).map_err(fail)
}

async fn write_values(
    to: &Destination<'_>,
    wanted: &WantedBundle,
    owner_uid: Option<&str>,
) -> Result<(), ApiError> {
    let api: Api<Secret> = Api::namespaced(to.client.clone(), to.namespace);
    let name = wanted.name();
    let mut labels = wanted.bundle.metadata.labels.clone().unwrap_or_default();
    labels.insert(labels::COMMIT.to_owned(), to.commit.to_owned());
    let owner = owner_uid.map(|uid| OwnerReference {
        api_version: labels::API_VERSION.to_owned(),
        kind: "Bundle".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    });
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            owner_references: owner.map(|reference| vec![reference]),
            ..ObjectMeta::default()
        },
        type_: Some(labels::BUNDLE_VALUES_TYPE.to_owned()),
        data: Some(data(&wanted.values)),
        ..Secret::default()
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = api.patch(name, &params, &Patch::Apply(&secret)).await;
    let namespace = to.namespace;
    written
        .map(drop)
        .map_err(|e| ApiError::new(format!("write values secret {namespace}/{name}"), e))
}

fn data(values: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, ByteString> {
    values.iter().map(|(key, bytes)| (key.clone(), ByteString(bytes.clone()))).collect()
}

/// Removes the values Secret of a Bundle without values; a Secret of another type stays.
async fn delete_values(to: &Destination<'_>, name: &str) -> Result<(), ApiError> {
    let api: Api<Secret> = Api::namespaced(to.client.clone(), to.namespace);
    let namespace = to.namespace;
    let fail = |e| ApiError::new(format!("delete values secret {namespace}/{name}"), e);
    let Some(secret) = optional(api.get(name).await).map_err(fail)? else { return Ok(()) };
    if secret.type_.as_deref() != Some(labels::BUNDLE_VALUES_TYPE) {
        return Ok(());
    }
    let same = Preconditions { uid: secret.metadata.uid, resource_version: None };
    let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
    optional(api.delete(name, &params).await).map(drop).map_err(fail)
}

/// Live finding 25: a Bundle that is too big says how big, and because of which files.
fn describe(
    to: &Destination<'_>,
    wanted: &WantedBundle,
    body: &Value,
    error: kube::Error,
) -> ApiError {
    let (namespace, name) = (to.namespace, wanted.name());
    let is_too_large = code_of(&error) == Some(413)
        || matches!(&error, kube::Error::Api(status) if status.message.contains("too large"));
    if !is_too_large {
        return ApiError::new(format!("write bundle {namespace}/{name}"), error);
    }
    let mut sizes: Vec<(usize, &str)> = wanted
        .bundle
        .spec
        .resources
        .iter()
        .map(|resource| (resource.content.len(), resource.name.as_str()))
        .collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let biggest: Vec<String> =
        sizes.iter().take(3).map(|(bytes, file)| format!("{file} ({bytes} bytes)")).collect();
    let action = format!(
        "write bundle {namespace}/{name}: {} bytes are too large for the API server, biggest \
         files: {}; split the bundle or name files in .fleetignore",
        body.to_string().len(),
        biggest.join(", ")
    );
    ApiError::new(action, error)
}
