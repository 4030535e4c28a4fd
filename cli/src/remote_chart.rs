//! Charts that lie in repositories and registries, for commands that name them on the line.
//!
//! Owns Helm's flags for them and Helm's rule what a CHART argument means. Fetching is `gitjob`'s
//! job. Start at [`locate_chart`].

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bundle_format::read::ChartRequest;
use clap::Args;
use gitjob::chart::pull_chart;
use gitjob::net::{Access, Credentials};

use crate::input::read_text;

/// Where charts that lie elsewhere come from
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Chart from elsewhere")]
pub struct ChartSourceArgs {
    /// Repository that the chart is in
    #[arg(long, value_name = "URL")]
    pub repo: Option<String>,
    /// Version of the chart, or a constraint on it [default: the latest]
    #[arg(long = "version", value_name = "VERSION")]
    pub chart_version: Option<String>,
    /// Take pre-releases too; the same as --version '>0.0.0-0'
    #[arg(long)]
    pub devel: bool,
    /// User name
    #[arg(long)]
    pub username: Option<String>,
    /// Password
    #[arg(long, requires = "username")]
    pub password: Option<String>,
    /// File with CA certificates
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Do not check certificates
    #[arg(long)]
    pub insecure_skip_tls_verify: bool,
    /// Speak to the registry over plain HTTP
    #[arg(long)]
    pub plain_http: bool,
}

/// Where a chart is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// A folder or a file of this machine.
    Here(PathBuf),
    /// An archive that was fetched.
    Archive(Vec<u8>),
}

/// Finds a chart as helm 4.3 does: with `--repo` by its name there, else a path that exists, else
/// an address.
///
/// # Errors
/// Helm's words where nothing was asked of the network.
pub(crate) fn locate_chart(chart: &str, args: &ChartSourceArgs) -> anyhow::Result<Located> {
    let repo = args.repo.clone().unwrap_or_default();
    if repo.is_empty() {
        let path = Path::new(chart);
        if path.exists() {
            return Ok(Located::Here(path.to_owned()));
        }
        if path.is_absolute() || chart.starts_with('.') {
            bail!("path {chart:?} not found");
        }
        let has_address = ["oci://", "https://", "http://"].iter().any(|s| chart.starts_with(s));
        match chart.split_once('/') {
            _ if has_address => {}
            Some((repo, _)) => bail!("repo {repo} not found: name it with --repo URL"),
            None => bail!(
                "non-absolute URLs should be in form of repo_name/path_to_chart, got: {chart}"
            ),
        }
    }
    let version = match (&args.chart_version, args.devel) {
        (Some(version), _) => version.trim().to_owned(),
        (None, true) => ">0.0.0-0".to_owned(),
        (None, false) => String::new(),
    };
    let request = ChartRequest { chart: chart.to_owned(), repo, version };
    let access = access(args)?;
    let archive = crate::wait_for(async {
        let archive = pull_chart(&request, access, args.plain_http).await;
        archive.with_context(|| format!("chart {chart}"))
    })?;
    Ok(Located::Archive(archive.to_vec()))
}

fn access(args: &ChartSourceArgs) -> anyhow::Result<Access> {
    let credentials = args.username.clone().map(|username| Credentials::Basic {
        username,
        password: args.password.clone().unwrap_or_default(),
    });
    let ca_pem = args.ca_file.as_deref().map(read_text).transpose()?.map(String::into_bytes);
    Ok(Access { credentials, ca_pem, insecure_skip_tls: args.insecure_skip_tls_verify })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from helm 4.3.1: `helm template rel CHART`, standard error after `Error: `.
    #[test]
    fn what_is_nowhere_is_refused_in_helms_words() {
        for (chart, words) in [
            ("./nope", "path \"./nope\" not found"),
            ("/abs/nope", "path \"/abs/nope\" not found"),
            ("foo/nope", "repo foo not found"),
            ("nope", "non-absolute URLs should be in form of repo_name/path_to_chart, got: nope"),
        ] {
            let error = locate_chart(chart, &ChartSourceArgs::default()).expect_err(chart);
            assert!(error.to_string().starts_with(words), "{chart}: {error}");
        }
    }
}
