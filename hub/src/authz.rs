//! What a user may do: RBAC as Kubernetes defines it.
//!
//! Owns an index of roles and bindings, kept up to date by every write of one, so that a decision
//! costs as much as the user has bindings, whatever the number of others. Start at
//! [`Rbac::allows`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use serde::Deserialize;
use serde_json::Value;

use crate::User;
use crate::error::{About, ApiError};
use crate::registry::Kind;
use crate::server::Server;
use crate::store::{Key, ResourceId, Scope};

const MASTERS: &str = "system:masters";

/// One thing someone wants to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) namespace: String,
    pub(crate) group: String,
    /// `pods`, or `pods/log` with a subresource.
    pub(crate) resource: String,
    pub(crate) name: String,
    /// Set for paths that are no resource (`/healthz`).
    pub(crate) path: String,
}

impl Attributes {
    /// The sentence of a refusal.
    pub(crate) fn refusal(&self, user: &User) -> String {
        let name = &user.name;
        if !self.path.is_empty() {
            return format!("User {name:?} cannot {} path {:?}", self.verb, self.path);
        }
        let place = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {:?}", self.namespace)
        };
        format!(
            "User {name:?} cannot {} resource {:?} in API group {:?} {place}",
            self.verb, self.resource, self.group
        )
    }
}

/// One rule of a role.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    #[serde(rename = "apiGroups")]
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub(crate) paths: Vec<String>,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    fn allows(&self, a: &Attributes) -> bool {
        if !has(&self.verbs, &a.verb) {
            return false;
        }
        if !a.path.is_empty() {
            return self.paths.iter().any(|p| match p.strip_suffix('*') {
                Some(prefix) => a.path.starts_with(prefix),
                None => *p == a.path,
            });
        }
        let subresource = a.resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        let resource = has(&self.resources, &a.resource)
            || subresource.is_some_and(|wild| self.resources.contains(&wild));
        let named = self.resource_names.is_empty() || self.resource_names.contains(&a.name);
        has(&self.api_groups, &a.group) && resource && named
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    User(String),
    Group(String),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Group(name) => write!(f, "Group {name:?}"),
            Subject::User(name) => match name.strip_prefix("system:serviceaccount:") {
                Some(account) => {
                    let (namespace, name) = account.split_once(':').unwrap_or(("", account));
                    write!(f, "ServiceAccount \"{name}/{namespace}\"")
                }
                None => write!(f, "User {name:?}"),
            },
        }
    }
}

#[derive(Debug)]
struct Binding {
    /// Where it gives rights; empty: everywhere.
    namespace: String,
    /// The role's key: `clusterroles` or `roles` with its path.
    role: (bool, String),
    subjects: Vec<Subject>,
}

/// All roles and bindings.
#[derive(Debug, Default)]
pub(crate) struct Rbac {
    /// (is a cluster role, path) → rules.
    roles: BTreeMap<(bool, String), Arc<Vec<Rule>>>,
    bindings: BTreeMap<Key, Binding>,
    by_subject: BTreeMap<Subject, BTreeSet<Key>>,
}

impl Rbac {
    /// Takes note of a write or deletion of a role or binding.
    pub(crate) fn note(&mut self, key: &Key, object: &Value, gone: bool) {
        let Some(plural) = key.resource.strip_prefix("rbac.authorization.k8s.io/") else { return };
        match plural {
            "roles" | "clusterroles" => {
                let id = (plural == "clusterroles", key.path.to_string());
                if gone {
                    self.roles.remove(&id);
                } else {
                    let rules = serde_json::from_value(object["rules"].clone()).unwrap_or_default();
                    self.roles.insert(id, Arc::new(rules));
                }
            }
            _ => {
                self.forget_binding(key);
                if !gone {
                    self.remember_binding(key, object);
                }
            }
        }
    }

