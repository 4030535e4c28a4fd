//! One Kubernetes cluster: a control plane of real processes and a stand-in for its kubelet.
//!
//! Owns start, stop and access (kubectl, helm, a client). Knows nothing of fleets. Start at
//! [`Cluster::start`].

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use kube::api::DynamicObject;
use kube::{Api, Client, ResourceExt as _};
use runtime::Cache;
use runtime::cache::CacheBuilder;
use runtime::http_server::free_ports;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::runtime::Handle;

use crate::hostlet::{Hostlet, HostletConfig};
use crate::peers::Peers;
use crate::pki::Pki;
use crate::process::{Child, output, run};

/// What a cluster is started with.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Its name, in paths and contexts.
    pub name: String,
    /// Where its files go.
    pub folder: PathBuf,
    /// Programs.
    pub peers: Peers,
    /// Variables of the processes that run in pods, besides those of the pod spec.
    pub pod_env: Vec<(String, String)>,
}

/// A running cluster. Everything it started ends when it is dropped.
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// `https://127.0.0.1:PORT`.
    pub server: String,
    /// CA of the API server, PEM.
    pub ca_pem: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// A client with the administrator's rights.
    pub client: Client,
    /// Where its files are.
    pub folder: PathBuf,
    /// Runs its pods.
    pub hostlet: Hostlet,
    /// Programs.
    pub peers: Peers,
    runtime: Handle,
    processes: Vec<Child>,
}

/// How a control plane is reached.
pub struct ControlPlane {
    /// `https://127.0.0.1:PORT`.
    pub server: String,
    /// CA of the API server, PEM.
    pub ca_pem: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// A client with the administrator's rights.
    pub client: Client,
}

/// Whether etcd waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtcdSync {
    /// As in production.
    Yes,
    /// Faster; for clusters that need not survive the machine.
    No,
}

/// Starts etcd and kube-apiserver only, and waits until they answer.
///
/// # Errors
/// When a process ends early or the API server is not ready in time.
pub fn start_bare(
    peers: &Peers,
    folder: &Path,
    sync: EtcdSync,
    runtime: &Handle,
) -> Result<(ControlPlane, Vec<Child>)> {
    let (peers, folder) = (peers.clone(), folder.to_owned());
    let config = ClusterConfig { name: "bare".to_owned(), folder, peers, pod_env: Vec::new() };
    let pki = Pki::create(&config.folder.join("pki"), &config.name)?;
    start_api(&config, &pki, sync, runtime)
}

fn start_api(
    config: &ClusterConfig,
    pki: &Pki,
    sync: EtcdSync,
    runtime: &Handle,
) -> Result<(ControlPlane, Vec<Child>)> {
    let [etcd_port, peer_port, api_port] = free_ports()?;
    let server = format!("https://127.0.0.1:{api_port}");
    let kubeconfig = config.folder.join("admin.kubeconfig");
    write_kubeconfig(&kubeconfig, config, &server, pki, &pki.admin)?;
    let mut etcd = start_etcd(config, sync, (etcd_port, peer_port))?;
    let mut api = start_api_server(config, pki, etcd_port, api_port)?;
    let client = runtime.block_on(client(&kubeconfig))?;
    wait_ready(&client, runtime, &mut [&mut etcd, &mut api])?;
    let ca_pem = pki.ca_pem.clone();
    Ok((ControlPlane { server, ca_pem, kubeconfig, client }, vec![api, etcd]))
}

/// With this variable set, clusters are our embedded API server instead of the peers' own.
pub const HUB_SWITCH: &str = "FLEET_E2E_HUB";

/// Position of kube-apiserver among the processes of a cluster; the embedded one is alone.
const API_SERVER: usize = 1;

/// Longest wait for a control plane to answer.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// Controllers of workloads are the stand-in's work; those of nodes would find none.
const CONTROLLERS: &str = "*,-deployment-controller,-replicaset-controller,\
    -statefulset-controller,-daemonset-controller,-job-controller,-cronjob-controller,\
    -node-lifecycle-controller,-node-ipam-controller,-pod-garbage-collector-controller,\
    -taint-eviction-controller";

