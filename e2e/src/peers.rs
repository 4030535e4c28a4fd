//! The programs the suite runs: the peers (kube-apiserver, helm, kubectl) and our own `fleet`.
//!
//! Owns building them from their Go modules and keeping them between runs. Knows nothing of what
//! they are used for. Start at [`Peers::find`].

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::run;

/// The Helm version that the suite runs.
pub const HELM_VERSION: &str = "v4.3.1";

/// Paths of programs.
#[derive(Clone, Debug)]
pub struct Peers {
    /// etcd, kube-apiserver and kube-controller-manager in one file.
    pub kubebox: PathBuf,
    /// Helm's CLI.
    pub helm: PathBuf,
    /// Kubernetes' CLI.
    pub kubectl: PathBuf,
    /// Our own program.
    pub fleet: PathBuf,
}

impl Peers {
    /// Finds every program, building what is missing.
    ///
    /// `FLEET_KUBEBOX`, `FLEET_HELM`, `FLEET_KUBECTL` and `FLEET_BIN` name programs to use instead.
    ///
    /// # Errors
    /// When a program is missing and cannot be built.
    pub fn find() -> Result<Self> {
        Ok(Self {
            kubebox: find_kubebox()?,
            helm: find_helm()?,
            kubectl: find_kubectl()?,
            fleet: chosen("FLEET_BIN").map_or_else(built_fleet, Ok)?,
        })
    }
}

/// The control plane's program: chosen by `FLEET_KUBEBOX`, or built.
///
/// # Errors
/// When it cannot be built.
pub fn find_kubebox() -> Result<PathBuf> {
    chosen("FLEET_KUBEBOX").map_or_else(build_kubebox, Ok)
}

/// Builds the peers that are missing, so that they are there when the stories start.
///
/// # Errors
/// When one cannot be built.
pub fn build_peers() -> Result<()> {
    if chosen("FLEET_KUBEBOX").is_none() {
        build_kubebox()?;
    }
    if chosen("FLEET_HELM").is_none() {
        build_helm()?;
    }
    find_kubectl().map(drop)
}

/// `FLEET_HELM`, else the one built from its Go module.
///
/// # Errors
/// When it cannot be built.
pub fn find_helm() -> Result<PathBuf> {
    chosen("FLEET_HELM").map_or_else(build_helm, Ok)
}

fn chosen(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The top of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where built peers are kept: `FLEET_E2E_CACHE`, else `.e2e` in the workspace.
pub fn cache() -> PathBuf {
    chosen("FLEET_E2E_CACHE").unwrap_or_else(|| workspace().join(".e2e"))
}

fn build_kubebox() -> Result<PathBuf> {
    build_in_module("kubebox", ".")
}

/// Builds a package in the context of `e2e/kubebox`, whose `go.sum` pins every byte. The name
/// holds a digest of that module, so that a change of versions builds anew.
fn build_in_module(name: &str, package: &str) -> Result<PathBuf> {
    let module = workspace().join("e2e/kubebox");
    let mut sources = Vec::new();
    for file in ["go.mod", "go.sum", "main.go"] {
        sources.extend(std::fs::read(module.join(file)).with_context(|| format!("read {file}"))?);
    }
    let target = cache().join(format!("{name}-{}", &sha256(&sources)[..12]));
    if !target.exists() {
        // Renamed when complete, so that an interrupted build leaves nothing behind.
        let partial = target.with_extension("partial");
        std::fs::create_dir_all(cache())?;
        crate::say(&format!("building {name} from its Go modules (minutes, once)"));
        run(Command::new("go")
            .current_dir(&module)
            .env("CGO_ENABLED", "0")
            .args(["build", "-trimpath", "-mod=readonly", "-ldflags", "-s -w", "-o"])
            .arg(&partial)
            .arg(package))?;
        std::fs::rename(&partial, &target)?;
    }
    Ok(target)
}

fn build_helm() -> Result<PathBuf> {
    let target = cache().join(format!("helm-{HELM_VERSION}"));
    let folder = cache().join("helm.building");
    let module = format!("helm.sh/helm/v4/cmd/helm@{HELM_VERSION}");
    if !target.exists() {
        std::fs::create_dir_all(&folder)?;
        crate::say(&format!("building helm {HELM_VERSION}"));
        run(Command::new("go")
            .env("CGO_ENABLED", "0")
            .env("GOBIN", &folder)
            .args(["install", "-ldflags", "-s -w", &module]))?;
        std::fs::rename(folder.join("helm"), &target)?;
    }
    Ok(target)
}

fn find_kubectl() -> Result<PathBuf> {
    if let Some(path) = chosen("FLEET_KUBECTL") {
        return Ok(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("kubectl"));
    match found.into_iter().find(|file| file.is_file()) {
        Some(file) => Ok(file),
        None => build_in_module("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    }
}

/// The program beside the one that is running: both are built into the same folder.
fn built_fleet() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let candidates = own.ancestors().skip(1).take(2).map(|folder| folder.join("fleet"));
    match candidates.into_iter().find(|file| file.is_file()) {
        Some(file) => Ok(file),
        None => {
            bail!("no program fleet beside {}: build it with `cargo build -p cli`", own.display())
        }
    }
}

/// The digest of some bytes as lower-case hex.
fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
