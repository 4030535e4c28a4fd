//! Tells whether a bundle is a Helm chart, a kustomization or plain manifests.
//!
//! Owns the rules of Rancher Fleet 0.16, which look at file names only. Start at [`find_style`].

use bundle_format::api::names::sha256_hex;
use bundle_format::api::options::{BundleDeploymentOptions, HelmOptions};

use crate::Files;

/// How a bundle is rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// A Helm chart, followed by the kustomization when there is one.
    Helm {
        /// Folder of the chart, empty for the bundle's root.
        root: String,
        /// Kustomization to lay over the chart's output.
        kustomization: Option<String>,
    },
    /// A kustomization.
    Kustomize {
        /// Its file.
        file: String,
    },
    /// Plain manifests.
    Raw,
}

/// Finds the style of a bundle.
#[must_use]
pub fn find_style(files: &Files, options: &BundleDeploymentOptions) -> Style {
    let kustomization = find_kustomization(files, options);
    let default = HelmOptions::default();
    let helm = options.helm.as_ref().unwrap_or(&default);
    match (find_chart(files, helm), kustomization) {
        (Some(root), kustomization) => Style::Helm { root, kustomization },
        (None, Some(file)) => Style::Kustomize { file },
        (None, None) => Style::Raw,
    }
}

/// Folder of the effective chart: the one in the bundle, or the one downloaded for chart, repo and version.
fn find_chart(files: &Files, helm: &HelmOptions) -> Option<String> {
    let local = clean(&helm.chart);
    if files.contains_key(&join(&local, "Chart.yaml")) {
        return Some(local);
    }
    let id = sha256_hex(format!("{}:{}:{}", helm.chart, helm.repo, helm.version).as_bytes());
    let folder = format!(".chart/{id}");
    if files.contains_key(&join(&folder, "Chart.yaml")) {
        return Some(folder);
    }
    let prefix = format!("{folder}/");
    files.keys().find_map(|name| {
        let (inner, file) = name.strip_prefix(&prefix)?.split_once('/')?;
        (file == "Chart.yaml").then(|| format!("{folder}/{inner}"))
    })
}

fn find_kustomization(files: &Files, options: &BundleDeploymentOptions) -> Option<String> {
    let folder =
        options.kustomize.as_ref().map(|kustomize| clean(&kustomize.dir)).unwrap_or_default();
    let file = join(&folder, "kustomization.yaml");
    files.contains_key(&file).then_some(file)
}

/// A relative path without `.`, empty parts and leading slashes.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn join(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle_format::api::options::KustomizeOptions;

    fn files(names: &[&str]) -> Files {
        names.iter().map(|name| ((*name).to_owned(), Vec::new())).collect()
    }

    fn with_chart(chart: &str) -> BundleDeploymentOptions {
        let helm = HelmOptions { chart: chart.to_owned(), ..HelmOptions::default() };
        BundleDeploymentOptions { helm: Some(helm), ..BundleDeploymentOptions::default() }
    }

    #[test]
    fn chart_at_the_root_or_in_the_named_folder_is_helm() {
        let root = Style::Helm { root: String::new(), kustomization: None };
        assert_eq!(find_style(&files(&["Chart.yaml"]), &BundleDeploymentOptions::default()), root);
        let nested = Style::Helm { root: "config-chart".to_owned(), kustomization: None };
        assert_eq!(
            find_style(&files(&["config-chart/Chart.yaml"]), &with_chart("./config-chart")),
            nested
        );
        assert_eq!(
            find_style(&files(&["config-chart/Chart.yaml"]), &BundleDeploymentOptions::default()),
            Style::Raw
        );
    }

    #[test]
    fn kustomization_of_the_chosen_folder_is_kustomize() {
        let mut options = BundleDeploymentOptions::default();
        let tree = files(&["overlays/dev/kustomization.yaml", "base/kustomization.yaml"]);
        assert_eq!(find_style(&tree, &options), Style::Raw);
        options.kustomize = Some(KustomizeOptions { dir: "overlays/dev".to_owned() });
        let file = "overlays/dev/kustomization.yaml".to_owned();
        assert_eq!(find_style(&tree, &options), Style::Kustomize { file });
    }
}
