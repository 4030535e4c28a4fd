//! One running template.
//!
//! Owns its variables, its output and what each of its actions does: a frame is the context of a
//! program and answers `p(n)`, the action of that number. Start at [`Frame`].

use std::sync::{Arc, Mutex};

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

use crate::ast::{DOT, Decl, Pipe, ROOT, Slot, Tree};
use crate::engine::{Layer, Run, carry};
use crate::error::Error;
use crate::eval::Eval;
use crate::lower::{Op, Step};
use crate::passes::range_items;
use crate::print::quote;
use crate::programs::{lock, program};
use crate::value::{as_list, as_native, is_true};

/// One running template: where its variables are.
#[derive(Debug)]
pub(crate) struct Frame {
    pub run: Arc<Run>,
    pub layer: Arc<Layer>,
    pub tree: Arc<Tree>,
    slots: Mutex<Vec<Value>>,
    typed: Mutex<Vec<Slot>>,
    out: Mutex<String>,
}

impl Object for Frame {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    /// As the context of a program it has one name in it, `p`: itself.
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        (key == "p").then(|| Value::from_dyn_object(self.clone()))
    }

    fn call(
        self: &Arc<Self>,
        _: &mut minijinja::State<'_, '_>,
        args: &[Value],
    ) -> Result<Value, minijinja::Error> {
        let op = args.first().and_then(Value::as_usize);
        let Some(op) = op.and_then(|op| program(&self.tree).ops.get(op)) else {
            return Ok(Value::UNDEFINED);
        };
        self.run_op(op, args.get(1)).map_err(carry)
    }
}

impl Frame {
    /// The start of a template: nothing is set but `$` and the dot. It writes behind `out`.
    pub(crate) fn new(
        run: &Arc<Run>,
        layer: &Arc<Layer>,
        tree: &Arc<Tree>,
        data: Value,
        out: String,
    ) -> Self {
        let mut slots = vec![Value::UNDEFINED; tree.slot_count as usize];
        slots[ROOT as usize] = data.clone();
        slots[DOT as usize] = data;
        Self {
            run: run.clone(),
            layer: layer.clone(),
            tree: tree.clone(),
            slots: Mutex::new(slots),
            typed: Mutex::default(),
            out: Mutex::new(out),
        }
    }

    /// What was written so far; nothing is left.
    pub(crate) fn take_output(&self) -> String {
        std::mem::take(&mut *lock(&self.out))
    }

    pub(crate) fn get(&self, slot: Slot) -> Value {
        lock(&self.slots).get(slot as usize).cloned().unwrap_or_default()
    }

    pub(crate) fn set(&self, slot: Slot, value: Value) {
        if let Some(place) = lock(&self.slots).get_mut(slot as usize) {
            *place = value;
        }
    }

    pub(crate) fn run_op(&self, op: &Op, item: Option<&Value>) -> Result<Value, Error> {
        match op {
            Op::Run(steps) => {
                steps.iter().try_for_each(|step| self.run_step(step)).map(|()| Value::UNDEFINED)
            }
            Op::If(pipe) => self.eval(pipe).map(|value| Value::from(is_true(&value))),
            Op::With { pipe, inner } => {
                let value = self.eval(pipe)?;
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
            Op::Bind { pipe, inner } => {
                self.run.budget.take_steps(1)?;
                self.bind(&pipe.decls, *inner, item);
                Ok(Value::UNDEFINED)
            }
        }
    }

    fn eval(&self, pipe: &Pipe) -> Result<Value, Error> {
        Eval::new(self, pipe.dot, pipe.pos, pipe).pipeline(pipe)
    }

    fn run_step(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Text(text) => self.write(text),
            Step::Print(pipe) => self.print(&self.eval(pipe)?),
            Step::Assign(pipe) => self.eval(pipe).map(drop),
            Step::Template(call) => {
                let mut eval = Eval::new(self, call.dot, call.pos, &**call);
                let Some(found) = self.layer.find(&call.name) else {
                    let name = quote(&call.name);
                    return Err(eval.error(format_args!("template {name} not defined")));
                };
                let data = match &call.pipe {
                    Some(pipe) => eval.pipeline(pipe)?,
                    None => Value::UNDEFINED,
                };
                let out = self.run.render_tree(&self.layer, found, &data, self.take_output())?;
                *lock(&self.out) = out;
                Ok(())
            }
        }
    }

    fn write(&self, text: &str) -> Result<(), Error> {
        self.run.budget.take_output(text.len())?;
        lock(&self.out).push_str(text);
        Ok(())
    }

    fn print(&self, value: &Value) -> Result<(), Error> {
        match value.as_str() {
            Some(text) => self.write(text),
            None if value.is_undefined() => self.write("<no value>"),
            None => self.write(&crate::print::to_text(value)),
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