impl Cluster {
    /// Starts a control plane (see [`HUB_SWITCH`]) and the stand-in of the kubelet.
    ///
    /// # Errors
    /// When a process ends early or the API server is not ready in time.
    pub fn start(config: &ClusterConfig, runtime: &Handle) -> Result<Self> {
        if std::env::var_os(HUB_SWITCH).is_some() {
            return Self::start_on_hub(config, runtime);
        }
        let pki = Pki::create(&config.folder.join("pki"), &config.name)?;
        let (control_plane, mut processes) = start_api(config, &pki, EtcdSync::No, runtime)?;
        let manager = config.folder.join("manager.kubeconfig");
        write_kubeconfig(&manager, config, &control_plane.server, &pki, &pki.manager)?;
        processes.insert(0, start_manager(config, &pki, &manager)?);
        Self::with_pods(config, control_plane, processes, runtime)
    }

    /// The embedded API server in the place of etcd, kube-apiserver and kube-controller-manager.
    fn start_on_hub(config: &ClusterConfig, runtime: &Handle) -> Result<Self> {
        std::fs::create_dir_all(&config.folder)?;
        let [port] = free_ports()?;
        let server = format!("https://127.0.0.1:{port}");
        let kubeconfig = config.folder.join("admin.kubeconfig");
        let mut hub = start_hub(config, port, &kubeconfig)?;
        let deadline = Instant::now() + START_TIMEOUT;
        while !kubeconfig.exists() {
            hub.check()?;
            anyhow::ensure!(Instant::now() < deadline, "the hub wrote no kubeconfig");
            std::thread::sleep(Duration::from_millis(5));
        }
        let client = runtime.block_on(client(&kubeconfig))?;
        wait_ready(&client, runtime, &mut [&mut hub])?;
        let ca_pem = ca_of(&kubeconfig)?;
        let control_plane = ControlPlane { server, ca_pem, kubeconfig, client };
        Self::with_pods(config, control_plane, vec![hub], runtime)
    }

    fn with_pods(
        config: &ClusterConfig,
        control_plane: ControlPlane,
        processes: Vec<Child>,
        runtime: &Handle,
    ) -> Result<Self> {
        let ControlPlane { server, ca_pem, kubeconfig, client } = control_plane;
        let hostlet = Hostlet::start(
            HostletConfig {
                client: client.clone(),
                server: server.clone(),
                folder: config.folder.join("pods"),
                programs: config.peers.fleet.parent().unwrap_or(Path::new("/")).to_owned(),
                env: config.pod_env.clone(),
            },
            runtime,
        )?;
        Ok(Self {
            name: config.name.clone(),
            server,
            ca_pem,
            kubeconfig,
            client,
            folder: config.folder.clone(),
            hostlet,
            peers: config.peers.clone(),
            runtime: runtime.clone(),
            processes,
        })
    }

