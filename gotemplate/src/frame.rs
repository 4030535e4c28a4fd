//! One running template.
//!
//! Owns its variables and what each of its actions does: a frame is the context of a program and
//! answers `p(n)`, the action of that number. Start at [`Frame`].

use std::sync::{Arc, Mutex};

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

use crate::ast::{DOT, Decl, Pipe, ROOT, Slot, Tree};
use crate::engine::{Layer, Run, carry};
use crate::error::Error;
use crate::eval::Eval;
use crate::lower::Op;
use crate::passes::range_items;
use crate::print::quote;
use crate::programs::{lock, program};
use crate::value::{as_list, as_native, is_true};

/// The context of a program: it has one name in it, `p`.
#[derive(Debug)]
struct Context(Value);

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        (key == "p").then(|| self.0.clone())
    }
}

/// One running template: where its variables are.
#[derive(Debug)]
pub(crate) struct Frame {
    pub run: Arc<Run>,
    pub layer: Arc<Layer>,
    pub tree: Arc<Tree>,
    slots: Mutex<Vec<Value>>,
    typed: Mutex<Vec<Slot>>,
}

impl Object for Frame {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(
        self: &Arc<Self>,
        _: &mut minijinja::State<'_, '_>,
        args: &[Value],
    ) -> Result<Value, minijinja::Error> {
        let op = args.first().and_then(Value::as_usize);
        let Some(op) = op.and_then(|op| program(&self.tree).ops.get(op)) else {
            return Ok(Value::from(""));
        };
        self.run_op(op, args.get(1)).map_err(carry)
    }
}

impl Frame {
    /// The start of a template: nothing is set but `$` and the dot.
    pub(crate) fn new(run: &Arc<Run>, layer: &Arc<Layer>, tree: &Arc<Tree>, data: Value) -> Self {
        let mut slots = vec![Value::UNDEFINED; tree.slot_count as usize];
        slots[ROOT as usize] = data.clone();
        slots[DOT as usize] = data;
        Self {
            run: run.clone(),
            layer: layer.clone(),
            tree: tree.clone(),
            slots: Mutex::new(slots),
            typed: Mutex::default(),
        }
    }

    /// The context of the template's program.
    pub(crate) fn into_context(self) -> Value {
        Value::from_object(Context(Value::from_object(self)))
    }

    pub(crate) fn get(&self, slot: Slot) -> Value {
        lock(&self.slots).get(slot as usize).cloned().unwrap_or_default()
    }

    pub(crate) fn set(&self, slot: Slot, value: Value) {
        if let Some(place) = lock(&self.slots).get_mut(slot as usize) {
            *place = value;
        }
    }

    fn run_op(&self, op: &Op, item: Option<&Value>) -> Result<Value, Error> {
        let eval = |pipe: &Pipe| Eval::new(self, pipe.dot, pipe.pos, pipe).pipeline(pipe);
        match op {
            Op::Print(pipe) => self.printed(eval(pipe)?),
            Op::Assign(pipe) => eval(pipe).map(|_| Value::from("")),
            Op::If(pipe) => eval(pipe).map(|value| Value::from(is_true(&value))),
            Op::With { pipe, inner } => {
                let value = eval(pipe)?;
                let truth = is_true(&value);
                if truth {
                    self.set(*inner, value);
                }
                Ok(Value::from(truth))
            }
            Op::Range { pipe, inner } => self.range(pipe, *inner),
            Op::RangeTest { pipe, inner } => {
                let found = self.range(pipe, *inner)?;
                let is_any = found.try_iter().is_ok_and(|mut items| items.next().is_some());
                self.set(*inner, found);
                Ok(Value::from(is_any))
            }
            Op::Items(slot) => Ok(self.get(*slot)),
            Op::Bind { pipe, inner, text_bytes } => {
                self.run.budget.take_steps(1)?;
                self.run.budget.take_output(*text_bytes)?;
                self.bind(&pipe.decls, *inner, item);
                Ok(Value::from(""))
            }
            Op::Template(call) => {
                let mut eval = Eval::new(self, call.dot, call.pos, &**call);
                let Some(found) = self.layer.find(&call.name) else {
                    let name = quote(&call.name);
                    return Err(eval.error(format_args!("template {name} not defined")));
                };
                let data = match &call.pipe {
                    Some(pipe) => eval.pipeline(pipe)?,
                    None => Value::UNDEFINED,
                };
                self.run.render_tree(&self.layer, found, &data).map(Value::from)
            }
            Op::Text(text) => Ok(Value::from(text.clone())),
        }
    }

    fn range(&self, pipe: &Pipe, inner: Slot) -> Result<Value, Error> {
        let mut eval = Eval::new(self, pipe.dot, pipe.pos, pipe);
        let value = eval.pipeline(pipe)?;
        self.note_typed(&value, pipe, inner);
        range_items(&value, pipe.decls.len() > 1).map_err(|text| eval.error(text))
    }

    // Of the elements of a number or of a `[]int` Go knows the type; see [`Frame::is_typed`].
    fn note_typed(&self, value: &Value, pipe: &Pipe, inner: Slot) {
        let is_typed = match as_native(value) {
            Some(native) => native.items().is_some(),
            None => value.is_integer(),
        };
        let mut typed = lock(&self.typed);
        if !is_typed && typed.is_empty() {
            return;
        }
        let slots = [Some(inner), pipe.decls.last().and_then(|decl| decl.slot)];
        for slot in slots.into_iter().flatten() {
            typed.retain(|known| *known != slot);
            if is_typed {
                typed.push(slot);
            }
        }
    }

    /// Whether a slot holds elements whose type Go knows without looking at them.
    pub(crate) fn is_typed(&self, slot: Slot) -> bool {
        lock(&self.typed).contains(&slot)
    }

    fn printed(&self, value: Value) -> Result<Value, Error> {
        if let Some(text) = value.as_str() {
            self.run.budget.take_output(text.len())?;
            return Ok(value);
        }
        if value.is_undefined() {
            return Ok(Value::from("<no value>"));
        }
        let text = crate::print::to_text(&value);
        self.run.budget.take_output(text.len())?;
        Ok(Value::from(text))
    }

    fn bind(&self, decls: &[Decl], inner: Slot, item: Option<&Value>) {
        let item = item.cloned().unwrap_or_default();
        let slot = |index: usize| decls.get(index).and_then(|decl| decl.slot);
        let element = match as_list(&item) {
            Some([key, element]) if decls.len() > 1 => {
                if let Some(slot) = slot(0) {
                    self.set(slot, key.clone());
                }
                if let Some(slot) = slot(1) {
                    self.set(slot, element.clone());
                }
                element.clone()
            }
            _ => {
                if let Some(slot) = slot(0) {
                    self.set(slot, item.clone());
                }
                item
            }
        };
        self.set(inner, element);
    }
}
