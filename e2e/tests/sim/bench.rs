//! Figures of the simulation: how fast and how big a whole fleet in one process is.
//!
//! Owns two worlds in real time: 100 members with their agents, and 1,000 Clusters without. Start at
//! [`bench`]; `cargo xtask bench-sim` runs it optimized.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use e2e::measure::{peak, resident};
use runtime::objects::{self, fleet};
use serde_json::{Value, json};

use crate::git::Files;
use crate::say;
use crate::world::{WORKSPACE, World};

const LIMIT: Duration = Duration::from_secs(180);

/// Measures both worlds and says met or MISSED.
///
/// # Errors
/// When a world does not get where it shall.
pub(crate) fn bench() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let members = number("FLEET_MEMBERS", 100);
    let clusters = number("FLEET_CLUSTERS", 1_000);
    runtime.block_on(members_with_agents(members, 20))?;
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(clusters_without_agents(clusters, 100))
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

fn repo(paths_count: usize) -> (Files, Value) {
    let mut files = Files::new();
    for number in 0..paths_count {
        let folder = format!("apps/p{number}");
        files.insert(format!("{folder}/fleet.yaml"), format!("namespace: p{number}\n"));
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
            "data": {"number": number.to_string()}});
        files.insert(format!("{folder}/settings.yaml"), goyaml::to_string(&map));
        let labels = json!({"app": "web"});
        let pod = json!({"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
        let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"selector": {"matchLabels": labels}, "template": pod}});
        files.insert(format!("{folder}/web.yaml"), goyaml::to_string(&web));
    }
    let object = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "GitRepo",
        "metadata": {"name": "all", "namespace": WORKSPACE},
        "spec": {"repo": "http://git/all", "branch": "main", "paths": ["apps/*"],
            "targets": [{"clusterSelector": {}}]}});
    (files, object)
}

/// Waits until a number of the GitRepo's summary is `wanted`.
async fn await_summary(world: &mut World, field: &str, wanted: usize) -> Result<Duration> {
    let started = Instant::now();
    let path = format!("{}/all", fleet(WORKSPACE, "gitrepos"));
    loop {
        let object = objects::get(&world.hub, &path).await?.context("the gitrepo is gone")?;
        let found = object["status"]["summary"][field].as_u64().unwrap_or(0);
        if usize::try_from(found)? == wanted {
            return Ok(started.elapsed());
        }
        if started.elapsed() > LIMIT {
            let waiting = unready(world).await?;
            bail!("{found} of {wanted} {field} after {LIMIT:?}; not ready: {waiting}");
        }
        world.pass(Duration::from_millis(50)).await?;
    }
}

/// The first few deployments that are not ready, as their statuses tell it.
async fn unready(world: &World) -> Result<String> {
    let path = "/apis/fleet.cattle.io/v1alpha1/bundledeployments";
    let list = objects::get(&world.hub, path).await?.unwrap_or_default();
    let deployments = list["items"].as_array().into_iter().flatten();
    let unready = deployments.filter(|deployment| deployment["status"]["ready"] != true);
    let told = unready.take(5).map(|deployment| {
        let metadata = &deployment["metadata"];
        format!("\n{}/{}: {}", metadata["namespace"], metadata["name"], deployment["status"])
    });
    Ok(told.collect())
}

async fn members_with_agents(members_count: usize, bundles_count: usize) -> Result<()> {
    let started = Instant::now();
    let mut world = World::start_real().await?;
    say(&format!("hub, controller and gitjob started in {:.0?}", started.elapsed()));
    let own = std::process::id();
    let before = resident(own)?;
    for number in 0..members_count {
        world.join(&format!("m{number}"), &json!({"env": "dev"})).await?;
    }
    let (files, object) = repo(bundles_count);
    loop {
        let known = world.seen_count().await?;
        if known == members_count {
            break;
        }
        if started.elapsed() > LIMIT {
            bail!("{known} of {members_count} agents registered after {LIMIT:?}");
        }
        world.pass(Duration::from_millis(100)).await?;
    }
    say(&format!(
        "{members_count} members registered after {:.1?}; {:.0} MB, {before:.0} MB before",
        started.elapsed(),
        resident(own)?
    ));
    world.repositories.commit("http://git/all", &files);
    objects::ensure(&world.hub, &fleet(WORKSPACE, "gitrepos"), &object).await?;
    let took = await_summary(&mut world, "ready", members_count * bundles_count).await?;
    let is_met = took <= Duration::from_secs(10);
    say(&format!(
        "{members_count} members x {bundles_count} bundles, from commit to all ready: {took:.1?} \
         (goal 10 s at 100 x 20: {}); peak {:.0} MB",
        verdict(is_met),
        peak(own)?
    ));
    Ok(())
}

async fn clusters_without_agents(clusters_count: usize, bundles_count: usize) -> Result<()> {
    let mut world = World::start_real().await?;
    let own = std::process::id();
    let before = resident(own)?;
    let started = Instant::now();
    for number in 0..clusters_count {
        let name = format!("c{number}");
        let cluster = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "Cluster",
            "metadata": {"name": name, "namespace": WORKSPACE, "labels": {"env": "dev"}},
            "spec": {"clientID": name}});
        objects::ensure(&world.hub, &fleet(WORKSPACE, "clusters"), &cluster).await?;
    }
    let (files, object) = repo(bundles_count);
    world.repositories.commit("http://git/all", &files);
    objects::ensure(&world.hub, &fleet(WORKSPACE, "gitrepos"), &object).await?;
    let wanted = clusters_count * bundles_count;
    let took = await_summary(&mut world, "desiredReady", wanted).await?;
    say(&format!(
        "{clusters_count} clusters x {bundles_count} bundles: {wanted} deployments targeted in \
         {took:.1?}, {:.1?} with the clusters; resident {:.0} MB ({before:.0} before), peak {:.0} MB",
        started.elapsed(),
        resident(own)?,
        peak(own)?
    ));
    let relabelled = Instant::now();
    let path = format!("{}/c0", fleet(WORKSPACE, "clusters"));
    let changed = json!({"spec": {"paused": false}, "metadata": {"labels": {"env": "prod"}}});
    objects::merge(&world.hub, &path, &changed).await?;
    world.idle().await?;
    let took = relabelled.elapsed().saturating_sub(Duration::from_secs(1));
    say(&format!("a label of one cluster changed: everything done after {took:.1?}"));
    Ok(())
}
