//! What happens after a write: owners, finalizers, namespaces and CRDs that go away.
//!
//! Owns one worker task that handles one job at a time, so that the order of its writes depends
//! only on the order of requests. Start at [`Server::after_write`], which queues the jobs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::accounts;
use crate::error::ApiError;
use crate::meta;
use crate::protection;
use crate::registry::{CRDS, Kind};
use crate::server::Server;
use crate::store::{Key, Scope};
use crate::strategy::crd::CLEANUP as CRD_CLEANUP;
use crate::strategy::{FOREGROUND, ORPHAN};
use crate::verbs::delete::{self, DeleteOptions, Propagation};
use crate::verbs::write::{self, How};

const MANAGER: &str = "kube-controller-manager";

/// One thing to look at again.
#[derive(Debug, PartialEq, Eq)]
enum Job {
    /// An object is gone: its dependents follow or lose a reference.
    OwnerGone { uid: String },
    /// An object waits for its dependents (or their release).
    Waiting(Key),
    /// An object names owners that may not exist.
    CheckOwners(Key),
    /// A namespace is new, or is going away.
    Namespace(String),
    /// A CRD is going away.
    Crd(String),
    /// A Secret waits for its token.
    TokenSecret(Key),
    /// A service account came or went.
    Account(Key),
}

/// The queue of the worker.
pub(crate) struct Jobs {
    sender: mpsc::UnboundedSender<Job>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Job>>>,
}

impl Jobs {
    pub(crate) fn new() -> Jobs {
        let (sender, receiver) = mpsc::unbounded_channel();
        Jobs { sender, receiver: Mutex::new(Some(receiver)) }
    }

    fn push(&self, job: Job) {
        // The worker ends only together with the server.
        drop(self.sender.send(job));
    }
}

/// Whether the text says `deletionTimestamp` at all: cheaper than reading the object.
pub(crate) fn may_be_deleting(text: &[u8]) -> bool {
    const WORD: &[u8] = b"\"deletionTimestamp\"";
    text.windows(WORD.len()).any(|w| w == WORD)
}

/// Starts the worker; it ends when the server is dropped.
pub(crate) fn start(server: &Arc<Server>) {
    let taken = server.jobs.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut receiver) = taken else { return };
    server.queue_unfinished();
    let weak: Weak<Server> = Arc::downgrade(server);
    tokio::spawn(async move {
        while let Some(job) = receiver.recv().await {
            let Some(server) = weak.upgrade() else { return };
            if let Err(error) = server.work(&job).await {
                tracing::warn!(%error, ?job, "clean-up failed; it is tried again on the next change");
            }
        }
    });
}

impl Server {
    /// Queues what a change of one object means for others. Called after every commit.
    pub(crate) fn after_write(self: &Arc<Self>, key: &Key, object: &Value, gone: bool) {
        if &*key.resource == CRDS {
            self.refresh_registry();
        }
        if key.resource.starts_with("rbac.authorization.k8s.io/") {
            self.rbac.write().unwrap_or_else(PoisonError::into_inner).note(key, object, gone);
        }
        let has_owners = object["metadata"]["ownerReferences"].is_array();
        for released in protection::releases(key, object, gone) {
            self.jobs.push(Job::Waiting(released));
        }
        if gone {
            self.after_deletion(key, object);
            return;
        }
        self.simulate(key, object);
        let deleting = meta::is_deleting(object);
        if deleting
            && (meta::has_finalizer(object, FOREGROUND)
                || meta::has_finalizer(object, ORPHAN)
                || protection::held_by(object).is_some())
        {
            self.jobs.push(Job::Waiting(key.clone()));
        }
        let is_new = object["metadata"]["generation"].as_i64().unwrap_or(1) == 1;
        if has_owners && is_new && !deleting {
            self.jobs.push(Job::CheckOwners(key.clone()));
        }
        match &*key.resource {
            "/namespaces" => self.jobs.push(Job::Namespace(key.name().to_owned())),
            "/secrets" if accounts::wants_token(object) => {
                self.jobs.push(Job::TokenSecret(key.clone()))
            }
            "/serviceaccounts" if !deleting => self.jobs.push(Job::Account(key.clone())),
            CRDS if deleting => self.jobs.push(Job::Crd(key.name().to_owned())),
            _ => {}
        }
    }

