//! Metrics and probes.
//!
//! Owns the registry and the answers of `/metrics`, `/healthz` and `/readyz`. Labels carry error
//! classes, never messages. Start at [`Metrics`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use hyper::body::Incoming;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::http_server::{self, Answer, BindAddress, ServeError};

/// The registry of a process; clones share it.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers metrics: `metrics.register(|r| r.register("fleet_x", "help", counter.clone()))`.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Everything in Prometheus text form.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        match encode(&mut text, &registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}

/// What the probes answer; clones share it. Alive from the start, ready when told so.
#[derive(Clone, Debug, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// Alive, not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the answer of `/readyz`.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }
}

/// Serves `/metrics` on one address and the probes on another, as Fleet's processes do. Either may
/// be off; on the same address both sets of paths are answered by both listeners' handler.
///
/// # Errors
/// When an address cannot be bound.
pub async fn serve(
    metrics: (&BindAddress, Metrics),
    health: (&BindAddress, Health),
    shutdown: &CancellationToken,
) -> Result<(), ServeError> {
    let (metrics_at, metrics) = metrics;
    let (health_at, health) = health;
    if metrics_at == health_at {
        let answer = answer_with(Some(metrics), Some(health));
        http_server::serve(metrics_at, shutdown.clone(), answer).await?;
        return Ok(());
    }
    http_server::serve(metrics_at, shutdown.clone(), answer_with(Some(metrics), None)).await?;
    http_server::serve(health_at, shutdown.clone(), answer_with(None, Some(health))).await?;
    Ok(())
}

fn answer_with(
    metrics: Option<Metrics>,
    health: Option<Health>,
) -> impl Fn(Request<Incoming>) -> std::future::Ready<Answer> + Clone {
    move |request| {
        let answer = match (request.uri().path(), &metrics, &health) {
            ("/metrics", Some(metrics), _) => open_metrics(metrics),
            ("/healthz", _, Some(_)) => http_server::text(200, "ok"),
            ("/readyz", _, Some(health)) if health.ready.load(Ordering::Relaxed) => {
                http_server::text(200, "ok")
            }
            ("/readyz", _, Some(_)) => http_server::text(503, "not ready"),
            _ => http_server::text(404, "not found\n"),
        };
        std::future::ready(answer)
    }
}

fn open_metrics(metrics: &Metrics) -> Answer {
    let mut answer = http_server::text(200, metrics.render());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    answer
}
