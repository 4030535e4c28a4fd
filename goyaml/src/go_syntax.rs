//! Writes nodes as Go's `%#v` does, for error messages.
//!
//! People know `map[interface {}]interface {}{".Values.x":…` as the sign of a template that was
//! not rendered. Owns the order of keys in it. Start at [`go_syntax`].

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::decode::{resolve_scalar, scalar_text};
use crate::error::Mark;
use crate::number::format_g;
use crate::quote::quote;
use crate::resolve::Resolved;
use crate::tree::{Content, NodeId, Scalar, Tree};

/// What is nested deeper is left out, and so is what comes after so many nodes: aliases can make
/// much of little.
const MAX_SHOWN_DEPTH: usize = 8;
const MAX_SHOWN_NODES: usize = 10_000;

/// The value of a node as Go's syntax.
pub(crate) fn go_syntax(tree: &Tree<'_>, id: NodeId) -> String {
    Show { tree, left: MAX_SHOWN_NODES }.node(id, 0)
}

struct Show<'t, 'a> {
    tree: &'t Tree<'a>,
    /// How many nodes may still be looked at.
    left: usize,
}

impl Show<'_, '_> {
    fn node(&mut self, id: NodeId, depth: usize) -> String {
        if depth > MAX_SHOWN_DEPTH || self.left == 0 {
            return "...".to_owned();
        }
        self.left -= 1;
        let tree = self.tree;
        let node = &tree.nodes[tree.resolve_alias(id)];
        match &node.content {
            Content::Scalar(scalar) => ShownKey::of(scalar, node.mark()).text(),
            Content::Sequence(items) => {
                let mut shown = Vec::new();
                for item in tree.items(items) {
                    shown.push(self.node(*item, depth + 1));
                    if self.left == 0 {
                        break;
                    }
                }
                format!("[]interface {{}}{{{}}}", shown.join(", "))
            }
            Content::Mapping(_) => {
                let mut pairs = BTreeMap::new();
                self.collect_pairs(id, depth, &mut pairs);
                let pairs = pairs.iter().map(|(key, value)| format!("{}:{value}", key.text()));
                let pairs = pairs.collect::<Vec<_>>().join(", ");
                format!("map[interface {{}}]interface {{}}{{{pairs}}}")
            }
            Content::Alias { .. } => "...".to_owned(),
        }
    }

    /// The pairs of a mapping and of those merged into it; later ones win.
    fn collect_pairs(&mut self, id: NodeId, depth: usize, found: &mut BTreeMap<ShownKey, String>) {
        let tree = self.tree;
        let Content::Mapping(pairs) = &tree.nodes[tree.resolve_alias(id)].content else { return };
        for (key, value) in tree.pairs(pairs) {
            if depth > MAX_SHOWN_DEPTH || self.left == 0 {
                return;
            }
            let node = &tree.nodes[tree.resolve_alias(key)];
            let Content::Scalar(scalar) = &node.content else { continue };
            let is_merge = scalar.is_merge_key() && tree.resolve_alias(key) == key;
            match &tree.nodes[tree.resolve_alias(value)].content {
                Content::Sequence(items) if is_merge => {
                    self.left -= 1;
                    for item in tree.items(items).iter().rev() {
                        self.collect_pairs(*item, depth + 1, found);
                    }
                }
                _ if is_merge => {
                    self.left -= 1;
                    self.collect_pairs(value, depth + 1, found);
                }
                _ => {
                    let shown = self.node(value, depth + 1);
                    found.insert(ShownKey::of(scalar, node.mark()), shown);
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
}

impl PartialEq for ShownKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ShownKey {}

impl PartialOrd for ShownKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShownKey {
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
