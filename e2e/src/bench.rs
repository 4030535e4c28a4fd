//! The figures of a fleet: one hub, two members, real API servers.
//!
//! Owns the scenarios and their reaches. Start at [`run`].
//!
//! What is waited for is looked at through watches: polling the API servers would slow down what is
//! measured, they share the machine with it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::api::DynamicObject;
use runtime::{Cache, ObjectKey};
use serde_json::{Value, json};

use crate::audit;
use crate::cluster::Cluster;
use crate::figures::{Figure, Figures, Reach};
use crate::fleet::install_fleet;
use crate::githttp::Repo;
use crate::measure::{ProcessMemory, Requests};
use crate::peers::Peers;
use crate::world::{World, kinds};

/// Longest wait of one scenario.
const WITHIN: Duration = Duration::from_secs(300);
/// How often the webhook is measured.
const PUSHES: usize = 9;
/// How long an idle fleet is watched.
const IDLE: Duration = Duration::from_secs(60);
/// Kubernetes writes accounts and certificates into new namespaces, slowly; and our own last
/// status writes are delayed on purpose. Both end within this time.
const CALM: Duration = Duration::from_secs(10);
/// Paths of the big repository.
const PATHS: usize = 100;
/// Clusters without an agent.
const CLUSTERS: usize = 200;
/// Bundles that go to each of them.
const BUNDLES: usize = 50;

/// Which scenarios run, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Only scenarios whose name holds this: `webhook`, `paths`, `idle`, `clusters`.
    pub filter: String,
    /// How often the long scenarios are measured; the best round counts.
    pub rounds: usize,
}

/// Measures the scenarios and prints their figures. Returns how many reaches were missed.
///
/// # Errors
/// When something does not arrive in time, or cannot be measured.
pub fn run(plan: &Plan) -> Result<usize> {
    let mut bench = Bench::start()?;
    for (name, scenario) in [
        ("webhook", Bench::webhook as fn(&mut Bench, &Plan) -> Result<()>),
        ("paths", Bench::hundred_paths),
        ("idle", Bench::idle),
        ("clusters", Bench::many_clusters),
    ] {
        if name.contains(&plan.filter) {
            scenario(&mut bench, plan)?;
        }
    }
    print(&format!("\n{}", bench.figures.to_markdown()));
    Ok(bench.figures.missed_count())
}

/// A running fleet and what was measured of it.
struct Bench {
    world: World,
    figures: Figures,
    repos: Cache<DynamicObject>,
    maps: Vec<Cache<DynamicObject>>,
}

/// The requests of all API servers at one moment.
struct Moment {
    requests: Vec<Requests>,
    audits: Vec<u64>,
}

impl Bench {
    fn start() -> Result<Self> {
        print(&describe_program(&Peers::find()?)?);
        let world = World::start(2)?;
        let started = Instant::now();
        install_fleet(&world, &["--set", "gitjob.allowUnsignedWebhooks=true"])?;
        let installed = seconds(started);
        let maps = world.members.iter().map(|member| member.watch(kinds::CONFIG_MAP, "default"));
        let mut bench = Self {
            repos: world.hub.watch(kinds::GIT_REPO, "default"),
            maps: maps.collect(),
            figures: Figures::default(),
            world,
        };
        bench.add("install and register", Reach::None, (installed, "s"), "");
        std::thread::sleep(CALM);
        bench.memory("idle, nothing deployed", true)?;
        Ok(bench)
    }

    fn add(&mut self, name: &str, reach: Reach, measured: (f64, &'static str), note: &str) {
        let (name, note) = (name.to_owned(), note.to_owned());
        let (measured, unit) = measured;
        print(&self.figures.add(Figure { name, reach, measured, unit, note }));
    }

    fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        std::iter::once(&self.world.hub).chain(&self.world.members)
    }

    fn moment(&self) -> Result<Moment> {
        Ok(Moment {
            requests: self.clusters().map(Requests::of).collect::<Result<_>>()?,
            audits: self.clusters().map(|cluster| audit::mark(&cluster.folder)).collect(),
        })
    }

    /// Prints what every API server was asked since then, and returns it.
    fn report_requests(&self, before: &Moment) -> Result<Vec<Requests>> {
        let mut all = Vec::new();
        for (at, cluster) in self.clusters().enumerate() {
            let requests = Requests::of(cluster)?.since(&before.requests[at]);
            print(&format!("    {} writes {}: {requests}", cluster.name, requests.writes()));
            print(&format!(
                "    {} reads {}: {}",
                cluster.name,
                requests.reads(),
                requests.describe_reads()
            ));
            for line in audit::tally(&cluster.folder, before.audits[at])? {
                print(&format!("      {line}"));
            }
            all.push(requests);
        }
        Ok(all)
    }

