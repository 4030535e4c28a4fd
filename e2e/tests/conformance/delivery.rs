//! From a commit to running objects, and what happens when something changes or fails.
//!
//! One GitRepo with two paths (raw YAML, a small chart) in a workspace namespace that the user made;
//! the stories change it one after the other.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use e2e::githttp::Repo;
use e2e::world::{World, kinds};
use serde_json::Value;

use crate::support::{
    GitRepo, SOON, cluster_of, condition, expect_header, has_condition, row, text, wait_gone,
    wait_on, wait_ready,
};

const PLAIN: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: plain}
data: {greeting: hello}
";

const EXTRA: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: extra}
data: {more: 'yes'}
";

const CHART: &str = "apiVersion: v2\nname: shop\nversion: 1.2.3\n";

const CHART_TEMPLATE: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-settings}
data:
  color: {{ .Values.color | quote }}
  replicas: {{ .Values.replicas | quote }}
";

const CHART_FLEET_YAML: &str = "
defaultNamespace: shop
helm: {releaseName: shop, values: {color: blue, replicas: 1}}
targetCustomizations:
- {name: edge, clusterSelector: {matchLabels: {type: edge}}, helm: {values: {color: red}}}
- {name: alpha, clusterSelector: {matchLabels: {type: alpha}}, helm: {values: {replicas: 3}}}
";

fn repo_of(world: &World) -> Result<Repo> {
    world.git.open("delivery")
}

fn gitrepo(repo: &str) -> GitRepo<'_> {
    GitRepo {
        namespace: "default",
        name: "delivery",
        repo,
        paths: &["plain", "chart"],
        more: "correctDrift: {enabled: true}, \
               targets: [{name: dev, clusterSelector: {matchLabels: {env: dev}}}]",
    }
}

/// Raw YAML and a chart reach both members, and the tables have the columns and words that scripts
/// know.
pub(crate) fn two_paths_reach_both_members(world: &mut World) -> Result<()> {
    let repo = world.git.repo("delivery")?;
    let commit = repo.commit(
        "two paths",
        &[
            ("plain/plain.yaml", PLAIN),
            ("plain/extra.yaml", EXTRA),
            ("plain/fleet.yaml", "defaultNamespace: plain\n"),
            ("chart/Chart.yaml", CHART),
            ("chart/values.yaml", "color: none\nreplicas: 0\n"),
            ("chart/templates/settings.yaml", CHART_TEMPLATE),
            ("chart/fleet.yaml", CHART_FLEET_YAML),
        ],
    )?;
    let gitrepo = gitrepo(&repo.url);
    gitrepo.apply(world)?;
    wait_ready(world, gitrepo.key(), &commit, "4/4")?;
    let hub = &world.hub;
    let table = hub.kubectl(&["get", "gitrepos", "-A"])?;
    expect_header(&table, "NAMESPACE NAME REPO COMMIT BUNDLEDEPLOYMENTS-READY STATUS")?;
    let wanted = format!("default delivery {} {commit} 4/4", repo.url);
    ensure!(row(&table, 1, "delivery")? == wanted, "{table}");
    let table = hub.kubectl(&["get", "bundles", "-A"])?;
    expect_header(&table, "NAMESPACE NAME BUNDLEDEPLOYMENTS-READY STATUS")?;
    for bundle in ["delivery-plain", "delivery-chart"] {
        ensure!(row(&table, 1, bundle)? == format!("default {bundle} 2/2"), "{table}");
    }
    let table = hub.kubectl(&["get", "bundledeployments", "-A"])?;
    expect_header(&table, "NAMESPACE NAME DEPLOYED MONITORED STATUS")?;
    ensure!(row(&table, 1, "delivery-chart")?.ends_with("delivery-chart True True"), "{table}");
    let table = hub.kubectl(&["get", "clusterregistrations", "-A"])?;
    expect_header(&table, "NAMESPACE NAME CLUSTER-NAME LABELS")?;
    let table = hub.kubectl(&["get", "clusterregistrationtokens", "-A"])?;
    expect_header(&table, "NAMESPACE NAME SECRET-NAME")?;
    ensure!(row(&table, 1, "new-token")? == "default new-token new-token", "{table}");
    Ok(())
}

/// Values differ per cluster as the customizations say.
pub(crate) fn values_differ_per_cluster(world: &mut World) -> Result<()> {
    for (member, color, replicas) in
        [(&world.members[0], "red", "1"), (&world.members[1], "blue", "3")]
    {
        let settings = member.get(kinds::CONFIG_MAP, "shop", "shop-settings")?;
        let data = settings.context("no settings")?["data"].clone();
        ensure!(data["color"] == color, "{}: {data}", member.name);
        ensure!(data["replicas"] == replicas, "{}: {data}", member.name);
    }
    Ok(())
}

