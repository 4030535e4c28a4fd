//! The passes of a `range`.
//!
//! Owns what can be looped over, and Go's words for what cannot. Start at [`range_items`].

use minijinja::Value;

use crate::print::to_text;
use crate::value::{Dict, GoObject, Kind, as_dict, as_list, as_native, byte, int, kind_of};

/// What a loop runs over: elements, or pairs of key and element.
pub(crate) fn range_items(value: &Value, pairs: bool) -> Result<Value, String> {
    let pair = |key: Value, element: Value| {
        if pairs { Value::from(vec![key, element]) } else { element }
    };
    let items: Vec<Value> = match kind_of(value) {
        Kind::Nil => Vec::new(),
        Kind::List if !pairs && as_native(value).is_none() => return Ok(value.clone()),
        Kind::List => as_list(value)
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(|(index, element)| pair(int(index as i64), element.clone()))
            .collect(),
        Kind::Map => as_dict(value)
            .map(Dict::snapshot)
            .unwrap_or_default()
            .into_iter()
            .map(|(key, element)| pair(Value::from(key), element))
            .collect(),
        Kind::Bytes => value
            .as_bytes()
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(|(index, one)| pair(int(index as i64), byte(*one)))
            .collect(),
        Kind::Int if pairs => {
            let text = to_text(value);
            return Err(format!("can't use {text} to iterate over more than one variable"));
        }
        // Counted by the steps of its passes, so a huge number is no danger but for memory.
        Kind::Int => {
            let count = value.as_i64().unwrap_or(0).max(0);
            return Ok(Value::make_iterable(move || (0..count).map(int)));
        }
        _ => match as_native(value).and_then(GoObject::entries) {
            Some(entries) => entries.into_iter().map(|(key, item)| pair(key, item)).collect(),
            None => {
                let text = to_text(value);
                return Err(format!("range can't iterate over {text}"));
            }
        },
    };
    Ok(Value::from(items))
}