    /// Webhook push → applied on both members.
    fn webhook(&mut self, _: &Plan) -> Result<()> {
        let repo = self.world.git.repo("hook")?;
        repo.commit("0", &[("one/map.yaml", &config_map("hook", "0"))])?;
        self.git_repo("hook", &repo.url, &["one".to_owned()], "dev")?;
        self.wait_values(&["hook".to_owned()], "0")?;
        self.wait_ready("hook", 2)?;
        std::thread::sleep(Duration::from_secs(2));
        let mut times = Vec::new();
        let before = self.moment()?;
        for round in 1..=PUSHES {
            let value = round.to_string();
            let commit = repo.commit(&value, &[("one/map.yaml", &config_map("hook", &value))])?;
            let port = self.webhook_port()?;
            let started = Instant::now();
            push_hook(port, &repo, &commit)?;
            self.wait_values(&["hook".to_owned()], &value)?;
            times.push(seconds(started));
            self.wait_ready("hook", 2)?;
            std::thread::sleep(Duration::from_millis(500));
        }
        times.sort_by(f64::total_cmp);
        let note = format!("median of {PUSHES}; {:.2} to {:.2}", times[0], times[times.len() - 1]);
        let median = times[times.len() / 2];
        self.add("webhook push, applied on both", Reach::AtMost(0.4), (median, "s"), &note);
        let requests = self.report_requests(&before)?;
        let note = "leases not counted; a status of GitRepo, Bundle, Clusters included";
        let hub = per(requests[0].writes(), PUSHES);
        self.add("writes per push, hub", Reach::None, (hub, ""), note);
        let member = per(requests[1].writes(), PUSHES);
        self.add("writes per push, each member", Reach::None, (member, ""), "");
        Ok(())
    }

    fn webhook_port(&self) -> Result<u16> {
        let logs = self.world.hub.hostlet.logs("gitjob");
        let line = logs.lines().rev().find(|line| line.contains("webhooks are received"));
        line.and_then(|line| line.rsplit(':').next()?.trim().parse::<u16>().ok())
            .context("gitjob does not say where it receives webhooks")
    }

    /// A GitRepo of 100 paths → applied on both members, ready.
    fn hundred_paths(&mut self, plan: &Plan) -> Result<()> {
        let mut rounds: Vec<(f64, f64)> = Vec::new();
        for round in 0..plan.rounds.max(1) {
            let name = format!("hundred{round}");
            let (url, names) = self.push_maps(&name, &format!("p{round}"), PATHS)?;
            let before = self.moment()?;
            let started = Instant::now();
            self.git_repo(&name, &url, &names, "dev")?;
            self.wait_values(&names, "1")?;
            let applied = seconds(started);
            self.wait_ready(&name, 2 * PATHS)?;
            rounds.push((applied, seconds(started)));
            print(&format!("  round {round}: {:.2} s, {:.2} s", applied, seconds(started)));
            self.report_requests(&before)?;
            std::thread::sleep(CALM);
            if round + 1 < plan.rounds {
                self.world.hub.delete(kinds::GIT_REPO, "default", &name)?;
                self.wait_until("the maps to go", |bench| {
                    bench.maps.iter().all(|maps| {
                        !names.iter().any(|name| maps.exists(&ObjectKey::new("default", name)))
                    })
                })?;
                std::thread::sleep(CALM);
            }
        }
        let note = format!("best of {}", rounds.len());
        let applied = rounds.iter().map(|round| round.0).fold(f64::MAX, f64::min);
        self.add("100 paths, applied on both", Reach::AtMost(8.0), (applied, "s"), &note);
        let ready = rounds.iter().map(|round| round.1).fold(f64::MAX, f64::min);
        self.add("100 paths, GitRepo ready", Reach::AtMost(10.0), (ready, "s"), &note);
        Ok(())
    }

