//! What must hold at every moment, whatever goes wrong.
//!
//! Owns the checkers that judge single changes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Invariant, Wish, annotation, deployments_of, label};
use crate::view::{Change, Key, View};

/// Kinds in a member that we deploy.
const CONFIG_MAPS: &str = "/configmaps";
const DEPLOYMENTS: &str = "fleet.cattle.io/bundledeployments";
/// Text that is in a Secret and must be nowhere else.
pub(crate) const CANARY: &str = "CANARY-7f3a";

/// `revisions-rise`: a store's revision only grows, and an object keeps its uid while it lives.
#[derive(Default)]
pub(crate) struct Revisions {
    last: BTreeMap<String, u64>,
}

impl Invariant for Revisions {
    fn name(&self) -> &'static str {
        "revisions-rise"
    }

    fn on_change(&mut self, view: &View, change: &Change, _: &Wish) -> Result<(), String> {
        let last = self.last.entry(change.cluster.clone()).or_default();
        if change.revision <= *last {
            return Err(format!("{} has revision {}, after {last}", change.key, change.revision));
        }
        *last = change.revision;
        let before = view.store(&change.cluster).objects.get(&change.key);
        if let (Some(before), Some(new)) = (before, &change.new)
            && before["metadata"]["uid"] != new["metadata"]["uid"]
        {
            return Err(format!("{} changed its uid", change.key));
        }
        if let Some(new) = &change.new
            && new["metadata"]["resourceVersion"] != change.revision.to_string().as_str()
        {
            return Err(format!("{} does not carry its revision {}", change.key, change.revision));
        }
        Ok(())
    }
}

/// Whether an object of a member is one that we deployed.
fn is_ours(object: &Value) -> bool {
    !label(object, "objectset.rio.cattle.io/hash").is_empty()
        && !annotation(object, "objectset.rio.cattle.io/id").is_empty()
}

/// The text in a ConfigMap of the workload: `<what>#<number of the commit>`.
fn text_of(object: &Value) -> Option<&str> {
    object["data"]["text"].as_str()
}

/// The number in a text.
fn number_of(text: &str) -> Option<u64> {
    text.rsplit_once('#')?.1.parse().ok()
}

fn written_by_agent(change: &Change) -> bool {
    // A hand leaves texts without a number.
    change.new.as_ref().and_then(text_of).is_some_and(|text| number_of(text).is_some())
}

/// `only-committed-content`: what runs on a member was committed.
pub(crate) struct CommittedContent;

impl Invariant for CommittedContent {
    fn name(&self) -> &'static str {
        "only-committed-content"
    }

    fn on_change(&mut self, _: &View, change: &Change, wish: &Wish) -> Result<(), String> {
        let is_deployed = change.cluster != "hub" && change.key.resource == CONFIG_MAPS;
        let Some(new) = change.new.as_ref().filter(|new| is_deployed && is_ours(new)) else {
            return Ok(());
        };
        let Some(text) = text_of(new).filter(|text| number_of(text).is_some()) else {
            return Ok(());
        };
        match wish.committed.contains(text) {
            true => Ok(()),
            false => Err(format!("{} holds {text:?}, which was never committed", change.key)),
        }
    }
}

/// `newest-wins`: an older commit never takes the place of a newer one.
pub(crate) struct NewestWins;

impl Invariant for NewestWins {
    fn name(&self) -> &'static str {
        "newest-wins"
    }

    fn on_change(&mut self, _: &View, change: &Change, _: &Wish) -> Result<(), String> {
        let is_deployed = change.cluster != "hub" && change.key.resource == CONFIG_MAPS;
        if !is_deployed || !written_by_agent(change) {
            return Ok(());
        }
        let number = |side: &Option<Value>| side.as_ref().and_then(text_of).and_then(number_of);
        match (number(&change.old), number(&change.new)) {
            (Some(old), Some(new)) if new < old => {
                Err(format!("{} went from commit {old} back to {new}", change.key))
            }
            _ => Ok(()),
        }
    }
}

/// `prune-only-own`: what others made is neither changed nor deleted.
pub(crate) struct PruneOnlyOwn;

impl Invariant for PruneOnlyOwn {
    fn name(&self) -> &'static str {
        "prune-only-own"
    }

    fn on_change(&mut self, _: &View, change: &Change, _: &Wish) -> Result<(), String> {
        let Some(old) = change.old.as_ref().filter(|_| change.cluster != "hub") else {
            return Ok(());
        };
        if label(old, "made-by") != "somebody-else" {
            return Ok(());
        }
        match &change.new {
            None => Err(format!("{} was deleted, and is not ours", change.key)),
            Some(new) if new["data"] != old["data"] || is_ours(new) => {
                Err(format!("{} was changed, and is not ours", change.key))
            }
            Some(_) => Ok(()),
        }
    }
}

