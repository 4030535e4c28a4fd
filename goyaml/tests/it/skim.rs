//! A part of a document is what it is of the whole, and has the same errors, whichever way it was
//! read.

use goyaml::{Part, from_str, from_str_part};
use serde_json::{Map, Value};

const HEAD: Part = Part::Keys(&[
    ("kind", Part::All),
    ("metadata", Part::Keys(&[("name", Part::All), ("labels", Part::Keys(&[("a", Part::All)]))])),
]);

/// Of the usual sort, with every form of value.
const MANIFEST: &str = "# Source: x\napiVersion: apps/v1\nkind: Deployment # c\nmetadata:\n  name: web\n  \
    labels:\n    a: \"1\"\n    'b': x y\n\nspec:\n  replicas: 3\n  empty: {}\n  none: []\n  f:\n    {}\n  g: [\"a\", b, 'c']\n  nothing:\n  \
    text: |-\n    line: [\n\n      more\n  folded: >\n    a\n\n  long: this goes on\n    and on\n  \
    quoted: 'it''s\n    long'\n  double: \"a \\\"b\\\" \\n c\"\n  list:\n  - name: a\n    value: -1.5\n  \
    - - 1\n    - x\n  -\n    b: 2\n  - |\n   t\n  # c\n  other:\n    - http://a:80/x#y\n    - --flag\n";

fn pick(whole: Value, part: &Part) -> Value {
    match (whole, part) {
        (Value::Object(pairs), Part::Keys(keys)) => {
            let wanted = |key: &str| keys.iter().find(|(known, _)| *known == key);
            let pairs = pairs.into_iter().filter_map(|(key, value)| {
                let value = pick(value, &wanted(&key)?.1);
                Some((key, value))
            });
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        (Value::Array(_), Part::Keys(_)) => Value::Array(Vec::new()),
        (whole, _) => whole,
    }
}

#[track_caller]
fn check(text: &str) {
    let part = from_str_part(text, &HEAD);
    assert_eq!(part, from_str(text).map(|whole| pick(whole, &HEAD)), "{text:?}");
}

#[test]
fn texts_that_go_was_asked_about_have_the_same_part() {
    let golden = include_str!("../golden/read.jsonl");
    let texts = golden.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut count = 0;
    for case in texts {
        let strings = case.as_object().into_iter().flat_map(|fields| fields.values());
        for text in strings.filter_map(Value::as_str) {
            check(text);
            check(&format!("kind: A\nb:\n  c: d\n{text}\nmetadata: {{}}\n"));
            count += 1;
        }
    }
    assert!(count > 1000, "{count}");
}

/// Numbers that look random and are the same every time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn manifests_with_slips_have_the_same_part() {
    const SLIPS: [&str; 40] = [
        " ", "  ", "\n", "\n\n", "\t", "-", "- ", ": ", ":", "#", " #", "'", "\"", "|", ">-", "{",
        "}", "[", "]", "&a ", "*a", "!", "?", "? ", "%", "\\", ",", "a", "1", ".inf", "~", "<<: ",
        "---", "...", "\u{e9}", "\u{85}", "\u{2028}", "\r", "\n  ", "\n    ",
    ];
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut good = 0;
    for _ in 0..30_000 {
        let mut text = MANIFEST.to_owned();
        for _ in 0..=dice.below(3) {
            let mut at = dice.below(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            match dice.below(4) {
                0 => drop(text.remove(at)),
                1 => {
                    let end = text[at..].find('\n').map_or(text.len(), |length| at + length + 1);
                    text.replace_range(at..end, "");
                }
                _ => text.insert_str(at, SLIPS[dice.below(SLIPS.len())]),
            }
        }
        check(&text);
        good += usize::from(from_str(&text).is_ok());
    }
    assert!((5_000..25_000).contains(&good), "{good} of 30,000 can be read");
}
