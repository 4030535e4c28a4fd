//! A whole fleet on this machine: a hub, members, and a Git server.
//!
//! Owns their life and the way tests look at them. Knows nothing of stories. Start at
//! [`World::start`].

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::cluster::{Cluster, ClusterConfig, Kind};
use crate::githttp::GitServer;
use crate::peers::{Peers, workspace};

/// Namespace of our processes, on hub and members.
pub const SYSTEM: &str = "cattle-fleet-system";

/// Kinds that stories look at.
pub mod kinds {
    use super::Kind;

    /// GitRepo.
    pub const GIT_REPO: Kind = Kind::fleet("gitrepos");
    /// Bundle.
    pub const BUNDLE: Kind = Kind::fleet("bundles");
    /// BundleDeployment.
    pub const DEPLOYMENT: Kind = Kind::fleet("bundledeployments");
    /// Cluster.
    pub const CLUSTER: Kind = Kind::fleet("clusters");
    /// ClusterGroup.
    pub const CLUSTER_GROUP: Kind = Kind::fleet("clustergroups");
    /// ClusterRegistrationToken.
    pub const TOKEN: Kind = Kind::fleet("clusterregistrationtokens");
    /// ClusterRegistration.
    pub const REGISTRATION: Kind = Kind::fleet("clusterregistrations");
    /// Content.
    pub const CONTENT: Kind = Kind::fleet("contents");
    /// Namespace.
    pub const NAMESPACE: Kind = Kind::core("namespaces");
    /// ConfigMap.
    pub const CONFIG_MAP: Kind = Kind::core("configmaps");
    /// Secret.
    pub const SECRET: Kind = Kind::core("secrets");
    /// ServiceAccount.
    pub const SERVICE_ACCOUNT: Kind = Kind::core("serviceaccounts");
    /// Service.
    pub const SERVICE: Kind = Kind::core("services");
    /// Deployment.
    pub const WORKLOAD: Kind = Kind::apps("deployments");
}

/// A hub, its members and a Git server. Everything ends when it is dropped.
pub struct World {
    /// Where the controllers run.
    pub hub: Cluster,
    /// Clusters that register with it.
    pub members: Vec<Cluster>,
    /// Serves repositories.
    pub git: GitServer,
    /// All files of this world.
    pub folder: PathBuf,
    keep: bool,
    started: Instant,
    // Last: everything above uses it while it ends.
    _runtime: Runtime,
}

/// Variables that keep processes of several pods from colliding on the ports of one host, and the
/// suite from waiting for heartbeats.
const POD_ENV: [(&str, &str); 7] = [
    ("FLEET_METRICS_BIND_ADDRESS", ":0"),
    ("FLEET_HEALTHPROBE_BIND_ADDRESS", ":0"),
    ("GITOPS_METRICS_BIND_ADDRESS", ":0"),
    ("GITJOB_LISTEN_ADDRESS", ":0"),
    ("FLEET_AGENT_METRICS_BIND_ADDRESS", ":0"),
    ("FLEET_AGENT_PROBE_BIND_ADDRESS", ":0"),
    ("FLEET_AGENT_PPROF_DISABLED", "true"),
];

