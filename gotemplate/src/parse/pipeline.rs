//! What stands in an action: declarations, pipelines, commands, operands.
//!
//! Owns that half of the grammar. Knows nothing of control structures. Start at
//! [`Parser::pipeline`].

use std::sync::Arc;

use minijinja::Value;

use super::{MAX_NESTING, Parsed, Parser};
use crate::ast::{Command, Decl, Expr, ExprKind, Pipe, Pos};
use crate::lex::{Token, TokenKind as T};
use crate::literal::{number, unquote};

impl<'a> Parser<'a> {
    pub(super) fn pipeline(&mut self, context: &str, end: T) -> Parsed<Pipe> {
        let pos = self.peek_non_space().pos as Pos;
        let (names, is_assign) = self.declarations(context)?;
        // Most pipelines have one command.
        let mut commands = Vec::with_capacity(1);
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
                    commands.push(self.command()?);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        self.check_pipeline(&commands, context)?;
        // Only now: in `$x := f $x` the right side means the outer variable.
        let decls = self.declare(names, is_assign);
        Ok(Pipe { pos, dot: self.scope.dot, decls, is_assign, commands: commands.into() })
    }

    fn check_pipeline(&self, commands: &[Command], context: &str) -> Parsed<()> {
        if commands.is_empty() {
            return Err(self.error(format_args!("missing value for {context}")));
        }
        for (index, command) in commands.iter().enumerate().skip(1) {
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
        let first = self.operands.len();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                self.operands.push(operand);
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
        if self.operands.len() == first {
            return Err(self.error("empty command"));
        }
        Ok(Command { pos, args: self.operands.drain(first..).collect() })
    }

    fn operand(&mut self) -> Parsed<Option<Expr>> {
        let Some(mut node) = self.term()? else { return Ok(None) };
        if self.peek().kind != T::Field {
            return Ok(Some(node));
        }
        // The position of `.a.b` is that of `.b`, as in Go.
        let pos = self.peek().pos as Pos;
        let mut fields = match &mut node.kind {
            ExprKind::Field(names) | ExprKind::Var { fields: names, .. } => {
                std::mem::take(names).into_vec()
            }
            _ => Vec::new(),
        };
        fields.reserve_exact(2);
        while self.peek().kind == T::Field {
            fields.push(Arc::from(&self.next().text[1..]));
        }
        match &mut node.kind {
            ExprKind::Field(names) | ExprKind::Var { fields: names, .. } => {
                *names = fields.into();
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
                let kind = ExprKind::Chain { base: Box::new(node), fields: fields.into() };
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
                    ExprKind::Var { name: token.text.as_ref().into(), slot, fields: Box::default() }
                }
                None => {
                    let name = crate::print::quote(&token.text);
                    return Err(self.error(format_args!("undefined variable {name}")));
                }
            },
            T::Field => ExprKind::Field(Box::new([Arc::from(&token.text[1..])])),
            T::Bool => ExprKind::Bool(token.text == "true"),
            T::CharConstant | T::Complex | T::Number => {
                let number = number(&token.text, token.kind).map_err(|text| self.error(text))?;
                ExprKind::Number(Box::new(number))
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
