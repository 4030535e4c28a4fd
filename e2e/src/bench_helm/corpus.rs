//! The cases of the chart corpus that helm renders to the same bytes each time.
//!
//! Start at [`cases`].

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::peers::workspace;

/// One case.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub name: String,
    /// The chart's archive.
    pub chart: PathBuf,
    /// Arguments of helm and of fleet, `template` in front.
    pub args: Vec<String>,
    /// What the peer printed when the corpus was recorded, compressed.
    expected: PathBuf,
}

impl Case {
    /// What the peer printed when the corpus was recorded.
    pub(super) fn recorded(&self) -> Result<Vec<u8>> {
        let file = std::fs::File::open(&self.expected);
        let file = file.with_context(|| format!("open {}", self.expected.display()))?;
        let mut bytes = Vec::new();
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// `FLEET_CHART_CORPUS`, else `../shared/corpus` beside the workspace.
pub(super) fn folder() -> Result<PathBuf> {
    let folder = std::env::var_os("FLEET_CHART_CORPUS")
        .map_or_else(|| workspace().join("../shared/corpus"), PathBuf::from);
    ensure!(
        folder.join("manifest.json").is_file(),
        "no chart corpus in {}: set FLEET_CHART_CORPUS",
        folder.display()
    );
    Ok(folder)
}

/// All cases with `result: ok` whose names hold the filter.
pub(super) fn cases(folder: &Path, filter: &str) -> Result<Vec<Case>> {
    let manifest = std::fs::read_to_string(folder.join("manifest.json"))?;
    let manifest: Value = serde_json::from_str(&manifest).context("read manifest.json")?;
    let all = manifest["cases"].as_array().context("manifest.json holds no cases")?;
    let ok = all.iter().filter(|case| case["result"] == "ok");
    let named = ok.filter(|case| case["case"].as_str().is_some_and(|name| name.contains(filter)));
    named.map(|case| read_case(folder, case)).collect()
}

fn read_case(folder: &Path, case: &Value) -> Result<Case> {
    let text = |name: &str| case[name].as_str().with_context(|| format!("a case has no {name}"));
    let chart = folder.join(text("chart")?);
    let path = chart.to_str().context("the corpus lies in a folder that is not UTF-8")?;
    let mut args = vec!["template".to_owned()];
    for arg in case["args"].as_array().context("a case has no args")? {
        let arg = arg.as_str().context("an argument is not text")?;
        args.push(if arg == "CHART" { path.to_owned() } else { arg.to_owned() });
    }
    if let Some(values) = case["values"].as_str() {
        args.extend(["-f".to_owned(), folder.join(values).display().to_string()]);
    }
    let expected = folder.join(text("expected")?);
    Ok(Case { name: text("case")?.to_owned(), chart, args, expected })
}