    fn after_deletion(&self, key: &Key, object: &Value) {
        if &*key.resource == "/serviceaccounts" {
            self.jobs.push(Job::Account(key.clone()));
        }
        if let (Some(namespace), "default" | "kube-root-ca.crt") = (key.namespace(), key.name()) {
            // The default account and the CA come back, as with the peer.
            self.jobs.push(Job::Namespace(namespace.to_owned()));
        }
        let uid = meta::text(object, "uid");
        if !self.store.owned_by(uid).is_empty() {
            self.jobs.push(Job::OwnerGone { uid: uid.to_owned() });
        }
        for owner in object["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
            if let Some(owner) = self.owner_key(owner, key.namespace()) {
                self.jobs.push(Job::Waiting(owner));
            }
        }
        if let Some(namespace) = key.namespace() {
            let home = Key::new(&"/namespaces".into(), None, namespace);
            if self.store.latest(&home).is_some_and(|e| may_be_deleting(&e.bytes())) {
                self.jobs.push(Job::Namespace(namespace.to_owned()));
            }
        }
        if let Some((group, plural)) = key.resource.split_once('/').filter(|(g, _)| !g.is_empty()) {
            let name = format!("{plural}.{group}");
            let crd = Key::new(&CRDS.into(), None, &name);
            if self.store.latest(&crd).is_some_and(|e| may_be_deleting(&e.bytes())) {
                self.jobs.push(Job::Crd(name));
            }
        }
    }

    /// After a restart: everything that was being deleted.
    fn queue_unfinished(self: &Arc<Self>) {
        let kinds: Vec<Arc<Kind>> = self.registry().all().collect();
        for kind in kinds {
            let scope = Scope { resource: kind.resource.clone(), namespace: None };
            let Ok(page) = self.store.list(&scope, "", usize::MAX, 0) else { continue };
            for (path, entry) in page.entries {
                if may_be_deleting(&entry.bytes()) {
                    let key = Key { resource: kind.resource.clone(), path };
                    self.after_write(&key, &entry.value(), false);
                }
            }
        }
    }

    async fn work(self: &Arc<Self>, job: &Job) -> Result<(), ApiError> {
        match job {
            Job::OwnerGone { uid } => {
                for key in self.store.owned_by(uid) {
                    self.release_or_delete(&key).await?;
                }
                Ok(())
            }
            Job::Waiting(key) => self.attend_waiting(key).await,
            Job::CheckOwners(key) => self.release_or_delete(key).await,
            Job::Namespace(name) => self.attend_namespace(name).await,
            Job::Crd(name) => self.attend_crd(name).await,
            Job::TokenSecret(key) => self.fill_token_secret(key).await,
            Job::Account(key) => self.attend_account(key).await,
        }
    }

    pub(crate) fn kind_of(&self, key: &Key) -> Option<Arc<Kind>> {
        self.registry().by_resource(&key.resource)
    }

    /// Where the object named by an owner reference would be.
    fn owner_key(&self, owner: &Value, namespace: Option<&str>) -> Option<Key> {
        let (version, kind) = (owner["apiVersion"].as_str()?, owner["kind"].as_str()?);
        let kind = self.registry().by_kind(version, kind)?;
        let namespace = if kind.namespaced { Some(namespace?) } else { None };
        Some(Key::new(&kind.resource, namespace, owner["name"].as_str()?))
    }

    /// Whether the owner is there, with the uid that the reference names.
    ///
    /// A reference to a kind that is not served counts as there: deleting on doubt loses data.
    fn owner_exists(&self, owner: &Value, namespace: Option<&str>) -> bool {
        let (version, kind) = (owner["apiVersion"].as_str(), owner["kind"].as_str());
        let known = self.registry().by_kind(version.unwrap_or_default(), kind.unwrap_or_default());
        if known.is_none() {
            return true;
        }
        let Some(key) = self.owner_key(owner, namespace) else { return false };
        let entry = self.store.latest(&key);
        entry.is_some_and(|e| e.value()["metadata"]["uid"] == owner["uid"])
    }

    /// Deletes an object none of whose owners is left; else drops the references to those gone.
    async fn release_or_delete(self: &Arc<Self>, key: &Key) -> Result<(), ApiError> {
        let (Some(kind), Some(entry)) = (self.kind_of(key), self.store.latest(key)) else {
            return Ok(());
        };
        let object = entry.value();
        let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let (alive, dead): (Vec<Value>, Vec<Value>) =
            owners.into_iter().partition(|o| self.owner_exists(o, key.namespace()));
        if dead.is_empty() || meta::is_deleting(&object) {
            return Ok(());
        }
        if alive.is_empty() {
            let uid = meta::text(&object, "uid").to_owned();
            let options = DeleteOptions { uid: Some(uid), ..DeleteOptions::default() };
            return ignore_gone(delete::delete_object(self, &kind, key, &options).await.map(drop));
        }
        self.edit(&kind, key, |object| {
            object["metadata"]["ownerReferences"] = alive.clone().into();
        })
        .await
    }

