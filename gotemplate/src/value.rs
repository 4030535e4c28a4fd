//! Go's values as minijinja values.
//!
//! | Go | here |
//! |---|---|
//! | no value (`reflect.Value{}`) | `Value::UNDEFINED` |
//! | nil (an empty interface) | none, `Value::from(())` |
//! | bool, string, float64 | the same |
//! | int | [`int`]: a 64-bit integer |
//! | int64 | [`int64`]: a 128-bit integer that holds 64 bits, so `typeOf` can tell them apart |
//! | uint8, a byte of a text | [`byte`]: an unsigned 64-bit integer |
//! | []byte | bytes |
//! | []any | [`list`]: `Vec<Value>` |
//! | []string, []int | [`typed_list`]: a list that knows its type's name |
//! | map[string]any | [`Dict`]: changed in place by `set` and `merge`, ranged over in key order |
//! | structs and values with methods | [`Native`] around a [`GoObject`] |
//!
//! Owns conversion, truth, type names and JSON. Printing is in [`crate::print`]; comparison in
//! `funcs::builtin`. Start at [`Dict`] and [`kind_of`].

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use serde_json::Value as Json;

use crate::error::FuncError;
use crate::funcs::{Args, Cx, FuncResult, Param};
use crate::int_width::{Width, width};

/// The entries of a [`Dict`].
pub type Entries = BTreeMap<Arc<str>, Value>;

/// A Go map with string keys. Clones of the value share the entries, as in Go.
pub struct Dict {
    type_name: &'static str,
    entries: Mutex<Entries>,
}

/// The type of a template's own maps.
pub const DICT_TYPE: &str = "map[string]interface {}";

impl Dict {
    /// A map of Go's type `map[string]interface {}`.
    #[must_use]
    pub fn new(entries: Entries) -> Self {
        Self { type_name: DICT_TYPE, entries: Mutex::new(entries) }
    }

    /// A map that `typeOf` shows as `type_name`, such as `map[string]string`.
    #[must_use]
    pub fn typed(type_name: &'static str, entries: Entries) -> Self {
        Self { type_name, entries: Mutex::new(entries) }
    }

    /// The entries, locked. Hold the guard briefly and never while calling into other values:
    /// a map may contain itself.
    pub fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One entry.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        self.lock().get(key).cloned()
    }

    /// Sets one entry, for everyone who holds this map.
    pub fn insert(&self, key: &str, value: Value) {
        self.lock().insert(Arc::from(key), value);
    }

    /// A copy of the entries as they are now; nested maps stay shared.
    #[must_use]
    pub fn snapshot(&self) -> Entries {
        self.lock().clone()
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Go's name of this map's type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }
}

impl Drop for Dict {
    fn drop(&mut self) {
        let entries = self.entries.get_mut().unwrap_or_else(PoisonError::into_inner);
        crate::undo::drop_entries(std::mem::take(entries));
    }
}

// Entries are left out: a map may contain itself.
impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dict").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.get(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.lock().keys().map(|key| Value::from(key.clone())).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::print::to_text(&Value::from_dyn_object(self.clone())))
    }
}

/// A Go value that is more than data: a struct with fields, or something with methods.
///
/// Implement it for time values, `.Files`, `.Capabilities` and the like, and make a value of it
/// with [`native`].
pub trait GoObject: fmt::Debug + Send + Sync + 'static {
    /// Go's name of the type, such as `time.Time`.
    fn type_name(&self) -> &'static str;

    /// Go's kind of the type.
    fn kind(&self) -> &'static str {
        "struct"
    }

    /// A struct's field (or a map's entry); `None` if there is none.
    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    /// The parameters of a method; `None` if there is no method of that name. Methods are found
    /// before fields.
    fn method(&self, _name: &str) -> Option<&'static [Param]> {
        None
    }

    /// Calls a method that [`GoObject::method`] knows, with checked arguments.
    ///
    /// # Errors
    /// The method's own error.
    fn call(&self, _cx: &Cx<'_>, _method: &str, _args: Args<'_>) -> FuncResult {
        Ok(nil())
    }

    /// What `range` runs over, if it may; keys and values in Go's order.
    fn entries(&self) -> Option<Vec<(Value, Value)>> {
        None
    }

    /// The items, if the value is a slice with methods: it is then used as a list everywhere.
    fn items(&self) -> Option<&[Value]> {
        None
    }

    /// What `{{ . }}` prints.
    fn print(&self) -> String;

    /// What `toJson` and `toYaml` write.
    fn to_json(&self) -> Json {
        Json::String(self.print())
    }

    /// Go's truth: structs are true, maps are if they have entries.
    fn is_true(&self) -> bool {
        true
    }

    /// For [`downcast`]: write `self`.
    fn as_any(&self) -> &dyn Any;
}

