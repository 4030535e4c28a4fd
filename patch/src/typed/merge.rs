//! Two values into one.
//!
//! Owns the order of merged lists. Tracks nothing. Start at [`merge`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Atom, as_list, as_map, atom, get, index_list, single};
use crate::schema::Schema;

/// Merges `over` onto `base`: what `over` has wins, what only `base` has stays.
pub fn merge(base: Option<&Value>, over: Option<&Value>, schema: Option<Schema<'_>>) -> Value {
    merge_at(base, over, schema).unwrap_or(Value::Null)
}

fn merge_at(
    base: Option<&Value>,
    over: Option<&Value>,
    schema: Option<Schema<'_>>,
) -> Option<Value> {
    // An empty or null collection on both sides stays what it is.
    let leaf = || over.or(base).cloned();
    match atom(schema, over.or(base)) {
        Atom::Leaf => leaf(),
        Atom::Map(kind) => {
            let (base_map, over_map) = (as_map(base), as_map(over));
            if base_map.is_none() && over_map.is_none() {
                return leaf();
            }
            let keys = base_map.into_iter().flatten().chain(over_map.into_iter().flatten());
            let mut merged = Map::new();
            for (key, _) in keys {
                if !merged.contains_key(key) {
                    let (base, over) = (get(base_map, key), get(over_map, key));
                    let value = merge_at(base, over, kind.field(key));
                    merged.extend(value.map(|value| (key.clone(), value)));
                }
            }
            Some(Value::Object(merged))
        }
        Atom::List(list) => {
            let (base, over) = (as_list(base), as_list(over));
            if base.is_none() && over.is_none() {
                leaf()
            } else {
                Some(merge_lists(base, over, list))
            }
        }
    }
}

/// The order of `over` for what it has; what only `base` has keeps its neighbours as well as
/// that allows.
fn merge_lists(base: Option<&Vec<Value>>, over: Option<&Vec<Value>>, list: Schema<'_>) -> Value {
    let (base_order, base_items) = index_list(list, base);
    let (over_order, over_items) = index_list(list, over);
    let items = list.items();
    let mut shared = over_order.iter().filter(|step| base_items.contains_key(step)).peekable();
    let mut merged = Vec::with_capacity(base_order.len().max(over_order.len()));
    let mut done = BTreeSet::new();
    // How many elements of a repeated step of `base` are written already.
    let mut repeated = BTreeMap::new();
    let (mut at_base, mut at_over) = (0, 0);
    while at_base < base_order.len() || at_over < over_order.len() {
        if let Some(step) = base_order.get(at_base) {
            let is_shared = over_items.contains_key(step);
            if !is_shared {
                let count = repeated.entry(step).or_insert(0);
                merged.extend(merge_at(base_items[step].get(*count).copied(), None, items));
                *count += 1;
                at_base += 1;
                continue;
            }
            let theirs = over_order.get(at_over);
            let comes_later = theirs.is_some_and(|theirs| theirs != step)
                && shared.peek().is_some_and(|next| *next != step);
            if comes_later {
                at_base += 1;
                continue;
            }
            if theirs == Some(step) || done.contains(step) {
                at_base += 1;
            }
        }
        if let Some(step) = over_order.get(at_over) {
            done.insert(step);
            let (base, over) = (single(&base_items, step), single(&over_items, step));
            merged.extend(merge_at(base, over, items));
            at_over += 1;
            shared.next_if(|next| *next == step);
        }
    }
    Value::Array(merged)
}
