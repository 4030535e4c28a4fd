//! Data as deep as it may be, used at any depth of templates, on the stack that threads have.

use gotemplate::{Options, Registry, TemplateSet, Value};
use std::sync::Arc;

use super::scope;

const STACK: usize = 2 << 20;

/// Each level takes some of the stack, so that the last is anywhere between two of its ends.
const NESTED: &str = "{{ define \"down\" }}{{ if . }}{{ template \"down\" (substr 1 -1 .) }}\
                      {{ else }}{{ template \"use\" }}{{ end }}{{ end }}";

fn render(use_it: &str, levels: usize) -> String {
    let build = "{{ $d := 1 }}{{ range until 240 }}{{ $d = dict \"x\" $d }}{{ end }}";
    let text = format!(
        "{NESTED}{{{{ define \"use\" }}}}{build}{{{{ {use_it} }}}}{{{{ end }}}}\
         {{{{ template \"down\" . }}}}"
    );
    let mut set = TemplateSet::new(Arc::new(Registry::sprig()), Options::default()).unwrap();
    set.parse("t", &text).unwrap();
    set.render("t", &Value::from("x".repeat(levels)), &scope()).unwrap()
}

#[test]
fn deep_data_fits_the_stack_wherever_it_is_used() {
    let thread = std::thread::Builder::new().stack_size(STACK);
    let uses = [
        "$d | toPrettyJson | len",
        "$d | deepCopy | kindOf",
        "print $d | len",
        "deepEqual $d $d",
        "(merge (dict) (dict \"a\" $d)) | kindOf",
    ];
    let run = move || {
        for use_it in uses {
            let known = render(use_it, 0);
            for levels in (1..300).step_by(7) {
                assert_eq!(render(use_it, levels), known, "{use_it}, {levels} templates deep");
            }
        }
    };
    thread.spawn(run).unwrap().join().unwrap();
}

/// Renders in a thread with the stack that threads have; a crash would end the test's process.
fn outcome(text: &'static str) -> Result<String, String> {
    let run = move || {
        let mut set = TemplateSet::new(Arc::new(Registry::sprig()), Options::default()).unwrap();
        set.parse("t", text).unwrap();
        set.render("t", &Value::from(""), &scope()).map_err(|error| error.to_string())
    };
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap()
}

#[test]
fn data_of_any_depth_is_let_go_and_refused_where_it_would_be_walked() {
    let up = "{{ $d := 1 }}{{ range until 20000 }}{{ $d = dict \"x\" $d }}{{ end }}ok";
    assert_eq!(outcome(up).unwrap(), "ok");
    let down = "{{ $d := dict }}{{ $e := $d }}{{ range until 20000 }}{{ $n := dict }}\
                {{ $_ := set $e \"x\" (list $n) }}{{ $e = $n }}{{ end }}ok";
    assert_eq!(outcome(down).unwrap(), "ok");
    let walked = "{{ $d := 1 }}{{ range until 20000 }}{{ $d = dict \"x\" $d }}{{ end }}";
    for (walk, words) in
        [("toJson $d", ""), ("deepCopy $d", "bound: depth"), ("mustToJson $d", "cycle")]
    {
        let text: &'static str = format!("{walked}{{{{ {walk} }}}}").leak();
        match outcome(text) {
            Ok(printed) => assert!(words.is_empty() && printed.len() < 100, "{walk}: {printed}"),
            Err(error) => assert!(!words.is_empty() && error.contains(words), "{walk}: {error}"),
        }
    }
    let lists = "{{ $l := list }}{{ range until 20000 }}{{ $l = list $l }}{{ end }}";
    assert!(outcome(lists).unwrap_err().contains("bound: depth"));
}
