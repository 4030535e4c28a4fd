//! The scripts: requests as YAML.
//!
//! Owns their form and the step from a row to an HTTP request. Start at [`Script::read`].

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use bytes::Bytes;
use http::Request;
use serde_json::Value;

/// A list of requests that build on each other.
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// What a step waits for, by repeating its request.
pub(crate) enum Until {
    Code(u16),
    Is(String, Value),
    Has(String),
}

/// One request.
pub(crate) struct Step {
    pub(crate) name: String,
    method: String,
    path: String,
    body: Vec<u8>,
    headers: Vec<(String, String)>,
    /// `admin`, `anonymous` (also with a bearer token).
    pub(crate) auth: String,
    pub(crate) until: Option<Until>,
    /// Variables for later steps: name → JSON pointer into the answer.
    pub(crate) save: BTreeMap<String, String>,
    /// The answer is a stream of events.
    pub(crate) watch: bool,
    /// Pointers of the answer that are compared; all when empty.
    only: Vec<String>,
    /// Pointers that are not compared.
    ignore: Vec<String>,
    /// Lists that are compared without order: pointer → field to sort by.
    sort: BTreeMap<String, String>,
}

const MEDIA: [(&str, &str); 4] = [
    ("merge", "application/merge-patch+json"),
    ("json", "application/json-patch+json"),
    ("strategic", "application/strategic-merge-patch+json"),
    ("apply", "application/apply-patch+yaml"),
];

const ACCEPT: [(&str, &str); 4] = [
    ("table", "application/json;as=Table;v=v1;g=meta.k8s.io"),
    ("metadata", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
    ("metadata-list", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"),
    ("aggregated", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
];

fn named(table: &[(&str, &str)], name: &str) -> String {
    let known = table.iter().find(|(short, _)| *short == name);
    known.map_or(name, |(_, long)| long).to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Script {
    pub(crate) fn read(path: &Path) -> Script {
        let text = std::fs::read_to_string(path).expect("script");
        let rows = goyaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let rows = rows.as_array().cloned().unwrap_or_default();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Script { name, steps: rows.iter().map(Step::read).collect() }
    }
}

impl Step {
    fn read(row: &Value) -> Step {
        const KEYS: [&str; 15] = [
            "name", "do", "body", "text", "base64", "type", "accept", "as", "groups", "auth",
            "until", "save", "only", "ignore", "sort",
        ];
        for key in row.as_object().expect("a step is a map").keys() {
            assert!(KEYS.contains(&key.as_str()) || key == "token", "unknown key {key} in {row}");
        }
        let text = |field: &str| row[field].as_str().unwrap_or_default();
        let (method, path) = text("do").split_once(' ').unwrap_or_else(|| panic!("do in {row}"));
        let body = match (&row["body"], row["text"].as_str(), row["base64"].as_str()) {
            (_, Some(text), _) => text.as_bytes().to_vec(),
            (_, _, Some(text)) => base64::engine::general_purpose::STANDARD
                .decode(text.split_whitespace().collect::<String>())
                .expect("base64"),
            (Value::Null, ..) => Vec::new(),
            (body, ..) => body.to_string().into_bytes(),
        };
        let mut headers = vec![("user-agent".to_owned(), "test/1".to_owned())];
        let mut put = |name: &str, value: String| {
            if !value.is_empty() {
                headers.push((name.to_owned(), value));
            }
        };
        let media = match text("type") {
            "" if body.is_empty() => String::new(),
            "" => "application/json".to_owned(),
            short => named(&MEDIA, short),
        };
        put("content-type", media);
        put("accept", named(&ACCEPT, text("accept")));
        put("impersonate-user", text("as").to_owned());
        for group in texts(&row["groups"]) {
            put("impersonate-group", group);
        }
        let token = text("token");
        if !token.is_empty() {
            put("authorization", format!("Bearer {token}"));
        }
        let auth = match (text("auth"), token) {
            ("", "") => "admin",
            ("", _) => "anonymous",
            (auth, _) => auth,
        };
        let pairs = |value: &Value| -> BTreeMap<String, String> {
            let rows = value.as_object().into_iter().flatten();
            rows.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
        };
        Step {
            name: match text("name") {
                "" => text("do").to_owned(),
                name => name.to_owned(),
            },
            method: method.to_owned(),
            path: path.to_owned(),
            body,
            headers,
            auth: auth.to_owned(),
            until: until(&row["until"]),
            save: pairs(&row["save"]),
            watch: path.contains("watch=1"),
            only: texts(&row["only"]),
            ignore: texts(&row["ignore"]),
            sort: pairs(&row["sort"]),
        }
    }

    /// The request, with `${name}` replaced by what earlier steps saved.
    pub(crate) fn request(&self, saved: &BTreeMap<String, String>) -> Request<Bytes> {
        let fill = |text: &str| {
            let mut text = text.to_owned();
            for (name, value) in saved {
                text = text.replace(&format!("${{{name}}}"), value);
            }
            text
        };
        let mut request = Request::builder().method(self.method.as_str()).uri(fill(&self.path));
        for (name, value) in &self.headers {
            request = request.header(name, fill(value));
        }
        let body = match std::str::from_utf8(&self.body) {
            Ok(text) => fill(text).into_bytes(),
            Err(_) => self.body.clone(),
        };
        request.body(body.into()).expect("a request")
    }

    /// The part of the answer that is compared.
    pub(crate) fn select(&self, mut body: Value) -> Value {
        for (pointer, field) in &self.sort {
            if let Some(Value::Array(list)) = body.pointer_mut(pointer) {
                list.sort_by_key(|row| row.pointer(field).map(Value::to_string));
            }
        }
        for pointer in &self.ignore {
            if let Some(value) = body.pointer_mut(pointer) {
                *value = "<ignored>".into();
            }
        }
        if self.only.is_empty() {
            return body;
        }
        let rows = self.only.iter().map(|p| (p.clone(), body.pointer(p).cloned()));
        rows.map(|(p, v)| (p, v.unwrap_or("<absent>".into()))).collect()
    }
}

fn until(value: &Value) -> Option<Until> {
    if let Some(code) = value["code"].as_u64() {
        return Some(Until::Code(u16::try_from(code).expect("a status code")));
    }
    let at = value["at"].as_str()?.to_owned();
    Some(match value.get("is") {
        Some(wanted) => Until::Is(at, wanted.clone()),
        None => Until::Has(at),
    })
}