    /// Runs kubectl as the administrator and returns what it printed.
    ///
    /// # Errors
    /// When it exits with something else than 0.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        run(self.command(&self.peers.kubectl).args(words))
    }

    /// Applies a manifest with kubectl.
    ///
    /// # Errors
    /// When kubectl refuses it.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
        std::fs::write(file.path(), manifest)?;
        self.kubectl(&["apply", "-f", &file.path().display().to_string()])
    }

    /// Runs helm as the administrator and returns what it printed.
    ///
    /// # Errors
    /// When it exits with something else than 0.
    pub fn helm(&self, words: &[&str]) -> Result<String> {
        run(self.command(&self.peers.helm).args(words))
    }

    /// Runs helm and expects it to fail; returns what it printed.
    ///
    /// # Errors
    /// When it succeeds.
    pub fn helm_fails(&self, words: &[&str]) -> Result<String> {
        let output = output(self.command(&self.peers.helm).args(words))?;
        if output.status.success() {
            bail!("helm {words:?} succeeded");
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// A program of the administrator, with a home of the cluster's own.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let folder = self.kubeconfig.parent().unwrap_or(Path::new("/"));
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", folder)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env("HELM_CACHE_HOME", folder.join("helm"));
        command
    }

    /// One object as JSON; `None` when it does not exist.
    ///
    /// # Errors
    /// When the API server answers with anything but the object or "not found".
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>> {
        let object = self.runtime.block_on(self.api(kind, namespace).get_opt(name));
        let object = object.with_context(|| format!("get {} {namespace}/{name}", kind.plural))?;
        object.map(|object| serde_json::to_value(object).map_err(Into::into)).transpose()
    }

    /// All objects of a kind, in one namespace or (with an empty one) all.
    ///
    /// # Errors
    /// When the API server does not answer with a list.
    pub fn list(&self, kind: Kind, namespace: &str) -> Result<Vec<Value>> {
        let list = self.runtime.block_on(self.api(kind, namespace).list(&Default::default()));
        let list = list.with_context(|| format!("list {}", kind.plural))?;
        list.into_iter().map(|object| Ok(serde_json::to_value(object)?)).collect()
    }

    /// Deletes an object. One that does not exist is no error.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<()> {
        let api = self.api(kind, namespace);
        match self.runtime.block_on(api.delete(name, &Default::default())) {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many objects of a kind there are in all namespaces, by a list of one: the server says
    /// how many more there would be.
    ///
    /// # Errors
    /// When the API server does not answer with a list, or does not say how many remain.
    pub fn count(&self, kind: Kind) -> Result<u64> {
        let params = kube::api::ListParams::default().limit(1);
        let list = self.runtime.block_on(self.api(kind, "").list_metadata(&params));
        let list = list.with_context(|| format!("count {}", kind.plural))?;
        let is_complete = list.metadata.continue_.as_ref().is_none_or(String::is_empty);
        let remaining = match (list.metadata.remaining_item_count, is_complete) {
            (Some(remaining), _) => u64::try_from(remaining)?,
            (None, true) => 0,
            (None, false) => bail!("{} does not count {}", self.name, kind.plural),
        };
        Ok(u64::try_from(list.items.len())? + remaining)
    }

    /// A live copy of a kind, in one namespace or (with an empty one) all: looking at it costs the
    /// API server nothing.
    #[must_use]
    pub fn watch(&self, kind: Kind, namespace: &str) -> Cache<DynamicObject> {
        let _entered = self.runtime.enter();
        let builder = CacheBuilder::of_resource(self.client.clone(), kind.resource());
        let builder = match namespace {
            "" => builder,
            namespace => builder.namespace(namespace),
        };
        let cache = builder.start();
        self.runtime.block_on(cache.synced());
        cache
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    /// Names of the pods with this `app` label, and whether each is ready.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn pods(&self, app: &str) -> Result<Vec<String>> {
        let api: Api<k8s_openapi::api::core::v1::Pod> = Api::all(self.client.clone());
        let params = kube::api::ListParams::default().labels(&format!("app={app}"));
        let pods = self.runtime.block_on(api.list(&params))?;
        Ok(pods.into_iter().map(|pod| pod.name_any()).collect())
    }

    /// The text of `/metrics` of the API server.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn metrics(&self) -> Result<String> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        Ok(self.runtime.block_on(self.client.request_text(request))?)
    }

    /// Stops the API server from answering until what is returned is dropped.
    ///
    /// # Errors
    /// When its process is gone.
    pub fn pause_api_server(&self) -> Result<Paused> {
        let id = self
            .processes
            .get(API_SERVER)
            .or(self.processes.first())
            .map(Child::id)
            .unwrap_or_default();
        let pid = Pid::from_raw(id.cast_signed()).context("the API server has no process")?;
        kill_process(pid, Signal::STOP)?;
        Ok(Paused(pid))
    }

    /// Ids of the control plane's processes.
    pub fn process_ids(&self) -> Vec<u32> {
        self.processes.iter().map(Child::id).collect()
    }
}

/// A process that stands still; it goes on when this is dropped.
#[derive(Debug)]
pub struct Paused(Pid);

impl Drop for Paused {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.hostlet.stop();
        // Etcd last, or the others fill their logs.
        for process in &mut self.processes {
            process.kill();
        }
    }
}

/// A resource of the API, by what its URL needs.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Plural, as in URLs.
    pub plural: &'static str,
}

impl Kind {
    /// A kind of ours.
    pub const fn fleet(plural: &'static str) -> Self {
        Self { group: "fleet.cattle.io", version: "v1alpha1", plural }
    }

    /// A kind of the core group.
    pub const fn core(plural: &'static str) -> Self {
        Self { group: "", version: "v1", plural }
    }

