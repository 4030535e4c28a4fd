//! Where things stand: errors, keys, documents.

use goyaml::{Positions, documents, from_str};

const FLEET_YAML: &str = "\
# comment
defaults: &defaults
  timeoutSeconds: 5
helm:
  <<: *defaults
  values:
    list:
    - a
    - b: 1
      \"quoted\": 2
  chart: ./x
";

#[test]
fn a_key_is_found_on_its_line() {
    let positions = Positions::parse(FLEET_YAML).expect("readable");
    let line = |path: &[&str]| positions.find(path).map(|place| (place.line, place.column));
    assert_eq!(line(&[]), Some((2, 1)));
    assert_eq!(line(&["helm"]), Some((4, 1)));
    assert_eq!(line(&["helm", "chart"]), Some((11, 3)));
    assert_eq!(line(&["helm", "values", "list", "1", "quoted"]), Some((10, 7)));
    assert_eq!(line(&["helm", "timeoutSeconds"]), Some((3, 3)), "through a merge key");
    assert_eq!(line(&["helm", "values", "list", "2"]), None);
    assert_eq!(line(&["helm", "chart", "x"]), None);
}

#[test]
fn an_error_names_the_true_place_and_prints_what_go_prints() {
    let error = from_str("a: 1\nb:\n  c: 1\n d: 2\n").expect_err("bad indentation");
    assert_eq!((error.line, error.column), (4, 2));
    assert_eq!(error.message, "did not find expected key");
    assert_eq!(error.to_string(), "yaml: line 3: did not find expected key");
}

#[test]
fn documents_know_their_lines() {
    let text = "\n# head\n---\n\na: 1\n---\n---\n--- b: 2\nc: 3\n---apiVersion: v1\n";
    let found: Vec<_> = documents(text).iter().map(|d| (d.first_line, d.text)).collect();
    let expected = [(2, "# head\n"), (5, "a: 1\n"), (8, "b: 2\nc: 3\n"), (10, "apiVersion: v1\n")];
    assert_eq!(found, expected);
}
