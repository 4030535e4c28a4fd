//! `fleet template` against `helm template`, process against process, on the chart corpus.
//!
//! Owns the comparison and its reaches. How a process is measured is in [`child`], which cases
//! there are in [`corpus`]. Start at [`run`].

mod child;
mod corpus;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use child::{Sandbox, median, spread};
use corpus::Case;

/// The chart that has reaches of its own.
const CHART: &str = "argoproj__argo-cd";
/// What the warm render changes; helm gets the same flag.
const OTHER_VALUES: &str = "controller.replicas=3";
/// Processes of one program in the middle of its figures for [`CHART`].
const CHART_ROUNDS: usize = 21;

/// The programs that are compared.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The peer.
    pub helm: PathBuf,
    /// Ours.
    pub fleet: PathBuf,
    /// `render/examples/in_process.rs`, built with fleet.
    pub in_process: PathBuf,
    /// The Cargo profile that both of ours were built with.
    pub profile: String,
}

/// The medians of one case in milliseconds, and each round's.
struct Outcome {
    name: String,
    helm: Vec<f64>,
    fleet: Vec<f64>,
    helm_peak: f64,
    fleet_peak: f64,
}

impl Outcome {
    fn ratio(&self) -> f64 {
        median(&self.helm) / median(&self.fleet)
    }
}

