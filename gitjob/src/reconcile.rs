//! One GitRepo: admit, look, build, report.
//!
//! Owns the order of these steps and what is retried when. Start at [`reconcile`].

use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::{GitRepo, labels};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use runtime::client::ApiError;
use runtime::status::{StatusWrite, patch_status};
use runtime::{Classify, ErrorClass, NextWake, ObjectKey, chain};
use serde_json::json;
use tokio::time::Instant;

use crate::access::{AccessError, observe_access};
use crate::build::build;
use crate::context::{Context, shrink_repo};
use crate::delete::finish_deletion;
use crate::git::{CommitId, GitError, Reference, Remote};
use crate::memory::{BuildKey, Built, Reported};
use crate::plan::poll::{HINT_RETRY, PollPlan, PollState, plan_poll};
use crate::plan::restrict::restrict;
use crate::publish::FIELD_MANAGER;
use crate::report::{tell_failure, tell_invisible, tell_look, tell_poisoned, tell_rejection};
use crate::status::{Facts, next_status, noise, unserved_fields};

/// A build that takes longer is told in the status; a shorter one costs one write, at its end.
const TELL_AFTER: Duration = Duration::from_secs(5);

/// A pass that has to be repeated. Failures of git and of builds are no errors: they are told in
/// the status, and the next look is scheduled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The API refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The build was made pointless by a newer commit or spec.
    #[error("the build was cancelled")]
    Cancelled,
}

impl Classify for ReconcileError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Api(error) => error.class(),
            Self::Cancelled => ErrorClass::Conflict,
        }
    }
}

/// Brings one GitRepo up to date.
///
/// # Errors
/// [`ReconcileError`]; its class decides when the pass is repeated.
pub(crate) async fn reconcile(
    key: ObjectKey,
    ctx: Arc<Context>,
) -> Result<NextWake, ReconcileError> {
    let Some(repo) = ctx.repos.get(&key) else {
        if ctx.repos.exists(&key) {
            tell_poisoned(&ctx, &key).await?;
        } else {
            ctx.memory.forget(&key);
            ctx.metrics.forget(&key);
        }
        return Ok(NextWake::OnChange);
    };
    if !ctx.serves(&repo) {
        return Ok(NextWake::OnChange);
    }
    if repo.metadata.deletion_timestamp.is_some() {
        ctx.memory.cancel(&key);
        return Ok(finish_deletion(&ctx, &repo).await?);
    }
    Pass { ctx: &ctx, repo: &repo, key: &key }.run().await
}

/// The parts of one pass.
struct Pass<'a> {
    ctx: &'a Arc<Context>,
    repo: &'a Arc<GitRepo>,
    key: &'a ObjectKey,
}

/// What became of a webhook.
enum HintFate {
    /// There is none, or it was answered.
    Settled,
    /// Its commit may still appear.
    Open,
    /// Its commit did not appear in time.
    Invisible(String),
}

/// What the look at the remote led to.
struct Look {
    remote: Remote,
    head: Result<CommitId, String>,
    wake: NextWake,
}

