//! Reading and setting conditions.
//!
//! Owns the rules of `lastUpdateTime` and `lastTransitionTime`. Works on any condition type that
//! serialises like wrangler's (`type`, `status`, `reason`, `message`, the two times), typed or
//! `serde_json::Value`. Start at [`set`].

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::clock::time_text;

/// The wanted content of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionUpdate {
    /// `Ready`, `Accepted`, …
    pub kind: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// One CamelCase word, or empty.
    pub reason: String,
    /// Text for people, or empty.
    pub message: String,
}

/// The three values of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can tell now.
    Unknown,
}

impl ConditionStatus {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl ConditionUpdate {
    /// True, without reason and message (how Fleet clears an error).
    #[must_use]
    pub fn ok(kind: &'static str) -> Self {
        Self { kind, status: ConditionStatus::True, reason: String::new(), message: String::new() }
    }

    /// False with reason `Error` and the text (how Fleet sets an error).
    #[must_use]
    pub fn error(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: ConditionStatus::False,
            reason: "Error".to_owned(),
            message: message.into(),
        }
    }

    /// Any status, reason and message.
    #[must_use]
    pub fn new(
        kind: &'static str,
        status: impl Into<ConditionStatus>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, status: status.into(), reason: reason.into(), message: message.into() }
    }
}

/// Sets one condition, keeping the order of the others; says whether anything changed.
///
/// Guarantees: `lastUpdateTime` moves only when status, reason or message change, and
/// `lastTransitionTime` only when the status changes, so an unchanged world writes nothing.
/// (Fleet 0.16 never sets `lastTransitionTime`.)
pub fn set<C>(conditions: &mut Vec<C>, update: &ConditionUpdate, now: Timestamp) -> bool
where
    C: Serialize + DeserializeOwned,
{
    let position = conditions.iter().position(|c| text(&to_map(c), "type") == update.kind);
    let old = position.map(|at| to_map(&conditions[at])).unwrap_or_default();
    let same_status = text(&old, "status") == update.status.as_str();
    if position.is_some()
        && same_status
        && text(&old, "reason") == update.reason
        && text(&old, "message") == update.message
    {
        return false;
    }
    let mut new = old;
    let now = time_text(now);
    if !same_status || text(&new, "lastTransitionTime").is_empty() {
        new.insert("lastTransitionTime".into(), now.clone().into());
    }
    new.insert("lastUpdateTime".into(), now.into());
    new.insert("type".into(), update.kind.into());
    new.insert("status".into(), update.status.as_str().into());
    for (key, value) in [("reason", &update.reason), ("message", &update.message)] {
        if value.is_empty() {
            new.remove(key);
        } else {
            new.insert(key.into(), value.clone().into());
        }
    }
    // A condition type that cannot hold these six strings is no condition type.
    let Ok(condition) = serde_json::from_value(Value::Object(new)) else { return false };
    match position {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    true
}

/// Takes the condition away; says whether it was there.
pub fn remove<C: Serialize>(conditions: &mut Vec<C>, kind: &str) -> bool {
    let before_count = conditions.len();
    conditions.retain(|c| text(&to_map(c), "type") != kind);
    conditions.len() != before_count
}

/// The `(status, reason, message)` of a condition, if it is there.
#[must_use]
pub fn get<C: Serialize>(conditions: &[C], kind: &str) -> Option<(String, String, String)> {
    conditions.iter().map(to_map).find(|c| text(c, "type") == kind).map(|c| {
        (
            text(&c, "status").to_owned(),
            text(&c, "reason").to_owned(),
            text(&c, "message").to_owned(),
        )
    })
}

/// Whether the condition is there and `True`.
#[must_use]
pub fn is_true<C: Serialize>(conditions: &[C], kind: &str) -> bool {
    get(conditions, kind).is_some_and(|(status, _, _)| status == "True")
}

fn to_map<C: Serialize>(condition: &C) -> Map<String, Value> {
    match serde_json::to_value(condition) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_move_only_with_what_they_date() {
        let mut conditions: Vec<Value> = Vec::new();
        let (one, two, three) =
            (at("2026-01-01T00:00:01Z"), at("2026-01-01T00:00:02Z"), at("2026-01-01T00:00:03Z"));
        assert!(set(&mut conditions, &ConditionUpdate::error("Ready", "a"), one));
        assert!(!set(&mut conditions, &ConditionUpdate::error("Ready", "a"), two));
        assert!(set(&mut conditions, &ConditionUpdate::error("Ready", "b"), two));
        assert_eq!(conditions[0]["lastTransitionTime"], "2026-01-01T00:00:01Z");
        assert_eq!(conditions[0]["lastUpdateTime"], "2026-01-01T00:00:02Z");
        assert!(set(&mut conditions, &ConditionUpdate::ok("Ready"), three));
        assert_eq!(conditions[0]["lastTransitionTime"], "2026-01-01T00:00:03Z");
        assert_eq!(conditions[0].get("message"), None);
    }

    #[test]
    fn the_order_and_unknown_members_of_others_stay() {
        let mut conditions: Vec<Value> = vec![
            serde_json::json!({"type": "B", "status": "True", "x": 1}),
            serde_json::json!({"type": "A", "status": "True"}),
        ];
        set(&mut conditions, &ConditionUpdate::error("B", "no"), at("2026-01-01T00:00:01Z"));
        assert_eq!(conditions[0]["x"], 1);
        assert_eq!(get(&conditions, "B").unwrap().0, "False");
        assert!(is_true(&conditions, "A"));
    }
}
