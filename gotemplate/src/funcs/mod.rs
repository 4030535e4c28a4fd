//! The registry: which functions a template may call, and how.
//!
//! # Adding a function
//!
//! One family per file; each file has `pub(crate) fn register(registry: &mut Registry)`, called
//! from [`Registry::sprig`]. A function is added with the types of its Go parameters:
//!
//! ```
//! use gotemplate::funcs::{Param, Registry};
//! use gotemplate::value::int;
//! use gotemplate::Value;
//!
//! let mut registry = Registry::go();
//! // func(int, string) string
//! registry.add("repeat", &[Param::Int, Param::Str], |cx, args| {
//!     let count = usize::try_from(args.int(0)).map_err(|_| "strings: negative Repeat count")?;
//!     cx.budget().take_output(count.saturating_mul(args.str(1).len()))?;
//!     Ok(Value::from(args.str(1).repeat(count)))
//! });
//! // func(...interface{}) int: the last parameter may be `Many*`
//! registry.add("count", &[Param::ManyAny], |_, args| Ok(int(args.len() as i64)));
//! ```
//!
//! The engine checks number and types of the arguments before the call and words the errors as Go
//! does ("wrong type for value; expected string; got int"), so a function only reads them:
//! `args.str(0)`, `args.int(1)`, `args.get(2)` for `interface {}`, `args.from(1)` for the rest.
//! Rules:
//! - Choose the parameter types that the Go function has (`func(list interface{})` is
//!   [`Param::Any`], not [`Param::List`]): they decide what a constant becomes and which error
//!   a wrong value gets.
//! - Return the Go type: [`int`](crate::value::int) for `int`, [`int64`](crate::value::int64)
//!   for `int64`, `Value::from(f64)`, `Value::from(bool)`, strings, [`list`](crate::value::list),
//!   [`dict`](crate::value::dict), [`nil`](crate::value::nil) for a nil `interface{}`.
//! - An `error` result or a panic in Go is `Err("its text".into())` here.
//! - The world is reached through `cx.host()` only (now, random bytes, lookup).
//! - Whatever can grow takes its bytes from `cx.budget().take_output(n)` before it is built.
//! - Maps are shared: `as_dict(v)` gives the [`Dict`](crate::value::Dict); `set` and `merge`
//!   change it in place.
//!
//! Start at [`Registry`].

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;

use crate::budget::Budget;
use crate::engine::{Layer, Run};
use crate::error::{Error, FuncError};
use crate::host::Host;
use crate::value;
use crate::watch;

pub(crate) mod builtin;
pub(crate) mod certs;
pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod crypto;
pub mod dates;
pub(crate) mod dicts;
pub(crate) mod encoding;
pub mod layout;
pub(crate) mod lists;
pub(crate) mod math;
pub(crate) mod paths;
pub(crate) mod reflection;
pub(crate) mod regexes;
mod rsa_key;
pub mod semver;
pub(crate) mod strings;
pub(crate) mod url;
pub(crate) mod versions;
pub(crate) mod words;

/// What a function gives back.
pub type FuncResult = Result<Value, FuncError>;

type Body = dyn Fn(&Cx<'_>, Args<'_>) -> FuncResult + Send + Sync;

/// The Go type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// `interface {}`: anything, nil included.
    Any,
    /// `reflect.Value`: anything; the functions of the language itself.
    Reflect,
    /// `string`
    Str,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `int64`
    Int64,
    /// `float64`
    Float,
    /// `map[string]interface {}`
    Dict,
    /// `[]interface {}`
    List,
    /// `...interface {}`; last.
    ManyAny,
    /// `...reflect.Value`; last.
    ManyReflect,
    /// `...string`; last.
    ManyStr,
    /// `...map[string]interface {}`; last.
    ManyDict,
    /// `...float64`; last.
    ManyFloat,
    /// `...int`; last.
    ManyInt,
}

impl Param {
    /// The type of one argument: itself, or the element type of a variadic parameter.
    pub(crate) fn element(self) -> Param {
        match self {
            Param::ManyAny => Param::Any,
            Param::ManyReflect => Param::Reflect,
            Param::ManyStr => Param::Str,
            Param::ManyDict => Param::Dict,
            Param::ManyFloat => Param::Float,
            Param::ManyInt => Param::Int,
            other => other,
        }
    }

    pub(crate) fn is_variadic(self) -> bool {
        self.element() != self
    }

    /// Go's name of the type of one argument.
    pub(crate) fn type_name(self) -> &'static str {
        match self.element() {
            Param::Str => "string",
            Param::Bool => "bool",
            Param::Int => "int",
            Param::Int64 => "int64",
            Param::Float => "float64",
            Param::Dict => value::DICT_TYPE,
            Param::List => "[]interface {}",
            Param::Reflect => "reflect.Value",
            _ => "interface {}",
        }
    }
}

/// A function that templates can call.
pub struct Func {
    pub(crate) name: Arc<str>,
    pub(crate) params: &'static [Param],
    pub(crate) body: Arc<Body>,
}

