//! How our structs read and write JSON: leniently in, like Go's `omitempty` out.
//!
//! Owns the [`go_struct!`] macro and the two field types Go has and Rust lacks (durations, free-form
//! objects). Knows nothing of any kind. Start at [`go_struct!`].

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A JSON object whose members nobody has declared, for example Helm values.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// Declares API structs that read and write JSON as the Go structs of Rancher Fleet 0.16 do.
///
/// Reading: a field that is missing or `null` takes its default, an unknown field is passed over.
/// Writing: fields in the order of the declaration, those equal to their default left out; fields
/// marked `always` are written even then; `inline` fields put their members beside the others.
///
/// Invariant: the order of the fields of `BundleDeploymentOptions` and `HelmOptions` is part of
/// every deployment id.
macro_rules! go_struct {
    ($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* }) => {
        go_struct!(@ [$(#[$meta])* pub struct $name] {} $($body)*);
    };
    (@ [$($head:tt)*] {$($done:tt)*}) => {
        #[derive(
            Clone, Debug, Default, PartialEq,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(rename_all = "camelCase", default)]
        $($head)* { $($done)* }
    };
    (@ [$($head:tt)*] {$($done:tt)*} $(#[$m:meta])* always pub $f:ident: $t:ty, $($rest:tt)*) => {
        go_struct!(@ [$($head)*] {
            $($done)*
            $(#[$m])*
            #[serde(deserialize_with = "crate::api::wire::null_as_default")]
            pub $f: $t,
        } $($rest)*);
    };
    (@ [$($head:tt)*] {$($done:tt)*} $(#[$m:meta])* inline pub $f:ident: $t:ty, $($rest:tt)*) => {
        go_struct!(@ [$($head)*] {
            $($done)*
            $(#[$m])*
            #[serde(flatten)]
            pub $f: $t,
        } $($rest)*);
    };
    (@ [$($head:tt)*] {$($done:tt)*} $(#[$m:meta])* pub $f:ident: $t:ty, $($rest:tt)*) => {
        go_struct!(@ [$($head)*] {
            $($done)*
            $(#[$m])*
            #[serde(
                deserialize_with = "crate::api::wire::null_as_default",
                skip_serializing_if = "crate::api::wire::is_default"
            )]
            pub $f: $t,
        } $($rest)*);
    };
}

/// Reads a field whose `null` means the same as its absence.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Go's `omitempty`: zero, `false`, the empty string, list, map, and `nil`.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A duration as a user wrote it, in Go's notation (`15s`, `1h30m`).
///
/// Keeps the text, so that an object is written back as it was read; an invalid text reads as no
/// duration at all (the CRD's rule refuses it before we see it).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GoDuration(pub String);

/// The longest duration Go can hold, in hours.
const MAX_HOURS: u64 = 2_562_047;

impl GoDuration {
    /// Writes a duration as Go does: `15s`, `1h0m0s`, `1.5s`.
    pub fn from_std(duration: std::time::Duration) -> Self {
        Self(format_go_duration(duration))
    }

    /// The duration; `None` when the text is not one. Zero stays zero: callers decide what it means.
    pub fn to_std(&self) -> Option<std::time::Duration> {
        parse_go_duration(&self.0)
    }

    /// The duration, unless it is invalid or zero (Fleet treats both as unset).
    pub fn positive(&self) -> Option<std::time::Duration> {
        self.to_std().filter(|duration| !duration.is_zero())
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": 32,
            "x-kubernetes-validations": [{
                "rule": "self == '0' || (self.matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$') \
                         && duration(self) <= duration('2562047h'))",
                "message": "must be a valid Go duration using units ns, us, µs, ms, s, m, h \
                            (e.g. 15s, 5m, 2h, 1h30m); units like d (days) or w (weeks) are not supported",
            }],
        })
    }
}

fn parse_go_duration(text: &str) -> Option<std::time::Duration> {
    if text == "0" {
        return Some(std::time::Duration::ZERO);
    }
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    let mut rest = text;
    let mut nanos: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |i| digits + i);
        nanos += number * nanos_per(&rest[digits..unit_end])?;
        rest = &rest[unit_end..];
    }
    let longest = (MAX_HOURS * 3600) as f64 * 1e9;
    (nanos <= longest).then(|| std::time::Duration::from_nanos(nanos as u64))
}

fn nanos_per(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

fn format_go_duration(duration: std::time::Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (unit, size) in [("ns", 1_000), ("µs", 1_000_000), ("ms", 1_000_000_000)] {
        if nanos < size {
            return format!("{}{unit}", decimal(nanos, size / 1_000));
        }
    }
    let seconds = duration.as_secs();
    let sub_minute = nanos % 60_000_000_000;
    let tail = format!("{}s", decimal(sub_minute, 1_000_000_000));
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => tail,
        (0, minutes) => format!("{minutes}m{tail}"),
        (hours, minutes) => format!("{hours}h{minutes}m{tail}"),
    }
}

/// `nanos / unit` in decimal notation without trailing zeros.
fn decimal(nanos: u128, unit: u128) -> String {
    let (whole, fraction) = (nanos / unit, nanos % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.to_string().len() - 1;
    format!("{whole}.{}", format!("{fraction:0width$}").trim_end_matches('0'))
}

/// Schema of an object with any members (`x-kubernetes-preserve-unknown-fields`), `null` allowed.
pub(crate) fn free_form_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// Schema of base64 text, `null` allowed.
pub(crate) fn nullable_bytes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "byte", "nullable": true })
}

/// Schema of a time, `null` allowed: Go writes its zero time that way.
pub(crate) fn nullable_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "nullable": true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        // Recorded from Go 1.25: time.ParseDuration(text).String().
        for (text, printed) in [
            ("0", "0s"),
            ("15s", "15s"),
            ("60m", "1h0m0s"),
            ("1.5h", "1h30m0s"),
            ("90s", "1m30s"),
            ("1500ms", "1.5s"),
            ("250us", "250µs"),
            ("12h0.5s", "12h0m0.5s"),
        ] {
            let duration = GoDuration(text.into()).to_std().expect(text);
            assert_eq!(GoDuration::from_std(duration).0, printed, "{text}");
        }
        for text in ["", "5", "1d", "h", "-1s", "1h 2m"] {
            assert_eq!(GoDuration(text.into()).to_std(), None, "{text}");
        }
    }
}
