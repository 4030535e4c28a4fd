//! Chart repositories: an `index.yaml` and archives.

use bundle_format::charts::{pick_version, read_chart_versions};
use bundle_format::read::ChartRequest;
use reqwest::Url;

use super::{ARCHIVE_BYTES_MAX, ChartStore, FetchChartError, Fetched};
use crate::net::{Access, redacted};

/// The biggest public indexes have about 25 MiB.
const INDEX_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Finds the version in the index and fetches its archive; checks the index's digest.
pub(super) async fn fetch(
    store: &ChartStore,
    access: &Access,
    request: &ChartRequest,
) -> Result<Fetched, FetchChartError> {
    let address = |detail| FetchChartError::Address { address: request.repo.clone(), detail };
    let mut base = Url::parse(&request.repo).map_err(|_| address("is not an address"))?;
    if !matches!(base.scheme(), "http" | "https") {
        return Err(address("only https://, http:// and oci:// are served"));
    }
    let path = format!("{}/", base.path().trim_end_matches('/'));
    base.set_path(&path);
    let mut index_url = base.clone();
    index_url.set_path(&format!("{path}index.yaml"));
    let index = store.get(&index_url, access, INDEX_BYTES_MAX).await?.body;
    let text = std::str::from_utf8(&index).map_err(|_| FetchChartError::Archive {
        url: redacted(&index_url),
        detail: "is not UTF-8 text".to_owned(),
    })?;
    let versions = read_chart_versions(text, &request.chart)?;
    drop(index);
    let picked = pick_version(&versions, &request.chart, &request.version)?;
    let link = picked.urls.first().ok_or_else(|| FetchChartError::Archive {
        url: redacted(&index_url),
        detail: format!("chart {} {} has no url", request.chart, picked.version),
    })?;
    let url = base.join(link).map_err(|_| address("the index holds an invalid url"))?;
    // What is trusted with the index is not trusted to send us, with the password, elsewhere.
    let bare = Access { credentials: None, ..access.clone() };
    let access = if url.origin() == base.origin() { access } else { &bare };
    let archive = store.get(&url, access, ARCHIVE_BYTES_MAX).await?.body;
    check_digest(&url, &picked.digest, &archive)?;
    Ok(Fetched { url: redacted(&url), version: picked.version.clone(), archive })
}

/// An index without digests is accepted, as Helm does.
pub(super) fn check_digest(url: &Url, wanted: &str, bytes: &[u8]) -> Result<(), FetchChartError> {
    use sha2::{Digest, Sha256};
    let wanted = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if wanted.is_empty() || wanted.eq_ignore_ascii_case(&found) {
        return Ok(());
    }
    let detail = format!("has digest {found}, {wanted} was promised");
    Err(FetchChartError::Archive { url: redacted(url), detail })
}
