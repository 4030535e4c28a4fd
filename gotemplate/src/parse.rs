//! Tokens → tree, with Go's grammar, positions and error texts.
//!
//! Owns texts, definitions and control structures; what stands in an action is in `pipeline`.
//! Knows nothing of running a template. Start at [`parse`].

mod pipeline;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::ast::{Block, Call, Expr, Pipe, Pos, Stmt, Text, Tree};
use crate::error::{Error, ErrorKind};
use crate::funcs::Registry;
use crate::lex::{Delimiters, Lexer, Token, TokenKind as T};
use crate::literal::unquote;
use crate::scope::Scope;

/// How deep parentheses and control structures may be nested.
const MAX_NESTING: usize = 100;

/// The templates that a text defines: itself and its `define`s, by name.
pub(crate) type Definitions = BTreeMap<Arc<str>, Tree>;

/// Parses a text into the templates that it defines.
///
/// # Errors
/// Go's words, with the line.
pub(crate) fn parse(
    name: &str,
    text: &Arc<String>,
    delimiters: &Delimiters,
    registry: &Registry,
) -> Result<Definitions, Error> {
    let mut parser = Parser {
        parse_name: Arc::from(name),
        text,
        line_ends: line_ends(text),
        registry,
        lexer: Lexer::new(text, delimiters),
        tokens: std::array::from_fn(|_| Token { kind: T::Eof, pos: 0, text: Cow::Borrowed("") }),
        peek_count: 0,
        action_start: None,
        definitions: BTreeMap::new(),
        scope: Scope::new(),
        operands: Vec::new(),
        range_depth: 0,
        nesting: 0,
    };
    parser.top()?;
    Ok(parser.definitions)
}

#[expect(clippy::cast_possible_truncation, reason = "positions are u32 everywhere in the tree")]
fn line_ends(text: &str) -> Arc<[Pos]> {
    memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at as Pos).collect()
}

struct Parser<'a> {
    parse_name: Arc<str>,
    text: &'a Arc<String>,
    line_ends: Arc<[Pos]>,
    registry: &'a Registry,
    lexer: Lexer<'a>,
    // Three tokens of look-ahead, as in Go: the first one also gives errors their line.
    tokens: [Token<'a>; 3],
    peek_count: usize,
    action_start: Option<usize>,
    definitions: Definitions,
    scope: Scope,
    /// Those of all commands that are being read; the innermost one's are last.
    operands: Vec<Expr>,
    range_depth: usize,
    nesting: usize,
}

/// What ended a list of statements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Else,
}

impl Ending {
    fn describe(self) -> &'static str {
        match self {
            Ending::End => "{{end}}",
            Ending::Else => "{{else}}",
        }
    }
}

enum Item {
    Stmt(Stmt),
    Ending(Ending),
}

type Parsed<V> = Result<V, Error>;

