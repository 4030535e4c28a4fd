//! The one signal that ends a process.
//!
//! Owns SIGTERM and SIGINT. Knows nothing of what has to stop. Start at [`on_signal`].

use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT.
///
/// A second SIGINT ends the process at once, as a person at a terminal expects.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "shutting down"),
            _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "shutting down"),
        }
        cancelled.cancel();
        interrupt.recv().await;
        std::process::exit(130);
    });
    Ok(token)
}
