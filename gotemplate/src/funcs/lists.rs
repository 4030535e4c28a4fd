//! sprig's list functions, with and without `must`.
//!
//! In Go the plain ones panic and the `must` ones return the error; a template cannot tell, so both names are one
//! function here. Start at [`register`].

use minijinja::Value;

use super::convert::{deep_equal, go_kind, int64_of, is_empty, items, wrong_list};
use super::{Args, Cx, FuncResult, Param, Registry};
use crate::error::FuncError;
use crate::value::{self, MAX_DATA_DEPTH, int, is_nil, list, nil, too_deep};

pub(crate) fn register(r: &mut Registry) {
    register_parts(r);
    register_changes(r);
    register_ranges(r);
    for name in [
        "append", "prepend", "first", "rest", "last", "initial", "reverse", "uniq", "without",
        "has", "slice", "chunk", "compact",
    ] {
        let mut must = String::from("must");
        must.push_str(&name[..1].to_ascii_uppercase());
        must.push_str(&name[1..]);
        r.alias(&must, name);
    }
    r.alias("push", "append");
    r.alias("mustPush", "append");
}

fn register_parts(r: &mut Registry) {
    use Param::{Any, ManyAny};
    r.add("list", &[ManyAny], |_, a| shallow(a.all().to_vec()));
    r.alias("tuple", "list");
    r.add("first", &[Any], |_, a| {
        Ok(items(a.get(0), "find first on")?.first().cloned().unwrap_or_else(nil))
    });
    r.add("last", &[Any], |_, a| {
        Ok(items(a.get(0), "find last on")?.last().cloned().unwrap_or_else(nil))
    });
    r.add("rest", &[Any], |_, a| Ok(part(items(a.get(0), "find rest on")?, |all| &all[1..])));
    r.add("initial", &[Any], |_, a| {
        Ok(part(items(a.get(0), "find initial on")?, |all| &all[..all.len() - 1]))
    });
    r.add("slice", &[Any, ManyAny], |_, a| slice(a));
    r.add("chunk", &[Param::Int, Any], chunk);
    r.add("has", &[Any, Any], |_, a| {
        if is_nil(a.get(1)) {
            return Ok(Value::from(false));
        }
        let all = items(a.get(1), "find has on")?;
        Ok(Value::from(all.iter().any(|item| deep_equal(a.get(0), item))))
    });
}

fn register_changes(r: &mut Registry) {
    use Param::{Any, ManyAny};
    r.add("append", &[Any, Any], |cx, a| {
        let all = items(a.get(0), "push on")?;
        grow(cx, all.len() + 1)?;
        shallow(all.iter().chain([a.get(1)]).cloned().collect())
    });
    r.add("prepend", &[Any, Any], |cx, a| {
        let all = items(a.get(0), "prepend on")?;
        grow(cx, all.len() + 1)?;
        shallow([a.get(1)].into_iter().chain(all).cloned().collect())
    });
    r.add("concat", &[ManyAny], concat);
    r.add("reverse", &[Any], |_, a| {
        Ok(list(items(a.get(0), "find reverse on")?.iter().rev().cloned().collect()))
    });
    r.add("compact", &[Any], |_, a| {
        let all = items(a.get(0), "compact on")?;
        Ok(list(all.iter().filter(|item| !is_empty(item)).cloned().collect()))
    });
    r.add("uniq", &[Any], |cx, a| uniq(cx, items(a.get(0), "find uniq on")?));
    r.add("without", &[Any, ManyAny], |_, a| {
        let all = items(a.get(0), "find without on")?;
        let kept = all.iter().filter(|item| !a.from(1).iter().any(|omit| deep_equal(omit, item)));
        Ok(list(kept.cloned().collect()))
    });
}

fn register_ranges(r: &mut Registry) {
    use Param::Int;
    r.add("until", &[Int], |cx, a| {
        let step = if a.int(0) < 0 { -1 } else { 1 };
        Ok(integers(until_step(cx, 0, a.int(0), step)?))
    });
    r.add("untilStep", &[Int, Int, Int], |cx, a| {
        Ok(integers(until_step(cx, a.int(0), a.int(1), a.int(2))?))
    });
    r.add("seq", &[Param::ManyInt], seq);
}

fn integers(numbers: Vec<i64>) -> Value {
    value::typed_list("[]int", numbers.into_iter().map(int).collect())
}

fn part(all: &[Value], cut: impl Fn(&[Value]) -> &[Value]) -> Value {
    list(if all.is_empty() { Vec::new() } else { cut(all).to_vec() })
}

