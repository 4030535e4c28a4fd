//! What merging needs to know of a type: fields, list and map kinds, merge keys.
//!
//! Owns the compact form of those facts ([`Node`]), built from a CRD's structural schema or read
//! from a recorded table. Knows nothing of where a table comes from. Start at [`Schema`], the
//! handle that every merge walks with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The shape of one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// Any JSON, taken as a whole (`RawExtension`, preserve-unknown-fields without properties).
    #[default]
    #[serde(rename = "a")]
    Any,
    /// An object with declared fields.
    #[serde(rename = "o")]
    Struct,
    /// An object with free keys and one shape of values.
    #[serde(rename = "m")]
    Map,
    /// A list.
    #[serde(rename = "l")]
    List,
    /// A string.
    #[serde(rename = "s")]
    String,
    /// An integer.
    #[serde(rename = "i")]
    Integer,
    /// A number.
    #[serde(rename = "n")]
    Number,
    /// A boolean.
    #[serde(rename = "b")]
    Boolean,
    /// An integer or a string, or a quantity.
    #[serde(rename = "x")]
    IntOrString,
}

/// How server-side apply treats a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListKind {
    /// One value, owned as a whole.
    #[default]
    Atomic,
    /// Each scalar is an entry of its own.
    Set,
    /// Each object is an entry, found by [`Node::keys`].
    Map,
}

/// The facts about one type or field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Name of the type in [`Types`] that holds the rest.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The shape, unless `reference` says it.
    #[serde(rename = "t")]
    pub shape: Shape,
    /// Declared fields of a struct.
    #[serde(rename = "f", skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Node>,
    /// Required fields of a struct.
    #[serde(rename = "q", skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// Elements of a list, values of a map, undeclared fields of a struct.
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    pub element: Option<Box<Node>>,
    /// Server-side apply: how a list merges.
    #[serde(rename = "l")]
    pub list: ListKind,
    /// Server-side apply: the key fields of a [`ListKind::Map`].
    #[serde(rename = "k", skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Server-side apply: an object owned as a whole.
    #[serde(rename = "a", skip_serializing_if = "std::ops::Not::not")]
    pub atomic: bool,
    /// Strategic merge: `merge`, `replace`, `retainKeys`.
    #[serde(rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub strategies: Vec<String>,
    /// Strategic merge: the field that identifies an element.
    #[serde(rename = "mk", skip_serializing_if = "Option::is_none")]
    pub merge_key: Option<String>,
    /// Default value, needed where a list key may be left out (`protocol: TCP`).
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The field is there in every object of a built-in kind, if only as `{}` or null, because Go
    /// writes it even when it is empty. Nobody owns it for having been there first.
    #[serde(rename = "z", skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
    /// Unknown fields are kept (`x-kubernetes-preserve-unknown-fields`).
    #[serde(rename = "u", skip_serializing_if = "std::ops::Not::not")]
    pub preserve_unknown: bool,
}

/// A table of named types.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Types {
    /// Type name → its facts.
    #[serde(flatten)]
    pub named: BTreeMap<String, Node>,
}

static UNKNOWN: Node = Node {
    reference: None,
    shape: Shape::Any,
    fields: BTreeMap::new(),
    required: Vec::new(),
    element: None,
    list: ListKind::Atomic,
    keys: Vec::new(),
    atomic: false,
    strategies: Vec::new(),
    merge_key: None,
    default: None,
    always: false,
    preserve_unknown: true,
};

/// A handle on one type or field: the field's own facts plus those of the type it refers to.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    types: &'a Types,
    /// The field as declared where it is used (its merge key, list kind, default).
    field: &'a Node,
    /// The type it refers to, or itself.
    body: &'a Node,
}

impl<'a> Schema<'a> {
    /// Opens `node`, following its reference; an unknown reference reads as [`Shape::Any`].
    pub fn new(types: &'a Types, node: &'a Node) -> Self {
        let mut body = node;
        // Bound: a reference to a reference occurs at most a few times; a cycle must not hang.
        for _ in 0..8 {
            match &body.reference {
                Some(name) => body = types.named.get(name).unwrap_or(&UNKNOWN),
                None => break,
            }
        }
        Self { types, field: node, body }
    }

    /// The shape of the value.
    pub fn shape(self) -> Shape {
        self.body.shape
    }