/// The real helm lists the release, its values, manifest and history on a member.
pub(crate) fn helm_reads_the_release(world: &mut World) -> Result<()> {
    let member = &world.members[0];
    let list = member.helm(&["-n", "shop", "ls"])?;
    ensure!(list.contains("shop-1.2.3") && list.contains("deployed"), "{list}");
    let values = member.helm(&["-n", "shop", "get", "values", "shop"])?;
    ensure!(values.contains("color: red"), "{values}");
    let manifest = member.helm(&["-n", "shop", "get", "manifest", "shop"])?;
    ensure!(manifest.contains("name: shop-settings"), "{manifest}");
    let history = member.helm(&["-n", "shop", "history", "shop"])?;
    ensure!(history.contains("deployed"), "{history}");
    Ok(())
}

/// The content that each deployment of a bundle has, by namespace.
fn contents(world: &World, bundle: &str) -> Result<BTreeMap<String, String>> {
    let all = world.hub.list(kinds::DEPLOYMENT, "")?;
    let ours = all.iter().filter(|one| text(one, "/metadata/name") == bundle);
    Ok(ours
        .map(|one| {
            let id = text(one, "/spec/deploymentID").split(':').next().unwrap_or_default();
            (text(one, "/metadata/namespace").to_owned(), id.to_owned())
        })
        .collect())
}

/// A commit that changes one path gives only that bundle new content.
pub(crate) fn commit_changes_only_its_path(world: &mut World) -> Result<()> {
    let repo = repo_of(world)?;
    let before = (contents(world, "delivery-plain")?, contents(world, "delivery-chart")?);
    let chart = world.hub.get(kinds::BUNDLE, "default", "delivery-chart")?.context("no bundle")?;
    let commit = repo.commit("hello", &[("plain/plain.yaml", &PLAIN.replace("hello", "hi"))])?;
    wait_ready(world, gitrepo(&repo.url).key(), &commit, "4/4")?;
    for member in &world.members {
        wait_on(world, member, (kinds::CONFIG_MAP, "plain", "plain"), |map| {
            map["data"]["greeting"] == "hi"
        })?;
    }
    ensure!(contents(world, "delivery-plain")? != before.0, "delivery-plain kept its content");
    ensure!(contents(world, "delivery-chart")? == before.1, "delivery-chart got new content");
    let after = world.hub.get(kinds::BUNDLE, "default", "delivery-chart")?.context("no bundle")?;
    ensure!(
        after["metadata"]["generation"] == chart["metadata"]["generation"],
        "the bundle of the other path was written"
    );
    Ok(())
}

/// A manifest removed from the repository leaves the members; its neighbour stays.
pub(crate) fn removed_manifest_disappears(world: &mut World) -> Result<()> {
    let repo = repo_of(world)?;
    let commit = repo.commit("less", &[("plain/extra.yaml", "")])?;
    wait_ready(world, gitrepo(&repo.url).key(), &commit, "4/4")?;
    for member in &world.members {
        wait_gone(world, member, (kinds::CONFIG_MAP, "plain", "extra"))?;
        ensure!(member.get(kinds::CONFIG_MAP, "plain", "plain")?.is_some(), "plain went too");
    }
    Ok(())
}

/// A label of a Cluster takes deployments away and brings them back.
pub(crate) fn cluster_labels_move_deployments(world: &mut World) -> Result<()> {
    let member = &world.members[1];
    let cluster = cluster_of(world, member)?;
    let name = text(&cluster, "/metadata/name").to_owned();
    let label = |value: &str| {
        let words = ["-n", "default", "label", "--overwrite", "clusters.fleet.cattle.io"];
        world.hub.kubectl(&[&words[..], &[&name, value]].concat())
    };
    let key = (kinds::GIT_REPO, "default", "delivery");
    label("env=staging")?;
    wait_gone(world, member, (kinds::CONFIG_MAP, "plain", "plain"))?;
    wait_gone(world, member, (kinds::CONFIG_MAP, "shop", "shop-settings"))?;
    let two = |count: &'static str| {
        move |repo: &Value| text(repo, "/status/display/readyBundleDeployments") == count
    };
    world.wait_object(key, SOON, two("2/2"))?;
    ensure!(world.members[0].get(kinds::CONFIG_MAP, "plain", "plain")?.is_some(), "both lost it");
    label("env=dev")?;
    wait_on(world, member, (kinds::CONFIG_MAP, "plain", "plain"), |_| true)?;
    world.wait_object(key, SOON, two("4/4"))?;
    Ok(())
}