    /// Writes and memory of a fleet in which nothing happens.
    fn idle(&mut self, _: &Plan) -> Result<()> {
        std::thread::sleep(CALM);
        let seen = self.heartbeats()?;
        let before = self.moment()?;
        std::thread::sleep(IDLE);
        let requests = self.report_requests(&before)?;
        let heartbeats = self.heartbeats()?.iter().zip(&seen).filter(|(a, b)| a != b).count();
        let writes: u64 = requests.iter().map(Requests::writes).sum();
        let leases: u64 = requests.iter().map(Requests::leases).sum();
        let rest = writes.saturating_sub(u64::try_from(heartbeats)?);
        let note = format!(
            "hub and members, {IDLE:?}; not counted: leases {leases}, heartbeats {heartbeats}"
        );
        self.add("idle writes", Reach::AtMost(0.0), (per(rest, 1), ""), &note);
        self.memory("idle after the scenarios above", false)
    }

    /// When each Cluster was last seen.
    fn heartbeats(&self) -> Result<Vec<Value>> {
        let clusters = self.world.hub.list(kinds::CLUSTER, "")?;
        Ok(clusters.iter().map(|cluster| cluster["status"]["agent"]["lastSeen"].clone()).collect())
    }

    /// 200 clusters without agents × 50 bundles: until every BundleDeployment is there.
    fn many_clusters(&mut self, plan: &Plan) -> Result<()> {
        self.make_clusters()?;
        let wanted = CLUSTERS * BUNDLES;
        let mut best: Option<(f64, f64)> = None;
        for round in 0..plan.rounds.max(1) {
            let (name, there) = (format!("many{round}"), self.world.hub.count(kinds::DEPLOYMENT)?);
            let (url, names) = self.push_maps(&name, &format!("m{round}"), BUNDLES)?;
            let before = self.moment()?;
            let started = Instant::now();
            self.git_repo(&name, &url, &names, "sim")?;
            self.wait_count(there + u64::try_from(wanted)?)?;
            let time = seconds(started);
            #[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
            let rate = wanted as f64 / time;
            print(&format!("  round {round}: {time:.2} s, {rate:.0}/s"));
            self.report_requests(&before)?;
            // The writes are those of the whole rollout, the summaries that follow included.
            std::thread::sleep(3 * CALM);
            let requests = self.report_requests(&before)?;
            let writes = per(requests[0].writes(), wanted);
            best = best.filter(|(known, _)| *known >= rate).or(Some((rate, writes)));
            if round + 1 < plan.rounds {
                self.world.hub.delete(kinds::GIT_REPO, "default", &name)?;
                self.wait_until("the deployments to go", |bench| {
                    bench.world.hub.count(kinds::DEPLOYMENT).is_ok_and(|left| left <= there)
                })?;
                std::thread::sleep(CALM);
            }
        }
        let (rate, writes) = best.context("no round")?;
        let note = format!("best of {}", plan.rounds.max(1));
        let name = format!("{CLUSTERS} clusters x {BUNDLES} bundles, deployments");
        self.add(&name, Reach::AtLeast(500.0), (rate, "/s"), &note);
        let note = "all writes of the hub until 30 s later";
        self.add("writes per deployment", Reach::AtMost(1.5), (writes, ""), note);
        self.memory("10,000 deployments", false)
    }

    fn make_clusters(&self) -> Result<()> {
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
        self.world.hub.apply(&list.to_string())?;
        // Each namespace gets an account and a certificate from Kubernetes: those writes are over
        // when all have them.
        self.world.wait_until("namespaces of all clusters", WITHIN, || {
            let clusters = self.world.hub.list(kinds::CLUSTER, "default")?;
            let namespace = |cluster: &Value| cluster["status"]["namespace"].is_string();
            let placed = clusters.iter().filter(|cluster| namespace(cluster)).count();
            let namespaces = self.world.hub.count(kinds::NAMESPACE)?;
            let served = self.world.hub.count(kinds::CONFIG_MAP)? >= namespaces
                && self.world.hub.count(kinds::SERVICE_ACCOUNT)? >= namespaces;
            Ok((placed == CLUSTERS + 2 && served).then_some(()))
        })?;
        std::thread::sleep(CALM);
        Ok(())
    }

    /// A repository with this many folders of one ConfigMap each: its address, and the folders, each
    /// called as its map.
    fn push_maps(&self, repo: &str, prefix: &str, count: usize) -> Result<(String, Vec<String>)> {
        let names: Vec<String> = (0..count).map(|index| format!("{prefix}-{index:03}")).collect();
        let repo = self.world.git.repo(repo)?;
        for name in &names {
            repo.write(&[(&format!("{name}/map.yaml"), &config_map(name, "1"))])?;
        }
        repo.push("maps")?;
        Ok((repo.url, names))
    }

