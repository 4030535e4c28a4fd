//! Template variables → slots.
//!
//! Go looks variables up by name on a stack at run time; scopes are lexical, so the parser can do
//! it once: every declaration gets a slot of its own in the template's frame. Start at [`Scope`].

use crate::ast::{DOT, ROOT, Slot};

/// The variables in sight while a template is parsed.
#[derive(Debug)]
pub(crate) struct Scope {
    names: Vec<(Box<str>, Option<Slot>)>,
    slot_count: u32,
    /// The slot of dot here.
    pub dot: Slot,
    /// Slots that hold elements of what a `range` runs over.
    pub elements: Vec<Slot>,
}

impl Scope {
    pub(crate) fn new() -> Self {
        Self {
            names: vec![("$".into(), Some(ROOT))],
            slot_count: DOT + 1,
            dot: DOT,
            elements: Vec::new(),
        }
    }

    /// A slot that nothing else uses.
    pub(crate) fn fresh(&mut self) -> Slot {
        self.slot_count += 1;
        self.slot_count - 1
    }

    pub(crate) fn slot_count(&self) -> u32 {
        self.slot_count
    }

    /// `:=`
    pub(crate) fn declare(&mut self, name: &str) -> Slot {
        let slot = self.fresh();
        self.names.push((name.into(), Some(slot)));
        slot
    }

    /// `=`. An unknown name is known from here on, but fails when it runs.
    pub(crate) fn assign(&mut self, name: &str) -> Option<Slot> {
        let slot = self.find(name).flatten();
        if slot.is_none() {
            self.names.push((name.into(), None));
        }
        slot
    }

    /// The innermost variable of that name: `None` is not in sight, `Some(None)` never declared.
    pub(crate) fn find(&self, name: &str) -> Option<Option<Slot>> {
        self.names.iter().rev().find(|(known, _)| **known == *name).map(|(_, slot)| *slot)
    }

    pub(crate) fn mark(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn pop_to(&mut self, mark: usize) {
        self.names.truncate(mark);
    }
}
