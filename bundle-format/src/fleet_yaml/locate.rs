//! The line on which a key of a YAML file stands.
//!
//! Owns a rough reading of indentation, good enough to point a person at a line: what it cannot
//! follow (flow style, anchors) ends at the nearest key around it. Start at [`line_of`].

use super::shape::{KeyPath, Step};

/// The line (from 1) of the key at the end of a path, or of the nearest one around it.
pub(crate) fn line_of(text: &str, path: &KeyPath) -> Option<usize> {
    let mut block: Vec<Line> = text.lines().enumerate().filter_map(Line::read).collect();
    let mut found = None;
    for step in &path.0 {
        let Some(below) = enter(&block, step) else { break };
        found = below.first().map(|line| line.number).or(found);
        block = match step {
            Step::Key(_) => below.into_iter().skip(1).collect(),
            Step::Index(_) => below,
        };
    }
    found
}

#[derive(Clone, Debug)]
struct Line {
    number: usize,
    indent: usize,
    text: String,
}

impl Line {
    fn read((index, text): (usize, &str)) -> Option<Self> {
        let content = text.trim_start_matches(' ');
        let skipped = content.trim().is_empty() || content.starts_with('#') || content == "---";
        (!skipped).then(|| Self {
            number: index + 1,
            indent: text.len() - content.len(),
            text: content.trim_end().to_owned(),
        })
    }

    fn is_item(&self) -> bool {
        self.text == "-" || self.text.starts_with("- ")
    }

    fn has_key(&self, key: &str) -> bool {
        let rest = ["", "\"", "'"].iter().find_map(|quote| {
            self.text.strip_prefix(quote)?.strip_prefix(key)?.strip_prefix(quote)
        });
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    }
}

/// The lines of one member or item of a block, the one that names it first.
fn enter(block: &[Line], step: &Step) -> Option<Vec<Line>> {
    let indent = block.iter().map(|line| line.indent).min()?;
    match step {
        Step::Key(key) => {
            let start = block.iter().position(|line| line.indent == indent && line.has_key(key))?;
            // A list may stand at the same indentation as the key that holds it.
            let rest = block[start + 1..].iter();
            let below = rest.take_while(|line| line.indent > indent || line.is_item());
            Some(std::iter::once(&block[start]).chain(below).cloned().collect())
        }
        Step::Index(index) => {
            let is_start = |line: &Line| line.indent == indent && line.is_item();
            let mut starts = block.iter().enumerate().filter(|(_, line)| is_start(line));
            let start = starts.nth(*index)?.0;
            let end = starts.next().map_or(block.len(), |(end, _)| end);
            let mut item = block[start..end].to_vec();
            let first = item.first_mut()?;
            let content = first.text[1..].trim_start().to_owned();
            first.indent += first.text.len() - content.len();
            first.text = content;
            Some(item)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_through_maps_and_lists() {
        let text = "# c\nname: x\nhelm:\n  \"force\": yes\n  values:\n    force: 1\ndependsOn:\n- name: a\n- selector: {}\n  acceptedStates:\n  - Bad\n";
        let key = |name: &str| Step::Key(name.to_owned());
        for (path, line) in [
            (vec![key("helm"), key("force")], Some(4)),
            (vec![key("helm"), key("values"), key("force")], Some(6)),
            (vec![key("dependsOn"), Step::Index(1), key("acceptedStates"), Step::Index(0)], Some(11)),
            (vec![key("dependsOn"), Step::Index(0), key("nope")], Some(8)),
            (vec![key("nope")], None),
        ] {
            assert_eq!(line_of(text, &KeyPath(path.clone())), line, "{path:?}");
        }
    }
}
