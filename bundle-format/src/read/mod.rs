//! Folders of a repository to bundles.
//!
//! Owns which folders become bundles, what goes into each and how it is named. Must not know Git,
//! disks, networks or clusters: charts that lie elsewhere are asked for, not fetched. Start at
//! [`read_bundles`].

mod check;
mod draft;
mod folder;
mod glob;
mod ignore;
mod request;
mod resources;
mod roots;
mod tree;

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Classify, ErrorClass};
use crate::fleet_yaml::{FleetYamlError, UnknownField};

pub use check::ManifestProblem;
pub use draft::{BundleDraft, ChartDependency, ChartRequest, ImageScanDraft};
pub use glob::GlobError;
pub use request::{BundleOverrides, Folders, ReadRequest};
pub use resources::{Files, ReadLimits, ResourcesError};
pub use roots::RootsError;
pub use tree::{Entry, EntryKind, FileTree, MemTree, TreeError};

use folder::{BundleFolder, read_folder};
use roots::find_roots;
use tree::clean_path;

/// Why one folder did not become a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The folders of a path were not found.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The tree did not answer.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The files were not collected.
    #[error(transparent)]
    Resources(#[from] ResourcesError),
    /// The `fleet.yaml` is wrong.
    #[error(transparent)]
    FleetYaml(#[from] FleetYamlError),
    /// A file of `helm.valuesFiles` is missing or wrong.
    #[error("values file {file}: {reason}")]
    ValuesFile {
        /// The file as written.
        file: String,
        /// In words, with the line where there is one.
        reason: String,
    },
    /// The options file of a listed bundle is missing.
    #[error("failed to open file {file:?}: no such file")]
    OptionsFile {
        /// The file as written.
        file: String,
    },
    /// The base of a listed bundle is missing.
    #[error("bundle folder {base:?} does not exist in the repository")]
    NoFolder {
        /// The folder as written.
        base: String,
    },
    /// A name that no BundleDeployment could have.
    #[error(
        "bundle name {name:?} is not valid: use at most 63 lower-case letters, digits, '-' or '.', \
         beginning and ending with a letter or digit"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// One name for two folders.
    #[error("bundle name {name:?} is used by {paths:?}: give each its own `name` in fleet.yaml")]
    NameTaken {
        /// The name.
        name: String,
        /// The folders.
        paths: Vec<String>,
    },
    /// ImageScans while the feature is off.
    #[error("imagescan is disabled; remove imagescans from your config files, or enable imagescan")]
    ImageScansDisabled,
    /// An ImageScan without `tagName`.
    #[error("the name of scan is required: set imageScans[{index}].tagName")]
    ImageScanName {
        /// Position in the list, from 0.
        index: usize,
    },
    /// Not one bundle in all of the folders.
    #[error("no resource found at the following paths to deploy: [{}]", .paths.join(" "))]
    NothingFound {
        /// The paths as written.
        paths: Vec<String>,
    },
}

impl Classify for ReadError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// Something worth telling a person that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A key of a `fleet.yaml` that nobody reads.
    UnknownField(UnknownField),
    /// A Git submodule, whose files are not deployed.
    Submodule {
        /// Its path.
        path: String,
    },
    /// A pointer of Git LFS, deployed as the text it is.
    LfsPointer {
        /// Path of the file.
        path: String,
    },
    /// A path that names no bundle, while others do.
    PathWithoutBundle {
        /// The path as written.
        path: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField(field) => write!(f, "{field}"),
            Self::Submodule { path } => {
                write!(f, "{path}: submodules are not supported yet, its files are left out")
            }
            Self::LfsPointer { path } => {
                write!(f, "{path}: Git LFS is not supported yet, the pointer itself is deployed")
            }
            Self::PathWithoutBundle { path } => write!(f, "path {path:?} holds no bundle"),
        }
    }
}

