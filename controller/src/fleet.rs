//! The clusters as decisions see them, and which bundles look at what of them.
//!
//! Owns the answer to "whose business is this change of a cluster?", so that a change costs what it
//! changes and not what the fleet has. Knows nothing of queues or objects' writes. Start at
//! [`Fleet`].
//!
//! Invariant: every change of a cluster's view is either in what [`Fleet::attend`] returned to a
//! bundle, or told to that bundle by name afterwards. One lock around both makes it so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bundle_format::api::{Cluster, ClusterGroup};
use bundle_format::footprint::Interest;
use bundle_format::target::ClusterView;
use bundle_format::target::selector::{Labels, SelectorError};
use bundle_format::target::view::{GroupMatcher, GroupView};
use kube::ResourceExt;
use runtime::ObjectKey;

/// All clusters and groups there are, and the bundles that asked for them.
#[derive(Debug, Default)]
pub struct Fleet {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    groups: BTreeMap<ObjectKey, Result<GroupMatcher, SelectorError>>,
    views: BTreeMap<ObjectKey, Arc<ClusterView>>,
    bundles: BTreeMap<ObjectKey, Attention>,
}

/// What one bundle looks at.
#[derive(Debug)]
struct Attention {
    interest: Interest,
    namespaces: BTreeSet<String>,
}

impl Attention {
    fn is_touched(&self, change: &ViewChange) -> bool {
        self.interest.is_touched(change.old.as_deref(), change.new.as_deref())
    }
}

/// A cluster before and after a change; `None` while there is none that bundles may go to.
struct ViewChange {
    old: Option<Arc<ClusterView>>,
    new: Option<Arc<ClusterView>>,
}

/// A ClusterGroup whose selector means nothing: who is in it, nobody knows.
#[derive(Debug)]
pub struct BrokenGroup {
    /// Which.
    pub group: ObjectKey,
    /// What is wrong.
    pub source: SelectorError,
}

impl Fleet {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clusters of some namespaces, by namespace and name. From now on the bundle is named when
    /// one of them changes in something that is its business.
    ///
    /// # Errors
    /// When a group of these namespaces has a selector that means nothing; also then the bundle is
    /// named as soon as that changes.
    pub fn attend(
        &self,
        bundle: &ObjectKey,
        interest: Interest,
        namespaces: BTreeSet<String>,
    ) -> Result<Vec<Arc<ClusterView>>, BrokenGroup> {
        let mut inner = self.lock();
        let mut views = Vec::new();
        let mut broken = None;
        for namespace in &namespaces {
            broken = broken.or_else(|| broken_group(&inner.groups, namespace));
            views.extend(in_namespace(&inner.views, namespace).map(|(_, view)| Arc::clone(view)));
        }
        inner.bundles.insert(bundle.clone(), Attention { interest, namespaces });
        broken.map_or(Ok(views), Err)
    }

    /// Forgets a bundle that is gone.
    pub fn forget_bundle(&self, bundle: &ObjectKey) {
        self.lock().bundles.remove(bundle);
    }

    /// Takes in a Cluster as it is now, `None` when it is gone. Returns the bundles to which that is
    /// anything.
    pub fn set_cluster(&self, key: &ObjectKey, cluster: Option<&Cluster>) -> Vec<ObjectKey> {
        let mut inner = self.lock();
        let new = cluster
            .filter(|cluster| cluster.metadata.deletion_timestamp.is_none())
            .map(|cluster| Arc::new(inner.view_of(key, cluster)));
        let old = match &new {
            Some(view) => inner.views.insert(key.clone(), Arc::clone(view)),
            None => inner.views.remove(key),
        };
        if old == new {
            return Vec::new();
        }
        let change = ViewChange { old, new };
        inner
            .attending(&key.namespace)
            .filter(|(_, held)| held.is_touched(&change))
            .map(named)
            .collect()
    }

