//! Which Bundles to create, update and delete.
//!
//! Owns the comparison of what a repository holds with what the API has. Start at
//! [`plan_publish`].

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::api::{Bundle, labels};
use serde_json::json;

/// Annotation of a Bundle: digest of what gitjob last wrote, so that a restart or a commit that
/// does not touch a bundle costs no write. Rancher Fleet ignores it.
pub const SOURCE_DIGEST: &str = "fleet.cattle.io/source-digest";

/// A Bundle ready to be written.
#[derive(Clone, Debug)]
pub struct WantedBundle {
    /// The Bundle without values and without the commit label.
    pub bundle: Bundle,
    /// Content of its values Secret; empty = none.
    pub values: BTreeMap<String, Vec<u8>>,
    /// See [`SOURCE_DIGEST`].
    pub digest: String,
}

impl WantedBundle {
    /// Completes a Bundle whose values were taken out.
    #[must_use]
    pub fn new(mut bundle: Bundle, values: BTreeMap<String, Vec<u8>>) -> Self {
        if let Some(labels) = &mut bundle.metadata.labels {
            labels.remove(labels::COMMIT);
        }
        let content = json!({
            "labels": bundle.metadata.labels,
            "annotations": bundle.metadata.annotations,
            "spec": bundle.spec,
        });
        // `valuesHash` in the spec stands for the values.
        let digest = bundle_format::api::names::sha256_hex(content.to_string().as_bytes());
        Self { bundle, values, digest: digest[..32].to_owned() }
    }

    /// Name of the Bundle.
    #[must_use]
    pub fn name(&self) -> &str {
        self.bundle.metadata.name.as_deref().unwrap_or_default()
    }
}

/// A Bundle as the API has it.
#[derive(Clone, Debug, Default)]
pub struct KnownBundle {
    /// Name.
    pub name: String,
    /// GitRepo it belongs to, from its label.
    pub repo: Option<String>,
    /// HelmOp it belongs to, from its label.
    pub helm_op: Option<String>,
    /// `metadata.uid`.
    pub uid: String,
    /// See [`SOURCE_DIGEST`].
    pub digest: Option<String>,
    /// Someone else changed it since gitjob wrote it.
    pub is_touched: bool,
    /// It is on its way out.
    pub is_deleting: bool,
}

/// Everything the plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct PublishInput<'a> {
    /// Name of the GitRepo.
    pub repo: &'a str,
    /// What its commit holds.
    pub wanted: &'a [WantedBundle],
    /// Names that are held back by an error: neither written nor deleted.
    pub held: &'a BTreeSet<String>,
    /// All paths were read, so that what is not wanted is really gone.
    pub is_complete: bool,
    /// The Bundles of the namespace that belong to this GitRepo or bear a wanted name.
    pub known: &'a [KnownBundle],
    /// GitRepos of the namespace; a Bundle of none of them is an orphan and may be adopted.
    pub repos: &'a BTreeSet<String>,
    /// Write everything, changed or not (`forceSyncGeneration`).
    pub is_forced: bool,
}

/// A Bundle that must not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Live finding 17: otherwise the last writer steals it.
    #[error("bundle {name:?} already belongs to GitRepo {owner}; change `name` in fleet.yaml")]
    OtherRepo {
        /// Bundle.
        name: String,
        /// GitRepo.
        owner: String,
    },
    /// Fleet 0.16's words.
    #[error("a helmOps bundle with name {name:?} already exists")]
    HelmOp {
        /// Bundle.
        name: String,
    },
    /// Made by hand or by a tool.
    #[error(
        "bundle {name:?} exists and belongs to no GitRepo; delete it or change `name` in fleet.yaml"
    )]
    Foreign {
        /// Bundle.
        name: String,
    },
    /// Fleet 0.16's words; retried when it is gone.
    #[error("the bundle {name:?} is being deleted")]
    Deleting {
        /// Bundle.
        name: String,
    },
}

