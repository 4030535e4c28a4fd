//! Tree → minijinja program.
//!
//! Control structures become minijinja's; what stands between two of them, texts and actions,
//! becomes one call `p(n)`, where `n` is the place of an [`Op`] in the program's table. A source
//! holds nothing else, so no text of a chart can clash with it, and a template without control
//! structures needs none.
//!
//! | Go | minijinja |
//! |---|---|
//! | `text {{ .a }} text {{ template "x" . }}` | `{% do p(0) %}` |
//! | `{{ if .a }}…{{ else if .b }}…{{ end }}` | `{% if p(0) %}…{% elif p(1) %}…{% endif %}` |
//! | `{{ with .a }}…{{ end }}` | the same; op 0 sets the slot of the inner dot |
//! | `{{ range .a }}…{{ end }}` | `{% for i in p(0) %}{% do p(1,i) %}…{% endfor %}`; op 1 sets the slots |
//! | `{{ range .a }}…{{ else }}…{{ end }}` | `{% if p(0) %}{% for i in p(1) %}{% do p(2,i) %}…{% endfor %}{% else %}…{% endif %}` |
//!
//! Why pipelines are not lowered further: the type of a constant depends on the parameter it
//! meets, errors name the node they arose at, and `and`/`or` return operands. All of that needs
//! the tree; doing it in one call is also the fastest. Start at [`lower`].

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::ast::{Block, Call, Pipe, Slot, Stmt, Text, Tree};

/// One entry of a program's table: what `p(n)` does.
#[derive(Debug)]
pub(crate) enum Op {
    /// What stands between two control structures.
    Run(Vec<Step>),
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
    /// Sets the slots for one pass of a loop.
    Bind {
        pipe: Arc<Pipe>,
        inner: Slot,
    },
}

/// A statement that does not decide what comes next.
#[derive(Debug)]
pub(crate) enum Step {
    Text(Text),
    /// Evaluates, and writes the text of the value.
    Print(Arc<Pipe>),
    /// Evaluates for its assignments.
    Assign(Arc<Pipe>),
    Template(Arc<Call>),
}

/// A lowered template.
#[derive(Debug)]
pub(crate) struct Program {
    /// minijinja source; empty if there is nothing to control, just `ops[0]` to do.
    pub source: String,
    pub ops: Vec<Op>,
    /// The room that its output probably needs: that of its texts first, then that of the last
    /// time.
    pub room: AtomicUsize,
}

/// Lowers a template.
pub(crate) fn lower(tree: &Tree) -> Program {
    let mut lowering = Lowering { source: String::new(), ops: Vec::new(), text_bytes: 0 };
    lowering.list(&tree.body);
    if let [] | [Op::Run(_)] = lowering.ops[..] {
        lowering.source = String::new();
    }
    Program {
        source: lowering.source,
        ops: lowering.ops,
        room: AtomicUsize::new(lowering.text_bytes),
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

    fn block(&mut self, statement: &str) {
        self.source.push_str("{%");
        self.source.push_str(statement);
        self.source.push_str("%}");
    }

    fn list(&mut self, list: &[Stmt]) {
        let mut steps = Vec::new();
        for stmt in list {
            match self.step(stmt) {
                Some(step) => steps.push(step),
                None => {
                    self.run(std::mem::take(&mut steps));
                    self.control(stmt);
                }
            }
        }
        self.run(steps);
    }

    fn run(&mut self, steps: Vec<Step>) {
        if !steps.is_empty() {
            let call = self.call(Op::Run(steps));
            self.block(&format!("do {call}"));
        }
    }

    fn step(&mut self, stmt: &Stmt) -> Option<Step> {
        Some(match stmt {
            Stmt::Text(text) => {
                self.text_bytes += text.len();
                Step::Text(text.clone())
            }
            Stmt::Action(pipe) if pipe.decls.is_empty() => Step::Print(pipe.clone()),
            Stmt::Action(pipe) => Step::Assign(pipe.clone()),
            Stmt::Template(call) => Step::Template(call.clone()),
            _ => return None,
        })
    }

    fn control(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::If { pipe, body } => self.condition("if", Op::If(pipe.clone()), body),
            Stmt::With { pipe, inner, body } => {
                self.condition("if", Op::With { pipe: pipe.clone(), inner: *inner }, body);
            }
            Stmt::Range { pipe, inner, body } => self.range(pipe, *inner, body),
            Stmt::Break => self.block("break"),
            Stmt::Continue => self.block("continue"),
            Stmt::Text(_) | Stmt::Action(_) | Stmt::Template(_) => {}
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
        self.ops.push(Op::Bind { pipe: pipe.clone(), inner });
        self.block(&format!("do p({},i)", self.ops.len() - 1));
        self.list(&body.list);
        self.block("endfor");
        if let Some(otherwise) = &body.otherwise {
            self.block("else");
            self.list(otherwise);
            self.block("endif");
        }
    }
}
