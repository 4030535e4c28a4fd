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
//! Owns maps, lists, truth and type names. JSON is in `json`, values with methods are in `object`,
//! printing is in [`crate::print`], comparison in `funcs::builtin`. Start at [`Dict`] and
//! [`kind_of`].

mod json;
mod object;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};

use crate::error::FuncError;
use crate::int_width::{Width, width};
use crate::watch;

pub use json::{from_json, from_json_floats, to_json};
pub use object::{GoObject, Native, as_native, downcast, native};

/// The entries of a [`Dict`].
pub type Entries = BTreeMap<Arc<str>, Value>;

/// A Go map with string keys. Clones of the value share the entries, as in Go.
pub struct Dict {
    type_name: &'static str,
    /// See [`Dict::passing`].
    passing: Option<&'static str>,
    /// See [`watch`].
    age: u64,
    entries: Mutex<Entries>,
}

/// The type of a template's own maps.
pub const DICT_TYPE: &str = "map[string]interface {}";

impl Dict {
    /// A map of Go's type `map[string]interface {}`.
    #[must_use]
    pub fn new(entries: Entries) -> Self {
        Self::typed(DICT_TYPE, entries)
    }

    /// A map that `typeOf` shows as `type_name`, such as `map[string]string`.
    #[must_use]
    pub fn typed(type_name: &'static str, entries: Entries) -> Self {
        Self::made(type_name, None, entries)
    }

    /// A map with one entry that is set again and again while most templates never look at it:
    /// what was rendered without a look at it stays good when it is set.
    #[must_use]
    pub fn passing(key: &'static str, entries: Entries) -> Self {
        Self::made(DICT_TYPE, Some(key), entries)
    }

    fn made(type_name: &'static str, passing: Option<&'static str>, entries: Entries) -> Self {
        Self { type_name, passing, age: watch::next_age(), entries: Mutex::new(entries) }
    }

    pub(crate) fn is_passing(&self) -> bool {
        self.passing.is_some()
    }

    /// The entries, locked. Hold the guard briefly and never while calling into other values:
    /// a map may contain itself.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One entry.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        if self.passing.is_some_and(|passing| passing == key) {
            watch::note_look();
        }
        self.lock().get(key).cloned()
    }

    /// Sets one entry, for everyone who holds this map.
    pub fn insert(&self, key: &str, value: Value) {
        if self.passing.is_none_or(|passing| passing != key) {
            watch::note_change(self.age);
        }
        self.lock().insert(Arc::from(key), value);
    }

    /// Takes one entry out, for everyone who holds this map.
    pub fn remove(&self, key: &str) {
        watch::note_change(self.age);
        self.lock().remove(key);
    }

    /// A copy of the entries as they are now; nested maps stay shared.
    #[must_use]
    pub fn snapshot(&self) -> Entries {
        if self.is_passing() {
            watch::note_look();
        }
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

/// How deep data may be nested before it is refused: a map that contains itself gets there, and
/// lists that a template puts into lists again and again. All of it is walked by recursion.
pub(crate) const MAX_DATA_DEPTH: usize = 250;

/// The refusal of things that are nested deeper than [`MAX_DATA_DEPTH`].
pub(crate) fn too_deep(what: &str) -> FuncError {
    FuncError::new(format!("{what} are nested deeper than {MAX_DATA_DEPTH} (bound: depth)"))
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
}
