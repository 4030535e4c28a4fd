//! What a BundleDeployment says about itself.
//!
//! Owns the words and numbers of its status, in one piece: conditions, lists, counts and the `display` that Fleet's
//! controller fills separately. Must not know clients. Start at [`summarize_deployment`].

use bundle_format::api::bundle::{ModifiedStatus, NonReadyStatus, ResourceCounts, StateSummary};
use bundle_format::api::bundle_deployment::{
    BundleDeployment, BundleDeploymentDisplay, BundleDeploymentResource, BundleDeploymentStatus,
};
use bundle_format::api::condition::{Condition, ConditionState, find_condition, set_condition};
use bundle_format::summary::deployment_state;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::plan::ObjectKey;
use crate::plan::health::Health;
use crate::plan::unserved::unserved_options;

/// Objects named in a status; more of them set `incompleteState`.
const MAX_LISTED: usize = 10;
// A status must stay small whatever a server or a template says.
const MAX_MESSAGE_BYTES: usize = 8 << 10;

/// What is known of one deployed object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectState {
    /// Which object.
    pub key: ObjectKey,
    /// What was found.
    pub finding: Finding,
}

/// What was found of a deployed object.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// It is there.
    Live {
        /// Its uid.
        uid: String,
        /// When it was made.
        created_at: Option<Time>,
        /// How it does.
        health: Health,
        /// How it differs from what was deployed: a merge patch as text.
        drift: Option<String>,
    },
    /// It is not there.
    Missing,
    /// It is there, but belongs to somebody else.
    NotOurs,
    /// It was part of the version before, and is there though this one does not have it.
    Extra,
    /// It could not be written; the server's words.
    Refused(String),
}

/// What happened to a deployment.
#[derive(Clone, Debug)]
pub enum Report<'a> {
    /// It waits for something that is not its fault.
    Waiting {
        /// For what, in one word.
        reason: &'a str,
        /// For what, in words.
        message: &'a str,
    },
    /// It could not be applied; it will be tried again.
    Failed {
        /// Why.
        message: &'a str,
        /// Objects that were refused, when it came that far.
        objects: &'a [ObjectState],
    },
    /// It was given up before anything was written (states and words of Fleet 0.16's fatal errors).
    NotInstalled {
        /// Why.
        message: &'a str,
    },
    /// It is applied.
    Applied {
        /// `namespace/name:revision`.
        release: &'a str,
        /// Its objects.
        objects: &'a [ObjectState],
        /// Why drift could not be corrected.
        correction_error: Option<&'a str>,
    },
}

/// Computes the status of a deployment from its last one and what happened.
///
/// Guarantees: nothing changes, times included, when nothing new happened; `Ready` is true only when the wanted
/// version is applied, every object is ready and none differs. `now` is RFC 3339.
#[must_use]
pub fn summarize_deployment(
    deployment: &BundleDeployment,
    report: &Report<'_>,
    now: &str,
) -> BundleDeploymentStatus {
    let mut status = deployment.status.clone().unwrap_or_default();
    match report {
        Report::Waiting { reason, message } => {
            let state = ConditionState {
                status: None,
                reason: (*reason).to_owned(),
                message: cut(message),
            };
            set(&mut status, "Deployed", &state, now);
            if status.applied_deployment_id != deployment.spec.deployment_id {
                set(&mut status, "Ready", &ConditionState::error(cut(message)), now);
                status.ready = false;
            }
        }
        Report::Failed { message, objects } => {
            set(&mut status, "Deployed", &ConditionState::error(cut(message)), now);
            set(&mut status, "Ready", &ConditionState::error(cut(message)), now);
            status.ready = false;
            if !objects.is_empty() {
                list_objects(&mut status, objects);
            }
        }
        Report::NotInstalled { message } => {
            let text = |prefix: &str| ConditionState::error(cut(&format!("{prefix}: {message}")));
            set(&mut status, "Ready", &text("not ready"), now);
            set(&mut status, "Installed", &text("not installed"), now);
            set(&mut status, "Deployed", &ConditionState::is_true(), now);
            status.ready = false;
            status.non_modified = true;
            status.release.clear();
            deployment.spec.deployment_id.clone_into(&mut status.applied_deployment_id);
        }
        Report::Applied { release, objects, correction_error } => {
            applied(&mut status, deployment, objects, *correction_error, now);
            (*release).clone_into(&mut status.release);
        }
    }
    say_unserved(&mut status, deployment, now);
    status.display = display(deployment, &status);
    status
}

