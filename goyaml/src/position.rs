//! Says on which line of a YAML text a key stands.
//!
//! Owns the way from a path to a place, through aliases and merge keys. Reads no values.
//! Start at [`Positions::parse`].

use crate::error::{Error, Mark};
use crate::parse::parse;
use crate::tree::{Content, NodeId, Tree};

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
}

/// The places of all keys and items of a document.
///
/// ```
/// let text = "helm:\n  relaseName: web\n";
/// let positions = goyaml::Positions::parse(text).unwrap();
/// assert_eq!(positions.find(&["helm", "relaseName"]).unwrap().line, 2);
/// ```
#[derive(Debug)]
pub struct Positions<'a> {
    tree: Tree<'a>,
}

impl<'a> Positions<'a> {
    /// Reads the places of the first document of `text`; see [`crate::from_str`] for what is
    /// readable.
    pub fn parse(text: &'a str) -> Result<Positions<'a>, Error> {
        Ok(Positions { tree: parse(text, crate::MAX_DEPTH)? })
    }

    /// The place of a key or list item. `path` leads there from the root: keys, and for items of
    /// lists their index in decimal. The empty path is the root's place. `None` when there is no
    /// such key.
    pub fn find(&self, path: &[&str]) -> Option<Position> {
        let mut node = self.tree.root?;
        let mut mark = self.tree.nodes[node].mark();
        for step in path {
            (mark, node) = self.find_child(node, step, 0)?;
        }
        Some(to_position(mark))
    }

    fn find_child(&self, id: NodeId, step: &str, depth: usize) -> Option<(Mark, NodeId)> {
        if depth > crate::MAX_DEPTH {
            return None;
        }
        match &self.tree.nodes[self.tree.resolve_alias(id)].content {
            Content::Sequence(items) => {
                let item = *self.tree.items(items).get(step.parse::<usize>().ok()?)?;
                Some((self.tree.nodes[item].mark(), item))
            }
            // The last one wins, a merged one included.
            Content::Mapping(pairs) => self.tree.pairs(pairs).rev().find_map(|(key, value)| {
                match &self.tree.nodes[self.tree.resolve_alias(key)].content {
                    Content::Scalar(scalar) if scalar.is_merge_key() => {
                        self.find_merged(value, step, depth)
                    }
                    Content::Scalar(scalar) if scalar.value == step => {
                        Some((self.tree.nodes[key].mark(), value))
                    }
                    _ => None,
                }
            }),
            _ => None,
        }
    }

    fn find_merged(&self, id: NodeId, step: &str, depth: usize) -> Option<(Mark, NodeId)> {
        match &self.tree.nodes[self.tree.resolve_alias(id)].content {
            Content::Sequence(items) => self
                .tree
                .items(items)
                .iter()
                .find_map(|item| self.find_child(*item, step, depth + 1)),
            _ => self.find_child(id, step, depth + 1),
        }
    }
}

fn to_position(mark: Mark) -> Position {
    Position { line: mark.line as usize + 1, column: mark.column as usize + 1 }
}
