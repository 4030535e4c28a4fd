//! Evaluates pipelines with Go's rules, and words their errors as Go does.
//!
//! Owns fields, methods, calls, argument types, `and`/`or`. Control flow is minijinja's; printing
//! is in [`crate::print`]. Start at [`Eval::pipeline`].

use std::fmt::Display;
use std::sync::Arc;

use minijinja::Value;

use crate::ast::{Command, Expr, ExprKind, Pipe, Pos, Slot};
use crate::engine::MissingKey;
use crate::error::{Error, ErrorKind, FuncError};
use crate::frame::Frame;
use crate::funcs::builtin::call_error;
use crate::funcs::{Args, Cx, Func, FuncResult, Param};
use crate::int_width::{Width, width};
use crate::print::quote;
use crate::value::{self, Kind, as_dict, as_native, is_true, kind_of, nil, type_name};

type Evaluated = Result<Value, Error>;

// Between two checks of the stack one pipeline and its calls must fit in here.
const STACK_RED_ZONE: usize = 96 * 1024;
const STACK_SEGMENT: usize = 1024 * 1024;

/// The evaluation of one pipeline in a frame.
pub(crate) struct Eval<'a> {
    frame: &'a Frame,
    dot: Value,
    dot_slot: Slot,
    /// The node that an error now would be reported at.
    at: (Pos, &'a dyn Display),
}

impl<'a> Eval<'a> {
    pub(crate) fn new(frame: &'a Frame, dot: Slot, pos: Pos, node: &'a dyn Display) -> Self {
        Self { frame, dot: frame.get(dot), dot_slot: dot, at: (pos, node) }
    }

    fn at(&mut self, pos: Pos, node: &'a dyn Display) {
        self.at = (pos, node);
    }

    fn context(&self) -> String {
        let tree = &self.frame.tree;
        let (pos, node) = self.at;
        format!("template: {}: executing {} at <{node}>: ", tree.location(pos), quote(&tree.name))
    }

    pub(crate) fn error(&self, text: impl Display) -> Error {
        Error::new(ErrorKind::Exec, format!("{}{text}", self.context()))
    }

    fn call_error(&self, name: &str, cause: FuncError) -> Error {
        let text = format!("{}error calling {name}: {cause}", self.context());
        Error::wrapping(ErrorKind::Exec, text, cause.0)
    }

    /// The value of a pipeline; its variables are set.
    pub(crate) fn pipeline(&mut self, pipe: &'a Pipe) -> Evaluated {
        stacker::maybe_grow(STACK_RED_ZONE, STACK_SEGMENT, || self.pipeline_here(pipe))
    }

