//! Runs templates: sets of trees, their minijinja programs, and nested renders.
//!
//! Owns the meeting point with minijinja. What one running template knows is in
//! [`frame`](crate::frame). Knows nothing of Helm. Start at [`TemplateSet`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use minijinja::Value;

use crate::ast::Tree;
use crate::budget::Budget;
use crate::error::{Error, ErrorKind};
use crate::frame::Frame;
use crate::funcs::Registry;
use crate::host::Host;
use crate::lex::Delimiters;
use crate::memo::{Known, Memo};
use crate::parse::parse;
use crate::plain::PlainTemplates;
use crate::print::quote;
use crate::programs::{Numbered, Parsed, Programs, engine_error, lock, program};
use crate::watch::{self, Span};

/// What a map without the asked-for key gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// No value: prints `<no value>`.
    #[default]
    Default,
    /// The zero value of the map's type, nil for most: Helm's choice.
    Zero,
    /// An error that names the key.
    Error,
}

/// How templates of a set are read and run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What opens and closes an action.
    pub delimiters: Delimiters,
    /// What a map without the asked-for key gives.
    pub missing_key: MissingKey,
}

/// What a render runs with.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The way to time, randomness and the cluster.
    pub host: Arc<dyn Host>,
    /// The bounds, counted over everything this render starts.
    pub budget: Arc<Budget>,
}

/// Templates that can call one another. Parse once, render many times; compiled programs are kept.
pub struct TemplateSet {
    shared: Arc<Shared>,
    base: Arc<Layer>,
}

impl fmt::Debug for TemplateSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemplateSet").field("templates", &self.base.trees.len()).finish()
    }
}

struct Shared {
    registry: Arc<Registry>,
    options: Options,
    programs: Programs,
    plain: OnceLock<PlainTemplates>,
}

/// Templates by name; a `tpl` text adds a layer of its own on top of those around it.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    trees: BTreeMap<Arc<str>, Numbered>,
    below: Option<Arc<Layer>>,
}

impl Layer {
    pub(crate) fn find(&self, name: &str) -> Option<&Numbered> {
        self.trees.get(name).or_else(|| self.below.as_deref()?.find(name))
    }
}

impl TemplateSet {
    /// An empty set.
    ///
    /// # Errors
    /// None in practice; the engine's configuration is fixed.
    pub fn new(registry: Arc<Registry>, options: Options) -> Result<Self, Error> {
        let programs = Programs::new()?;
        let shared = Shared { registry, options, programs, plain: OnceLock::new() };
        Ok(Self { shared: Arc::new(shared), base: Arc::default() })
    }

