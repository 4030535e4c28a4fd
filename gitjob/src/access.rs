//! The Secrets of a GitRepo.
//!
//! Owns which Secrets are read, and when. Start at [`observe_access`].

use std::sync::Arc;

use bundle_format::api::GitRepo;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use runtime::ObjectKey;
use runtime::client::{ApiError, optional};

use crate::chart::HelmAccess;
use crate::context::Context;
use crate::git::auth::{DEFAULT_SECRET, read_access};
use crate::net::Access;

/// How to reach what a GitRepo names.
#[derive(Clone, Debug)]
pub(crate) struct SourceAccess {
    /// For the repository.
    pub(crate) git: Access,
    /// Changes whenever `git` may have changed.
    pub(crate) version: String,
    /// Versions of the Helm secrets; a change builds again.
    pub(crate) helm_versions: Vec<String>,
}

/// Secrets are not usable.
#[derive(Debug)]
pub(crate) enum AccessError {
    /// The API did not answer.
    Api(ApiError),
    /// The GitRepo has to wait for a change; the text says of what.
    Refused(String),
}

/// Reads the Secrets of a GitRepo. A Secret is fetched only when its version changed.
///
/// # Errors
/// A named Secret that is missing or unusable (Fleet 0.16's words), or the API.
pub(crate) async fn observe_access(
    ctx: &Arc<Context>,
    repo: &GitRepo,
    key: &ObjectKey,
) -> Result<SourceAccess, AccessError> {
    let spec = &repo.spec;
    let mut helm_versions = Vec::new();
    for (field, name) in [
        ("helmSecretNameForPaths", &spec.helm_secret_name_for_paths),
        ("helmSecretName", &spec.helm_secret_name),
    ] {
        if name.is_empty() {
            continue;
        }
        let version = version_of(ctx, key, name).ok_or_else(|| {
            let label = if field == "helmSecretName" { field } else { "HelmSecretNameForPaths" };
            AccessError::Refused(format!(
                "error validating external secrets: failed to look up {label}, error: Secret \
                 \"{name}\" not found"
            ))
        })?;
        helm_versions.push(format!("{name}@{version}"));
    }
    let (name, is_named) = match spec.client_secret_name.as_str() {
        "" => (DEFAULT_SECRET, false),
        name => (name, true),
    };
    let version = match version_of(ctx, key, name) {
        Some(version) => format!("{name}@{version}"),
        None if is_named => {
            let text = format!("error creating git job: Secret \"{name}\" not found");
            return Err(AccessError::Refused(text));
        }
        None => String::new(),
    };
    let version = format!("{version} g{}", repo.metadata.generation.unwrap_or_default());
    let known = ctx.memory.with(key, |memory| memory.access.clone());
    if let Some((_, git)) = known.filter(|(of, _)| *of == version) {
        return Ok(SourceAccess { git, version, helm_versions });
    }
    let secret = match version.contains('@') {
        true => fetch_secret(ctx, key, name).await.map_err(AccessError::Api)?,
        false => None,
    };
    let ca_pem = spec.ca_bundle.as_ref().map(|bytes| bytes.0.as_slice());
    let git = read_access(secret.as_ref(), ca_pem, spec.insecure_skip_tls_verify)
        .map_err(|error| AccessError::Refused(error.to_string()))?;
    ctx.memory.with(key, |memory| memory.access = Some((version.clone(), git.clone())));
    Ok(SourceAccess { git, version, helm_versions })
}

fn version_of(ctx: &Context, repo: &ObjectKey, name: &str) -> Option<String> {
    let secret = ctx.secrets.get(&ObjectKey::new(repo.namespace.clone(), name))?;
    secret.metadata.resource_version.clone()
}

/// Reads one Secret of the GitRepo's namespace.
///
/// # Errors
/// When the API does not answer.
async fn fetch_secret(
    ctx: &Context,
    repo: &ObjectKey,
    name: &str,
) -> Result<Option<Secret>, ApiError> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &repo.namespace);
    optional(api.get(name).await)
        .map_err(|e| ApiError::new(format!("read secret {}/{name}", repo.namespace), e))
}

/// The Helm credentials of a GitRepo; the inner error is for its owner to fix.
pub(crate) async fn observe_helm_access(
    ctx: &Context,
    repo: &GitRepo,
) -> Result<Result<HelmAccess, String>, ApiError> {
    let (spec, key) = (&repo.spec, ObjectKey::of(repo));
    let mut found = [None, None];
    let names = [&spec.helm_secret_name, &spec.helm_secret_name_for_paths];
    for (secret, name) in found.iter_mut().zip(names).filter(|(_, name)| !name.is_empty()) {
        *secret = fetch_secret(ctx, &key, name).await?;
    }
    let [common, for_paths] = &found;
    Ok(HelmAccess::new(spec, common.as_ref(), for_paths.as_ref()))
}