impl std::fmt::Debug for Func {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Func").field("name", &self.name).field("params", &self.params).finish()
    }
}

/// The functions that templates can call, by name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    funcs: BTreeMap<Arc<str>, Arc<Func>>,
}

impl Registry {
    /// The functions of the Go template language itself.
    #[must_use]
    pub fn go() -> Self {
        let mut registry = Self::default();
        builtin::register(&mut registry);
        compare::register(&mut registry);
        registry
    }

    /// [`Registry::go`] and sprig 3.3.
    #[must_use]
    pub fn sprig() -> Self {
        let mut registry = Self::go();
        for register in [
            certs::register,
            crypto::register,
            dates::register,
            dicts::register,
            encoding::register,
            lists::register,
            math::register,
            paths::register,
            reflection::register,
            regexes::register,
            strings::register,
            url::register,
            versions::register,
            words::register,
        ] {
            register(&mut registry);
        }
        registry
    }

    /// Adds a function, in place of any other of that name.
    pub fn add(
        &mut self,
        name: &str,
        params: &'static [Param],
        body: impl Fn(&Cx<'_>, Args<'_>) -> FuncResult + Send + Sync + 'static,
    ) {
        let name: Arc<str> = Arc::from(name);
        let func = Func { name: name.clone(), params, body: Arc::new(body) };
        self.funcs.insert(name, Arc::new(func));
    }

    /// Makes `alias` another name for an existing function; its errors say the name that was used.
    pub fn alias(&mut self, alias: &str, name: &str) {
        if let Some(func) = self.funcs.get(name) {
            let name: Arc<str> = Arc::from(alias);
            let func = Func { name: name.clone(), params: func.params, body: func.body.clone() };
            self.funcs.insert(name, Arc::new(func));
        }
    }

    /// Takes a function away.
    pub fn remove(&mut self, name: &str) {
        self.funcs.remove(name);
    }

    /// Whether there is a function of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.funcs.contains_key(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.funcs.keys().map(|name| &**name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Func>)> {
        self.funcs.iter().map(|(name, func)| (&**name, func))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Func>> {
        self.funcs.get(name)
    }
}

/// The arguments of one call, already checked against the function's parameters.
///
/// Reading an argument as a type it does not have gives that type's zero value; the check makes
/// that impossible for the declared types.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a>(pub(crate) &'a [Value]);

const NIL: Value = Value::UNDEFINED;

impl<'a> Args<'a> {
    /// The number of arguments.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// An argument as it is; no value if there is none.
    #[must_use]
    pub fn get(self, index: usize) -> &'a Value {
        self.0.get(index).unwrap_or(&NIL)
    }

    /// A string argument.
    #[must_use]
    pub fn str(self, index: usize) -> &'a str {
        self.get(index).as_str().unwrap_or_default()
    }

    /// An integer argument.
    #[must_use]
    pub fn int(self, index: usize) -> i64 {
        self.get(index).as_i64().unwrap_or_default()
    }

    /// A float argument.
    #[must_use]
    pub fn float(self, index: usize) -> f64 {
        value::as_float(self.get(index)).unwrap_or_default()
    }

    /// A bool argument.
    #[must_use]
    pub fn bool(self, index: usize) -> bool {
        self.get(index).is_true()
    }

    /// A map argument; `None` stands for Go's nil map.
    #[must_use]
    pub fn dict(self, index: usize) -> Option<&'a value::Dict> {
        value::as_dict(self.get(index))
    }

    /// The arguments from `start` on.
    #[must_use]
    pub fn from(self, start: usize) -> &'a [Value] {
        self.0.get(start..).unwrap_or_default()
    }

    /// All arguments.
    #[must_use]
    pub fn all(self) -> &'a [Value] {
        self.0
    }
}

/// What a function sees of the render that calls it.
#[derive(Debug)]
pub struct Cx<'a> {
    pub(crate) run: &'a Arc<Run>,
    pub(crate) layer: &'a Arc<Layer>,
}

impl Cx<'_> {
    /// The way to time, randomness and the cluster.
    #[must_use]
    pub fn host(&self) -> &dyn Host {
        watch::note_look();
        &*self.run.host
    }

    /// The budget that this render shares with all renders nested in it.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.run.budget
    }

    /// Renders the template of that name, as `include` does; or gives back what that gave the last
    /// time, if nothing has changed since.
    ///
    /// # Errors
    /// The nested render's error.
    pub fn render(&self, name: &str, data: &Value) -> Result<Value, Error> {
        self.run.include(self.layer, name, data)
    }

    /// Renders a text as a template that sees, and adds to, the definitions around it, as Helm's
    /// `tpl` does.
    ///
    /// # Errors
    /// The nested parse's or render's error.
    pub fn render_text(&self, name: &str, text: &str, data: &Value) -> Result<String, Error> {
        self.run.render_text(self.layer, name, text, data)
    }
}