/// An object deleted by hand comes back, since the GitRepo asks for it; no new Helm revision.
pub(crate) fn deleted_object_comes_back(world: &mut World) -> Result<()> {
    let member = &world.members[0];
    let revision = member.helm(&["-n", "shop", "history", "shop", "-o", "json"])?;
    member.delete(kinds::CONFIG_MAP, "shop", "shop-settings")?;
    wait_on(world, member, (kinds::CONFIG_MAP, "shop", "shop-settings"), |map| {
        map["data"]["color"] == "red"
    })?;
    world.wait_object((kinds::GIT_REPO, "default", "delivery"), SOON, |repo| {
        has_condition(repo, "Ready", "True")
    })?;
    let after = member.helm(&["-n", "shop", "history", "shop", "-o", "json"])?;
    ensure!(revision == after, "the release changed:\n{revision}\n{after}");
    Ok(())
}

/// A manifest that is no YAML is shown with file and line on the GitRepo, which is not Ready
/// meanwhile; the other path deploys; the fix clears it.
pub(crate) fn invalid_manifest_names_file_and_line(world: &mut World) -> Result<()> {
    let repo = repo_of(world)?;
    let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: plain\n data: x\n";
    repo.commit(
        "broken",
        &[
            ("plain/plain.yaml", broken),
            ("chart/fleet.yaml", &CHART_FLEET_YAML.replace("replicas: 3", "replicas: 4")),
        ],
    )?;
    let gitrepo = gitrepo(&repo.url);
    let seen = world.wait_object(gitrepo.key(), SOON, |repo| {
        has_condition(repo, "Ready", "False")
            && condition(repo, "Ready").is_some_and(|ready| {
                let message = text(ready, "/message");
                message.contains("plain.yaml") && message.contains("line 5")
            })
    })?;
    let table = world.hub.kubectl(&["get", "gitrepo", "-n", "default", "delivery"])?;
    ensure!(row(&table, 0, "delivery")?.contains("plain.yaml"), "STATUS hides it: {table}\n{seen}");
    let member = &world.members[1];
    wait_on(world, member, (kinds::CONFIG_MAP, "shop", "shop-settings"), |map| {
        map["data"]["replicas"] == "4"
    })?;
    let old = member.get(kinds::CONFIG_MAP, "plain", "plain")?.context("plain is gone")?;
    ensure!(old["data"]["greeting"] == "hi", "{old}");
    let commit = repo.commit("fixed", &[("plain/plain.yaml", PLAIN)])?;
    wait_ready(world, gitrepo.key(), &commit, "4/4")?;
    wait_on(world, member, (kinds::CONFIG_MAP, "plain", "plain"), |map| {
        map["data"]["greeting"] == "hello"
    })?;
    Ok(())
}

/// Deleting the GitRepo removes everything it made, on hub and members, and nothing else.
pub(crate) fn deleted_gitrepo_removes_what_it_made(world: &mut World) -> Result<()> {
    let member = &world.members[0];
    member.kubectl(&["-n", "plain", "create", "configmap", "mine"])?;
    let others = world.hub.list(kinds::BUNDLE, "")?.len() - 2;
    world.hub.kubectl(&["-n", "default", "delete", "gitrepo", "delivery", "--timeout=30s"])?;
    for member in &world.members {
        wait_gone(world, member, (kinds::CONFIG_MAP, "plain", "plain"))?;
        wait_gone(world, member, (kinds::CONFIG_MAP, "shop", "shop-settings"))?;
        let releases = member.helm(&["ls", "-A", "-q"])?;
        ensure!(!releases.contains("shop"), "releases left on {}: {releases}", member.name);
    }
    world.wait_until("bundles and deployments to go", SOON, || {
        let bundles = world.hub.list(kinds::BUNDLE, "")?.len();
        let deployments = contents(world, "delivery-plain")?.len();
        Ok((bundles == others && deployments == 0).then_some(()))
    })?;
    ensure!(member.get(kinds::CONFIG_MAP, "plain", "mine")?.is_some(), "took the user's own");
    for member in &world.members {
        let namespace = member.get(kinds::NAMESPACE, "", "monitoring")?;
        ensure!(namespace.is_some(), "took the neighbour's namespace on {}", member.name);
    }
    Ok(())
}