/// The minijinja object around a [`GoObject`].
pub struct Native(Box<dyn GoObject>);

impl Native {
    /// The Go value.
    #[must_use]
    pub fn get(&self) -> &dyn GoObject {
        &*self.0
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Object for Native {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.field(key.as_str()?)
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0.is_true()
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut minijinja::State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, minijinja::Error> {
        crate::engine::call_native(state, &*self.0, method, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.print())
    }
}

/// A value with fields or methods.
pub fn native(object: impl GoObject) -> Value {
    Value::from_object(Native(Box::new(object)))
}

/// The [`GoObject`] in a value.
#[must_use]
pub fn as_native(value: &Value) -> Option<&dyn GoObject> {
    value.downcast_object_ref::<Native>().map(Native::get)
}

/// The concrete [`GoObject`] in a value, such as a time.
#[must_use]
pub fn downcast<T: GoObject>(value: &Value) -> Option<&T> {
    as_native(value)?.as_any().downcast_ref()
}

/// Go's nil.
#[must_use]
pub fn nil() -> Value {
    Value::from(())
}

/// Whether a value is nil or no value at all.
#[must_use]
pub fn is_nil(value: &Value) -> bool {
    value.is_none() || value.is_undefined()
}

/// Go's `int`.
#[must_use]
pub fn int(number: i64) -> Value {
    Value::from(number)
}

/// Go's `int64`.
#[must_use]
pub fn int64(number: i64) -> Value {
    Value::from(i128::from(number))
}

/// Go's `uint8`, which is what the bytes of a text are.
#[must_use]
pub fn byte(byte: u8) -> Value {
    Value::from(u64::from(byte))
}

/// A list (`[]interface {}`).
#[must_use]
pub fn list(items: Vec<Value>) -> Value {
    Value::from(items)
}

/// A list that `typeOf` shows as `type_name`, such as `[]string`.
#[must_use]
pub fn typed_list(type_name: &'static str, items: Vec<Value>) -> Value {
    native(TypedList { type_name, items })
}

#[derive(Debug)]
struct TypedList {
    type_name: &'static str,
    items: Vec<Value>,
}

impl GoObject for TypedList {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn kind(&self) -> &'static str {
        "slice"
    }

    fn items(&self) -> Option<&[Value]> {
        Some(&self.items)
    }

    fn print(&self) -> String {
        crate::print::to_text(&list(self.items.clone()))
    }

    fn is_true(&self) -> bool {
        !self.items.is_empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A map (`map[string]interface {}`).
#[must_use]
pub fn dict(entries: Entries) -> Value {
    Value::from_object(Dict::new(entries))
}

/// The items of a list.
#[must_use]
pub fn as_list(value: &Value) -> Option<&[Value]> {
    match value.downcast_object_ref::<Vec<Value>>() {
        Some(items) => Some(items),
        None => as_native(value)?.items(),
    }
}

/// The map in a value.
#[must_use]
pub fn as_dict(value: &Value) -> Option<&Dict> {
    value.downcast_object_ref::<Dict>()
}

/// The kinds of Go values that templates meet. `int` and `int64` are one kind here; see
/// [`type_name`] for the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No value, or nil.
    Nil,
    /// `bool`
    Bool,
    /// Any integer type.
    Int,
    /// `float64`
    Float,
    /// `string`
    Str,
    /// `[]byte`
    Bytes,
    /// Any other slice.
    List,
    /// A [`Dict`].
    Map,
    /// A [`GoObject`].
    Native,
    /// Something of minijinja's own; only charts with `.j2` templates make these.
    Foreign,
}

/// The kind of a value.
#[must_use]
pub fn kind_of(value: &Value) -> Kind {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Kind::Nil,
        ValueKind::Bool => Kind::Bool,
        ValueKind::Number if value.is_integer() => Kind::Int,
        ValueKind::Number => Kind::Float,
        ValueKind::String => Kind::Str,
        ValueKind::Bytes => Kind::Bytes,
        ValueKind::Seq if as_list(value).is_some() => Kind::List,
        ValueKind::Map if as_dict(value).is_some() => Kind::Map,
        _ => match as_native(value) {
            Some(native) if native.items().is_some() => Kind::List,
            Some(_) => Kind::Native,
            None => Kind::Foreign,
        },
    }
}

/// Go's name of a value's type, as `printf "%T"` and error messages show it.
#[must_use]
pub fn type_name(value: &Value) -> &'static str {
    if let Some(native) = as_native(value) {
        return native.type_name();
    }
    match kind_of(value) {
        Kind::Nil => "<nil>",
        Kind::Bool => "bool",
        Kind::Int => match width(value) {
            Width::Int => "int",
            Width::Int64 => "int64",
            Width::Uint8 => "uint8",
        },
        Kind::Float => "float64",
        Kind::Str => "string",
        Kind::Bytes => "[]uint8",
        Kind::List | Kind::Foreign => "[]interface {}",
        Kind::Map => as_dict(value).map_or(DICT_TYPE, Dict::type_name),
        Kind::Native => "",
    }
}

