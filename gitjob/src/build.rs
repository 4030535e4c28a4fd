//! A commit to Bundles: fetch, read, complete, compare, publish.
//!
//! Owns the order of these steps and what their failures mean for the rest. Start at [`build`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::GitRepo;
use bundle_format::options::values::extract_bundle_values;
use bundle_format::read::{BundleDraft, Notice, ReadOutcome, ReadRequest};
use kube::ResourceExt;
use runtime::{Classify, ErrorClass, ObjectKey, chain};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::observe_helm_access;
use crate::chart::fetch_charts;
use crate::context::Context;
use crate::git::{CommitId, CommitTree, GitError, Remote, fetch_tree};
use crate::memory::{BuildKey, Built, Written};
use crate::plan::publish::{PlannedWrite, PublishInput, PublishPlan, WantedBundle, plan_publish};
use crate::publish::{Destination, Published, delete_bundles, publish_bundles};
use crate::reconcile::ReconcileError;
use crate::successors::{hand_over, wait_for_successors};
use crate::unchanged::{PathsMemory, Reading, read_changed};

/// A failure that may pass by itself is tried again after this time.
const RETRY: Duration = Duration::from_secs(30);

impl Built {
    /// A build that found everything as it should be.
    #[must_use]
    pub(crate) fn unchanged(key: BuildKey) -> Self {
        Self {
            key,
            failures: Vec::new(),
            retry_at: None,
            unknown_fields: Vec::new(),
            submodules: Vec::new(),
            lfs_pointers: Vec::new(),
            changed_count: 0,
        }
    }

    fn fail(&mut self, text: String, class: ErrorClass) {
        self.failures.push(text);
        if class != ErrorClass::User {
            self.retry_at = Some(Instant::now() + RETRY);
        }
    }

    fn note(&mut self, notice: &Notice) {
        match notice {
            Notice::UnknownField(_) => self.unknown_fields.push(notice.to_string()),
            Notice::Submodule { .. } => self.submodules.push(notice.to_string()),
            Notice::LfsPointer { .. } => self.lfs_pointers.push(notice.to_string()),
            _ => self.failures.push(notice.to_string()),
        }
    }
}

/// Publishes one commit. What failed is part of the result, and holds nothing else back.
///
/// # Errors
/// Only when `cancel` was cancelled.
pub(crate) async fn build(
    ctx: &Arc<Context>,
    repo: &Arc<GitRepo>,
    remote: &Remote,
    key: BuildKey,
    cancel: &CancellationToken,
) -> Result<Built, ReconcileError> {
    let mut built = Built::unchanged(key);
    let tree = match open_tree(ctx, remote, &built.key.commit, cancel).await {
        Ok(tree) => tree,
        Err(error @ GitError::Cancelled) => return Err(error.into()),
        Err(error) => {
            built.fail(chain(&error), error.class());
            return Ok(built);
        }
    };
    let mut request = ReadRequest::of_git_repo(repo);
    request.overrides.image_scans_enabled = ctx.config.image_scans_enabled;
    let object = ObjectKey::of(&**repo);
    // A forced build reads everything.
    let updated = repo.status.as_ref().map_or(0, |status| status.update_generation);
    let is_forced = built.key.force != updated;
    let known = match is_forced {
        true => PathsMemory::default(),
        false => ctx.memory.with(&object, |memory| std::mem::take(&mut memory.paths)),
    };
    let reading = read(tree, request, known).await;
    reading.notices.iter().for_each(|notice| built.note(notice));
    let work = Work { ctx, repo, is_forced, unchanged: reading.unchanged };
    tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(ReconcileError::Cancelled),
        done = work.complete_and_publish(reading.outcome, &mut built) => done?,
    }
    if built.failures.is_empty() {
        ctx.memory.with(&object, |memory| memory.paths = reading.memory);
    }
    Ok(built)
}

/// The files of a commit, wherever they come from.
async fn open_tree(
    ctx: &Context,
    remote: &Remote,
    commit: &CommitId,
    cancel: &CancellationToken,
) -> Result<Box<dyn CommitTree + Send>, GitError> {
    match remote.source() {
        Some(source) => source.tree(&remote.redacted(), commit),
        None => Ok(Box::new(fetch_tree(&ctx.store, remote, commit, cancel).await?)),
    }
}

/// The second half of a build.
struct Work<'a> {
    ctx: &'a Arc<Context>,
    repo: &'a GitRepo,
    is_forced: bool,
    /// Bundles of paths that were not read because nothing in them changed.
    unchanged: BTreeSet<String>,
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

