//! The same comparisons over cases made at random by `golden/differ`: `GOYAML_CASES=FILE`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::go_golden::{
    error_differs, part_differs, pretty_differs, read_differs, read_json_differs, split_differs,
    strict_differs, text, write_differs, written_json_differs,
};

/// How many differences of each comparison are shown.
const SHOWN: usize = 8;

type Comparison = (&'static str, fn(&Value) -> Option<String>);

const READ: &[Comparison] = &[
    ("read", read_differs),
    ("error", error_differs),
    ("strict", strict_differs),
    ("part", part_differs),
];
const WRITE: &[Comparison] =
    &[("yaml", write_differs), ("pretty", pretty_differs), ("json", written_json_differs)];

fn comparisons(family: &str) -> &'static [Comparison] {
    match family {
        "values" => WRITE,
        "json" => &[("read", read_json_differs)],
        "streams" => &[("split", split_differs)],
        _ => READ,
    }
}

#[test]
#[ignore = "needs cases from golden/differ"]
fn generated_cases_are_as_in_go() {
    let path = std::env::var_os("GOYAML_CASES").expect("GOYAML_CASES names a file");
    let cases = std::fs::read_to_string(path).expect("the file of cases is there");
    let mut counts = BTreeMap::<String, usize>::new();
    let mut differences = BTreeMap::<String, Vec<(usize, String)>>::new();
    for line in cases.lines() {
        let case = goyaml::json::from_str(line).expect("a case is JSON");
        let family = text(&case, "family");
        *counts.entry(family.to_owned()).or_default() += 1;
        for (name, differs) in comparisons(family) {
            if let Some(difference) = differs(&case) {
                let place = format!("seed {} case {}", case["seed"], case["case"]);
                let found = format!("{place}\nin:   {}\n{difference}", case["in"]);
                let length = case["in"].to_string().len();
                differences.entry(format!("{family}, {name}")).or_default().push((length, found));
            }
        }
    }
    println!("compared: {counts:?}");
    assert!(!counts.is_empty(), "no cases");
    let mut report = String::new();
    for (name, found) in &mut differences {
        // The shortest say most.
        found.sort();
        let shown: Vec<_> = found.iter().take(SHOWN).map(|(_, shown)| shown.as_str()).collect();
        let shown = shown.join("\n\n");
        report.push_str(&format!("== {name}: {} differ\n{shown}\n\n", found.len()));
    }
    assert!(differences.is_empty(), "{report}");
}
