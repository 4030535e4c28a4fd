//! Tells how a live object differs from what was deployed.
//!
//! Owns the comparison and the rules by which a user excludes fields from it (`diff.comparePatches`). Must not
//! know what follows: that is `status.rs` and `bundle_deployment.rs`. Start at [`detect_drift`].

use bundle_format::api::options::ComparePatch;
use regex::RegexBuilder;
use serde_json::{Map, Value, json};

use super::ObjectKey;
use super::normalize::{normalize_desired, predict, strip_server_fields};

// A regular expression from a user may not compile into more than this.
const MAX_REGEX_BYTES: usize = 1 << 16;

/// What does not count as drift.
#[derive(Clone, Copy, Debug, Default)]
pub struct DriftRules<'a> {
    /// `diff.comparePatches` of the bundle.
    pub compare_patches: &'a [ComparePatch],
    /// Workloads whose replicas an autoscaler of the same bundle sets.
    pub scaled: &'a [ScaledWorkload],
}

/// A workload whose replicas are not ours to compare, within limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaledWorkload {
    /// Kind of the workload.
    pub kind: String,
    /// Namespace of workload and autoscaler.
    pub namespace: String,
    /// Name of the workload.
    pub name: String,
    /// Fewest replicas the autoscaler may set.
    pub min_count: i64,
    /// Most replicas the autoscaler may set.
    pub max_count: i64,
}

impl ScaledWorkload {
    /// Reads which workload a HorizontalPodAutoscaler scales.
    #[must_use]
    pub fn of(autoscaler: &Value) -> Option<Self> {
        if autoscaler.get("kind")? != "HorizontalPodAutoscaler" {
            return None;
        }
        let spec = autoscaler.get("spec")?;
        let target = spec.get("scaleTargetRef")?;
        let text =
            |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self {
            kind: text(target.get("kind")),
            namespace: text(autoscaler.pointer("/metadata/namespace")),
            name: text(target.get("name")),
            min_count: spec.get("minReplicas").and_then(Value::as_i64).unwrap_or(1),
            max_count: spec.get("maxReplicas").and_then(Value::as_i64)?,
        })
    }

    fn excuses(&self, key: &ObjectKey, live: &Value) -> bool {
        let replicas = live.pointer("/spec/replicas").and_then(Value::as_i64);
        self.kind == key.kind
            && self.name == key.name
            && self.namespace == key.namespace
            && replicas.is_some_and(|count| (self.min_count..=self.max_count).contains(&count))
    }
}

/// How a live object differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// Merge patch from the live object to the deployed one.
    pub patch: Value,
}

impl Drift {
    /// The patch as text, the form of `status.modifiedStatus[].patch`. Contents of Secrets are left out: a status
    /// is read by people who may not read Secrets.
    #[must_use]
    pub fn to_text(&self, key: &ObjectKey) -> String {
        if key.kind != "Secret" || !key.group().is_empty() {
            return self.patch.to_string();
        }
        let mut patch = self.patch.clone();
        for field in ["data", "stringData"] {
            if let Some(data) = patch.get_mut(field).and_then(Value::as_object_mut) {
                data.values_mut().for_each(|value| *value = "<secret>".into());
            }
        }
        patch.to_string()
    }
}

/// Compares a live object with the deployed one; `None` when nothing that was deployed is different.
#[must_use]
pub fn detect_drift(desired: &Value, live: &Value, rules: &DriftRules<'_>) -> Option<Drift> {
    let key = ObjectKey::of(desired);
    let (mut desired, mut live) = (desired.clone(), live.clone());
    strip_server_fields(&mut desired);
    strip_server_fields(&mut live);
    normalize_desired(&mut desired);
    if rules.scaled.iter().any(|scaled| scaled.excuses(&key, &live)) {
        remove_pointer(&mut desired, "/spec/replicas");
    }
    for rule in rules.compare_patches {
        drop_excluded(rule, &key, &mut desired, &mut live);
    }
    let predicted = predict(&desired, &live);
    let patch = merge_patch(&live, &predicted)?;
    Some(Drift { patch })
}

