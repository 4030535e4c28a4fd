//! The files of a bundle, fetched from the hub by their digest.
//!
//! Owns the fetch, the check of the digest, and a small memory of what was fetched. Must not know what the files
//! mean. Start at [`Contents::manifest`].

use std::sync::{Arc, Mutex, PoisonError};

use bundle_format::api::content::Content;
use bundle_format::content::{ContentError, ContentId, DeploymentId, Manifest};
use kube::{Api, Client};
use runtime::{ApiError, Classify, ErrorClass};
use tokio::sync::OnceCell;

// Packed bytes kept for deployments that follow one another closely (new options, retries). Idle agents should not
// hold more than a few bundles.
const MAX_REMEMBERED_BYTES: usize = 2 << 20;

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hub did not give the Content away.
    #[error(transparent)]
    Fetch(#[from] ApiError),
    /// The Content is not what its name says.
    #[error("content {id} is not what its name says")]
    Corrupt {
        /// Which content.
        id: String,
        /// What is wrong.
        #[source]
        source: ContentError,
    },
    /// The Content has another digest than its name.
    #[error("content {id} says its digest is {digest}")]
    Misnamed {
        /// Which content.
        id: String,
        /// The digest it claims.
        digest: String,
    },
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch(error) => error.class(),
            // Stored bytes do not heal, but the hub writes them anew when somebody deletes them.
            Self::Corrupt { .. } | Self::Misnamed { .. } => ErrorClass::Unavailable,
        }
    }
}

/// Packed bytes and the digest of what is in them.
#[derive(Debug)]
struct Packed {
    gzip: Vec<u8>,
    sha256: String,
}

type Slot = (ContentId, Arc<OnceCell<Arc<Packed>>>);

/// Contents fetched from the hub, the latest of them remembered.
pub struct Contents {
    hub: Client,
    recent: Mutex<Vec<Slot>>,
}

impl Contents {
    /// Fetches through this client.
    #[must_use]
    pub fn new(hub: Client) -> Self {
        Self { hub, recent: Mutex::default() }
    }

    /// The manifest of a deployment: fetched once, however many ask at the same time, and checked at every use.
    pub async fn manifest(&self, id: &DeploymentId) -> Result<Manifest, Error> {
        let cell = self.slot(&id.content);
        let packed = cell
            .get_or_try_init(|| async { fetch(&self.hub, &id.content).await.map(Arc::new) })
            .await?;
        let manifest = unpack(&id.content, packed);
        self.shrink();
        manifest
    }

    fn slot(&self, id: &ContentId) -> Arc<OnceCell<Arc<Packed>>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = recent.iter().position(|(known, _)| known == id);
        let slot = at.map_or_else(|| (id.clone(), Arc::default()), |at| recent.remove(at));
        recent.push(slot.clone());
        slot.1
    }

    /// Forgets the oldest until the rest is small, and every fetch that failed.
    fn shrink(&self) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_bytes = MAX_REMEMBERED_BYTES;
        let mut kept: Vec<Slot> = Vec::new();
        for slot in recent.drain(..).rev() {
            // A fetch that is under way has no size yet; those who wait for it hold it anyway.
            let size = slot.1.get().map_or(0, |packed| packed.gzip.len());
            if size <= left_bytes {
                left_bytes -= size;
                kept.push(slot);
            } else {
                break;
            }
        }
        kept.reverse();
        *recent = kept;
    }
}

/// Fetches the manifest of a deployment from the hub and checks it against its id.
pub async fn fetch_manifest(hub: &Client, id: &DeploymentId) -> Result<Manifest, Error> {
    let packed = fetch(hub, &id.content).await?;
    unpack(&id.content, &packed)
}

async fn fetch(hub: &Client, id: &ContentId) -> Result<Packed, Error> {
    let contents: Api<Content> = Api::all(hub.clone());
    let content = contents
        .get(id.as_str())
        .await
        .map_err(|error| ApiError::new(format!("fetch content {id}"), error))?;
    // The name is a prefix of the digest: both have to agree, or the bytes are somebody else's.
    if ContentId::of_digest(&content.spec.sha256sum) != *id {
        return Err(Error::Misnamed { id: id.to_string(), digest: content.spec.sha256sum });
    }
    let gzip = content.spec.content.map(|bytes| bytes.0).unwrap_or_default();
    Ok(Packed { gzip, sha256: content.spec.sha256sum })
}

fn unpack(id: &ContentId, packed: &Packed) -> Result<Manifest, Error> {
    Manifest::unpack(&packed.gzip, &packed.sha256)
        .map_err(|source| Error::Corrupt { id: id.to_string(), source })
}