impl<'a> Parser<'a> {
    fn next(&mut self) -> Token<'a> {
        if self.peek_count > 0 {
            self.peek_count -= 1;
        } else {
            self.tokens[0] = self.lexer.next_token();
        }
        self.tokens[self.peek_count].clone()
    }

    fn backup(&mut self) {
        self.peek_count += 1;
    }

    fn peek(&mut self) -> Token<'a> {
        if self.peek_count == 0 {
            self.peek_count = 1;
            self.tokens[0] = self.lexer.next_token();
        }
        self.tokens[self.peek_count - 1].clone()
    }

    fn next_non_space(&mut self) -> Token<'a> {
        loop {
            let token = self.next();
            if token.kind != T::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token<'a> {
        let token = self.next_non_space();
        self.backup();
        token
    }

    fn line(&self, pos: usize) -> usize {
        1 + self.text.as_bytes()[..pos.min(self.text.len())].iter().filter(|b| **b == b'\n').count()
    }

    fn error(&self, text: impl std::fmt::Display) -> Error {
        let line = self.line(self.tokens[0].pos);
        Error::new(ErrorKind::Parse, format!("template: {}:{line}: {text}", self.parse_name))
    }

    fn unexpected(&self, token: &Token<'_>, context: &str) -> Error {
        if token.kind != T::Error {
            return self.error(format_args!("unexpected {} in {context}", token.describe()));
        }
        let mut extra = String::new();
        if let Some(start) = self.action_start {
            let line = self.line(start);
            if line != self.line(token.pos) {
                let action = if token.text.ends_with(" action") { "" } else { " in action" };
                extra = format!("{action} started at {}:{line}", self.parse_name);
            }
        }
        self.error(format_args!("{}{extra}", token.text))
    }

    fn expect(&mut self, kind: T, context: &str) -> Parsed<Token<'a>> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token, context)) }
    }

    fn tree(&self, name: &str, body: Vec<Stmt>, scope: &Scope) -> Tree {
        Tree {
            name: Arc::from(name),
            parse_name: self.parse_name.clone(),
            line_ends: self.line_ends.clone(),
            body,
            slot_count: scope.slot_count(),
            elements: scope.elements.clone(),
            program: OnceLock::new(),
        }
    }

    fn define(&mut self, tree: Tree) -> Parsed<()> {
        match self.definitions.get(&tree.name) {
            Some(known) if !known.is_empty() => {
                if !tree.is_empty() {
                    let name = crate::print::quote(&tree.name);
                    return Err(self
                        .error(format_args!("template: multiple definition of template {name}")));
                }
            }
            _ => {
                self.definitions.insert(tree.name.clone(), tree);
            }
        }
        Ok(())
    }

    fn top(&mut self) -> Parsed<()> {
        let mut body = Vec::new();
        while self.peek().kind != T::Eof {
            if self.peek().kind == T::LeftDelim {
                let delim = self.next();
                if self.next_non_space().kind == T::Define {
                    self.definition()?;
                    continue;
                }
                self.tokens[1] = delim;
                self.peek_count = 2;
            }
            match self.text_or_action()? {
                Item::Stmt(stmt) => body.push(stmt),
                Item::Ending(ending) => {
                    return Err(self.error(format_args!("unexpected {}", ending.describe())));
                }
            }
        }
        let name = self.parse_name.clone();
        let tree = self.tree(&name, body, &self.scope);
        self.define(tree)
    }

    // A `define` or `block` starts with a scope of its own.
    fn own_template(&mut self, name: &str, context: &str) -> Parsed<()> {
        let start = self.tokens[0].clone();
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let outer_depth = std::mem::take(&mut self.range_depth);
        let outer_start = self.action_start.take();
        let (body, ending) = self.list()?;
        self.action_start = outer_start;
        let scope = std::mem::replace(&mut self.scope, outer);
        self.range_depth = outer_depth;
        if ending != Ending::End {
            // Go parses a block apart, and then names the line on which it starts.
            if context == "block clause" {
                self.tokens[0] = start;
            }
            return Err(self.error(format_args!("unexpected {} in {context}", ending.describe())));
        }
        let tree = self.tree(name, body, &scope);
        self.define(tree)
    }

    fn definition(&mut self) -> Parsed<()> {
        let context = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        self.expect(T::RightDelim, context)?;
        self.own_template(&name, context)
    }

    fn template_name(&self, token: &Token<'_>, context: &str) -> Parsed<String> {
        match token.kind {
            T::Str | T::RawString => {
                unquote(&token.text).ok_or_else(|| self.error("invalid syntax"))
            }
            _ => Err(self.unexpected(token, context)),
        }
    }

    fn list(&mut self) -> Parsed<(Vec<Stmt>, Ending)> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.error("max expression depth exceeded"));
        }
        let mut list = Vec::new();
        while self.peek_non_space().kind != T::Eof {
            match self.text_or_action()? {
                Item::Stmt(stmt) => list.push(stmt),
                Item::Ending(ending) => {
                    self.nesting -= 1;
                    list.shrink_to_fit();
                    return Ok((list, ending));
                }
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        match token.kind {
            T::Text => {
                Ok(Item::Stmt(Stmt::Text(Text::new(self.text, token.pos, token.text.len()))))
            }
            T::LeftDelim => {
                self.action_start = Some(token.pos);
                let item = self.action();
                self.action_start = None;
                item
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        let stmt = match token.kind {
            T::Block => self.block()?,
            T::Break => self.loop_exit(Stmt::Break, "{{break}}")?,
            T::Continue => self.loop_exit(Stmt::Continue, "{{continue}}")?,
            T::Else => {
                // `{{else if …` leaves its keyword for the control structure around it.
                if !matches!(self.peek_non_space().kind, T::If | T::With) {
                    self.expect(T::RightDelim, "else")?;
                }
                return Ok(Item::Ending(Ending::Else));
            }
            T::End => {
                self.expect(T::RightDelim, "end")?;
                return Ok(Item::Ending(Ending::End));
            }
            T::If => self.if_control()?,
            T::Range => self.range_control()?,
            T::Template => self.template()?,
            T::With => self.with_control()?,
            _ => {
                self.backup();
                self.peek();
                Stmt::Action(Arc::new(self.pipeline("command", T::RightDelim)?))
            }
        };
        Ok(Item::Stmt(stmt))
    }

    fn loop_exit(&mut self, stmt: Stmt, name: &str) -> Parsed<Stmt> {
        let token = self.next_non_space();
        if token.kind != T::RightDelim {
            return Err(self.unexpected(&token, name));
        }
        if self.range_depth == 0 {
            return Err(self.error(format_args!("{name} outside {{{{range}}}}")));
        }
        Ok(stmt)
    }

    fn if_control(&mut self) -> Parsed<Stmt> {
        let mark = self.scope.mark();
        let pipe = Arc::new(self.pipeline("if", T::RightDelim)?);
        let (list, ending) = self.list()?;
        let otherwise = self.otherwise(ending, Some(T::If))?;
        self.scope.pop_to(mark);
        Ok(Stmt::If { pipe, body: Block { list, otherwise } })
    }

    fn with_control(&mut self) -> Parsed<Stmt> {
        let mark = self.scope.mark();
        let pipe = Arc::new(self.pipeline("with", T::RightDelim)?);
        let inner = self.scope.fresh();
        let outer = std::mem::replace(&mut self.scope.dot, inner);
        let (list, ending) = self.list()?;
        self.scope.dot = outer;
        let otherwise = self.otherwise(ending, Some(T::With))?;
        self.scope.pop_to(mark);
        Ok(Stmt::With { pipe, inner, body: Block { list, otherwise } })
    }

    fn range_control(&mut self) -> Parsed<Stmt> {
        let mark = self.scope.mark();
        let pipe = Arc::new(self.pipeline("range", T::RightDelim)?);
        let inner = self.scope.fresh();
        self.scope.elements.push(inner);
        self.scope.elements.extend(pipe.decls.last().and_then(|decl| decl.slot));
        let outer = std::mem::replace(&mut self.scope.dot, inner);
        self.range_depth += 1;
        let (list, ending) = self.list()?;
        self.range_depth -= 1;
        self.scope.dot = outer;
        let otherwise = self.otherwise(ending, None)?;
        self.scope.pop_to(mark);
        Ok(Stmt::Range { pipe, inner, body: Block { list, otherwise } })
    }

    // What follows `else`: a list up to `end`, or for `else if` and `else with` one more control
    // structure, whose `end` is this one's too.
    fn otherwise(&mut self, ending: Ending, chained: Option<T>) -> Parsed<Option<Vec<Stmt>>> {
        if ending == Ending::End {
            return Ok(None);
        }
        if chained.is_some_and(|kind| self.peek().kind == kind) {
            self.next();
            self.nesting += 1;
            if self.nesting > 10 * MAX_NESTING {
                return Err(self.error("max expression depth exceeded"));
            }
            let nested =
                if chained == Some(T::If) { self.if_control()? } else { self.with_control()? };
            self.nesting -= 1;
            return Ok(Some(vec![nested]));
        }
        let (list, ending) = self.list()?;
        if ending != Ending::End {
            return Err(self.error(format_args!("expected end; found {}", ending.describe())));
        }
        Ok(Some(list))
    }

    fn block(&mut self) -> Parsed<Stmt> {
        let context = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let pipe = self.pipeline(context, T::RightDelim)?;
        self.own_template(&name, context)?;
        Ok(self.call(&token, &name, Some(pipe)))
    }

    fn template(&mut self) -> Parsed<Stmt> {
        let context = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let mut pipe = None;
        if self.next_non_space().kind != T::RightDelim {
            self.backup();
            pipe = Some(self.pipeline(context, T::RightDelim)?);
        }
        Ok(self.call(&token, &name, pipe))
    }

    fn call(&self, token: &Token<'_>, name: &str, pipe: Option<Pipe>) -> Stmt {
        let pos = token.pos as Pos;
        Stmt::Template(Arc::new(Call { pos, name: Arc::from(name), pipe, dot: self.scope.dot }))
    }
}
