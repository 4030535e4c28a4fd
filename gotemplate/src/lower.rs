//! Tree → minijinja program.
//!
//! Statements become minijinja's statements; a pipeline becomes one call `p(n)`, where `n` is the
//! place of an [`Op`] in the program's table. Control characters serve as delimiters, so no text
//! of a chart can clash with them; text that holds them anyway becomes an op.
//!
//! | Go | minijinja (`{`/`%` stand for the private delimiters) |
//! |---|---|
//! | `{{ .a }}` | `{ p(0) }` |
//! | `{{ if .a }}…{{ else if .b }}…{{ end }}` | `% if p(0) %…% elif p(1) %…% endif %` |
//! | `{{ with .a }}…{{ end }}` | the same; op 0 sets the slot of the inner dot |
//! | `{{ range .a }}…{{ end }}` | `% for i in p(0) %{ p(1,i) }…% endfor %`; op 1 sets the slots |
//! | `{{ range .a }}…{{ else }}…{{ end }}` | `% if p(0) %% for i in p(1) %…% endfor %% else %…% endif %` |
//! | `{{ template "x" . }}` | `{ p(0) }`, which renders the other program |
//!
//! Why pipelines are not lowered further: the type of a constant depends on the parameter it
//! meets, errors name the node they arose at, and `and`/`or` return operands. All of that needs
//! the tree; doing it in one call is also the fastest. Start at [`lower`].

use std::sync::Arc;

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;

use crate::ast::{Block, Call, Pipe, Slot, Stmt, Tree};

/// One entry of a program's table: what `p(n)` does.
#[derive(Debug)]
pub(crate) enum Op {
    /// Evaluates; gives back the text to print.
    Print(Arc<Pipe>),
    /// Evaluates for its assignments.
    Assign(Arc<Pipe>),
    If(Arc<Pipe>),
    /// Evaluates, sets the inner dot, gives back the truth.
    With {
        pipe: Arc<Pipe>,
        inner: Slot,
    },
    /// Gives back what to loop over.
    Range {
        pipe: Arc<Pipe>,
        inner: Slot,
    },
    /// Keeps what to loop over in the slot of the inner dot; gives back whether there is anything.
    RangeTest {
        pipe: Arc<Pipe>,
        inner: Slot,
    },
    /// Gives back what a [`Op::RangeTest`] kept.
    Items(Slot),
    /// Sets the slots for one pass of a loop, whose fixed text is `text_bytes` long.
    Bind {
        pipe: Arc<Pipe>,
        inner: Slot,
        text_bytes: usize,
    },
    Template(Arc<Call>),
    Text(Arc<str>),
}

/// A lowered template.
#[derive(Debug)]
pub(crate) struct Program {
    /// minijinja source.
    pub source: String,
    pub ops: Vec<Op>,
    /// The length of the fixed text outside of loops.
    pub text_bytes: usize,
    /// Set if the whole template is one fixed text, which needs no engine.
    pub only_text: Option<Arc<str>>,
}

const SPECIAL: [char; 2] = ['\u{1}', '\u{2}'];

// Longer fixed texts become ops, which share the tree's text: the engine would copy them twice.
const INLINE_BYTES: usize = 256;

/// The syntax of lowered programs.
pub(crate) fn configure(env: &mut Environment<'static>) -> Result<(), minijinja::Error> {
    let syntax = SyntaxConfig::builder()
        .block_delimiters("\u{1}%", "%\u{2}")
        .variable_delimiters("\u{1}{", "}\u{2}")
        .comment_delimiters("\u{1}#", "#\u{2}")
        .keep_trailing_newline(true)
        .build()?;
    env.set_syntax(syntax);
    Ok(())
}

