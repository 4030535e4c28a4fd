//! sprig's questions about values: type, kind, emptiness, equality; and its ways to choose one.
//!
//! Start at [`register`].

use minijinja::Value;

use super::convert::{deep_equal, is_empty};
use super::{FuncResult, Param, Registry};
use crate::error::FuncError;
use crate::value::{kind_name, nil, type_name};

pub(crate) fn register(r: &mut Registry) {
    use Param::{Any, Bool, ManyAny, Str};
    r.add("typeOf", &[Any], |_, a| Ok(Value::from(type_name(a.get(0)))));
    r.add("typeIs", &[Str, Any], |_, a| flag(a.str(0) == type_name(a.get(1))));
    r.add("typeIsLike", &[Str, Any], |_, a| {
        let name = type_name(a.get(1));
        flag(a.str(0) == name || name.strip_prefix('*') == Some(a.str(0)))
    });
    r.add("kindOf", &[Any], |_, a| Ok(Value::from(kind_name(a.get(0)))));
    r.add("kindIs", &[Str, Any], |_, a| flag(a.str(0) == kind_name(a.get(1))));
    r.add("deepEqual", &[Any, Any], |_, a| flag(deep_equal(a.get(0), a.get(1))));
    r.add("empty", &[Any], |_, a| flag(is_empty(a.get(0))));
    r.add("default", &[Any, ManyAny], |_, a| {
        let given = a.from(1).first().filter(|given| !is_empty(given));
        Ok(given.unwrap_or(a.get(0)).clone())
    });
    r.add("coalesce", &[ManyAny], |_, a| {
        Ok(a.all().iter().find(|item| !is_empty(item)).cloned().unwrap_or_else(nil))
    });
    r.add("all", &[ManyAny], |_, a| flag(!a.all().iter().any(is_empty)));
    r.add("any", &[ManyAny], |_, a| flag(a.all().iter().any(|item| !is_empty(item))));
    r.add("ternary", &[Any, Any, Bool], |_, a| {
        Ok(if a.bool(2) { a.get(0) } else { a.get(1) }.clone())
    });
    r.add("fail", &[Str], |_, a| Err(FuncError::new(a.str(0))));
}

fn flag(flag: bool) -> FuncResult {
    Ok(Value::from(flag))
}