    /// The schema of field `name`: a declared field, or the values of a map.
    pub fn field(self, name: &str) -> Option<Schema<'a>> {
        let node = self.body.fields.get(name).or(self
            .body
            .element
            .as_deref()
            .filter(|_| matches!(self.body.shape, Shape::Map | Shape::Struct)))?;
        Some(Schema::new(self.types, node))
    }

    /// Whether `name` is one of the declared fields.
    pub fn declares(self, name: &str) -> bool {
        self.body.fields.contains_key(name)
    }

    /// Whether what is not declared is merged field by field, and not taken as a whole.
    pub fn is_granular_unknown(self) -> bool {
        self.field.preserve_unknown || self.body.preserve_unknown
    }

    /// The object before anything is in it: what Go writes of an empty one.
    pub fn empty_object(self) -> Value {
        let always = self.fields().filter(|(_, field)| field.field.always);
        let value = |field: Schema<'a>| match field.shape() {
            Shape::Struct => field.empty_object(),
            _ => Value::Null,
        };
        Value::Object(always.map(|(name, field)| (name.to_owned(), value(field))).collect())
    }

    /// The declared fields, by name.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, Schema<'a>)> {
        self.body.fields.iter().map(move |(k, n)| (k.as_str(), Schema::new(self.types, n)))
    }

    /// The schema of a list's elements.
    pub fn items(self) -> Option<Schema<'a>> {
        let node = self.body.element.as_deref().filter(|_| self.body.shape == Shape::List)?;
        Some(Schema::new(self.types, node))
    }

    /// How server-side apply merges this list.
    pub fn list_kind(self) -> ListKind {
        if self.field.list == ListKind::Atomic { self.body.list } else { self.field.list }
    }

    /// The key fields of a list of kind [`ListKind::Map`].
    pub fn list_keys(self) -> &'a [String] {
        if self.field.keys.is_empty() { &self.body.keys } else { &self.field.keys }
    }

    /// Whether server-side apply treats this object as one value.
    pub fn is_atomic_map(self) -> bool {
        self.field.atomic || self.body.atomic
    }

    /// Strategic merge: the field that identifies a list's elements.
    pub fn merge_key(self) -> Option<&'a str> {
        self.field.merge_key.as_deref()
    }

    /// Strategic merge: whether the field carries `strategy` (`merge`, `replace`, `retainKeys`).
    pub fn has_strategy(self, strategy: &str) -> bool {
        self.field.strategies.iter().any(|s| s == strategy)
    }

    /// The field's default value.
    pub fn default_value(self) -> Option<&'a Value> {
        self.field.default.as_ref()
    }

    /// The fields a struct must have.
    pub fn required(self) -> &'a [String] {
        &self.body.required
    }

    /// Whether fields that are not declared are kept as they are.
    pub fn preserves_unknown(self) -> bool {
        self.field.preserve_unknown || self.body.preserve_unknown || self.body.shape == Shape::Any
    }
}

/// Deepest nesting read from a structural schema; deeper parts read as [`Shape::Any`].
const MAX_DEPTH: usize = 100;

impl Node {
    /// Reads an OpenAPI v3 schema without references (a CRD's `openAPIV3Schema`, or a part of it).
    pub fn from_structural(schema: &Value) -> Node {
        node_from(schema, 0)
    }
}

fn node_from(s: &Value, depth: usize) -> Node {
    let mut node = Node::default();
    if depth > MAX_DEPTH {
        node.preserve_unknown = true;
        return node;
    }
    let flag = |name: &str| s[name].as_bool().unwrap_or(false);
    node.preserve_unknown = flag("x-kubernetes-preserve-unknown-fields");
    node.default = s.get("default").cloned();
    node.atomic = s["x-kubernetes-map-type"] == "atomic";
    match s["x-kubernetes-list-type"].as_str() {
        Some("set") => node.list = ListKind::Set,
        Some("map") => node.list = ListKind::Map,
        _ => {}
    }
    node.keys = strings(&s["x-kubernetes-list-map-keys"]);
    node.required = strings(&s["required"]);
    if flag("x-kubernetes-int-or-string") {
        node.shape = Shape::IntOrString;
        return node;
    }
    if let Some(properties) = s["properties"].as_object() {
        let child = |(k, v): (&String, &Value)| (k.clone(), node_from(v, depth + 1));
        node.fields = properties.iter().map(child).collect();
    }
    let element = |v: &Value| v.is_object().then(|| Box::new(node_from(v, depth + 1)));
    match s["type"].as_str() {
        Some("array") => {
            node.shape = Shape::List;
            node.element = element(&s["items"]);
        }
        Some("object") | None if !node.fields.is_empty() => {
            node.shape = Shape::Struct;
            node.element = element(&s["additionalProperties"]);
        }
        Some("object") => {
            node.element = element(&s["additionalProperties"]);
            node.shape = if node.element.is_some() { Shape::Map } else { Shape::Any };
            if node.preserve_unknown || s["additionalProperties"] == true {
                node.shape = Shape::Map;
                node.element = Some(Box::new(UNKNOWN.clone()));
            } else if node.element.is_none() {
                node.shape = Shape::Struct;
            }
        }
        Some("string") => node.shape = Shape::String,
        Some("integer") => node.shape = Shape::Integer,
        Some("number") => node.shape = Shape::Number,
        Some("boolean") => node.shape = Shape::Boolean,
        _ => node.preserve_unknown = true,
    }
    node
}

fn strings(v: &Value) -> Vec<String> {
    let texts = v.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_structural_schema_tells_list_kinds_and_free_maps_apart() {
        let node = Node::from_structural(&json!({"type": "object", "properties": {
            "items": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object",
                "properties": {"name": {"type": "string"}}}},
            "values": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "port": {"x-kubernetes-int-or-string": true},
        }}));
        let types = Types::default();
        let root = Schema::new(&types, &node);
        let items = root.field("items").expect("declared");
        assert_eq!(
            (items.list_kind(), items.list_keys()),
            (ListKind::Map, &["name".to_owned()][..])
        );
        assert_eq!(root.field("port").map(Schema::shape), Some(Shape::IntOrString));
        assert!(root.field("values").is_some_and(Schema::preserves_unknown));
        assert!(root.field("other").is_none());
    }
}
