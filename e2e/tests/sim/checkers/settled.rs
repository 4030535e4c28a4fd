//! What must hold once everyone had time to finish.
//!
//! Owns the checkers that judge the whole.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Invariant, Wish, annotation, deployments_of, label};
use crate::view::View;
use crate::world::WORKSPACE;

const BUNDLES: &str = "fleet.cattle.io/bundles";
const CLUSTERS: &str = "fleet.cattle.io/clusters";
const DEPLOYMENTS: &str = "fleet.cattle.io/bundledeployments";
const GIT_REPOS: &str = "fleet.cattle.io/gitrepos";

fn fail_with(lines: Vec<String>) -> Result<(), String> {
    if lines.is_empty() { Ok(()) } else { Err(lines.join("; ")) }
}

/// `deployments-belong`: each BundleDeployment has its Bundle and its Cluster, each Bundle of a
/// GitRepo its GitRepo.
pub(crate) struct DeploymentsBelong;

impl Invariant for DeploymentsBelong {
    fn name(&self) -> &'static str {
        "deployments-belong"
    }

    fn when_settled(&mut self, view: &View, _: &Wish) -> Result<(), String> {
        let hub = view.hub();
        let mut lines = Vec::new();
        for (key, deployment) in hub.all(DEPLOYMENTS) {
            let (namespace, name) = (
                label(deployment, "fleet.cattle.io/bundle-namespace"),
                label(deployment, "fleet.cattle.io/bundle-name"),
            );
            if hub.get(BUNDLES, namespace, name).is_none() {
                lines.push(format!("{key} has no bundle {namespace}/{name}"));
            }
            let home = |cluster: &Value| cluster["status"]["namespace"] == key.namespace.as_str();
            if !hub.all(CLUSTERS).any(|(_, cluster)| home(cluster)) {
                lines.push(format!("{key} has no cluster"));
            }
        }
        for (key, bundle) in hub.all(BUNDLES) {
            let repo = label(bundle, "fleet.cattle.io/repo-name");
            if !repo.is_empty() && hub.get(GIT_REPOS, &key.namespace, repo).is_none() {
                lines.push(format!("{key} has no gitrepo {repo}"));
            }
        }
        fail_with(lines)
    }
}

/// `applied-is-planned`: every deployment is at the version it was told, its Content is there, and
/// what was observed is the newest generation.
pub(crate) struct AppliedIsPlanned;

impl Invariant for AppliedIsPlanned {
    fn name(&self) -> &'static str {
        "applied-is-planned"
    }

    fn when_settled(&mut self, view: &View, wish: &Wish) -> Result<(), String> {
        let hub = view.hub();
        let mut lines = Vec::new();
        for (key, deployment) in hub.all(DEPLOYMENTS) {
            if is_open(wish, deployment) {
                continue;
            }
            let (spec, status) = (&deployment["spec"], &deployment["status"]);
            let staged = &spec["stagedDeploymentID"];
            if spec["deploymentID"] != *staged {
                lines.push(format!("{key} is staged, not deployed"));
            }
            if status["appliedDeploymentID"] != spec["deploymentID"] {
                lines.push(format!("{key} has not applied its version"));
            }
            let content = staged.as_str().and_then(|id| id.split_once(':')).map(|(id, _)| id);
            if content.is_none_or(|id| hub.get("fleet.cattle.io/contents", "", id).is_none()) {
                lines.push(format!("{key} names a content that is not there"));
            }
        }
        for kind in [BUNDLES, GIT_REPOS] {
            for (key, object) in hub.all(kind) {
                if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
                    lines.push(format!("{key} was not observed"));
                }
            }
        }
        fail_with(lines)
    }
}

/// Whether a deployment is one of those about which nothing is promised: its bundle failed, or a
/// path of its repository cannot be read, and then what went from the others is kept as it is.
fn is_open(wish: &Wish, deployment: &Value) -> bool {
    let bundle = label(deployment, "fleet.cattle.io/bundle-name");
    let is_wanted = |texts: &BTreeMap<(String, String), String>| {
        texts.keys().any(|(_, wanted)| wanted == bundle)
    };
    let is_kept = wish.kept.contains(label(deployment, "fleet.cattle.io/repo-name"));
    is_open_name(wish, bundle) || is_kept && !wish.texts.values().any(is_wanted)
}

fn is_open_name(wish: &Wish, bundle: &str) -> bool {
    wish.open.iter().any(|(_, open)| open == bundle)
}

/// `wish-fulfilled`: each member has an agent and holds what the head of each branch says, and nothing else of ours.
pub(crate) struct WishFulfilled;

impl Invariant for WishFulfilled {
    fn name(&self) -> &'static str {
        "wish-fulfilled"
    }

    fn when_settled(&mut self, view: &View, wish: &Wish) -> Result<(), String> {
        let mut lines = Vec::new();
        for member in &wish.members {
            let cluster = view.hub().get(CLUSTERS, WORKSPACE, member);
            if cluster.is_none_or(|cluster| cluster["status"]["agent"]["lastSeen"].is_null()) {
                lines.push(format!("{member} has no agent"));
            }
            let store = view.store(member);
            let none = BTreeMap::new();
            let wanted = wish.texts.get(member).unwrap_or(&none);
            for ((namespace, name), text) in wanted {
                let held = store.get("/configmaps", namespace, name);
                let found = held.and_then(|held| held["data"]["text"].as_str());
                if found != Some(text) {
                    lines.push(format!("{member} {namespace}/{name}: {found:?}, not {text:?}"));
                }
            }
            for (key, object) in store.all("/configmaps") {
                let place = (key.namespace.clone(), key.name.clone());
                let is_ours = !annotation(object, "objectset.rio.cattle.io/id").is_empty();
                let is_kept = wish.kept.iter().any(|repo| {
                    key.namespace.strip_prefix(repo).is_some_and(|rest| rest.starts_with('-'))
                });
                let is_open = is_kept || wish.open.contains(&place);
                if is_ours && !wanted.contains_key(&place) && !is_open {
                    lines.push(format!("{member} {key} is left over"));
                }
            }
        }
        fail_with(lines)
    }
}

