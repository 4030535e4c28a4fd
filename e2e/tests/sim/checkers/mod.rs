//! What must hold: one checker for each named invariant of ARCHITECTURE.md.
//!
//! Owns the list. A checker sees every change of every store, and the whole once nothing happens any
//! more. It judges from the outside: it knows wire forms, and none of our planning code. Start at
//! [`Judge`].

mod always;

mod settled;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::view::{Change, View};
pub(crate) use always::CANARY;

/// What a person asked for, as far as it decides what must be there in the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Text of the ConfigMap `<namespace>/<name>` that must be there, by member.
    pub(crate) texts: BTreeMap<String, BTreeMap<(String, String), String>>,
    /// ConfigMaps about which nothing is promised: what they hold is broken.
    pub(crate) open: BTreeSet<(String, String)>,
    /// Repositories with a path that cannot be read: what vanished from them stays until it can.
    pub(crate) kept: BTreeSet<String>,
    /// Members that belong to the fleet.
    pub(crate) members: BTreeSet<String>,
    /// Everything that was ever committed.
    pub(crate) committed: BTreeSet<String>,
}

/// One invariant.
pub(crate) trait Invariant {
    /// Its name in ARCHITECTURE.md.
    fn name(&self) -> &'static str;

    /// Judges one change; `view` is the world before it.
    ///
    /// # Errors
    /// What is broken.
    fn on_change(&mut self, _view: &View, _change: &Change, _wish: &Wish) -> Result<(), String> {
        Ok(())
    }

    /// Judges a world in which everyone had time to finish.
    ///
    /// # Errors
    /// What is broken.
    fn when_settled(&mut self, _view: &View, _wish: &Wish) -> Result<(), String> {
        Ok(())
    }
}

/// All checkers of one run.
pub(crate) struct Judge {
    checkers: Vec<Box<dyn Invariant>>,
}

impl Judge {
    pub(crate) fn new() -> Self {
        let checkers: Vec<Box<dyn Invariant>> = vec![
            Box::new(always::Revisions::default()),
            Box::new(always::CommittedContent),
            Box::new(always::NewestWins),
            Box::new(always::PruneOnlyOwn),
            Box::new(always::BudgetKept),
            Box::new(always::ContentKept),
            Box::new(always::NoCredentialOut),
            Box::new(settled::DeploymentsBelong),
            Box::new(settled::AppliedIsPlanned),
            Box::new(settled::WishFulfilled),
            Box::new(settled::NothingOrphaned),
            Box::new(settled::CountsAddUp),
            Box::new(settled::NothingHalfDeleted),
        ];
        Self { checkers }
    }

    /// Judges one change.
    ///
    /// # Errors
    /// The name of the invariant, and what broke it.
    pub(crate) fn on_change(
        &mut self,
        view: &View,
        change: &Change,
        wish: &Wish,
    ) -> Result<(), String> {
        for checker in &mut self.checkers {
            let judged = checker.on_change(view, change, wish);
            judged.map_err(|what| format!("{}: {}: {what}", checker.name(), change.cluster))?;
        }
        Ok(())
    }

    /// Judges a settled world: everything that is broken, one line each.
    pub(crate) fn when_settled(&mut self, view: &View, wish: &Wish) -> Vec<String> {
        let mut broken = Vec::new();
        for checker in &mut self.checkers {
            if let Err(what) = checker.when_settled(view, wish) {
                broken.push(format!("{}: {what}", checker.name()));
            }
        }
        broken
    }
}

/// `quiet-when-unchanged`: whether a change is one that may happen although nothing changed.
pub(crate) fn is_noise(change: &Change) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else {
        // What an agent was to fetch goes after a while, fetched or not.
        return change.key.resource == "/secrets"
            && change.object()["type"] == "fleet.cattle.io/agent-credential";
    };
    match change.key.resource.as_str() {
        "coordination.k8s.io/leases" => true,
        "fleet.cattle.io/clusters" => same_but(old, new, &["agent"]),
        "fleet.cattle.io/gitrepos" => same_but(old, new, &["lastPollingTriggered"]),
        _ => false,
    }
}

/// Whether two states differ in nothing but these fields of the status.
fn same_but(old: &Value, new: &Value, fields: &[&str]) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        let metadata = object["metadata"].as_object_mut();
        if let Some(metadata) = metadata {
            metadata.remove("resourceVersion");
            metadata.remove("managedFields");
        }
        if let Some(status) = object["status"].as_object_mut() {
            status.retain(|field, _| !fields.contains(&field.as_str()));
        }
        object
    };
    bare(old) == bare(new)
}

/// A label of an object.
fn label<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"]["labels"][name].as_str().unwrap_or_default()
}

/// An annotation of an object.
fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"]["annotations"][name].as_str().unwrap_or_default()
}

/// The BundleDeployments of a Bundle.
fn deployments_of<'a>(
    view: &'a View,
    namespace: &'a str,
    name: &'a str,
) -> impl Iterator<Item = &'a Value> {
    let all = view.hub().all("fleet.cattle.io/bundledeployments").map(|(_, object)| object);
    all.filter(move |object| {
        label(object, "fleet.cattle.io/bundle-name") == name
            && label(object, "fleet.cattle.io/bundle-namespace") == namespace
    })
}
