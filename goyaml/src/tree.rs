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

/// Large documents have tens of thousands of these, so their size counts.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    line: u32,
    column: u32,
    pub(crate) content: Content<'a>,
}

impl<'a> Node<'a> {
    pub(crate) fn new(mark: Mark, content: Content<'a>) -> Self {
        Self { line: mark.line, column: mark.column, content }
    }

    /// Where it stands; the index is not known any more.
    pub(crate) fn mark(&self) -> Mark {
        Mark { index: 0, line: self.line, column: self.column }
    }
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
    pub(crate) tag: Tag,
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

/// Written out in full (`tag:yaml.org,2002:int`), empty when there is none, as nearly always.
#[derive(Debug, Default)]
pub(crate) struct Tag(Option<Box<TagText>>);

#[derive(Debug)]
struct TagText(String);

impl Tag {
    pub(crate) fn new(text: String) -> Self {
        Self((!text.is_empty()).then(|| Box::new(TagText(text))))
    }

    pub(crate) fn text(&self) -> &str {
        self.0.as_ref().map_or("", |tag| &tag.0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Scalar<'_> {
    pub(crate) fn is_merge_key(&self) -> bool {
        self.value == "<<" && (self.is_implicit || self.tag.text() == "tag:yaml.org,2002:merge")
    }
}
