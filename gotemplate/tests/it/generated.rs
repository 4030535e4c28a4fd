//! Generated templates against what Go made of them: `golden/generated.jsonl`, made by
//! `golden/differ`, and larger files at hand (`GOTEMPLATE_CASES=FILE`).

use std::sync::Arc;

use gotemplate::Registry;
use serde_json::Value as Json;

use crate::{missing_key, run};

#[test]
fn generated_templates_behave_as_in_go() {
    let recorded: Json = serde_json::from_str(include_str!("../golden/language.json")).unwrap();
    let registry = Arc::new(Registry::sprig());
    let cases = match std::env::var_os("GOTEMPLATE_CASES") {
        Some(path) => std::fs::read_to_string(path).unwrap(),
        None => include_str!("../golden/generated.jsonl").to_owned(),
    };
    let mut wrong = Vec::new();
    for (number, line) in cases.lines().enumerate() {
        let (text, missing, wanted): (String, String, String) = serde_json::from_str(line).unwrap();
        let got = run(&registry, &text, missing_key(&missing), &recorded["data"]);
        if got != wanted {
            wrong.push(format!(
                "line {}: {text:?} {missing}\n  got:  {got:?}\n  want: {wanted:?}",
                number + 1
            ));
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
