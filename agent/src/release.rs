//! Release records: what a deployment leaves in the cluster so that `helm list`, `helm history`, `helm get` and
//! this agent, after a restart, know what is installed.
//!
//! Owns the record's JSON, its packing (`base64(gzip(JSON))`) and the Secret around it, as Helm 4 writes them.
//! Must not know how objects are applied or who asks. Start at [`Release`] and [`Release::to_secret`].

use std::collections::BTreeMap;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// Type of the Secrets that hold release records.
pub const SECRET_TYPE: &str = "helm.sh/release.v1";

// A record is a rendered bundle; the renderer's own bound is 64 MiB of output, the chart's values come on top.
const MAX_RECORD_BYTES: u64 = 96 << 20;

/// Why a release record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Secret has no key `release`.
    #[error("secret {secret} has no key \"release\": it is not a Helm release record")]
    NoRecord {
        /// `namespace/name` of the Secret.
        secret: String,
    },
    /// The bytes are not what Helm writes.
    #[error("the release record in secret {secret} cannot be read at step {step:?}")]
    Unreadable {
        /// `namespace/name` of the Secret.
        secret: String,
        /// Which layer broke: base64, gzip or JSON.
        step: &'static str,
    },
    /// More than this agent is willing to unpack.
    #[error("the release record in secret {secret} unpacks to more than {MAX_RECORD_BYTES} bytes")]
    TooLarge {
        /// `namespace/name` of the Secret.
        secret: String,
    },
    /// Compressing in memory failed.
    #[error("the record of release {release} could not be packed")]
    Pack {
        /// `namespace/name` of the release.
        release: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// Helm's words for the state of a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseStatus {
    /// Every object was accepted.
    Deployed,
    /// A newer revision took its place.
    Superseded,
    /// At least one object was refused, or a wait ran out.
    Failed,
    /// The first revision is being applied.
    PendingInstall,
    /// A later revision is being applied.
    PendingUpgrade,
    /// Going back to an older revision.
    PendingRollback,
    /// Being removed.
    Uninstalling,
    /// Removed, history kept.
    Uninstalled,
    /// Anything this agent does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl ReleaseStatus {
    /// The word as it stands in the record and in the label `status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::PendingInstall => "pending-install",
            Self::PendingUpgrade => "pending-upgrade",
            Self::PendingRollback => "pending-rollback",
            Self::Uninstalling => "uninstalling",
            Self::Uninstalled => "uninstalled",
            Self::Unknown => "unknown",
        }
    }

    /// Tells whether an operation was under way when the record was written last.
    #[must_use]
    pub fn is_pending(self) -> bool {
        matches!(
            self,
            Self::PendingInstall
                | Self::PendingUpgrade
                | Self::PendingRollback
                | Self::Uninstalling
        )
    }
}

/// Namespace and name of a release: what Helm's ownership annotations on objects repeat.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseName {
    /// Namespace that holds the records, default namespace of the objects.
    pub namespace: String,
    /// Name of the release.
    pub name: String,
}

impl std::fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl ReleaseName {
    /// Name of the Secret that holds one revision.
    #[must_use]
    pub fn secret_name(&self, version: u32) -> String {
        format!("sh.helm.release.v1.{}.v{version}", self.name)
    }

    /// `namespace/name:version`, the form of `BundleDeployment.status.release`.
    #[must_use]
    pub fn to_status(&self, version: u32) -> String {
        format!("{self}:{version}")
    }

    /// Reads `BundleDeployment.status.release`.
    #[must_use]
    pub fn parse_status(text: &str) -> Option<(Self, u32)> {
        let (rest, version) = text.rsplit_once(':')?;
        let (namespace, name) = rest.split_once('/')?;
        let name = Self { namespace: namespace.to_owned(), name: name.to_owned() };
        Some((name, version.parse().ok()?))
    }
}

/// When and how a release came to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Info {
    /// RFC 3339 time of revision 1.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_deployed: String,
    /// RFC 3339 time of this revision.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_deployed: String,
    /// RFC 3339 time of removal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub deleted: String,
    /// One sentence for `helm history`.
    #[serde(default)]
    pub description: String,
    /// State of this revision.
    #[serde(default)]
    pub status: ReleaseStatus,
    /// Rendered `NOTES.txt`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

/// The part of the chart that the record keeps: metadata and default values, not the templates.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Chart {
    /// `Chart.yaml`, with the five Fleet annotations.
    #[serde(default)]
    pub metadata: Value,
    /// Dependency lock; never kept.
    #[serde(default)]
    pub lock: Value,
    /// Templates; never kept, `manifest` holds what became of them.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub templates: Vec<Value>,
    /// The chart's default values, for `helm get values --all`.
    #[serde(default)]
    pub values: Value,
    /// Values schema; never kept.
    #[serde(default)]
    pub schema: Value,
    /// Other files; never kept.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub files: Vec<Value>,
}

/// One revision of a release.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Release {
    /// Name of the release.
    pub name: String,
    /// When and how.
    #[serde(default)]
    pub info: Info,
    /// Which chart.
    #[serde(default)]
    pub chart: Chart,
    /// The values that were given, without the chart's defaults.
    #[serde(default)]
    pub config: Value,
    /// All objects but hooks, in the order of application.
    #[serde(default)]
    pub manifest: String,
    /// Hooks, as Helm stores them.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Value>,
    /// Revision, from 1.
    #[serde(default)]
    pub version: u32,
    /// Namespace of the release.
    #[serde(default)]
    pub namespace: String,
    /// `ssa`: server-side apply, so that a later `helm` keeps to it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub apply_method: String,
}

