//! Values with fields or methods.
//!
//! Start at [`GoObject`] and [`native`].

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Value};
use serde_json::Value as Json;

use super::nil;
use crate::funcs::{Args, Cx, FuncResult, Param};

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

    /// Appends what [`GoObject::print`] gives; for values whose text is long.
    fn print_to(&self, out: &mut String) {
        out.push_str(&self.print());
    }

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
        crate::plain::call_native(state, &*self.0, method, args)
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
