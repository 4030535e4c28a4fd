//! The few kinds that kubectl sends as protobuf.
//!
//! Owns the decoding of `application/vnd.kubernetes.protobuf` bodies to JSON. Start at [`decode`].

use bytes::Bytes;
use serde_json::Value;

use crate::error::ApiError;

/// Reads one enveloped object.
pub(crate) fn decode(_body: &Bytes) -> Result<Value, ApiError> {
    Err(ApiError::unsupported_media("application/vnd.kubernetes.protobuf", "application/json"))
}
