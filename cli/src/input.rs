//! Objects from YAML files.
//!
//! Owns reading a file of documents and making typed objects of them. Start at [`read_documents`].

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The most bytes of one input file: 256 MiB, several of the biggest bundles.
const MAX_INPUT_BYTES: u64 = 256 << 20;

/// The text of a file, or of standard input for `-`.
pub fn read_text(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let reading = || format!("reading {}", file.display());
    let mut reader: Box<dyn std::io::Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(file).with_context(reading)?),
    };
    let count = reader.by_ref().take(MAX_INPUT_BYTES + 1).read_to_string(&mut text);
    if count.with_context(reading)? as u64 > MAX_INPUT_BYTES {
        bail!("{}: holds more than {MAX_INPUT_BYTES} bytes", file.display());
    }
    Ok(text)
}

/// The documents of a YAML file that are not empty; lists are taken apart.
pub fn read_documents(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = read_text(file)?;
    let mut documents = Vec::new();
    for document in goyaml::documents(&text) {
        let value = goyaml::from_str(document.text).map_err(|error| {
            let line = document.first_line + error.line.max(1) - 1;
            anyhow::anyhow!("{}: line {line}: {}", file.display(), error.message)
        })?;
        match value {
            Value::Null => {}
            Value::Object(mut list) if is_list(&list) => {
                let items = list.get_mut("items").map(Value::take);
                documents.extend(
                    items
                        .and_then(|items| match items {
                            Value::Array(items) => Some(items),
                            _ => None,
                        })
                        .unwrap_or_default(),
                );
            }
            value => documents.push(value),
        }
    }
    Ok(documents)
}

fn is_list(object: &serde_json::Map<String, Value>) -> bool {
    object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
        && object.get("items").is_some_and(Value::is_array)
}

/// The kind of a document.
pub fn kind_of(document: &Value) -> &str {
    document["kind"].as_str().unwrap_or_default()
}

/// A document as an object of ours, errors with its kind and name.
pub fn decode<T: DeserializeOwned>(document: &Value) -> anyhow::Result<T> {
    T::deserialize(document).with_context(|| {
        let name = document["metadata"]["name"].as_str().unwrap_or("?");
        format!("{} {name}", kind_of(document))
    })
}
