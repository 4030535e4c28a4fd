//! Puts tokens together into the nodes of the first document.
//!
//! Owns the grammar of YAML 1.1 as go-yaml v2.4 reads it, anchors and tag prefixes. Knows nothing
//! of types. Start at [`parse`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::characters::{find_forbidden, forbidden_character};
use crate::error::{Error, Mark};
use crate::scan::{Kind, Scanner, Token};
use crate::tree::{Content, Node, NodeId, Scalar, Tag, Tree};

/// So many bytes Go reads at a time, less those of a character that is not complete.
const READ_SIZE: usize = 512;

/// Parses the first document of `text`; what comes after it is not looked at, except for
/// characters that no YAML text may contain, as far as Go reads.
pub(crate) fn parse(text: &str, max_depth: usize) -> Result<Tree<'_>, Error> {
    let Some(at) = find_forbidden(text) else {
        return Parser::new(text, max_depth).parse().0;
    };
    // Go refuses the character when it reads it, so what it finds without reading on counts.
    let reads =
        std::iter::successors(Some(0), |end| Some(text.floor_char_boundary(end + READ_SIZE)));
    let read = reads.take_while(|end| *end <= at).last().unwrap_or(0);
    match Parser::new(&text[..read], max_depth).parse() {
        (result, reach) if reach <= read => result,
        _ => Err(forbidden_character(text, at)),
    }
}

/// Manifests have a key and a value on most lines. Room that stays empty costs next to nothing;
/// moving tens of thousands of nodes to larger room does.
fn expected_nodes(text: &str) -> usize {
    // Counted in bytes as far as those go, so that many are counted at a time.
    let breaks = |some: &[u8]| some.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>();
    let lines_count: usize =
        text.as_bytes().chunks(255).map(|some| usize::from(breaks(some))).sum();
    (2 * lines_count + 2).min(1 << 17)
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    nodes: Vec<Node<'a>>,
    children: Vec<NodeId>,
    /// The children so far of all collections that are open; the innermost one's are last.
    open: Vec<NodeId>,
    anchors: BTreeMap<&'a str, NodeId>,
    prefixes: Vec<(&'a str, String)>,
    depth: usize,
    max_depth: usize,
}

/// What may stand before a node.
#[derive(Default)]
struct Properties<'a> {
    anchor: Option<&'a str>,
    tag: Tag,
}

