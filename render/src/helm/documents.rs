//! Rendered files → documents, with what Helm reads of each before it sorts them.
//!
//! Owns splitting and decoding, and remembers what the last render's files held: most of a chart's
//! files come out the same whatever the values are, and reading them takes longer than rendering.
//! Start at [`KnownFiles::read`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use goyaml::Part;
use memchr::memmem;
use serde_json::Value as Json;

use super::error::Error;
use super::metadata::scalar_text;

/// One rendered document; it shares the text of its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The template it came from, such as `web/templates/deployment.yaml`.
    pub path: Arc<str>,
    /// Decoded; null if the caller of the render does not want it, or there is nothing in it.
    pub object: Json,
    file: Arc<String>,
    facts: Arc<Facts>,
}

/// What the order of documents depends on.
#[derive(Debug, PartialEq)]
struct Facts {
    /// Where it stands in its file.
    place: Range<usize>,
    kind: String,
    /// Those of hooks.
    annotations: [Option<String>; 3],
}

/// The names of [`Facts::annotations`], in their order.
const ANNOTATIONS: [&str; 3] =
    ["helm.sh/hook", "helm.sh/hook-weight", "helm.sh/hook-delete-policy"];

/// What [`Facts`] are read from.
const HEAD: Part = Part::Keys(&[("kind", Part::All), ("metadata", METADATA)]);
const METADATA: Part = Part::Keys(&[(
    "annotations",
    Part::Keys(&[
        (ANNOTATIONS[0], Part::All),
        (ANNOTATIONS[1], Part::All),
        (ANNOTATIONS[2], Part::All),
    ]),
)]);

impl Document {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.file[self.facts.place.clone()]
    }

    /// The `kind` field.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.facts.kind
    }

    /// `helm.sh/hook`: when it is applied; `None` if it is no hook.
    pub(super) fn hook_events(&self) -> Option<&str> {
        self.facts.annotations[0].as_deref()
    }

    /// `helm.sh/hook-weight`
    pub(super) fn hook_weight(&self) -> Option<&str> {
        self.facts.annotations[1].as_deref()
    }

    /// `helm.sh/hook-delete-policy`
    pub(super) fn hook_delete_policy(&self) -> Option<&str> {
        self.facts.annotations[2].as_deref()
    }
}

