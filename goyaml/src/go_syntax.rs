//! Writes nodes as Go's `%#v` does, for error messages.
//!
//! People know `map[interface {}]interface {}{".Values.x":…` as the sign of a template that was
//! not rendered. Owns the order of keys in it. Start at [`go_syntax`].

use std::cmp::Ordering;

use crate::decode::{resolve_scalar, scalar_text};
use crate::error::Mark;
use crate::number::format_g;
use crate::quote::quote;
use crate::resolve::Resolved;
use crate::tree::{Content, NodeId, Scalar, Tree};

/// What is nested deeper is left out, for aliases can make much of little.
const MAX_SHOWN_DEPTH: usize = 8;

/// The value of a node as Go's syntax.
pub(crate) fn go_syntax(tree: &Tree<'_>, id: NodeId) -> String {
    show(tree, id, 0)
}

fn show(tree: &Tree<'_>, id: NodeId, depth: usize) -> String {
    let node = &tree.nodes[tree.resolve_alias(id)];
    match &node.content {
        _ if depth > MAX_SHOWN_DEPTH => "...".to_owned(),
        Content::Scalar(scalar) => ShownKey::of(scalar, node.mark()).text(),
        Content::Sequence(items) => {
            let items = tree.items(items).iter().map(|item| show(tree, *item, depth + 1));
            format!("[]interface {{}}{{{}}}", items.collect::<Vec<_>>().join(", "))
        }
        Content::Mapping(_) => {
            let mut pairs = Vec::new();
            collect_pairs(tree, id, depth, &mut pairs);
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            let pairs = pairs.iter().map(|(key, value)| format!("{}:{value}", key.text()));
            let pairs = pairs.collect::<Vec<_>>().join(", ");
            format!("map[interface {{}}]interface {{}}{{{pairs}}}")
        }
        Content::Alias { .. } => "...".to_owned(),
    }
}

/// The pairs of a mapping and of those merged into it; later ones win.
fn collect_pairs(tree: &Tree<'_>, id: NodeId, depth: usize, found: &mut Vec<(ShownKey, String)>) {
    let Content::Mapping(pairs) = &tree.nodes[tree.resolve_alias(id)].content else { return };
    for (key, value) in tree.pairs(pairs) {
        let node = &tree.nodes[tree.resolve_alias(key)];
        let Content::Scalar(scalar) = &node.content else { continue };
        let is_merge = scalar.is_merge_key() && tree.resolve_alias(key) == key;
        match &tree.nodes[tree.resolve_alias(value)].content {
            _ if depth > MAX_SHOWN_DEPTH => return,
            Content::Sequence(items) if is_merge => {
                for item in tree.items(items).iter().rev() {
                    collect_pairs(tree, *item, depth + 1, found);
                }
            }
            _ if is_merge => collect_pairs(tree, value, depth + 1, found),
            _ => {
                let key = ShownKey::of(scalar, node.mark());
                let value = show(tree, value, depth + 1);
                match found.iter_mut().find(|(known, _)| known.cmp(&key) == Ordering::Equal) {
                    Some(known) => known.1 = value,
                    None => found.push((key, value)),
                }
            }
        }
    }
}

/// A scalar that is no collection; the text is that of a string.
struct ShownKey {
    resolved: Resolved,
    text: String,
}

impl ShownKey {
    fn of(scalar: &Scalar<'_>, mark: Mark) -> Self {
        let resolved = resolve_scalar(scalar, mark).unwrap_or(Resolved::Str);
        let text = scalar_text(scalar, mark).map_or_else(|_| String::new(), |text| text.into());
        Self { resolved, text }
    }

    fn text(&self) -> String {
        match self.resolved {
            Resolved::Null => "interface {}(nil)".to_owned(),
            Resolved::Bool(flag) => flag.to_string(),
            Resolved::Int(number) => number.to_string(),
            Resolved::Uint(number) => format!("{number:#x}"),
            Resolved::Float(number) => format_g(number),
            Resolved::Timestamp | Resolved::Str => quote(&self.text),
        }
    }

    /// Go sorts by type before it sorts by value.
    fn type_rank(&self) -> u8 {
        match self.resolved {
            Resolved::Null => 0,
            Resolved::Timestamp | Resolved::Str => 1,
            Resolved::Uint(_) => 2,
            Resolved::Int(_) => 3,
            Resolved::Float(_) => 4,
            Resolved::Bool(_) => 5,
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        self.type_rank().cmp(&other.type_rank()).then_with(|| {
            match (&self.resolved, &other.resolved) {
                (Resolved::Null, _) => Ordering::Equal,
                (Resolved::Bool(one), Resolved::Bool(other)) => one.cmp(other),
                (Resolved::Int(one), Resolved::Int(other)) => one.cmp(other),
                (Resolved::Uint(one), Resolved::Uint(other)) => one.cmp(other),
                (Resolved::Float(one), Resolved::Float(other)) => one.total_cmp(other),
                _ => self.text.cmp(&other.text),
            }
        })
    }
}