/// Runs every case of the corpus that helm renders, and prints the figures.
///
/// # Errors
/// When fleet prints something else than what was recorded, or fails. A reach that is missed is
/// printed, not an error.
pub fn run(programs: &Programs, rounds: usize, filter: &str) -> Result<()> {
    let folder = corpus::folder()?;
    let cases = corpus::cases(&folder, filter)?;
    ensure!(!cases.is_empty(), "no case of the corpus holds {filter:?}");
    let sandbox = Sandbox::new()?;
    print(&format!(
        "{}; fleet: profile {}; {} cases, {rounds} rounds each, alternating; {} processors",
        version(&programs.helm)?,
        programs.profile,
        cases.len(),
        std::thread::available_parallelism().map_or(0, usize::from)
    ));
    let mut outcomes = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        match compare(programs, &sandbox, case, rounds)? {
            Some(outcome) => outcomes.push(outcome),
            None => print(&format!("left out, this helm differs {}", case.name)),
        }
        if number % 100 == 99 {
            crate::say(&format!("{} of {} cases", number + 1, cases.len()));
        }
    }
    print(&format!(
        "same bytes as recorded      fleet {} cases, helm {}, which are timed",
        cases.len(),
        outcomes.len()
    ));
    report_corpus(&outcomes, rounds);
    report_memory(&outcomes);
    match cases.iter().find(|case| case.name == CHART) {
        Some(case) => report_chart(programs, &sandbox, case),
        None => Ok(()),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn print(line: &str) {
    println!("{line}");
}

fn version(helm: &Path) -> Result<String> {
    let output = Command::new(helm).args(["version", "--template", "{{.Version}}"]).output();
    let output = output.with_context(|| format!("run {}", helm.display()))?;
    Ok(format!("helm {}", String::from_utf8_lossy(&output.stdout).trim()))
}

/// Both programs once untimed, then in turn. Every output is compared with what was recorded, the
/// judge of both: fleet has to print it, and times beside a helm that does not (another version, a
/// patched one) would say nothing, so the case is `None` then.
fn compare(
    programs: &Programs,
    sandbox: &Sandbox,
    case: &Case,
    rounds: usize,
) -> Result<Option<Outcome>> {
    let recorded = case.recorded()?;
    let fleet = || -> Result<f64> {
        let (time, printed) = sandbox.time(&programs.fleet, &case.args)?;
        ensure!(
            same_lines(&printed, &recorded),
            "{}: fleet prints something else than recorded",
            case.name
        );
        Ok(time)
    };
    fleet()?;
    let Ok(helm_peak) = sandbox.peak(&programs.helm, &case.args) else { return Ok(None) };
    let mut outcome = Outcome {
        name: case.name.clone(),
        helm: Vec::new(),
        fleet: Vec::new(),
        helm_peak,
        fleet_peak: sandbox.peak(&programs.fleet, &case.args)?,
    };
    for _ in 0..rounds {
        let (time, printed) = sandbox.time(&programs.helm, &case.args)?;
        if !same_lines(&printed, &recorded) {
            return Ok(None);
        }
        outcome.helm.push(time);
        outcome.fleet.push(fleet()?);
    }
    Ok(Some(outcome))
}

/// The recording holds no carriage returns, which some charts have in their files and helm prints.
fn same_lines(printed: &[u8], recorded: &[u8]) -> bool {
    printed.iter().filter(|byte| **byte != b'\r').eq(recorded)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
fn report_corpus(outcomes: &[Outcome], rounds: usize) {
    let sum = |times: fn(&Outcome) -> &Vec<f64>, round: Option<usize>| -> f64 {
        let time = |one: &Outcome| round.map_or_else(|| median(times(one)), |at| times(one)[at]);
        outcomes.iter().map(time).sum()
    };
    let (helm, fleet) = (sum(|one| &one.helm, None), sum(|one| &one.fleet, None));
    let of_rounds: Vec<f64> = (0..rounds)
        .map(|at| sum(|one| &one.helm, Some(at)) / sum(|one| &one.fleet, Some(at)))
        .collect();
    let total = helm / fleet;
    print(&format!(
        "whole corpus                helm {:.1} s, fleet {:.2} s: {total:.1} times faster (rounds {})   \
         {}",
        helm / 1000.0,
        fleet / 1000.0,
        spread(&of_rounds, 1),
        reach("10 times", total >= 10.0)
    ));
    let logs: f64 = outcomes.iter().map(|one| one.ratio().ln()).sum();
    let mean = (logs / outcomes.len() as f64).exp();
    print(&format!("geometric mean              {mean:.1} times faster"));
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    let below = |least: f64| sorted.iter().filter(|one| one.ratio() < least).count();
    print(&format!(
        "slower than helm            {} cases   {}",
        below(1.0),
        reach("none", below(1.0) == 0)
    ));
    print(&format!(
        "less than 10 times faster   {} cases   {}",
        below(10.0),
        reach("none", below(10.0) == 0)
    ));
    for one in sorted.iter().take(8) {
        print(&format!(
            "  {:5.1} times: {} (helm {} ms, fleet {} ms)",
            one.ratio(),
            one.name,
            spread(&one.helm, 0),
            spread(&one.fleet, 1)
        ));
    }
}

fn report_memory(outcomes: &[Outcome]) {
    let most = |peak: fn(&Outcome) -> f64| {
        outcomes.iter().max_by(|a, b| peak(a).total_cmp(&peak(b))).map(|one| (peak(one), &one.name))
    };
    let (Some((helm, helm_case)), Some((fleet, fleet_case))) =
        (most(|one| one.helm_peak), most(|one| one.fleet_peak))
    else {
        return;
    };
    print(&format!(
        "peak memory                 fleet {fleet:.1} MiB ({fleet_case}), helm {helm:.1} MiB \
         ({helm_case})   {}",
        reach("30 MB", fleet * 1.048_576 <= 30.0)
    ));
    let middle = |peak: fn(&Outcome) -> f64| median(&outcomes.iter().map(peak).collect::<Vec<_>>());
    print(&format!(
        "  median of the cases       fleet {:.1} MiB, helm {:.1} MiB",
        middle(|one| one.fleet_peak),
        middle(|one| one.helm_peak)
    ));
}

/// One chart more closely: as a process, in process, and rendered again with other values.
fn report_chart(programs: &Programs, sandbox: &Sandbox, case: &Case) -> Result<()> {
    let mut other = case.args.clone();
    other.extend(["--set".to_owned(), OTHER_VALUES.to_owned()]);
    let (mut helm, mut fleet, mut helm_other) = (Vec::new(), Vec::new(), Vec::new());
    let mut wanted = Vec::new();
    for _ in 0..CHART_ROUNDS {
        helm.push(sandbox.time(&programs.helm, &case.args)?.0);
        fleet.push(sandbox.time(&programs.fleet, &case.args)?.0);
        let (time, output) = sandbox.time(&programs.helm, &other)?;
        helm_other.push(time);
        wanted = output;
    }
    print(&format!(
        "{CHART}, process  fleet {} ms, helm {} ms   {}",
        spread(&fleet, 1),
        spread(&helm, 0),
        reach("60 ms", median(&fleet) <= 60.0)
    ));
    print(&format!(
        "  peak memory               fleet {:.1} MiB, helm {:.1} MiB",
        sandbox.peak(&programs.fleet, &case.args)?,
        sandbox.peak(&programs.helm, &case.args)?
    ));
    let inside = in_process(programs, sandbox, case, &wanted)?;
    print(&format!(
        "  in process                fleet {} ms   {}",
        spread(&inside.cold, 1),
        reach("30 ms", median(&inside.cold) <= 30.0)
    ));
    let ratio = median(&helm_other) / median(&inside.warm);
    print(&format!(
        "  warm, other values        fleet {} ms, helm process {} ms: 1/{ratio:.0}   {}",
        spread(&inside.warm, 2),
        spread(&helm_other, 0),
        reach("1/50", ratio >= 50.0)
    ));
    Ok(())
}

struct InProcess {
    cold: Vec<f64>,
    warm: Vec<f64>,
}

/// Runs the example; its last warm output must be what helm prints for the same values.
fn in_process(
    programs: &Programs,
    sandbox: &Sandbox,
    case: &Case,
    wanted: &[u8],
) -> Result<InProcess> {
    let output = sandbox.file("warm.yaml");
    let done = Command::new(&programs.in_process)
        .arg(&case.chart)
        .arg(OTHER_VALUES)
        .arg(&output)
        .output()
        .with_context(|| format!("run {}", programs.in_process.display()))?;
    ensure!(done.status.success(), "in_process: {}", String::from_utf8_lossy(&done.stderr));
    ensure!(std::fs::read(&output)? == wanted, "{}: a warm render differs from helm", case.name);
    let times: Value = serde_json::from_slice(&done.stdout)?;
    let list = |name: &str| -> Vec<f64> {
        times[name].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
    };
    Ok(InProcess { cold: list("cold"), warm: list("warm") })
}

fn reach(wanted: &str, is_met: bool) -> String {
    format!("reach {wanted}: {}", if is_met { "met" } else { "MISSED" })
}
