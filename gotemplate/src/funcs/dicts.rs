//! sprig's functions on maps: building, looking into, choosing from and merging them.
//!
//! Maps are shared: `set`, `unset` and `merge` change the map they are given. Start at [`register`].

use std::sync::Arc;

use minijinja::Value;

use super::convert::{is_empty, text_list, text_of};
use super::{Args, FuncResult, Param, Registry};
use crate::error::FuncError;
use crate::value::{
    self, Dict, Entries, MAX_DATA_DEPTH, as_dict, as_list, dict, is_nil, list, nil, too_deep,
    type_name,
};

pub(crate) fn register(r: &mut Registry) {
    use Param::{Any, ManyAny, ManyDict, ManyStr, Str};
    r.add("dict", &[ManyAny], |_, a| Ok(dict(pairs(a))));
    r.add("get", &[Param::Dict, Str], |_, a| {
        Ok(a.dict(0).and_then(|map| map.get(a.str(1))).unwrap_or_else(|| Value::from("")))
    });
    r.add("set", &[Param::Dict, Str, Any], |_, a| {
        a.dict(0).ok_or("assignment to entry in nil map")?.insert(a.str(1), a.get(2).clone());
        Ok(a.get(0).clone())
    });
    r.add("unset", &[Param::Dict, Str], |_, a| {
        a.dict(0).inspect(|map| map.remove(a.str(1)));
        Ok(a.get(0).clone())
    });
    r.add("hasKey", &[Param::Dict, Str], |_, a| {
        Ok(Value::from(a.dict(0).is_some_and(|map| map.get(a.str(1)).is_some())))
    });
    r.add("pluck", &[Str, ManyDict], |_, a| {
        Ok(list(a.from(1).iter().filter_map(|map| as_dict(map)?.get(a.str(0))).collect()))
    });
    r.add("keys", &[ManyDict], |_, a| {
        let maps = a.all().iter().filter_map(as_dict);
        Ok(text_list(maps.flat_map(|map| map.snapshot().into_keys()).map(|key| key.to_string())))
    });
    r.add("values", &[Param::Dict], |_, a| {
        Ok(list(a.dict(0).map(Dict::snapshot).unwrap_or_default().into_values().collect()))
    });
    r.add("pick", &[Param::Dict, ManyStr], |_, a| choose(a, true));
    r.add("omit", &[Param::Dict, ManyStr], |_, a| choose(a, false));
    r.add("dig", &[ManyAny], |_, a| dig(a.all()));
    r.add("merge", &[Param::Dict, ManyDict], |_, a| merge_all(a, false));
    r.add("mergeOverwrite", &[Param::Dict, ManyDict], |_, a| merge_all(a, true));
    r.alias("mustMerge", "merge");
    r.alias("mustMergeOverwrite", "mergeOverwrite");
    r.add("deepCopy", &[Any], |_, a| match is_nil(a.get(0)) {
        true => Err("reflect: call of reflect.Value.Type on zero Value".into()),
        false => copy(a.get(0), 0),
    });
    r.alias("mustDeepCopy", "deepCopy");
}

/// Keys and values in turn; a last key without a value gets an empty text.
fn pairs(a: Args<'_>) -> Entries {
    let pair = |pair: &[Value]| {
        let value = pair.get(1).cloned().unwrap_or_else(|| Value::from(""));
        (Arc::from(text_of(&pair[0])), value)
    };
    a.all().chunks(2).map(pair).collect()
}

fn choose(a: Args<'_>, keep_named: bool) -> FuncResult {
    let mut entries = a.dict(0).map(Dict::snapshot).unwrap_or_default();
    entries.retain(|key, _| a.from(1).iter().any(|name| name.as_str() == Some(key)) == keep_named);
    Ok(dict(entries))
}

/// `dig "a" "b" DEFAULT MAP`: the value at `.a.b`, or the default where a key is missing.
fn dig(args: &[Value]) -> FuncResult {
    let [keys @ .., default, map] = args else { return Err(DIG_COUNT.into()) };
    if keys.is_empty() {
        return Err(DIG_COUNT.into());
    }
    let mut at = map.clone();
    for key in keys {
        let Some(map) = as_dict(&at) else {
            return Err(conversion(&at, value::DICT_TYPE));
        };
        let Some(key) = key.as_str() else { return Err(conversion(key, "string")) };
        match map.get(key) {
            Some(next) => at = next,
            None => return Ok(default.clone()),
        }
    }
    Ok(at)
}

const DIG_COUNT: &str = "dig needs at least three arguments";

fn conversion(value: &Value, wanted: &str) -> FuncError {
    let found = if is_nil(value) { "nil" } else { type_name(value) };
    FuncError::new(format!("interface conversion: interface {{}} is {found}, not {wanted}"))
}

fn merge_all(a: Args<'_>, overwrite: bool) -> FuncResult {
    let Some(target) = a.dict(0) else { return Ok(Value::from("")) };
    for source in a.from(1) {
        if let Some(source) = as_dict(source) {
            merge(target, source, overwrite, 0)?;
        }
    }
    Ok(a.get(0).clone())
}

/// Fills what is missing or empty in `target`; with `overwrite` the source wins, maps are merged in both cases.
fn merge(target: &Dict, source: &Dict, overwrite: bool, depth: usize) -> Result<(), FuncError> {
    if depth > MAX_DATA_DEPTH {
        return Err(too_deep("maps"));
    }
    // A snapshot: source and target may be the same map.
    for (key, from) in source.snapshot() {
        let to = target.get(&key);
        if is_nil(&from) {
            if overwrite {
                target.insert(&key, from);
            }
            continue;
        }
        let filled = to.as_ref().filter(|to| !is_empty(to));
        if let Some(filled) = filled {
            if let (Some(to), Some(from)) = (as_dict(filled), as_dict(&from)) {
                merge(to, from, overwrite, depth + 1)?;
                continue;
            }
            if !overwrite {
                continue;
            }
        }
        target.insert(&key, from);
    }
    Ok(())
}

fn copy(value: &Value, depth: usize) -> FuncResult {
    if depth > MAX_DATA_DEPTH {
        return Err(too_deep("values"));
    }
    if let Some(items) = as_list(value) {
        let copies: Result<_, _> = items.iter().map(|item| copy(item, depth + 1)).collect();
        return Ok(list(copies?));
    }
    let Some(map) = as_dict(value) else {
        return Ok(if is_nil(value) { nil() } else { value.clone() });
    };
    let mut entries = Entries::new();
    for (key, item) in map.snapshot() {
        entries.insert(key, copy(&item, depth + 1)?);
    }
    Ok(dict(entries))
}
