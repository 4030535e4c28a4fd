//! Identities: which bytes a bundle is, and which bytes with which options a deployment is.
//!
//! Owns the manifest and the hashes of Rancher Fleet 0.16 (byte for byte, so that a running fleet
//! can be taken over without a redeploy). Must not know files or clusters. Start at [`Manifest`].

mod go_gzip;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use crate::api::bundle::{BundleResource, BundleSpec};
use crate::api::names;
use crate::api::options::BundleDeploymentOptions;
use crate::api::wire::Object;
use crate::error::{Classify, ErrorClass};

use go_gzip::gzip;

/// The encoding of a resource that is not plain text.
pub const BASE64_GZ: &str = "base64+gz";

/// The most a manifest, or one resource of it, may hold once unpacked: 64 MiB.
pub const MAX_UNPACKED_BYTES: u64 = 64 << 20;

/// What can be wrong with stored content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The bytes are not what their digest says.
    #[error("content has sha256 {found}, expected {expected}")]
    Digest {
        /// Digest that was asked for.
        expected: String,
        /// Digest of the bytes at hand.
        found: String,
    },
    /// Compressed bytes that do not unpack.
    #[error("{what} is not valid gzip")]
    Gzip {
        /// Resource name, or `manifest`.
        what: String,
        /// Cause.
        source: std::io::Error,
    },
    /// More bytes than [`MAX_UNPACKED_BYTES`].
    #[error("{what} unpacks to more than {MAX_UNPACKED_BYTES} bytes")]
    TooLarge {
        /// Resource name, or `manifest`.
        what: String,
    },
    /// Base64 that is none.
    #[error("resource {name} is not valid base64")]
    Base64 {
        /// Resource name.
        name: String,
        /// Cause.
        source: base64::DecodeError,
    },
    /// An encoding nobody knows.
    #[error("resource {name} has encoding {found:?}, known are \"\", \"base64\" and {BASE64_GZ:?}")]
    Encoding {
        /// Resource name.
        name: String,
        /// The encoding.
        found: String,
    },
    /// JSON that is not a manifest.
    #[error("manifest is not valid JSON")]
    Json {
        /// Cause.
        source: serde_json::Error,
    },
    /// Text that is not `<content id>:<hash>`.
    #[error("deployment id {found:?} is not <content id>:<options hash>")]
    DeploymentId {
        /// The text.
        found: String,
    },
}

impl Classify for ContentError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// The files of a bundle in the form that is stored, hashed and shipped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, serde::Deserialize)]
pub struct Manifest {
    /// The files, in bundle order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<BundleResource>,
}

impl Manifest {
    /// The manifest of a bundle that carries its files itself.
    pub fn of_bundle(spec: &BundleSpec) -> Self {
        Self { resources: spec.resources.clone() }
    }

    /// The bytes that are hashed and stored: Go's `json.Encoder`, newline included (Fleet 0.16).
    pub fn to_json(&self) -> String {
        goyaml::json::encode(self)
    }

    /// Packs the manifest: its id, its digest and the bytes to store, computed once.
    pub fn pack(&self) -> PackedManifest {
        let json = self.to_json();
        let sha256 = names::sha256_hex(json.as_bytes());
        PackedManifest { id: ContentId::of_digest(&sha256), sha256, gzip: gzip(json.as_bytes()) }
    }

    /// The id alone.
    pub fn id(&self) -> ContentId {
        ContentId::of_digest(&names::sha256_hex(self.to_json().as_bytes()))
    }

    /// Unpacks stored bytes and checks them against their digest.
    ///
    /// # Errors
    /// Bytes that do not unpack, pass [`MAX_UNPACKED_BYTES`], or differ from `sha256`.
    pub fn unpack(gzip: &[u8], sha256: &str) -> Result<Self, ContentError> {
        let json = gunzip(gzip, "manifest")?;
        let found = names::sha256_hex(&json);
        if found != sha256 {
            return Err(ContentError::Digest { expected: sha256.to_owned(), found });
        }
        serde_json::from_slice(&json).map_err(|source| ContentError::Json { source })
    }
}

