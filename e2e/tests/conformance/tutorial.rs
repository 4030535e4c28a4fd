//! What a new user does on day one: the tutorial, steps 1 to 6.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use e2e::peers::workspace;
use e2e::world::{SYSTEM, World, kinds};
use serde_json::{Value, json};

use crate::readme::follow;
use crate::support::{
    GitRepo, SOON, cluster_of, condition, expect_header, has_condition, row, text, wait_gone,
    wait_on, wait_ready,
};

/// Step 1: with no values at all, the hub comes up and deploys an agent to its own cluster.
pub(crate) fn hub_comes_up_without_values(world: &mut World) -> Result<()> {
    follow(world, &world.hub, "A hub.", "")?;
    let hub = &world.hub;
    for app in ["fleet-controller", "gitjob"] {
        let pods = hub.kubectl(&["-n", SYSTEM, "get", "pods", "-l", &format!("app={app}")])?;
        ensure!(pods.contains("Running"), "{app}: {pods}");
    }
    for (name, port) in
        [("gitjob", 80), ("monitoring-fleet-controller", 8080), ("monitoring-gitjob", 8081)]
    {
        let service = hub.get(kinds::SERVICE, SYSTEM, name)?.context("no service")?;
        ensure!(service["spec"]["ports"][0]["port"] == port, "{name}: {service}");
    }
    wait_on(world, hub, (kinds::WORKLOAD, SYSTEM, "fleet-agent"), |deployment| {
        deployment["status"]["readyReplicas"] == 1
    })?;
    let within = Duration::from_secs(60);
    world.wait_object((kinds::CLUSTER, "fleet-local", "local"), within, |cluster| {
        text(cluster, "/status/display/readyBundles") == "1/1"
            && !text(cluster, "/status/agent/lastSeen").is_empty()
    })?;
    Ok(())
}

/// Step 2: a GitRepo without targets goes to the local cluster, and every table says so.
pub(crate) fn first_repo_reaches_the_local_cluster(world: &mut World) -> Result<()> {
    let repo = world.git.repo("tutorial")?;
    repo.copy(&workspace().join("examples/tutorial"), ".")?;
    let commit = repo.push("the tutorial")?;
    let gitrepo = GitRepo {
        namespace: "fleet-local",
        name: "simple-namespace",
        repo: &repo.url,
        paths: &["namespace"],
        more: "",
    };
    follow(world, &world.hub, "A first repository", &repo.url)?;
    wait_ready(world, gitrepo.key(), &commit, "1/1")?;
    let hub = &world.hub;
    ensure!(hub.get(kinds::NAMESPACE, "", "monitoring")?.is_some(), "no namespace monitoring");

    let table = hub.kubectl(&["get", "gitrepo", "-n", "fleet-local"])?;
    expect_header(&table, "NAME REPO COMMIT BUNDLEDEPLOYMENTS-READY STATUS")?;
    let wanted = format!("simple-namespace {} {commit} 1/1", repo.url);
    ensure!(row(&table, 0, "simple-namespace")? == wanted, "{table}");
    let table = hub.kubectl(&["get", "bundles.fleet.cattle.io", "-n", "fleet-local"])?;
    expect_header(&table, "NAME BUNDLEDEPLOYMENTS-READY STATUS")?;
    for bundle in ["fleet-agent-local", "simple-namespace-namespace"] {
        ensure!(row(&table, 0, bundle)? == format!("{bundle} 1/1"), "{table}");
    }
    world.wait_object((kinds::CLUSTER, "fleet-local", "local"), SOON, |cluster| {
        text(cluster, "/status/display/readyBundles") == "2/2"
    })?;
    let table = hub.kubectl(&["get", "clusters.fleet.cattle.io", "-A"])?;
    expect_header(&table, "NAMESPACE NAME BUNDLES-READY LAST-SEEN STATUS")?;
    ensure!(row(&table, 1, "local")?.starts_with("fleet-local local 2/2 2"), "{table}");
    let group = (kinds::CLUSTER_GROUP, "fleet-local", "default");
    world.wait_object(group, SOON, |group| text(group, "/status/display/readyBundles") == "2/2")?;
    let table = hub.kubectl(&["get", "clustergroups", "-A"])?;
    expect_header(&table, "NAMESPACE NAME CLUSTERS-READY BUNDLES-READY STATUS")?;
    ensure!(row(&table, 1, "default")? == "fleet-local default 1/1 2/2", "{table}");
    check_bundle(world, &commit)
}