/// A list of values that anybody chose. Maps may be nested at will, lists within lists may not: they
/// are dropped by recursion.
fn shallow(items: Vec<Value>) -> FuncResult {
    fn fits(items: &[Value], levels: usize) -> bool {
        let below = |item| value::as_list(item).is_none_or(|items| fits(items, levels - 1));
        levels > 0 && items.iter().all(below)
    }
    if !fits(&items, MAX_DATA_DEPTH) {
        return Err(too_deep("lists"));
    }
    Ok(list(items))
}

/// Lists grow by copying; what is copied counts as output so that a loop cannot fill the memory.
fn grow(cx: &Cx<'_>, count: usize) -> Result<(), FuncError> {
    Ok(cx.budget().take_output(count)?)
}

fn concat(cx: &Cx<'_>, a: Args<'_>) -> FuncResult {
    let mut out = Vec::new();
    for one in a.all() {
        let all = value::as_list(one).ok_or_else(|| match is_nil(one) {
            true => wrong_list(one, ""),
            false => FuncError::new(format!("Cannot concat type {} as list", go_kind(one))),
        })?;
        grow(cx, all.len())?;
        out.extend_from_slice(all);
    }
    Ok(list(out))
}

fn uniq(cx: &Cx<'_>, all: &[Value]) -> FuncResult {
    let mut kept: Vec<Value> = Vec::new();
    for item in all {
        cx.budget().take_steps(kept.len() as u64)?;
        if !kept.iter().any(|other| deep_equal(other, item)) {
            kept.push(item.clone());
        }
    }
    Ok(list(kept))
}

fn slice(a: Args<'_>) -> FuncResult {
    let all = value::as_list(a.get(0))
        .ok_or_else(|| wrong_list(a.get(0), "list should be type of slice or array but "))?;
    if all.is_empty() {
        return Ok(nil());
    }
    let bound = |index: usize, or: i64| a.from(1).get(index).map_or(or, int64_of);
    let (start, end) = (bound(0, 0), bound(1, all.len() as i64));
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    match range {
        Some((start, end)) if start <= end && end <= all.len() => {
            Ok(list(all[start..end].to_vec()))
        }
        _ => Err("reflect.Value.Slice: slice index out of bounds".into()),
    }
}

fn chunk(cx: &Cx<'_>, a: Args<'_>) -> FuncResult {
    let all = value::as_list(a.get(1)).ok_or_else(|| wrong_list(a.get(1), "Cannot chunk type "))?;
    let size = match usize::try_from(a.int(0)) {
        Ok(size) if size > 0 => size,
        // sprig counts the chunks by floats, rounding down: by chance there may be none.
        _ if !all.is_empty()
            && a.int(0) < 0
            && a.int(0).unsigned_abs() >= all.len() as u64 - 1
            && all.len() > 1 =>
        {
            return Ok(list(Vec::new()));
        }
        _ => return Err("runtime error: makeslice: len out of range".into()),
    };
    grow(cx, all.len())?;
    shallow(all.chunks(size).map(|chunk| list(chunk.to_vec())).collect())
}

pub(crate) fn until_step(
    cx: &Cx<'_>,
    start: i64,
    stop: i64,
    step: i64,
) -> Result<Vec<i64>, FuncError> {
    let reachable = if stop < start { step < 0 } else { step > 0 };
    if !reachable {
        return Ok(Vec::new());
    }
    let count = start.abs_diff(stop).div_ceil(step.unsigned_abs());
    cx.budget().take_output(usize::try_from(count).unwrap_or(usize::MAX))?;
    Ok((0..count as i64).map(|index| start + index * step).collect())
}

/// `seq END`, `seq START END`, `seq START STEP END`, both ends included, as the shell's.
fn seq(cx: &Cx<'_>, a: Args<'_>) -> FuncResult {
    let numbers: Vec<i64> = a.all().iter().map(int64_of).collect();
    let (start, step, end) = match numbers[..] {
        [end] => (1, None, end),
        [start, end] => (start, None, end),
        [start, step, end] => (start, Some(step), end),
        _ => return Ok(Value::from("")),
    };
    let direction = if end < start { -1 } else { 1 };
    if direction < 0 && step.is_some_and(|step| step > 0) {
        return Ok(Value::from(""));
    }
    let numbers = until_step(cx, start, end + direction, step.unwrap_or(direction))?;
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    Ok(Value::from(texts.join(" ")))
}