    fn forget_binding(&mut self, key: &Key) {
        let Some(old) = self.bindings.remove(key) else { return };
        for subject in old.subjects {
            if let Some(keys) = self.by_subject.get_mut(&subject) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_subject.remove(&subject);
                }
            }
        }
    }

    fn remember_binding(&mut self, key: &Key, object: &Value) {
        let namespace = key.namespace().unwrap_or_default().to_owned();
        let role = object["roleRef"]["name"].as_str().unwrap_or_default();
        let role = match object["roleRef"]["kind"].as_str() {
            Some("Role") => (false, format!("{namespace}/{role}")),
            _ => (true, role.to_owned()),
        };
        let rows = object["subjects"].as_array().into_iter().flatten();
        let subjects: Vec<Subject> = rows
            .filter_map(|s| {
                let name = s["name"].as_str()?;
                match s["kind"].as_str()? {
                    "User" => Some(Subject::User(name.to_owned())),
                    "Group" => Some(Subject::Group(name.to_owned())),
                    "ServiceAccount" => {
                        let home = s["namespace"].as_str().unwrap_or(&namespace);
                        Some(Subject::User(format!("system:serviceaccount:{home}:{name}")))
                    }
                    _ => None,
                }
            })
            .collect();
        for subject in &subjects {
            self.by_subject.entry(subject.clone()).or_default().insert(key.clone());
        }
        self.bindings.insert(key.clone(), Binding { namespace, role, subjects });
    }

    /// The rules a user has in `namespace` (and everywhere).
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<Arc<Vec<Rule>>> {
        let groups = user.groups.iter().map(|g| Subject::Group(g.clone()));
        let subjects = groups.chain([Subject::User(user.name.clone())]);
        let keys: BTreeSet<&Key> =
            subjects.filter_map(|s| self.by_subject.get(&s)).flatten().collect();
        keys.into_iter()
            .filter_map(|key| self.bindings.get(key))
            .filter(|b| b.namespace.is_empty() || b.namespace == namespace)
            .filter_map(|b| self.roles.get(&b.role).cloned())
            .collect()
    }

    /// Why `user` may do this, in the words of the peer; `None` when it may not or need not ask.
    pub(crate) fn reason(&self, user: &User, wanted: &Attributes) -> Option<String> {
        let is_user = |s: &&Subject| match s {
            Subject::User(name) => *name == user.name,
            Subject::Group(name) => user.groups.contains(name),
        };
        let applies = |b: &&Binding| b.namespace.is_empty() || b.namespace == wanted.namespace;
        // Cluster-wide bindings come first, in the order of their names.
        let everywhere = self.bindings.iter().filter(|(_, b)| b.namespace.is_empty());
        let here = self.bindings.iter().filter(|(_, b)| !b.namespace.is_empty());
        everywhere.chain(here).filter(|(_, b)| applies(b)).find_map(|(key, binding)| {
            let subject = binding.subjects.iter().find(is_user)?;
            let rules = self.roles.get(&binding.role)?;
            if !rules.iter().any(|rule| rule.allows(wanted)) {
                return None;
            }
            let bound = match key.namespace() {
                Some(namespace) => format!("RoleBinding \"{}/{namespace}\"", key.name()),
                None => format!("ClusterRoleBinding {:?}", key.name()),
            };
            let kind = if binding.role.0 { "ClusterRole" } else { "Role" };
            let role = binding.role.1.rsplit('/').next().unwrap_or_default();
            Some(format!("RBAC: allowed by {bound} of {kind} {role:?} to {subject}"))
        })
    }

    /// The name of the role that a binding is about when there is none.
    fn missing_role(&self, key: &Key, object: &Value) -> Option<String> {
        if !key.resource.ends_with("bindings") {
            return None;
        }
        let name = object["roleRef"]["name"].as_str()?;
        let is_cluster = object["roleRef"]["kind"] == "ClusterRole";
        let path = match key.namespace() {
            Some(namespace) if !is_cluster => format!("{namespace}/{name}"),
            _ => name.to_owned(),
        };
        (!self.roles.contains_key(&(is_cluster, path))).then(|| name.to_owned())
    }

    /// Whether `user` may do this.
    pub(crate) fn allows(&self, user: &User, wanted: &Attributes) -> bool {
        if user.groups.iter().any(|g| g == MASTERS) {
            return true;
        }
        let rules = self.rules(user, &wanted.namespace);
        rules.iter().any(|role| role.iter().any(|rule| rule.allows(wanted)))
    }
}

