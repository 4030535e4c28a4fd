//! Which hooks of a chart run at which moment, in which order.
//!
//! Owns the annotations of Helm hooks and the form in which a release record keeps them. Must not know clients.
//! Start at [`Hook::read`] and [`hooks_at`].

use serde_json::{Value, json};

use super::ObjectKey;

/// A moment in the life of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the first revision is applied.
    PreInstall,
    /// After it.
    PostInstall,
    /// Before a later revision is applied.
    PreUpgrade,
    /// After it.
    PostUpgrade,
    /// Before an older revision is applied again.
    PreRollback,
    /// After it.
    PostRollback,
    /// Before the release goes.
    PreDelete,
    /// After it.
    PostDelete,
}

impl Moment {
    /// Helm's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreInstall => "pre-install",
            Self::PostInstall => "post-install",
            Self::PreUpgrade => "pre-upgrade",
            Self::PostUpgrade => "post-upgrade",
            Self::PreRollback => "pre-rollback",
            Self::PostRollback => "post-rollback",
            Self::PreDelete => "pre-delete",
            Self::PostDelete => "post-delete",
        }
    }
}

/// When a hook's object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletePolicy {
    /// Before it is made anew; the default.
    BeforeCreation,
    /// After it succeeded.
    Succeeded,
    /// After it failed.
    Failed,
}

/// An object that runs at certain moments only.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// Template it came from.
    pub source: String,
    /// The object, namespace filled in.
    pub object: Value,
    events: Vec<String>,
    weight: i64,
    policies: Vec<DeletePolicy>,
}

impl Hook {
    /// Reads the annotations of a hook's object.
    #[must_use]
    pub fn read(source: &str, object: &Value) -> Self {
        let annotation = |name: &str| {
            let found = object.pointer("/metadata/annotations").and_then(|map| map.get(name));
            found.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let words = |text: String| -> Vec<String> {
            text.split(',')
                .map(|word| word.trim().to_lowercase())
                .filter(|word| !word.is_empty())
                .collect()
        };
        let mut policies: Vec<DeletePolicy> = words(annotation("helm.sh/hook-delete-policy"))
            .iter()
            .filter_map(|word| match word.as_str() {
                "before-hook-creation" => Some(DeletePolicy::BeforeCreation),
                "hook-succeeded" => Some(DeletePolicy::Succeeded),
                "hook-failed" => Some(DeletePolicy::Failed),
                _ => None,
            })
            .collect();
        if policies.is_empty() {
            policies.push(DeletePolicy::BeforeCreation);
        }
        Self {
            source: source.to_owned(),
            object: object.clone(),
            events: words(annotation("helm.sh/hook")),
            weight: annotation("helm.sh/hook-weight").trim().parse().unwrap_or(0),
            policies,
        }
    }

    /// Which object.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey::of(&self.object)
    }

    /// Whether its object is deleted then.
    #[must_use]
    pub fn has_policy(&self, policy: DeletePolicy) -> bool {
        self.policies.contains(&policy)
    }

    /// The form in which Helm's records keep hooks.
    #[must_use]
    pub fn to_record(&self) -> Value {
        let policies: Vec<&str> = self
            .policies
            .iter()
            .map(|policy| match policy {
                DeletePolicy::BeforeCreation => "before-hook-creation",
                DeletePolicy::Succeeded => "hook-succeeded",
                DeletePolicy::Failed => "hook-failed",
            })
            .collect();
        json!({
            "name": self.object["metadata"]["name"],
            "kind": self.object["kind"],
            "path": self.source,
            "manifest": goyaml::to_string(&self.object),
            "events": self.events,
            "last_run": { "started_at": "", "completed_at": "", "phase": "" },
            "weight": self.weight,
            "delete_policies": policies,
        })
    }

    /// Reads a hook of a record; `None` when its manifest cannot be read.
    #[must_use]
    pub fn from_record(record: &Value) -> Option<Self> {
        let object = goyaml::from_str(record["manifest"].as_str()?).ok()?;
        let mut hook = Self::read(record["path"].as_str().unwrap_or_default(), &object);
        // Records of Helm hold the parsed lists; the annotations say the same.
        if let Some(weight) = record["weight"].as_i64() {
            hook.weight = weight;
        }
        Some(hook)
    }
}

/// The hooks of a moment in the order in which they run: by weight, then by name, as Helm 4.
#[must_use]
pub fn hooks_at(hooks: &[Hook], moment: Moment) -> Vec<&Hook> {
    let mut chosen: Vec<&Hook> = hooks
        .iter()
        .filter(|hook| hook.events.iter().any(|event| event == moment.as_str()))
        .collect();
    chosen.sort_by_key(|hook| (hook.weight, hook.key().name));
    chosen
}

/// How far the object of a hook got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not there yet.
    Running,
    /// Done.
    Succeeded,
    /// Given up; why.
    Failed(String),
}

/// Judges the live object of a hook: jobs and pods run to their end, all others are done when they exist.
#[must_use]
pub fn hook_progress(object: &Value) -> Progress {
    let key = ObjectKey::of(object);
    match (key.group(), key.kind.as_str()) {
        ("batch", "Job") => {
            let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
            for condition in conditions.into_iter().flatten().filter(|c| c["status"] == "True") {
                match condition["type"].as_str() {
                    Some("Complete" | "SuccessCriteriaMet") => return Progress::Succeeded,
                    Some("Failed") => {
                        let text =
                            |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
                        return Progress::Failed(format!(
                            "job {} failed: {}",
                            text("reason"),
                            text("message")
                        ));
                    }
                    _ => {}
                }
            }
            Progress::Running
        }
        ("", "Pod") => match object.pointer("/status/phase").and_then(Value::as_str) {
            Some("Succeeded") => Progress::Succeeded,
            Some("Failed") => Progress::Failed(format!("pod {} failed", key.name)),
            _ => Progress::Running,
        },
        _ => Progress::Succeeded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, events: &str, weight: &str) -> Hook {
        let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations":
            {"helm.sh/hook": events, "helm.sh/hook-weight": weight}}});
        Hook::read("c/templates/job.yaml", &object)
    }

    #[test]
    fn hooks_run_by_weight_then_name() {
        let hooks = [
            job("b", "pre-install, pre-upgrade", "5"),
            job("a", "pre-install", "5"),
            job("z", "pre-install", "-1"),
            job("other", "post-install", "0"),
        ];
        let names =
            |moment| hooks_at(&hooks, moment).iter().map(|h| h.key().name).collect::<Vec<_>>();
        assert_eq!(names(Moment::PreInstall), ["z", "a", "b"]);
        assert_eq!(names(Moment::PreUpgrade), ["b"]);
        assert!(hooks[0].has_policy(DeletePolicy::BeforeCreation));
    }

    #[test]
    fn hook_survives_its_record() {
        let hook = job("a", "pre-delete", "3");
        assert_eq!(Hook::from_record(&hook.to_record()), Some(hook));
    }

    #[test]
    fn job_is_done_when_it_says_so() {
        let state = |conditions: Value| {
            hook_progress(
                &json!({"apiVersion": "batch/v1", "kind": "Job", "status": {"conditions": conditions}}),
            )
        };
        assert_eq!(state(json!([])), Progress::Running);
        assert_eq!(state(json!([{"type": "Complete", "status": "True"}])), Progress::Succeeded);
        assert!(matches!(
            state(json!([{"type": "Failed", "status": "True"}])),
            Progress::Failed(_)
        ));
    }
}
