//! Options of a bundle with those of a target laid over them.
//!
//! Owns the rule of every field (Fleet 0.16, fleet-yaml 2.10). Must not know clusters. Start at
//! [`merge_options`].

use serde_json::Value;

use crate::api::options::{
    BundleDeploymentOptions, ComparePatch, DownstreamResource, HelmOptions, KeySelector, ValuesFrom,
};
use crate::api::wire::Object;

/// Merges `over` onto `base`.
///
/// Fields without a rule in Fleet 0.16 keep the base's value: `deleteNamespace`, `ignore`,
/// `deleteCRDResources`, `overwrites`, namespace labels and annotations.
///
/// Guarantees: merging empty options changes nothing.
pub fn merge_options(
    base: &BundleDeploymentOptions,
    over: &BundleDeploymentOptions,
) -> BundleDeploymentOptions {
    let mut merged = base.clone();
    // Fleet documents `-` as a way to reset these, but takes it literally; so do we.
    replace_text(&mut merged.default_namespace, &over.default_namespace);
    replace_text(&mut merged.namespace, &over.namespace);
    replace_text(&mut merged.service_account, &over.service_account);
    if let Some(over) = &over.helm {
        merge_helm(merged.helm.get_or_insert_default(), over);
    }
    if let Some(over) = &over.kustomize {
        replace_text(&mut merged.kustomize.get_or_insert_default().dir, &over.dir);
    }
    if let Some(over) = &over.diff {
        let patches = &mut merged.diff.get_or_insert_default().compare_patches;
        merge_by_key(patches, &over.compare_patches, patch_key);
    }
    if let Some(over) = &over.yaml {
        merged.yaml.get_or_insert_default().overlays.extend(over.overlays.iter().cloned());
    }
    if over.force_sync_generation > 0 {
        merged.force_sync_generation = over.force_sync_generation;
    }
    merged.keep_resources |= over.keep_resources;
    if let Some(drift) = &over.correct_drift {
        merged.correct_drift = Some(drift.clone());
    }
    merge_by_key(&mut merged.downstream_resources, &over.downstream_resources, downstream_key);
    merged
}

fn merge_helm(base: &mut HelmOptions, over: &HelmOptions) {
    match over.timeout_seconds {
        ..0 => base.timeout_seconds = 0,
        0 => {}
        seconds => base.timeout_seconds = seconds,
    }
    match (&mut base.values, &over.values) {
        (Some(values), Some(over)) => merge_values(values, over.clone()),
        (None, Some(over)) => base.values = Some(over.clone()),
        (_, None) => {}
    }
    base.template_values.extend(over.template_values.clone());
    merge_by_key(&mut base.values_from, &over.values_from, values_from_key);
    replace_text(&mut base.repo, &over.repo);
    replace_text(&mut base.chart, &over.chart);
    replace_text(&mut base.version, &over.version);
    replace_text(&mut base.release_name, &over.release_name);
    base.force |= over.force;
    base.atomic |= over.atomic;
    base.take_ownership |= over.take_ownership;
    base.disable_pre_process |= over.disable_pre_process;
    base.wait_for_jobs |= over.wait_for_jobs;
    base.disable_dns |= over.disable_dns;
}

