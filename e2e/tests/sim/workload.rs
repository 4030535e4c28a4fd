//! What people do during a run, and what they may expect of it.
//!
//! Owns the wish: repositories, clusters and what each must hold in the end. Start at
//! [`Workload::act`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use runtime::objects::{self, core, fleet};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::checkers::{CANARY, Wish};
use crate::git::Files;
use crate::world::{WORKSPACE, World};

const ENVS: [&str; 2] = ["dev", "prod"];
const PATHS_MAX: usize = 4;

/// One path of a repository: one bundle.
#[derive(Clone, Debug)]
struct Path {
    number: u64,
    kind: PathKind,
    /// At most one cluster changes at a time.
    is_careful: bool,
    /// Has a second object.
    has_extra: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathKind {
    Good,
    /// `fleet.yaml` cannot be read: the bundle stays what it was.
    BadBundle,
    /// An object cannot be read: the version cannot be applied.
    BadObject,
}

#[derive(Clone, Debug)]
struct Repo {
    /// `all`, or an env.
    target: &'static str,
    corrects_drift: bool,
    is_paused: bool,
    force: u64,
    paths: BTreeMap<String, Path>,
}

/// Everything people did.
pub(crate) struct Workload {
    chance: Chance,
    repos: BTreeMap<String, Repo>,
    /// Members in the fleet, with their env.
    members: BTreeMap<String, &'static str>,
    commit_count: u64,
    /// ConfigMaps that a hand changed where nobody puts them back.
    touched: BTreeSet<(String, String)>,
    committed: BTreeSet<String>,
    /// Members whose agents run although they belong to the fleet no more.
    leaving: Vec<String>,
}

impl Workload {
    pub(crate) fn new(chance: Chance) -> Self {
        Self {
            chance,
            repos: BTreeMap::new(),
            members: BTreeMap::new(),
            commit_count: 0,
            touched: BTreeSet::new(),
            committed: BTreeSet::new(),
            leaving: Vec::new(),
        }
    }

    /// A few members and a repository.
    pub(crate) async fn begin(&mut self, world: &mut World) -> Result<()> {
        for number in 0..2 + self.chance.below(2) {
            let letter = char::from(b'a' + u8::try_from(self.chance.below(26)).unwrap_or(0));
            self.join(world, format!("{letter}{number}")).await?;
        }
        self.add_repo(world).await
    }

