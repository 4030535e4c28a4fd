//! Steps from an object to one of its fields, as server-side apply names them.
//!
//! Owns their order, their text (`k:{"name":"web"}`) and how people see them
//! (`.spec.containers[name="web"]`). Knows nothing of schemas. Start at [`PathElement`].

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Number, Value};

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// A field of an object, `f:name`.
    Field(String),
    /// An element of a list of objects, found by its key fields, `k:{"name":"web"}`.
    Key(BTreeMap<String, Scalar>),
    /// An element of a set, `v:"a"`.
    Value(Scalar),
    /// An element by its place, `i:0`. Nothing writes these any more.
    Index(i64),
}

/// A value that can identify a list element.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// `null`, or a value that is not scalar and cannot occur as a key.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer, also one that was written as a float.
    Int(i64),
    /// Any other number, as its bits in an order like that of the numbers.
    Float(u64),
    /// A string.
    String(String),
}

impl Scalar {
    /// Reads a scalar; `None` for lists and objects.
    pub fn new(value: &Value) -> Option<Scalar> {
        Some(match value {
            Value::Null => Scalar::Null,
            Value::Bool(flag) => Scalar::Bool(*flag),
            Value::String(text) => Scalar::String(text.clone()),
            Value::Number(number) => number_to_scalar(number),
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    /// The value as JSON.
    pub fn to_value(&self) -> Value {
        match self {
            Scalar::Null => Value::Null,
            Scalar::Bool(flag) => Value::Bool(*flag),
            Scalar::Int(number) => Value::from(*number),
            Scalar::Float(bits) => Value::from(float_of(*bits)),
            Scalar::String(text) => Value::String(text.clone()),
        }
    }
}

fn number_to_scalar(number: &Number) -> Scalar {
    if let Some(whole) = number.as_i64() {
        return Scalar::Int(whole);
    }
    let float = number.as_f64().unwrap_or_default();
    let whole = float as i64;
    if whole as f64 == float && whole != i64::MAX {
        return Scalar::Int(whole);
    }
    Scalar::Float(ordered_bits(float))
}

/// Bits that compare like the numbers: the sign bit flipped, or all bits for negative ones.
fn ordered_bits(float: f64) -> u64 {
    let bits = float.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn float_of(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

impl PathElement {
    /// Reads the text of a step. `None` when it is of a kind that this version does not know.
    pub fn parse(text: &str) -> Result<Option<PathElement>, serde_json::Error> {
        let Some((kind, content)) = text.split_once(':') else { return Ok(None) };
        Ok(match kind {
            "f" => Some(PathElement::Field(content.to_owned())),
            "v" => Scalar::new(&serde_json::from_str(content)?).map(PathElement::Value),
            "k" => {
                let fields: BTreeMap<String, Value> = serde_json::from_str(content)?;
                let read = |(name, value): (String, Value)| Some((name, Scalar::new(&value)?));
                fields.into_iter().map(read).collect::<Option<_>>().map(PathElement::Key)
            }
            "i" => content.parse().ok().map(PathElement::Index),
            _ => None,
        })
    }

    /// Writes the step as [`PathElement::parse`] reads it.
    pub fn encode(&self) -> String {
        match self {
            PathElement::Field(name) => format!("f:{name}"),
            PathElement::Key(fields) => {
                let one = |(name, value): (&String, &Scalar)| (name.clone(), value.to_value());
                format!("k:{}", Value::Object(fields.iter().map(one).collect()))
            }
            PathElement::Value(value) => format!("v:{}", value.to_value()),
            PathElement::Index(index) => format!("i:{index}"),
        }
    }
}

/// As in the messages of kube-apiserver 1.36: `.metadata`, `[name="web",protocol="TCP"]`, `[="a"]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Key(fields) => {
                f.write_str("[")?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma}{name}={}", value.to_value())?;
                }
                f.write_str("]")
            }
            PathElement::Value(value) => write!(f, "[={}]", value.to_value()),
            PathElement::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// The way from the object to a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<PathElement>);

impl Path {
    /// A path through fields only.
    pub fn of_fields(names: &[&str]) -> Path {
        Path(names.iter().map(|name| PathElement::Field((*name).to_owned())).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "{step}"))
    }
}