    /// Takes in a ClusterGroup as it is now, `None` when it is gone. Returns the bundles to which
    /// that is anything.
    pub fn set_group(&self, key: &ObjectKey, group: Option<&ClusterGroup>) -> Vec<ObjectKey> {
        let mut inner = self.lock();
        let new = group.map(GroupMatcher::compile);
        let is_broken = matches!(new, Some(Err(_)));
        let matcher = new.as_ref().and_then(|new| new.as_ref().ok()).cloned();
        let old = match new {
            Some(new) => inner.groups.insert(key.clone(), new),
            None => inner.groups.remove(key),
        };
        let changes = inner.regroup(key, matcher.as_ref());
        if is_broken || matches!(old, Some(Err(_))) {
            return inner.attending(&key.namespace).map(named).collect();
        }
        let attending = inner.attending(&key.namespace);
        // Who never asks for groups needs not be asked for each of its clusters.
        let touched = attending.filter(|(_, held)| {
            held.interest.looks_at_groups() && changes.iter().any(|change| held.is_touched(change))
        });
        touched.map(named).collect()
    }

    /// The groups of a namespace that hold clusters with these labels.
    pub fn groups_holding(&self, namespace: &str, labels: &Labels) -> BTreeSet<ObjectKey> {
        let inner = self.lock();
        let matchers = in_namespace(&inner.groups, namespace)
            .filter_map(|(key, group)| Some((key, group.as_ref().ok()?)));
        matchers
            .filter(|(_, matcher)| matcher.holds(namespace, labels))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

fn named((key, _): (&ObjectKey, &Attention)) -> ObjectKey {
    key.clone()
}

fn in_namespace<'a, V>(
    all: &'a BTreeMap<ObjectKey, V>,
    namespace: &'a str,
) -> impl Iterator<Item = (&'a ObjectKey, &'a V)> {
    all.range(ObjectKey::new(namespace, "")..)
        .take_while(move |(key, _)| key.namespace == namespace)
}

fn broken_group(
    groups: &BTreeMap<ObjectKey, Result<GroupMatcher, SelectorError>>,
    namespace: &str,
) -> Option<BrokenGroup> {
    in_namespace(groups, namespace).find_map(|(key, group)| {
        let source = group.as_ref().err()?.clone();
        Some(BrokenGroup { group: key.clone(), source })
    })
}

impl Inner {
    /// The bundles that look at clusters of a namespace.
    fn attending<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Attention)> {
        self.bundles.iter().filter(move |(_, held)| held.namespaces.contains(namespace))
    }

    fn view_of(&self, key: &ObjectKey, cluster: &Cluster) -> ClusterView {
        // By key, that is by name: the order groups have in a view.
        let groups = in_namespace(&self.groups, &key.namespace)
            .filter_map(|(_, group)| group.as_ref().ok())
            .filter(|group| group.holds(&key.namespace, cluster.labels()))
            .map(|group| group.view().clone());
        ClusterView::of_cluster(cluster, groups.collect())
    }