/// Which nodes the grammar allows at a place.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Flow,
    Block,
    /// A value or key of a block mapping, where a sequence need not be indented.
    BlockEntry,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, max_depth: usize) -> Self {
        Self {
            scanner: Scanner::new(text, max_depth),
            nodes: Vec::with_capacity(expected_nodes(text)),
            children: Vec::new(),
            open: Vec::new(),
            anchors: BTreeMap::new(),
            prefixes: vec![("!", "!".to_owned()), ("!!", "tag:yaml.org,2002:".to_owned())],
            depth: 0,
            max_depth,
        }
    }

    /// The document, and how far into the text it was necessary to look.
    fn parse(mut self) -> (Result<Tree<'a>, Error>, usize) {
        let root = self.parse_document();
        let reach = self.scanner.reach();
        let (nodes, children) = (self.nodes, self.children);
        (root.map(|root| Tree { nodes, children, root }), reach)
    }

    fn parse_document(&mut self) -> Result<Option<NodeId>, Error> {
        let root = match self.scanner.peek()?.kind {
            Kind::StreamEnd => return Ok(None),
            Kind::VersionDirective { .. } | Kind::TagDirective { .. } | Kind::DocumentStart => {
                self.parse_explicit_document()?
            }
            _ => self.parse_node(Place::Block)?,
        };
        // Go reads the token after the document too, and reports it when it is broken.
        self.scanner.peek()?;
        Ok(Some(root))
    }

    fn parse_explicit_document(&mut self) -> Result<NodeId, Error> {
        self.parse_directives()?;
        let token = self.scanner.take()?;
        if !matches!(token.kind, Kind::DocumentStart) {
            let message = "did not find expected <document start>";
            return Err(Error::parser(token.mark, Mark::default(), message));
        }
        let next = self.scanner.peek()?;
        let (mark, is_empty) = (next.mark, is_document_boundary(&next.kind));
        self.parse_entry(is_empty, mark, Place::Block)
    }

    fn parse_directives(&mut self) -> Result<(), Error> {
        let (mut has_version, mut handles) = (false, Vec::new());
        loop {
            let mark = self.scanner.peek()?.mark;
            let fail = |message: &str| Err(Error::parser(mark, Mark::default(), message));
            match self.scanner.peek()?.kind.clone() {
                Kind::VersionDirective { .. } if has_version => {
                    return fail("found duplicate %YAML directive");
                }
                Kind::VersionDirective { major: 1, minor: 1 } => has_version = true,
                Kind::VersionDirective { .. } => return fail("found incompatible YAML document"),
                Kind::TagDirective { handle, .. } if handles.contains(&handle) => {
                    return fail("found duplicate %TAG directive");
                }
                Kind::TagDirective { handle, prefix } => {
                    handles.push(handle);
                    // Searched from the front: a directive comes before the built-in meaning.
                    self.prefixes.insert(0, (handle, prefix));
                }
                _ => return Ok(()),
            }
            self.scanner.take()?;
        }
    }

    fn push(&mut self, mark: Mark, content: Content<'a>) -> NodeId {
        self.nodes.push(Node::new(mark, content));
        self.nodes.len() - 1
    }

    /// A collection whose children are those in `open` from `first` on.
    fn push_collection(
        &mut self,
        mark: Mark,
        first: usize,
        content: fn(Range<usize>) -> Content<'a>,
    ) -> NodeId {
        let start = self.children.len();
        self.children.extend(self.open.drain(first..));
        self.push(mark, content(start..self.children.len()))
    }

    /// A node that is not written at all.
    fn push_empty(&mut self, mark: Mark) -> NodeId {
        self.push_scalar(mark, Cow::Borrowed(""), Tag::default(), true)
    }

    fn push_scalar(
        &mut self,
        mark: Mark,
        value: Cow<'a, str>,
        tag: Tag,
        is_implicit: bool,
    ) -> NodeId {
        self.push(mark, Content::Scalar(Scalar { value, tag, is_implicit }))
    }

    fn parse_node(&mut self, place: Place) -> Result<NodeId, Error> {
        let start = self.scanner.peek()?.mark;
        if let Kind::Alias(name) = self.scanner.peek()?.kind {
            self.scanner.take()?;
            return match self.anchors.get(name) {
                Some(&target) => Ok(self.push(start, Content::Alias { name, target })),
                None => Err(Error::node(start, format!("unknown anchor '{name}' referenced"))),
            };
        }
        if self.depth >= self.max_depth {
            let message = format!("exceeded max depth of {}", self.max_depth);
            return Err(Error::parser(start, start, message));
        }
        // The usual node, without the detour.
        if let Kind::Scalar { .. } = self.scanner.peek()?.kind {
            return self.parse_scalar(start, Tag::default());
        }
        self.depth += 1;
        let Properties { anchor, tag } = self.parse_properties(start)?;
        // An alias inside the node may name it already, so its place is kept free.
        let reserved = anchor.map(|name| {
            let id = self.push_empty(start);
            self.anchors.insert(name, id);
            id
        });
        let mut id = self.parse_content(place, start, tag, anchor.is_some())?;
        if let Some(reserved) = reserved {
            self.nodes.swap(reserved, id);
            self.nodes.truncate(id);
            id = reserved;
        }
        self.depth -= 1;
        Ok(id)
    }

    fn parse_properties(&mut self, start: Mark) -> Result<Properties<'a>, Error> {
        let mut found = Properties::default();
        let mut tag = None;
        // At most one of each, in either order.
        for _ in 0..2 {
            match &self.scanner.peek()?.kind {
                Kind::Anchor(name) if found.anchor.is_none() => {
                    found.anchor = Some(name);
                    self.scanner.take()?;
                }
                Kind::Tag { .. } if tag.is_none() => tag = Some(self.scanner.take()?),
                _ => break,
            }
        }
        if let Some(Token { kind: Kind::Tag { handle, suffix }, mark }) = tag {
            // Go has read on before it asks what the tag stands for.
            self.scanner.peek()?;
            found.tag = Tag::new(self.resolve_tag(handle, suffix, start, mark)?);
        }
        Ok(found)
    }

    fn resolve_tag(
        &self,
        handle: &str,
        suffix: String,
        start: Mark,
        mark: Mark,
    ) -> Result<String, Error> {
        if handle.is_empty() {
            return Ok(suffix);
        }
        match self.prefixes.iter().find(|(known, _)| *known == handle) {
            Some((_, prefix)) => Ok(format!("{prefix}{suffix}")),
            None => Err(Error::parser(mark, start, "found undefined tag handle")),
        }
    }

    fn parse_content(
        &mut self,
        place: Place,
        start: Mark,
        tag: Tag,
        has_anchor: bool,
    ) -> Result<NodeId, Error> {
        let token = self.scanner.peek()?;
        let mark = token.mark;
        match token.kind {
            Kind::BlockEntry if place == Place::BlockEntry => self.parse_bare_sequence(start),
            Kind::Scalar { .. } => self.parse_scalar(start, tag),
            Kind::FlowSequenceStart => self.parse_flow_sequence(start),
            Kind::FlowMappingStart => self.parse_flow_mapping(start),
            Kind::BlockSequenceStart if place != Place::Flow => self.parse_block_sequence(start),
            Kind::BlockMappingStart if place != Place::Flow => self.parse_block_mapping(start),
            _ if has_anchor || !tag.is_empty() => {
                let is_implicit = tag.is_empty();
                Ok(self.push_scalar(start, Cow::Borrowed(""), tag, is_implicit))
            }
            _ => Err(Error::parser(mark, start, "did not find expected node content")),
        }
    }

    fn parse_scalar(&mut self, start: Mark, tag: Tag) -> Result<NodeId, Error> {
        let Kind::Scalar { value, is_plain } = self.scanner.take()?.kind else {
            unreachable!("the token was a scalar when peeked at")
        };
        let is_implicit = tag.text() == "!" || (tag.is_empty() && is_plain);
        Ok(self.push_scalar(start, value, tag, is_implicit))
    }

    fn parse_block_sequence(&mut self, start: Mark) -> Result<NodeId, Error> {
        let opened = self.scanner.take()?.mark;
        let first = self.open.len();
        loop {
            let token = self.scanner.take()?;
            match token.kind {
                Kind::BlockEntry => {
                    let is_empty =
                        matches!(self.scanner.peek()?.kind, Kind::BlockEntry | Kind::BlockEnd);
                    let item = self.parse_entry(is_empty, token.mark, Place::Block)?;
                    self.open.push(item);
                }
                Kind::BlockEnd => return Ok(self.push_collection(start, first, Content::Sequence)),
                _ => {
                    let message = "did not find expected '-' indicator";
                    return Err(Error::parser(token.mark, opened, message));
                }
            }
        }
    }

    fn parse_entry(&mut self, empty: bool, mark: Mark, place: Place) -> Result<NodeId, Error> {
        if empty { Ok(self.push_empty(mark)) } else { self.parse_node(place) }
    }

    /// A sequence in a block mapping whose `-` stand in the column of the keys.
    fn parse_bare_sequence(&mut self, start: Mark) -> Result<NodeId, Error> {
        let first = self.open.len();
        while matches!(self.scanner.peek()?.kind, Kind::BlockEntry) {
            let mark = self.scanner.take()?.mark;
            let is_empty = matches!(
                self.scanner.peek()?.kind,
                Kind::BlockEntry | Kind::Key | Kind::Value | Kind::BlockEnd
            );
            let item = self.parse_entry(is_empty, mark, Place::Block)?;
            self.open.push(item);
        }
        Ok(self.push_collection(start, first, Content::Sequence))
    }

    fn parse_block_mapping(&mut self, start: Mark) -> Result<NodeId, Error> {
        let opened = self.scanner.take()?.mark;
        let first = self.open.len();
        loop {
            let token = self.scanner.take()?;
            match token.kind {
                Kind::Key => {
                    let is_empty = self.at_mapping_boundary()?;
                    let key = self.parse_entry(is_empty, token.mark, Place::BlockEntry)?;
                    let value = self.parse_block_value()?;
                    self.open.extend([key, value]);
                }
                Kind::BlockEnd => return Ok(self.push_collection(start, first, Content::Mapping)),
                _ => {
                    return Err(Error::parser(token.mark, opened, "did not find expected key"));
                }
            }
        }
    }

    fn at_mapping_boundary(&mut self) -> Result<bool, Error> {
        Ok(matches!(self.scanner.peek()?.kind, Kind::Key | Kind::Value | Kind::BlockEnd))
    }

    fn parse_block_value(&mut self) -> Result<NodeId, Error> {
        let token = self.scanner.peek()?;
        let mark = token.mark;
        if !matches!(token.kind, Kind::Value) {
            return Ok(self.push_empty(mark));
        }
        self.scanner.take()?;
        let is_empty = self.at_mapping_boundary()?;
        self.parse_entry(is_empty, mark, Place::BlockEntry)
    }

    fn parse_flow_sequence(&mut self, start: Mark) -> Result<NodeId, Error> {
        let opened = self.scanner.take()?.mark;
        let first = self.open.len();
        loop {
            if self.open.len() > first && self.scanner.peek()?.kind != Kind::FlowSequenceEnd {
                self.expect_comma(opened, "did not find expected ',' or ']'")?;
            }
            match self.scanner.peek()?.kind {
                Kind::FlowSequenceEnd => {
                    self.scanner.take()?;
                    return Ok(self.push_collection(start, first, Content::Sequence));
                }
                Kind::Key => {
                    let pair = self.parse_flow_pair()?;
                    self.open.push(pair);
                }
                _ => {
                    let item = self.parse_node(Place::Flow)?;
                    self.open.push(item);
                }
            }
        }
    }

    fn expect_comma(&mut self, opened: Mark, message: &str) -> Result<(), Error> {
        let token = self.scanner.take()?;
        if token.kind == Kind::FlowEntry {
            return Ok(());
        }
        Err(Error::parser(token.mark, opened, message))
    }

    /// `[a: b]`: a mapping of one pair.
    fn parse_flow_pair(&mut self) -> Result<NodeId, Error> {
        let start = self.scanner.take()?.mark;
        let is_end = |kind: &Kind<'_>| matches!(kind, Kind::FlowEntry | Kind::FlowSequenceEnd);
        let token = self.scanner.peek()?;
        let mark = token.mark;
        let key_is_empty = token.kind == Kind::Value || is_end(&token.kind);
        if key_is_empty {
            // Go drops the token that shows the key to be missing, the `:` included.
            self.scanner.take()?;
        }
        let key = self.parse_entry(key_is_empty, mark, Place::Flow)?;
        let mut value_is_empty = true;
        if self.scanner.peek()?.kind == Kind::Value {
            self.scanner.take()?;
            value_is_empty = is_end(&self.scanner.peek()?.kind);
        }
        let mark = self.scanner.peek()?.mark;
        let value = self.parse_entry(value_is_empty, mark, Place::Flow)?;
        let first = self.open.len();
        self.open.extend([key, value]);
        Ok(self.push_collection(start, first, Content::Mapping))
    }

    fn parse_flow_mapping(&mut self, start: Mark) -> Result<NodeId, Error> {
        let opened = self.scanner.take()?.mark;
        let first = self.open.len();
        loop {
            if self.open.len() > first && self.scanner.peek()?.kind != Kind::FlowMappingEnd {
                self.expect_comma(opened, "did not find expected ',' or '}'")?;
            }
            match self.scanner.peek()?.kind {
                Kind::FlowMappingEnd => {
                    self.scanner.take()?;
                    return Ok(self.push_collection(start, first, Content::Mapping));
                }
                Kind::Key => {
                    self.scanner.take()?;
                    let is_empty = self.at_flow_boundary(true)?;
                    let mark = self.scanner.peek()?.mark;
                    let key = self.parse_entry(is_empty, mark, Place::Flow)?;
                    let value = self.parse_flow_value()?;
                    self.open.extend([key, value]);
                }
                _ => {
                    let key = self.parse_node(Place::Flow)?;
                    let mark = self.scanner.peek()?.mark;
                    let value = self.push_empty(mark);
                    self.open.extend([key, value]);
                }
            }
        }
    }

    fn at_flow_boundary(&mut self, is_key: bool) -> Result<bool, Error> {
        Ok(match self.scanner.peek()?.kind {
            Kind::FlowEntry | Kind::FlowMappingEnd => true,
            Kind::Value => is_key,
            _ => false,
        })
    }

    fn parse_flow_value(&mut self) -> Result<NodeId, Error> {
        let mut is_empty = true;
        if self.scanner.peek()?.kind == Kind::Value {
            self.scanner.take()?;
            is_empty = self.at_flow_boundary(false)?;
        }
        let mark = self.scanner.peek()?.mark;
        self.parse_entry(is_empty, mark, Place::Flow)
    }
}

fn is_document_boundary(kind: &Kind<'_>) -> bool {
    matches!(
        kind,
        Kind::VersionDirective { .. }
            | Kind::TagDirective { .. }
            | Kind::DocumentStart
            | Kind::DocumentEnd
            | Kind::StreamEnd
    )
}