    pub(crate) async fn edit(
        self: &Arc<Self>,
        kind: &Kind,
        key: &Key,
        change: impl Fn(&mut Value) + Send + Sync,
    ) -> Result<(), ApiError> {
        let how = How::internal(MANAGER);
        let change = |old: &Value| {
            let mut new = old.clone();
            change(&mut new);
            meta::metadata_mut(&mut new).remove("resourceVersion");
            Ok(new)
        };
        ignore_gone(write::modify(self, kind, key, &how, change).await.map(drop))
    }

    async fn attend_waiting(self: &Arc<Self>, key: &Key) -> Result<(), ApiError> {
        let (Some(kind), Some(entry)) = (self.kind_of(key), self.store.latest(key)) else {
            return Ok(());
        };
        let object = entry.value();
        if !meta::is_deleting(&object) {
            return Ok(());
        }
        if let Some(finalizer) = protection::held_by(&object)
            && !self.is_in_use(key, &object)
        {
            // The write queues this object again, for what else it waits for.
            return self.edit(&kind, key, |o| meta::remove_finalizer(o, finalizer)).await;
        }
        let uid = meta::text(&object, "uid").to_owned();
        if meta::has_finalizer(&object, ORPHAN) {
            for dependent in self.store.owned_by(&uid) {
                self.drop_reference(&dependent, &uid).await?;
            }
            return self.edit(&kind, key, |o| meta::remove_finalizer(o, ORPHAN)).await;
        }
        if !meta::has_finalizer(&object, FOREGROUND) {
            return Ok(());
        }
        let mut is_blocked = false;
        for dependent in self.store.owned_by(&uid) {
            let (Some(kind), Some(entry)) =
                (self.kind_of(&dependent), self.store.latest(&dependent))
            else {
                continue;
            };
            let child = entry.value();
            is_blocked |= blocks(&child, &uid);
            if !meta::is_deleting(&child) {
                let propagation = Some(Propagation::Foreground);
                let options = DeleteOptions { propagation, ..DeleteOptions::default() };
                ignore_gone(
                    delete::delete_object(self, &kind, &dependent, &options).await.map(drop),
                )?;
            }
        }
        let still_there = self.store.owned_by(&uid).iter().any(|dependent| {
            self.store.latest(dependent).is_some_and(|e| blocks(&e.value(), &uid))
        });
        if is_blocked && still_there {
            return Ok(());
        }
        self.edit(&kind, key, |o| meta::remove_finalizer(o, FOREGROUND)).await
    }

    async fn drop_reference(self: &Arc<Self>, key: &Key, uid: &str) -> Result<(), ApiError> {
        let Some(kind) = self.kind_of(key) else { return Ok(()) };
        self.edit(&kind, key, |object| {
            let metadata = meta::metadata_mut(object);
            if let Some(Value::Array(owners)) = metadata.get_mut("ownerReferences") {
                owners.retain(|o| o["uid"] != uid);
                if owners.is_empty() {
                    metadata.remove("ownerReferences");
                }
            }
        })
        .await
    }

    async fn attend_namespace(self: &Arc<Self>, name: &str) -> Result<(), ApiError> {
        let key = Key::new(&"/namespaces".into(), None, name);
        let (Some(kind), Some(entry)) = (self.kind_of(&key), self.store.latest(&key)) else {
            return Ok(());
        };
        let namespace = entry.value();
        if !meta::is_deleting(&namespace) {
            return self.furnish_namespace(name).await;
        }
        for inside in self.store.keys_in_namespace(name) {
            let Some(kind) = self.kind_of(&inside) else { continue };
            let options = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
            ignore_gone(delete::delete_object(self, &kind, &inside, &options).await.map(drop))?;
        }
        if self.store.keys_in_namespace(name).is_empty() {
            let how = How { part: crate::strategy::Part::Finalize, ..How::internal(MANAGER) };
            let change = |old: &Value| {
                let mut new = old.clone();
                new["spec"]["finalizers"] = json!([]);
                Ok(new)
            };
            return ignore_gone(write::modify(self, &kind, &key, &how, change).await.map(drop));
        }
        self.say_what_remains(&kind, &key, name).await
    }