/// Condition `NotServed` is there exactly while an option has no effect.
fn say_unserved(status: &mut BundleDeploymentStatus, deployment: &BundleDeployment, now: &str) {
    let unserved = unserved_options(&deployment.spec.options);
    if unserved.is_empty() {
        status.conditions.retain(|condition| condition.type_ != "NotServed");
        return;
    }
    let fields: Vec<&str> = unserved.iter().map(|option| option.field).collect();
    let instead: Vec<&str> = unserved.iter().map(|option| option.instead).collect();
    let state = ConditionState {
        status: Some(true),
        reason: fields.join(","),
        message: instead.join("; "),
    };
    set(status, "NotServed", &state, now);
}

fn applied(
    status: &mut BundleDeploymentStatus,
    deployment: &BundleDeployment,
    objects: &[ObjectState],
    correction_error: Option<&str>,
    now: &str,
) {
    list_objects(status, objects);
    deployment.spec.deployment_id.clone_into(&mut status.applied_deployment_id);
    status.sync_generation = Some(deployment.spec.options.force_sync_generation);
    status.downstream_resources_generation = deployment.spec.downstream_resources_generation;
    set(status, "Installed", &ConditionState::is_true(), now);
    let deployed = correction_error
        .map_or_else(ConditionState::is_true, |error| ConditionState::error(cut(error)));
    set(status, "Deployed", &deployed, now);
    let ready = match correction_error {
        Some(error) => ConditionState::error(cut(error)),
        None => ready_state(status),
    };
    set(status, "Ready", &ready, now);
    set(status, "Monitored", &ConditionState::is_true(), now);
}

fn ready_state(status: &BundleDeploymentStatus) -> ConditionState {
    if let Some(first) = status.non_ready_status.first() {
        let key = key_of(&first.api_version, &first.kind, &first.namespace, &first.name);
        let health = Health {
            state: first.summary.state.clone(),
            error: first.summary.error,
            transitioning: first.summary.transitioning,
            messages: first.summary.message.clone(),
        };
        return ConditionState::error(cut(&format!("{key} {}", health.to_text())));
    }
    if let Some(first) = status.modified_status.first() {
        let key = key_of(&first.api_version, &first.kind, &first.namespace, &first.name);
        let what = match (first.missing, first.exist, first.delete) {
            (true, true, _) => "is not owned by us".to_owned(),
            (true, false, _) => "missing".to_owned(),
            (_, _, true) => "extra".to_owned(),
            _ => format!("modified {}", first.patch),
        };
        return ConditionState::error(cut(&format!("{key} {what}")));
    }
    ConditionState::is_true()
}

/// Fills lists, counts and the two flags.
fn list_objects(status: &mut BundleDeploymentStatus, objects: &[ObjectState]) {
    let (mut not_ready, mut modified, mut resources) = (Vec::new(), Vec::new(), Vec::new());
    let mut counts = ResourceCounts::default();
    for ObjectState { key, finding } in objects {
        counts.desired_ready += i64::from(*finding != Finding::Extra);
        match finding {
            Finding::Extra => {
                counts.orphaned += 1;
                modified.push(ModifiedStatus { delete: true, ..modified_of(key) });
            }
            Finding::Live { uid, created_at, health, drift } => {
                resources.push(resource(key, created_at.clone()));
                if let Some(patch) = drift {
                    modified.push(ModifiedStatus { patch: patch.clone(), ..modified_of(key) });
                    counts.modified += 1;
                } else if health.is_ready() {
                    counts.ready += 1;
                } else {
                    counts.not_ready += 1;
                }
                if !health.is_ready() {
                    not_ready.push(non_ready_of(key, uid, health.clone()));
                }
            }
            Finding::Missing => {
                counts.missing += 1;
                modified.push(ModifiedStatus { missing: true, ..modified_of(key) });
            }
            Finding::NotOurs => {
                counts.missing += 1;
                modified.push(ModifiedStatus { missing: true, exist: true, ..modified_of(key) });
            }
            Finding::Refused(words) => {
                counts.not_ready += 1;
                let health = Health {
                    state: "error".to_owned(),
                    error: true,
                    transitioning: false,
                    messages: vec![cut(words)],
                };
                not_ready.push(non_ready_of(key, "", health));
            }
        }
    }
    status.incomplete_state = not_ready.len() > MAX_LISTED || modified.len() > MAX_LISTED;
    status.ready = not_ready.is_empty();
    status.non_modified = modified.is_empty();
    not_ready.sort_by(|left, right| left.uid.cmp(&right.uid));
    modified.sort_by_key(|entry| {
        format!("{}/{}/{}/{}", entry.api_version, entry.kind, entry.namespace, entry.name)
    });
    not_ready.truncate(MAX_LISTED);
    modified.truncate(MAX_LISTED);
    status.non_ready_status = not_ready;
    status.modified_status = modified;
    status.resources = resources;
    status.resource_counts = counts;
}

