//! Tables: what `kubectl get` prints.
//!
//! Owns columns and cells. Cells of CRDs come from JSON paths, those of built-in kinds from
//! [`cells`]. Pure. Start at [`of`].

mod cells;
pub(crate) mod fields;
mod json_path;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::registry::{Column, Kind};
use crate::server::Call;

/// The table of `objects`, in the asked detail (`includeObject`).
pub(crate) fn of(call: &Call, objects: &[Value], now: Timestamp) -> Value {
    let include = call.query.text("includeObject").unwrap_or("Metadata");
    let kind = &call.kind;
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": row_cells(kind, object, now)});
            match include {
                "None" => row["object"] = Value::Null,
                "Object" => row["object"] = object.clone(),
                _ => {
                    row["object"] = json!({"kind": "PartialObjectMetadata",
                        "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]});
                }
            }
            row
        })
        .collect();
    // The peer's printer of CRDs leaves the list of rows unset when there is none.
    let rows = if rows.is_empty() && kind.is_crd() { Value::Null } else { rows.into() };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": definitions(kind), "rows": rows})
}

pub(crate) fn with_metadata(mut table: Value, metadata: Value) -> Value {
    table["metadata"] = metadata;
    table
}

fn definitions(kind: &Kind) -> Vec<Value> {
    let name = Column {
        name: "Name".into(),
        type_: "string".into(),
        format: "name".into(),
        description: "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names".into(),
        ..Column::default()
    };
    let own = kind.is_custom().then_some(&name).into_iter();
    own.chain(&kind.columns)
        .map(|c| {
            json!({"name": c.name, "type": c.type_, "format": c.format,
                "description": c.description, "priority": c.priority})
        })
        .collect()
}

fn row_cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    if !kind.is_custom() {
        return kind.columns.iter().map(|c| cells::cell(kind, &c.name, object, now)).collect();
    }
    let name = object["metadata"]["name"].clone();
    let own = kind.columns.iter().map(|c| custom_cell(c, object, now));
    std::iter::once(name).chain(own).collect()
}

fn custom_cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let found = json_path::find(object, &column.path);
    let Some(value) = found.first().copied() else { return Value::Null };
    match (column.type_.as_str(), value) {
        ("date", Value::String(text)) => age(text, now).into(),
        ("string", Value::String(_)) | ("integer" | "number", Value::Number(_)) => value.clone(),
        ("boolean", Value::Bool(_)) => value.clone(),
        ("string", Value::Null) => Value::Null,
        ("string", _) if found.len() > 1 => {
            let texts: Vec<String> = found.iter().map(|v| plain(v)).collect();
            texts.join(",").into()
        }
        ("string", other) => plain(other).into(),
        _ => Value::Null,
    }
}

/// A value as Go's JSON path printer writes it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How long ago, the way kubectl says it (`duration.HumanDuration`).
pub(crate) fn age(stamp: &str, now: Timestamp) -> String {
    let Ok(then) = stamp.parse::<Timestamp>() else { return "<unknown>".into() };
    human_duration(now.as_second() - then.as_second())
}

fn human_duration(seconds: i64) -> String {
    let with = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..-1 => "<invalid>".into(),
        -1..0 => "0s".into(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => with(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => with(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => with(days, "d", hours % 24, "h"),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => with(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::human_duration;

    #[test]
    fn ages_are_said_as_kubectl_says_them() {
        // Printed by k8s.io/apimachinery duration.HumanDuration.
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (90_000, "25h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (63_072_000, "2y"),
        ] {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }
}
