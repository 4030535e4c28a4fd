//! Whatever is read as YAML can be written, and what was written reads back as the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = goyaml::documents(text);
    let Ok(value) = goyaml::from_str(text) else { return };
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