/// Go's name of a value's kind, as sprig's `kindOf` shows it.
#[must_use]
pub fn kind_name(value: &Value) -> &'static str {
    match kind_of(value) {
        Kind::Nil => "invalid",
        Kind::Bytes | Kind::List | Kind::Foreign => "slice",
        Kind::Map => "map",
        Kind::Native => as_native(value).map_or("", |object| object.kind()),
        Kind::Bool | Kind::Int | Kind::Float | Kind::Str => type_name(value),
    }
}

/// Go's truth: false are nil, false, 0, and everything empty.
#[must_use]
pub fn is_true(value: &Value) -> bool {
    match kind_of(value) {
        Kind::Nil => false,
        // minijinja's rules agree with Go's for the rest; objects answer for themselves.
        _ => value.is_true(),
    }
}

/// An integer's value.
#[must_use]
pub fn as_int(value: &Value) -> Option<i64> {
    if value.is_integer() { value.as_i64() } else { None }
}

/// A float's value. Integers are not floats.
#[must_use]
pub fn as_float(value: &Value) -> Option<f64> {
    if kind_of(value) == Kind::Float { f64::try_from(value.clone()).ok() } else { None }
}

/// A value from JSON, with numbers as they stand: integers become `int64`, others `float64`.
/// Decode with Go's rules (`goyaml::json::go_number_value`) first where every number is a float.
#[must_use]
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => nil(),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => int64(whole),
            None => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => list(items.iter().map(from_json).collect()),
        Json::Object(entries) => dict(
            entries.iter().map(|(key, item)| (Arc::from(key.as_str()), from_json(item))).collect(),
        ),
    }
}

/// A value from JSON as Go decodes it into an empty interface: every number is a `float64`.
#[must_use]
pub fn from_json_floats(json: &Json) -> Value {
    match json {
        Json::Number(number) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        Json::Array(items) => list(items.iter().map(from_json_floats).collect()),
        Json::Object(entries) => dict(
            entries
                .iter()
                .map(|(key, item)| (Arc::from(key.as_str()), from_json_floats(item)))
                .collect(),
        ),
        other => from_json(other),
    }
}

/// How deep data may be nested before it is refused: a map that contains itself gets there, and
/// lists that a template puts into lists again and again. All of it is walked by recursion.
pub(crate) const MAX_DATA_DEPTH: usize = 250;

