//! Who sent which request, from an API server's audit log.
//!
//! Owns the policy and the reading. Off unless `FLEET_E2E_AUDIT` is set: the log costs the API
//! server time, so figures are measured without. Start at [`tally`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Every request, without bodies, once it is answered; watches when they end.
const POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy",
 "omitStages": ["RequestReceived", "ResponseStarted"], "rules": [{"level": "Metadata"}]}"#;

/// Flags of an API server whose files are in `folder`.
///
/// # Errors
/// When the policy cannot be written.
pub fn flags(folder: &Path) -> Result<Vec<String>> {
    if std::env::var_os("FLEET_E2E_AUDIT").is_none() {
        return Ok(Vec::new());
    }
    let policy = folder.join("audit-policy.json");
    std::fs::write(&policy, POLICY)?;
    let log = log_file(folder);
    Ok(vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
    ])
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

/// Length of the log now; 0 when there is none.
#[must_use]
pub fn mark(folder: &Path) -> u64 {
    std::fs::metadata(log_file(folder)).map_or(0, |file| file.len())
}

/// Requests since `from`, most frequent first: `count code verb resource user`.
///
/// # Errors
/// When the log cannot be read; one that does not exist is empty.
pub fn tally(folder: &Path, from: u64) -> Result<Vec<String>> {
    let path = log_file(folder);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let start = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in bytes[start..].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        // The last line may be half-written.
        let Ok(entry) = serde_json::from_slice::<Value>(line) else { continue };
        *counts.entry(describe(&entry)).or_default() += 1;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(counts.into_iter().map(|(what, count)| format!("{count:6} {what}")).collect())
}

fn describe(entry: &Value) -> String {
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let resource = match text("/objectRef/subresource") {
        "" => text("/objectRef/resource").to_owned(),
        sub => format!("{}/{sub}", text("/objectRef/resource")),
    };
    let what = if resource.is_empty() { text("/requestURI") } else { &resource };
    let agent = text("/userAgent").split(['/', ' ']).next().unwrap_or_default();
    let user = text("/user/username").rsplit(':').next().unwrap_or_default();
    let code = entry.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
    format!("{code} {:6} {what:30} {user} ({agent})", text("/verb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_user_verb_and_resource_from_a_mark_on() {
        let folder = tempfile::tempdir().unwrap();
        let line = |resource: &str| {
            format!(
                r#"{{"verb":"patch","user":{{"username":"system:serviceaccount:s:gitjob"}},"userAgent":"gitjob","objectRef":{{"resource":"{resource}","subresource":"status"}},"responseStatus":{{"code":200}}}}"#
            )
        };
        std::fs::write(log_file(folder.path()), line("gitrepos") + "\n").unwrap();
        let from = mark(folder.path());
        let more = [line("gitrepos"), line("bundles"), line("bundles")].join("\n");
        let all = [line("gitrepos"), more].join("\n");
        std::fs::write(log_file(folder.path()), all).unwrap();
        let tally = tally(folder.path(), from).unwrap();
        assert_eq!(tally.len(), 2, "{tally:?}");
        assert!(tally[0].starts_with("     2 200 patch  bundles/status"), "{tally:?}");
    }
}
