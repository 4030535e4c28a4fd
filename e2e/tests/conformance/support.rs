//! What several stories share: builders of objects, and readers of their status.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::{Cluster, Kind};
use e2e::world::{World, kinds};
use serde_json::Value;

/// Longest wait for a change to arrive everywhere.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The value at a JSON pointer as text; empty when there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The condition of this type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == kind)
}

/// Whether the condition of this type has this status.
pub(crate) fn has_condition(object: &Value, kind: &str, status: &str) -> bool {
    condition(object, kind).is_some_and(|one| one["status"] == status)
}

/// A GitRepo, applied with kubectl as a user would.
pub(crate) struct GitRepo<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) repo: &'a str,
    pub(crate) paths: &'a [&'a str],
    /// Further fields of the spec, YAML in flow style.
    pub(crate) more: &'a str,
}

impl GitRepo<'_> {
    pub(crate) fn apply(&self, world: &World) -> Result<()> {
        let manifest = format!(
            "apiVersion: fleet.cattle.io/v1alpha1\nkind: GitRepo\n\
             metadata: {{name: {}, namespace: {}}}\n\
             spec: {{repo: {}, branch: main, pollingInterval: 2s, paths: {:?}, {}}}\n",
            self.name, self.namespace, self.repo, self.paths, self.more
        );
        world.hub.apply(&manifest).map(drop)
    }

    pub(crate) fn key(&self) -> (Kind, &str, &str) {
        (kinds::GIT_REPO, self.namespace, self.name)
    }
}

/// Waits until a GitRepo is Ready at a commit with this many deployments, `n/n`.
pub(crate) fn wait_ready(
    world: &World,
    key: (Kind, &str, &str),
    commit: &str,
    count: &str,
) -> Result<Value> {
    world.wait_object(key, SOON, |repo| {
        text(repo, "/status/commit") == commit
            && has_condition(repo, "Ready", "True")
            && text(repo, "/status/display/readyBundleDeployments") == count
    })
}

/// Waits until an object of a cluster satisfies `check`.
pub(crate) fn wait_on(
    world: &World,
    cluster: &Cluster,
    (kind, namespace, name): (Kind, &str, &str),
    check: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let what = format!("{} {namespace}/{name} on {}", kind.plural, cluster.name);
    world.wait_until(&what, SOON, || Ok(cluster.get(kind, namespace, name)?.filter(&check)))
}

/// Waits until an object of a cluster is gone.
pub(crate) fn wait_gone(
    world: &World,
    cluster: &Cluster,
    (kind, namespace, name): (Kind, &str, &str),
) -> Result<()> {
    let what = format!("{} {namespace}/{name} to leave {}", kind.plural, cluster.name);
    world
        .wait_until(&what, SOON, || Ok(cluster.get(kind, namespace, name)?.is_none().then_some(())))
}

/// The Cluster object of a member: its namespace on the hub is `default`.
pub(crate) fn cluster_of(world: &World, member: &Cluster) -> Result<Value> {
    let system = member.get(kinds::NAMESPACE, "", "kube-system")?.context("no kube-system")?;
    let id = text(&system, "/metadata/uid").to_owned();
    let all = world.hub.list(kinds::CLUSTER, "")?;
    all.into_iter()
        .find(|cluster| text(cluster, "/spec/clientID") == id)
        .with_context(|| format!("no Cluster with client id {id} for {}", member.name))
}

/// The header of a table that kubectl printed, words separated by one blank.
pub(crate) fn header(table: &str) -> String {
    let line = table.lines().next().unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The row of a table whose cell `index` is `value`, cells separated by one blank.
pub(crate) fn row(table: &str, index: usize, value: &str) -> Result<String> {
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let found = table.lines().map(cells).find(|row| row.get(index).is_some_and(|v| v == value));
    Ok(found.with_context(|| format!("no {value} in\n{table}"))?.join(" "))
}

/// Fails unless a table's header is `expected`.
pub(crate) fn expect_header(table: &str, expected: &str) -> Result<()> {
    ensure!(header(table) == expected, "columns are not {expected}:\n{table}");
    Ok(())
}
