//! Whatever is read as YAML can be written, and what was written reads back as the same value; a
//! part of a text is what it is of the whole.
#![no_main]

use goyaml::Part;
use libfuzzer_sys::fuzz_target;

const HEAD: Part = Part::Keys(&[("a", Part::All)]);

fuzz_target!(|text: &str| {
    let _ = goyaml::documents(text);
    let read = goyaml::from_str(text);
    let part = goyaml::from_str_part(text, &HEAD);
    assert_eq!(part.as_ref().err(), read.as_ref().err());
    let Ok(value) = read else { return };
    assert_eq!(part.map(|part| part.get("a").cloned()), Ok(value.get("a").cloned()));
    // What Go does not write as it was: minus zero, a next-line character, a key that says `<<`.
    let text = value.to_string();
    if ["-0.0", "\u{85}", "\"<<\":"].iter().any(|lost| text.contains(lost)) {
        return;
    }
    let written = goyaml::to_string(&value);
    let read = goyaml::from_str(&written);
    assert_eq!(read.as_ref(), Ok(&value), "written as:\n{written}");
    let _ = goyaml::to_string_pretty(&value);
    let _ = goyaml::json::to_string(&value);
});