/// Refuses a role or binding that would give more than its writer has.
pub(crate) fn escalation(rbac: &Rbac, user: &User, key: &Key, object: &Value) -> Option<String> {
    let plural = key.resource.strip_prefix("rbac.authorization.k8s.io/")?;
    let namespace = key.namespace().unwrap_or_default();
    let allows = |verb: &str, resource: &str, name: &str| {
        rbac.allows(
            user,
            &Attributes {
                verb: verb.into(),
                namespace: namespace.into(),
                group: "rbac.authorization.k8s.io".into(),
                resource: resource.into(),
                name: name.into(),
                path: String::new(),
            },
        )
    };
    let given: Vec<Rule> = if plural.ends_with("bindings") {
        let role = object["roleRef"]["name"].as_str().unwrap_or_default();
        let is_cluster = object["roleRef"]["kind"] == "ClusterRole";
        if allows("bind", if is_cluster { "clusterroles" } else { "roles" }, role) {
            return None;
        }
        let path = if is_cluster { role.to_owned() } else { format!("{namespace}/{role}") };
        rbac.roles.get(&(is_cluster, path)).map(|r| r.to_vec()).unwrap_or_default()
    } else {
        if allows("escalate", plural, key.name()) {
            return None;
        }
        serde_json::from_value(object["rules"].clone()).unwrap_or_default()
    };
    let wishes = given.iter().flat_map(|rule| single_wishes(rule, namespace));
    let missing: Vec<Attributes> = wishes.filter(|wish| !rbac.allows(user, wish)).collect();
    if missing.is_empty() {
        return None;
    }
    Some(format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        go_list(&user.groups),
        describe_missing(&missing)
    ))
}