/// `nothing-orphaned`: a member holds releases and objects of its own deployments only, and the newest
/// revision of each release is deployed.
pub(crate) struct NothingOrphaned;

impl Invariant for NothingOrphaned {
    fn name(&self) -> &'static str {
        "nothing-orphaned"
    }

    fn when_settled(&mut self, view: &View, wish: &Wish) -> Result<(), String> {
        let mut lines = Vec::new();
        for member in &wish.members {
            let home = view.hub().get(CLUSTERS, crate::world::WORKSPACE, member);
            let home = home.and_then(|cluster| cluster["status"]["namespace"].as_str());
            let deployed = |name: &str| {
                home.is_some_and(|home| view.hub().get(DEPLOYMENTS, home, name).is_some())
            };
            let mut newest: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
            for (key, secret) in view.store(member).all("/secrets") {
                let bundle = annotation(secret, "fleet.cattle.io/bundle-id");
                if label(secret, "owner") != "helm" || bundle.is_empty() {
                    continue;
                }
                if !deployed(bundle) {
                    lines.push(format!("{member} {key}: no deployment {bundle}"));
                }
                if is_open_name(wish, bundle) {
                    continue;
                }
                let release = (key.namespace.clone(), label(secret, "name").to_owned());
                let revision = label(secret, "version").parse().unwrap_or(0);
                let held = newest.entry(release).or_default();
                if revision > held.0 {
                    *held = (revision, label(secret, "status").to_owned());
                }
            }
            for ((namespace, release), (revision, status)) in newest {
                if status != "deployed" {
                    lines.push(format!("{member} {namespace}/{release} v{revision} is {status}"));
                }
            }
            for (key, object) in &view.store(member).objects {
                let id = annotation(object, "objectset.rio.cattle.io/id");
                let name = id.strip_prefix("default-").unwrap_or(id);
                if !name.is_empty() && !deployed(name) {
                    lines.push(format!("{member} {key}: no deployment {name}"));
                }
            }
        }
        fail_with(lines)
    }
}

/// `counts-add-up`: summaries are what one counts.
pub(crate) struct CountsAddUp;

impl CountsAddUp {
    fn is_ready(deployment: &Value) -> bool {
        let status = &deployment["status"];
        let has = |field: &str| status[field] == true;
        status["appliedDeploymentID"] == deployment["spec"]["deploymentID"]
            && deployment["spec"]["deploymentID"] == deployment["spec"]["stagedDeploymentID"]
            && has("ready")
            && has("nonModified")
    }

    fn judge(what: &str, summary: &Value, deployments: &[&Value]) -> Option<String> {
        let count = |field: &str| summary[field].as_u64().unwrap_or(0);
        let ready_count = deployments.iter().filter(|d| Self::is_ready(d)).count() as u64;
        let all_count = deployments.len() as u64;
        let told = (count("ready"), count("desiredReady"));
        (told != (ready_count, all_count))
            .then(|| format!("{what} says {told:?} ready, counted {:?}", (ready_count, all_count)))
    }
}

impl Invariant for CountsAddUp {
    fn name(&self) -> &'static str {
        "counts-add-up"
    }

    fn when_settled(&mut self, view: &View, _: &Wish) -> Result<(), String> {
        let hub = view.hub();
        let mut lines = Vec::new();
        for (key, bundle) in hub.all(BUNDLES) {
            let own: Vec<&Value> = deployments_of(view, &key.namespace, &key.name).collect();
            lines.extend(Self::judge(&key.to_string(), &bundle["status"]["summary"], &own));
        }
        for (key, repo) in hub.all(GIT_REPOS) {
            let all = hub.all(DEPLOYMENTS).map(|(_, object)| object);
            let own: Vec<&Value> =
                all.filter(|d| label(d, "fleet.cattle.io/repo-name") == key.name).collect();
            lines.extend(Self::judge(&key.to_string(), &repo["status"]["summary"], &own));
        }
        for (key, cluster) in hub.all(CLUSTERS) {
            let Some(home) = cluster["status"]["namespace"].as_str() else { continue };
            let all = hub.all(DEPLOYMENTS).filter(|(key, _)| key.namespace == home);
            let own: Vec<&Value> = all.map(|(_, object)| object).collect();
            lines.extend(Self::judge(&key.to_string(), &cluster["status"]["summary"], &own));
        }
        fail_with(lines)
    }
}

/// `nothing-half-deleted`: what was being deleted is gone.
pub(crate) struct NothingHalfDeleted;

impl Invariant for NothingHalfDeleted {
    fn name(&self) -> &'static str {
        "nothing-half-deleted"
    }

    fn when_settled(&mut self, view: &View, wish: &Wish) -> Result<(), String> {
        let watched = |name: &str| name == "hub" || wish.members.contains(name);
        let clusters = view.clusters.iter().filter(|(name, _)| watched(name));
        let objects = clusters.flat_map(|(name, store)| {
            store.objects.iter().map(move |(key, object)| (name, key, object))
        });
        let half =
            objects.filter(|(.., object)| !object["metadata"]["deletionTimestamp"].is_null());
        fail_with(half.map(|(name, key, _)| format!("{name} {key} is being deleted")).collect())
    }
}