/// A manifest ready to be stored as a Content object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedManifest {
    /// Name of the Content object.
    pub id: ContentId,
    /// sha256 of the JSON, lower-case hex.
    pub sha256: String,
    /// gzip of the JSON.
    pub gzip: Vec<u8>,
}

/// Puts a file into a bundle: text as it is, anything else (or all, when asked) as `base64+gz`.
pub fn encode_resource(name: &str, bytes: &[u8], compress: bool) -> BundleResource {
    match std::str::from_utf8(bytes) {
        Ok(text) if !compress => BundleResource {
            name: name.to_owned(),
            content: text.to_owned(),
            encoding: String::new(),
        },
        _ => BundleResource {
            name: name.to_owned(),
            content: BASE64.encode(gzip(bytes)),
            encoding: BASE64_GZ.to_owned(),
        },
    }
}

/// Takes a file out of a bundle.
///
/// # Errors
/// An unknown encoding, bytes that do not unpack, more than [`MAX_UNPACKED_BYTES`].
pub fn decode_resource(resource: &BundleResource) -> Result<Vec<u8>, ContentError> {
    let name = || resource.name.clone();
    let unbase64 = || {
        BASE64
            .decode(resource.content.as_bytes())
            .map_err(|source| ContentError::Base64 { name: name(), source })
    };
    match resource.encoding.as_str() {
        "" => Ok(resource.content.clone().into_bytes()),
        "base64" => unbase64(),
        BASE64_GZ => gunzip(&unbase64()?, &resource.name),
        found => Err(ContentError::Encoding { name: name(), found: found.to_owned() }),
    }
}

fn gunzip(bytes: &[u8], what: &str) -> Result<Vec<u8>, ContentError> {
    let mut unpacked = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .take(MAX_UNPACKED_BYTES + 1)
        .read_to_end(&mut unpacked)
        .map_err(|source| ContentError::Gzip { what: what.to_owned(), source })?;
    if unpacked.len() as u64 > MAX_UNPACKED_BYTES {
        return Err(ContentError::TooLarge { what: what.to_owned() });
    }
    Ok(unpacked)
}

/// Which bytes: `s-` and the sha256 of a manifest, 63 characters. Also the Content object's name.
///
/// Empty for bundles whose content lies elsewhere (HelmOps).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(String);

impl ContentId {
    /// The id of a manifest with that sha256 (lower-case hex).
    pub fn of_digest(sha256: &str) -> Self {
        Self(names::content(sha256))
    }

