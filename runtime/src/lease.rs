//! Leadership by a coordination.k8s.io Lease.
//!
//! Owns who may work. Work runs inside [`lead`] and gets a token that is cancelled *before* the
//! lease can pass to another process; a lost lease is stepped down from and waited for again,
//! never a reason to exit. Start at [`lead`].

use std::future::Future;
use std::time::Duration;

use bundle_format::error::{Classify, ErrorClass};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::{ApiError, optional};
use crate::clock::Clock;

/// The three durations of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTiming {
    /// How long others wait after the last renewal before they take over.
    pub lease_duration: Duration,
    /// How long the leader may fail to renew before it steps down; shorter than the above.
    pub renew_deadline: Duration,
    /// Time between two attempts.
    pub retry_period: Duration,
}

/// A missing or malformed duration.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The variable must be set.
    #[error("environment variable {name} not set")]
    NotSet {
        /// Its name.
        name: String,
    },
    /// The variable is no Go duration.
    #[error("environment variable {name}: {value:?} is not a duration such as 30s")]
    NotADuration {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// The durations contradict one another.
    #[error("{prefix}: lease duration must exceed renew deadline, and that the retry period")]
    Order {
        /// Common prefix of the variables.
        prefix: String,
    },
}

impl Classify for LeaseError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

impl LeaseTiming {
    /// What Fleet's cleanup and agent management use when nothing is set.
    pub const CLEANUP: Self = Self {
        lease_duration: Duration::from_secs(45),
        renew_deadline: Duration::from_secs(30),
        retry_period: Duration::from_secs(2),
    };

    /// Reads `<prefix>_LEASE_DURATION`, `_RENEW_DEADLINE` and `_RETRY_PERIOD`; all three are
    /// mandatory. Prefixes: `CATTLE_ELECTION`, `FLEET_AGENT_ELECTION`.
    ///
    /// # Errors
    /// When one is missing, malformed, or the three contradict one another.
    pub fn from_env(prefix: &str) -> Result<Self, LeaseError> {
        Self::read(prefix, &|name| std::env::var(name).ok())
    }

    fn read(prefix: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, LeaseError> {
        let read = |suffix: &str| {
            let name = format!("{prefix}_{suffix}");
            match env(&name).filter(|value| !value.trim().is_empty()) {
                None => Err(LeaseError::NotSet { name }),
                Some(value) => {
                    go_duration(value.trim()).ok_or(LeaseError::NotADuration { name, value })
                }
            }
        };
        let timing = Self {
            lease_duration: read("LEASE_DURATION")?,
            renew_deadline: read("RENEW_DEADLINE")?,
            retry_period: read("RETRY_PERIOD")?,
        };
        if timing.lease_duration <= timing.renew_deadline
            || timing.renew_deadline <= timing.retry_period
        {
            return Err(LeaseError::Order { prefix: prefix.to_owned() });
        }
        Ok(timing)
    }
}

/// Reads a Go duration such as `1h30m`, `250ms`, `1.5s` or `0`; `None` if it is none or negative.
#[must_use]
pub fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit_secs = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let seconds = number.parse::<f64>().ok()? * unit_secs;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = tail;
    }
    Some(total)
}

/// Whose lease, and who asks for it.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who asks; unique per process (pod name and a random part).
    pub identity: String,
    /// The durations.
    pub timing: LeaseTiming,
}

/// Names this process among those that want to lead.
///
/// In a pod (`POD_NAME`) the name is the pod's: one container runs at a time, so a process that was
/// killed and started again is the holder still and goes on at once, where it would otherwise wait
/// until its own lease expires.
#[must_use]
pub fn identity() -> String {
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    text("POD_NAME").unwrap_or_else(|| {
        let host = text("HOSTNAME").unwrap_or_else(|| "localhost".to_owned());
        format!("{host}_{}", std::process::id())
    })
}

/// How often a process that stands by looks at the lease. A look is one read; the lease that a
/// leader gave back is taken up within this time.
const STANDBY_PERIOD: Duration = Duration::from_secs(1);

/// Runs `work` whenever this process is the leader, until `shutdown`.
///
/// `work` gets a token that is cancelled when leadership ends or the process shuts down, and has
/// to return soon after; leadership is sought again only once it returned. When `work` returns by
/// itself, leading ends and so does this function.
///
/// Guarantees: the token is cancelled `lease_duration - renew_deadline` before another process may
/// take over.
pub async fn lead<F, Fut>(
    client: Client,
    config: LeaseConfig,
    clock: Clock,
    shutdown: CancellationToken,
    work: F,
) where
    F: Fn(CancellationToken) -> Fut,
    Fut: Future<Output = ()>,
{
    let mut election = Election::new(client, config, clock);
    while !shutdown.is_cancelled() {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = election.acquire() => {}
        }
        let lease = election.config.name.clone();
        tracing::info!(lease, "leading");
        let term = shutdown.child_token();
        let mut running = std::pin::pin!(work(term.clone()));
        let ended = tokio::select! {
            biased;
            () = &mut running => true,
            () = shutdown.cancelled() => false,
            () = election.hold() => false,
        };
        if ended {
            election.release().await;
            return;
        }
        term.cancel();
        tracing::info!(lease, shutdown = shutdown.is_cancelled(), "stepping down");
        running.await;
        if shutdown.is_cancelled() {
            election.release().await;
        }
    }
}

