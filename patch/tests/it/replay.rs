//! Replays recorded scenarios step by step: every step starts from the recorded object, so one
//! difference does not hide the next.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use patch::apply::{self, Request, apply, update};
use patch::fields::FieldSet;
use patch::schema::{Node, Schema, Shape, Types};
use serde::Deserialize;
use serde_json::{Value, json};

const NOW: &str = "NOW";

/// The table of built-in types, as the embedded API server has it.
#[derive(Deserialize)]
struct Table {
    types: Types,
    kinds: BTreeMap<String, String>,
}

impl Table {
    fn read() -> Table {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../hub/api/types.json.gz");
        let data = std::fs::read(path).expect("the recorded types are there");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&data[..]).read_to_string(&mut text).expect("gzip");
        serde_json::from_str(&text).expect("the recorded types are readable")
    }

    /// The root node of a kind; `widget` is the schema of the recorded custom resource.
    fn root(&self, api_version: &str, kind: &str, widget: &Value) -> Node {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let reference = |name: &str| Node { reference: Some(name.to_owned()), ..Node::default() };
        if let Some(name) = self.kinds.get(&format!("{group}/{version}/{kind}")) {
            return reference(name);
        }
        let mut node = Node::from_structural(widget);
        let text = || Node { shape: Shape::String, ..Node::default() };
        let meta = reference("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
        node.fields.extend([
            ("apiVersion".to_owned(), text()),
            ("kind".to_owned(), text()),
            ("metadata".to_owned(), meta),
        ]);
        node
    }
}

fn lines() -> Vec<Value> {
    let committed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scenarios.jsonl");
    let path = std::env::var_os("PATCH_GOLDEN").map_or(committed, PathBuf::from);
    let text = std::fs::read_to_string(path).expect("the recording is there");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Runs `check` on every step that was answered, and lists what is wrong.
fn replay(check: impl Fn(&Step<'_>) -> Option<String>) {
    let (table, lines) = (Table::read(), lines());
    let mut wrong = Vec::new();
    let mut step_count = 0;
    for scenario in &lines[1..] {
        let text = |key: &str| scenario[key].as_str().expect("text");
        let root = table.root(text("apiVersion"), text("kind"), &lines[0]["widget"]);
        let schema = Schema::new(&table.types, &root);
        let mut live: Option<&Value> = None;
        for (number, step) in scenario["steps"].as_array().expect("steps").iter().enumerate() {
            let api_version = text("apiVersion");
            let step = Step { schema, api_version, live, step };
            step_count += 1;
            if let Some(problem) = check(&step) {
                wrong.push(format!("{} step {number}: {problem}", text("name")));
            }
            if step.is_done() {
                live = Some(step.step.get("object").unwrap_or(&step.step["answer"]));
            }
        }
    }
    let shown = wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(wrong.is_empty(), "{} of {step_count} steps differ\n{shown}", wrong.len());
}

struct Step<'a> {
    schema: Schema<'a>,
    api_version: &'a str,
    live: Option<&'a Value>,
    step: &'a Value,
}

impl Step<'_> {
    fn is_done(&self) -> bool {
        self.step["status"].as_u64().is_some_and(|status| status < 300)
    }

    fn text(&self, key: &str) -> &str {
        self.step[key].as_str().expect("text")
    }

    /// What the endpoint resets: the object itself its status, `status` all but that.
    fn ignored(&self) -> FieldSet {
        let has_status = self.schema.field("status").is_some();
        match self.text("sub") {
            "status" if self.api_version == "golden.example.com/v1" => {
                FieldSet::of_fields(&[&["spec"], &["metadata"]])
            }
            "status" => FieldSet::of_fields(&[&["spec"], &["metadata", "labels"]]),
            _ if has_status => FieldSet::of_fields(&[&["status"]]),
            _ => FieldSet::new(),
        }
    }

    fn request<'a>(&'a self, ignored: &'a FieldSet) -> Request<'a> {
        Request {
            schema: self.schema,
            manager: self.text("manager"),
            api_version: self.api_version,
            subresource: self.text("sub"),
            now: NOW,
            ignored,
        }
    }

    fn apply(&self) -> Result<apply::Applied, apply::Error> {
        let ignored = self.ignored();
        let mut config = self.step["body"].clone();
        config["apiVersion"] = json!(self.api_version);
        apply(self.live, &config, &self.request(&ignored), self.step["force"] == true)
    }

    /// The owners as recorded, with the times that this step set called [`NOW`].
    fn expected_owners(&self) -> Value {
        let owners = |object: &Value| object["metadata"]["managedFields"].clone();
        let before = self.live.map(owners).unwrap_or_default();
        let mut after = owners(&self.step["answer"]);
        for entry in after.as_array_mut().into_iter().flatten() {
            // The recording paused for more than a second between steps.
            let mut old = before.as_array().into_iter().flatten();
            if entry.get("time").is_some() && !old.any(|old| old["time"] == entry["time"]) {
                entry["time"] = json!(NOW);
            }
        }
        sorted(after)
    }
}

