//! The tree of a template, with positions, and its text as Go prints it in error messages.
//!
//! Variables are already resolved to slots (see [`crate::scope`]). Knows nothing of values' types
//! or of minijinja. Start at [`Tree`].

use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::Value;

use crate::funcs::Func;
use crate::lower::Program;

/// A byte offset in the template's text.
pub(crate) type Pos = u32;

/// A place in a frame that holds one variable, or dot.
pub(crate) type Slot = u32;

/// The slot of `$`, the data that the template was called with.
pub(crate) const ROOT: Slot = 0;

/// The slot of dot outside of any `with` or `range`.
pub(crate) const DOT: Slot = 1;

/// One template: a whole text, or one `define`.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The template's own name.
    pub name: Arc<str>,
    /// The name of the text it stands in; error messages show this one with line and column.
    pub parse_name: Arc<str>,
    /// Where the lines of that text end: all that errors need of it.
    pub line_ends: Arc<[Pos]>,
    pub body: Vec<Stmt>,
    pub slot_count: u32,
    /// Slots that hold elements of what a `range` runs over: Go only knows `interface {}` there.
    pub elements: Vec<Slot>,
    /// Made on first use: most charts define more than they use.
    pub program: OnceLock<Program>,
}

impl Tree {
    /// `name:line:column` of a position, as Go counts: lines from 1, columns from 0.
    pub(crate) fn location(&self, pos: Pos) -> String {
        let before = self.line_ends.partition_point(|end| *end < pos);
        let start = before.checked_sub(1).map_or(0, |last| self.line_ends[last] + 1);
        format!("{}:{}:{}", self.parse_name, before + 1, pos - start)
    }

    /// Whether there is nothing but space in it; such a definition never replaces another.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.iter().all(|stmt| matches!(stmt, Stmt::Text(text) if text.trim().is_empty()))
    }
}

/// A piece of the text that a template was parsed from; it shares that text.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    source: Arc<String>,
    start: Pos,
    end: Pos,
}

impl Text {
    #[expect(clippy::cast_possible_truncation, reason = "positions are u32 everywhere in the tree")]
    pub(crate) fn new(source: &Arc<String>, start: usize, length: usize) -> Self {
        Self { source: source.clone(), start: start as Pos, end: (start + length) as Pos }
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.source[self.start as usize..self.end as usize]
    }
}

#[derive(Debug)]
pub(crate) enum Stmt {
    Text(Text),
    Action(Arc<Pipe>),
    If { pipe: Arc<Pipe>, body: Block },
    With { pipe: Arc<Pipe>, inner: Slot, body: Block },
    Range { pipe: Arc<Pipe>, inner: Slot, body: Block },
    Template(Arc<Call>),
    Break,
    Continue,
}

/// What stands between a control structure and its `end`.
#[derive(Debug)]
pub(crate) struct Block {
    pub list: Vec<Stmt>,
    pub otherwise: Option<Vec<Stmt>>,
}

/// `{{template "name" pipe}}`
#[derive(Debug)]
pub(crate) struct Call {
    pub pos: Pos,
    pub name: Arc<str>,
    pub pipe: Option<Pipe>,
    pub dot: Slot,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub pos: Pos,
    /// The slot of dot where this pipeline stands.
    pub dot: Slot,
    pub decls: Vec<Decl>,
    pub is_assign: bool,
    pub commands: Box<[Command]>,
}

#[derive(Debug)]
pub(crate) struct Decl {
    pub name: Box<str>,
    /// `None` if nothing of that name was declared: an error when it runs, as in Go.
    pub slot: Option<Slot>,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub pos: Pos,
    pub args: Box<[Expr]>,
}

#[derive(Debug)]
pub(crate) struct Expr {
    pub pos: Pos,
    pub kind: ExprKind,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Dot,
    Nil,
    Bool(bool),
    Number(Box<Number>),
    Str { quoted: Box<str>, value: Value },
    Field(Box<[Arc<str>]>),
    Var { name: Box<str>, slot: Option<Slot>, fields: Box<[Arc<str>]> },
    Chain { base: Box<Expr>, fields: Box<[Arc<str>]> },
    Pipe(Box<Pipe>),
    Ident(Arc<Func>),
}

/// A numeric constant: which of Go's number types can hold it, and with which value.
#[derive(Debug)]
pub(crate) struct Number {
    pub text: Box<str>,
    pub int: Option<i64>,
    pub float: Option<f64>,
    /// What it is where no type is asked for; `None` overflows.
    pub ideal: Option<Value>,
}

fn write_joined<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    separator: &str,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.decls.is_empty() {
            let names: Vec<&str> = self.decls.iter().map(|decl| &*decl.name).collect();
            write_joined(f, &names, ", ")?;
            f.write_str(if self.is_assign { " = " } else { " := " })?;
        }
        write_joined(f, &self.commands, " | ")
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_joined(f, &self.args, " ")
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[Arc<str>]) -> fmt::Result {
    fields.iter().try_for_each(|field| write!(f, ".{field}"))
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Dot => f.write_str("."),
            ExprKind::Nil => f.write_str("nil"),
            ExprKind::Bool(flag) => write!(f, "{flag}"),
            ExprKind::Number(number) => f.write_str(&number.text),
            ExprKind::Str { quoted, .. } => f.write_str(quoted),
            ExprKind::Field(fields) => write_fields(f, fields),
            ExprKind::Var { name, fields, .. } => {
                f.write_str(name)?;
                write_fields(f, fields)
            }
            ExprKind::Chain { base, fields } => {
                write!(f, "{base}")?;
                write_fields(f, fields)
            }
            ExprKind::Pipe(pipe) => write!(f, "({pipe})"),
            ExprKind::Ident(func) => f.write_str(&func.name),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", crate::print::quote(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
