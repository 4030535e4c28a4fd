//! The words that say why something is not ready.
//!
//! Owns the formats of Fleet 0.16 (fleet-api 1.18), which scripts read. Start at [`ready_message`].

use crate::api::bundle::{BundleSummary, ModifiedStatus, NonReadyStatus, StateSummary};

use super::BundleState;

/// The most modified and the most non-ready objects that a message quotes.
const MAX_QUOTED: usize = 4;

/// The message of a Ready condition; empty when all are ready. `kind` is what the entries of the
/// summary are: `Cluster` on a Bundle, `Bundle` elsewhere.
pub fn ready_message(summary: &BundleSummary, kind: &str) -> String {
    let mut entries = Vec::new();
    for state in BundleState::ALL {
        let count = state.count(summary);
        if state == BundleState::Ready || count <= 0 {
            continue;
        }
        let mut listed = summary.non_ready_resources.iter();
        let Some(first) = listed.find(|entry| entry.bundle_state == state.as_str()) else {
            entries.push(format!("{state}({count})"));
            continue;
        };
        let name = &first.name;
        entries.push(match first.message.as_str() {
            "" => format!("{state}({count}) [{kind} {name}]"),
            message => format!("{state}({count}) [{kind} {name}: {message}]"),
        });
        entries.extend(first.modified_status.iter().take(MAX_QUOTED).map(modified_text));
        entries.extend(first.non_ready_status.iter().take(MAX_QUOTED).map(non_ready_text));
    }
    entries.sort();
    entries.join("; ")
}

/// An object that differs, in words: `service.v1 ns/svc missing`.
pub fn modified_text(status: &ModifiedStatus) -> String {
    let object = object_text(&status.api_version, &status.kind, &status.namespace, &status.name);
    match (status.missing, status.exist, status.delete) {
        (true, true, _) => format!("{object} is not owned by us"),
        (true, false, _) => format!("{object} missing"),
        (false, _, true) => format!("{object} extra"),
        (false, _, false) => format!("{object} modified {}", status.patch),
    }
}

/// An object that is not ready, in words: `deployment.apps default/nginx [progressing] …`.
pub fn non_ready_text(status: &NonReadyStatus) -> String {
    let object = object_text(&status.api_version, &status.kind, &status.namespace, &status.name);
    format!("{object} {}", state_text(&status.summary))
}

/// A state in words. An error alone lacks its opening bracket, as in Fleet 0.16.
pub fn state_text(summary: &StateSummary) -> String {
    let flags = match (summary.transitioning, summary.error) {
        (false, false) => return summary.state.clone(),
        (true, false) => "[progressing]",
        (true, true) => "[progressing,error]",
        (false, true) => "error]",
    };
    match summary.message.as_slice() {
        [] => flags.to_owned(),
        messages => format!("{flags} {}", messages.join(", ")),
    }
}

/// `<kind>.<group or version> [<namespace>/]<name>`.
fn object_text(api_version: &str, kind: &str, namespace: &str, name: &str) -> String {
    let group = api_version.split('/').next().unwrap_or_default();
    let kind = kind.to_lowercase();
    match namespace {
        "" => format!("{kind}.{group} {name}"),
        namespace => format!("{kind}.{group} {namespace}/{name}"),
    }
}
