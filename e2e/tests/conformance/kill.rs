//! A process killed in mid-rollout changes nothing in the end state.

use anyhow::{Result, ensure};
use e2e::world::{World, kinds};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{GitRepo, wait_on, wait_ready};

/// How many bundles are on their way while a process is killed.
const PATHS: usize = 12;

fn manifest(index: usize, round: usize) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kill-{index}, namespace: default}}\n\
         data: {{round: '{round}'}}\n"
    )
}

/// Each process in turn is killed while a commit that touches every path is on its way.
pub(crate) fn killed_processes_change_nothing(world: &mut World) -> Result<()> {
    let repo = world.git.repo("kill")?;
    let names: Vec<String> = (0..PATHS).map(|index| format!("p{index}")).collect();
    let commit_round = |round: usize| {
        for (index, name) in names.iter().enumerate() {
            repo.write(&[(&format!("{name}/map.yaml"), &manifest(index, round))])?;
        }
        repo.push(&format!("round {round}"))
    };
    let commit = commit_round(0)?;
    let paths: Vec<&str> = names.iter().map(String::as_str).collect();
    let gitrepo = GitRepo {
        namespace: "default",
        name: "kill",
        repo: &repo.url,
        paths: &paths,
        more: "targets: [{name: dev, clusterSelector: {matchLabels: {env: dev}}}]",
    };
    gitrepo.apply(world)?;
    let all = format!("{0}/{0}", PATHS * 2);
    wait_ready(world, gitrepo.key(), &commit, &all)?;
    for (round, app) in ["gitjob", "fleet-controller", "fleet-agent"].into_iter().enumerate() {
        let commit = commit_round(round + 1)?;
        let value = (round + 1).to_string();
        let arrived = |map: &Value| map["data"]["round"] == value.as_str();
        let first = format!("kill-{}", round * 3);
        let victim = if app == "fleet-agent" { &world.members[0] } else { &world.hub };
        if app == "gitjob" {
            // Before anything of the commit can have arrived.
            ensure!(victim.hostlet.signal(app, Signal::KILL) > 0, "no process {app}");
        }
        wait_on(world, &world.members[1], (kinds::CONFIG_MAP, "default", &first), arrived)?;
        if app != "gitjob" {
            ensure!(victim.hostlet.signal(app, Signal::KILL) > 0, "no process {app}");
        }
        wait_ready(world, gitrepo.key(), &commit, &all)?;
        for member in &world.members {
            for index in 0..PATHS {
                let key = (kinds::CONFIG_MAP, "default", &*format!("kill-{index}"));
                wait_on(world, member, key, arrived)?;
            }
        }
    }
    let bundles = world.hub.list(kinds::BUNDLE, "default")?;
    let ours = bundles
        .iter()
        .filter(|bundle| bundle["metadata"]["labels"]["fleet.cattle.io/repo-name"] == "kill");
    ensure!(ours.count() == PATHS, "bundles were lost or doubled");
    Ok(())
}
