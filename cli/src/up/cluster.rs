//! One embedded cluster: an API server with its address and an administrator's client.
//!
//! Owns data folders and ports of the clusters. Knows nothing of Fleet. Start at
//! [`Cluster::start`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hub::{Hub, Listening, Options, Simulation, User};

/// Whether a cluster of this name was kept in `data`.
pub(super) fn has_data(data: &Path, name: &str) -> bool {
    folder(data, name).is_dir()
}

fn folder(data: &Path, name: &str) -> PathBuf {
    data.join("clusters").join(name)
}

/// A running cluster; it stops listening when this is dropped.
pub(super) struct Cluster {
    pub(super) name: String,
    /// The administrator's client, without a socket between.
    pub(super) client: kube::Client,
    hub: Hub,
    listening: Listening,
}

/// What a cluster is started with.
pub(super) struct Start<'a> {
    pub(super) name: &'a str,
    /// `None` keeps everything in memory.
    pub(super) data: Option<&'a Path>,
    /// 0 takes any free port.
    pub(super) port: u16,
    /// Workloads become ready by themselves.
    pub(super) simulation: Option<Simulation>,
}

impl Cluster {
    /// Opens the cluster's data and listens.
    pub(super) async fn start(start: Start<'_>) -> anyhow::Result<Cluster> {
        let name = start.name;
        let data = start.data.map(|data| folder(data, name));
        if let Some(folder) = &data {
            let failed =
                || format!("cannot create {}; choose a folder with --data", folder.display());
            std::fs::create_dir_all(folder).with_context(failed)?;
        }
        let options = Options { data, simulation: start.simulation, ..Options::default() };
        let hub = Hub::open(&options).with_context(|| format!("starting cluster {name}"))?;
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), start.port);
        let listening = hub.listen(address, &[]).await.with_context(|| {
            format!("starting cluster {name}; choose other ports with --port, 0 for free ones")
        })?;
        hub.ready().await;
        let client = kube::Client::new(hub.clone(), "default");
        Ok(Cluster { name: name.to_owned(), client, hub, listening })
    }

    /// `https://127.0.0.1:port`
    pub(super) fn url(&self) -> String {
        format!("https://{}", self.listening.address())
    }

    /// The CA of [`Cluster::url`], PEM.
    pub(super) fn ca(&self) -> &str {
        self.hub.ca_certificate()
    }

    /// A certificate for the administrator.
    pub(super) fn identity(&self) -> anyhow::Result<hub::ClientIdentity> {
        Ok(self.hub.client_identity(&User::administrator())?)
    }
}