    fn pipeline_here(&mut self, pipe: &'a Pipe) -> Evaluated {
        self.at(pipe.pos, pipe);
        let mut last = None;
        for command in &pipe.commands {
            let value = self.command(command, last.take())?;
            // A nil interface is no value from here on, as in Go.
            last = Some(if value.is_none() { Value::UNDEFINED } else { value });
        }
        let value = last.unwrap_or_default();
        for decl in &pipe.decls {
            match decl.slot {
                Some(slot) => self.frame.set(slot, value.clone()),
                None => return Err(self.error(format_args!("undefined variable: {}", decl.name))),
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'a Command, last: Option<Value>) -> Evaluated {
        self.frame.run.budget.take_steps(1)?;
        let Some(first) = command.args.first() else { return Ok(Value::UNDEFINED) };
        match &first.kind {
            ExprKind::Field(fields) => {
                self.at(first.pos, first);
                self.chain(self.dot.clone(), (first, fields), &command.args, last)
            }
            ExprKind::Chain { base, fields } => {
                let receiver = self.chain_base(first, base)?;
                self.chain(receiver, (first, fields), &command.args, last)
            }
            ExprKind::Var { fields, .. } => {
                let value = self.variable(first)?;
                if fields.is_empty() {
                    self.not_a_function(&command.args, &last)?;
                    return Ok(value);
                }
                self.chain(value, (first, fields), &command.args, last)
            }
            ExprKind::Ident(func) => {
                self.at(first.pos, first);
                self.call(func, (command.pos, command), &command.args[1..], last)
            }
            ExprKind::Pipe(pipe) => {
                self.not_a_function(&command.args, &last)?;
                self.pipeline(pipe)
            }
            _ => {
                self.at(first.pos, first);
                self.not_a_function(&command.args, &last)?;
                match &first.kind {
                    ExprKind::Nil => Err(self.error("nil is not a command")),
                    _ => self.constant(first),
                }
            }
        }
    }

    fn not_a_function(&self, args: &[Expr], last: &Option<Value>) -> Result<(), Error> {
        if args.len() > 1 || last.is_some() {
            let text = match &args[0].kind {
                ExprKind::Pipe(pipe) => pipe.to_string(),
                _ => args[0].to_string(),
            };
            return Err(self.error(format_args!("can't give argument to non-function {text}")));
        }
        Ok(())
    }

    fn constant(&mut self, expr: &'a Expr) -> Evaluated {
        match &expr.kind {
            ExprKind::Dot => Ok(self.dot.clone()),
            ExprKind::Bool(flag) => Ok(Value::from(*flag)),
            ExprKind::Str { value, .. } => Ok(value.clone()),
            ExprKind::Number(number) => match &number.ideal {
                Some(value) => Ok(value.clone()),
                None => Err(self.error(format_args!("{} overflows int", number.text))),
            },
            _ => {
                Err(self.error(format_args!("can't evaluate command {}", quote(&expr.to_string()))))
            }
        }
    }

    fn variable(&mut self, expr: &'a Expr) -> Evaluated {
        self.at(expr.pos, expr);
        match &expr.kind {
            ExprKind::Var { slot: Some(slot), .. } => Ok(self.frame.get(*slot)),
            ExprKind::Var { name, .. } => {
                Err(self.error(format_args!("undefined variable: {name}")))
            }
            _ => Ok(Value::UNDEFINED),
        }
    }

    fn chain_base(&mut self, chain: &'a Expr, base: &'a Expr) -> Evaluated {
        self.at(chain.pos, chain);
        if matches!(base.kind, ExprKind::Nil) {
            return Err(self.error(format_args!("indirection through explicit nil in {chain}")));
        }
        self.argument(base, None)
    }

    // `.A.B.C arg…`: the last field gets the arguments, if it is a method.
    fn chain(
        &mut self,
        mut receiver: Value,
        (node, fields): (&'a Expr, &'a [Arc<str>]),
        args: &'a [Expr],
        last: Option<Value>,
    ) -> Evaluated {
        let Some((name, path)) = fields.split_last() else { return Ok(receiver) };
        for (index, name) in path.iter().enumerate() {
            receiver = self.field(&receiver, name, (node, index), &[], None)?;
        }
        self.field(&receiver, name, (node, path.len()), args, last)
    }

    // Whether Go would know no more of the receiver of the chain's field at `index` than
    // `interface {}`: it comes out of a map or list.
    fn is_interface(&self, (node, index): (&Expr, usize)) -> bool {
        let slot = match &node.kind {
            ExprKind::Field(_) => Some(self.dot_slot),
            ExprKind::Var { slot, .. } => *slot,
            _ => None,
        };
        let is_element =
            |slot| self.frame.tree.elements.contains(&slot) && !self.frame.is_typed(slot);
        index > 0 || slot.is_some_and(is_element)
    }

    #[expect(clippy::too_many_arguments, reason = "a field access is all of these at once")]
    fn field(
        &mut self,
        receiver: &Value,
        name: &'a str,
        node: (&'a Expr, usize),
        args: &'a [Expr],
        last: Option<Value>,
    ) -> Evaluated {
        let missing = self.frame.run.missing_key();
        if receiver.is_undefined() {
            if missing == MissingKey::Error {
                let key = quote(name);
                return Err(self.error(format_args!("nil data; no entry for key {key}")));
            }
            return Ok(Value::UNDEFINED);
        }
        if receiver.is_none() {
            return Err(self.error(format_args!("nil pointer evaluating interface {{}}.{name}")));
        }
        let has_args = args.len() > 1 || last.is_some();
        if let Some(dict) = as_dict(receiver) {
            if has_args {
                return Err(self.error(format_args!("{name} is not a method but has arguments")));
            }
            return match dict.get(name) {
                Some(value) => Ok(value),
                None => self.missing_key(dict.type_name(), name),
            };
        }
        let Some(object) = as_native(receiver) else {
            let type_name = match self.is_interface(node) {
                true => "interface {}",
                false => type_name(receiver),
            };
            return Err(self.error(format_args!("can't evaluate field {name} in type {type_name}")));
        };
        if let Some(params) = object.method(name) {
            let args = args.get(1..).unwrap_or_default();
            let values = self.arguments(name, params, args, last)?;
            let cx = self.cx();
            return object.call(&cx, name, Args(&values)).map_err(|cause| {
                self.at(node.0.pos, node.0);
                self.call_error(name, cause)
            });
        }
        if let Some(value) = object.field(name) {
            if has_args {
                return Err(self.error(format_args!(
                    "{name} has arguments but cannot be invoked as function"
                )));
            }
            return Ok(value);
        }
        if object.entries().is_some() {
            if has_args {
                return Err(self.error(format_args!("{name} is not a method but has arguments")));
            }
            return self.missing_key(object.type_name(), name);
        }
        let type_name = match object.items().is_some() && self.is_interface(node) {
            true => "interface {}",
            false => object.type_name(),
        };
        Err(self.error(format_args!("can't evaluate field {name} in type {type_name}")))
    }

    fn missing_key(&self, type_name: &str, name: &str) -> Evaluated {
        match self.frame.run.missing_key() {
            MissingKey::Default => Ok(Value::UNDEFINED),
            MissingKey::Zero if type_name == "map[string]string" => Ok(Value::from("")),
            MissingKey::Zero => Ok(nil()),
            MissingKey::Error => {
                Err(self.error(format_args!("map has no entry for key {}", quote(name))))
            }
        }
    }

    fn cx(&self) -> Cx<'a> {
        Cx { run: &self.frame.run, layer: &self.frame.layer }
    }

    fn call(
        &mut self,
        func: &'a Func,
        node: (Pos, &'a dyn Display),
        args: &'a [Expr],
        last: Option<Value>,
    ) -> Evaluated {
        if matches!(&*func.name, "and" | "or") && func.params.first() == Some(&Param::Reflect) {
            return self.and_or(func, args, last);
        }
        let values = self.arguments(&func.name, func.params, args, last)?;
        if &*func.name == "call" {
            let name = match args.first().map(|callee| &callee.kind) {
                Some(ExprKind::Pipe(pipe)) => pipe.to_string(),
                Some(_) => args[0].to_string(),
                None => reflect_text(&values[0]),
            };
            let cause = call_error(&name, &values[0]);
            self.at = node;
            return Err(self.call_error(&func.name, cause));
        }
        (func.body)(&self.cx(), Args(&values)).map_err(|cause| {
            self.at = node;
            self.call_error(&func.name, cause)
        })
    }

    fn and_or(&mut self, func: &'a Func, args: &'a [Expr], last: Option<Value>) -> Evaluated {
        self.check_count(&func.name, func.params, args.len(), last.is_some())?;
        let stops_at = &*func.name == "or";
        let mut value = Value::UNDEFINED;
        for arg in args {
            value = self.argument(arg, Some(Param::Reflect))?;
            if is_true(&value) == stops_at {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn check_count(
        &self,
        name: &str,
        params: &[Param],
        given: usize,
        has_last: bool,
    ) -> Result<(), Error> {
        let count = given + usize::from(has_last);
        let variadic = params.last().is_some_and(|param| param.is_variadic());
        let fixed = params.len() - usize::from(variadic);
        if variadic && count < fixed {
            return Err(self.error(format_args!(
                "wrong number of args for {name}: want at least {fixed} got {given}"
            )));
        }
        if !variadic && count != fixed {
            return Err(self
                .error(format_args!("wrong number of args for {name}: want {fixed} got {count}")));
        }
        Ok(())
    }

    fn arguments(
        &mut self,
        name: &str,
        params: &'static [Param],
        args: &'a [Expr],
        last: Option<Value>,
    ) -> Result<Vec<Value>, Error> {
        self.check_count(name, params, args.len(), last.is_some())?;
        let param_at = |index: usize| {
            params.get(index).or(params.last()).map_or(Param::Any, |param| param.element())
        };
        let mut values = Vec::with_capacity(args.len() + 1);
        for (index, arg) in args.iter().enumerate() {
            values.push(self.argument(arg, Some(param_at(index)))?);
        }
        if let Some(last) = last {
            values.push(self.check(last, param_at(args.len()))?);
        }
        Ok(values)
    }

    // `param` is `None` for the start of a chain, which takes anything as it is.
    fn argument(&mut self, expr: &'a Expr, param: Option<Param>) -> Evaluated {
        match &expr.kind {
            ExprKind::Pipe(pipe) => self.at(expr.pos, &**pipe),
            _ => self.at(expr.pos, expr),
        }
        let value = match &expr.kind {
            ExprKind::Dot => self.dot.clone(),
            ExprKind::Nil => return self.nil_argument(param),
            ExprKind::Field(fields) => self.chain(self.dot.clone(), (expr, fields), &[], None)?,
            ExprKind::Var { fields, .. } => {
                let value = self.variable(expr)?;
                self.chain(value, (expr, fields), &[], None)?
            }
            ExprKind::Pipe(pipe) => self.pipeline(pipe)?,
            ExprKind::Ident(func) => self.call(func, (expr.pos, expr), &[], None)?,
            ExprKind::Chain { base, fields } => {
                let receiver = self.chain_base(expr, base)?;
                self.chain(receiver, (expr, fields), &[], None)?
            }
            ExprKind::Bool(_) | ExprKind::Number(_) | ExprKind::Str { .. } => {
                return self.literal(expr, param.unwrap_or(Param::Any));
            }
        };
        match param {
            Some(param) => self.check(value, param),
            None => Ok(value),
        }
    }

    fn nil_argument(&self, param: Option<Param>) -> Evaluated {
        let param = param.unwrap_or(Param::Any);
        match param {
            Param::Reflect => Ok(Value::UNDEFINED),
            Param::Any | Param::Dict | Param::List => Ok(nil()),
            _ => Err(self.error(format_args!("cannot assign nil to {}", param.type_name()))),
        }
    }

    // A constant takes the type of the parameter it meets.
    fn literal(&mut self, expr: &'a Expr, param: Param) -> Evaluated {
        let wrong = |eval: &Self, wanted: &str| {
            Err(eval.error(format_args!("expected {wanted}; found {expr}")))
        };
        let number = match &expr.kind {
            ExprKind::Number(number) => Some(number),
            _ => None,
        };
        match (param, &expr.kind) {
            (Param::Any | Param::Reflect, _) => self.constant(expr),
            (Param::Bool, ExprKind::Bool(_)) | (Param::Str, ExprKind::Str { .. }) => {
                self.constant(expr)
            }
            (Param::Bool, _) => wrong(self, "bool"),
            (Param::Str, _) => wrong(self, "string"),
            (Param::Int, _) => match number.and_then(|number| number.int) {
                Some(whole) => Ok(value::int(whole)),
                None => wrong(self, "integer"),
            },
            (Param::Int64, _) => match number.and_then(|number| number.int) {
                Some(whole) => Ok(value::int64(whole)),
                None => wrong(self, "integer"),
            },
            (Param::Float, _) => match number.and_then(|number| number.float) {
                Some(float) => Ok(Value::from(float)),
                None => wrong(self, "float"),
            },
            _ => Err(self
                .error(format_args!("can't handle {expr} for arg of type {}", param.type_name()))),
        }
    }

    // Go's validateType: whether a value may be passed where the parameter stands.
    fn check(&self, value: Value, param: Param) -> Evaluated {
        let fits = match param {
            Param::Reflect => return Ok(value),
            Param::Any if value.is_undefined() => return Ok(nil()),
            Param::Any => return Ok(value),
            Param::Dict | Param::List if value.is_undefined() => return Ok(nil()),
            _ if value.is_undefined() => {
                let wanted = param.type_name();
                return Err(self.error(format_args!("invalid value; expected {wanted}")));
            }
            Param::Str => value.as_str().is_some(),
            Param::Bool => kind_of(&value) == Kind::Bool,
            Param::Int => value.is_integer() && width(&value) == Width::Int,
            Param::Int64 => value.is_integer() && width(&value) == Width::Int64,
            Param::Float => kind_of(&value) == Kind::Float,
            Param::Dict => {
                as_dict(&value).is_some_and(|dict| dict.type_name() != "map[string]string")
            }
            Param::List => kind_of(&value) == Kind::List,
            _ => true,
        };
        if fits {
            return Ok(value);
        }
        let got = if value.is_none() { "interface {}" } else { type_name(&value) };
        let wanted = param.type_name();
        Err(self.error(format_args!("wrong type for value; expected {wanted}; got {got}")))
    }
}

// How Go prints a `reflect.Value` that is no text.
fn reflect_text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => format!("<{} Value>", type_name(value)),
    }
}

/// Calls a function from minijinja's side, as `.j2` charts do: arguments are checked, constants
/// are not retyped.
pub(crate) fn call_plain(func: &Func, cx: &Cx<'_>, args: &[Value]) -> FuncResult {
    let variadic = func.params.last().is_some_and(|param| param.is_variadic());
    let fixed = func.params.len() - usize::from(variadic);
    if args.len() < fixed || (!variadic && args.len() > fixed) {
        return Err(FuncError::new(format!(
            "wrong number of args for {}: want {fixed} got {}",
            func.name,
            args.len()
        )));
    }
    (func.body)(cx, Args(args))
}