/// Merges values: maps member by member, everything else (lists, `null`) replaced.
pub fn merge_values(base: &mut Object, over: Object) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(over)) => merge_values(inner, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn replace_text(base: &mut String, over: &str) {
    if !over.is_empty() {
        over.clone_into(base);
    }
}

/// Replaces the entries that have the key of one in `over`, and appends the others. Entries
/// without a key are always appended.
fn merge_by_key<T: Clone>(base: &mut Vec<T>, over: &[T], key: impl Fn(&T) -> Option<String>) {
    for entry in over {
        let wanted = key(entry);
        let held = base.iter().position(|held| wanted.is_some() && key(held) == wanted);
        match held {
            Some(index) => base[index] = entry.clone(),
            None => base.push(entry.clone()),
        }
    }
}

fn values_from_key(entry: &ValuesFrom) -> Option<String> {
    let key = |kind: &str, reference: &KeySelector| {
        format!("{kind}|{}|{}|{}", reference.namespace, reference.name, reference.key)
    };
    let config_map = entry.config_map_key_ref.as_ref().map(|reference| key("configmap", reference));
    config_map.or_else(|| entry.secret_key_ref.as_ref().map(|reference| key("secret", reference)))
}

fn patch_key(patch: &ComparePatch) -> Option<String> {
    Some(format!("{}|{}|{}|{}", patch.api_version, patch.kind, patch.namespace, patch.name))
}

fn downstream_key(resource: &DownstreamResource) -> Option<String> {
    Some(format!("{}|{}", resource.kind.to_lowercase(), resource.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(value: Value) -> BundleDeploymentOptions {
        serde_json::from_value(value).expect("options")
    }

    #[test]
    fn every_field_has_the_rule_of_the_reference() {
        for (base, over, expected) in [
            (json!({"namespace": "a"}), json!({"namespace": "-"}), json!({"namespace": "-"})),
            (json!({"namespace": "a"}), json!({}), json!({"namespace": "a"})),
            (json!({}), json!({"helm": {}}), json!({"helm": {}})),
            (
                json!({"helm": {"timeoutSeconds": 5, "force": true, "maxHistory": 3}}),
                json!({"helm": {"timeoutSeconds": -1, "atomic": true, "maxHistory": 9}}),
                json!({"helm": {"force": true, "atomic": true, "maxHistory": 3}}),
            ),
            (
                json!({"helm": {"values": {"a": 1, "m": {"x": 1, "l": [1]}}}}),
                json!({"helm": {"values": {"m": {"x": null, "l": [2, 3], "z": 1}}}}),
                json!({"helm": {"values": {"a": 1, "m": {"x": null, "l": [2, 3], "z": 1}}}}),
            ),
            (
                json!({"helm": {"valuesFrom": [{"secretKeyRef": {"name": "s", "key": "k"}}]}}),
                json!({"helm": {"valuesFrom": [
                    {"secretKeyRef": {"name": "s", "key": "k"}}, {"configMapKeyRef": {"name": "s", "key": "k"}},
                ]}}),
                json!({"helm": {"valuesFrom": [
                    {"secretKeyRef": {"name": "s", "key": "k"}}, {"configMapKeyRef": {"name": "s", "key": "k"}},
                ]}}),
            ),
            (
                json!({"yaml": {"overlays": ["a"]}}),
                json!({"yaml": {"overlays": ["a", "b"]}}),
                json!({"yaml": {"overlays": ["a", "a", "b"]}}),
            ),
            (
                json!({"downstreamResources": [{"kind": "Secret", "name": "a"}]}),
                json!({"downstreamResources": [{"kind": "secret", "name": "a"}]}),
                json!({"downstreamResources": [{"kind": "secret", "name": "a"}]}),
            ),
            (
                json!({"correctDrift": {"enabled": true}}),
                json!({"correctDrift": {}, "deleteNamespace": true, "forceSyncGeneration": 2}),
                json!({"correctDrift": {}, "forceSyncGeneration": 2}),
            ),
        ] {
            let merged = merge_options(&options(base), &options(over.clone()));
            assert_eq!(merged, options(expected), "{over}");
        }
    }

    #[test]
    fn merging_nothing_changes_nothing() {
        let full = options(json!({
            "namespace": "a", "yaml": {}, "kustomize": {"dir": "d"}, "diff": {}, "keepResources": true,
            "helm": {"values": {"a": 1}, "chart": "c", "force": true, "timeoutSeconds": 3},
        }));
        assert_eq!(merge_options(&full, &BundleDeploymentOptions::default()), full);
        assert_eq!(merge_options(&BundleDeploymentOptions::default(), &full), full);
    }
}
