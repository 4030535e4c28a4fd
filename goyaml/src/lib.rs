//! YAML and JSON as Go reads and writes them.
//!
//! Rancher Fleet, Helm and Kubernetes read YAML through `sigs.k8s.io/yaml`: YAML 1.1 by go-yaml
//! v2, turned into JSON. What a file means (`yes` is true, `0777` is 511, the last duplicate key
//! wins) and which bytes come out again (checksums of them restart workloads) follow from that
//! library, so this crate reads and writes exactly as it does.
//!
//! Owns both formats, positions and the splitting of documents. Knows nothing of Kubernetes, and
//! opens no files. Start at [`from_str`] and [`to_string`].
//!
//! The way of a text: `scan` cuts it into tokens, `parse` puts those together into the nodes of a
//! `tree`, `decode` makes a JSON value of them and asks `resolve` what plain scalars mean. Back:
//! `emit`. Where little of a large document is wanted, `skim` goes straight to it if it can.
//!
//! ```
//! let value = goyaml::from_str("on: 0777\nb: [1.0, ~]\n").unwrap();
//! assert_eq!(value, serde_json::json!({"true": 511, "b": [1, null]}));
//! assert_eq!(goyaml::to_string(&value), "b:\n- 1\n- null\n\"true\": 511\n");
//! ```
#![warn(missing_docs)]

mod characters;
mod decode;
mod documents;
mod emit;
mod error;
mod go_syntax;
pub mod json;
mod json_read;
mod number;
mod parse;
mod position;
mod quote;
mod resolve;
mod scan;
mod skim;
mod tree;

use serde_json::Value;

pub use documents::{Document, documents};
pub use error::Error;
pub use number::format_g as float_text;
pub use position::{Position, Positions};
pub use quote::{is_print, quote, quote_with};

use resolve::Dialect;

/// How deep collections may be nested. Go allows 10,000, for which a stack of 2 MiB does not
/// suffice; nothing in use comes near either.
pub const MAX_DEPTH: usize = 250;

/// Reads the first document of a YAML text as `sigs.k8s.io/yaml.YAMLToJSON` does; text without
/// one is null.
///
/// Integers stay integers, and so do floats without a fraction (`1.0`, `1e3`), because they pass
/// through JSON. Where Go code then reads into an `interface{}`, numbers become float64: see
/// [`json::go_number_value`]. Keys that are no strings become strings. Of duplicate keys the last
/// one wins. JSON is YAML, so this reads it too.
///
/// Bounds: [`MAX_DEPTH`], and go-yaml's share of the document that may come from aliases.
pub fn from_str(text: &str) -> Result<Value, Error> {
    from_str_part(text, &Part::All)
}

/// Which part of a document its reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    All,
    /// Of a mapping these keys, each as far as said; lists are empty; of a scalar everything.
    Keys(&'static [(&'static str, Part)]),
    /// No more than whether it can be read.
    Nothing,
}

impl Part {
    fn below(&self, key: &str) -> &Part {
        match self {
            Part::Keys(keys) => keys
                .iter()
                .find(|(known, _)| *known == key)
                .map_or(&Part::Nothing, |(_, part)| part),
            whole => whole,
        }
    }
}

/// Reads as [`from_str`] does, with the same errors, but builds only a part of the value: for
/// large documents of which little is asked.
pub fn from_str_part(text: &str, part: &Part) -> Result<Value, Error> {
    if let Part::Keys(_) = part
        && let Some(value) = skim::skim(text, *part)
    {
        return Ok(value);
    }
    decode::Decoder::new(&parse::parse(text, MAX_DEPTH)?, false, MAX_DEPTH).decode(part)
}

/// Reads as [`from_str`] does, but refuses duplicate keys (`sigs.k8s.io/yaml.YAMLToJSONStrict`).
pub fn from_str_strict(text: &str) -> Result<Value, Error> {
    decode::Decoder::new(&parse::parse(text, MAX_DEPTH)?, true, MAX_DEPTH).decode(&Part::All)
}

/// Writes a value as `sigs.k8s.io/yaml.Marshal` 1.6 does: one document, with a line break at its
/// end.
///
/// Floats without a fraction lose their point, as in Go. This writes everything; Go refuses some
/// values, for which see [`try_to_string`].
pub fn to_string(value: &Value) -> String {
    emit::Emitter::new(Dialect::V2).write_document(value).0
}

/// Writes as [`to_string`] does, and fails where `sigs.k8s.io/yaml.Marshal` does: it reads its
/// own JSON as YAML on the way, which cannot contain certain characters (U+007F, U+0080 and
/// others, U+FFFE) nor keys of more than 1,022 characters. Helm's `toYaml` is empty then.
pub fn try_to_string(value: &Value) -> Result<String, Error> {
    match emit::Emitter::new(Dialect::V2).write_document(value) {
        (text, None) => Ok(text),
        (_, Some(error)) => Err(error),
    }
}

/// Writes a value as go-yaml v3 does with an indentation of two (Helm's `toYamlPretty`): lists
/// are indented below their key, and long lines are not folded.
///
/// Here floats are Go's own and print as such: 1e6 as `1e+06`, which is what numbers from chart
/// values are.
pub fn to_string_pretty(value: &Value) -> String {
    emit::Emitter::new(Dialect::V3).write_document(value).0
}