fn display(
    deployment: &BundleDeployment,
    status: &BundleDeploymentStatus,
) -> BundleDeploymentDisplay {
    let word = |type_: &str| {
        find_condition(&status.conditions, type_).map(condition_word).unwrap_or_default()
    };
    let reported = BundleDeployment { status: Some(status.clone()), ..deployment.clone() };
    let state = deployment_state(&reported);
    BundleDeploymentDisplay {
        deployed: word("Deployed"),
        monitored: word("Monitored"),
        state: state.to_string(),
    }
}

fn condition_word(condition: &Condition) -> String {
    match (condition.reason.as_str(), condition.message.as_str()) {
        (_, "") => condition.status.clone(),
        ("", message) => format!("{}: {message}", condition.status),
        (reason, message) => format!("{reason}: {message}"),
    }
}

fn set(status: &mut BundleDeploymentStatus, type_: &str, state: &ConditionState, now: &str) {
    set_condition(&mut status.conditions, type_, state, now);
}

fn key_of(api_version: &str, kind: &str, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn resource(key: &ObjectKey, created_at: Option<Time>) -> BundleDeploymentResource {
    BundleDeploymentResource {
        kind: key.kind.clone(),
        api_version: key.api_version.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        created_at,
    }
}

fn modified_of(key: &ObjectKey) -> ModifiedStatus {
    ModifiedStatus {
        kind: key.kind.clone(),
        api_version: key.api_version.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        ..ModifiedStatus::default()
    }
}

fn non_ready_of(key: &ObjectKey, uid: &str, health: Health) -> NonReadyStatus {
    NonReadyStatus {
        uid: uid.to_owned(),
        kind: key.kind.clone(),
        api_version: key.api_version.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        summary: StateSummary {
            state: health.state,
            error: health.error,
            transitioning: health.transitioning,
            message: health.messages,
        },
    }
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_MESSAGE_BYTES {
        return text.to_owned();
    }
    let mut end = MAX_MESSAGE_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({} bytes left out)", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> BundleDeployment {
        let mut deployment = BundleDeployment::default();
        deployment.spec.deployment_id = "s-1:2".to_owned();
        deployment.spec.staged_deployment_id = "s-1:2".to_owned();
        deployment
    }

    fn config_map(name: &str, drift: Option<&str>) -> ObjectState {
        ObjectState {
            key: key_of("v1", "ConfigMap", "e-mod", name),
            finding: Finding::Live {
                uid: name.to_owned(),
                created_at: None,
                health: Health { state: "active".to_owned(), ..Health::default() },
                drift: drift.map(str::to_owned),
            },
        }
    }

    fn ready_message(status: &BundleDeploymentStatus) -> &str {
        find_condition(&status.conditions, "Ready").map(|c| c.message.as_str()).unwrap_or_default()
    }

    // Words, lists and counts as recorded in observed/errors-drift-modified.yaml.
    #[test]
    fn drift_is_reported_as_the_reference_does() {
        let objects = [
            config_map("a", Some(r#"{"data":{"v":"1"}}"#)),
            ObjectState { key: key_of("v1", "ConfigMap", "e-mod", "b"), finding: Finding::Missing },
        ];
        let report = Report::Applied {
            release: "e-mod/e-mod-a:1",
            objects: &objects,
            correction_error: None,
        };
        let status = summarize_deployment(&deployment(), &report, "t");
        assert_eq!(ready_message(&status), r#"configmap.v1 e-mod/a modified {"data":{"v":"1"}}"#);
        assert_eq!(status.display.state, "Modified");
        assert_eq!(
            (status.display.deployed.as_str(), status.display.monitored.as_str()),
            ("True", "True")
        );
        assert!(status.ready && !status.non_modified);
        let counts = &status.resource_counts;
        assert_eq!(
            (counts.desired_ready, counts.missing, counts.modified, counts.ready),
            (2, 1, 1, 0)
        );
        assert_eq!(status.resources.len(), 1);
        assert!(status.modified_status[1].missing);
    }

    #[test]
    fn object_of_somebody_else_is_said_to_be_not_owned() {
        let key = key_of("v1", "ConfigMap", "n", "theirs");
        let objects = [ObjectState { key, finding: Finding::NotOurs }];
        let report =
            Report::Applied { release: "n/r:1", objects: &objects, correction_error: None };
        let status = summarize_deployment(&deployment(), &report, "t");
        assert_eq!(ready_message(&status), "configmap.v1 n/theirs is not owned by us");
        assert_eq!(status.display.state, "Modified");
        assert!(status.modified_status[0].missing && status.modified_status[0].exist);
    }

    #[test]
    fn more_than_ten_entries_are_an_incomplete_state() {
        for (count, is_incomplete) in [(10, false), (11, true)] {
            let missing = |number: usize| ObjectState {
                key: key_of("v1", "ConfigMap", "n", &format!("m{number:02}")),
                finding: Finding::Missing,
            };
            let objects: Vec<ObjectState> = (0..count).map(missing).collect();
            let report =
                Report::Applied { release: "n/r:1", objects: &objects, correction_error: None };
            let status = summarize_deployment(&deployment(), &report, "t");
            assert_eq!(status.incomplete_state, is_incomplete, "{count} are missing");
            assert_eq!(status.modified_status.len(), 10);
        }
    }

    // observed/errors-kind-unknown.yaml
    #[test]
    fn failed_deployment_is_err_applied() {
        let report = Report::Failed { message: "no matches for kind \"Widget\"", objects: &[] };
        let status = summarize_deployment(&deployment(), &report, "t");
        assert_eq!(status.display.state, "ErrApplied");
        assert_eq!(status.display.deployed, "Error: no matches for kind \"Widget\"");
    }

    // observed/errors-adoption-refused.yaml
    #[test]
    fn refused_adoption_is_not_ready_and_not_installed() {
        let status =
            summarize_deployment(&deployment(), &Report::NotInstalled { message: "taken" }, "t");
        assert_eq!(status.display.state, "NotReady");
        assert_eq!(ready_message(&status), "not ready: taken");
        let installed = find_condition(&status.conditions, "Installed").map(|c| c.message.as_str());
        assert_eq!(installed, Some("not installed: taken"));
        assert!(status.non_modified && status.release.is_empty());
    }

    #[test]
    fn waiting_deployment_is_wait_applied() {
        let report = Report::Waiting {
            reason: "DependsOn",
            message: "dependent bundle(s) are not ready: [a]",
        };
        let status = summarize_deployment(&deployment(), &report, "t");
        assert_eq!(status.display.state, "WaitApplied");
        assert!(!status.ready);
    }

    #[test]
    fn same_report_twice_changes_nothing() {
        let objects = [config_map("a", None)];
        let report =
            Report::Applied { release: "n/r:1", objects: &objects, correction_error: None };
        let mut deployment = deployment();
        let first = summarize_deployment(&deployment, &report, "t1");
        deployment.status = Some(first.clone());
        assert_eq!(summarize_deployment(&deployment, &report, "t2"), first);
        assert_eq!(first.display.state, "Ready");
    }

    #[test]
    fn failed_correction_outranks_ready() {
        let objects = [config_map("a", Some("{}"))];
        let report = Report::Applied {
            release: "n/r:1",
            objects: &objects,
            correction_error: Some("immutable"),
        };
        let status = summarize_deployment(&deployment(), &report, "t");
        assert_eq!(status.display.state, "ErrApplied");
        assert_eq!(ready_message(&status), "immutable");
    }

    #[test]
    fn options_without_effect_are_named_while_they_are_set() {
        let report = Report::Applied { release: "n/r:1", objects: &[], correction_error: None };
        let mut deployment = deployment();
        deployment.spec.options = serde_json::from_value(serde_json::json!({
            "deleteNamespace": true, "helm": { "waitForJobs": true },
        }))
        .unwrap();
        let first = summarize_deployment(&deployment, &report, "t1");
        let said = find_condition(&first.conditions, "NotServed").unwrap();
        assert_eq!(said.status, "True");
        assert_eq!(said.reason, "waitForJobs,deleteNamespace");
        assert_eq!(first.display.state, "Ready");
        deployment.status = Some(first.clone());
        assert_eq!(summarize_deployment(&deployment, &report, "t2"), first);
        deployment.spec.options = Default::default();
        let after = summarize_deployment(&deployment, &report, "t3");
        assert_eq!(find_condition(&after.conditions, "NotServed"), None);
    }
}