/// The Bundle of step 2, field by field, and the namespaces there are by now.
fn check_bundle(world: &World, commit: &str) -> Result<()> {
    let key = (kinds::BUNDLE, "fleet-local", "simple-namespace-namespace");
    let bundle = world.hub.get(key.0, key.1, key.2)?.context("no bundle")?;
    ensure!(
        bundle["metadata"]["finalizers"] == json!(["fleet.cattle.io/bundle-finalizer"]),
        "{bundle}"
    );
    let labels = &bundle["metadata"]["labels"];
    ensure!(labels["fleet.cattle.io/commit"] == commit, "{labels}");
    ensure!(labels["fleet.cattle.io/repo-name"] == "simple-namespace", "{labels}");
    let spec = &bundle["spec"];
    // The tutorial's own listing has `ignore: {}` here and in the target: it was made with an older
    // Fleet. What Fleet 0.16 wrote (observed) has not.
    ensure!(spec["resources"].as_array().map(Vec::len) == Some(1), "{spec}");
    ensure!(spec["resources"][0]["name"] == "namespace.yaml", "{spec}");
    ensure!(text(spec, "/resources/0/content").contains("kind: Namespace"), "{spec}");
    let restriction = json!([{ "clusterGroup": "default", "name": "default" }]);
    ensure!(spec["targetRestrictions"] == restriction, "{spec}");
    let targets = json!([{ "clusterGroup": "default", "name": "default" }]);
    ensure!(spec["targets"] == targets, "{spec}");
    for namespace in [
        SYSTEM,
        "cattle-fleet-clusters-system",
        "cluster-fleet-local-local-1a3d67d0a899",
        "fleet-local",
    ] {
        ensure!(world.hub.get(kinds::NAMESPACE, "", namespace)?.is_some(), "no {namespace}");
    }
    Ok(())
}

const TOKEN: &str = "
apiVersion: fleet.cattle.io/v1alpha1
kind: ClusterRegistrationToken
metadata: {name: new-token, namespace: default}
spec: {ttl: 240h}
";

/// Step 5, the hub's half: a token that cannot work, because nobody said where the hub is, says so.
pub(crate) fn token_without_an_address_says_so(world: &mut World) -> Result<()> {
    world.hub.apply(TOKEN)?;
    let key = (kinds::TOKEN, "default", "new-token");
    let named = |token: &Value| {
        let conditions = token["status"]["conditions"].as_array();
        conditions.is_some_and(|all| {
            all.iter().any(|one| {
                one["status"] == "False" && text(one, "/message").contains("apiServerURL")
            })
        })
    };
    world.wait_object(key, SOON, named)?;
    Ok(())
}

/// Step 3: told where the hub is, the token's Secret holds the values for the agent's chart.
pub(crate) fn token_gives_values(world: &mut World) -> Result<()> {
    follow(world, &world.hub, "A token for other clusters.", "")?;
    let key = (kinds::SECRET, "default", "new-token");
    wait_on(world, &world.hub, key, |secret| {
        secret["type"] == "fleet.cattle.io/cluster-registration-values"
            && values(secret).is_ok_and(|values| values.contains(&world.hub.server))
    })?;
    let table = world.hub.kubectl(&["get", "secret", "new-token"])?;
    let line = row(&table, 0, "new-token")?;
    ensure!(
        line.starts_with("new-token fleet.cattle.io/cluster-registration-values 1 "),
        "{table}"
    );
    Ok(())
}

/// What a user decodes with `base64 -d`.
fn values(secret: &Value) -> Result<String> {
    let data = text(secret, "/data/values");
    Ok(String::from_utf8(base64::engine::general_purpose::STANDARD.decode(data)?)?)
}

/// Step 5, the agent's half: a CA that does not parse is named, with the Secret it is in and what
/// to do, in the log, in an Event and by an exit.
pub(crate) fn agent_names_a_bad_ca(world: &mut World) -> Result<()> {
    let member = &world.members[1];
    let chart = workspace().join("charts/fleet-agent").display().to_string();
    let secret = world.hub.get(kinds::SECRET, "default", "new-token")?.context("no token")?;
    let file = world.folder.join("bad.yaml");
    std::fs::write(&file, values(&secret)?)?;
    let file = file.display().to_string();
    let words = ["install", "-n", SYSTEM, "--create-namespace", "--values", &file];
    let words = [&words[..], &["--set", "apiServerCA=none", "fleet-agent", &chart]].concat();
    member.helm(&words)?;
    let named = |text: &str| text.contains("apiServerCA") && text.contains("fleet-agent-bootstrap");
    world.wait_until("the log to name the CA", SOON, || {
        Ok(named(&member.hostlet.logs("fleet-agent")).then_some(()))
    })?;
    world.wait_until("an event that names the CA", SOON, || {
        Ok(named(&member.kubectl(&["get", "events", "-n", SYSTEM, "-o", "wide"])?).then_some(()))
    })?;
    world.wait_until("the pod to restart", SOON, || {
        let pods = member.kubectl(&[
            "get",
            "pods",
            "-n",
            SYSTEM,
            "-l",
            "app=fleet-agent",
            "-o",
            "jsonpath={.items[*].status.containerStatuses[0].lastState.terminated.exitCode}",
        ])?;
        Ok((!pods.trim().is_empty() && pods.trim() != "0").then_some(()))
    })?;
    member.helm(&["uninstall", "-n", SYSTEM, "--wait", "fleet-agent"])?;
    Ok(())
}

