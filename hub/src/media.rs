//! Media types: what the client sent and what it wants back.
//!
//! Owns negotiation and the decoding of bodies to JSON. Pure. Start at [`View::parse`] and
//! [`decode`].

use bytes::Bytes;
use serde_json::Value;

use crate::error::ApiError;

/// How objects are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Object,
    /// `as=Table`: what `kubectl get` prints.
    Table,
    /// `as=PartialObjectMetadata(List)`.
    Metadata {
        is_list: bool,
    },
}

impl View {
    /// Reads an Accept header: the first form we can serve wins.
    pub(crate) fn parse(accept: &str) -> Result<View, ApiError> {
        if accept.trim().is_empty() {
            return Ok(View::Object);
        }
        for option in accept.split(',') {
            let mut parts = option.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if !matches!(media, "application/json" | "*/*" | "application/*" | "text/html") {
                continue;
            }
            let parameters: Vec<&str> = parts.collect();
            let form = parameters.iter().find_map(|p| p.strip_prefix("as="));
            return Ok(match form {
                Some("Table") => View::Table,
                Some("PartialObjectMetadata") => View::Metadata { is_list: false },
                Some("PartialObjectMetadataList") => View::Metadata { is_list: true },
                // `stream=watch`, `charset` and the like change nothing here.
                _ => View::Object,
            });
        }
        let message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf";
        Err(ApiError::generic(406, "NotAcceptable", message))
    }
}

/// Whether an Accept header asks for aggregated discovery (v2; the beta form is not served).
pub(crate) fn wants_aggregated(accept: &str) -> bool {
    accept.split(',').any(|option| {
        let mut parts = option.split(';').map(str::trim);
        let is_json = parts.next() == Some("application/json");
        let parameters: Vec<&str> = parts.collect();
        is_json && parameters.contains(&"as=APIGroupDiscoveryList") && parameters.contains(&"v=v2")
    })
}

/// Reads a request body as one object.
pub(crate) fn decode(content_type: &str, body: &Bytes) -> Result<Value, ApiError> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    match media {
        "" | "application/json" => parse_json(body),
        "application/yaml" | "application/apply-patch+yaml" => parse_yaml(body),
        "application/vnd.kubernetes.protobuf" => crate::protobuf::decode(body),
        other => Err(ApiError::unsupported_media(
            other,
            "application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

pub(crate) fn parse_json(body: &Bytes) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!(
            "couldn't get version/kind; json parse error: {}",
            go_words(&error)
        ))
    })
}

/// A JSON error in the words of Go, where there is a common one.
pub(crate) fn go_words(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    error.to_string()
}

/// JSON is YAML, and clients send mostly JSON: that path is the fast one.
pub(crate) fn parse_yaml(body: &Bytes) -> Result<Value, ApiError> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text =
        std::str::from_utf8(body).map_err(|_| ApiError::bad_request("the YAML is not UTF-8"))?;
    goyaml::from_str(text).map_err(|error| {
        ApiError::bad_request(format!(
            "error decoding YAML: error converting YAML to JSON: {error}"
        ))
    })
}