    /// The id that something else recorded, for example `Bundle.spec.contentsId`.
    pub fn recorded(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which options: sha256 of their JSON, values included, `diff` and `correctDrift` left out.
///
/// Leaving those two out means that a change of drift rules alone never redeploys (Fleet 0.16).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionsHash(String);

impl OptionsHash {
    /// The hash of these options.
    pub fn of(options: &BundleDeploymentOptions) -> Self {
        let json = if options.diff.is_none() && options.correct_drift.is_none() {
            goyaml::json::encode(options)
        } else {
            let hashed =
                BundleDeploymentOptions { diff: None, correct_drift: None, ..options.clone() };
            goyaml::json::encode(&hashed)
        };
        Self(names::sha256_hex(json.as_bytes()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which bytes with which options. Equal ids mean that there is nothing to deploy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId {
    /// Which bytes.
    pub content: ContentId,
    /// Which options.
    pub options: OptionsHash,
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.content, self.options.0)
    }
}

impl FromStr for DeploymentId {
    type Err = ContentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((content, options)) if !options.is_empty() => Ok(Self {
                content: ContentId(content.to_owned()),
                options: OptionsHash(options.to_owned()),
            }),
            _ => Err(ContentError::DeploymentId { found: text.to_owned() }),
        }
    }
}

/// The hash of a Bundle's values Secret, `spec.valuesHash`. Empty data has the empty hash.
pub fn bundle_values_hash(data: &BTreeMap<String, Vec<u8>>) -> String {
    if data.is_empty() {
        return String::new();
    }
    let encoded: BTreeMap<&str, String> =
        data.iter().map(|(key, bytes)| (key.as_str(), BASE64.encode(bytes))).collect();
    names::sha256_hex(goyaml::json::to_string(&encoded).as_bytes())
}

/// The hash of a BundleDeployment's values Secret: both texts in a row. Empty when both are.
pub fn deployment_values_hash(values: &[u8], staged: &[u8]) -> String {
    if values.is_empty() && staged.is_empty() {
        return String::new();
    }
    names::sha256_hex(&[values, staged].concat())
}

/// The bytes of a values document as both Secrets hold them: compact JSON, keys sorted, no newline.
pub fn values_document(values: &Object) -> Vec<u8> {
    goyaml::json::to_string(values).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_hashes_are_those_of_the_reference() {
        // Vector of fleet-compat B.4: Rancher Fleet 0.16.
        let data = BTreeMap::from([
            ("values.yaml".to_owned(), br#"{"key":"value"}"#.to_vec()),
            ("target".to_owned(), br#"{"newkey":"value"}"#.to_vec()),
        ]);
        assert_eq!(
            bundle_values_hash(&data),
            "17e05a97acde825d03ca37c2b8fc1aecf3f8f9fde28c21702492c56d4d4a68f1"
        );
    }

    #[test]
    fn the_values_hash_of_a_deployment_is_that_of_the_reference() {
        // Observed on a running Rancher Fleet 0.16: values and stagedValues, both the same.
        for (values, expected) in [
            (
                json!({"serviceType": "LoadBalancer", "replicas": 3}),
                "3c892a930bafb847ea3645d0a6944f1716d01f456a4ca8f14a2b16585d3d8708",
            ),
            (
                json!({"replication": false}),
                "7311f053ed0bd7e06720539608239bc6c16e7b8af74f31537d4593c78665c6c3",
            ),
        ] {
            let document = values_document(values.as_object().expect("an object"));
            assert_eq!(deployment_values_hash(&document, &document), expected, "{values}");
        }
    }

    #[test]
    fn options_hash_ignores_drift_rules() {
        // Vector of fleet-compat B.3: `{"helm":{}}` and a newline.
        let options: BundleDeploymentOptions = serde_json::from_value(
            json!({"helm": {}, "diff": {"comparePatches": [{"kind": "x"}]}, "correctDrift": {"enabled": true}}),
        )
        .expect("these are options");
        assert_eq!(
            OptionsHash::of(&options).as_str(),
            "2b3eb1c0044dd55963b580c402f9703533c40396e53a2aa27a2ba991ec15d145"
        );
    }

    #[test]
    fn a_manifest_survives_packing_and_a_changed_byte_does_not() {
        let resources = vec![
            encode_resource("a.yaml", b"a: 1\n", false),
            encode_resource("b.bin", &[0xff, 0, 1], false),
        ];
        assert_eq!(resources[1].encoding, BASE64_GZ);
        assert_eq!(decode_resource(&resources[1]).expect("our own encoding"), [0xff, 0, 1]);
        let manifest = Manifest { resources };
        let packed = manifest.pack();
        assert_eq!(Manifest::unpack(&packed.gzip, &packed.sha256).expect("just packed"), manifest);
        let other = Manifest::default().pack();
        let error = Manifest::unpack(&other.gzip, &packed.sha256).expect_err("wrong digest");
        assert!(matches!(error, ContentError::Digest { .. }), "{error}");
    }

    #[test]
    fn ids_are_read_back() {
        let text = "s-abc:def";
        let id: DeploymentId = text.parse().expect("an id");
        assert_eq!((id.content.as_str(), id.to_string().as_str()), ("s-abc", text));
        assert!("s-abc".parse::<DeploymentId>().is_err());
        // HelmOps have no content of their own.
        assert_eq!(":def".parse::<DeploymentId>().expect("an id").content, ContentId::default());
    }
}
