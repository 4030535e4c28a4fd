//! Charts that bundles name but do not hold.
//!
//! Owns the fetching of charts and dependencies, and which credentials go where. Knows nothing of
//! templates. Start at [`fetch_charts`].

mod archive;
mod credentials;
mod index;
mod oci;
mod pull;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bundle_format::charts::{ChartError, is_exact_version};
use bundle_format::read::{BundleDraft, ChartDependency, ChartRequest, Files};
use bytes::Bytes;
use http::HeaderMap;
use reqwest::Url;
use runtime::{Classify, ErrorClass};

use crate::net::{Access, Ask, Fetcher, NetError};
pub(crate) use credentials::HelmAccess;
use credentials::SourceAccess;
pub use pull::{PullError, pull_chart};

/// Longest archive; Helm's own limit for what it unpacks is 100 MiB.
const ARCHIVE_BYTES_MAX: u64 = 32 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(120);
/// Archives kept on disk.
const KEPT_MAX: usize = 256;

/// Why a chart is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FetchChartError {
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The index, or what was asked of it.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// The address is not one.
    #[error("{address:?}: {detail}")]
    Address {
        /// As written.
        address: String,
        /// What is wrong and what to do.
        detail: &'static str,
    },
    /// The archive is not what it should be.
    #[error("archive {url}: {detail}")]
    Archive {
        /// Where it came from.
        url: String,
        /// What is wrong.
        detail: String,
    },
    /// The registry's answer is not one.
    #[error("registry {url}: {detail}")]
    Registry {
        /// Which.
        url: String,
        /// What is wrong.
        detail: String,
    },
}

impl Classify for FetchChartError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Net(error) => error.class(),
            Self::Chart(error) => error.class(),
            _ => ErrorClass::User,
        }
    }
}

/// Fetches charts and remembers those whose version was exact.
pub(crate) struct ChartStore {
    fetcher: Arc<Fetcher>,
    dir: PathBuf,
    kept: Mutex<BTreeMap<String, PathBuf>>,
}

/// An archive and where it came from.
pub(crate) struct Fetched {
    url: String,
    /// The version that was picked; empty for a plain archive.
    version: String,
    archive: Bytes,
}

impl ChartStore {
    /// Keeps archives below `dir`.
    pub(crate) fn new(fetcher: Arc<Fetcher>, dir: PathBuf) -> Self {
        Self { fetcher, dir, kept: Mutex::default() }
    }

    async fn get(
        &self,
        url: &Url,
        access: &Access,
        bytes_max: u64,
    ) -> Result<crate::net::Reply, NetError> {
        let (url, headers) = (url.clone(), HeaderMap::new());
        let ask = Ask { url, access, headers, body: None, bytes_max, timeout: TIMEOUT };
        self.fetcher.send(ask).await
    }

    fn kept(&self, key: &str) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::read(kept.get(key)?).ok().map(Bytes::from)
    }

    /// Best effort: a chart that could not be kept is fetched again.
    fn keep(&self, key: &str, archive: &[u8]) {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(key.as_bytes());
        let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let path = self.dir.join(name);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX
            && let Some((_, oldest)) = kept.pop_first()
        {
            drop(std::fs::remove_file(oldest));
        }
        let written =
            std::fs::create_dir_all(&self.dir).and_then(|()| std::fs::write(&path, archive));
        if written.is_ok() {
            kept.insert(key.to_owned(), path);
        }
    }
}

/// Completes a draft: adds its charts and the dependencies of charts in it.
///
/// # Errors
/// The first chart that cannot be had, with the words of Fleet 0.16 in front.
pub(crate) async fn fetch_charts(
    store: &ChartStore,
    helm: &HelmAccess,
    draft: &mut BundleDraft,
) -> Result<(), (String, ErrorClass)> {
    for request in draft.charts.clone() {
        let fetched = fetch_chart(store, helm, &draft.path, &request).await;
        let files = fetched.and_then(|fetched| archive::unpack(&fetched));
        let files = files.map_err(|error| {
            let ChartRequest { chart, repo, version } = &request;
            let text = format!(
                "failed to resolve chart repo={repo} chart={chart} version={version}: {}{}",
                runtime::chain(&error),
                helm.hint(&draft.path, &error),
            );
            (text, error.class())
        })?;
        draft.add_chart(&request, files);
    }
    for dependency in draft.dependencies.clone() {
        let files = fetch_dependency(store, helm, draft, &dependency).await;
        let files = files.map_err(|error| {
            let parent = if dependency.parent.is_empty() { "." } else { &dependency.parent };
            let text = format!(
                "dependency {} of chart {parent}: {}{}",
                dependency.name,
                runtime::chain(&error),
                helm.hint(&draft.path, &error),
            );
            (text, error.class())
        })?;
        draft.add_dependency(&dependency, files);
    }
    Ok(())
}