/// Times are masked, and the order depends on them.
fn sorted(mut owners: Value) -> Value {
    if let Some(list) = owners.as_array_mut() {
        list.sort_by_key(|entry| {
            format!("{} {} {}", entry["operation"], entry["manager"], entry["subresource"])
        });
    }
    owners
}

fn differ(what: &str, ours: &Value, theirs: &Value) -> Option<String> {
    (ours != theirs).then(|| format!("{what}\n  ours: {ours}\n  peer: {theirs}"))
}

/// Is `theirs` what `ours` becomes once defaults are filled in? Nothing else may come or go.
fn explains(ours: &Value, theirs: &Value, live: Option<&Value>, path: &str) -> Option<String> {
    let set_by_server = [
        ".metadata.managedFields",
        ".metadata.resourceVersion",
        ".metadata.generation",
        ".metadata.annotations.deployment.kubernetes.io/revision",
    ];
    if set_by_server.contains(&path) {
        return None;
    }
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let missing = ours.iter().find(|(key, value)| {
                let is_empty = value.is_null() || **value == json!({}) || **value == json!([]);
                !theirs.contains_key(*key) && !is_empty && *key != "managedFields"
            });
            if let Some((key, value)) = missing {
                return Some(format!("{path}.{key}: peer does not have {value}"));
            }
            theirs.iter().find_map(|(key, value)| {
                let live = live.and_then(|live| live.get(key));
                match ours.get(key) {
                    Some(ours) => explains(ours, value, live, &format!("{path}.{key}")),
                    None if live.is_none() || value.is_null() || key == "managedFields" => None,
                    None => Some(format!("{path}.{key}: peer keeps {value}")),
                }
            })
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            let mut pairs = ours.iter().zip(theirs).enumerate();
            pairs.find_map(|(at, (a, b))| explains(a, b, None, &format!("{path}[{at}]")))
        }
        // The peer leaves null where a collection that is applied empty lost its content.
        (ours, Value::Null) if *ours == json!({}) || *ours == json!([]) => None,
        (ours, theirs) => differ(path, ours, theirs),
    }
}

#[test]
fn applying_gives_the_object_and_owners_of_the_peer() {
    replay(|step| {
        if step.text("op") != "apply" || !step.is_done() {
            return None;
        }
        match step.apply() {
            Err(error) => Some(format!("refused: {error}")),
            Ok(applied) => {
                let owners = sorted(applied.object["metadata"]["managedFields"].clone());
                let mut ours = applied.object.clone();
                if step.text("sub").is_empty() {
                    // The endpoint resets it after the merge.
                    let status = step.live.and_then(|live| live.get("status")).cloned();
                    let object = ours.as_object_mut().expect("object");
                    object.remove("status");
                    object.extend(status.map(|status| ("status".to_owned(), status)));
                }
                let object = explains(&ours, &step.step["answer"], step.live, "");
                object.or_else(|| differ("owners", &owners, &step.expected_owners()))
            }
        }
    });
}

#[test]
fn applying_is_refused_in_the_words_of_the_peer() {
    replay(|step| {
        // 422 is validation, which comes later.
        if step.text("op") != "apply" || step.is_done() || step.step["status"] == 422 {
            return None;
        }
        let theirs = step.step["answer"]["message"].as_str().unwrap_or_default();
        match step.apply() {
            Ok(_) => Some(format!("not refused: {theirs}")),
            Err(error @ apply::Error::Schema(_)) => {
                let ours = error.to_string();
                (!theirs.contains(&ours)).then(|| format!("ours: {ours}\n  peer: {theirs}"))
            }
            Err(error) => differ("message", &json!(error.to_string()), &json!(theirs)),
        }
    });
}

#[test]
fn other_writes_give_the_owners_of_the_peer() {
    replay(|step| {
        // What a new Service gets assigned comes after the book-keeping, and so is not in `new`.
        let is_assigned = step.step["answer"]["kind"] == "Service" && step.live.is_none();
        let is_other = step.text("op") == "apply" || step.text("sub") == "scale";
        if is_other || !step.is_done() || is_assigned {
            return None;
        }
        let mut new = step.step["answer"].clone();
        new["metadata"]["managedFields"] = step.step["body"]["metadata"]["managedFields"].clone();
        let ignored = step.ignored();
        let ours = update(step.live, &new, &step.request(&ignored));
        let owners = sorted(ours["metadata"]["managedFields"].clone());
        differ("owners", &owners, &step.expected_owners())
    });
}

#[test]
fn strategic_merge_patches_give_the_object_of_the_peer() {
    replay(|step| {
        let (Some(live), "smp") = (step.live, step.text("op")) else { return None };
        match patch::strategic::apply(live, &step.step["body"], Some(step.schema)) {
            Err(error) => step.is_done().then(|| format!("refused: {error}")),
            // 422 is validation, which comes later.
            Ok(_) if step.step["status"] == 422 => None,
            Ok(_) if !step.is_done() => Some(format!("not refused: {}", step.step["answer"])),
            Ok(ours) => explains(&ours, &step.step["answer"], Some(live), ""),
        }
    });
}
