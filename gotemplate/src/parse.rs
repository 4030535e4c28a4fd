//! Tokens → tree, with Go's grammar, positions and error texts.
//!
//! Owns the grammar. Knows nothing of running a template. Start at [`parse`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use minijinja::Value;

use crate::ast::{Block, Call, Command, Decl, Expr, ExprKind, Pipe, Pos, Stmt, Tree};
use crate::error::{Error, ErrorKind};
use crate::funcs::Registry;
use crate::lex::{Delimiters, Lexer, Token, TokenKind as T};
use crate::literal::{number, unquote};
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
    text: &Arc<str>,
    delimiters: &Delimiters,
    registry: &Registry,
) -> Result<Definitions, Error> {
    let mut parser = Parser {
        parse_name: Arc::from(name),
        text: text.clone(),
        registry,
        lexer: Lexer::new(text, delimiters),
        tokens: std::array::from_fn(|_| Token { kind: T::Eof, pos: 0, text: Cow::Borrowed("") }),
        peek_count: 0,
        action_start: None,
        definitions: BTreeMap::new(),
        scope: Scope::new(),
        range_depth: 0,
        nesting: 0,
    };
    parser.top()?;
    Ok(parser.definitions)
}

struct Parser<'a> {
    parse_name: Arc<str>,
    text: Arc<str>,
    registry: &'a Registry,
    lexer: Lexer<'a>,
    // Three tokens of look-ahead, as in Go: the first one also gives errors their line.
    tokens: [Token<'a>; 3],
    peek_count: usize,
    action_start: Option<usize>,
    definitions: Definitions,
    scope: Scope,
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
            text: self.text.clone(),
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
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let outer_depth = std::mem::take(&mut self.range_depth);
        let (body, ending) = self.list()?;
        let scope = std::mem::replace(&mut self.scope, outer);
        self.range_depth = outer_depth;
        if ending != Ending::End {
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
                    return Ok((list, ending));
                }
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        match token.kind {
            T::Text => Ok(Item::Stmt(Stmt::Text(token.text.into()))),
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

    fn pipeline(&mut self, context: &str, end: T) -> Parsed<Pipe> {
        let pos = self.peek_non_space().pos as Pos;
        let (names, is_assign) = self.declarations(context)?;
        let mut pipe =
            Pipe { pos, dot: self.scope.dot, decls: Vec::new(), is_assign, commands: Vec::new() };
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                T::Bool
                | T::CharConstant
                | T::Complex
                | T::Dot
                | T::Field
                | T::Identifier
                | T::Number
                | T::Nil
                | T::RawString
                | T::Str
                | T::Variable
                | T::LeftParen => {
                    self.backup();
                    pipe.commands.push(self.command()?);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        self.check_pipeline(&pipe, context)?;
        // Only now: in `$x := f $x` the right side means the outer variable.
        pipe.decls = self.declare(names, is_assign);
        Ok(pipe)
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return Err(self.error(format_args!("missing value for {context}")));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.args.first().map(|arg| &arg.kind);
            if let Some(
                ExprKind::Bool(_)
                | ExprKind::Dot
                | ExprKind::Nil
                | ExprKind::Number(_)
                | ExprKind::Str { .. },
            ) = first
            {
                return Err(self.error(format_args!(
                    "non executable command in pipeline stage {}",
                    index + 1
                )));
            }
        }
        Ok(())
    }

    // `$a :=`, `$a =`, `$i, $e :=`; the second word tells whether it assigns.
    fn declarations(&mut self, context: &str) -> Parsed<(Vec<Token<'a>>, bool)> {
        let mut names = Vec::new();
        while self.peek_non_space().kind == T::Variable {
            let variable = self.next();
            let after = self.peek();
            let next = self.peek_non_space();
            match next.kind {
                T::Assign | T::Declare => {
                    self.next_non_space();
                    names.push(variable);
                    return Ok((names, next.kind == T::Assign));
                }
                T::Char if next.text == "," => {
                    self.next_non_space();
                    names.push(variable);
                    if context != "range" || names.len() >= 2 {
                        return Err(self.error(format_args!("too many declarations in {context}")));
                    }
                    if !matches!(
                        self.peek_non_space().kind,
                        T::Variable | T::RightDelim | T::RightParen
                    ) {
                        return Err(self.error("range can only initialize variables"));
                    }
                }
                _ if after.kind == T::Space => {
                    // Three tokens back: the variable, the space, what follows.
                    self.tokens[1] = after;
                    self.tokens[2] = variable;
                    self.peek_count = 3;
                    break;
                }
                _ => {
                    self.tokens[1] = variable;
                    self.peek_count = 2;
                    break;
                }
            }
        }
        Ok((names, false))
    }

    fn declare(&mut self, names: Vec<Token<'a>>, is_assign: bool) -> Vec<Decl> {
        let mut decls = Vec::with_capacity(names.len());
        for token in names {
            let slot = if is_assign {
                self.scope.assign(&token.text)
            } else {
                Some(self.scope.declare(&token.text))
            };
            decls.push(Decl { name: token.text.into(), slot });
        }
        decls
    }

    fn command(&mut self) -> Parsed<Command> {
        let pos = self.peek_non_space().pos as Pos;
        let mut args = Vec::new();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            let token = self.next();
            match token.kind {
                T::Space => continue,
                T::RightDelim | T::RightParen => self.backup(),
                T::Pipe => {}
                _ => return Err(self.unexpected(&token, "operand")),
            }
            break;
        }
        if args.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(Command { pos, args })
    }

    fn operand(&mut self) -> Parsed<Option<Expr>> {
        let Some(mut node) = self.term()? else { return Ok(None) };
        if self.peek().kind != T::Field {
            return Ok(Some(node));
        }
        // The position of `.a.b` is that of `.b`, as in Go.
        let pos = self.peek().pos as Pos;
        let mut fields: Vec<Arc<str>> = Vec::new();
        while self.peek().kind == T::Field {
            fields.push(Arc::from(&self.next().text[1..]));
        }
        match &mut node.kind {
            ExprKind::Field(names) | ExprKind::Var { fields: names, .. } => {
                names.extend(fields);
                node.pos = pos;
                Ok(Some(node))
            }
            ExprKind::Bool(_)
            | ExprKind::Str { .. }
            | ExprKind::Number(_)
            | ExprKind::Nil
            | ExprKind::Dot => {
                let term = crate::print::quote(&node.to_string());
                Err(self.error(format_args!("unexpected . after term {term}")))
            }
            _ => {
                let kind = ExprKind::Chain { base: Box::new(node), fields };
                Ok(Some(Expr { pos, kind }))
            }
        }
    }

    fn term(&mut self) -> Parsed<Option<Expr>> {
        let token = self.next_non_space();
        let kind = match token.kind {
            T::Identifier => match self.registry.get(&token.text) {
                Some(func) => ExprKind::Ident(func.clone()),
                None => {
                    let name = crate::print::quote(&token.text);
                    return Err(self.error(format_args!("function {name} not defined")));
                }
            },
            T::Dot => ExprKind::Dot,
            T::Nil => ExprKind::Nil,
            T::Variable => match self.scope.find(&token.text) {
                Some(slot) => {
                    ExprKind::Var { name: token.text.as_ref().into(), slot, fields: Vec::new() }
                }
                None => {
                    let name = crate::print::quote(&token.text);
                    return Err(self.error(format_args!("undefined variable {name}")));
                }
            },
            T::Field => ExprKind::Field(vec![Arc::from(&token.text[1..])]),
            T::Bool => ExprKind::Bool(token.text == "true"),
            T::CharConstant | T::Complex | T::Number => {
                let number = number(&token.text, token.kind).map_err(|text| self.error(text))?;
                ExprKind::Number(number)
            }
            T::LeftParen => {
                self.nesting += 1;
                if self.nesting > MAX_NESTING {
                    return Err(self.error("max expression depth exceeded"));
                }
                let pipe = self.pipeline("parenthesized pipeline", T::RightParen)?;
                self.nesting -= 1;
                let pos = pipe.pos;
                return Ok(Some(Expr { pos, kind: ExprKind::Pipe(Box::new(pipe)) }));
            }
            T::Str | T::RawString => match unquote(&token.text) {
                Some(text) => {
                    ExprKind::Str { quoted: token.text.as_ref().into(), value: Value::from(text) }
                }
                None => return Err(self.error("invalid syntax")),
            },
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(Expr { pos: token.pos as Pos, kind }))
    }
}