/// [`POD_ENV`], and `NAME=VALUE` words of `FLEET_E2E_POD_ENV` for experiments.
fn pod_env() -> Vec<(String, String)> {
    let more = std::env::var("FLEET_E2E_POD_ENV").unwrap_or_default();
    let more = more.split_whitespace().filter_map(|word| word.split_once('='));
    POD_ENV.into_iter().chain(more).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

impl World {
    /// Starts a hub and `members` more clusters, with nothing of ours in them.
    ///
    /// # Errors
    /// When a program is missing or a cluster does not start.
    pub fn start(members: usize) -> Result<Self> {
        let peers = Peers::find()?;
        let started = Instant::now();
        let folder = tempfile::Builder::new().prefix("fleet-e2e-").tempdir()?.keep();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let git = GitServer::start(&folder.join("git"), runtime.handle())?;
        let names = std::iter::once("hub".to_owned());
        let names: Vec<String> = names.chain((1..=members).map(|n| format!("member{n}"))).collect();
        let mut clusters = std::thread::scope(|scope| {
            let start = |name: String| {
                let config = ClusterConfig {
                    folder: folder.join(&name),
                    name,
                    peers: peers.clone(),
                    pod_env: pod_env(),
                };
                let handle = runtime.handle();
                scope.spawn(move || Cluster::start(&config, handle))
            };
            let threads: Vec<_> = names.into_iter().map(start).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|result| result.unwrap_or_else(|_| bail!("a cluster's thread panicked")))
                .collect::<Result<Vec<Cluster>>>()
        })
        .with_context(|| format!("files are in {}", folder.display()))?;
        crate::say(&format!("{} clusters in {:.1?}", clusters.len(), started.elapsed()));
        let rest = clusters.split_off(1);
        let hub = clusters.pop().context("no hub")?;
        let keep = std::env::var_os("FLEET_E2E_KEEP").is_some();
        Ok(Self { hub, members: rest, git, folder, keep, started, _runtime: runtime })
    }

    /// Keeps the files when the world ends, for whoever looks into a failure.
    pub fn keep_files(&mut self) {
        self.keep = true;
    }

    /// Time since the clusters were started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until `look` finds something, and returns it.
    ///
    /// # Errors
    /// When it has not after `within`; the error says what everything looked like then.
    pub fn wait_until<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + within;
        let mut pause = Duration::from_millis(20);
        loop {
            let seen = look();
            if let Ok(Some(found)) = seen {
                return Ok(found);
            }
            if Instant::now() > deadline {
                let last = seen.err().map(|e| format!("\nlast error: {e:#}")).unwrap_or_default();
                bail!("not within {within:?}: {what}{last}\n{}", self.diagnosis());
            }
            std::thread::sleep(pause);
            pause = (pause * 3 / 2).min(Duration::from_millis(200));
        }
    }

    /// Waits until an object of the hub satisfies `check`, and returns it.
    ///
    /// # Errors
    /// As [`World::wait_until`]; the error ends with the object.
    pub fn wait_object(
        &self,
        (kind, namespace, name): (Kind, &str, &str),
        within: Duration,
        check: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = None;
        let what = format!("{} {namespace}/{name}", kind.plural);
        let found = self.wait_until(&what, within, || {
            last = self.hub.get(kind, namespace, name)?;
            Ok(last.clone().filter(|object| check(object)))
        });
        found.with_context(|| match &last {
            Some(object) => format!("{what} is {}", goyaml::to_string(object)),
            None => format!("{what} does not exist"),
        })
    }

    /// What a person would look at first.
    pub fn diagnosis(&self) -> String {
        let mut text = String::new();
        let tables = ["gitrepos", "bundles", "bundledeployments", "clusters.fleet.cattle.io"];
        for kind in tables {
            let table = self.hub.kubectl(&["get", kind, "-A", "-o", "wide"]);
            text.push_str(&format!("$ kubectl get {kind} -A\n{}\n", flat(table)));
        }
        for cluster in std::iter::once(&self.hub).chain(&self.members) {
            let pods = flat(cluster.kubectl(&["get", "pods", "-A"]));
            text.push_str(&format!("{} pods:\n{pods}\n", cluster.name));
            for app in ["fleet-controller", "gitjob", "fleet-agent"] {
                let logs = cluster.hostlet.logs(app);
                let lines: Vec<&str> = logs.lines().collect();
                if !lines.is_empty() {
                    let end = lines[lines.len().saturating_sub(15)..].join("\n");
                    text.push_str(&format!("{} {app}:\n{end}\n", cluster.name));
                }
            }
        }
        text + &format!("files: {}", self.folder.display())
    }

    /// Installs `fleet-crd` and `fleet` on the hub.
    ///
    /// # Errors
    /// When helm fails; the error says what everything looked like then.
    pub fn install_hub(&self, settings: &[&str]) -> Result<()> {
        self.install(&self.hub, "fleet-crd", &[])?;
        self.install(&self.hub, "fleet", settings)
    }

    /// Installs one of our charts under its own name, as the tutorial does.
    ///
    /// # Errors
    /// When helm fails; the error says what everything looked like then.
    pub fn install(&self, cluster: &Cluster, chart: &str, settings: &[&str]) -> Result<()> {
        let path = workspace().join("charts").join(chart);
        let path = path.display().to_string();
        let mut words = vec!["install", "-n", SYSTEM, "--create-namespace", "--wait"];
        words.extend(["--timeout", "60s"]);
        words.extend(settings);
        words.extend([chart, &path]);
        let done = cluster.helm(&words).map(drop);
        done.with_context(|| format!("install {chart}\n{}", self.diagnosis()))
    }

    /// Settings that tell other clusters where the hub is.
    ///
    /// # Errors
    /// When the CA cannot be written to a file.
    pub fn hub_address(&self) -> Result<Vec<String>> {
        let file = self.folder.join("hub-ca.pem");
        std::fs::write(&file, &self.hub.ca_pem)?;
        Ok(vec![
            "--set".to_owned(),
            format!("apiServerURL={}", self.hub.server),
            "--set-file".to_owned(),
            format!("apiServerCA={}", file.display()),
        ])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.keep {
            crate::say(&format!("files are in {}", self.folder.display()));
        } else {
            drop(std::fs::remove_dir_all(Path::new(&self.folder)));
        }
    }
}

/// What a command printed, or its error.
fn flat(result: Result<String>) -> String {
    result.unwrap_or_else(|error| format!("({error:#})"))
}
