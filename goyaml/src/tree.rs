//! One document as nodes that still know where they stood.
//!
//! Owns the node types. Does not know what a plain scalar means. Start at [`Tree`].

use std::borrow::Cow;
use std::ops::Range;

use crate::error::Mark;

pub(crate) type NodeId = usize;

/// The nodes of a document; a text without a document has no root.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    /// The nodes below each collection, one collection after the other.
    pub(crate) children: Vec<NodeId>,
    pub(crate) root: Option<NodeId>,
}

#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) mark: Mark,
    pub(crate) content: Content<'a>,
}

#[derive(Debug)]
pub(crate) enum Content<'a> {
    Scalar(Scalar<'a>),
    Sequence(Range<usize>),
    /// Keys and values in turn.
    Mapping(Range<usize>),
    Alias {
        name: &'a str,
        target: NodeId,
    },
}

#[derive(Debug)]
pub(crate) struct Scalar<'a> {
    pub(crate) value: Cow<'a, str>,
    /// Written out in full (`tag:yaml.org,2002:int`), empty when there is none.
    pub(crate) tag: String,
    /// Plain without a tag, or tagged `!`: the text decides about the type.
    pub(crate) is_implicit: bool,
}

impl<'a> Tree<'a> {
    pub(crate) fn items(&self, place: &Range<usize>) -> &[NodeId] {
        &self.children[place.clone()]
    }

    pub(crate) fn pairs(
        &self,
        place: &Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (NodeId, NodeId)> {
        self.items(place).chunks_exact(2).map(|pair| (pair[0], pair[1]))
    }

    /// The node itself, or what it is an alias of.
    pub(crate) fn resolve_alias(&self, mut id: NodeId) -> NodeId {
        // An alias names an earlier anchor, and an anchor never stands on an alias.
        while let Content::Alias { target, .. } = self.nodes[id].content {
            id = target;
        }
        id
    }
}

impl Scalar<'_> {
    pub(crate) fn is_merge_key(&self) -> bool {
        self.value == "<<" && (self.is_implicit || self.tag == "tag:yaml.org,2002:merge")
    }
}
