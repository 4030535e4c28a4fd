//! Charts in OCI registries.
//!
//! Owns the registry protocol as far as a pull needs it: tags, tokens, manifest, one layer.

use bundle_format::charts::{ChartVersion, pick_version};
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Url;
use serde_json::Value;

use super::credentials::SourceAccess;
use super::index::check_digest;
use super::{ARCHIVE_BYTES_MAX, ChartStore, FetchChartError, Fetched, TIMEOUT};
use crate::net::{Access, Ask, Credentials, NetError, Reply};

const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CHART_LAYER_TYPE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// Pulls the chart at `oci://host/path`; a range of versions is resolved with the list of tags.
pub(super) async fn fetch(
    store: &ChartStore,
    source: &SourceAccess,
    address: &str,
    version: &str,
) -> Result<Fetched, FetchChartError> {
    let fail = |detail| FetchChartError::Address { address: address.to_owned(), detail };
    let rest = address.strip_prefix("oci://").unwrap_or(address);
    let (host, name) = rest.split_once('/').ok_or_else(|| fail("has no path"))?;
    let scheme = if source.basic_http { "http" } else { "https" };
    let base = Url::parse(&format!("{scheme}://{host}/v2/{}/", name.trim_matches('/')))
        .map_err(|_| fail("is not an address"))?;
    let mut session = Session { store, base, access: source.access.clone() };
    // Tags cannot hold a plus sign; Helm writes an underscore.
    let tag = match bundle_format::charts::is_exact_version(version) {
        true => version.replace('+', "_"),
        false => session.pick_tag(name, version).await?,
    };
    let (url, archive) = session.pull(&tag).await?;
    Ok(Fetched { url, version: tag.replace('_', "+"), archive })
}

struct Session<'a> {
    store: &'a ChartStore,
    /// `https://host/v2/<name>/`.
    base: Url,
    /// With the registry's token once it gave one.
    access: Access,
}

impl Session<'_> {
    async fn pick_tag(&mut self, name: &str, version: &str) -> Result<String, FetchChartError> {
        let reply = self.get("tags/list?n=10000", "application/json").await?;
        let tags = self.json(&reply)?;
        let tags = tags["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let versions: Vec<ChartVersion> = tags
            .map(|tag| ChartVersion { version: tag.replace('_', "+"), ..Default::default() })
            .collect();
        Ok(pick_version(&versions, name, version)?.version.replace('+', "_"))
    }

    async fn pull(&mut self, tag: &str) -> Result<(String, bytes::Bytes), FetchChartError> {
        let reply = self.get(&format!("manifests/{tag}"), MANIFEST_TYPE).await?;
        let manifest = self.json(&reply)?;
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let mut charts = layers.filter(|layer| layer["mediaType"] == CHART_LAYER_TYPE);
        let digest = charts.next().and_then(|layer| layer["digest"].as_str());
        let digest = digest.filter(|digest| digest.starts_with("sha256:")).ok_or_else(|| {
            self.fail(format!("{tag} is not a Helm chart: no layer of type {CHART_LAYER_TYPE}"))
        })?;
        let blob = self.get(&format!("blobs/{digest}"), "application/octet-stream").await?;
        check_digest(&blob.url, digest, &blob.body)?;
        Ok((crate::net::redacted(&blob.url), blob.body))
    }

    /// One request; a challenge is answered once.
    async fn get(&mut self, path: &str, accept: &'static str) -> Result<Reply, FetchChartError> {
        let url = self.base.join(path).map_err(|e| self.fail(e.to_string()))?;
        let mut has_answered = false;
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            let bytes_max =
                if path.starts_with("blobs/") { ARCHIVE_BYTES_MAX } else { MANIFEST_BYTES_MAX };
            let ask = Ask {
                url: url.clone(),
                access: &self.access,
                headers,
                body: None,
                bytes_max,
                timeout: TIMEOUT,
            };
            match self.store.fetcher.send(ask).await {
                Ok(reply) => return Ok(reply),
                Err(NetError::Status {
                    status: StatusCode::UNAUTHORIZED,
                    challenge: Some(challenge),
                    ..
                }) if !has_answered && challenge.starts_with("Bearer ") => {
                    has_answered = true;
                    let token = self.token(&challenge).await?;
                    self.access.credentials = Some(Credentials::Bearer(token));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Trades the credentials for a token where the registry says. That may be another host, but
    /// never one without TLS, unless the registry itself has none.
    async fn token(&self, challenge: &str) -> Result<String, FetchChartError> {
        let realm = parameter(challenge, "realm").unwrap_or_default();
        let mut url = Url::parse(&realm).map_err(|_| self.fail("asks for a token nowhere"))?;
        if url.scheme() != "https" && url.origin() != self.base.origin() {
            return Err(self.fail("wants the credentials sent over plain http"));
        }
        for name in ["service", "scope"] {
            if let Some(value) = parameter(challenge, name) {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        let reply = self.store.get(&url, &self.access, MANIFEST_BYTES_MAX).await?;
        let answer = self.json(&reply)?;
        let token = answer["token"].as_str().or_else(|| answer["access_token"].as_str());
        token.map(str::to_owned).ok_or_else(|| self.fail("gave no token"))
    }

    fn json(&self, reply: &Reply) -> Result<Value, FetchChartError> {
        serde_json::from_slice(&reply.body).map_err(|_| self.fail("its answer is not JSON"))
    }

    fn fail(&self, detail: impl Into<String>) -> FetchChartError {
        FetchChartError::Registry { url: crate::net::redacted(&self.base), detail: detail.into() }
    }
}

/// `name="value"` out of a challenge.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let start = challenge.find(&format!("{name}=\""))? + name.len() + 2;
    let value = &challenge[start..];
    Some(value[..value.find('"')?].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let challenge = r#"Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull""#;
        assert_eq!(parameter(challenge, "realm").as_deref(), Some("https://auth.example/token"));
        assert_eq!(parameter(challenge, "scope").as_deref(), Some("repository:a/b:pull"));
        assert_eq!(parameter(challenge, "error"), None);
    }
}