/// `budget-kept`: no more clusters than `maxUnavailable` are between two versions.
pub(crate) struct BudgetKept;

impl BudgetKept {
    /// A deployment that was told to change and has not.
    fn is_between(deployment: &Value) -> bool {
        let (spec, status) = (&deployment["spec"], &deployment["status"]);
        let applied = status["appliedDeploymentID"].as_str().unwrap_or_default();
        !applied.is_empty() && spec["deploymentID"].as_str() != Some(applied)
    }
}

impl Invariant for BudgetKept {
    fn name(&self) -> &'static str {
        "budget-kept"
    }

    fn on_change(&mut self, view: &View, change: &Change, _: &Wish) -> Result<(), String> {
        let (Some(old), Some(new)) = (&change.old, &change.new) else { return Ok(()) };
        if change.key.resource != DEPLOYMENTS
            || old["spec"]["deploymentID"] == new["spec"]["deploymentID"]
            || Self::is_between(old)
            || !Self::is_between(new)
        {
            return Ok(());
        }
        let namespace = label(new, "fleet.cattle.io/bundle-namespace");
        let name = label(new, "fleet.cattle.io/bundle-name");
        let Some(bundle) = view.hub().get("fleet.cattle.io/bundles", namespace, name) else {
            return Ok(());
        };
        let Some(max_count) = bundle["spec"]["rolloutStrategy"]["maxUnavailable"].as_u64() else {
            return Ok(());
        };
        let uid = &new["metadata"]["uid"];
        let others = deployments_of(view, namespace, name);
        let between =
            others.filter(|other| other["metadata"]["uid"] != *uid && Self::is_between(other));
        let count = between.count() as u64 + 1;
        if count > max_count {
            return Err(format!("bundle {name}: {count} clusters change, {max_count} may"));
        }
        Ok(())
    }
}

/// `content-kept`: a Content is there as long as a deployment names it.
pub(crate) struct ContentKept;

impl Invariant for ContentKept {
    fn name(&self) -> &'static str {
        "content-kept"
    }

    fn on_change(&mut self, view: &View, change: &Change, _: &Wish) -> Result<(), String> {
        if change.cluster != "hub" {
            return Ok(());
        }
        match change.key.resource.as_str() {
            "fleet.cattle.io/contents" if change.new.is_none() => {
                let all = view.hub().all(DEPLOYMENTS);
                let users = all.filter(|(_, user)| user["metadata"]["deletionTimestamp"].is_null());
                let mut users = users.filter(|(_, user)| names_of(user).contains(&change.key.name));
                match users.next() {
                    Some((key, _)) => Err(format!("{} deleted; {key} needs it", change.key)),
                    None => Ok(()),
                }
            }
            DEPLOYMENTS => {
                let Some(new) = &change.new else { return Ok(()) };
                let before = change.old.as_ref().map(names_of).unwrap_or_default();
                let missing = |name: &&String| !before.contains(*name) && !has_content(view, name);
                match names_of(new).iter().find(missing) {
                    Some(name) => {
                        Err(format!("{} names content {name}, which is not there", change.key))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

fn has_content(view: &View, name: &str) -> bool {
    view.hub().get("fleet.cattle.io/contents", "", name).is_some()
}

/// The Contents that a deployment names.
fn names_of(deployment: &Value) -> Vec<String> {
    let ids = ["deploymentID", "stagedDeploymentID"];
    let ids = ids.iter().filter_map(|field| deployment["spec"][*field].as_str());
    ids.filter_map(|id| Some(id.split_once(':')?.0.to_owned())).collect()
}

/// `no-credential-out`: what is in a Secret is in no other object.
pub(crate) struct NoCredentialOut;

impl Invariant for NoCredentialOut {
    fn name(&self) -> &'static str {
        "no-credential-out"
    }

    fn on_change(&mut self, _: &View, change: &Change, _: &Wish) -> Result<(), String> {
        let Key { resource, .. } = &change.key;
        let Some(new) = change.new.as_ref().filter(|_| resource != "/secrets") else {
            return Ok(());
        };
        // Tokens are JWTs: their head begins with `{"alg":`.
        let text = new.to_string();
        match [CANARY, "eyJhbGciOi"].iter().find(|word| text.contains(**word)) {
            Some(word) => Err(format!("{} holds a credential ({word}…)", change.key)),
            None => Ok(()),
        }
    }
}
