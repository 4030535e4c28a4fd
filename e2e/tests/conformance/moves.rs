//! What must not be lost on the way: data under a renamed path; and charts from elsewhere.

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::Kind;
use e2e::peers::workspace;
use e2e::world::{World, kinds};

use crate::support::{GitRepo, SOON, text, wait_gone, wait_on, wait_ready};

const CLAIMS: Kind = Kind::core("persistentvolumeclaims");

const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
";

/// A path that is renamed in Git is another bundle with another release: the claim it deployed is
/// handed over, not deleted and made again.
pub(crate) fn renamed_path_keeps_its_volume_claim(world: &mut World) -> Result<()> {
    let repo = world.git.repo("moving")?;
    repo.commit("before", &[("before/claim.yaml", CLAIM)])?;
    let gitrepo = GitRepo {
        namespace: "default",
        name: "moving",
        repo: &repo.url,
        paths: &["*"],
        more: "targets: [{name: dev, clusterSelector: {matchLabels: {env: dev}}}]",
    };
    gitrepo.apply(world)?;
    let key = (CLAIMS, "default", "data");
    let mut uids = Vec::new();
    for member in &world.members {
        let claim = wait_on(world, member, key, |_| true)?;
        uids.push(text(&claim, "/metadata/uid").to_owned());
    }
    repo.commit("after", &[("before/claim.yaml", ""), ("after/claim.yaml", CLAIM)])?;
    world.wait_until("the old bundle to go", SOON, || {
        let old = world.hub.get(kinds::BUNDLE, "default", "moving-before")?;
        let new = world.hub.get(kinds::BUNDLE, "default", "moving-after")?;
        Ok((old.is_none() && new.is_some()).then_some(()))
    })?;
    for (member, uid) in world.members.iter().zip(&uids) {
        let owner = "/metadata/annotations/meta.helm.sh~1release-name";
        let claim = wait_on(world, member, key, |claim| text(claim, owner) == "moving-after")?;
        ensure!(text(&claim, "/metadata/uid") == uid, "the claim was made anew: {claim}");
        ensure!(claim["metadata"]["deletionTimestamp"].is_null(), "the claim goes: {claim}");
        world.wait_until("the old release to go", SOON, || {
            let releases = member.helm(&["ls", "-A", "-q"])?;
            Ok((!releases.contains("moving-before")).then_some(()))
        })?;
    }
    world.hub.kubectl(&["-n", "default", "delete", "gitrepo", "moving", "--timeout=30s"])?;
    for member in &world.members {
        wait_gone(world, member, key)?;
    }
    Ok(())
}

const CHART: &str = "apiVersion: v2\nname: nginx\nversion: 19.0.2\n";
const TEMPLATE: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {replicas: {{ .Values.replicaCount | quote }}}
";

/// Step 7: a chart of a Helm repository, in the version that fleet.yaml names, with another values
/// file for each kind of cluster; helm on the members agrees.
pub(crate) fn chart_of_a_helm_repository_reaches_members(world: &mut World) -> Result<()> {
    let charts = world.git.charts();
    let source = world.folder.join("nginx");
    std::fs::create_dir_all(source.join("templates"))?;
    std::fs::create_dir_all(&charts)?;
    std::fs::write(source.join("Chart.yaml"), CHART)?;
    std::fs::write(source.join("values.yaml"), "replicaCount: 0\n")?;
    std::fs::write(source.join("templates/map.yaml"), TEMPLATE)?;
    let (from, to) = (source.display().to_string(), charts.display().to_string());
    world.hub.helm(&["package", &from, "--destination", &to])?;
    world.hub.helm(&["repo", "index", &to])?;
    let example = workspace().join("examples/tutorial");
    let text = std::fs::read_to_string(example.join("external-helm/fleet.yaml"))?;
    let here = format!("{}/charts", world.git.url);
    let fleet_yaml = text.replace("https://charts.example.com", &here);
    ensure!(fleet_yaml.contains(&here), "the example names another repository: {text}");
    let repo = world.git.repo("external")?;
    repo.copy(&example, ".")?;
    let commit =
        repo.commit("a chart from elsewhere", &[("external-helm/fleet.yaml", &fleet_yaml)])?;
    let gitrepo = GitRepo {
        namespace: "default",
        name: "external",
        repo: &repo.url,
        paths: &["external-helm"],
        more: "targets: [{name: edge, clusterSelector: {matchLabels: {type: edge}}}, \
               {name: alpha, clusterSelector: {matchLabels: {type: alpha}}}]",
    };
    gitrepo.apply(world)?;
    wait_ready(world, gitrepo.key(), &commit, "2/2")?;
    for (member, count) in world.members.iter().zip(["1", "2"]) {
        let list = member.helm(&["-n", "nginx", "ls"])?;
        ensure!(list.contains("nginx-19.0.2") && list.contains("deployed"), "{list}");
        let values = member.helm(&["-n", "nginx", "get", "values", "nginx"])?;
        ensure!(values.contains(&format!("replicaCount: {count}")), "{}: {values}", member.name);
        let map = member.get(kinds::CONFIG_MAP, "nginx", "nginx")?.context("no map")?;
        ensure!(map["data"]["replicas"] == count, "{map}");
    }
    Ok(())
}
