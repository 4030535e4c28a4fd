//! The figures of a fleet: one hub, two members, real API servers.
//!
//! Owns the scenarios. Start at [`run`].

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::fleet::install_fleet;
use crate::githttp::Repo;
use crate::measure::{Writes, memory};
use crate::world::{World, kinds};

/// Longest wait of one scenario.
const WITHIN: Duration = Duration::from_secs(300);

/// How often the webhook is measured.
const PUSHES: usize = 7;

/// How long an idle fleet is watched.
const IDLE: Duration = Duration::from_secs(20);

/// Measures every scenario and prints its figures.
///
/// # Errors
/// When something does not arrive in time.
pub fn run() -> Result<()> {
    let world = World::start(2)?;
    let started = Instant::now();
    install_fleet(&world, &["--set", "gitjob.allowUnsignedWebhooks=true"])?;
    print(&format!("install and register            {:8.2} s", seconds(started)));
    report_memory(&world, "idle");
    webhook(&world)?;
    hundred_paths(&world)?;
    idle(&world)?;
    many_clusters(&world)?;
    report_memory(&world, "after all");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn print(line: &str) {
    println!("{line}");
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\n\
         data: {{value: '{value}'}}\n"
    )
}

fn git_repo(world: &World, name: &str, url: &str, paths: &[String], env: &str) -> Result<()> {
    let manifest = json!({
        "apiVersion": "fleet.cattle.io/v1alpha1", "kind": "GitRepo",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "repo": url, "branch": "main", "pollingInterval": "1h", "paths": paths,
            "targets": [{ "name": env, "clusterSelector": { "matchLabels": { "env": env } } }],
        },
    });
    world.hub.apply(&manifest.to_string()).map(drop)
}

/// Tells gitjob of a push, as GitHub does.
fn push_hook(world: &World, repo: &Repo, commit: &str) -> Result<()> {
    let logs = world.hub.hostlet.logs("gitjob");
    let port = logs
        .lines()
        .rev()
        .find(|line| line.contains("webhooks are received"))
        .and_then(|line| line.rsplit(':').next()?.trim().parse::<u16>().ok())
        .context("gitjob does not say where it receives webhooks")?;
    let page = repo.url.trim_end_matches(".git");
    let body = json!({
        "ref": "refs/heads/main", "after": commit,
        "repository": { "html_url": page, "clone_url": repo.url, "url": page },
    })
    .to_string();
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: gitjob\r\nX-GitHub-Event: push\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "the webhook answers {answer}");
    Ok(())
}

