//! Lets go of deep data without deep recursion.
//!
//! A template may nest maps in a loop, as deep as its steps allow. Dropped naively, each level
//! would take some of the stack, and a chart could end the process. Start at [`drop_entries`].

use std::cell::RefCell;

use crate::value::Entries;

thread_local! {
    /// What waits to be dropped, while somebody further up this stack does it.
    static WAITING: RefCell<Option<Vec<Entries>>> = const { RefCell::new(None) };
}

/// Drops the entries of a map. Maps that go with them wait for the outermost call.
pub(crate) fn drop_entries(entries: Entries) {
    if entries.is_empty() {
        return;
    }
    // `None` when the thread ends and has let go of its variables; little is left then.
    let Some(mut next) = WAITING.try_with(|waiting| enqueue(waiting, entries)).ok().flatten()
    else {
        return;
    };
    loop {
        drop(next);
        let waiting = WAITING.try_with(|waiting| {
            let mut waiting = waiting.borrow_mut();
            let popped = waiting.as_mut().and_then(Vec::pop);
            if popped.is_none() {
                *waiting = None;
            }
            popped
        });
        match waiting.ok().flatten() {
            Some(entries) => next = entries,
            None => return,
        }
    }
}

/// Leaves the entries with the outermost call, or returns them to it.
fn enqueue(waiting: &RefCell<Option<Vec<Entries>>>, entries: Entries) -> Option<Entries> {
    let mut waiting = waiting.borrow_mut();
    match waiting.as_mut() {
        Some(queue) => {
            queue.push(entries);
            None
        }
        None => {
            *waiting = Some(Vec::new());
            Some(entries)
        }
    }
}
