//! Turns the nodes of a document into a JSON value.
//!
//! Owns tags, merge keys, aliases and their budget, keys that are no strings, and the numbers
//! that survive the way through JSON. Does not know how text is cut into nodes.
//! Start at [`Decoder::decode`].

use std::borrow::Cow;
use std::ops::Range;

use serde_json::{Map, Number, Value};

use crate::Part;
use crate::error::{Error, Mark};
use crate::go_syntax::go_syntax;
use crate::number::{format_g, format_g32, format_json};
use crate::quote::quote;
use crate::resolve::{Dialect, Resolved, resolve_plain};
use crate::tree::{Content, NodeId, Scalar, Tree};

const TAG_PREFIX: &str = "tag:yaml.org,2002:";

pub(crate) struct Decoder<'t, 'a> {
    tree: &'t Tree<'a>,
    strict: bool,
    max_depth: usize,
    depth: usize,
    /// Nodes decoded so far, and how many of them inside aliases.
    decoded_count: u64,
    aliased_count: u64,
    /// The aliases being followed right now, to notice one inside itself.
    open_aliases: Vec<NodeId>,
    /// The first key that is there twice, which Go notices only after all YAML is read.
    duplicate: Option<Error>,
    /// What Go notices after that, in the value that came out.
    unsuited: Vec<Unsuited>,
}

/// Something in a value that JSON cannot say.
struct Unsuited {
    what: Unsuitable,
    mark: Mark,
    /// A later pair with the same key replaced what it was in.
    is_gone: bool,
}

enum Unsuitable {
    /// YAML knows such keys, JSON does not.
    Key {
        kind: &'static str,
        key: String,
        value: NodeId,
    },
    Number(f64),
}

impl Unsuited {
    /// Go looks at the keys before it looks at the numbers.
    fn is_number(&self) -> bool {
        matches!(self.what, Unsuitable::Number(_))
    }

    fn error(&self, tree: &Tree<'_>) -> Error {
        let message = match &self.what {
            Unsuitable::Number(number) => format!("json: unsupported value: {}", format_g(*number)),
            Unsuitable::Key { kind, key, value } => {
                let value = match go_syntax(tree, *value) {
                    nil if nil == "interface {}(nil)" => "<nil>".to_owned(),
                    value => value,
                };
                format!("unsupported map key of type: {kind}, key: {key}, value: {value}")
            }
        };
        Error::conversion(Some(self.mark), message)
    }
}

/// One mapping under construction.
#[derive(Default)]
struct Pairs {
    values: Map<String, Value>,
    /// In strict mode, the keys as Go compares them: `1` and `"1"` are two.
    seen: std::collections::BTreeSet<String>,
    /// Keys, as Go compares them, with what is unsuited below each.
    unsuited: Vec<(String, Range<usize>)>,
}

impl<'t, 'a> Decoder<'t, 'a> {
    pub(crate) fn new(tree: &'t Tree<'a>, strict: bool, max_depth: usize) -> Decoder<'t, 'a> {
        Decoder {
            tree,
            strict,
            max_depth,
            depth: 0,
            decoded_count: 1,
            aliased_count: 0,
            open_aliases: Vec::new(),
            duplicate: None,
            unsuited: Vec::new(),
        }
    }

