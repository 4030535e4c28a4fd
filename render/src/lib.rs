//! Manifest and options to objects: Helm charts and raw YAML, with Fleet's marks on every object.
//!
//! Owns the way from the files of a bundle to the ordered objects of one deployment. Pure: no client, clock,
//! file or random number; what a chart may ask of the world comes in as a host. Start at [`render_manifest`].

pub mod helm;
pub mod objects;
pub mod overlay;
pub mod postrender;
pub mod style;

mod chart;
mod raw;

use std::collections::BTreeMap;

use bundle_format::api::options::BundleDeploymentOptions;
use bundle_format::api::wire::Object;
use bundle_format::content::{Manifest, decode_resource};
use bundle_format::error::{Classify, ErrorClass};
use serde_json::Value;

/// What a render may ask of the world, and what all renders of one bundle share.
pub use gotemplate::{Budget, Host, Scope};
pub use objects::RenderedObject;
pub use postrender::Scopes;
pub use style::Style;

/// The files of a bundle by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why a bundle cannot be rendered. Every variant needs another bundle, other options or other values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the bundle cannot be unpacked.
    #[error("unpack the files of the bundle")]
    Unpack(#[source] bundle_format::content::ContentError),
    /// A file is not YAML.
    #[error("{file}, document at line {first_line}: {source}")]
    Yaml {
        /// File, relative to the bundle.
        file: String,
        /// Line of the file in which the document starts.
        first_line: usize,
        /// What is wrong, with the line within the document.
        source: goyaml::Error,
    },
    /// A file is not text.
    #[error("{file} is not UTF-8 text")]
    NotText {
        /// File, relative to the bundle.
        file: String,
    },
    /// More documents than this crate is willing to keep.
    #[error("the bundle holds more than {limit} objects")]
    TooManyObjects {
        /// The bound.
        limit: usize,
    },
    /// An overlay patches a file that is not there.
    #[error("failed to find base file {base} to patch: overlay {overlay}, file {file}")]
    NoBase {
        /// The missing file.
        base: String,
        /// Name of the overlay.
        overlay: String,
        /// The patch file.
        file: String,
    },
    /// An overlay's patch does not fit its base.
    #[error("overlay file {file} cannot patch {base}: {reason}")]
    Patch {
        /// The patch file.
        file: String,
        /// The patched file.
        base: String,
        /// Why.
        reason: String,
    },
    /// A namespace is forced upon objects that have none.
    #[error(
        "error while running post render on files: invalid cluster scoped object [name={name} kind={kind} \
         apiVersion={api_version}] found. Your config uses targetNamespace or namespace and thus forbids \
         cluster-scoped resources. If you do not intend to disallow cluster scoped resources, you could switch to \
         defaultNamespace"
    )]
    ClusterScoped {
        /// Name of the object.
        name: String,
        /// Kind of the object.
        kind: String,
        /// Version of the object.
        api_version: String,
    },
    /// The chart cannot be rendered; the words are Helm's.
    #[error(transparent)]
    Helm(#[from] helm::Error),
    /// The bundle is, or needs, something that this version cannot render.
    #[error("{what} is not supported yet; {instead}")]
    NotServed {
        /// What the bundle needs.
        what: String,
        /// What can be done.
        instead: &'static str,
    },
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// What a render needs to know beside the files and the options.
#[derive(Clone, Copy)]
pub struct RenderRequest<'a> {
    /// Name of the BundleDeployment.
    pub bundle_id: &'a str,
    /// Id of its set of objects; its sha1 becomes the label on every object.
    pub set_id: &'a str,
    /// Name of the release.
    pub release_name: &'a str,
    /// Revision that is being made; 1 installs.
    pub revision: u32,
    /// Commit of the bundle, may be empty.
    pub commit: &'a str,
    /// Id of the manifest.
    pub manifest_id: &'a str,
    /// Values of the chart: those of the options merged with those read downstream.
    pub values: &'a Object,
    /// What the cluster can do, for charts that ask.
    pub capabilities: &'a helm::Capabilities,
    /// Time, randomness and look-ups for charts that ask, and the bounds of the whole render.
    pub scope: &'a gotemplate::Scope,
    /// Which kinds live in namespaces.
    pub scopes: &'a dyn Scopes,
    /// Where charts are kept between renders, by `manifest_id`; `None` keeps nothing.
    pub charts: Option<&'a helm::ChartCache>,
}

/// Chart metadata and defaults, for the release record.
#[derive(Clone, Debug, Default)]
pub struct ChartInfo {
    /// `Chart.yaml` as JSON.
    pub metadata: Value,
    /// The chart's default values.
    pub values: Value,
}

/// Everything a deployment consists of.
#[derive(Clone, Debug, Default)]
pub struct RenderedSet {
    /// The chart that was rendered, or the one that stands in for plain manifests.
    pub chart: ChartInfo,
    /// Definitions of a chart's `crds/` folder: applied first, never changed or deleted later.
    pub definitions: Vec<RenderedObject>,
    /// Objects in Helm's install order.
    pub objects: Vec<RenderedObject>,
    /// Objects that run at certain moments only (annotation `helm.sh/hook`).
    pub hooks: Vec<RenderedObject>,
    /// All objects but hooks as text, as Helm stores them.
    pub manifest: String,
    /// `NOTES.txt` of the chart.
    pub notes: String,
    /// Documents that were left out, and why; for a condition, not errors.
    pub notices: Vec<String>,
}

/// Renders the files of a bundle for one deployment.
///
/// Guarantees: the same input gives the same bytes; every object carries the set's label and annotation.
pub fn render_manifest(
    manifest: &Manifest,
    options: &BundleDeploymentOptions,
    request: &RenderRequest<'_>,
) -> Result<RenderedSet, Error> {
    let files = unpack(manifest)?;
    let mut set = match style::find_style(&files, options) {
        Style::Helm { kustomization: Some(file), .. } => return Err(no_kustomize(&file)),
        Style::Helm { root, kustomization: None } => {
            chart::render_bundle_chart(&files, &root, options, request)?
        }
        Style::Kustomize { file } => return Err(no_kustomize(&file)),
        Style::Raw => raw::render_raw(&files, options, request)?,
    };
    postrender::finish(&mut set, options, request)?;
    Ok(set)
}

fn no_kustomize(file: &str) -> Error {
    Error::NotServed {
        what: format!("kustomize ({file})"),
        instead: "use plain manifests with overlays, or a Helm chart",
    }
}

fn unpack(manifest: &Manifest) -> Result<Files, Error> {
    let unpacked = manifest.resources.iter().map(|resource| {
        let bytes = decode_resource(resource).map_err(Error::Unpack)?;
        Ok((resource.name.clone(), bytes))
    });
    unpacked.collect()
}