/// Tells whether an `ignore` operation says that this object may be missing.
#[must_use]
pub fn may_be_missing(key: &ObjectKey, rules: &DriftRules<'_>) -> bool {
    rules.compare_patches.iter().any(|rule| {
        rule.api_version == key.api_version
            && rule.kind == key.kind
            && (rule.namespace.is_empty() || rule.namespace == key.namespace)
            && (rule.name.is_empty() || matches_regex(&rule.name, &key.name))
            && rule.operations.iter().any(|operation| operation.op == "ignore")
    })
}

fn drop_excluded(rule: &ComparePatch, key: &ObjectKey, desired: &mut Value, live: &mut Value) {
    let (group, _) = rule.api_version.rsplit_once('/').unwrap_or_default();
    let fits = matches_glob(group, key.group())
        && matches_glob(&rule.kind, &key.kind)
        && (rule.namespace.is_empty() || rule.namespace == key.namespace)
        && (rule.name.is_empty() || rule.name == key.name);
    if fits {
        for pointer in &rule.json_pointers {
            remove_pointer(desired, pointer);
            remove_pointer(live, pointer);
        }
    }
    let exact = rule.api_version == key.api_version
        && rule.kind == key.kind
        && rule.namespace == key.namespace
        && rule.name == key.name;
    let operations: Vec<Value> = rule
        .operations
        .iter()
        .filter(|operation| operation.op != "ignore")
        .map(|operation| match operation.op.as_str() {
            "remove" => json!({"op": "remove", "path": operation.path}),
            op => json!({"op": op, "path": operation.path, "value": operation.value}),
        })
        .collect();
    if exact && !operations.is_empty() {
        // All or none on each side: an operation that does not fit leaves that side as it was (Fleet 0.16).
        let operations = Value::Array(operations);
        let _ = patch::json::apply(desired, operations.clone());
        let _ = patch::json::apply(live, operations);
    }
}

fn remove_pointer(object: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    let last = last.replace("~1", "/").replace("~0", "~");
    match object.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.remove(&last);
        }
        Some(Value::Array(list)) => {
            if let Ok(index) = last.parse::<usize>()
                && index < list.len()
            {
                list.remove(index);
            }
        }
        _ => {}
    }
}

