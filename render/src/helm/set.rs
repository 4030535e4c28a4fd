//! `--set`, `--set-string`, `--set-json`, `--set-file`: Helm's little language for values.
//!
//! Owns its grammar: `a.b[0].c=v,d={x,y},e=a\,b`. Start at [`set_values`].

use serde_json::{Number, Value as Json};

use super::error::Error;
use super::values::{Values, floats, merge_maps};

const MAX_INDEX: usize = 65_536;
const MAX_NESTING: usize = 30;

/// What the value behind `=` is.
pub enum SetKind<'a> {
    /// `--set`: bool, null, integer or text.
    Typed,
    /// `--set-string`: always text.
    Text,
    /// `--set-json`: JSON.
    Json,
    /// `--set-file`: the text of the file of that name.
    File(&'a dyn Fn(&str) -> Result<String, String>),
    /// `--set-literal`: the rest of the argument as it is.
    Literal,
}

impl SetKind<'_> {
    fn flag(&self) -> &'static str {
        match self {
            SetKind::Typed => "--set",
            SetKind::Text => "--set-string",
            SetKind::Json => "--set-json",
            SetKind::File(_) => "--set-file",
            SetKind::Literal => "--set-literal",
        }
    }
}

/// Applies one argument of a `--set…` flag.
///
/// # Errors
/// [`Error::Set`] with Helm's words.
pub fn set_values(values: &mut Values, text: &str, kind: &SetKind<'_>) -> Result<(), Error> {
    let flag = kind.flag();
    if matches!(kind, SetKind::Json) && text.trim().starts_with('{') {
        let json = serde_json::from_str(text.trim());
        let Ok(Json::Object(table)) = json.map(floats) else {
            return Err(Error::Set { flag, cause: format!("JSON: {text}") });
        };
        *values = merge_maps(std::mem::take(values), table);
        return Ok(());
    }
    let mut parser = Parser { text, pos: 0, kind };
    while parser.pos < text.len() {
        parser.key(values, 0).map_err(|cause| Error::Set { flag, cause })?;
    }
    Ok(())
}

struct Parser<'a> {
    text: &'a str,
    pos: usize,
    kind: &'a SetKind<'a>,
}

type Step<T> = Result<T, String>;

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.pos..]
    }

    // Text up to one of the stops, escapes resolved, and the stop that was found (and consumed).
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let mut out = String::new();
        let mut chars = self.text[self.pos..].char_indices();
        while let Some((_, c)) = chars.next() {
            if stops.contains(&c) {
                self.pos = self.text.len() - chars.as_str().len();
                return (out, Some(c));
            }
            match c {
                '\\' => out.extend(chars.next().map(|(_, escaped)| escaped)),
                c => out.push(c),
            }
        }
        self.pos = self.text.len();
        (out, None)
    }

    fn key(&mut self, table: &mut Values, nesting: usize) -> Step<()> {
        let stops: &[char] = if matches!(self.kind, SetKind::Literal) {
            &['=', '[', '.']
        } else {
            &['=', '[', ',', '.']
        };
        let (key, stop) = self.until(stops);
        match stop {
            None if key.is_empty() => Ok(()),
            None => Err(format!("key {key:?} has no value")),
            Some('[') => {
                let index = self.index()?;
                let mut list = match table.get(&key) {
                    Some(Json::Array(list)) => list.clone(),
                    Some(Json::Null) | None => Vec::new(),
                    Some(_) => return Err(format!("unable to parse key: {key} is not a list")),
                };
                self.item(&mut list, index, nesting)?;
                insert(table, key, Json::Array(list));
                Ok(())
            }
            Some('=') => {
                let value = self.value()?;
                insert(table, key, value);
                Ok(())
            }
            Some(',') => Err(format!("key {key:?} has no value (cannot end with ,)")),
            Some(_) => {
                if nesting >= MAX_NESTING {
                    return Err(format!(
                        "value name nested level is greater than maximum supported nested level \
                         of {MAX_NESTING}"
                    ));
                }
                let mut inner = match table.get(&key) {
                    Some(Json::Object(inner)) => inner.clone(),
                    Some(Json::Null) | None => Values::new(),
                    Some(_) => return Err(format!("unable to parse key: {key} is not a table")),
                };
                self.key(&mut inner, nesting + 1)?;
                if inner.is_empty() {
                    return Err(format!("key map {key:?} has no value"));
                }
                insert(table, key, Json::Object(inner));
                Ok(())
            }
        }
    }

    fn index(&mut self) -> Step<usize> {
        let (text, stop) = self.until(&[']']);
        if stop.is_none() {
            return Err("error parsing index: unexpected end".to_owned());
        }
        let index: i64 = text.parse().map_err(|_| {
            format!("error parsing index: strconv.Atoi: parsing {text:?}: invalid syntax")
        })?;
        let index =
            usize::try_from(index).map_err(|_| format!("negative {index} index not allowed"))?;
        if index > MAX_INDEX {
            return Err(format!(
                "index of {index} is greater than maximum supported index of {MAX_INDEX}"
            ));
        }
        Ok(index)
    }

    fn item(&mut self, list: &mut Vec<Json>, index: usize, nesting: usize) -> Step<()> {
        if nesting > MAX_NESTING {
            return Err(format!("list nested deeper than {MAX_NESTING}"));
        }
        let (key, stop) = self.until(&['[', '.', '=']);
        if !key.is_empty() {
            return Err(format!("unexpected data at end of array index: {key:?}"));
        }
        let value = match stop {
            None => return Err("unexpected end".to_owned()),
            Some('=') => self.value()?,
            Some('[') => {
                let next = self.index()?;
                let mut inner = match list.get(index) {
                    Some(Json::Array(inner)) => inner.clone(),
                    _ => Vec::new(),
                };
                self.item(&mut inner, next, nesting + 1)?;
                Json::Array(inner)
            }
            Some(_) => {
                let mut inner = match list.get(index) {
                    Some(Json::Object(inner)) => inner.clone(),
                    _ => Values::new(),
                };
                self.key(&mut inner, nesting + 1)?;
                Json::Object(inner)
            }
        };
        if list.len() <= index {
            list.resize(index + 1, Json::Null);
        }
        list[index] = value;
        Ok(())
    }

    fn value(&mut self) -> Step<Json> {
        match self.kind {
            SetKind::Json => return self.json(),
            SetKind::Literal => {
                let text = self.rest().to_owned();
                self.pos = self.text.len();
                return Ok(Json::String(text));
            }
            _ => {}
        }
        if self.rest().starts_with('{') {
            self.pos += 1;
            return self.list();
        }
        let (text, _) = self.until(&[',']);
        self.typed(text)
    }

    fn list(&mut self) -> Step<Json> {
        let mut list = Vec::new();
        loop {
            let (text, stop) = self.until(&[',', '}']);
            if stop.is_none() {
                return Err("list must terminate with '}'".to_owned());
            }
            let item = self.typed(text)?;
            list.push(item);
            if stop == Some('}') {
                if self.rest().starts_with(',') {
                    self.pos += 1;
                }
                return Ok(Json::Array(list));
            }
        }
    }

    fn json(&mut self) -> Step<Json> {
        if self.skip_empty() {
            return Ok(Json::Null);
        }
        let mut stream = serde_json::Deserializer::from_str(self.rest()).into_iter::<Json>();
        let value = stream.next().and_then(Result::ok).map(floats);
        let used = stream.byte_offset();
        let value = value.ok_or_else(|| self.text.to_owned())?;
        self.pos += used;
        self.skip_empty();
        Ok(value)
    }

    // Skips spaces; whether a comma or the end follows, which are skipped too.
    fn skip_empty(&mut self) -> bool {
        let rest = self.rest();
        let trimmed = rest.trim_start();
        self.pos += rest.len() - trimmed.len();
        if self.rest().starts_with(',') {
            self.pos += 1;
            return true;
        }
        self.rest().is_empty()
    }

    fn typed(&self, text: String) -> Step<Json> {
        match self.kind {
            SetKind::File(read) => read(&text).map(Json::String),
            SetKind::Typed => Ok(typed(text)),
            _ => Ok(Json::String(text)),
        }
    }
}