    async fn join(&mut self, world: &mut World, name: String) -> Result<()> {
        let env = *self.chance.pick(&ENVS);
        world.join(&name, &json!({ "env": env })).await?;
        let member = world.member(&name);
        let foreign = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "foreign",
            "labels": {"made-by": "somebody-else"}}});
        objects::ensure(&member, "/api/v1/namespaces", &foreign).await?;
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"mine": "yes"},
            "metadata": {"name": "theirs", "labels": {"made-by": "somebody-else"}}});
        objects::ensure(&member, &core("foreign", "configmaps"), &object).await?;
        self.members.insert(name, env);
        Ok(())
    }

    /// One thing that somebody does.
    pub(crate) async fn act(&mut self, world: &mut World) -> Result<()> {
        match self.chance.below(20) {
            0..8 => self.commit(world),
            8 => self.add_repo(world).await?,
            9 => self.remove_repo(world).await?,
            10 => self.relabel(world).await?,
            11 => self.retarget(world).await?,
            12 => self.set_paused(world).await?,
            13 => self.force(world).await?,
            14..17 => self.touch(world).await?,
            17 => self.add_member(world).await?,
            18 => self.remove_member(world).await?,
            _ => self.delete_deployment(world).await?,
        }
        Ok(())
    }

    /// Ends what keeps the wish from being fulfilled.
    pub(crate) async fn end(&mut self, world: &mut World) -> Result<()> {
        for name in std::mem::take(&mut self.leaving) {
            world.retire(&name);
            // An agent that had not registered yet may have come back, as it may.
            for kind in ["clusterregistrations", "clusters"] {
                delete_of_client(world, kind, &name).await?;
            }
        }
        let names: Vec<String> = self.repos.keys().cloned().collect();
        for name in names {
            if self.repos[&name].is_paused {
                self.edit_repo(world, &name, |repo| repo.is_paused = false).await?;
            }
            world.repositories.set_down(&url(&name), false);
        }
        Ok(())
    }

    fn pick_repo(&mut self) -> Option<String> {
        let names: Vec<String> = self.repos.keys().cloned().collect();
        (!names.is_empty()).then(|| self.chance.pick(&names).clone())
    }

    fn pick_member(&mut self) -> Option<String> {
        let names: Vec<String> = self.members.keys().cloned().collect();
        (!names.is_empty()).then(|| self.chance.pick(&names).clone())
    }

    async fn add_repo(&mut self, world: &mut World) -> Result<()> {
        if self.repos.len() >= 3 {
            return Ok(());
        }
        self.commit_count += 1;
        let name = format!("r{}", self.commit_count);
        let repo = Repo {
            target: self.chance.pick::<&str>(&["all", "dev", "prod"]),
            corrects_drift: self.chance.percent(50),
            is_paused: false,
            force: 0,
            paths: BTreeMap::new(),
        };
        self.repos.insert(name.clone(), repo);
        for _ in 0..1 + self.chance.below(2) {
            self.change_paths(&name);
        }
        self.publish(world, &name);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth",
            "metadata": {"name": "git-login"}, "stringData": {"username": "u", "password": CANARY}});
        objects::ensure(&world.hub, &core(WORKSPACE, "secrets"), &secret).await?;
        self.write_repo(world, &name).await
    }

    async fn write_repo(&mut self, world: &World, name: &str) -> Result<()> {
        let repo = &self.repos[name];
        let target = match repo.target {
            "all" => json!({"clusterSelector": {}}),
            env => json!({"clusterSelector": {"matchLabels": {"env": env}}}),
        };
        let object = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "GitRepo",
            "metadata": {"name": name, "namespace": WORKSPACE},
            "spec": {"repo": url(name), "branch": "main", "paths": ["apps/*"],
                "paused": repo.is_paused, "forceSyncGeneration": repo.force,
                "clientSecretName": "git-login",
                "correctDrift": {"enabled": repo.corrects_drift}, "targets": [target]}});
        Ok(objects::ensure(&world.hub, &fleet(WORKSPACE, "gitrepos"), &object).await?)
    }

    async fn edit_repo(
        &mut self,
        world: &World,
        name: &str,
        change: impl FnOnce(&mut Repo),
    ) -> Result<()> {
        if let Some(repo) = self.repos.get_mut(name) {
            change(repo);
            self.write_repo(world, name).await?;
        }
        Ok(())
    }

    fn commit(&mut self, world: &World) {
        if let Some(name) = self.pick_repo() {
            self.change_paths(&name);
            self.publish(world, &name);
        }
    }

    /// Adds, changes, breaks, mends or removes a path.
    fn change_paths(&mut self, name: &str) {
        self.commit_count += 1;
        let (number, chance) = (self.commit_count, &mut self.chance);
        let Some(repo) = self.repos.get_mut(name) else { return };
        let path = format!("p{}", chance.below(PATHS_MAX));
        if repo.paths.len() > 1 && chance.percent(15) {
            repo.paths.remove(&path);
            return;
        }
        let known = repo.paths.get(&path);
        let kind = match chance.below(12) {
            // A bundle that never was good has no former version to stay.
            0 if known.is_some() => PathKind::BadBundle,
            1 => PathKind::BadObject,
            _ => PathKind::Good,
        };
        let is_careful = known.map_or_else(|| chance.percent(40), |known| known.is_careful);
        let has_extra = chance.percent(50);
        repo.paths.insert(path, Path { number, kind, is_careful, has_extra });
    }

    fn publish(&mut self, world: &World, name: &str) {
        let repo = &self.repos[name];
        let mut files = Files::from([("README.md".to_owned(), "A repository.\n".to_owned())]);
        for (path, held) in &repo.paths {
            let folder = format!("apps/{path}");
            let place = format!("{name}-{path}");
            let strategy = match held.is_careful {
                true => "rolloutStrategy:\n  maxUnavailable: 1\n",
                false => "",
            };
            let settings = match held.kind {
                PathKind::BadBundle => "namespace: [\n".to_owned(),
                _ => format!("namespace: {place}\n{strategy}"),
            };
            files.insert(format!("{folder}/fleet.yaml"), settings);
            let text = format!("{name}/{path}#{}", held.number);
            files
                .insert(format!("{folder}/text.yaml"), config_map(&bundle_name(name, path), &text));
            self.committed.insert(text);
            if held.has_extra {
                let text = format!("{name}/{path}/extra#{}", held.number);
                files.insert(format!("{folder}/extra.yaml"), config_map("extra", &text));
                self.committed.insert(text);
            }
            if held.kind == PathKind::BadObject {
                files.insert(format!("{folder}/bad.yaml"), "kind: [\n".to_owned());
            }
        }
        let id = world.repositories.commit(&url(name), &files);
        world.network.note(&format!("-- {name} is at {id}: {:?}", repo.paths));
    }

    async fn remove_repo(&mut self, world: &World) -> Result<()> {
        let Some(name) = self.pick_repo() else { return Ok(()) };
        self.repos.remove(&name);
        Ok(objects::delete(&world.hub, &format!("{}/{name}", fleet(WORKSPACE, "gitrepos"))).await?)
    }

    async fn relabel(&mut self, world: &World) -> Result<()> {
        let Some(name) = self.pick_member() else { return Ok(()) };
        let env = *self.chance.pick(&ENVS);
        self.members.insert(name.clone(), env);
        let path = format!("{}/{name}", fleet(WORKSPACE, "clusters"));
        Ok(objects::merge(&world.hub, &path, &json!({"metadata": {"labels": {"env": env}}}))
            .await?)
    }

    async fn retarget(&mut self, world: &World) -> Result<()> {
        let Some(name) = self.pick_repo() else { return Ok(()) };
        let target = self.chance.pick(&["all", "dev", "prod"]);
        self.edit_repo(world, &name, |repo| repo.target = target).await
    }

    async fn set_paused(&mut self, world: &World) -> Result<()> {
        let Some(name) = self.pick_repo() else { return Ok(()) };
        self.edit_repo(world, &name, |repo| repo.is_paused = !repo.is_paused).await
    }

    async fn force(&mut self, world: &World) -> Result<()> {
        let Some(name) = self.pick_repo() else { return Ok(()) };
        self.edit_repo(world, &name, |repo| repo.force += 1).await
    }

    /// A hand changes or deletes what we deployed.
    async fn touch(&mut self, world: &World) -> Result<()> {
        let (Some(member), Some(name)) = (self.pick_member(), self.pick_repo()) else {
            return Ok(());
        };
        let repo = &self.repos[&name];
        let paths: Vec<String> = repo.paths.keys().cloned().collect();
        if paths.is_empty() {
            return Ok(());
        }
        let path = self.chance.pick(&paths).clone();
        let (namespace, object) = (format!("{name}-{path}"), bundle_name(&name, &path));
        let is_change = self.chance.percent(70);
        let at = format!("{}/{object}", core(&namespace, "configmaps"));
        let member = world.member(&member);
        if objects::get(&member, &at).await?.is_none() {
            return Ok(());
        }
        if !self.repos[&name].corrects_drift {
            self.touched.insert((namespace, object));
        }
        match is_change {
            true => objects::merge(&member, &at, &json!({"data": {"text": "by hand"}})).await?,
            false => objects::delete(&member, &at).await?,
        }
        Ok(())
    }

    async fn add_member(&mut self, world: &mut World) -> Result<()> {
        if self.members.len() >= 4 {
            return Ok(());
        }
        self.commit_count += 1;
        let name = format!("m{}", self.commit_count);
        self.join(world, name).await
    }

    async fn remove_member(&mut self, world: &mut World) -> Result<()> {
        if self.members.len() < 3 {
            return Ok(());
        }
        let Some(name) = self.pick_member() else { return Ok(()) };
        self.members.remove(&name);
        match self.chance.percent(50) {
            true => world.retire(&name),
            false => self.leaving.push(name.clone()),
        }
        Ok(objects::delete(&world.hub, &format!("{}/{name}", fleet(WORKSPACE, "clusters"))).await?)
    }

    /// Somebody deletes a BundleDeployment; it has to come back.
    async fn delete_deployment(&mut self, world: &World) -> Result<()> {
        let (Some(member), Some(name)) = (self.pick_member(), self.pick_repo()) else {
            return Ok(());
        };
        let path = format!("{}/{member}", fleet(WORKSPACE, "clusters"));
        let cluster = objects::get(&world.hub, &path).await?;
        let home = cluster.as_ref().and_then(|c| c["status"]["namespace"].as_str());
        let paths: Vec<String> = self.repos[&name].paths.keys().cloned().collect();
        let (Some(home), false) = (home, paths.is_empty()) else { return Ok(()) };
        let path = self.chance.pick(&paths).clone();
        let bundle = bundle_name(&name, &path);
        Ok(objects::delete(&world.hub, &format!("{}/{bundle}", fleet(home, "bundledeployments")))
            .await?)
    }

    /// What must be there in the end.
    pub(crate) fn wish(&self) -> Wish {
        let mut wish = Wish {
            members: self.members.keys().cloned().collect(),
            committed: self.committed.clone(),
            open: self.touched.clone(),
            ..Wish::default()
        };
        for (name, repo) in &self.repos {
            if repo.paths.values().any(|held| held.kind == PathKind::BadBundle) {
                wish.kept.insert(name.clone());
            }
            for (path, held) in &repo.paths {
                let namespace = format!("{name}-{path}");
                let own = (namespace.clone(), bundle_name(name, path));
                let extra = (namespace.clone(), "extra".to_owned());
                if held.kind != PathKind::Good || self.touched.contains(&own) {
                    wish.open.extend([own, extra]);
                    continue;
                }
                let members = self.members.iter();
                let matching =
                    members.filter(|(_, env)| matches!(repo.target, "all") || repo.target == **env);
                for (member, _) in matching {
                    let texts = wish.texts.entry(member.clone()).or_default();
                    texts.insert(own.clone(), format!("{name}/{path}#{}", held.number));
                    if held.has_extra {
                        texts.insert(extra.clone(), format!("{name}/{path}/extra#{}", held.number));
                    }
                }
            }
        }
        wish
    }

    /// A repository's server, to take it away for a while.
    pub(crate) fn some_url(&mut self) -> Option<String> {
        self.pick_repo().map(|name| url(&name))
    }

    /// A member, to cut it off for a while.
    pub(crate) fn some_member(&mut self) -> Option<String> {
        self.pick_member()
    }
}

/// Deletes what a client left in the workspace.
async fn delete_of_client(world: &World, kind: &str, client: &str) -> Result<()> {
    let path = fleet(WORKSPACE, kind);
    let list = objects::get(&world.hub, &path).await?.unwrap_or_default();
    for item in list["items"].as_array().into_iter().flatten() {
        if item["spec"]["clientID"] == client {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            objects::delete(&world.hub, &format!("{path}/{name}")).await?;
        }
    }
    Ok(())
}

fn url(name: &str) -> String {
    format!("http://git/{name}")
}

fn bundle_name(repo: &str, path: &str) -> String {
    format!("{repo}-apps-{path}")
}

fn config_map(name: &str, text: &str) -> String {
    let object: Value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"text": text}});
    goyaml::to_string(&object)
}