/// The refusal of things that are nested deeper than [`MAX_DATA_DEPTH`].
pub(crate) fn too_deep(what: &str) -> FuncError {
    FuncError::new(format!("{what} are nested deeper than {MAX_DATA_DEPTH} (bound: depth)"))
}

/// A value as JSON; bytes become base64. Floats stay floats: `goyaml` writes whole ones without a
/// point, as Go does.
///
/// # Errors
/// When the value contains itself, or a number that JSON does not have.
pub fn to_json(value: &Value) -> Result<Json, FuncError> {
    to_json_at(value, 0)
}

fn to_json_at(value: &Value, depth: usize) -> Result<Json, FuncError> {
    if depth > MAX_DATA_DEPTH {
        return Err("json: unsupported value: encountered a cycle".into());
    }
    Ok(match kind_of(value) {
        Kind::Nil => Json::Null,
        Kind::Bool => Json::Bool(value.is_true()),
        Kind::Int => value.as_i64().map_or(Json::Null, Json::from),
        Kind::Float => float_to_json(as_float(value).unwrap_or_default())?,
        Kind::Str => Json::String(value.as_str().unwrap_or_default().to_owned()),
        Kind::Bytes => {
            use base64::Engine as _;
            let bytes = value.as_bytes().unwrap_or_default();
            Json::String(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        Kind::List => {
            let items = as_list(value).unwrap_or_default();
            let items: Result<_, _> = items.iter().map(|i| to_json_at(i, depth + 1)).collect();
            Json::Array(items?)
        }
        Kind::Map => {
            let entries = as_dict(value).map(Dict::snapshot).unwrap_or_default();
            let mut object = serde_json::Map::new();
            for (key, item) in &entries {
                object.insert(key.to_string(), to_json_at(item, depth + 1)?);
            }
            Json::Object(object)
        }
        Kind::Native => as_native(value).map_or(Json::Null, GoObject::to_json),
        Kind::Foreign => foreign_to_json(value, depth)?,
    })
}

fn float_to_json(number: f64) -> Result<Json, FuncError> {
    serde_json::Number::from_f64(number).map(Json::Number).ok_or_else(|| {
        FuncError::new(format!("json: unsupported value: {}", crate::print::float_text(number)))
    })
}

/// A value that a `.j2` template wrote down, `{"a": [1]}`, as Go's maps and lists.
pub(crate) fn adopt(value: &Value) -> Value {
    if kind_of(value) != Kind::Foreign {
        return value.clone();
    }
    let Ok(items) = value.try_iter() else { return value.clone() };
    if value.kind() != ValueKind::Map {
        return list(items.map(|item| adopt(&item)).collect());
    }
    let entry = |key: Value| {
        let item = value.get_item(&key).unwrap_or_default();
        (Arc::from(key.to_string()), adopt(&item))
    };
    dict(items.map(entry).collect())
}

// Maps and lists that a `.j2` template wrote down.
fn foreign_to_json(value: &Value, depth: usize) -> Result<Json, FuncError> {
    let Ok(items) = value.try_iter() else { return Ok(Json::String(value.to_string())) };
    if value.kind() != ValueKind::Map {
        let items: Result<_, _> = items.map(|item| to_json_at(&item, depth + 1)).collect();
        return Ok(Json::Array(items?));
    }
    let mut object = serde_json::Map::new();
    for key in items {
        let item = value.get_item(&key).unwrap_or_default();
        object.insert(key.to_string(), to_json_at(&item, depth + 1)?);
    }
    Ok(Json::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_map_share_their_entries() {
        let first = dict(Entries::new());
        let second = first.clone();
        as_dict(&first).unwrap().insert("a", int(1));
        assert_eq!(as_dict(&second).unwrap().get("a"), Some(int(1)));
    }

    #[test]
    fn integer_types_keep_their_names() {
        assert_eq!(type_name(&int(1)), "int");
        assert_eq!(type_name(&int64(1)), "int64");
        assert_eq!(type_name(&Value::from(1.0)), "float64");
    }

    #[test]
    fn a_map_that_contains_itself_is_refused_as_json() {
        let map = dict(Entries::new());
        as_dict(&map).unwrap().insert("self", map.clone());
        assert!(to_json(&map).is_err());
    }
}