    /// Writes into a namespace that is going away what it waits for.
    async fn say_what_remains(
        self: &Arc<Self>,
        kind: &Kind,
        key: &Key,
        name: &str,
    ) -> Result<(), ApiError> {
        let (mut resources, mut finalizers) = (BTreeMap::new(), BTreeMap::new());
        for inside in self.store.keys_in_namespace(name) {
            let Some(entry) = self.store.latest(&inside) else { continue };
            let (group, plural) = inside.resource.split_once('/').unwrap_or_default();
            *resources.entry(format!("{plural}.{group}")).or_insert(0) += 1;
            for finalizer in meta::finalizers(&entry.value()) {
                *finalizers.entry(finalizer.to_owned()).or_insert(0) += 1;
            }
        }
        let conditions = remaining_conditions(&resources, &finalizers);
        let how = How { part: crate::strategy::Part::Status, ..How::internal(MANAGER) };
        let now = self.world.stamp();
        let change = |old: &Value| {
            let mut new = old.clone();
            meta::metadata_mut(&mut new).remove("resourceVersion");
            let before = old["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let stamped = conditions.iter().map(|fresh| {
                let mut fresh = fresh.clone();
                let same = before
                    .iter()
                    .find(|b| b["type"] == fresh["type"] && b["status"] == fresh["status"]);
                fresh["lastTransitionTime"] = match same {
                    Some(same) => same["lastTransitionTime"].clone(),
                    None => now.as_str().into(),
                };
                fresh
            });
            new["status"]["conditions"] = stamped.collect();
            Ok(new)
        };
        ignore_gone(write::modify(self, kind, key, &how, change).await.map(drop))
    }

    async fn attend_crd(self: &Arc<Self>, name: &str) -> Result<(), ApiError> {
        let key = Key::new(&CRDS.into(), None, name);
        let (Some(kind), Some(entry)) = (self.kind_of(&key), self.store.latest(&key)) else {
            return Ok(());
        };
        let crd = entry.value();
        let group = crd["spec"]["group"].as_str().unwrap_or_default();
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default();
        let scope = Scope { resource: format!("{group}/{plural}").into(), namespace: None };
        let list =
            || self.store.list(&scope, "", usize::MAX, 0).map(|p| p.entries).unwrap_or_default();
        if let Some(custom) = self.registry().by_resource(&scope.resource) {
            for (path, _) in list() {
                let key = Key { resource: scope.resource.clone(), path };
                let options = DeleteOptions::default();
                ignore_gone(delete::delete_object(self, &custom, &key, &options).await.map(drop))?;
            }
        }
        if !list().is_empty() {
            return Ok(());
        }
        self.edit(&kind, &key, |o| meta::remove_finalizer(o, CRD_CLEANUP)).await
    }
}

/// The conditions of a namespace that waits for `resources`, in the words of the peer.
fn remaining_conditions(
    resources: &BTreeMap<String, usize>,
    finalizers: &BTreeMap<String, usize>,
) -> Vec<Value> {
    let row = |type_: &str, is_true: bool, reason: &str, message: &str| {
        json!({"type": type_, "status": if is_true { "True" } else { "False" },
            "reason": reason, "message": message})
    };
    let list = |counts: &BTreeMap<String, usize>, word: &str| {
        let parts = counts.iter().map(|(what, n)| format!("{what} {word} {n} resource instances"));
        parts.collect::<Vec<_>>().join(", ")
    };
    let remaining = match resources.is_empty() {
        true => row(
            "NamespaceContentRemaining",
            false,
            "ContentRemoved",
            "All content successfully removed",
        ),
        false => row(
            "NamespaceContentRemaining",
            true,
            "SomeResourcesRemain",
            &format!("Some resources are remaining: {}", list(resources, "has")),
        ),
    };
    let held = match finalizers.is_empty() {
        true => row(
            "NamespaceFinalizersRemaining",
            false,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
        false => row(
            "NamespaceFinalizersRemaining",
            true,
            "SomeFinalizersRemain",
            &format!(
                "Some content in the namespace has finalizers remaining: {}",
                list(finalizers, "in")
            ),
        ),
    };
    vec![
        row(
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        row(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        row(
            "NamespaceDeletionContentFailure",
            false,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        remaining,
        held,
    ]
}

/// Whether a dependent holds back the foreground deletion of its owner.
fn blocks(object: &Value, uid: &str) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.into_iter().any(|o| o["uid"] == uid && o["blockOwnerDeletion"] == true)
}

/// Someone else was faster: as good as done.
pub(crate) fn ignore_gone(result: Result<(), ApiError>) -> Result<(), ApiError> {
    match result {
        Err(error) if error.code == 404 => Ok(()),
        other => other,
    }
}
