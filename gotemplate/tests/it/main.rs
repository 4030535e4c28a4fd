//! Templates whose output or error Go printed: `golden/*.json`, recorded by `golden/record.go`.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends, loudly, where what it takes for granted does not hold"
)]

mod recorded;

use std::sync::Arc;

use gotemplate::{Budget, FixedHost, MissingKey, Options, Registry, Scope, TemplateSet, value};
use serde_json::Value as Json;

fn scope() -> Scope {
    Scope { host: Arc::new(FixedHost::default()), budget: Arc::new(Budget::default()) }
}

fn run(case: &Json, data: &Json) -> String {
    let missing_key = match case["missingkey"].as_str() {
        Some("zero") => MissingKey::Zero,
        Some("error") => MissingKey::Error,
        _ => MissingKey::Default,
    };
    let options = Options { missing_key, ..Options::default() };
    let mut set = TemplateSet::new(Arc::new(Registry::go()), options).unwrap();
    let text = case["text"].as_str().unwrap();
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
    let mut failed = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        let got = run(case, &golden["data"]);
        let want = case["output"].as_str().unwrap();
        if got != want {
            failed.push(format!("{}\n  got:  {got:?}\n  want: {want:?}", case["text"]));
        }
    }
    assert!(failed.is_empty(), "{} cases differ\n{}", failed.len(), failed.join("\n"));
}