    /// A kind of group `apps`.
    pub const fn apps(plural: &'static str) -> Self {
        Self { group: "apps", version: "v1", plural }
    }

    fn resource(self) -> kube::api::ApiResource {
        kube::api::ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.plural.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    fn api_version(self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

fn start_etcd(config: &ClusterConfig, sync: EtcdSync, ports: (u16, u16)) -> Result<Child> {
    let (client, peer) = ports;
    let client = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let mut command = Command::new(&config.peers.kubebox);
    command
        .args(["etcd", "--name", &config.name, "--log-level", "warn"])
        .args((sync == EtcdSync::No).then_some("--unsafe-no-fsync"))
        .arg("--data-dir")
        .arg(config.folder.join("etcd"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("{}={peer}", config.name)]);
    Child::spawn("etcd", &mut command, &config.folder.join("etcd.log"))
}

fn start_api_server(config: &ClusterConfig, pki: &Pki, etcd: u16, port: u16) -> Result<Child> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.path(name).display());
    let mut command = Command::new(&config.peers.kubebox);
    command
        .arg("kube-apiserver")
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .arg(format!("--secure-port={port}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(file("tls-cert-file", "apiserver.crt"))
        .arg(file("tls-private-key-file", "apiserver.key"))
        .arg(file("client-ca-file", "ca.crt"))
        .arg(file("service-account-key-file", "accounts.pub"))
        .arg(file("service-account-signing-key-file", "accounts.key"))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg("--authorization-mode=Node,RBAC")
        .arg("--service-cluster-ip-range=10.0.0.0/24")
        .args(["--allow-privileged", "--endpoint-reconciler-type=none"])
        .args(crate::audit::flags(&config.folder)?);
    Child::spawn("kube-apiserver", &mut command, &config.folder.join("api.log"))
}

fn start_manager(config: &ClusterConfig, pki: &Pki, kubeconfig: &Path) -> Result<Child> {
    let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
    let mut command = Command::new(&config.peers.kubebox);
    command
        .arg("kube-controller-manager")
        .arg(file("kubeconfig", kubeconfig))
        .arg(file("service-account-private-key-file", &pki.path("accounts.key")))
        .arg(file("root-ca-file", &pki.path("ca.crt")))
        .args(["--use-service-account-credentials", "--leader-elect=false", "--secure-port=0"])
        .arg(format!("--controllers={CONTROLLERS}"));
    Child::spawn("kube-controller-manager", &mut command, &config.folder.join("manager.log"))
}

fn start_hub(config: &ClusterConfig, port: u16, kubeconfig: &Path) -> Result<Child> {
    let mut command = Command::new(&config.peers.fleet);
    command.args(["hub", "--port", &port.to_string(), "--kubeconfig"]).arg(kubeconfig);
    Child::spawn("fleet hub", &mut command, &config.folder.join("hub.log"))
}

/// The CA in a kubeconfig, PEM.
fn ca_of(kubeconfig: &Path) -> Result<String> {
    let config = goyaml::from_str(&std::fs::read_to_string(kubeconfig)?)?;
    let ca = config["clusters"][0]["cluster"]["certificate-authority-data"].as_str();
    let ca = base64::engine::general_purpose::STANDARD.decode(ca.context("no CA")?)?;
    Ok(String::from_utf8(ca)?)
}

fn write_kubeconfig(
    path: &Path,
    config: &ClusterConfig,
    server: &str,
    pki: &Pki,
    user: &(String, String),
) -> Result<()> {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let name = &config.name;
    let text = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": {
            "server": server, "certificate-authority-data": encode(&pki.ca_pem),
        }}],
        "users": [{ "name": name, "user": {
            "client-certificate-data": encode(&user.0), "client-key-data": encode(&user.1),
        }}],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name }}],
        "current-context": name,
    });
    std::fs::write(path, text.to_string()).with_context(|| format!("write {}", path.display()))
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    runtime::client::install_crypto_provider();
    Ok(runtime::client::from_environment(Some(kubeconfig), "e2e").await?)
}

fn wait_ready(client: &Client, runtime: &Handle, processes: &mut [&mut Child]) -> Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        for process in &mut *processes {
            process.check()?;
        }
        let request = http::Request::get("/readyz").body(Vec::new())?;
        match runtime.block_on(client.request_text(request)) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("the API server is not ready");
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
