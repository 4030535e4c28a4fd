//! `.Files`: the chart's own files, for templates to read.
//!
//! Start at [`Files`].

use std::any::Any;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gotemplate::funcs::{Args, Cx, FuncResult, Param};
use gotemplate::print::{bytes_text_len, write_bytes, write_items};
use gotemplate::value::{GoObject, list, native};
use gotemplate::{FuncError, Value};
use serde_json::{Map, Value as Json};

use super::archive::ChartFile;
use super::glob::Glob;

/// Files by name. A glob gives back another one; all share the chart's bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    all: Arc<Vec<ChartFile>>,
    /// Which of them, sorted by name, each name once.
    picked: Vec<usize>,
}

impl Files {
    pub(crate) fn new(all: &Arc<Vec<ChartFile>>) -> Self {
        let all = all.clone();
        // The last file of a name counts.
        let mut picked: Vec<usize> = (0..all.len()).rev().collect();
        picked.sort_by(|a, b| all[*a].name.cmp(&all[*b].name));
        picked.dedup_by(|a, b| all[*a].name == all[*b].name);
        Self { all, picked }
    }

    fn iter(&self) -> impl Iterator<Item = &ChartFile> {
        self.picked.iter().map(|index| &self.all[*index])
    }

    fn find(&self, name: &str) -> Option<&[u8]> {
        let at = self.picked.binary_search_by(|index| (*self.all[*index].name).cmp(name)).ok()?;
        Some(&self.all[self.picked[at]].data)
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.find(name).unwrap_or_default()
    }

    fn glob(&self, pattern: &str) -> Self {
        // A pattern that cannot be read matches everything, as in Helm.
        let glob = Glob::wide(pattern);
        let matches = |name: &str| glob.as_ref().is_none_or(|glob| glob.matches(name));
        let picked = self.picked.iter().copied().filter(|index| matches(&self.all[*index].name));
        Self { all: self.all.clone(), picked: picked.collect() }
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = String::from_utf8_lossy(self.bytes(name));
        if text.is_empty() {
            return Vec::new();
        }
        text.strip_suffix('\n').unwrap_or(&text).split('\n').map(Value::from).collect()
    }

    // A YAML map of base names and contents.
    fn as_yaml(&self, encode: impl Fn(&[u8]) -> String) -> String {
        let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let entries = self.iter().map(|file| (base(&file.name), Json::String(encode(&file.data))));
        let map: Map<String, Json> = entries.collect();
        super::functions::to_yaml(&Json::Object(map))
    }
}

impl GoObject for Files {
    fn type_name(&self) -> &'static str {
        "engine.files"
    }

    fn kind(&self) -> &'static str {
        "map"
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.find(name).map(|data| Value::from_bytes(data.to_vec()))
    }

    fn method(&self, name: &str) -> Option<&'static [Param]> {
        match name {
            "Get" | "GetBytes" | "Glob" | "Lines" => Some(&[Param::Str]),
            "AsConfig" | "AsSecrets" => Some(&[]),
            _ => None,
        }
    }

    fn call(&self, cx: &Cx<'_>, method: &str, args: Args<'_>) -> FuncResult {
        let name = args.str(0);
        Ok(match method {
            "Get" => {
                cx.budget().take_output(self.bytes(name).len())?;
                Value::from(String::from_utf8_lossy(self.bytes(name)).into_owned())
            }
            "GetBytes" => Value::from_bytes(self.bytes(name).to_vec()),
            "Glob" => native(self.glob(name)),
            "Lines" => list(self.lines(name)),
            "AsConfig" => {
                Value::from(self.as_yaml(|data| String::from_utf8_lossy(data).into_owned()))
            }
            "AsSecrets" => Value::from(self.as_yaml(|data| STANDARD.encode(data))),
            _ => return Err(FuncError::new(format!("no method {method}"))),
        })
    }

    fn entries(&self) -> Option<Vec<(Value, Value)>> {
        let entry = |file: &ChartFile| {
            (Value::from(file.name.as_str()), Value::from_bytes(file.data.clone()))
        };
        Some(self.iter().map(entry).collect())
    }

    fn print(&self) -> String {
        let mut out = String::new();
        self.print_to(&mut out);
        out
    }

    fn print_to(&self, out: &mut String) {
        let length = |file: &ChartFile| file.name.len() + 2 + bytes_text_len(&file.data);
        let length: usize = self.iter().map(length).sum();
        // Mostly printed as a part of all that a template sees: with room for what comes after.
        out.reserve(length + length / 8);
        out.push_str("map");
        write_items(out, self.iter(), |out, file| {
            out.push_str(&file.name);
            out.push(':');
            write_bytes(out, &file.data);
        });
    }

    fn to_json(&self) -> Json {
        let entries =
            self.iter().map(|file| (file.name.clone(), STANDARD.encode(&file.data).into()));
        Json::Object(entries.collect())
    }

    fn is_true(&self) -> bool {
        !self.picked.is_empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