/// The merge patch that turns one object into the other; `None` when they are equal.
fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        _ if from == to => None,
        (Value::Object(from), Value::Object(to)) => {
            let mut patch = Map::new();
            for key in from.keys().filter(|key| !to.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            for (key, value) in to {
                let change = from
                    .get(key)
                    .map_or_else(|| Some(value.clone()), |old| merge_patch(old, value));
                if let Some(change) = change {
                    patch.insert(key.clone(), change);
                }
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => Some(to.clone()),
    }
}

fn matches_regex(pattern: &str, text: &str) -> bool {
    let regex = RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build();
    regex.map_or(pattern == text, |regex| regex.is_match(text))
}

/// Matches `*` and `?`; linear in both lengths.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut in_pattern) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(c) if *c == '?' || *c == text[at] => {
                in_pattern += 1;
                at += 1;
            }
            _ => {
                let Some((star_pattern, star_text)) = star else { return false };
                star = Some((star_pattern, star_text + 1));
                in_pattern = star_pattern + 1;
                at = star_text + 1;
            }
        }
    }
    pattern[in_pattern..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle_format::api::options::PatchOperation;

    fn config_map(data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "e-mod"}, "data": data})
    }

    // Recorded: observed/errors-drift-modified.yaml (v was changed by hand and z added).
    #[test]
    fn changed_key_is_drift_and_added_key_is_not() {
        let drift = detect_drift(
            &config_map(json!({"v": "1"})),
            &config_map(json!({"v": "2", "z": "9"})),
            &DriftRules::default(),
        );
        assert_eq!(drift.expect("drift").patch.to_string(), r#"{"data":{"v":"1"}}"#);
        let added = config_map(json!({"v": "1", "z": "9"}));
        assert_eq!(
            detect_drift(&config_map(json!({"v": "1"})), &added, &DriftRules::default()),
            None
        );
    }

    #[test]
    fn excluded_pointer_is_not_compared() {
        let rules = [ComparePatch {
            kind: "ConfigMap".into(),
            api_version: "v1".into(),
            json_pointers: vec!["/data/v".into(), "/data/not/there".into()],
            ..ComparePatch::default()
        }];
        let rules = DriftRules { compare_patches: &rules, ..DriftRules::default() };
        let (left, right) = (config_map(json!({"v": "1"})), config_map(json!({"v": "2"})));
        assert_eq!(detect_drift(&left, &right, &rules), None);
    }

    #[test]
    fn operation_that_does_not_fit_undoes_its_companions() {
        let remove = |path: &str| PatchOperation {
            op: "remove".into(),
            path: path.into(),
            value: String::new(),
        };
        let mut rule = ComparePatch {
            kind: "ConfigMap".into(),
            api_version: "v1".into(),
            namespace: "e-mod".into(),
            name: "a".into(),
            operations: vec![remove("/data/v")],
            ..ComparePatch::default()
        };
        let (left, right) = (config_map(json!({"v": "1"})), config_map(json!({"v": "2"})));
        let drift = |rule: &ComparePatch| {
            let rules = std::slice::from_ref(rule);
            detect_drift(
                &left,
                &right,
                &DriftRules { compare_patches: rules, ..DriftRules::default() },
            )
        };
        assert_eq!(drift(&rule), None);
        rule.operations.push(remove("/data/absent"));
        assert!(drift(&rule).is_some());
    }

    #[test]
    fn ignored_object_may_be_missing() {
        let rules = [ComparePatch {
            kind: "ConfigMap".into(),
            api_version: "v1".into(),
            name: "^a.*$".into(),
            operations: vec![PatchOperation { op: "ignore".into(), ..PatchOperation::default() }],
            ..ComparePatch::default()
        }];
        let rules = DriftRules { compare_patches: &rules, ..DriftRules::default() };
        let key = ObjectKey::of(&config_map(json!({})));
        assert!(may_be_missing(&key, &rules));
        assert!(!may_be_missing(&ObjectKey { name: "b".into(), ..key }, &rules));
    }

    #[test]
    fn replicas_within_the_autoscalers_limits_are_not_drift() {
        let scaled = [ScaledWorkload::of(
            &json!({"kind": "HorizontalPodAutoscaler", "metadata": {"namespace": "n"},
            "spec": {"maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}}),
        )
        .expect("an autoscaler")];
        let rules = DriftRules { scaled: &scaled, ..DriftRules::default() };
        let web = |replicas: i64| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "n"}, "spec": {"replicas": replicas}})
        };
        assert_eq!(detect_drift(&web(1), &web(4), &rules), None);
        assert!(detect_drift(&web(1), &web(9), &rules).is_some());
    }

    #[test]
    fn secret_contents_never_reach_the_status() {
        let secret = |value: &str| {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"},
            "data": {"password": value}})
        };
        let drift = detect_drift(&secret("aHVudGVyMg=="), &secret("eA=="), &DriftRules::default())
            .expect("drift");
        let text = drift.to_text(&ObjectKey::of(&secret("")));
        assert!(!text.contains("aHVudGVyMg"), "{text}");
    }

    #[test]
    fn globs_match_like_a_shell() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "apps", true),
            ("a*s", "apps", true),
            ("a?ps", "apps", true),
            ("a*x", "apps", false),
        ] {
            assert_eq!(matches_glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
