//! Helm charts: files and values → objects, as helm 4.3.1 makes them.
//!
//! Owns charts, values, dependencies, schemas, rendering, hooks and order. Knows nothing of
//! clusters, files on disk or networks: the world is reached through [`gotemplate::Host`].
//! Start at [`render_chart`].

mod archive;
mod capabilities;
mod chart;
mod compiled;
mod dependencies;
mod documents;
mod engine;
mod error;
mod files;
mod functions;
mod glob;
mod hooks;
mod ignore;
mod imports;
mod metadata;
mod schema;
mod set;
mod toml;
mod values;

pub use archive::{ArchiveLimits, ChartFile, read_archive};
pub use capabilities::{Capabilities, DEFAULT_API_VERSIONS, HELM_VERSION, KubeVersion};
pub use chart::{Chart, CrdFile, TemplateFile, load_chart, load_chart_archive, without_ignored};
pub use compiled::{CacheLimits, ChartCache, CompiledChart};
pub use dependencies::{check_dependencies, check_installable};
pub use documents::{Document, split_manifests};
pub use engine::{ChartRequest, Release, RenderedChart, render_chart};
pub use error::Error;
pub use functions::registry;
pub use hooks::{Hook, INSTALL_ORDER, show_only};
pub use ignore::IgnoreRules;
pub use metadata::{Dependency, Metadata};
pub use set::{SetKind, set_values};
pub use values::{Values, coalesce_values, load_values, merge_maps, table_at};