/// Reads the tree on a blocking thread.
async fn read(
    tree: Box<dyn CommitTree + Send>,
    request: ReadRequest,
    known: PathsMemory,
) -> Reading {
    let done = runtime::world::on_thread(move || read_changed(&*tree, &request, &known)).await;
    // A panic of the reader is ours to fix; the queue reports it as such.
    match done {
        Ok(reading) => reading,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Work<'_> {
    async fn complete_and_publish(
        &self,
        mut outcome: ReadOutcome,
        built: &mut Built,
    ) -> Result<(), ReconcileError> {
        let mut held = self.unchanged.clone();
        if outcome.drafts.iter().any(|draft| !draft.is_complete()) {
            let helm = observe_helm_access(self.ctx, self.repo).await?;
            for draft in outcome.drafts.iter_mut().filter(|draft| !draft.is_complete()) {
                let fetched = match &helm {
                    Ok(helm) => fetch_charts(&self.ctx.charts, helm, draft).await,
                    Err(text) => Err((text.clone(), ErrorClass::User)),
                };
                if let Err((text, class)) = fetched {
                    built.fail(format!("{}: {text}", shown(&draft.path)), class);
                    held.insert(draft.name.clone());
                }
            }
            outcome.drafts.retain(BundleDraft::is_complete);
        }
        self.publish(outcome, held, built).await;
        Ok(())
    }

    async fn publish(&self, outcome: ReadOutcome, mut held: BTreeSet<String>, built: &mut Built) {
        let (ctx, key) = (self.ctx, ObjectKey::of(self.repo));
        let is_complete = outcome.is_complete();
        for failure in &outcome.failures {
            let path = shown(&failure.path);
            built.fail(format!("{path}: {}", chain(&failure.error)), failure.error.class());
        }
        outcome.notices.iter().for_each(|notice| built.note(notice));
        let mut wanted = Vec::new();
        for draft in outcome.drafts {
            draft.notices.iter().for_each(|notice| built.note(notice));
            let name = draft.name.clone();
            match complete(draft, &key.namespace) {
                Ok(bundle) => wanted.push(bundle),
                Err(text) => {
                    held.insert(name);
                    built.fail(text, ErrorClass::User);
                }
            }
        }
        let repos: BTreeSet<String> =
            ctx.repos.list_in(&key.namespace).iter().map(|repo| repo.name_any()).collect();
        let names = wanted.iter().map(|wanted| wanted.name().to_owned()).collect();
        let plan = plan_publish(&PublishInput {
            repo: &key.name,
            wanted: &wanted,
            held: &held,
            is_complete,
            known: &ctx.known_bundles(&key, &names),
            repos: &repos,
            is_forced: self.is_forced,
        });
        for refusal in &plan.refusals {
            built.fail(refusal.to_string(), ErrorClass::Unavailable);
        }
        let commit = built.key.commit.to_string();
        let to = Destination { client: &ctx.client, namespace: &key.namespace, commit: &commit };
        if let Err(error) = hand_over(&to, &plan, &mut wanted).await {
            built.fail(chain(&error), error.class());
            return;
        }
        let mut published = publish_bundles(&to, &plan, &wanted).await;
        self.retire(&to, &plan, &mut published, built).await;
        remember(ctx, &key, (&plan, &wanted), &published);
        built.changed_count = published.written.len() + published.deleted.len();
        for (_, error) in &published.failures {
            built.fail(chain(error), error.class());
        }
    }
}

impl Work<'_> {
    /// Deletes Bundles, unless one that may take their objects over is not everywhere yet.
    async fn retire(
        &self,
        to: &Destination<'_>,
        plan: &PublishPlan,
        published: &mut Published,
        built: &mut Built,
    ) {
        if plan.deletes.is_empty() {
            return;
        }
        let kept = plan.deletes.join(", ");
        if !published.failures.is_empty() {
            built.fail(format!("{kept} stays until all bundles are written"), ErrorClass::Bug);
            return;
        }
        let key = ObjectKey::of(self.repo);
        let names = self.ctx.memory.with(&key, |memory| {
            memory.successors.extend(published.created.iter().cloned());
            memory.successors.clone()
        });
        match wait_for_successors(to, &names).await {
            Ok(open) if open.is_empty() => {
                self.ctx.memory.with(&key, |memory| memory.successors.clear());
                delete_bundles(to, plan, published).await;
            }
            Ok(open) => {
                let open = open.join(", ");
                let text = format!(
                    "{kept} stays until {open}, which may take over what it deployed, has its \
                     deployments on all its clusters"
                );
                built.fail(text, ErrorClass::Unavailable);
            }
            Err(error) => built.fail(chain(&error), error.class()),
        }
    }
}

/// Turns a draft into a Bundle whose values are taken out.
fn complete(draft: BundleDraft, namespace: &str) -> Result<WantedBundle, String> {
    let path = shown(&draft.path).to_owned();
    if let Some(problem) = draft.problems.first() {
        return Err(format!("{path}: {problem}"));
    }
    if !draft.image_scans.is_empty() {
        return Err(format!(
            "{path}: image scans are not served yet; take imageScans out of fleet.yaml"
        ));
    }
    let mut bundle = draft.into_bundle(namespace);
    let values = extract_bundle_values(&mut bundle.spec).map_err(|e| format!("{path}: {e}"))?;
    Ok(WantedBundle::new(bundle, values))
}

fn remember(
    ctx: &Context,
    key: &ObjectKey,
    (plan, wanted): (&PublishPlan, &[WantedBundle]),
    published: &Published,
) {
    let at = Instant::now();
    ctx.memory.with(key, |memory| {
        for bundle in &published.written {
            let written = Written {
                uid: bundle.uid.clone(),
                generation: bundle.generation,
                digest: bundle.digest.clone(),
                is_doubtful: false,
                at,
            };
            memory.written.insert(bundle.name.clone(), written);
        }
        for name in &published.deleted {
            memory.written.remove(name);
        }
        for (name, error) in &published.failures {
            // A refusal is clear; without an answer it may have been written.
            let is_refused = error.code().is_some_and(|code| code < 500);
            if is_refused {
                continue;
            }
            let of_name = |write: &&PlannedWrite| wanted[write.index].name() == name;
            // One that was to be made is written again whatever happened.
            let uid = plan.writes.iter().find(of_name).and_then(|write| write.uid.clone());
            if let Some(uid) = uid {
                let unknown = Written::unknown(uid, at);
                memory.written.entry(name.clone()).or_insert(unknown).is_doubtful = true;
            }
        }
    });
}