async fn fetch_chart(
    store: &ChartStore,
    helm: &HelmAccess,
    path: &str,
    request: &ChartRequest,
) -> Result<Fetched, FetchChartError> {
    let ChartRequest { chart, repo, version } = request;
    let source = if repo.is_empty() { chart } else { repo };
    let access = helm.access(path, source);
    // What came over plain HTTP is nothing for those who ask over TLS.
    let scheme = if access.basic_http { "http" } else { "https" };
    let key = format!("{repo} {chart} {version} {scheme} {}", access.access.fingerprint());
    // Only an exact version of a repository always means the same archive.
    let is_fixed = is_exact_version(version);
    if let Some(archive) = is_fixed.then(|| store.kept(&key)).flatten() {
        return Ok(Fetched { url: source.clone(), version: version.clone(), archive });
    }
    let fetched = fetch_fresh(store, &access, request).await?;
    if is_fixed {
        store.keep(&key, &fetched.archive);
    }
    Ok(fetched)
}

/// Fetches whatever was kept before.
async fn fetch_fresh(
    store: &ChartStore,
    access: &SourceAccess,
    request: &ChartRequest,
) -> Result<Fetched, FetchChartError> {
    let ChartRequest { chart, repo, version } = request;
    let source = if repo.is_empty() { chart } else { repo };
    match (source.starts_with("oci://"), repo.is_empty()) {
        (true, _) => oci::fetch(store, access, source, version).await,
        (false, false) => index::fetch(store, &access.access, request).await,
        (false, true) => fetch_archive(store, &access.access, chart).await,
    }
}

/// A chart whose address is that of its archive.
async fn fetch_archive(
    store: &ChartStore,
    access: &Access,
    address: &str,
) -> Result<Fetched, FetchChartError> {
    let fail = |detail| FetchChartError::Address { address: address.to_owned(), detail };
    let plain = address.strip_prefix("https::").or_else(|| address.strip_prefix("http::"));
    let Ok(url) = Url::parse(plain.unwrap_or(address)) else {
        return Err(fail("no such folder in the bundle, and not an address"));
    };
    let is_archive = url.path().ends_with(".tgz") || url.path().ends_with(".tar.gz");
    if !matches!(url.scheme(), "http" | "https") || !is_archive {
        let detail =
            "only https addresses of .tgz archives, chart repositories and oci:// are served yet";
        return Err(fail(detail));
    }
    let reply = store.get(&url, access, ARCHIVE_BYTES_MAX).await?;
    let url = crate::net::redacted(&url);
    Ok(Fetched { url, version: String::new(), archive: reply.body })
}

/// A dependency as Helm keeps it: packed, below `charts/`.
async fn fetch_dependency(
    store: &ChartStore,
    helm: &HelmAccess,
    draft: &BundleDraft,
    dependency: &ChartDependency,
) -> Result<Files, FetchChartError> {
    let ChartDependency { name, version, repository, .. } = dependency;
    let fail = |detail| FetchChartError::Address { address: repository.clone(), detail };
    if let Some(folder) = repository.strip_prefix("file://") {
        return local_dependency(draft, dependency, folder)
            .ok_or_else(|| fail("no chart in that folder of the bundle"));
    }
    let is_web = repository.starts_with("https://") || repository.starts_with("http://");
    let request = match repository.starts_with("oci://") {
        true => ChartRequest {
            chart: String::new(),
            repo: format!("{}/{name}", repository.trim_end_matches('/')),
            version: version.clone(),
        },
        false if is_web => {
            ChartRequest { chart: name.clone(), repo: repository.clone(), version: version.clone() }
        }
        false => {
            let detail = "is neither https://, oci:// nor file://; commit the chart below charts/";
            return Err(fail(detail));
        }
    };
    let fetched = fetch_chart(store, helm, &draft.path, &request).await?;
    let version = if fetched.version.is_empty() { version } else { &fetched.version };
    let file = format!("{name}-{}.tgz", version.replace('/', "-"));
    Ok(Files::from([(file, fetched.archive.to_vec())]))
}

/// The files of a chart that lies in the bundle, as `charts/<name>/…`.
fn local_dependency(
    draft: &BundleDraft,
    dependency: &ChartDependency,
    folder: &str,
) -> Option<Files> {
    let mut parts: Vec<&str> = dependency.parent.split('/').filter(|p| !p.is_empty()).collect();
    for part in folder.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let prefix = format!("{}/", parts.join("/"));
    let below = draft.files.range(prefix.clone()..).take_while(|(n, _)| n.starts_with(&prefix));
    let files: Files = below
        .map(|(name, bytes)| {
            (format!("{}/{}", dependency.name, &name[prefix.len()..]), bytes.clone())
        })
        .collect();
    files.contains_key(&format!("{}/Chart.yaml", dependency.name)).then_some(files)
}