    /// Puts the clusters of a namespace into a group as it is now, and takes the others out.
    fn regroup(&mut self, group: &ObjectKey, matcher: Option<&GroupMatcher>) -> Vec<ViewChange> {
        let from = ObjectKey::new(&group.namespace, "");
        let mut changes = Vec::new();
        for (key, view) in self.views.range_mut(from..) {
            if key.namespace != group.namespace {
                break;
            }
            let matcher = matcher.filter(|matcher| matcher.holds(&key.namespace, &view.labels));
            let wanted = matcher.map(GroupMatcher::view);
            if view.groups.iter().find(|held| held.name == group.name) == wanted {
                continue;
            }
            let others = view.groups.iter().filter(|held| held.name != group.name);
            let mut groups: Vec<GroupView> = others.chain(wanted).cloned().collect();
            groups.sort_by(|a, b| a.name.cmp(&b.name));
            let new = Arc::new(ClusterView { groups, ..ClusterView::clone(view) });
            let old = std::mem::replace(view, Arc::clone(&new));
            changes.push(ViewChange { old: Some(old), new: Some(new) });
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle_format::api::Bundle;
    use serde_json::{Value, json};

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    fn cluster(name: &str, labels: Value) -> Cluster {
        serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": name, "labels": labels},
            "spec": {}, "status": {"namespace": format!("home-{name}")},
        }))
        .unwrap()
    }

    fn group(name: &str, selector: Value) -> ClusterGroup {
        let metadata = json!({"namespace": "ns", "name": name});
        let spec = json!({"selector": selector});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn prod() -> Value {
        json!({"matchLabels": {"env": "prod"}})
    }

    /// Bundles `all`, `prod` (by label) and `eu` (by group), and two clusters.
    fn fleet() -> Fleet {
        let fleet = Fleet::default();
        fleet.set_group(&key("eu"), Some(&group("eu", json!({"matchLabels": {"zone": "eu"}}))));
        for name in ["a", "b"] {
            fleet.set_cluster(&key(name), Some(&cluster(name, json!({"env": "dev"}))));
        }
        for (name, target) in [
            ("all", json!({"clusterSelector": {}})),
            ("prod", json!({"clusterSelector": prod()})),
            ("eu", json!({"clusterGroup": "eu"})),
        ] {
            attend(&fleet, name, target).unwrap();
        }
        fleet
    }

    fn attend(
        fleet: &Fleet,
        name: &str,
        target: Value,
    ) -> Result<Vec<Arc<ClusterView>>, BrokenGroup> {
        let bundle: Bundle = serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": name}, "spec": {"targets": [target]},
        }))
        .unwrap();
        fleet.attend(&key(name), Interest::of_bundle(&bundle), ["ns".to_owned()].into())
    }

    fn names(keys: Vec<ObjectKey>) -> Vec<String> {
        keys.into_iter().map(|key| key.name).collect()
    }

    fn set(fleet: &Fleet, name: &str, labels: Value) -> Vec<String> {
        names(fleet.set_cluster(&key(name), Some(&cluster(name, labels))))
    }

    #[test]
    fn a_change_of_a_cluster_is_told_to_those_who_look_at_it() {
        let fleet = fleet();
        assert!(set(&fleet, "a", json!({"env": "dev"})).is_empty(), "nothing changed");
        assert!(set(&fleet, "a", json!({"env": "dev", "rack": "7"})).is_empty());
        assert_eq!(set(&fleet, "a", json!({"env": "prod"})), ["prod"]);
        assert_eq!(set(&fleet, "a", json!({"env": "prod", "zone": "eu"})), ["eu"]);
        assert_eq!(set(&fleet, "c", json!({"env": "dev"})), ["all"], "a new one");
        assert_eq!(names(fleet.set_cluster(&key("a"), None)), ["all", "eu", "prod"], "gone");
    }

    #[test]
    fn a_change_of_a_group_is_told_where_its_members_change() {
        let fleet = fleet();
        let change =
            |selector: Value| names(fleet.set_group(&key("eu"), Some(&group("eu", selector))));
        assert!(change(prod()).is_empty(), "no cluster is in it before or after");
        assert_eq!(change(json!({"matchLabels": {"env": "dev"}})), ["eu"]);
        assert!(change(json!({})).is_empty(), "the same members");
        let other = fleet.set_group(&key("other"), Some(&group("other", json!({}))));
        assert!(other.is_empty(), "{other:?}");
        assert_eq!(names(fleet.set_group(&key("eu"), None)), ["eu"]);
        let held = attend(&fleet, "late", json!({"clusterSelector": {}})).unwrap();
        let groups: Vec<_> = held.iter().flat_map(|view| &view.groups).collect();
        assert!(groups.iter().all(|group| group.name == "other") && groups.len() == 2);
    }

    #[test]
    fn a_broken_group_is_told_to_all_and_so_is_its_repair() {
        let fleet = fleet();
        let broken = json!({"matchExpressions": [{"key": "env", "operator": "Nonsense"}]});
        let told = names(fleet.set_group(&key("bad"), Some(&group("bad", broken))));
        assert_eq!(told, ["all", "eu", "prod"]);
        let error = attend(&fleet, "all", json!({"clusterSelector": {}})).unwrap_err();
        assert_eq!(error.group, key("bad"));
        assert_eq!(names(fleet.set_group(&key("bad"), None)), ["all", "eu", "prod"]);
    }

    #[test]
    fn what_changed_before_a_bundle_asked_is_in_the_answer() {
        let fleet = fleet();
        fleet.forget_bundle(&key("prod"));
        assert!(set(&fleet, "a", json!({"env": "prod"})).is_empty());
        let held = attend(&fleet, "prod", json!({"clusterSelector": prod()})).unwrap();
        assert_eq!(held[0].labels["env"], "prod");
        assert_eq!(set(&fleet, "a", json!({"env": "dev"})), ["prod"]);
    }
}