/// Waits until ConfigMap `name` has this value on both members, looking often.
fn wait_value(world: &World, name: &str, value: &str) -> Result<()> {
    let deadline = Instant::now() + WITHIN;
    for member in &world.members {
        loop {
            let map = member.get(kinds::CONFIG_MAP, "default", name)?;
            if map.is_some_and(|map| map["data"]["value"] == value) {
                break;
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{name} is not {value}\n{}",
                world.diagnosis()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

/// Webhook push → applied on both members.
fn webhook(world: &World) -> Result<()> {
    let repo = world.git.repo("hook")?;
    repo.commit("0", &[("one/map.yaml", &config_map("hook", "0"))])?;
    git_repo(world, "hook", &repo.url, &["one".to_owned()], "dev")?;
    wait_value(world, "hook", "0")?;
    wait_ready(world, "hook", 2)?;
    let mut times = Vec::new();
    let before = Writes::of(&world.hub)?;
    for round in 1..=PUSHES {
        let value = round.to_string();
        let commit = repo.commit(&value, &[("one/map.yaml", &config_map("hook", &value))])?;
        let started = Instant::now();
        push_hook(world, &repo, &commit)?;
        wait_value(world, "hook", &value)?;
        times.push(seconds(started));
        wait_ready(world, "hook", 2)?;
    }
    let writes = Writes::of(&world.hub)?.since(&before);
    times.sort_by(f64::total_cmp);
    print(&format!(
        "webhook push, applied           {:8.2} s (median of {PUSHES}; {:.2} to {:.2}); {:.1} writes per \
         push: {writes}",
        times[times.len() / 2],
        times[0],
        times[times.len() - 1],
        per(writes.total(), PUSHES)
    ));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
fn per(count: u64, of: usize) -> f64 {
    count as f64 / of as f64
}

/// Waits until a GitRepo counts this many ready deployments and is Ready.
fn wait_ready(world: &World, name: &str, count: usize) -> Result<()> {
    let wanted = format!("{count}/{count}");
    let key = (kinds::GIT_REPO, "default", name);
    let ready = |repo: &Value| {
        repo["status"]["display"]["readyBundleDeployments"] == wanted.as_str()
            && repo["status"]["conditions"].as_array().is_some_and(|all| {
                all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
            })
    };
    world.wait_object(key, WITHIN, ready).map(drop)
}

/// A GitRepo of 100 paths → applied on both members, ready.
fn hundred_paths(world: &World) -> Result<()> {
    let repo = world.git.repo("hundred")?;
    let names: Vec<String> = (0..100).map(|index| format!("p{index:03}")).collect();
    for name in &names {
        repo.write(&[(&format!("{name}/map.yaml"), &config_map(name, "1"))])?;
    }
    repo.push("hundred paths")?;
    let before = Writes::of(&world.hub)?;
    let started = Instant::now();
    git_repo(world, "hundred", &repo.url, &names, "dev")?;
    for name in &names {
        wait_value(world, name, "1")?;
    }
    let applied = seconds(started);
    wait_ready(world, "hundred", 200)?;
    let writes = Writes::of(&world.hub)?.since(&before);
    print(&format!(
        "100 paths, applied              {applied:8.2} s\n100 paths, ready                {:8.2} s; {} writes: \
         {writes}",
        seconds(started),
        writes.total()
    ));
    Ok(())
}

/// Writes of a fleet in which nothing happens.
fn idle(world: &World) -> Result<()> {
    std::thread::sleep(Duration::from_secs(3));
    let before = Writes::of(&world.hub)?;
    std::thread::sleep(IDLE);
    let writes = Writes::of(&world.hub)?.since(&before);
    print(&format!(
        "idle for {IDLE:?}, hub            {:8} writes besides leases: {writes}",
        writes.total()
    ));
    report_memory(world, "idle with 101 bundles");
    Ok(())
}

const CLUSTERS: usize = 200;
const BUNDLES: usize = 50;

/// 200 clusters without agents × 50 bundles: until every BundleDeployment is there.
fn many_clusters(world: &World) -> Result<()> {
    let clusters: Vec<Value> = (0..CLUSTERS)
        .map(|index| {
            json!({
                "apiVersion": "fleet.cattle.io/v1alpha1", "kind": "Cluster",
                "metadata": {
                    "name": format!("sim-{index:03}"), "namespace": "default",
                    "labels": { "env": "sim", "fleet.cattle.io/non-managed-agent": "true" },
                },
            })
        })
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": clusters });
    world.hub.apply(&list.to_string())?;
    world.wait_until("namespaces of all clusters", WITHIN, || {
        let clusters = world.hub.list(kinds::CLUSTER, "default")?;
        let placed = |cluster: &&Value| cluster["status"]["namespace"].is_string();
        Ok((clusters.iter().filter(placed).count() == CLUSTERS + 2).then_some(()))
    })?;
    let repo = world.git.repo("many")?;
    let names: Vec<String> = (0..BUNDLES).map(|index| format!("m{index:02}")).collect();
    for name in &names {
        repo.write(&[(&format!("{name}/map.yaml"), &config_map(name, "1"))])?;
    }
    repo.push("many")?;
    let before = Writes::of(&world.hub)?;
    let there = count_deployments(world)?;
    let started = Instant::now();
    git_repo(world, "many", &repo.url, &names, "sim")?;
    let wanted = CLUSTERS * BUNDLES;
    world.wait_until("all deployments", WITHIN, || {
        Ok((count_deployments(world)? >= there + wanted).then_some(()))
    })?;
    let time = seconds(started);
    let writes = Writes::of(&world.hub)?.since(&before);
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
    let rate = wanted as f64 / time;
    print(&format!(
        "{CLUSTERS} clusters × {BUNDLES} bundles        {time:8.2} s ({rate:.0}/s); {:.2} writes each: {writes}",
        per(writes.total(), wanted)
    ));
    std::thread::sleep(Duration::from_secs(10));
    let later = Writes::of(&world.hub)?.since(&before);
    print(&format!(
        "  10 s later                    {:.2} writes each",
        per(later.total(), wanted)
    ));
    Ok(())
}

/// How many there are, from the API server's own count of stored objects: listing them would be
/// the heaviest load of the scenario.
fn count_deployments(world: &World) -> Result<usize> {
    let metrics = world.hub.metrics()?;
    let line = metrics.lines().find(|line| {
        line.contains("bundledeployments.fleet.cattle.io")
            && line.starts_with("apiserver_storage_objects{")
            || line.starts_with("apiserver_resource_objects{")
                && line.contains("resource=\"bundledeployments\"")
    });
    let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count is a whole number that is not negative"
    )]
    Ok(count.unwrap_or_default() as usize)
}

fn report_memory(world: &World, when: &str) {
    print(&format!("memory, {when} (MB now / peak):"));
    for cluster in std::iter::once(&world.hub).chain(&world.members) {
        for app in ["fleet-controller", "gitjob", "fleet-agent"] {
            for process in cluster.hostlet.processes(app) {
                let (now, peak) = memory(process.id);
                print(&format!("  {:8} {app:18} {now:6.1} / {peak:.1}", cluster.name));
            }
        }
    }
}