    fn git_repo(&self, name: &str, url: &str, paths: &[String], env: &str) -> Result<()> {
        let manifest = json!({
            "apiVersion": "fleet.cattle.io/v1alpha1", "kind": "GitRepo",
            "metadata": { "name": name, "namespace": "default" },
            "spec": {
                "repo": url, "branch": "main", "pollingInterval": "1h", "paths": paths,
                "targets": [{ "name": env, "clusterSelector": { "matchLabels": { "env": env } } }],
            },
        });
        self.world.hub.apply(&manifest.to_string()).map(drop)
    }

    fn wait_until(&self, what: &str, reached: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + WITHIN;
        while !reached(self) {
            ensure!(
                Instant::now() < deadline,
                "not within {WITHIN:?}: {what}\n{}",
                self.world.diagnosis()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Waits until all these ConfigMaps have this value on both members.
    fn wait_values(&self, names: &[String], value: &str) -> Result<()> {
        let has = |maps: &Cache<DynamicObject>, name: &String| {
            let map = maps.get(&ObjectKey::new("default", name));
            map.is_some_and(|map| map.data["data"]["value"] == value)
        };
        self.wait_until("the maps", |bench| {
            bench.maps.iter().all(|maps| names.iter().all(|name| has(maps, name)))
        })
    }

    /// Waits until a GitRepo counts this many ready deployments and is Ready.
    fn wait_ready(&self, name: &str, count: usize) -> Result<()> {
        let wanted = format!("{count}/{count}");
        self.wait_until("the GitRepo to be ready", |bench| {
            let repo = bench.repos.get(&ObjectKey::new("default", name));
            repo.is_some_and(|repo| is_ready(&repo.data["status"], &wanted))
        })
    }

    fn wait_count(&self, wanted: u64) -> Result<()> {
        let what = format!("{wanted} deployments");
        self.world.wait_until(&what, WITHIN, || {
            // A list of one each time: the pause is what an answer may be late by.
            std::thread::sleep(Duration::from_millis(50));
            Ok((self.world.hub.count(kinds::DEPLOYMENT)? >= wanted).then_some(()))
        })
    }

    fn memory(&mut self, when: &str, is_judged: bool) -> Result<()> {
        let mut found = Vec::new();
        for cluster in self.clusters() {
            for (app, limit) in
                [("fleet-controller", 25.0), ("gitjob", 25.0), ("fleet-agent", 15.0)]
            {
                for process in cluster.hostlet.processes(app) {
                    let memory = ProcessMemory::of(process.id, "fleet")?;
                    found.push((format!("{} {app}, {when}", cluster.name), limit, memory));
                }
            }
        }
        ensure!(!found.is_empty(), "no process to measure");
        for (name, limit, memory) in found {
            let note = format!(
                "peak {:.1}, anonymous {:.1}, proportional {:.1}",
                memory.peak, memory.anonymous, memory.proportional
            );
            let reach = if is_judged { Reach::AtMost(limit) } else { Reach::None };
            self.add(&name, reach, (memory.resident, "MB"), &note);
        }
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn print(line: &str) {
    println!("{line}");
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
fn per(count: u64, of: usize) -> f64 {
    count as f64 / of as f64
}

/// Which program is measured, in which profile, on what.
fn describe_program(peers: &Peers) -> Result<String> {
    let path = std::fs::canonicalize(&peers.fleet)?;
    // Cargo puts each profile into a folder of its name.
    let profile = path.parent().and_then(std::path::Path::file_name).unwrap_or_default();
    let bytes = std::fs::metadata(&path)?.len();
    let cores = std::thread::available_parallelism()?;
    Ok(format!(
        "program {} (folder {}, {} MB), {cores} cores shared by three API servers and all of ours, {}",
        path.display(),
        profile.display(),
        bytes >> 20,
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC")
    ))
}

fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\n\
         data: {{value: '{value}'}}\n"
    )
}

fn is_ready(status: &Value, wanted: &str) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    status["display"]["readyBundleDeployments"] == wanted
        && conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// Tells gitjob of a push, as GitHub does.
fn push_hook(port: u16, repo: &Repo, commit: &str) -> Result<()> {
    use std::io::{Read as _, Write as _};
    let page = repo.url.trim_end_matches(".git");
    let body = json!({
        "ref": "refs/heads/main", "after": commit,
        "repository": { "html_url": page, "clone_url": repo.url, "url": page },
    })
    .to_string();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: gitjob\r\nX-GitHub-Event: push\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "the webhook answers {answer}");
    Ok(())
}