impl Pass<'_> {
    async fn run(&self) -> Result<NextWake, ReconcileError> {
        let restrictions = self.ctx.restrictions.list_in(&self.key.namespace);
        let policies = self.ctx.policies.list_in(&self.key.namespace);
        let defaults = match restrict(&self.repo.spec, &restrictions, &policies) {
            Ok(defaults) => defaults,
            Err(violation) => {
                return self.reject("PolicyViolation", "CheckPolicy", violation.to_string()).await;
            }
        };
        if self.write_defaults(&defaults.service_account, &defaults.client_secret_name).await? {
            // The write comes back as a change.
            return Ok(NextWake::OnChange);
        }
        self.ensure_finalizer().await?;
        let access = match observe_access(self.ctx, self.repo, self.key).await {
            Ok(access) => access,
            Err(AccessError::Api(error)) => return Err(error.into()),
            Err(AccessError::Refused(text)) => {
                return self.reject("FailedValidatingSecret", "ValidateSecret", text).await;
            }
        };
        let spec = &self.repo.spec;
        let reference = Reference::of_spec(&spec.branch, &spec.revision);
        let remote = match Remote::new(&spec.repo, reference, access.git, &self.ctx.link) {
            Ok(remote) => remote,
            Err(error) => return self.reject("Failed", "CheckSpec", chain(&error)).await,
        };
        let look = self.look(remote, &access.version).await;
        let Ok(commit) = look.head.clone() else {
            self.report(Facts::default()).await?;
            return Ok(look.wake);
        };
        self.build_if_needed(&look, commit, access.helm_versions).await
    }

    /// Looks at the remote when that is due, and remembers what it said.
    async fn look(&self, remote: Remote, access_version: &str) -> Look {
        let spec = &self.repo.spec;
        let memory = self.ctx.memory.get(self.key);
        let demand = (
            self.repo.metadata.generation.unwrap_or_default(),
            spec.force_sync_generation,
            format!("{access_version} {}", self.webhook_commit()),
        );
        let is_new_demand = memory.looked_with.as_ref().is_some_and(|known| *known != demand);
        let known_commit = self.repo.status.as_ref().map(|s| s.commit.as_str()).unwrap_or_default();
        let state = PollState {
            interval: spec.polling_period(),
            is_disabled: spec.disable_polling,
            age: memory.last_look.map(|at| at.elapsed()),
            // A folder of this machine is watched: whoever woke us may have seen a commit, and
            // looking costs nothing.
            is_demanded: is_new_demand
                || memory.hint.as_ref().is_some_and(|hint| hint.is_open)
                || remote.local_folder().is_some(),
            has_commit: !known_commit.is_empty(),
        };
        let max_age = match (plan_poll(&state), &memory.head) {
            (PollPlan::Look { max_age }, _) => max_age,
            (PollPlan::Wait(left), Some(head)) => {
                return Look { remote, head: head.clone(), wake: NextWake::After(left) };
            }
            (PollPlan::Stay, Some(head)) => {
                return Look { remote, head: head.clone(), wake: NextWake::OnChange };
            }
            (PollPlan::Stay, None) if CommitId::parse(known_commit).is_some() => {
                let head = CommitId::parse(known_commit).ok_or_else(String::new);
                return Look { remote, head, wake: NextWake::OnChange };
            }
            _ => state.interval,
        };
        let started = Instant::now();
        let not_before = started.checked_sub(max_age).unwrap_or(started);
        let (asked, answer) = self.ctx.heads.head(&remote, not_before).await;
        self.ctx.metrics.note_look(self.key, answer.is_ok(), started.elapsed());
        let head = answer.map_err(|error| chain(&*error));
        self.ctx.memory.with(self.key, |memory| {
            // Those who share a remote fall into step with whoever asked.
            memory.last_look = Some(asked);
            memory.looked_with = Some(demand);
            memory.head = Some(head.clone());
        });
        tell_look(self.ctx, self.repo, known_commit, &head).await;
        let wake = self.wake_after_look(&head, asked.elapsed());
        let wake = match self.settle_hint(&head, known_commit) {
            HintFate::Settled => wake,
            HintFate::Open => wake.earliest(NextWake::After(HINT_RETRY)),
            HintFate::Invisible(commit) => {
                tell_invisible(self.ctx, self.repo, &commit).await;
                wake
            }
        };
        Look { remote, head, wake }
    }

    fn webhook_commit(&self) -> &str {
        self.repo.status.as_ref().map(|s| s.webhook_commit.as_str()).unwrap_or_default()
    }

    /// The next look, as long as no webhook waits for one.
    fn wake_after_look(&self, head: &Result<CommitId, String>, age: Duration) -> NextWake {
        let spec = &self.repo.spec;
        // A little later each time, so that a thousand GitRepos spread out by themselves.
        let spread = Duration::from_millis(self.key.to_string().bytes().map(u64::from).sum());
        let interval = spec.polling_period();
        let next = (interval + spread.min(interval / 10)).saturating_sub(age);
        match spec.disable_polling {
            true if head.is_ok() => NextWake::OnChange,
            _ => NextWake::After(next),
        }
    }

    /// What becomes of the last webhook after a look. It is answered by a head that moved, by its own
    /// commit, or by the passing of time; in that case the status goes back to the commit it has.
    fn settle_hint(&self, head: &Result<CommitId, String>, known: &str) -> HintFate {
        let window = self.ctx.config.webhook_window;
        self.ctx.memory.with(self.key, |memory| {
            let Some(hint) = memory.hint.as_mut().filter(|hint| hint.is_open) else {
                return HintFate::Settled;
            };
            let is_seen = head
                .as_ref()
                .is_ok_and(|head| head.as_str() == hint.commit || head.as_str() != known);
            if !is_seen && hint.since.elapsed() <= window {
                return HintFate::Open;
            }
            hint.is_open = false;
            if is_seen {
                return HintFate::Settled;
            }
            HintFate::Invisible(std::mem::replace(&mut hint.commit, known.to_owned()))
        })
    }

    /// Builds when the input differs from that of the last build.
    async fn build_if_needed(
        &self,
        look: &Look,
        commit: CommitId,
        helm_versions: Vec<String>,
    ) -> Result<NextWake, ReconcileError> {
        let key = BuildKey {
            commit,
            generation: self.repo.metadata.generation.unwrap_or_default(),
            force: self.repo.spec.force_sync_generation,
            labels: self.repo.metadata.labels.clone().unwrap_or_default(),
            secrets: helm_versions,
        };
        let known = self.ctx.memory.with(self.key, |memory| {
            if memory.built.is_none() && self.is_built_before(&key) {
                memory.built = Some(Built::unchanged(key.clone()));
            }
            memory.built.clone()
        });
        let is_due = match &known {
            None => true,
            Some(built) => {
                built.key != key
                    || built.retry_at.is_some_and(|at| at <= Instant::now())
                    || self.is_disturbed()
            }
        };
        if !is_due {
            self.report(Facts::default()).await?;
            let retry = known.and_then(|built| built.retry_at).map_or(NextWake::OnChange, |at| {
                NextWake::After(at.saturating_duration_since(Instant::now()))
            });
            return Ok(look.wake.earliest(retry));
        }
        let previous = known.map(|built| built.failures).unwrap_or_default();
        let built = self.build_while_telling(look, key).await?;
        let retry = built.retry_at.map_or(NextWake::OnChange, |at| {
            NextWake::After(at.saturating_duration_since(Instant::now()))
        });
        let (failures, commit) = (built.failures.clone(), built.key.commit.clone());
        self.ctx.memory.with(self.key, |memory| memory.built = Some(built));
        self.report(Facts::default()).await?;
        tell_failure(self.ctx, self.repo, &previous, &failures).await;
        tracing::info!(
            git_repo = %self.key,
            commit = %commit,
            failure_count = failures.len(),
            "commit published"
        );
        Ok(look.wake.earliest(retry))
    }

    /// Builds; says so in the status when it takes long, and stops when a newer commit appears.
    async fn build_while_telling(
        &self,
        look: &Look,
        key: BuildKey,
    ) -> Result<Built, ReconcileError> {
        let cancel = tokio_util::sync::CancellationToken::new();
        let _stop_on_drop = cancel.clone().drop_guard();
        self.ctx.memory.with(self.key, |memory| memory.running = Some(cancel.clone()));
        let started = Instant::now();
        let work = build(self.ctx, self.repo, &look.remote, key.clone(), &cancel);
        let mut work = std::pin::pin!(work);
        let interval = self.repo.spec.polling_period();
        let mut is_told = false;
        let result = loop {
            let pause = if is_told { interval } else { TELL_AFTER };
            tokio::select! {
                biased;
                result = &mut work => break result,
                () = tokio::time::sleep(pause) => {}
            }
            if !is_told {
                is_told = true;
                // Best effort: the write at the end is the one that counts.
                drop(self.report(Facts { is_building: true, ..Facts::default() }).await);
            } else if !self.repo.spec.disable_polling {
                let not_before = Instant::now().checked_sub(interval).unwrap_or(started);
                let (_, head) = self.ctx.heads.head(&look.remote, not_before).await;
                if head.is_ok_and(|head| head != key.commit) {
                    cancel.cancel();
                }
            }
        };
        self.ctx.memory.with(self.key, |memory| memory.running = None);
        let is_ok = result.as_ref().is_ok_and(|built| built.failures.is_empty());
        self.ctx.metrics.note_build(self.key, is_ok, started.elapsed());
        result
    }

    /// After a restart: the status says that this very input was published.
    fn is_built_before(&self, key: &BuildKey) -> bool {
        let Some(status) = &self.repo.status else { return false };
        status.commit == key.commit.as_str()
            && status.observed_generation == key.generation
            && status.update_generation == key.force
            && status.git_job_status == "Current"
            && !self.ctx.bundles_of(self.key).is_empty()
    }

    /// Someone changed or deleted a Bundle that this process wrote.
    fn is_disturbed(&self) -> bool {
        let known = self.ctx.known_bundles(self.key, &std::collections::BTreeSet::new());
        if known.iter().any(|bundle| bundle.is_touched) {
            return true;
        }
        let names: Vec<&str> = known.iter().map(|bundle| bundle.name.as_str()).collect();
        self.ctx.memory.with(self.key, |memory| {
            memory.written.iter().any(|(name, written)| {
                // The cache may not show yet what was written a moment ago.
                !names.contains(&name.as_str()) && written.at.elapsed() > Duration::from_secs(5)
            })
        })
    }

    /// Tells that the GitRepo may not or cannot be served as it is.
    async fn reject(
        &self,
        reason: &'static str,
        action: &'static str,
        text: String,
    ) -> Result<NextWake, ReconcileError> {
        self.report(Facts { rejection: Some(text.clone()), ..Facts::default() }).await?;
        tell_rejection(self.ctx, self.repo, (reason, action), &text).await;
        // Rules and Secrets wake the GitRepo when they change.
        Ok(NextWake::OnChange)
    }

    /// Writes the status if it says anything new.
    async fn report(&self, facts: Facts) -> Result<(), ReconcileError> {
        let memory = self.ctx.memory.get(self.key);
        let facts = Facts {
            head: match memory.head {
                Some(Ok(commit)) => Some(Ok(commit.to_string())),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            },
            has_looked: memory.last_look.is_some(),
            is_polling: !self.repo.spec.disable_polling,
            built: memory.built,
            hint: memory.hint,
            unserved: unserved_fields(&self.repo.spec),
            ..facts
        };
        let now = self.ctx.clock.now();
        // The newest copy: the controller writes its part of this status too.
        let live = self.ctx.repos.get(self.key).unwrap_or_else(|| Arc::clone(self.repo));
        let live_version = live.metadata.resource_version.clone().unwrap_or_default();
        let (version, before) = match memory.reported {
            Some(own) if own.before == live_version => (own.after, own.status),
            _ => (live_version, live.status.clone().unwrap_or_default()),
        };
        let after = next_status(&before, &facts, now);
        let as_json = |status| serde_json::to_value(status).unwrap_or_default();
        let api: Api<GitRepo> = Api::namespaced(self.ctx.client.clone(), &self.key.namespace);
        let write = StatusWrite {
            name: &self.key.name,
            resource_version: Some(&version),
            noise: noise(&before, now),
        };
        let written = patch_status(&api, &write, &as_json(&before), &as_json(&after)).await?;
        if let Some(mut written) = written {
            shrink_repo(&mut written);
            let reported = Reported {
                before: live.metadata.resource_version.clone().unwrap_or_default(),
                after: written.metadata.resource_version.unwrap_or_default(),
                status: written.status.unwrap_or_default(),
            };
            self.ctx.memory.with(self.key, |memory| memory.reported = Some(reported));
        }
        Ok(())
    }

    /// Fills in what restrictions and policies prescribe; says whether anything was written.
    async fn write_defaults(&self, account: &str, secret: &str) -> Result<bool, ReconcileError> {
        let spec = &self.repo.spec;
        let mut patch = serde_json::Map::new();
        if spec.service_account.is_empty() && !account.is_empty() {
            patch.insert("serviceAccount".into(), account.into());
        }
        if spec.client_secret_name.is_empty() && !secret.is_empty() {
            patch.insert("clientSecretName".into(), secret.into());
        }
        if patch.is_empty() {
            return Ok(false);
        }
        self.patch(json!({ "spec": patch }), "write defaults of").await?;
        Ok(true)
    }

    async fn ensure_finalizer(&self) -> Result<(), ReconcileError> {
        let held = self.repo.finalizers();
        if held.iter().any(|name| name == labels::GIT_REPO_FINALIZER) {
            return Ok(());
        }
        let mut finalizers = held.to_vec();
        finalizers.push(labels::GIT_REPO_FINALIZER.to_owned());
        let version = self.repo.metadata.resource_version.as_deref();
        let metadata = json!({ "finalizers": finalizers, "resourceVersion": version });
        self.patch(json!({ "metadata": metadata }), "add finalizer to").await?;
        Ok(())
    }

    async fn patch(&self, body: serde_json::Value, action: &str) -> Result<(), ApiError> {
        let api: Api<GitRepo> = Api::namespaced(self.ctx.client.clone(), &self.key.namespace);
        let manager = Some(FIELD_MANAGER.to_owned());
        let params = PatchParams { field_manager: manager, ..PatchParams::default() };
        let patched = api.patch(&self.key.name, &params, &Patch::Merge(&body)).await;
        patched.map(drop).map_err(|e| ApiError::new(format!("{action} GitRepo {}", self.key), e))
    }
}

impl From<GitError> for ReconcileError {
    /// Only a cancellation ends a pass; other failures become part of what was built.
    fn from(_: GitError) -> Self {
        Self::Cancelled
    }
}