struct Election {
    api: Api<Lease>,
    config: LeaseConfig,
    clock: Clock,
    /// The lease as last seen, and when it was first seen like this: clocks of two machines need
    /// not agree, only their speed.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Election {
    fn new(client: Client, config: LeaseConfig, clock: Clock) -> Self {
        Self { api: Api::namespaced(client, &config.namespace), config, clock, seen: None }
    }

    /// Returns once the lease is ours.
    async fn acquire(&mut self) {
        loop {
            match self.try_take().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => self.note(&error),
            }
            tokio::time::sleep(self.config.timing.retry_period.min(STANDBY_PERIOD)).await;
        }
    }

    /// Renews until that failed for the renew deadline or someone else holds the lease.
    async fn hold(&mut self) {
        let timing = self.config.timing;
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(timing.retry_period).await;
            let started = Instant::now();
            let left = timing.renew_deadline.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.try_take()).await {
                Ok(Ok(true)) => renewed = started,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => self.note(&error),
                Err(_) => return,
            }
            if renewed.elapsed() >= timing.renew_deadline {
                return;
            }
        }
    }

    fn note(&self, error: &ApiError) {
        if error.class() == ErrorClass::Conflict {
            return;
        }
        let (lease, error) = (&self.config.name, bundle_format::error::chain(error));
        tracing::warn!(lease, error, "lease not written");
    }

    /// Takes or renews the lease if it is free, expired or ours; says whether it is ours now.
    async fn try_take(&mut self) -> Result<bool, ApiError> {
        let name = self.config.name.clone();
        let fail = |source| ApiError::new(format!("write lease {name}"), source);
        let Some(lease) = optional(self.api.get(&name).await).map_err(fail)? else {
            let created = self.api.create(&PostParams::default(), &self.first()).await;
            let lease = created.map_err(fail)?;
            self.seen = lease.spec.map(|spec| (spec, Instant::now()));
            return Ok(true);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(known, _)| *known != spec) {
            self.seen = Some((spec.clone(), Instant::now()));
        }
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let is_ours = holder == self.config.identity;
        if !is_ours && !holder.is_empty() && !self.is_expired(&spec) {
            return Ok(false);
        }
        let body = self.claim(&spec, is_ours, lease.metadata.resource_version.as_deref());
        let written = self.api.patch(&name, &PatchParams::default(), &Patch::Merge(&body)).await;
        self.seen = written.map_err(fail)?.spec.map(|spec| (spec, Instant::now()));
        Ok(true)
    }

    fn is_expired(&self, spec: &LeaseSpec) -> bool {
        let valid_secs = spec.lease_duration_seconds.unwrap_or(0).max(0).unsigned_abs();
        let valid = Duration::from_secs(u64::from(valid_secs));
        self.seen.as_ref().is_some_and(|(_, since)| since.elapsed() >= valid)
    }

    fn first(&self) -> Lease {
        let now = MicroTime(self.clock.now());
        Lease {
            metadata: ObjectMeta {
                name: Some(self.config.name.clone()),
                namespace: Some(self.config.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.config.identity.clone()),
                lease_duration_seconds: Some(self.duration_secs()),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        }
    }

    /// The merge patch of a claim. The resource version makes it compare-and-set.
    fn claim(&self, old: &LeaseSpec, is_ours: bool, version: Option<&str>) -> serde_json::Value {
        let now = MicroTime(self.clock.now());
        let mut spec = json!({
            "holderIdentity": self.config.identity,
            "leaseDurationSeconds": self.duration_secs(),
            "renewTime": now,
        });
        if !is_ours {
            spec["acquireTime"] = json!(now);
            spec["leaseTransitions"] = json!(old.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        json!({ "metadata": { "resourceVersion": version }, "spec": spec })
    }

    fn duration_secs(&self) -> i32 {
        i32::try_from(self.config.timing.lease_duration.as_secs()).unwrap_or(i32::MAX).max(1)
    }

    /// Lets the next process take over at once. Best effort: the lease expires anyway.
    async fn release(&mut self) {
        let read = self.api.get(&self.config.name);
        let Ok(Ok(lease)) = tokio::time::timeout(Duration::from_secs(5), read).await else {
            return;
        };
        let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        if holder != self.config.identity {
            return;
        }
        let body = json!({
            "metadata": { "resourceVersion": lease.metadata.resource_version },
            "spec": { "holderIdentity": "", "leaseDurationSeconds": 1 },
        });
        let params = PatchParams::default();
        let patch = Patch::Merge(&body);
        let write = self.api.patch(&self.config.name, &params, &patch);
        drop(tokio::time::timeout(Duration::from_secs(5), write).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        assert_eq!(go_duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(go_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(go_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(go_duration("0"), Some(Duration::ZERO));
        for bad in ["", "30", "s", "1x", "-1s", "1..2s"] {
            assert_eq!(go_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_election_duration_is_mandatory() {
        let env = |name: &str| (name != "X_RETRY_PERIOD").then(|| "30s".to_owned());
        let error = LeaseTiming::read("X", &env).unwrap_err();
        assert_eq!(error.to_string(), "environment variable X_RETRY_PERIOD not set");
    }
}
