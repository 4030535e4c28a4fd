//! Times renders of one chart inside one process; a part of `cargo xtask bench-helm`.
//!
//! `in_process CHART.tgz KEY=VALUE OUTPUT` prints milliseconds as JSON: `cold` loads and renders the
//! archive each time with nothing kept, `warm` renders the compiled chart with KEY set to something
//! else each time. OUTPUT gets what the last warm render gives, with VALUE.

#![expect(clippy::disallowed_types, reason = "time is what it measures")]

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use render::helm::{
    ArchiveLimits, Capabilities, ChartRequest, CompiledChart, KubeVersion, Release, SetKind,
    Values, load_chart_archive, set_values,
};
use render::{Budget, Scope};

/// That of the `fleet` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 31;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, chart, setting, output] = &arguments[..] else {
        return Err("usage: in_process CHART.tgz KEY=VALUE OUTPUT".into());
    };
    let archive = std::fs::read(chart)?;
    let key = setting.split('=').next().unwrap_or_default();
    let mut cold = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let chart = CompiledChart::new(load_chart_archive(&archive, ArchiveLimits::default())?)?;
        let text = render(&chart, "")?;
        cold.push(milliseconds(started));
        drop(text);
    }
    let chart = CompiledChart::new(load_chart_archive(&archive, ArchiveLimits::default())?)?;
    render(&chart, "")?;
    let mut warm = Vec::new();
    let mut text = String::new();
    for round in 0..=ROUNDS {
        let other = format!("{key}={}", round + 10);
        let setting = if round == ROUNDS { setting } else { &other };
        let started = Instant::now();
        text = render(&chart, setting)?;
        warm.push(milliseconds(started));
    }
    std::fs::write(output, text)?;
    let times = serde_json::json!({ "cold": cold, "warm": warm });
    Ok(writeln!(std::io::stdout(), "{times}")?)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// What `helm template rel CHART --namespace ns1 --kube-version v1.33.0 --include-crds` prints.
fn render(chart: &CompiledChart, setting: &str) -> Result<String, Failure> {
    let mut values = Values::new();
    set_values(&mut values, setting, &SetKind::Typed)?;
    let release = Release {
        name: "rel".to_owned(),
        namespace: "ns1".to_owned(),
        revision: 1,
        is_upgrade: false,
    };
    let host = Arc::new(gotemplate::FixedHost::default());
    let rendered = chart.render(&ChartRequest {
        values: &values,
        release: &release,
        capabilities: &Capabilities::new(KubeVersion::parse("v1.33.0")?, &[]),
        check_schema: true,
        keep_objects: false,
        scope: &Scope { host, budget: Arc::new(Budget::default()) },
    })?;
    Ok(rendered.template_output(true, true, true))
}