/// A list of texts as Go's `%q` writes it.
fn go_list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|t| format!("{t:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

/// The missing permissions, verbs of one resource together, sorted.
fn describe_missing(missing: &[Attributes]) -> String {
    let mut verbs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for wish in missing {
        let one = |text: &String| go_list(std::slice::from_ref(text));
        let what = if wish.path.is_empty() {
            let name = match wish.name.is_empty() {
                true => String::new(),
                false => format!(", ResourceNames:{}", one(&wish.name)),
            };
            let (group, resource) = (one(&wish.group), one(&wish.resource));
            format!("APIGroups:{group}, Resources:{resource}{name}")
        } else {
            format!("NonResourceURLs:{}", one(&wish.path))
        };
        let list = verbs.entry(what).or_default();
        if !list.contains(&wish.verb) {
            list.push(wish.verb.clone());
        }
    }
    let rows = verbs.iter().map(|(what, verbs)| format!("{{{what}, Verbs:{}}}", go_list(verbs)));
    rows.collect::<Vec<_>>().join("\n")
}

/// Every single permission in a rule.
fn single_wishes(rule: &Rule, namespace: &str) -> Vec<Attributes> {
    let mut wishes = Vec::new();
    for verb in &rule.verbs {
        for path in &rule.paths {
            wishes.push(Attributes {
                verb: verb.clone(),
                path: path.clone(),
                ..Attributes::default()
            });
        }
        let names = if rule.resource_names.is_empty() {
            vec![String::new()]
        } else {
            rule.resource_names.clone()
        };
        for group in &rule.api_groups {
            for resource in &rule.resources {
                wishes.extend(names.iter().map(|name| Attributes {
                    verb: verb.clone(),
                    namespace: namespace.to_owned(),
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                    path: String::new(),
                }));
            }
        }
    }
    wishes
}

impl Server {
    /// Reads every role and binding; later writes keep the index up to date.
    pub(crate) fn load_rbac(&self) {
        let mut rbac = self.rbac.write().unwrap_or_else(PoisonError::into_inner);
        for plural in ["roles", "clusterroles", "rolebindings", "clusterrolebindings"] {
            let resource: ResourceId = format!("rbac.authorization.k8s.io/{plural}").into();
            let scope = Scope { resource: resource.clone(), namespace: None };
            let Ok(page) = self.store.list(&scope, "", usize::MAX, 0) else { continue };
            for (path, entry) in page.entries {
                let key = Key { resource: resource.clone(), path };
                rbac.note(&key, &entry.value(), false);
            }
        }
    }

    /// Why the user may, for a review; an administrator is not told.
    pub(crate) fn allow_reason(&self, user: &User, wanted: &Attributes) -> Option<String> {
        if user.groups.iter().any(|g| g == MASTERS) {
            return None;
        }
        self.rbac.read().unwrap_or_else(PoisonError::into_inner).reason(user, wanted)
    }

    pub(crate) fn allows(&self, user: &User, wanted: &Attributes) -> bool {
        self.rbac.read().unwrap_or_else(PoisonError::into_inner).allows(user, wanted)
    }

    /// The rules of a user, for `kubectl auth can-i --list`.
    pub(crate) fn rules_of(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let rbac = self.rbac.read().unwrap_or_else(PoisonError::into_inner);
        let mut rules: Vec<Rule> =
            rbac.rules(user, namespace).iter().flat_map(|role| role.iter().cloned()).collect();
        if user.groups.iter().any(|g| g == MASTERS) {
            let all = || vec!["*".to_owned()];
            rules.push(Rule {
                verbs: all(),
                api_groups: all(),
                resources: all(),
                ..Rule::default()
            });
            rules.push(Rule { verbs: all(), paths: all(), ..Rule::default() });
        }
        rules
    }

    /// Refuses what the user may not do.
    pub(crate) fn authorize(&self, user: &User, wanted: &Attributes) -> Result<(), ApiError> {
        if self.allows(user, wanted) {
            return Ok(());
        }
        let refusal = wanted.refusal(user);
        if !wanted.path.is_empty() {
            return Err(ApiError::generic(403, "Forbidden", format!("forbidden: {refusal}")));
        }
        let about = About {
            group: wanted.group.clone(),
            resource: wanted.resource.split('/').next().unwrap_or_default().to_owned(),
            name: wanted.name.clone(),
        };
        Err(ApiError::forbidden(&about, &refusal))
    }

    /// Refuses a role or binding that gives more than its writer has.
    pub(crate) fn check_escalation(
        &self,
        user: Option<&User>,
        kind: &Kind,
        key: &Key,
        object: &Value,
    ) -> Result<(), ApiError> {
        let Some(user) = user.filter(|_| kind.group == "rbac.authorization.k8s.io") else {
            return Ok(());
        };
        let rbac = self.rbac.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(role) = rbac.missing_role(key, object)
            && !user.groups.iter().any(|g| g == MASTERS)
        {
            return Err(ApiError::not_found(&kind.about(&role)));
        }
        match escalation(&rbac, user, key, object) {
            Some(why) => Err(ApiError::forbidden(&kind.about(key.name()), &why)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rbac() -> Rbac {
        let mut rbac = Rbac::default();
        let key = |plural: &str, namespace: Option<&str>, name: &str| {
            Key::new(&format!("rbac.authorization.k8s.io/{plural}").into(), namespace, name)
        };
        let rules = json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"],
            "resourceNames": ["one"]}, {"apiGroups": [""], "resources": ["pods/*", "*/status"], "verbs": ["*"]}]});
        rbac.note(&key("roles", Some("n"), "r"), &rules, false);
        let binding = json!({"roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "m"}]});
        rbac.note(&key("rolebindings", Some("n"), "b"), &binding, false);
        rbac
    }

    fn user() -> User {
        User { name: "system:serviceaccount:m:a".into(), groups: Vec::new(), uid: String::new() }
    }

    fn wish(namespace: &str, verb: &str, resource: &str, name: &str) -> Attributes {
        Attributes {
            verb: verb.into(),
            namespace: namespace.into(),
            resource: resource.into(),
            name: name.into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn a_role_gives_its_rules_in_its_namespace_and_for_its_names_only() {
        let rbac = rbac();
        assert!(rbac.allows(&user(), &wish("n", "get", "secrets", "one")));
        assert!(!rbac.allows(&user(), &wish("n", "get", "secrets", "two")));
        assert!(!rbac.allows(&user(), &wish("n", "list", "secrets", "")));
        assert!(!rbac.allows(&user(), &wish("other", "get", "secrets", "one")));
        assert!(rbac.allows(&user(), &wish("n", "patch", "deployments/status", "x")));
        assert!(!rbac.allows(&user(), &wish("n", "get", "deployments", "x")));
    }

    #[test]
    fn a_deleted_binding_gives_nothing() {
        let mut rbac = rbac();
        let key = Key::new(&"rbac.authorization.k8s.io/rolebindings".into(), Some("n"), "b");
        rbac.note(&key, &Value::Null, true);
        assert!(!rbac.allows(&user(), &wish("n", "get", "secrets", "one")));
    }
}