/// Lowers a template.
pub(crate) fn lower(tree: &Tree) -> Program {
    let mut lowering = Lowering { source: String::new(), ops: Vec::new(), text_bytes: 0 };
    lowering.list(&tree.body);
    let only_text = match &tree.body[..] {
        [] => Some("".into()),
        [Stmt::Text(text)] => Some(text.clone()),
        _ => None,
    };
    Program {
        only_text,
        source: lowering.source,
        ops: lowering.ops,
        text_bytes: lowering.text_bytes,
    }
}

struct Lowering {
    source: String,
    ops: Vec<Op>,
    text_bytes: usize,
}

impl Lowering {
    fn call(&mut self, op: Op) -> String {
        self.ops.push(op);
        format!("p({})", self.ops.len() - 1)
    }

    fn print(&mut self, op: Op) {
        let call = self.call(op);
        self.source.push_str(&format!("\u{1}{{{call}}}\u{2}"));
    }

    fn block(&mut self, statement: &str) {
        self.source.push_str(&format!("\u{1}%{statement}%\u{2}"));
    }

    fn list(&mut self, list: &[Stmt]) {
        for stmt in list {
            self.statement(stmt);
        }
    }

    fn statement(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Text(text) => {
                self.text_bytes += text.len();
                if text.len() > INLINE_BYTES || text.contains(SPECIAL) {
                    self.print(Op::Text(text.clone()));
                } else {
                    self.source.push_str(text);
                }
            }
            Stmt::Action(pipe) if pipe.decls.is_empty() => self.print(Op::Print(pipe.clone())),
            Stmt::Action(pipe) => self.print(Op::Assign(pipe.clone())),
            Stmt::If { pipe, body } => self.condition("if", Op::If(pipe.clone()), body),
            Stmt::With { pipe, inner, body } => {
                self.condition("if", Op::With { pipe: pipe.clone(), inner: *inner }, body);
            }
            Stmt::Range { pipe, inner, body } => self.range(pipe, *inner, body),
            Stmt::Template(call) => self.print(Op::Template(call.clone())),
            Stmt::Break => self.block("break"),
            Stmt::Continue => self.block("continue"),
        }
    }

    // A chain of `else if` stays flat, so its length does not count as nesting.
    fn condition(&mut self, keyword: &str, op: Op, body: &Block) {
        let call = self.call(op);
        self.block(&format!("{keyword} {call}"));
        self.list(&body.list);
        match body.otherwise.as_deref() {
            Some([Stmt::If { pipe, body }]) => {
                return self.condition("elif", Op::If(pipe.clone()), body);
            }
            Some([Stmt::With { pipe, inner, body }]) => {
                let op = Op::With { pipe: pipe.clone(), inner: *inner };
                return self.condition("elif", op, body);
            }
            Some(otherwise) => {
                self.block("else");
                self.list(otherwise);
            }
            None => {}
        }
        self.block("endif");
    }

    // minijinja's own `else` of a loop also runs after a `break` in the first pass, Go's does not.
    fn range(&mut self, pipe: &Arc<Pipe>, inner: Slot, body: &Block) {
        let items = match body.otherwise {
            Some(_) => {
                let test = self.call(Op::RangeTest { pipe: pipe.clone(), inner });
                self.block(&format!("if {test}"));
                self.call(Op::Items(inner))
            }
            None => self.call(Op::Range { pipe: pipe.clone(), inner }),
        };
        self.block(&format!("for i in {items}"));
        self.ops.push(Op::Bind { pipe: pipe.clone(), inner, text_bytes: 0 });
        let bind = self.ops.len() - 1;
        self.source.push_str(&format!("\u{1}{{p({bind},i)}}\u{2}"));
        let outside = std::mem::take(&mut self.text_bytes);
        self.list(&body.list);
        let inside = std::mem::replace(&mut self.text_bytes, outside);
        if let Some(Op::Bind { text_bytes, .. }) = self.ops.get_mut(bind) {
            *text_bytes = inside;
        }
        self.block("endfor");
        if let Some(otherwise) = &body.otherwise {
            self.block("else");
            self.list(otherwise);
            self.block("endif");
        }
    }
}
