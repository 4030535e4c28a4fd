//! What a user sets comes out as set, coalescing twice is coalescing once, and a chart sees the values that coalescing gives.
#![no_main]

use std::sync::Arc;

use gotemplate::{Budget, FixedHost, Limits, Scope};
use libfuzzer_sys::fuzz_target;
use render::helm::{
    ArchiveLimits, Capabilities, Chart, ChartFile, ChartRequest, Release, SetKind, Values, coalesce_values, load_chart,
    load_values, merge_maps, render_chart, set_values,
};
use serde_json::Value as Json;

/// Between the parts of an input: dependencies, the parent's values, those of two children, the user's, `--set`.
const SEPARATOR: &str = "\n%%%%\n";
const SHOW: &str = "{{ .Values | toJson }}";

fn chart(parts: &[&str]) -> Option<Chart> {
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    let parent = format!("apiVersion: v2\nname: parent\nversion: 1.0.0\n{}", part(0));
    let child = |name: &str| format!("apiVersion: v2\nname: {name}\nversion: 1.2.3\n");
    let files = [
        ("Chart.yaml", parent.as_str()),
        ("values.yaml", part(1)),
        ("templates/parent.txt", SHOW),
        ("charts/a/Chart.yaml", &child("a")),
        ("charts/a/values.yaml", part(2)),
        ("charts/a/templates/child.txt", SHOW),
        ("charts/b/Chart.yaml", &child("b")),
        ("charts/b/values.yaml", part(3)),
    ];
    let file = |(name, text): (&str, &str)| ChartFile { name: name.to_owned(), data: text.as_bytes().to_vec() };
    load_chart(files.into_iter().map(file).collect(), ArchiveLimits::default()).ok()
}

fn has_null(json: &Json) -> bool {
    match json {
        Json::Null => true,
        Json::Array(_) => false,
        Json::Object(table) => table.values().any(has_null),
        _ => false,
    }
}

fn any_null(chart: &Chart) -> bool {
    chart.values.values().any(has_null) || chart.dependencies.iter().any(any_null)
}

// Every leaf of `set` is in `seen`.
fn check_kept(set: &Values, seen: &Values) {
    for (key, item) in set {
        match (item, seen.get(key)) {
            (Json::Object(table), Some(Json::Object(kept))) => check_kept(table, kept),
            (item, kept) => assert_eq!(Some(item), kept, "{key}"),
        }
    }
}

fuzz_target!(|text: &str| {
    let parts: Vec<&str> = text.split(SEPARATOR).collect();
    let Ok(mut user) = load_values(parts.get(4).copied().unwrap_or_default()) else { return };
    assert_eq!(merge_maps(user.clone(), user.clone()), user);
    assert_eq!(merge_maps(Values::new(), user.clone()), user);
    assert_eq!(merge_maps(user.clone(), Values::new()), user);
    for flag in parts.get(5).copied().unwrap_or_default().lines() {
        let _ = set_values(&mut user, flag, &SetKind::Typed);
        let _ = set_values(&mut user, flag, &SetKind::Json);
    }
    let Some(chart) = chart(&parts) else { return };
    if let Ok(once) = coalesce_values(&chart, &user) {
        // A null removes a default, and is gone: the default is back in a second pass.
        if !user.values().any(has_null) && !any_null(&chart) {
            check_kept(&user, &once);
            assert_eq!(coalesce_values(&chart, &once).as_ref(), Ok(&once));
        }
    }
    let release = Release { name: "r".to_owned(), namespace: "n".to_owned(), revision: 1, is_upgrade: false };
    let limits = Limits { steps: 10_000, depth: 20, output_bytes: 1 << 20 };
    let scope = Scope { host: Arc::new(FixedHost::default()), budget: Arc::new(Budget::new(limits)) };
    let capabilities = Capabilities::default();
    let request =
        ChartRequest { values: &user, release: &release, capabilities: &capabilities, check_schema: true, keep_objects: true, scope: &scope };
    let render = || render_chart(&chart, &request).map(|rendered| rendered.manifest(true)).map_err(|e| e.to_string());
    assert_eq!(render(), render());
});
