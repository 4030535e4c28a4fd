//! The texts of templates that were included before in the same render.
//!
//! Charts include the templates of their names and labels hundreds of times, mostly with the same
//! data. The same template gives the same text for the same data, as long as it looks at nothing
//! else and nothing of that has changed: [`watch`](crate::watch) knows both. Start at [`Memo::find`].

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;

use crate::int_width::width;
use crate::value::{Dict, Kind, Native, as_dict, as_float, as_list, kind_of};
use crate::watch::Asker;

/// How many calls of one template are remembered.
const MAX_CALLS: usize = 16;
/// Longer texts are not, nor calls with longer ones in their data.
const MAX_TEXT_BYTES: usize = 16 << 10;
/// How much is compared of two lists or maps that are not one and the same.
const MAX_COMPARED_ITEMS: usize = 16;
const MAX_COMPARED_DEPTH: usize = 4;

/// What one render remembers.
#[derive(Default)]
pub(crate) struct Memo {
    calls: BTreeMap<Callee, Vec<Known>>,
    /// The greatest [`Known::made`].
    newest: u64,
    asker: Asker,
}

/// The addresses of a template's tree and of the layer it runs in, both of which stay where they
/// are while the render lasts.
pub(crate) type Callee = (usize, usize);

/// One call and what came of it.
#[derive(Clone)]
pub(crate) struct Known {
    pub data: Value,
    pub text: Value,
    /// What it took from the budget.
    pub steps: u64,
    pub output_bytes: u64,
    /// When it was done: the maps it saw are older.
    pub made: u64,
}

impl Memo {
    /// What the same call gave before.
    pub(crate) fn find(&mut self, callee: Callee, data: &Value) -> Option<&Known> {
        self.forget();
        let calls = self.calls.get(&callee)?;
        calls.iter().rev().find(|call| is_same(&call.data, data, 0))
    }

    /// Remembers a call.
    pub(crate) fn keep(&mut self, callee: Callee, call: Known) {
        if !is_small(&call.text, 0) || !is_small(&call.data, 0) {
            return;
        }
        self.forget();
        self.newest = call.made;
        let calls = self.calls.entry(callee).or_default();
        if calls.len() == MAX_CALLS {
            calls.remove(0);
        }
        calls.push(call);
    }

    /// Forgets the calls that may have seen a map which was changed since.
    fn forget(&mut self) {
        let oldest = self.asker.oldest_changed();
        if oldest < self.newest {
            self.calls.values_mut().for_each(|calls| calls.retain(|call| call.made <= oldest));
            self.newest = oldest;
        }
    }
}

/// Whether no template can tell two values apart. `false` may also mean that it takes too long to
/// find out.
fn is_same(one: &Value, other: &Value, depth: usize) -> bool {
    let kind = kind_of(one);
    if kind != kind_of(other) {
        return false;
    }
    match kind {
        Kind::Nil => one.is_undefined() == other.is_undefined(),
        Kind::Bool => one.is_true() == other.is_true(),
        Kind::Int => one.as_i64() == other.as_i64() && width(one) == width(other),
        Kind::Float => as_float(one).map(f64::to_bits) == as_float(other).map(f64::to_bits),
        Kind::Str => one.as_str() == other.as_str(),
        Kind::Map => match (as_dict(one), as_dict(other)) {
            (Some(one), Some(other)) => is_same_map(one, other, depth),
            _ => false,
        },
        Kind::List | Kind::Native => match (native_of(one), native_of(other)) {
            (Some(one), Some(other)) => std::ptr::eq(one, other),
            (None, None) => is_same_list(as_list(one), as_list(other), depth),
            _ => false,
        },
        Kind::Bytes | Kind::Foreign => false,
    }
}

fn native_of(value: &Value) -> Option<&Native> {
    value.downcast_object_ref()
}

/// Whether nothing that is compared of a value holds a long text: charts use all that they see as
/// the key of an entry, by mistake, and that many times.
fn is_small(value: &Value, depth: usize) -> bool {
    let is_short = |text: &str| text.len() <= MAX_TEXT_BYTES;
    if depth > MAX_COMPARED_DEPTH {
        return true;
    }
    match kind_of(value) {
        Kind::Str => value.as_str().is_some_and(is_short),
        Kind::Map => as_dict(value).and_then(few_entries).is_none_or(|entries| {
            entries.iter().all(|(key, item)| is_short(key) && is_small(item, depth + 1))
        }),
        Kind::List => as_list(value).is_none_or(|items| {
            items.len() > MAX_COMPARED_ITEMS || items.iter().all(|item| is_small(item, depth + 1))
        }),
        _ => true,
    }
}

fn is_same_list(one: Option<&[Value]>, other: Option<&[Value]>, depth: usize) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    if std::ptr::eq(one, other) {
        return true;
    }
    one.len() == other.len()
        && one.len() <= MAX_COMPARED_ITEMS
        && depth < MAX_COMPARED_DEPTH
        && one.iter().zip(other).all(|(item, other)| is_same(item, other, depth + 1))
}

