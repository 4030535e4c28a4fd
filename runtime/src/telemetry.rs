//! Log output.
//!
//! Owns the tracing subscriber of the process. Knows nothing of what is logged; the rule is one
//! `info` per change of state, none for a pass that changed nothing. Start at [`init`].

use tracing_subscriber::{EnvFilter, fmt};

/// How a process logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// 0 is `info`, 1 to 4 is `debug` of our crates, above that `trace`.
    pub debug_level: u8,
    /// One JSON object per line instead of text.
    pub json: bool,
}

impl TelemetryConfig {
    /// Debug from the flags, JSON from `FLEET_LOG_FORMAT=json`.
    #[must_use]
    pub fn from_env(debug: bool, debug_level: u8) -> Self {
        let json = std::env::var("FLEET_LOG_FORMAT").is_ok_and(|f| f.eq_ignore_ascii_case("json"));
        Self { debug_level: if debug { debug_level.max(1) } else { 0 }, json }
    }
}

/// Installs the subscriber; the second call in a process does nothing. `RUST_LOG` wins.
pub fn init(config: TelemetryConfig) {
    let default = match config.debug_level {
        // The client's own error lines repeat what its caller reports.
        0 => "info,hyper=warn,kube=warn,kube_client=off,gix=warn",
        1..=4 => "debug,hyper=info,hyper_util=info,rustls=info,h2=info,tower=info",
        _ => "trace,hyper=info,hyper_util=info,rustls=info,h2=info,tower=info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    let installed = if config.json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
    };
    drop(installed);
}