/// Step 4: agents register with the token and the labels that the user gave them.
pub(crate) fn members_register_with_the_token(world: &mut World) -> Result<()> {
    follow(world, &world.members[0], "A member", "")?;
    let secret = world.hub.get(kinds::SECRET, "default", "new-token")?.context("no token")?;
    let file = world.folder.join("more-values.yaml");
    std::fs::write(&file, values(&secret)? + "labels:\n  env: dev\n  type: alpha\n")?;
    let file = file.display().to_string();
    world.install(&world.members[1], "fleet-agent", &["--values", &file])?;
    for member in &world.members {
        world.wait_until(&format!("{} to be 1/1", member.name), SOON, || {
            let cluster = cluster_of(world, member)?;
            Ok((text(&cluster, "/status/display/readyBundles") == "1/1").then_some(()))
        })?;
        let log = member.hostlet.logs("fleet-agent").to_lowercase();
        ensure!(log.contains("regist"), "the log says nothing of the registration:\n{log}");
    }
    let table = world.hub.kubectl(&["get", "clusters.fleet.cattle.io", "-A"])?;
    for member in &world.members {
        let cluster = cluster_of(world, member)?;
        let name = text(&cluster, "/metadata/name");
        let digits = name.strip_prefix("cluster-").unwrap_or_default();
        let hex = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        ensure!(hex, "{name} is not cluster-<12 hex digits>");
        let wanted = format!("default {name} 1/1 2");
        ensure!(row(&table, 1, name)?.starts_with(&wanted), "{table}");
    }
    Ok(())
}

/// Step 6: a selector by label brings the namespace to the members within seconds.
pub(crate) fn repo_reaches_members_by_label(world: &mut World) -> Result<()> {
    let repo = world.git.repo("downstream")?;
    repo.copy(&workspace().join("examples/tutorial"), ".")?;
    let commit = repo.push("the tutorial")?;
    let gitrepo = GitRepo {
        namespace: "default",
        name: "downstream",
        repo: &repo.url,
        paths: &["namespace"],
        more: "",
    };
    follow(world, &world.hub, "A repository for members", &repo.url)?;
    let repo = wait_ready(world, gitrepo.key(), &commit, "2/2")?;
    ensure!(condition(&repo, "Ready").is_some(), "{repo}");
    ensure!(has_condition(&repo, "Accepted", "True"), "{repo}");
    for member in &world.members {
        let namespace = member.get(kinds::NAMESPACE, "", "monitoring")?;
        ensure!(namespace.is_some(), "no namespace monitoring on {}", member.name);
    }
    Ok(())
}

/// Step 8: a workspace namespace that the user made has tokens of its own, and its bundles go where
/// a mapping allows.
pub(crate) fn workspace_namespace_is_the_users_own(world: &mut World) -> Result<()> {
    let hub = &world.hub;
    hub.kubectl(&["create", "namespace", WORKSPACE])?;
    hub.apply(&TOKEN.replace("namespace: default", &format!("namespace: {WORKSPACE}")))?;
    wait_on(world, hub, (kinds::SECRET, WORKSPACE, "new-token"), |secret| {
        values(secret)
            .is_ok_and(|values| values.contains(&format!("clusterNamespace: {WORKSPACE}")))
    })?;

    let repo = world.git.repo("workspace")?;
    repo.write(&[("maps/map.yaml", MAP)])?;
    let commit = repo.push("a map")?;
    let all = "targets: [{clusterSelector: {matchLabels: {env: dev}}}]";
    let gitrepo =
        GitRepo { namespace: WORKSPACE, name: "own", repo: &repo.url, paths: &["maps"], more: all };
    gitrepo.apply(world)?;
    // There is no cluster in this namespace, and the GitRepo says so.
    world.wait_object(gitrepo.key(), SOON, |repo| {
        text(repo, "/status/display/message").contains("no cluster of namespace fleet-default")
    })?;
    hub.apply(&MAPPING.replace("WORKSPACE", WORKSPACE))?;
    wait_ready(world, gitrepo.key(), &commit, "2/2")?;
    for member in &world.members {
        wait_on(world, member, (kinds::CONFIG_MAP, "default", "own"), |map| {
            map["data"]["from"] == WORKSPACE
        })?;
    }
    hub.kubectl(&["delete", "gitrepo", "own", "-n", WORKSPACE])?;
    for member in &world.members {
        wait_gone(world, member, (kinds::CONFIG_MAP, "default", "own"))?;
    }
    Ok(())
}

const WORKSPACE: &str = "fleet-default";
const MAPPING: &str = "
apiVersion: fleet.cattle.io/v1alpha1
kind: BundleNamespaceMapping
metadata: {name: to-default, namespace: WORKSPACE}
bundleSelector: {matchLabels: {fleet.cattle.io/repo-name: own}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}
";
const MAP: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: own}, data: {from: fleet-default}}\n";