    /// The wanted part; the rest is checked all the same.
    pub(crate) fn decode(mut self, part: &Part) -> Result<Value, Error> {
        let value = match self.tree.root {
            None => Value::Null,
            Some(root) => self.decode_node(root, part)?,
        };
        let left = self.unsuited.iter().filter(|unsuited| !unsuited.is_gone);
        let first = left.min_by_key(|unsuited| unsuited.is_number());
        match self.duplicate.or_else(|| first.map(|first| first.error(self.tree))) {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }

    /// Counts one step, and refuses documents that are mostly copies of themselves. The limits
    /// are go-yaml's: 99 % from aliases up to 400,000 steps, going down to 10 % at 4 million.
    fn count_step(&mut self, mark: Mark) -> Result<(), Error> {
        const LOW: f64 = 400_000.0;
        const HIGH: f64 = 4_000_000.0;
        self.decoded_count += 1;
        if !self.open_aliases.is_empty() {
            self.aliased_count += 1;
        }
        if self.aliased_count > 100 && self.decoded_count > 1000 {
            let (aliased, decoded) = (self.aliased_count as f64, self.decoded_count as f64);
            let allowed = 0.99 - 0.89 * ((decoded - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
            if aliased / decoded > allowed {
                return Err(Error::node(mark, "document contains excessive aliasing"));
            }
        }
        Ok(())
    }

    fn decode_node(&mut self, id: NodeId, part: &Part) -> Result<Value, Error> {
        let tree = self.tree;
        let node = &tree.nodes[id];
        self.count_step(node.mark())?;
        match &node.content {
            Content::Scalar(scalar) => self.decode_scalar(scalar, node.mark(), part),
            Content::Alias { name, target } => {
                self.enter_alias(id, name, node.mark())?;
                let value = self.decode_node(*target, part)?;
                self.leave_alias();
                Ok(value)
            }
            Content::Sequence(items) => {
                self.enter(node.mark())?;
                let values = self.decode_items(tree.items(items), part)?;
                self.depth -= 1;
                Ok(Value::Array(values))
            }
            Content::Mapping(pairs) => {
                self.enter(node.mark())?;
                let mut found = Pairs::default();
                self.decode_pairs(pairs, &mut found, part)?;
                self.depth -= 1;
                Ok(Value::Object(found.values))
            }
        }
    }

    fn decode_items(&mut self, items: &[NodeId], part: &Part) -> Result<Vec<Value>, Error> {
        if let Part::All = part {
            return items.iter().map(|item| self.decode_node(*item, part)).collect();
        }
        for item in items {
            self.decode_node(*item, &Part::Nothing)?;
        }
        Ok(Vec::new())
    }

    fn enter(&mut self, mark: Mark) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > self.max_depth {
            let message = format!("exceeded max depth of {}", self.max_depth);
            return Err(Error::node(mark, message));
        }
        Ok(())
    }

    fn enter_alias(&mut self, id: NodeId, name: &str, mark: Mark) -> Result<(), Error> {
        if self.open_aliases.contains(&id) {
            return Err(Error::node(mark, format!("anchor '{name}' value contains itself")));
        }
        self.open_aliases.push(id);
        self.enter(mark)
    }

    fn leave_alias(&mut self) {
        self.open_aliases.pop();
        self.depth -= 1;
    }

    fn decode_scalar(
        &mut self,
        scalar: &Scalar<'_>,
        mark: Mark,
        part: &Part,
    ) -> Result<Value, Error> {
        Ok(match resolve_scalar(scalar, mark)? {
            Resolved::Null => Value::Null,
            Resolved::Bool(flag) => Value::Bool(flag),
            Resolved::Int(number) => Value::from(number),
            Resolved::Uint(number) => Value::from(number),
            Resolved::Float(number) => decode_float(number).unwrap_or_else(|| {
                self.note_unsuited(Unsuitable::Number(number), mark);
                Value::Null
            }),
            Resolved::Timestamp | Resolved::Str => {
                let text = scalar_text(scalar, mark)?;
                if let Part::Nothing = part {
                    Value::Null
                } else {
                    Value::String(text.into_owned())
                }
            }
        })
    }

    /// Later pairs win over earlier ones, whether they were merged or not.
    fn decode_pairs(
        &mut self,
        pairs: &Range<usize>,
        found: &mut Pairs,
        part: &Part,
    ) -> Result<(), Error> {
        let tree = self.tree;
        for (key_id, value_id) in tree.pairs(pairs) {
            if let Content::Scalar(scalar) = &tree.nodes[key_id].content
                && scalar.is_merge_key()
            {
                self.merge(value_id, found, part)?;
                continue;
            }
            let noted = self.unsuited.len();
            let key = self.decode_key(key_id, value_id)?;
            let wanted = part.below(&key.text);
            let value = self.decode_node(value_id, wanted)?;
            if !self.unsuited.is_empty() {
                self.replace_unsuited(found, &key, noted);
            }
            if self.strict && !found.seen.insert(key.go_syntax()) {
                let mark = tree.nodes[value_id].mark();
                let message = format!("key {} already set in map", key.go_syntax());
                self.duplicate.get_or_insert_with(|| Error::listed(mark, message));
                continue;
            }
            if !matches!(wanted, Part::Nothing) {
                found.values.insert(key.into_text(), value);
            }
        }
        Ok(())
    }

    fn merge(&mut self, id: NodeId, found: &mut Pairs, part: &Part) -> Result<(), Error> {
        let tree = self.tree;
        match &tree.nodes[id].content {
            // Earlier entries of the list win, so they come last.
            Content::Sequence(items) => tree
                .items(items)
                .iter()
                .rev()
                .try_for_each(|item| self.merge_mapping(*item, found, part)),
            _ => self.merge_mapping(id, found, part),
        }
    }

    fn merge_mapping(&mut self, id: NodeId, found: &mut Pairs, part: &Part) -> Result<(), Error> {
        let tree = self.tree;
        let node = &tree.nodes[id];
        self.count_step(node.mark())?;
        match &node.content {
            Content::Mapping(pairs) => self.decode_pairs(pairs, found, part),
            Content::Alias { name, target } => match &tree.nodes[*target].content {
                Content::Mapping(pairs) => {
                    self.enter_alias(id, name, node.mark())?;
                    self.count_step(node.mark())?;
                    self.decode_pairs(pairs, found, part)?;
                    self.leave_alias();
                    Ok(())
                }
                _ => Err(merge_wants_map(node.mark())),
            },
            _ => Err(merge_wants_map(node.mark())),
        }
    }

    fn decode_key(&mut self, id: NodeId, value_id: NodeId) -> Result<Key<'t>, Error> {
        let tree = self.tree;
        self.count_step(tree.nodes[id].mark())?;
        let node = &tree.nodes[tree.resolve_alias(id)];
        let mark = tree.nodes[id].mark();
        let Content::Scalar(scalar) = &node.content else {
            // An invalid key inside this one is reported first.
            self.decode_node(id, &Part::Nothing)?;
            let key = go_syntax(tree, id);
            return Err(Error::node(mark, format!("invalid map key: {key}")));
        };
        let (kind, text) = match resolve_scalar(scalar, node.mark())? {
            Resolved::Str | Resolved::Timestamp => return decode_text_key(scalar, mark),
            Resolved::Bool(true) => (KeyKind::Other, Cow::Borrowed("true")),
            Resolved::Bool(false) => (KeyKind::Other, Cow::Borrowed("false")),
            Resolved::Int(number) => (KeyKind::Other, Cow::Owned(number.to_string())),
            Resolved::Float(number) => (KeyKind::Float, Cow::Owned(key_of_float(number))),
            Resolved::Null => {
                let (kind, key) = ("%!s(<nil>)", "<nil>".to_owned());
                self.note_unsuited(Unsuitable::Key { kind, key, value: value_id }, mark);
                (KeyKind::Other, Cow::Borrowed("<nil>"))
            }
            Resolved::Uint(number) => {
                let (kind, key) = ("uint64", format!("{number:#x}"));
                self.note_unsuited(Unsuitable::Key { kind, key, value: value_id }, mark);
                (KeyKind::Other, Cow::Owned(number.to_string()))
            }
        };
        Ok(Key { kind, text })
    }

    fn note_unsuited(&mut self, what: Unsuitable, mark: Mark) {
        // Nobody hears of the later ones unless the first one goes.
        const KEPT: usize = 1000;
        if self.unsuited.len() < KEPT {
            self.unsuited.push(Unsuited { what, mark, is_gone: false });
        }
    }

    /// What was noted since `noted` belongs to `key`, and what an earlier pair with it had is gone.
    #[cold]
    fn replace_unsuited(&mut self, found: &mut Pairs, key: &Key<'_>, noted: usize) {
        let key = key.go_syntax();
        for (_, places) in found.unsuited.extract_if(.., |(known, _)| *known == key) {
            self.unsuited[places].iter_mut().for_each(|unsuited| unsuited.is_gone = true);
        }
        if noted < self.unsuited.len() {
            found.unsuited.push((key, noted..self.unsuited.len()));
        }
    }
}

fn merge_wants_map(mark: Mark) -> Error {
    Error::node(mark, "map merge requires map or sequence of maps as the value")
}

/// A key as text, and enough of its type to tell `1` from `"1"`.
struct Key<'t> {
    kind: KeyKind,
    text: Cow<'t, str>,
}