    /// Parses a text and adds it, and the templates it defines, to the set. A later template
    /// replaces an earlier one of its name, unless it is empty.
    ///
    /// # Errors
    /// Go's words, with the line.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let parsed = self.prepare(name, &Arc::new(text.to_owned()))?;
        self.add(&parsed);
        Ok(())
    }

    /// Parses a text without adding it. The result fits this set and its siblings, and shares the
    /// text.
    ///
    /// # Errors
    /// Go's words, with the line.
    pub fn prepare(&self, name: &str, text: &Arc<String>) -> Result<Parsed, Error> {
        let options = &self.shared.options;
        let trees = parse(name, text, &options.delimiters, &self.shared.registry)?;
        let programs = &self.shared.programs;
        Ok(Parsed(trees.into_iter().map(|(name, tree)| (name, programs.add(tree))).collect()))
    }

    /// Adds what [`TemplateSet::prepare`] parsed, as [`TemplateSet::parse`] does.
    pub fn add(&mut self, parsed: &Parsed) {
        let add = |trees: &mut BTreeMap<Arc<str>, Numbered>| {
            for (name, numbered) in parsed.0.iter() {
                if !(numbered.tree.is_empty() && trees.contains_key(name)) {
                    trees.insert(name.clone(), numbered.clone());
                }
            }
        };
        match Arc::get_mut(&mut self.base) {
            Some(base) => add(&mut base.trees),
            None => {
                // A render in flight keeps the layer it started with.
                let mut trees = self.base.trees.clone();
                add(&mut trees);
                self.base = Arc::new(Layer { trees, below: None });
            }
        }
    }

    /// An empty set that shares functions, options and compiled programs with this one: what was
    /// prepared for one can be added to the other, and is compiled once. Plain templates are not
    /// shared.
    #[must_use]
    pub fn sibling(&self) -> Self {
        let Shared { registry, options, programs, .. } = &*self.shared;
        let shared = Shared {
            registry: registry.clone(),
            options: options.clone(),
            programs: programs.clone(),
            plain: OnceLock::new(),
        };
        Self { shared: Arc::new(shared), base: Arc::default() }
    }

    /// Adds a plain minijinja template: no Go syntax, but the same data and functions. It can be
    /// rendered and included like the others.
    ///
    /// # Errors
    /// minijinja's words, with the line.
    pub fn parse_plain(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let plain = || PlainTemplates::new(&self.shared.registry);
        self.shared.plain.get_or_init(plain).add(name, text)
    }

    /// Whether a template of that name exists.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let plain = self.shared.plain.get().is_some_and(|plain| plain.contains(name));
        plain || self.base.find(name).is_some()
    }

    /// Renders the template of that name.
    ///
    /// # Errors
    /// Go's words, with template, line and column; or the bound that was passed.
    pub fn render(&self, name: &str, data: &Value, scope: &Scope) -> Result<String, Error> {
        self.start(scope).render(name, data)
    }

    /// Starts a render of several templates that share one budget and the texts given to `tpl`.
    #[must_use]
    pub fn start(&self, scope: &Scope) -> Rendering {
        let run = Run {
            shared: self.shared.clone(),
            host: scope.host.clone(),
            budget: scope.budget.clone(),
            texts: Mutex::default(),
            patterns: Mutex::default(),
            memo: Mutex::default(),
        };
        Rendering { run: Arc::new(run), base: self.base.clone() }
    }
}

/// A render in progress; see [`TemplateSet::start`].
#[derive(Debug)]
pub struct Rendering {
    run: Arc<Run>,
    base: Arc<Layer>,
}

impl Rendering {
    /// Renders the template of that name.
    ///
    /// # Errors
    /// Go's words, with template, line and column; or the bound that was passed.
    pub fn render(&self, name: &str, data: &Value) -> Result<String, Error> {
        self.run.render_named(&self.base, name, data)
    }
}

// Adds definitions; an empty one does not replace what is known by its name.
fn add_trees(
    layer: &mut Layer,
    programs: &Programs,
    trees: BTreeMap<Arc<str>, Tree>,
    below: Option<&Layer>,
) {
    for (name, tree) in trees {
        let known = layer.trees.contains_key(&name)
            || below.is_some_and(|below| below.find(&name).is_some());
        if !(known && tree.is_empty()) {
            layer.trees.insert(name, programs.add(tree));
        }
    }
}

/// The state that all templates of one render share.
pub(crate) struct Run {
    shared: Arc<Shared>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) budget: Arc<Budget>,
    texts: Mutex<Texts>,
    /// Compiled regular expressions.
    pub(crate) patterns: Mutex<BTreeMap<String, Arc<regex::Regex>>>,
    memo: Mutex<Memo>,
}