fn is_same_map(one: &Dict, other: &Dict, depth: usize) -> bool {
    if std::ptr::eq(one, other) {
        return true;
    }
    if one.type_name() != other.type_name() || depth == MAX_COMPARED_DEPTH {
        return false;
    }
    let (Some(one), Some(other)) = (few_entries(one), few_entries(other)) else { return false };
    one.len() == other.len()
        && one.iter().zip(&other).all(|((key, item), (other_key, other_item))| {
            key == other_key && is_same(item, other_item, depth + 1)
        })
}

/// The entries of a map that can be compared. Copies: a map may contain itself, so none is kept
/// locked while its entries are looked at.
fn few_entries(map: &Dict) -> Option<Vec<(Arc<str>, Value)>> {
    if map.is_passing() {
        return None;
    }
    let entries = map.lock();
    let is_few = entries.len() <= MAX_COMPARED_ITEMS;
    is_few.then(|| entries.iter().map(|(key, item)| (Arc::clone(key), item.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::funcs::Param;
    use crate::{Budget, FixedHost, Options, Registry, Scope, TemplateSet};

    fn render(text: &str) -> (String, u64) {
        let mut registry = Registry::sprig();
        registry.add("include", &[Param::Str, Param::Any], |cx, args| {
            Ok(cx.render(args.str(0), args.get(1))?)
        });
        let mut set = TemplateSet::new(Arc::new(registry), Options::default()).unwrap();
        set.parse("main", text).unwrap();
        let scope =
            Scope { host: Arc::new(FixedHost::default()), budget: Arc::new(Budget::default()) };
        let out = set.render("main", &Value::UNDEFINED, &scope).unwrap();
        (out, scope.budget.taken().0)
    }

    #[test]
    fn a_call_after_a_change_is_rendered_again() {
        for (text, wanted) in [
            // The map itself, or one below it, changes between the calls.
            ("{{include `t` $d}}{{$_ := set $d `x` 2}}{{include `t` $d}}", "12"),
            (
                "{{$e := dict `d` $d}}{{include `below` $e}}{{$_ := set $d `x` 2}}{{include `below` $e}}",
                "12",
            ),
            ("{{include `t` $d}}{{$_ := unset $d `x`}}{{include `t` $d}}", "1<no value>"),
            // The call changes it, itself or by a call of its own.
            ("{{include `add` $d}}{{include `add` $d}}", "23"),
            ("{{include `outer` $d}}{{include `outer` $d}}", "23"),
            // A change of a map of one's own is none.
            ("{{include `own` $d}}{{include `own` $d}}", "7171"),
            // Equal is not enough.
            ("{{include `type` (dict `x` 1)}} {{include `type` (dict `x` 1.0)}}", "int float64"),
            ("{{eq (include `random` $d) (include `random` $d)}}", "false"),
        ] {
            let defined = "{{define `t`}}{{.x}}{{end}}{{define `below`}}{{.d.x}}{{end}}\
                {{define `add`}}{{$_ := set . `x` (add1 .x)}}{{.x}}{{end}}\
                {{define `outer`}}{{include `add` .}}{{end}}\
                {{define `own`}}{{$m := dict}}{{$_ := set $m `a` 7}}{{$m.a}}{{.x}}{{end}}\
                {{define `type`}}{{printf `%T` .x}}{{end}}\
                {{define `random`}}{{randAlphaNum 9}}{{end}}{{$d := dict `x` 1}}";
            assert_eq!(render(&format!("{defined}{text}")).0, wanted, "{text}");
        }
    }

    #[test]
    fn what_is_remembered_costs_the_budget_as_much() {
        let steps = |calls: usize| {
            let call = "{{include `t` (dict `x` (list 1 `a` nil))}}".repeat(calls);
            render(&format!(
                "{{{{define `t`}}}}{{{{range .x}}}}{{{{.}}}}{{{{end}}}}{{{{end}}}}{call}"
            ))
            .1
        };
        assert_eq!(steps(3) - steps(2), steps(2) - steps(1));
    }

    #[test]
    fn maps_that_contain_themselves_and_each_other_are_compared() {
        let text = "{{define `t`}}{{.x}}{{end}}{{$a := dict `x` 1}}{{$b := dict `x` 1}}\
            {{$_ := set $a `me` $a}}{{$_ := set $b `me` $b}}{{include `t` $a}}{{include `t` $b}}\
            {{$_ := set $a `other` $b}}{{$_ := set $b `other` $a}}{{include `t` $a}}{{include `t` $b}}";
        assert_eq!(render(text).0, "1111");
    }

    #[test]
    fn a_call_with_a_long_text_in_its_data_is_not_remembered() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        for data in [Value::from(long.clone()), Value::from(vec![Value::from(long.clone())])] {
            assert!(!is_small(&data, 0));
        }
        let map = |key: &str| {
            Value::from_object(Dict::new([(Arc::from(key), Value::from(1))].into_iter().collect()))
        };
        assert!(is_small(&map("short"), 0));
        assert!(!is_small(&map(&long), 0));
    }
}
