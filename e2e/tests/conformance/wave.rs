//! Commits that touch every path of a repository, so that there is a rollout to disturb.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::githttp::Repo;
use e2e::world::{World, kinds};
use serde_json::Value;

use crate::support::{GitRepo, has_condition, text, wait_on, wait_ready};

/// How many bundles are on their way at once.
const PATHS: usize = 12;

/// Longest wait after an outage.
const RECOVERY: Duration = Duration::from_secs(120);

/// A repository with GitRepos for the members and for the hub's own cluster.
pub(crate) struct Wave {
    name: &'static str,
    repo: Repo,
    round: usize,
}

/// One commit on its way.
pub(crate) struct Round {
    pub(crate) commit: String,
    value: String,
}

impl Round {
    /// Whether a map has what the commit says.
    pub(crate) fn arrived(&self, map: &Value) -> bool {
        map["data"]["round"] == self.value.as_str()
    }
}

impl Wave {
    /// Deploys the first round everywhere.
    pub(crate) fn start(world: &World, name: &'static str) -> Result<Self> {
        let mut wave = Self { name, repo: world.git.repo(name)?, round: 0 };
        let first = wave.commit()?;
        wave.members().apply(world)?;
        wave.local().apply(world)?;
        wave.settle(world, &first)?;
        Ok(wave)
    }

    fn git_repo(&self, namespace: &'static str, more: &'static str) -> GitRepo<'_> {
        GitRepo { namespace, name: self.name, repo: &self.repo.url, paths: &["p*"], more }
    }

    fn members(&self) -> GitRepo<'_> {
        let more = "targets: [{name: dev, clusterSelector: {matchLabels: {env: dev}}}]";
        self.git_repo("default", more)
    }

    fn local(&self) -> GitRepo<'_> {
        self.git_repo("fleet-local", "")
    }

    /// The map of one path on a cluster.
    pub(crate) fn map(&self, path: usize) -> String {
        format!("{}-{path}", self.name)
    }

    /// Writes something new to every path.
    pub(crate) fn commit(&mut self) -> Result<Round> {
        self.round += 1;
        let value = self.round.to_string();
        for path in 0..PATHS {
            let text = format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {}, namespace: default}}\n\
                 data: {{round: '{value}'}}\n",
                self.map(path)
            );
            self.repo.write(&[(&format!("p{path}/map.yaml"), &text)])?;
        }
        Ok(Round { commit: self.repo.push(&format!("round {value}"))?, value })
    }

    /// Waits, longer than usual, until everything is ready at a round: processes that lost their
    /// API server come back after pauses of up to a minute.
    pub(crate) fn recover(&self, world: &World, round: &Round) -> Result<()> {
        let is_there = |repo: &Value| {
            text(repo, "/status/commit") == round.commit && has_condition(repo, "Ready", "True")
        };
        for key in [self.members().key(), self.local().key()] {
            world.wait_object(key, RECOVERY, is_there)?;
        }
        self.settle(world, round)
    }

    /// Waits until a round is everywhere, and everything says so.
    pub(crate) fn settle(&self, world: &World, round: &Round) -> Result<()> {
        let (all, local) = (format!("{0}/{0}", PATHS * 2), format!("{PATHS}/{PATHS}"));
        wait_ready(world, self.members().key(), &round.commit, &all)?;
        wait_ready(world, self.local().key(), &round.commit, &local)?;
        for cluster in world.members.iter().chain([&world.hub]) {
            for path in 0..PATHS {
                let key = (kinds::CONFIG_MAP, "default", &*self.map(path));
                wait_on(world, cluster, key, |map| round.arrived(map))?;
            }
        }
        for namespace in ["default", "fleet-local"] {
            let bundles = world.hub.list(kinds::BUNDLE, namespace)?;
            let label = "fleet.cattle.io/repo-name";
            let ours = bundles.iter().filter(|b| b["metadata"]["labels"][label] == self.name);
            ensure!(ours.count() == PATHS, "bundles of {namespace} were lost or doubled");
        }
        Ok(())
    }
}