fn insert(table: &mut Values, key: String, value: Json) {
    if !key.is_empty() {
        table.insert(key, value);
    }
}

// Integers stay integers here (Go: int64), unlike in values files. A leading zero makes text.
fn typed(text: String) -> Json {
    for (word, value) in
        [("true", Json::Bool(true)), ("false", Json::Bool(false)), ("null", Json::Null)]
    {
        if text.eq_ignore_ascii_case(word) {
            return value;
        }
    }
    if text == "0" || !text.starts_with('0') {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
        let digits = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit());
        if let (true, Ok(number)) = (digits, text.parse::<i64>()) {
            return Json::Number(Number::from(number));
        }
    }
    Json::String(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(text: &str, kind: &SetKind<'_>) -> Result<Json, String> {
        let mut values = Values::new();
        set_values(&mut values, text, kind).map_err(|e| e.to_string())?;
        Ok(Json::Object(values))
    }

    #[test]
    fn the_grammar_is_helms() {
        for (text, expected) in [
            ("a=1,b.c=x", json!({"a": 1, "b": {"c": "x"}})),
            ("list={x,y,3}", json!({"list": ["x", "y", 3]})),
            ("nested[0].k=v,nested[1]=w", json!({"nested": [{"k": "v"}, "w"]})),
            ("name=a\\,b", json!({"name": "a,b"})),
            (
                "a=null,b=true,c=007,d=,e=0",
                json!({"a": null, "b": true, "c": "007", "d": "", "e": 0}),
            ),
            ("a[1]=x", json!({"a": [null, "x"]})),
            ("a\\.b=1", json!({"a.b": 1})),
            ("a[0][1]=x", json!({"a": [[null, "x"]]})),
        ] {
            assert_eq!(set(text, &SetKind::Typed).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_refused() {
        for text in ["a", "a,b=1", "a[x]=1", "a[-1]=1", "a={x", "a[99999999]=1", "a=1,a.b=2"] {
            assert!(set(text, &SetKind::Typed).is_err(), "{text}");
        }
    }

    #[test]
    fn json_values_may_follow_one_another() {
        let got = set("a={\"x\":[1,2]},b=\"t\",c=", &SetKind::Json).unwrap();
        assert_eq!(got, json!({"a": {"x": [1.0, 2.0]}, "b": "t", "c": null}));
    }
}
