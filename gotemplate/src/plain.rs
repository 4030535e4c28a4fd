//! Plain minijinja templates over the same values and functions.
//!
//! Every function of the registry can be called, `quote(x)`, and is a filter whose piped value
//! comes last, as in Go: `x | nindent(4)` is `nindent(4, x)`. Where minijinja has a function or
//! filter of that name, minijinja's stays. Templates include one another by name, relative to
//! their own folder. Start at [`PlainTemplates::render`].

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, Rest, Value};
use minijinja::{AutoEscape, Environment, State, UndefinedBehavior};

use crate::budget::Budget;
use crate::engine::{Layer, Run, carry};
use crate::error::{Error, ErrorKind, FuncError};
use crate::eval::call_plain;
use crate::funcs::{Args, Cx, Func, Registry};
use crate::value::{GoObject, adopt, is_nil};

// Instructions of one template; the render's budget bounds what its functions do.
const FUEL: u64 = 10_000_000;

/// The plain templates of a set.
pub(crate) struct PlainTemplates {
    env: Environment<'static>,
    texts: Arc<Mutex<BTreeMap<String, Arc<str>>>>,
}

impl PlainTemplates {
    pub(crate) fn new(registry: &Registry) -> Self {
        let texts: Arc<Mutex<BTreeMap<String, Arc<str>>>> = Arc::default();
        let mut env = Environment::new();
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            env.set_syntax(syntax);
        }
        env.set_debug(false);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_undefined_behavior(UndefinedBehavior::Chainable);
        env.set_fuel(Some(FUEL));
        env.set_formatter(|out, _, value| {
            if is_nil(value) {
                return Ok(());
            }
            out.write_str(&crate::print::to_text(value)).map_err(minijinja::Error::from)
        });
        env.set_path_join_callback(|name, parent| join(name, parent).into());
        let source = texts.clone();
        env.set_loader(move |name| {
            let texts = source.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(texts.get(name).map(|text| text.to_string()))
        });
        add_functions(&mut env, registry);
        Self { env, texts }
    }

    /// Adds a template; a text that does not parse is refused.
    pub(crate) fn add(&self, name: &str, text: &str) -> Result<(), Error> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.insert(name.to_owned(), Arc::from(text));
        drop(texts);
        self.env.get_template(name).map(|_| ()).map_err(|e| error(ErrorKind::Parse, name, &e))
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    pub(crate) fn render(
        &self,
        (run, layer): (&Arc<Run>, &Arc<Layer>),
        name: &str,
        data: &Value,
    ) -> Result<String, Error> {
        let failed = |e: minijinja::Error| error(ErrorKind::Exec, name, &e);
        let _open = run.budget.enter()?;
        let template = self.env.get_template(name).map_err(failed)?;
        let anchor = Anchor { run: run.clone(), layer: layer.clone() };
        let context = Context { data: data.clone(), anchor: Value::from_object(anchor) };
        let mut out = Bounded { bytes: Vec::new(), budget: &run.budget };
        template.render_captured_to(Value::from_object(context), &mut out).map_err(failed)?;
        String::from_utf8(out.bytes).map_err(|e| Error::new(ErrorKind::Exec, e.to_string()))
    }
}

// A name with a slash is that of a template; any other is in the same folder.
fn join(name: &str, parent: &str) -> String {
    match parent.rsplit_once('/') {
        Some((folder, _)) if !name.contains('/') => format!("{folder}/{name}"),
        _ => name.to_owned(),
    }
}

fn add_functions(env: &mut Environment<'static>, registry: &Registry) {
    let own: Vec<String> = env.globals().map(|(name, _)| name.to_owned()).collect();
    for (name, func) in registry.iter() {
        let is_filter = {
            let unknown = env.empty_state().apply_filter(name, &[Value::UNDEFINED]);
            !unknown.is_err_and(|e| e.kind() == minijinja::ErrorKind::UnknownFilter)
        };
        if !own.iter().any(|known| known == name) {
            let func = func.clone();
            env.add_function(name.to_owned(), move |state: &State<'_, '_>, args: Rest<Value>| {
                call(state, &func, &args)
            });
        }
        if !is_filter {
            let func = func.clone();
            env.add_filter(
                name.to_owned(),
                move |state: &State<'_, '_>, piped: Value, args: Rest<Value>| {
                    let mut args = args.0;
                    args.push(piped);
                    call(state, &func, &args)
                },
            );
        }
    }
}

fn call(state: &State<'_, '_>, func: &Func, args: &[Value]) -> Result<Value, minijinja::Error> {
    let anchor = state.lookup(ANCHOR);
    let anchor = anchor.as_ref().and_then(|anchor| anchor.downcast_object_ref::<Anchor>());
    let Some(anchor) = anchor else {
        return Err(minijinja::Error::from(minijinja::ErrorKind::UnknownFunction));
    };
    anchor.run.budget.take_steps(1).map_err(|e| carry(e.into()))?;
    let cx = Cx { run: &anchor.run, layer: &anchor.layer };
    let args: Vec<Value> = args.iter().map(adopt).collect();
    call_plain(func, &cx, &args).map_err(|cause| {
        let text = format!("error calling {}: {cause}", func.name);
        carry(Error::wrapping(ErrorKind::Function, text, cause.0))
    })
}

/// A method called from a `.j2` template.
pub(crate) fn call_native(
    state: &mut minijinja::State<'_, '_>,
    object: &dyn GoObject,
    method: &str,
    args: &[Value],
) -> Result<Value, minijinja::Error> {
    let unknown = || minijinja::Error::from(minijinja::ErrorKind::UnknownMethod);
    if object.method(method).is_none() {
        return Err(unknown());
    }
    let anchor = state.lookup(ANCHOR).ok_or_else(unknown)?;
    let anchor = anchor.downcast_object_ref::<Anchor>().ok_or_else(unknown)?;
    let cx = Cx { run: &anchor.run, layer: &anchor.layer };
    object.call(&cx, method, Args(args)).map_err(|FuncError(error)| carry(error))
}

// The place in the template, then the cause: ours if there is one, else minijinja's.
fn error(kind: ErrorKind, name: &str, error: &minijinja::Error) -> Error {
    let place = format!("{}:{}", error.name().unwrap_or(name), error.line().unwrap_or(0));
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(own) = cause.downcast_ref::<Error>() {
            return Error::wrapping(kind, format!("template: {place}: {own}"), own.clone());
        }
        source = cause.source();
    }
    let detail = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let kind = match error.kind() {
        minijinja::ErrorKind::OutOfFuel => ErrorKind::Bound,
        _ => kind,
    };
    Error::new(kind, format!("template: {place}: {detail}"))
}

/// The name under which a `.j2` render finds its way back to the run.
const ANCHOR: &str = "\u{1}run";

/// See [`ANCHOR`].
#[derive(Debug)]
struct Anchor {
    run: Arc<Run>,
    layer: Arc<Layer>,
}

impl Object for Anchor {}

/// The data, and the way back to the run for functions.
#[derive(Debug)]
struct Context {
    data: Value,
    anchor: Value,
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == ANCHOR {
            return Some(self.anchor.clone());
        }
        self.data.get_attr(key).ok().filter(|value| !value.is_undefined())
    }
}

/// Output that counts.
struct Bounded<'a> {
    bytes: Vec<u8>,
    budget: &'a Budget,
}

impl io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.budget.take_output(bytes.len());
        taken.map_err(|exceeded| io::Error::other(Error::from(exceeded)))?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