/// A folder that did not become a bundle, alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathFailure {
    /// The folder, or the path as written when its folders were not found.
    pub path: String,
    /// Why.
    pub error: ReadError,
}

/// What became of the folders of a repository.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOutcome {
    /// Bundles, sorted by name; names are unique.
    pub drafts: Vec<BundleDraft>,
    /// Folders that failed; the others are not held back (live finding 33).
    pub failures: Vec<PathFailure>,
    /// Things worth telling that belong to no draft.
    pub notices: Vec<Notice>,
}

impl ReadOutcome {
    /// True when every folder was read: only then is a bundle that is not here really gone.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Reads every bundle of a repository.
///
/// Guarantees: same tree and request, same outcome; one bad folder fails alone; nothing outside the
/// tree is read. Bundles without files are left out (Fleet 0.16).
pub fn read_bundles(tree: &dyn FileTree, request: &ReadRequest) -> ReadOutcome {
    let mut outcome = ReadOutcome::default();
    for folder in bundle_folders(tree, request, &mut outcome) {
        match read_folder(tree, request, &folder) {
            Ok(Some(draft)) => outcome.drafts.push(draft),
            Ok(None) => {}
            Err(error) => outcome.failures.push(PathFailure { path: folder.path, error }),
        }
    }
    refuse_shared_names(&mut outcome);
    if outcome.drafts.is_empty() && outcome.failures.is_empty() {
        let paths = request.folders.as_written();
        let error = ReadError::NothingFound { paths: paths.clone() };
        outcome.failures.push(PathFailure { path: paths.join(" "), error });
        outcome.notices.clear();
    }
    outcome
}

/// The folders to read, each once.
fn bundle_folders(
    tree: &dyn FileTree,
    request: &ReadRequest,
    outcome: &mut ReadOutcome,
) -> Vec<BundleFolder> {
    let mut folders: Vec<BundleFolder> = Vec::new();
    let mut failed = |path: &str, error: ReadError| {
        outcome.failures.push(PathFailure { path: path.to_owned(), error });
    };
    match &request.folders {
        Folders::Scan(_) => {
            for path in request.folders.as_written() {
                match find_roots(tree, &path, request.limits.entries) {
                    Ok(roots) if roots.is_empty() => {
                        outcome.notices.push(Notice::PathWithoutBundle { path });
                    }
                    Ok(roots) => folders.extend(roots.into_iter().map(|path| BundleFolder {
                        path,
                        options_file: request.options_file.clone(),
                    })),
                    Err(error) => failed(&path, error.into()),
                }
            }
        }
        Folders::Listed(bundles) => {
            for bundle in bundles {
                match clean_path(bundle.base.trim_start_matches('/')) {
                    Some(base) => folders.push(BundleFolder::listed(base, &bundle.options)),
                    None => {
                        let path = bundle.base.clone();
                        failed(&bundle.base, RootsError::Escapes { path }.into());
                    }
                }
            }
        }
    }
    // Overlapping paths name a folder twice; that is one bundle, not two of one name.
    folders.sort();
    folders.dedup();
    folders
}

/// Takes out the drafts that share a name (live finding 18: otherwise the last writer wins).
fn refuse_shared_names(outcome: &mut ReadOutcome) {
    let mut by_name: BTreeMap<String, Vec<BundleDraft>> = BTreeMap::new();
    for draft in outcome.drafts.drain(..) {
        by_name.entry(draft.name.clone()).or_default().push(draft);
    }
    for (name, mut drafts) in by_name {
        if drafts.len() == 1 {
            outcome.drafts.append(&mut drafts);
            continue;
        }
        let paths: Vec<String> = drafts.iter().map(|draft| draft.path.clone()).collect();
        outcome.failures.extend(drafts.into_iter().map(|draft| PathFailure {
            path: draft.path,
            error: ReadError::NameTaken { name: name.clone(), paths: paths.clone() },
        }));
    }
}

#[cfg(test)]
mod tests;