impl Facts {
    fn of(object: &Json, place: Range<usize>) -> Self {
        let annotations = object.pointer("/metadata/annotations");
        let annotation = |name| scalar_text(annotations?.get(name)?);
        Self {
            place,
            kind: object["kind"].as_str().unwrap_or_default().to_owned(),
            annotations: ANNOTATIONS.map(annotation),
        }
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
struct KnownFile {
    text: Arc<String>,
    facts: Vec<Arc<Facts>>,
}

impl KnownFile {
    fn read(path: &str, text: String) -> Result<Self, Error> {
        let facts = pieces(&text).map(|place| {
            let head = decode(path, &text[place.clone()], &HEAD)?;
            Ok(Arc::new(Facts::of(&head, place)))
        });
        let facts = facts.collect::<Result<_, _>>()?;
        Ok(Self { text: Arc::new(text), facts })
    }

    fn documents<'a>(&'a self, path: &'a Arc<str>) -> impl Iterator<Item = Document> + 'a {
        self.facts.iter().map(|facts| Document {
            path: path.clone(),
            object: Json::Null,
            file: self.text.clone(),
            facts: facts.clone(),
        })
    }
}

/// What a chart's files held when it was last rendered, by their names.
#[derive(Debug, Default)]
pub(super) struct KnownFiles(Mutex<BTreeMap<Arc<str>, KnownFile>>);

impl KnownFiles {
    /// The documents of rendered files, without their objects. A file that is as it was the last
    /// time is not read again.
    ///
    /// # Errors
    /// [`Error::Manifest`] for a document that is no YAML.
    pub(super) fn read(&self, files: RenderedFiles) -> Result<Vec<Document>, Error> {
        let before = self.lock().clone();
        let (mut now, mut documents) = (BTreeMap::new(), Vec::new());
        for (path, text) in files {
            let known = match before.get(&path) {
                Some(known) if *known.text == text => known.clone(),
                _ => KnownFile::read(&path, text)?,
            };
            documents.extend(known.documents(&path));
            now.insert(path, known);
        }
        *self.lock() = now;
        Ok(documents)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, KnownFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rendered files by the paths of their templates, those left out that hold no documents.
pub(super) type RenderedFiles = BTreeMap<Arc<str>, String>;

/// The documents of rendered files with their objects, which are always decoded anew.
///
/// # Errors
/// [`Error::Manifest`] for a document that is no YAML.
pub(super) fn read_objects(files: RenderedFiles) -> Result<Vec<Document>, Error> {
    let mut documents = Vec::new();
    for (path, text) in files {
        let file = Arc::new(text);
        for place in pieces(&file) {
            let object = decode(&path, &file[place.clone()], &Part::All)?;
            let facts = Arc::new(Facts::of(&object, place));
            documents.push(Document { path: path.clone(), object, file: file.clone(), facts });
        }
    }
    Ok(documents)
}

fn decode(path: &str, text: &str, part: &Part) -> Result<Json, Error> {
    let wrong = |cause: String| Error::Manifest { path: path.to_owned(), cause };
    let object = goyaml::from_str_part(text, part)
        .map_err(|e| wrong(format!("error converting YAML to JSON: {e}")))?;
    let found = match &object {
        Json::Object(_) | Json::Null => return Ok(object),
        Json::Array(_) => "array",
        Json::String(_) => "string",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
    };
    Err(wrong(format!(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go \
         value of type util.SimpleHead"
    )))
}

/// The documents of a text: separated by lines that start with `---`, empty ones left out.
pub fn split_manifests(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).map(|place| &text[place])
}

fn pieces(text: &str) -> impl Iterator<Item = Range<usize>> + use<> {
    let mut found = Vec::new();
    let mut add = |start: usize, end: usize| {
        let start = end - text[start..end].trim_start().len();
        if start < end {
            found.push(start..end);
        }
    };
    let mut start = text.len() - text.trim_start().len();
    let first = text[start..].starts_with("---").then_some(start);
    let others = memmem::find_iter(&text.as_bytes()[start..], "\n---");
    let others = others.map(|at| start + at + 1).collect::<Vec<_>>();
    for separator in first.into_iter().chain(others) {
        add(start, separator);
        let rest = &text[separator + 3..];
        start = text.len() - rest.trim_start_matches([' ', '\t']).len();
    }
    add(start, text.len());
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_where_helm_splits_them() {
        let text = "\n---\na: 1\n--- \n\n---kind: X\nb: |\n  ---\n";
        let documents: Vec<&str> = split_manifests(text).collect();
        assert_eq!(documents, ["a: 1\n", "kind: X\nb: |\n  ---\n"]);
    }

    fn files(text: &str) -> RenderedFiles {
        RenderedFiles::from([("web/templates/a.yaml".into(), text.to_owned())])
    }

    #[test]
    fn a_file_is_read_again_when_and_only_when_it_changed() {
        let known = KnownFiles::default();
        let first = known.read(files("kind: A\n---\nkind: B\n")).unwrap();
        let same = known.read(files("kind: A\n---\nkind: B\n")).unwrap();
        let other = known.read(files("kind: A\n---\nkind: C\n")).unwrap();
        assert!(Arc::ptr_eq(&first[1].facts, &same[1].facts));
        assert_eq!(same[1].kind(), "B");
        assert_eq!((other[0].kind(), other[1].kind()), ("A", "C"));
        assert!(known.read(files("kind: [\n")).is_err());
    }

    #[test]
    fn what_is_known_without_objects_is_what_objects_say() {
        let text = "x: {z: [1]}\nkind: Job\nmetadata:\n  name: a\n  annotations:\n    \
                    helm.sh/hook: test\n    helm.sh/hook-weight: -1\n";
        let head = KnownFiles::default().read(files(text)).unwrap();
        let whole = read_objects(files(text)).unwrap();
        assert_eq!(head[0].facts, whole[0].facts);
        assert_eq!(head[0].hook_events(), Some("test"));
        assert_eq!(head[0].hook_weight(), Some("-1"));
        assert!(head[0].object.is_null() && whole[0].object["x"]["z"].is_array());
    }
}