/// The texts that `tpl` was given in this render: charts pass the same ones again and again.
#[derive(Default)]
struct Texts {
    programs: Option<Programs>,
    layers: BTreeMap<(usize, Arc<String>), Arc<Layer>>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl Run {
    pub(crate) fn missing_key(&self) -> MissingKey {
        self.shared.options.missing_key
    }

    pub(crate) fn render_named(
        self: &Arc<Self>,
        layer: &Arc<Layer>,
        name: &str,
        data: &Value,
    ) -> Result<String, Error> {
        let Some(found) = layer.find(name) else {
            if let Some(plain) = self.shared.plain.get().filter(|plain| plain.contains(name)) {
                return plain.render((self, layer), name, data);
            }
            let name = quote(name);
            return Err(Error::new(
                ErrorKind::Exec,
                format!("template: no template {name} associated with template \"gotpl\""),
            ));
        };
        self.render_found(layer, found, data)
    }

    fn render_found(
        self: &Arc<Self>,
        layer: &Arc<Layer>,
        found: &Numbered,
        data: &Value,
    ) -> Result<String, Error> {
        let room = &program(&found.tree).room;
        let expected = room.load(Ordering::Relaxed);
        // A little more, for values that are longer now: room costs nothing, moving a text does.
        let out = String::with_capacity(expected + expected / 16);
        let out = self.render_tree(layer, found, data, out)?;
        room.store(out.len(), Ordering::Relaxed);
        Ok(out)
    }

    /// As [`Run::render_named`], but what was rendered before is not rendered again.
    pub(crate) fn include(
        self: &Arc<Self>,
        layer: &Arc<Layer>,
        name: &str,
        data: &Value,
    ) -> Result<Value, Error> {
        let Some(found) = layer.find(name) else {
            return self.render_named(layer, name, data).map(Value::from);
        };
        let callee = (Arc::as_ptr(&found.tree).addr(), Arc::as_ptr(layer).addr());
        let known = lock(&self.memo).find(callee, data).cloned();
        if let Some(known) = known {
            self.budget.take_steps(known.steps)?;
            self.budget.take_output(usize::try_from(known.output_bytes).unwrap_or(usize::MAX))?;
            return Ok(known.text);
        }
        let (span, (steps, output_bytes)) = (Span::new(), self.budget.taken());
        let text = Value::from(self.render_found(layer, found, data)?);
        if span.is_clean() {
            let taken = self.budget.taken();
            let known = Known {
                data: data.clone(),
                text: text.clone(),
                steps: taken.0 - steps,
                output_bytes: taken.1 - output_bytes,
                made: watch::now(),
            };
            lock(&self.memo).keep(callee, known);
        }
        Ok(text)
    }

    pub(crate) fn render_text(
        self: &Arc<Self>,
        layer: &Arc<Layer>,
        name: &str,
        text: &str,
        data: &Value,
    ) -> Result<String, Error> {
        if !text.contains(&self.shared.options.delimiters.left) {
            self.budget.take_output(text.len())?;
            return Ok(text.to_owned());
        }
        let layer = self.text_layer(layer, name, text)?;
        self.render_named(&layer, name, data)
    }

    // The layer that a `tpl` text makes on top of the templates around it.
    fn text_layer(&self, layer: &Arc<Layer>, name: &str, text: &str) -> Result<Arc<Layer>, Error> {
        // A layer lives as long as the run once it is in `layers`, so its address is its name.
        let key = (Arc::as_ptr(layer) as usize, Arc::new(text.to_owned()));
        if let Some(known) = lock(&self.texts).layers.get(&key) {
            return Ok(known.clone());
        }
        let options = &self.shared.options;
        let trees = parse(name, &key.1, &options.delimiters, &self.shared.registry)?;
        let mut texts = lock(&self.texts);
        let programs = match &texts.programs {
            Some(programs) => programs.clone(),
            None => texts.programs.insert(Programs::new()?).clone(),
        };
        let mut top = Layer { trees: BTreeMap::new(), below: Some(layer.clone()) };
        add_trees(&mut top, &programs, trees, Some(layer));
        let top = Arc::new(top);
        texts.layers.insert(key, top.clone());
        Ok(top)
    }

    /// Renders a template behind what was written already.
    pub(crate) fn render_tree(
        self: &Arc<Self>,
        layer: &Arc<Layer>,
        numbered: &Numbered,
        data: &Value,
        out: String,
    ) -> Result<String, Error> {
        let tree = &numbered.tree;
        let program = program(tree);
        let _open = self.budget.enter()?;
        let data = if data.is_none() { Value::UNDEFINED } else { data.clone() };
        let frame = Frame::new(self, layer, tree, data, out);
        if program.source.is_empty() {
            program.ops.iter().try_for_each(|op| frame.run_op(op, None).map(drop))?;
            return Ok(frame.take_output());
        }
        let env = &numbered.programs.env;
        let template = env.get_template(&numbered.number).map_err(|e| engine_error(&e))?;
        let frame = Arc::new(frame);
        template.render(Value::from_dyn_object(frame.clone())).map_err(own_error)?;
        Ok(frame.take_output())
    }
}

// The error of ours that minijinja carried up, or its own.
fn own_error(error: minijinja::Error) -> Error {
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if let Some(own) = cause.downcast_ref::<Error>() {
            return own.clone();
        }
        source = cause.source();
    }
    engine_error(&error)
}

pub(crate) fn carry(error: Error) -> minijinja::Error {
    minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, "template failed")
        .with_source(error)
}
