//! Public charts against what helm printed: the corpus outside of this repository.
//!
//! `FLEET_CHART_CORPUS` names its folder, else `../shared/corpus` beside the workspace. Without
//! it the test says so and passes. `FLEET_CORPUS_CASE` runs one case, or all whose names contain
//! the text, and `FLEET_CORPUS_OUT` is a folder that gets what differs.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value as Json;

use render::helm::{
    ArchiveLimits, CacheLimits, ChartCache, CompiledChart, Values, load_chart_archive, load_values,
};

use crate::command::{expected_error, template};

/// Where the recording of stderr stops.
const RECORDED_STDERR_BYTES: usize = 600;

fn corpus() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let folder = std::env::var_os("FLEET_CHART_CORPUS").map_or(default, PathBuf::from);
    folder.join("manifest.json").is_file().then_some(folder)
}

fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    let bytes = std::fs::read(path).unwrap();
    flate2::read::MultiGzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
    text
}

/// What differs between output and recording; `None` if nothing does.
fn difference(got: &str, want: &str) -> Option<String> {
    if got == want {
        return None;
    }
    let (got_lines, want_lines): (Vec<&str>, Vec<&str>) =
        (got.lines().collect(), want.lines().collect());
    for (number, want) in want_lines.iter().enumerate() {
        let got = got_lines.get(number).copied().unwrap_or("(nothing)");
        if got != *want && *want != "<random>" {
            return Some(format!("line {}\n    got:  {got}\n    want: {want}", number + 1));
        }
    }
    if got_lines.len() != want_lines.len() || got.ends_with('\n') != want.ends_with('\n') {
        return Some(format!("{} lines, want {}", got_lines.len(), want_lines.len()));
    }
    None
}

// Each case twice: with nothing kept, and with the chart as cases before it left it.
fn run(folder: &Path, case: &Json, charts: &ChartCache) -> Result<String, String> {
    let args: Vec<&str> =
        case["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let mut base = Values::new();
    if let Some(file) = case["values"].as_str() {
        base = load_values(&std::fs::read_to_string(folder.join(file)).unwrap())?;
    }
    let name = case["chart"].as_str().unwrap();
    let archive = std::fs::read(folder.join(name)).unwrap();
    let load = || load_chart_archive(&archive, ArchiveLimits::default());
    let cold = template(load().and_then(CompiledChart::new), &args, base.clone());
    let warm = template(charts.get_or_load(name, load), &args, base);
    if warm == cold { cold } else { Err(format!("kept, it renders otherwise: {warm:?}")) }
}

fn check(folder: &Path, case: &Json, charts: &ChartCache) -> Result<(), String> {
    let name = case["case"].as_str().unwrap();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(folder, case, charts)))
        .unwrap_or_else(|_| Err("panicked".to_owned()));
    let save = |text: &str, extension: &str| {
        if let Some(out) = std::env::var_os("FLEET_CORPUS_OUT") {
            let _ = std::fs::write(Path::new(&out).join(format!("{name}.{extension}")), text);
        }
    };
    match (case["result"].as_str().unwrap(), outcome) {
        ("error", Err(got)) => {
            let want = expected_error(case["stderr"].as_str().unwrap());
            let got = got.trim().to_owned();
            // Long words were cut when they were recorded.
            let cut = case["stderr"].as_str().unwrap().len() >= RECORDED_STDERR_BYTES;
            if got == want || cut && got.starts_with(&want) {
                return Ok(());
            }
            Err(format!("error\n    got:  {got}\n    want: {want}"))
        }
        ("error", Ok(_)) => Err("printed, want an error".to_owned()),
        (_, Err(got)) => Err(format!("failed: {got}")),
        (_, Ok(got)) => {
            let want = gunzip(&folder.join(case["expected"].as_str().unwrap()));
            let differs = difference(&got, &want);
            if differs.is_some() {
                save(&got, "got");
                save(&want, "want");
            }
            differs.map_or(Ok(()), Err)
        }
    }
}

/// What became of each case: its kind, and what differed.
type Verdicts = BTreeMap<String, (String, Result<(), String>)>;

#[test]
fn corpus_renders_as_helm_does() {
    let Some(folder) = corpus() else {
        println!("corpus: not there, skipped (set FLEET_CHART_CORPUS)");
        return;
    };
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: Json = serde_json::from_str(&manifest).unwrap();
    let filter = std::env::var_os("FLEET_CORPUS_CASE").unwrap_or_default().into_string().unwrap();
    let cases: Vec<&Json> = manifest["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["case"].as_str().unwrap().contains(&filter))
        .collect();
    let next = AtomicUsize::new(0);
    let charts = ChartCache::new(CacheLimits { entries: 8, bytes: 16 << 20 });
    let results: Mutex<Verdicts> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = check(&folder, case, &charts);
                    let kind = case["result"].as_str().unwrap().to_owned();
                    let name = case["case"].as_str().unwrap().to_owned();
                    results.lock().unwrap().insert(name, (kind, result));
                }
            });
        }
    });
    report(&results.into_inner().unwrap());
}

fn report(results: &BTreeMap<String, (String, Result<(), String>)>) {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut failed = 0;
    for (name, (kind, result)) in results {
        let count = counts.entry(kind).or_default();
        count.1 += 1;
        match result {
            Ok(()) => count.0 += 1,
            Err(text) => {
                failed += 1;
                println!("{name}: {text}");
            }
        }
    }
    for (kind, (passed, all)) in counts {
        println!("corpus {kind}: {passed} of {all}");
    }
    assert_eq!(failed, 0, "{failed} of {} cases differ", results.len());
}
