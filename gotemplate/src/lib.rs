#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! Owns the language: lexer, parser, tree, lowering to minijinja programs, values, `fmt`, the
//! function registry, and Go's error texts. Knows nothing of Kubernetes, files or clocks: what
//! a template may ask of the world goes through [`Host`], what it may use up through [`Budget`].
//!
//! Read next: [`TemplateSet`] (many templates that call one another), [`funcs`] (how to add a
//! function), [`value`] (how Go's values look here).

#![warn(missing_docs)]

mod ast;
mod budget;
mod engine;
mod error;
mod eval;
mod frame;
pub mod funcs;
mod host;
mod int_width;
mod lex;
mod literal;
mod lower;
mod memo;
mod parse;
mod passes;
mod plain;
pub mod print;
pub mod printf;
mod programs;
mod scope;
mod undo;
pub mod value;
mod watch;

pub use minijinja::Value;

pub use budget::{Budget, Exceeded, Limits};
pub use engine::{MissingKey, Options, Rendering, Scope, TemplateSet};
pub use error::{Error, ErrorKind, FuncError};
pub use funcs::Registry;
pub use host::{FixedHost, Host};
pub use lex::Delimiters;
pub use programs::Parsed;

use std::sync::Arc;

/// One template by itself. A missing map key is an error, as in Fleet's value templates; use a
/// [`TemplateSet`] for other choices.
#[derive(Debug)]
pub struct Template {
    name: String,
    set: TemplateSet,
}

impl Template {
    /// Parses a text. Its name appears in errors.
    ///
    /// # Errors
    /// Go's words, with the line.
    pub fn parse(
        name: &str,
        text: &str,
        delimiters: &Delimiters,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let options = Options { delimiters: delimiters.clone(), missing_key: MissingKey::Error };
        let mut set = TemplateSet::new(Arc::new(registry.clone()), options)?;
        set.parse(name, text)?;
        Ok(Self { name: name.to_owned(), set })
    }

    /// Renders the template with the data as dot.
    ///
    /// # Errors
    /// Go's words, with template, line and column; or the bound that was passed.
    pub fn render(&self, data: &Value, scope: &Scope) -> Result<String, Error> {
        self.set.render(&self.name, data, scope)
    }
}
