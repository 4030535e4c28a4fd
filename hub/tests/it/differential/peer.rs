//! A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager.
//!
//! Owns their certificates, processes and end. The program that `FLEET_KUBEBOX` names holds all
//! three. Start at [`Peer::start`].

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use runtime::http_server::free_ports;
use serde_json::json;

use super::Raw;

/// Controllers of workloads and nodes would only wait for nodes.
const CONTROLLERS: &str = "*,-deployment-controller,-replicaset-controller,\
    -statefulset-controller,-daemonset-controller,-job-controller,-cronjob-controller,\
    -node-lifecycle-controller,-node-ipam-controller,-pod-garbage-collector-controller,\
    -taint-eviction-controller,-disruption-controller,-persistentvolume-binder-controller,\
    -horizontal-pod-autoscaler-controller,-endpoints-controller,-endpointslice-controller";

const START: Duration = Duration::from_secs(120);

/// A running control plane; it ends with this value.
pub(crate) struct Peer {
    admin: Client,
    anonymous: Client,
    processes: Vec<Child>,
    _folder: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        for process in &mut self.processes {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

impl Peer {
    /// Starts one; `None` when `FLEET_KUBEBOX` is not set.
    pub(crate) async fn start() -> Option<Peer> {
        let program = PathBuf::from(std::env::var_os("FLEET_KUBEBOX")?);
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().expect("folder");
        let pki = Pki::create(folder.path());
        let [etcd, etcd_peer, port] = free_ports().expect("ports");
        let server = format!("https://127.0.0.1:{port}");
        let manager = folder.path().join("manager.kubeconfig");
        let user = pki.leaf("system:kube-controller-manager", "");
        std::fs::write(&manager, kubeconfig(&server, &pki.ca_pem, Some(&user))).expect("written");
        let start = Start { program: &program, folder: folder.path() };
        let mut processes = vec![
            start.etcd(etcd, etcd_peer),
            start.api_server(etcd, port),
            start.manager(&manager),
        ];
        processes.reverse();
        let admin =
            client(&kubeconfig(&server, &pki.ca_pem, Some(&pki.leaf("admin", "system:masters"))))
                .await;
        let anonymous = client(&kubeconfig(&server, &pki.ca_pem, None)).await;
        let peer = Peer { admin, anonymous, processes, _folder: folder };
        peer.wait_ready().await;
        Some(peer)
    }

    /// Ready, and the controllers have done their first round.
    async fn wait_ready(&self) {
        let deadline = std::time::Instant::now() + START;
        for path in ["/readyz", "/api/v1/namespaces/default/serviceaccounts/default"] {
            loop {
                let request = Request::get(path).body(Bytes::new()).expect("request");
                let answer = self.try_send("admin", request).await;
                if answer.is_ok_and(|raw| raw.code == 200) {
                    break;
                }
                assert!(std::time::Instant::now() < deadline, "the peer is not ready: {path}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    pub(crate) async fn send(&self, auth: &str, request: Request<Bytes>) -> Raw {
        self.try_send(auth, request).await.expect("the peer answers")
    }

    async fn try_send(&self, auth: &str, request: Request<Bytes>) -> Result<Raw, kube::Error> {
        let client = if auth == "admin" { &self.admin } else { &self.anonymous };
        let answer = client.send(request.map(|body| Body::from(body.to_vec()))).await?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Raw::new(&parts, body))
    }
}

async fn client(kubeconfig: &str) -> Client {
    let config = Kubeconfig::from_yaml(kubeconfig).expect("kubeconfig");
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await.expect("config");
    Client::try_from(config).expect("client")
}

/// Certificate and key, PEM.
type Identity = (String, String);

fn kubeconfig(server: &str, ca_pem: &str, user: Option<&Identity>) -> String {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let user = user.map_or(json!({}), |(certificate, key)| {
        json!({"client-certificate-data": encode(certificate), "client-key-data": encode(key)})
    });
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "peer",
        "clusters": [{"name": "peer", "cluster": {
            "server": server, "certificate-authority-data": encode(ca_pem)}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "peer", "context": {"cluster": "peer", "user": "user"}}],
    });
    config.to_string()
}

struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
    ca_pem: String,
}

impl Pki {
    fn create(folder: &Path) -> Pki {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("peer-ca", "");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key"));
        let ca = ca.expect("CA");
        let pki = Pki { ca_pem: ca.pem(), ca };
        let (certificate, key) = pki.leaf("kube-apiserver", "");
        let accounts = KeyPair::generate().expect("key");
        for (file, text) in [
            ("ca.crt", pki.ca_pem.clone()),
            ("server.crt", certificate),
            ("server.key", key),
            ("accounts.key", accounts.serialize_pem()),
            ("accounts.pub", accounts.public_key_pem()),
        ] {
            std::fs::write(folder.join(file), text).expect("written");
        }
        pki
    }

    fn leaf(&self, name: &str, group: &str) -> Identity {
        let names = ["localhost", "kubernetes.default.svc"].map(str::to_owned).to_vec();
        let mut params = CertificateParams::new(names).expect("names");
        for address in ["127.0.0.1", "10.0.0.1"] {
            params.subject_alt_names.push(SanType::IpAddress(address.parse().expect("address")));
        }
        params.distinguished_name = subject(name, group);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("key");
        let certificate = params.signed_by(&key, &self.ca).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }
}

fn subject(name: &str, group: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if !group.is_empty() {
        subject.push(DnType::OrganizationName, group);
    }
    subject
}

struct Start<'a> {
    program: &'a Path,
    folder: &'a Path,
}

impl Start<'_> {
    fn spawn(&self, name: &str, arguments: &[String]) -> Child {
        let log = std::fs::File::create(self.folder.join(format!("{name}.log"))).expect("log");
        let mut command = Command::new(self.program);
        command.arg(name).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.program.display()))
    }

    fn file(&self, flag: &str, name: &str) -> String {
        format!("--{flag}={}", self.folder.join(name).display())
    }

    fn etcd(&self, client: u16, peer: u16) -> Child {
        let client = format!("http://127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
        self.spawn(
            "etcd",
            &[
                "--unsafe-no-fsync".to_owned(),
                "--log-level=warn".to_owned(),
                self.file("data-dir", "etcd"),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
            ],
        )
    }

    fn api_server(&self, etcd: u16, port: u16) -> Child {
        self.spawn(
            "kube-apiserver",
            &[
                format!("--etcd-servers=http://127.0.0.1:{etcd}"),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                self.file("tls-cert-file", "server.crt"),
                self.file("tls-private-key-file", "server.key"),
                self.file("client-ca-file", "ca.crt"),
                self.file("service-account-key-file", "accounts.pub"),
                self.file("service-account-signing-key-file", "accounts.key"),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
                "--allow-privileged".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
            ],
        )
    }

    fn manager(&self, kubeconfig: &Path) -> Child {
        self.spawn(
            "kube-controller-manager",
            &[
                format!("--kubeconfig={}", kubeconfig.display()),
                self.file("service-account-private-key-file", "accounts.key"),
                self.file("root-ca-file", "ca.crt"),
                "--use-service-account-credentials".to_owned(),
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
                format!("--controllers={CONTROLLERS}"),
            ],
        )
    }
}