impl Release {
    /// Namespace and name.
    #[must_use]
    pub fn id(&self) -> ReleaseName {
        ReleaseName { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// An annotation of the stored chart, where Fleet keeps whose release this is.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.chart.metadata.get("annotations")?.get(key)?.as_str()
    }

    /// Builds the Secret that holds this revision.
    ///
    /// `annotations` go on the Secret itself; `stamp` is `createdAt` for a new record and `modifiedAt` afterwards,
    /// as Helm does. Fails only when memory compression fails.
    pub fn to_secret(
        &self,
        annotations: &BTreeMap<String, String>,
        stamp: Stamp,
        now: Timestamp,
    ) -> Result<Value, Error> {
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": SECRET_TYPE,
            "metadata": {
                "name": self.id().secret_name(self.version),
                "namespace": self.namespace,
                "labels": {
                    "name": self.name,
                    "owner": "helm",
                    "status": self.info.status.as_str(),
                    "version": self.version.to_string(),
                    stamp.label(): now.as_second().to_string(),
                },
            },
            // Kubernetes encodes the bytes once more, as with every Secret.
            "data": { "release": STANDARD.encode(self.pack()?) },
        });
        if !annotations.is_empty() {
            secret["metadata"]["annotations"] = json!(annotations);
        }
        Ok(secret)
    }

    /// Reads the record out of a Secret.
    pub fn from_secret(secret: &Value) -> Result<Self, Error> {
        let name = format!(
            "{}/{}",
            secret["metadata"]["namespace"].as_str().unwrap_or_default(),
            secret["metadata"]["name"].as_str().unwrap_or_default()
        );
        let Some(data) = secret.pointer("/data/release").and_then(Value::as_str) else {
            return Err(Error::NoRecord { secret: name });
        };
        let fail = |step| Error::Unreadable { secret: name.clone(), step };
        let outer = STANDARD.decode(data).map_err(|_| fail("base64 of the secret"))?;
        let packed = STANDARD.decode(outer).map_err(|_| fail("base64"))?;
        // Helm has written records without gzip too, long ago; the magic number tells.
        let plain = if packed.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            let read = GzDecoder::new(packed.as_slice())
                .take(MAX_RECORD_BYTES + 1)
                .read_to_end(&mut plain);
            read.map_err(|_| fail("gzip"))?;
            plain
        } else {
            packed
        };
        if plain.len() as u64 > MAX_RECORD_BYTES {
            return Err(Error::TooLarge { secret: name });
        }
        serde_json::from_slice(&plain).map_err(|_| fail("JSON"))
    }

    fn pack(&self) -> Result<String, Error> {
        let fail = |source| Error::Pack { release: self.id().to_string(), source };
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        serde_json::to_writer(&mut gzip, self).map_err(|e| fail(e.into()))?;
        gzip.flush().map_err(fail)?;
        Ok(STANDARD.encode(gzip.finish().map_err(fail)?))
    }
}

/// Which time label a record gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// A new record.
    Created,
    /// A record written again.
    Modified,
}

impl Stamp {
    fn label(self) -> &'static str {
        match self {
            Self::Created => "createdAt",
            Self::Modified => "modifiedAt",
        }
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<Value>, D::Error> {
    Ok(Option::<Vec<Value>>::deserialize(reader)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Release {
        Release {
            name: "web".to_owned(),
            namespace: "shop".to_owned(),
            version: 3,
            info: Info {
                first_deployed: "2026-11-21T05:15:41.489734451Z".to_owned(),
                last_deployed: "2026-11-21T05:15:41.489734451Z".to_owned(),
                status: ReleaseStatus::Deployed,
                description: "Install complete".to_owned(),
                ..Info::default()
            },
            chart: Chart {
                metadata: json!({"name": "web", "version": "0.1.0", "apiVersion": "v2",
                    "annotations": {"fleet.cattle.io/bundle-id": "b"}}),
                ..Chart::default()
            },
            config: json!({"replicas": 2}),
            manifest: "---\n# Source: web/templates/a.yaml\nkind: ConfigMap\n".to_owned(),
            apply_method: "ssa".to_owned(),
            ..Release::default()
        }
    }

    #[test]
    fn record_survives_its_secret() {
        let now = "2026-11-21T05:15:41Z".parse().expect("a time");
        let secret = sample().to_secret(&BTreeMap::new(), Stamp::Modified, now).expect("packs");
        // Name, type and labels as in observed/downstream-helm-release.yaml.
        assert_eq!(secret["metadata"]["name"], "sh.helm.release.v1.web.v3");
        assert_eq!(secret["type"], "helm.sh/release.v1");
        assert_eq!(
            secret["metadata"]["labels"],
            json!({"modifiedAt": "1795238141", "name": "web", "owner": "helm", "status": "deployed", "version": "3"})
        );
        let back = Release::from_secret(&secret).expect("reads");
        assert_eq!(back.manifest, sample().manifest);
        assert_eq!(back.info.status, ReleaseStatus::Deployed);
        assert_eq!(back.annotation("fleet.cattle.io/bundle-id"), Some("b"));
    }

    #[test]
    fn record_of_someone_else_is_an_error_that_names_the_secret() {
        let secret = json!({"metadata": {"namespace": "a", "name": "b"}, "data": {"release": "bm8gYmFzZTY0IQ=="}});
        let error = Release::from_secret(&secret).expect_err("not a record");
        assert!(error.to_string().contains("a/b"), "{error}");
    }

    #[test]
    fn status_text_is_read_back() {
        let id = ReleaseName { namespace: "shop".to_owned(), name: "web".to_owned() };
        assert_eq!(ReleaseName::parse_status(&id.to_status(12)), Some((id, 12)));
        assert_eq!(ReleaseName::parse_status("shop/web"), None);
    }
}