#[derive(PartialEq)]
enum KeyKind {
    Text,
    Float,
    Other,
}

impl Key<'_> {
    fn go_syntax(&self) -> String {
        match self.kind {
            KeyKind::Text => quote(&self.text),
            // Keeps 1.0 apart from 1; nobody has seen what Go prints here.
            KeyKind::Float => format!("{}.", self.text),
            KeyKind::Other => self.text.to_string(),
        }
    }

    fn into_text(self) -> String {
        self.text.into_owned()
    }
}

fn decode_text_key<'t>(scalar: &'t Scalar<'_>, mark: Mark) -> Result<Key<'t>, Error> {
    Ok(Key { kind: KeyKind::Text, text: scalar_text(scalar, mark)? })
}

fn key_of_float(number: f64) -> String {
    match format_g32(number) {
        text if text == "+Inf" => ".inf".to_owned(),
        text if text == "-Inf" => "-.inf".to_owned(),
        text if text == "NaN" => ".nan".to_owned(),
        text => text,
    }
}

/// What a scalar is, its tag considered.
pub(crate) fn resolve_scalar(scalar: &Scalar<'_>, mark: Mark) -> Result<Resolved, Error> {
    if scalar.tag.is_empty() {
        return Ok(match scalar.is_implicit {
            true => resolve_plain(&scalar.value, Dialect::V2),
            false => Resolved::Str,
        });
    }
    let wanted = scalar.tag.text().strip_prefix(TAG_PREFIX).unwrap_or_default();
    if !matches!(wanted, "bool" | "int" | "float" | "null" | "timestamp") {
        // !!str, !!binary and tags of one's own: the text stays.
        return Ok(Resolved::Str);
    }
    let resolved = resolve_plain(&scalar.value, Dialect::V2);
    let found = match &resolved {
        Resolved::Null => "null",
        Resolved::Bool(_) => "bool",
        Resolved::Int(number) if wanted == "float" => return Ok(Resolved::Float(*number as f64)),
        Resolved::Int(_) | Resolved::Uint(_) => "int",
        Resolved::Float(_) => "float",
        Resolved::Timestamp if wanted == "timestamp" => wanted,
        Resolved::Timestamp | Resolved::Str => "str",
    };
    if found == wanted {
        return Ok(resolved);
    }
    let value = &scalar.value;
    Err(Error::node(mark, format!("cannot decode !!{found} `{value}` as a !!{wanted}")))
}

