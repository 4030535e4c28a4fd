//! The Secrets that sign webhooks.
//!
//! Owns which Secret counts for which GitRepo, and the comparisons in constant time. Start at
//! [`WebhookSecrets::observe`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bundle_format::api::GitRepo;
use hmac::{Hmac, KeyInit, Mac};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use runtime::ObjectKey;
use runtime::client::{ApiError, optional};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::context::Context;

/// Signs for every GitRepo that names no Secret, in the hub's system namespace.
const GLOBAL: &str = "gitjob-webhook";
/// Secrets tried for one request.
const SECRETS_MAX: usize = 1000;

/// One Secret's data.
#[derive(Clone)]
pub(super) struct SecretRef {
    key: ObjectKey,
    data: Arc<BTreeMap<String, Vec<u8>>>,
}

impl SecretRef {
    /// The value of a key; empty counts as absent, because an empty secret signs for everybody.
    pub(super) fn value(&self, key: &str) -> Option<&[u8]> {
        self.data.get(key).map(|value| value.trim_ascii()).filter(|value| !value.is_empty())
    }

    /// Whether `signature` (hex) is the HMAC-SHA256 of `body` with the value of `key`.
    pub(super) fn has_signed(&self, key: &str, signature: Option<&str>, body: &[u8]) -> bool {
        let (Some(value), Some(signature)) = (self.value(key), signature.and_then(unhex)) else {
            return false;
        };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(value) else { return false };
        mac.update(body);
        mac.verify_slice(&signature).is_ok()
    }

    /// Whether `text` equals the value of `key`.
    pub(super) fn is_equal(&self, key: &str, text: Option<&str>) -> bool {
        let (Some(value), Some(text)) = (self.value(key), text) else { return false };
        value.ct_eq(text.as_bytes()).into()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// All Secrets that may sign, as they are now.
pub(super) struct WebhookSecrets {
    global: Option<ObjectKey>,
    found: Vec<SecretRef>,
}

/// Data read before, by version.
#[derive(Clone, Default)]
pub(crate) struct SecretCache {
    known: Arc<Mutex<BTreeMap<ObjectKey, (String, SecretRef)>>>,
}

impl WebhookSecrets {
    /// Reads the Secrets that changed since the last request.
    pub(super) async fn observe(ctx: &Context) -> Result<Self, ApiError> {
        let global = ObjectKey::new(ctx.config.system_namespace.clone(), GLOBAL);
        let named = ctx.repos.list().into_iter().filter_map(|repo| named_secret(&repo));
        let mut wanted: BTreeSet<ObjectKey> = named.take(SECRETS_MAX).collect();
        wanted.insert(global.clone());
        let mut found = Vec::new();
        for key in wanted {
            if let Some(secret) = ctx.webhook_secrets.read(ctx, &key).await? {
                found.push(secret);
            }
        }
        let global = found.iter().any(|secret| secret.key == global).then_some(global);
        Ok(Self { global, found })
    }

    /// The Secret that has to sign for a GitRepo. A named one that is missing still counts, so
    /// that nothing signs for it.
    pub(super) fn effective(&self, repo: &GitRepo) -> Option<ObjectKey> {
        named_secret(repo).or_else(|| self.global.clone())
    }

    pub(super) fn matching(&self, is_match: impl Fn(&SecretRef) -> bool) -> BTreeSet<ObjectKey> {
        let matching = self.found.iter().filter(|secret| is_match(secret));
        matching.map(|secret| secret.key.clone()).collect()
    }

    pub(super) fn have_key(&self, key: &str) -> bool {
        self.found.iter().any(|secret| secret.value(key).is_some())
    }
}

impl SecretCache {
    async fn read(&self, ctx: &Context, key: &ObjectKey) -> Result<Option<SecretRef>, ApiError> {
        let Some(meta) = ctx.secrets.get(key) else { return Ok(None) };
        let version = meta.resource_version().unwrap_or_default();
        let known = |cache: &Self| {
            let known = cache.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(key).filter(|(of, _)| *of == version).map(|(_, secret)| secret.clone())
        };
        if let Some(secret) = known(self) {
            return Ok(Some(secret));
        }
        let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &key.namespace);
        let secret = optional(api.get(&key.name).await)
            .map_err(|e| ApiError::new(format!("read secret {key}"), e))?;
        let Some(secret) = secret else { return Ok(None) };
        let data = secret.data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.0)).collect();
        let secret = SecretRef { key: key.clone(), data: Arc::new(data) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SECRETS_MAX {
            known.pop_first();
        }
        known.insert(key.clone(), (version, secret.clone()));
        Ok(Some(secret))
    }
}

fn named_secret(repo: &GitRepo) -> Option<ObjectKey> {
    let name = repo.spec.webhook_secret.as_str();
    let namespace = repo.namespace().unwrap_or_default();
    (!name.is_empty()).then(|| ObjectKey::new(namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(data: &[(&str, &str)]) -> SecretRef {
        let data = data.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect();
        SecretRef { key: ObjectKey::new("ns", "s"), data: Arc::new(data) }
    }

    #[test]
    fn signatures_are_those_of_github() {
        // The example of GitHub's documentation on validating deliveries.
        let signed = secret(&[("github", "It's a Secret to Everybody")]);
        let good = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(signed.has_signed("github", Some(good), b"Hello, World!"));
        assert!(!signed.has_signed("github", Some(good), b"Hello, World?"));
        assert!(!signed.has_signed("github", None, b"Hello, World!"));
        assert!(!signed.has_signed("gogs", Some(good), b"Hello, World!"));
        for broken in ["", "zz", "é", &good[..10]] {
            assert!(!signed.has_signed("github", Some(broken), b"Hello, World!"), "{broken}");
        }
    }

    #[test]
    fn an_empty_secret_signs_for_nobody() {
        let empty = secret(&[("gitlab", " \n"), ("github", "")]);
        assert!(!empty.is_equal("gitlab", Some("")));
        assert!(empty.value("github").is_none());
    }
}
