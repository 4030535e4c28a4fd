//! Single charts, for commands that have no GitRepo.
//!
//! Owns the public way in: one request, one archive, nothing kept. Start at [`pull_chart`].

use std::path::PathBuf;
use std::sync::Arc;

use bundle_format::read::ChartRequest;
use bytes::Bytes;

use super::credentials::SourceAccess;
use super::{ChartStore, FetchChartError, fetch_fresh};
use crate::net::{Access, Fetcher};

/// Why a chart is not there.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PullError(FetchChartError);

/// Fetches the archive of a chart: from a repository (`repo` and `chart` say which), from a
/// registry (`chart` begins with `oci://`) or from the address of a `.tgz`.
///
/// With `plain_http` a registry is spoken to without TLS. The credentials go to the host of the
/// repository only.
///
/// # Errors
/// When there is no such chart, or it cannot be reached; texts hold no credentials.
pub async fn pull_chart(
    request: &ChartRequest,
    access: Access,
    plain_http: bool,
) -> Result<Bytes, PullError> {
    let fetcher = Arc::new(Fetcher::of_process());
    let store = ChartStore::new(fetcher, PathBuf::new());
    let access = SourceAccess { access, basic_http: plain_http };
    let fetched = fetch_fresh(&store, &access, request).await;
    fetched.map(|fetched| fetched.archive).map_err(PullError)
}