/// JSON has no kinds of numbers: `1.0` and `1e3` become integers on the way through it. `None`
/// for what JSON cannot say.
fn decode_float(number: f64) -> Option<Value> {
    let is_negative_zero = number == 0.0 && number.is_sign_negative();
    if number.fract() == 0.0 && !is_negative_zero {
        // The digits of the shortest form, filled up with zeros, as JSON would show them.
        let digits = format_json(number);
        let whole = digits.parse::<i64>().map(Value::from);
        if let Ok(whole) = whole.or_else(|_| digits.parse::<u64>().map(Value::from)) {
            return Some(whole);
        }
    }
    Number::from_f64(number).map(Value::Number)
}

pub(crate) fn scalar_text<'s>(scalar: &'s Scalar<'_>, mark: Mark) -> Result<Cow<'s, str>, Error> {
    if scalar.tag.text().strip_prefix(TAG_PREFIX) != Some("binary") {
        return Ok(Cow::Borrowed(&scalar.value));
    }
    let bytes = decode_base64(&scalar.value)
        .ok_or_else(|| Error::node(mark, "!!binary value contains invalid base64 data"))?;
    Ok(Cow::Owned(go_text(&bytes)))
}

/// Bytes as text the way Go's JSON shows them: one replacement character per broken byte.
fn go_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// Standard base64 with padding; line breaks are skipped, as Go does.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    let group_count = digits.len() / 4;
    if !digits.len().is_multiple_of(4) {
        return None;
    }
    for (number, group) in digits.chunks_exact(4).enumerate() {
        let pad_count = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if pad_count > 2 || (pad_count > 0 && number + 1 != group_count) {
            return None;
        }
        let mut bits = 0u32;
        for &digit in &group[..4 - pad_count] {
            bits = bits << 6 | base64_digit(digit)?;
        }
        bits <<= 6 * pad_count;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - pad_count]);
    }
    Some(bytes)
}

fn base64_digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}
