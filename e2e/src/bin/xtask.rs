//! Project tasks: `cargo xtask <task>`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("crds") => refresh_crds(),
        _ => ExitCode::from(2),
    }
}

/// Writes the generated files of `charts/fleet-crd`.
fn refresh_crds() -> ExitCode {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/fleet-crd");
    for (path, text) in bundle_format::api::crds::chart_files() {
        if std::fs::write(chart.join(path), text).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
