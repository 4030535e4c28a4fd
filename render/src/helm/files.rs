//! `.Files`: the chart's own files, for templates to read.
//!
//! Start at [`Files`].

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gotemplate::funcs::{Args, Cx, FuncResult, Param};
use gotemplate::value::{GoObject, list, native};
use gotemplate::{FuncError, Value};
use serde_json::{Map, Value as Json};

use super::archive::ChartFile;
use super::glob::Glob;

/// Files by name. A glob gives back another one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(BTreeMap<Arc<str>, Arc<[u8]>>);

impl Files {
    pub(crate) fn new(files: &[ChartFile]) -> Self {
        let entry = |file: &ChartFile| (Arc::from(&*file.name), Arc::from(&*file.data));
        Self(files.iter().map(entry).collect())
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.0.get(name).map_or(&[], |data| data)
    }

    fn glob(&self, pattern: &str) -> Self {
        // A pattern that cannot be read matches everything, as in Helm.
        let glob = Glob::wide(pattern);
        let matches = |name: &str| glob.as_ref().is_none_or(|glob| glob.matches(name));
        let found = self.0.iter().filter(|(name, _)| matches(name));
        Self(found.map(|(name, data)| (name.clone(), data.clone())).collect())
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
        let entries = self.0.iter().map(|(name, data)| (base(name), Json::String(encode(data))));
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
        self.0.get(name).map(|data| Value::from_bytes(data.to_vec()))
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
        let entry = |(name, data): (&Arc<str>, &Arc<[u8]>)| {
            (Value::from(name.clone()), Value::from_bytes(data.to_vec()))
        };
        Some(self.0.iter().map(entry).collect())
    }

    fn print(&self) -> String {
        let entries = self.0.iter().map(|(name, data)| {
            format!("{name}:{}", gotemplate::print::to_text(&Value::from_bytes(data.to_vec())))
        });
        format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
    }

    fn to_json(&self) -> Json {
        let entries =
            self.0.iter().map(|(name, data)| (name.to_string(), STANDARD.encode(data).into()));
        Json::Object(entries.collect())
    }

    fn is_true(&self) -> bool {
        !self.0.is_empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
