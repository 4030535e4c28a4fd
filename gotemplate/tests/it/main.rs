//! Templates whose output or error Go printed: `golden/*.json`, recorded by `golden/record.go`.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends, loudly, where what it takes for granted does not hold"
)]

mod depth;
mod differences;
mod generated;
mod recorded;

use std::sync::Arc;

use gotemplate::{Budget, FixedHost, MissingKey, Options, Registry, Scope, TemplateSet, value};
use serde_json::Value as Json;

fn scope() -> Scope {
    Scope { host: Arc::new(FixedHost::default()), budget: Arc::new(Budget::default()) }
}

fn missing_key(name: &str) -> MissingKey {
    match name {
        "zero" => MissingKey::Zero,
        "error" => MissingKey::Error,
        _ => MissingKey::Default,
    }
}

fn run(registry: &Arc<Registry>, text: &str, missing_key: MissingKey, data: &Json) -> String {
    let options = Options { missing_key, ..Options::default() };
    let mut set = TemplateSet::new(registry.clone(), options).unwrap();
    let result = set
        .parse("t", text)
        .and_then(|()| set.render("t", &value::from_json_floats(data), &scope()));
    match result {
        Ok(text) => text,
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn language_behaves_as_in_go() {
    let golden: Json = serde_json::from_str(include_str!("../golden/language.json")).unwrap();
    let registry = Arc::new(Registry::go());
    let mut failed = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        let missing_key = missing_key(case["missingkey"].as_str().unwrap_or_default());
        let got = run(&registry, case["text"].as_str().unwrap(), missing_key, &golden["data"]);
        let want = case["output"].as_str().unwrap();
        if got != want {
            failed.push(format!("{}\n  got:  {got:?}\n  want: {want:?}", case["text"]));
        }
    }
    assert!(failed.is_empty(), "{} cases differ\n{}", failed.len(), failed.join("\n"));
}
