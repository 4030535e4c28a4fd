//! Service accounts: their token Secrets and the CA that every namespace carries.
//!
//! Owns what the peer's token and root-CA controllers do. Runs on the clean-up worker.
//! Start at [`Server::fill_token_secret`].

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::gc::ignore_gone;
use crate::meta;
use crate::server::Server;
use crate::store::{Key, Scope};
use crate::verbs::delete::{self, DeleteOptions};
use crate::verbs::write::{self, How};

const MANAGER: &str = "kube-controller-manager";
const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// Whether a Secret waits for a token.
pub(crate) fn wants_token(secret: &Value) -> bool {
    secret["type"] == TOKEN_TYPE && secret["data"]["token"].as_str().unwrap_or_default().is_empty()
}

impl Server {
    /// Puts token, CA and namespace into a token Secret.
    pub(crate) async fn fill_token_secret(self: &Arc<Self>, key: &Key) -> Result<(), ApiError> {
        let (Some(kind), Some(entry)) = (self.kind_of(key), self.store.latest(key)) else {
            return Ok(());
        };
        let secret = entry.value();
        let namespace = key.namespace().unwrap_or_default();
        let name = secret["metadata"]["annotations"][ACCOUNT_NAME].as_str().unwrap_or_default();
        let home = Key::new(&"/serviceaccounts".into(), Some(namespace), name);
        let Some(account) = self.store.latest(&home).map(|e| e.value()) else { return Ok(()) };
        if !wants_token(&secret) {
            return Ok(());
        }
        let token = self.tokens.for_secret(&account, key.name())?;
        let data = json!({"ca.crt": STANDARD.encode(self.authority.ca_pem()),
            "namespace": STANDARD.encode(namespace), "token": STANDARD.encode(token)});
        let uid = meta::text(&account, "uid").to_owned();
        self.edit(&kind, key, |secret| {
            patch::json::merge(&mut secret["data"], &data);
            secret["metadata"]["annotations"][ACCOUNT_UID] = uid.as_str().into();
        })
        .await
    }

    fn token_secrets(&self, account: &Key) -> Vec<(Key, Value)> {
        let namespace = account.namespace().map(Into::into);
        let scope = Scope { resource: "/secrets".into(), namespace };
        let Ok(page) = self.store.list(&scope, "", usize::MAX, 0) else { return Vec::new() };
        let rows = page
            .entries
            .into_iter()
            .map(|(path, entry)| (Key { resource: scope.resource.clone(), path }, entry.value()));
        rows.filter(|(_, secret)| {
            secret["type"] == TOKEN_TYPE
                && secret["metadata"]["annotations"][ACCOUNT_NAME] == account.name()
        })
        .collect()
    }

    /// A new account gets its waiting tokens; a deleted one takes its tokens along.
    pub(crate) async fn attend_account(self: &Arc<Self>, account: &Key) -> Result<(), ApiError> {
        let is_there = self.store.latest(account).is_some();
        for (key, secret) in self.token_secrets(account) {
            if is_there && wants_token(&secret) {
                self.fill_token_secret(&key).await?;
            } else if !is_there {
                let Some(kind) = self.kind_of(&key) else { continue };
                let options = DeleteOptions::default();
                ignore_gone(delete::delete_object(self, &kind, &key, &options).await.map(drop))?;
            }
        }
        Ok(())
    }

    /// Every namespace has a default account and the cluster's CA.
    pub(crate) async fn furnish_namespace(self: &Arc<Self>, name: &str) -> Result<(), ApiError> {
        let account = json!({"metadata": {"name": "default"}});
        let authority = json!({"metadata": {"name": "kube-root-ca.crt", "annotations": {
            "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."}},
            "data": {"ca.crt": self.authority.ca_pem()}});
        for (plural, object) in [("serviceaccounts", account), ("configmaps", authority)] {
            let Some(kind) = self.registry().find("", "v1", plural) else { continue };
            let name_of_object = meta::text(&object, "name");
            let key = Key::new(&kind.resource, Some(name), name_of_object);
            if self.store.latest(&key).is_some() {
                continue;
            }
            let how = How::internal(MANAGER);
            match write::create(self, &kind, Some(name), object, &how).await {
                Err(error)
                    if !matches!(error.reason, "AlreadyExists" | "NotFound" | "Forbidden") =>
                {
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