/// What to do.
#[derive(Clone, Debug, Default)]
pub struct PublishPlan {
    /// What to write.
    pub writes: Vec<PlannedWrite>,
    /// Names to delete.
    pub deletes: Vec<String>,
    /// What must not be written.
    pub refusals: Vec<Refusal>,
    /// Bundles that stay as they are.
    pub unchanged_count: usize,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedWrite {
    /// Position in [`PublishInput::wanted`].
    pub index: usize,
    /// `metadata.uid` of the Bundle that is there; `None` creates it.
    pub uid: Option<String>,
    /// The Bundle exists but gitjob did not write it: fields we do not want have to go first.
    pub is_takeover: bool,
}

/// Compares what is wanted with what is there.
///
/// Guarantees: a Bundle of another GitRepo is never written or deleted; an unchanged Bundle is
/// not written; nothing is deleted while a path could not be read.
#[must_use]
pub fn plan_publish(input: &PublishInput<'_>) -> PublishPlan {
    let mut plan = PublishPlan::default();
    let known: BTreeMap<&str, &KnownBundle> =
        input.known.iter().map(|known| (known.name.as_str(), known)).collect();
    for (index, wanted) in input.wanted.iter().enumerate() {
        if input.held.contains(wanted.name()) {
            continue;
        }
        match known.get(wanted.name()) {
            None => plan.writes.push(PlannedWrite { index, uid: None, is_takeover: false }),
            Some(known) => match refuse(known, input) {
                Some(refusal) => plan.refusals.push(refusal),
                None if is_unchanged(known, wanted) && !input.is_forced => {
                    plan.unchanged_count += 1;
                }
                None => {
                    let is_takeover = known.digest.is_none();
                    let uid = Some(known.uid.clone());
                    plan.writes.push(PlannedWrite { index, uid, is_takeover });
                }
            },
        }
    }
    if input.is_complete {
        let wanted: BTreeSet<&str> = input.wanted.iter().map(WantedBundle::name).collect();
        let ours = input.known.iter().filter(|k| k.repo.as_deref() == Some(input.repo));
        let gone = ours.filter(|k| {
            !k.is_deleting && !wanted.contains(k.name.as_str()) && !input.held.contains(&k.name)
        });
        plan.deletes = gone.map(|known| known.name.clone()).collect();
    }
    plan
}

fn is_unchanged(known: &KnownBundle, wanted: &WantedBundle) -> bool {
    known.digest.as_deref() == Some(wanted.digest.as_str()) && !known.is_touched
}

fn refuse(known: &KnownBundle, input: &PublishInput<'_>) -> Option<Refusal> {
    let name = known.name.clone();
    match (&known.repo, &known.helm_op) {
        (_, Some(_)) => Some(Refusal::HelmOp { name }),
        (Some(owner), _) if owner == input.repo => {
            known.is_deleting.then_some(Refusal::Deleting { name })
        }
        (Some(owner), _) if input.repos.contains(owner) => {
            Some(Refusal::OtherRepo { name, owner: owner.clone() })
        }
        (Some(_), _) if known.is_deleting => Some(Refusal::Deleting { name }),
        (Some(_), _) => None,
        (None, None) => Some(Refusal::Foreign { name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle_format::api::BundleSpec;

    fn wanted(name: &str, namespace: &str) -> WantedBundle {
        let mut spec = BundleSpec::default();
        spec.options.namespace = namespace.to_owned();
        WantedBundle::new(Bundle::new(name, spec), BTreeMap::new())
    }

    fn known(wanted: &WantedBundle, repo: &str) -> KnownBundle {
        KnownBundle {
            name: wanted.name().to_owned(),
            repo: Some(repo.to_owned()),
            digest: Some(wanted.digest.clone()),
            ..KnownBundle::default()
        }
    }

    fn plan(wanted: &[WantedBundle], known: &[KnownBundle], is_complete: bool) -> PublishPlan {
        let repos = BTreeSet::from(["mine".to_owned(), "other".to_owned()]);
        plan_publish(&PublishInput {
            repo: "mine",
            wanted,
            held: &BTreeSet::new(),
            is_complete,
            known,
            repos: &repos,
            is_forced: false,
        })
    }

    #[test]
    fn only_what_changed_is_written() {
        let wanted: Vec<_> = (0..500).map(|n| wanted(&format!("b{n}"), "ns")).collect();
        let mut there: Vec<_> = wanted.iter().map(|w| known(w, "mine")).collect();
        assert!(plan(&wanted, &there, true).writes.is_empty());
        there[7].digest = Some("old".to_owned());
        let plan = plan(&wanted, &there, true);
        assert_eq!(
            plan.writes,
            [PlannedWrite { index: 7, uid: Some(String::new()), is_takeover: false }]
        );
        assert_eq!(plan.unchanged_count, 499);
    }

    #[test]
    fn what_vanished_is_deleted_unless_a_path_failed() {
        let (stays, goes) = (wanted("stays", "a"), wanted("goes", "a"));
        let there = [known(&stays, "mine"), known(&goes, "mine")];
        assert_eq!(plan(std::slice::from_ref(&stays), &there, true).deletes, ["goes"]);
        assert!(plan(&[stays], &there, false).deletes.is_empty());
    }

    #[test]
    fn a_bundle_of_another_gitrepo_is_refused_and_an_orphan_adopted() {
        let bundle = wanted("web", "a");
        let refused = plan(std::slice::from_ref(&bundle), &[known(&bundle, "other")], true);
        assert!(refused.writes.is_empty() && refused.deletes.is_empty());
        assert_eq!(
            refused.refusals[0].to_string(),
            "bundle \"web\" already belongs to GitRepo other; change `name` in fleet.yaml"
        );
        let orphan = KnownBundle { digest: None, ..known(&bundle, "gone") };
        let adopted = plan(std::slice::from_ref(&bundle), &[orphan], true);
        assert_eq!(
            adopted.writes,
            [PlannedWrite { index: 0, uid: Some(String::new()), is_takeover: true }]
        );
        let foreign = KnownBundle { name: "web".into(), ..KnownBundle::default() };
        assert_eq!(plan(&[bundle], &[foreign], true).refusals.len(), 1);
    }
}
