//! From text to objects: documents, lists, and the order in which Helm installs kinds.
//!
//! Owns decoding and order. Must not change what an object says. Start at [`decode_documents`].

use serde_json::Value;

use crate::Error;
use crate::helm::INSTALL_ORDER;

/// More objects than any API server takes in one go; keeps one bundle from eating the agent.
pub const MAX_OBJECTS: usize = 20_000;

/// One object and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedObject {
    /// File in the bundle, or template of the chart.
    pub source: String,
    /// Line of the file in which its document starts.
    pub first_line: usize,
    /// It is a whole document of a chart template: neither a plain manifest nor an entry of a list.
    pub is_template: bool,
    /// The object.
    pub value: Value,
}

/// Adds the objects of one file; documents without version or kind are left out and noted.
pub fn decode_documents(
    file: &str,
    bytes: &[u8],
    objects: &mut Vec<RenderedObject>,
    notices: &mut Vec<String>,
) -> Result<(), Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::NotText { file: file.to_owned() })?;
    for document in goyaml::documents(text) {
        let first_line = document.first_line;
        let value = goyaml::from_str(document.text).map_err(|source| Error::Yaml {
            file: file.to_owned(),
            first_line,
            source,
        })?;
        if value.is_null() {
            continue;
        }
        if text_at(&value, "apiVersion").is_empty() || text_at(&value, "kind").is_empty() {
            notices.push(format!(
                "{file}, document at line {first_line}: no apiVersion or no kind, left out"
            ));
            continue;
        }
        let source = file.to_owned();
        expand(RenderedObject { source, first_line, is_template: false, value }, objects)?;
    }
    Ok(())
}

/// Takes lists (`kind: List`, `ConfigMapList`, …) apart.
pub(crate) fn expand(
    object: RenderedObject,
    objects: &mut Vec<RenderedObject>,
) -> Result<(), Error> {
    let is_list =
        text_at(&object.value, "kind").ends_with("List") && object.value["items"].is_array();
    if !is_list {
        if objects.len() >= MAX_OBJECTS {
            return Err(Error::TooManyObjects { limit: MAX_OBJECTS });
        }
        objects.push(object);
        return Ok(());
    }
    let Some(Value::Array(items)) = object.value.get("items").cloned() else { return Ok(()) };
    for value in items {
        expand(RenderedObject { value, is_template: false, ..object.clone() }, objects)?;
    }
    Ok(())
}

/// Puts objects into the order in which Helm 4 reads them back after Fleet's post-rendering.
///
/// Objects that come from no template get generated file names there, with their position as a number, and files
/// are read in the order of their names: the eleventh object comes before the third (golden: the recorded bundles
/// `examples-tests-expected-*`).
pub fn sort_by_source(objects: &mut Vec<RenderedObject>) {
    let (mut ordered, others): (Vec<_>, Vec<_>) =
        std::mem::take(objects).into_iter().partition(|object| object.is_template);
    ordered.sort_by(|left, right| left.source.cmp(&right.source));
    ordered.extend(others);
    let mut named: Vec<(String, RenderedObject)> = ordered
        .into_iter()
        .enumerate()
        .map(|(position, object)| match object.is_template {
            true => (object.source.clone(), object),
            false => (format!("generated-by-postrender-{position}.yaml"), object),
        })
        .collect();
    named.sort_by(|(left, _), (right, _)| left.cmp(right));
    objects.extend(named.into_iter().map(|(_, object)| object));
}

/// Sorts into Helm's install order; objects of one kind keep their order.
pub fn sort_for_install(objects: &mut [RenderedObject]) {
    objects.sort_by(|left, right| {
        let (left, right) = (text_at(&left.value, "kind"), text_at(&right.value, "kind"));
        let rank = |kind: &str| INSTALL_ORDER.iter().position(|known| *known == kind);
        match (rank(left), rank(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => left.cmp(right),
        }
    });
}

pub(crate) fn text_at<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}
