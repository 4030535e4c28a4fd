//! TOML as Helm's functions write and read it.
//!
//! Owns the text of `toToml` (the layout of Go's `BurntSushi/toml` 1.6) and the values of
//! `fromToml`. Knows nothing of charts. Start at [`write`] and [`read`].

use gotemplate::funcs::dates::Time;
use gotemplate::print::float_text;
use gotemplate::value::{
    Dict, Entries, Kind, as_dict, as_float, as_int, as_list, dict, downcast, from_json, int64,
    kind_of, list, native, to_json, type_name,
};
use gotemplate::{Budget, FuncError, Value};

/// How deep data may be nested before it is refused: beyond what TOML's readers take, so only a map
/// that contains itself gets there.
const MAX_DEPTH: usize = 100;
const INDENT: &str = "  ";

/// What Go's reflection says of an argument that is nil.
const NIL: &str = "reflect: call of reflect.Value.Type on zero Value";
const TOO_DEEP: &str = "toml: cannot encode data nested deeper than 100 levels";
const NIL_ELEMENT: &str = "toml: cannot encode array with nil element";
const TABLES_ON_TOP: &str = "toml: top-level values must be Go maps or structs";

/// Why a value has no TOML.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The encoder refuses it: `toToml` answers with this text, `mustToToml` fails with it.
    Refused(String),
    /// The call fails, whichever function it was.
    Failed(FuncError),
}

impl WriteError {
    fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

impl From<WriteError> for FuncError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(text) => FuncError::new(text),
            WriteError::Failed(error) => error,
        }
    }
}

type Written = Result<(), WriteError>;

/// A value as TOML. A table is a document; anything else is written as it would be in an array.
///
/// # Errors
/// Nil, a list of tables without a key, a list with nil in it, a struct, data nested deeper than
/// [`MAX_DEPTH`], and a spent budget.
pub(crate) fn write(value: &Value, budget: &Budget) -> Result<String, WriteError> {
    if kind_of(value) == Kind::Nil {
        return Err(WriteError::Failed(FuncError::new(NIL)));
    }
    let mut writer = Writer { out: String::new(), counted: 0, budget };
    writer.entry(&[], value)?;
    writer.step()?;
    Ok(writer.out)
}

/// Where a value stands in a document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nil: nothing is written.
    Nowhere,
    /// On the right of `key =`.
    Inline,
    /// Under a header `[key]`.
    Table,
    /// Under headers `[[key]]`.
    Tables,
}

struct Writer<'a> {
    out: String,
    counted: usize,
    budget: &'a Budget,
}

impl Writer<'_> {
    // Data may share its parts and so be far larger than what it was made of.
    fn step(&mut self) -> Written {
        let new = self.out.len() - self.counted;
        self.counted = self.out.len();
        let taken = self.budget.take_steps(1).and_then(|()| self.budget.take_output(new));
        taken.map_err(|exceeded| WriteError::Failed(exceeded.into()))
    }

    fn place_of(&mut self, value: &Value, depth: usize) -> Result<Place, WriteError> {
        if depth > MAX_DEPTH {
            return Err(WriteError::refused(TOO_DEEP));
        }
        self.step()?;
        match kind_of(value) {
            Kind::Nil => Ok(Place::Nowhere),
            Kind::Map => Ok(Place::Table),
            Kind::List => {
                let items = as_list(value).unwrap_or_default();
                let mut all_tables = !items.is_empty();
                for item in items {
                    match self.place_of(item, depth + 1)? {
                        Place::Nowhere => return Err(WriteError::refused(NIL_ELEMENT)),
                        place => all_tables &= place == Place::Table,
                    }
                }
                Ok(if all_tables { Place::Tables } else { Place::Inline })
            }
            _ => Ok(Place::Inline),
        }
    }

    /// The entries that stand before all tables, then the tables; nulls count among the former.
    fn split_entries(
        &mut self,
        table: &Value,
        depth: usize,
    ) -> Result<[Vec<(String, Value)>; 2], WriteError> {
        let mut direct = Vec::new();
        let mut tables = Vec::new();
        for (key, item) in as_dict(table).map(Dict::snapshot).unwrap_or_default() {
            match self.place_of(&item, depth)? {
                Place::Table | Place::Tables => tables.push((key.to_string(), item)),
                Place::Nowhere | Place::Inline => direct.push((key.to_string(), item)),
            }
        }
        Ok([direct, tables])
    }

    fn newline(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    fn indent(&mut self, path: &[String]) {
        for _ in 1..path.len() {
            self.out.push_str(INDENT);
        }
    }

    fn entry(&mut self, path: &[String], value: &Value) -> Written {
        if kind_of(value) == Kind::Foreign {
            let json = to_json(value).map_err(WriteError::Failed)?;
            return self.entry(path, &from_json(&json));
        }
        match (self.place_of(value, path.len())?, path.last()) {
            (Place::Nowhere, _) => Ok(()),
            (Place::Table, _) => self.table(path, value),
            (Place::Tables, None) => Err(WriteError::refused(TABLES_ON_TOP)),
            (Place::Tables, Some(_)) => self.tables(path, value),
            (Place::Inline, None) => self.element(value, 0),
            (Place::Inline, Some(name)) => {
                self.indent(path);
                self.out.push_str(&key_text(name));
                self.out.push_str(" = ");
                self.element(value, path.len())?;
                self.out.push('\n');
                Ok(())
            }
        }
    }

    fn table(&mut self, path: &[String], table: &Value) -> Written {
        if path.len() == 1 {
            self.newline();
        }
        if !path.is_empty() {
            self.header(path, "[", "]");
        }
        self.entries(path, table)
    }

    fn tables(&mut self, path: &[String], tables: &Value) -> Written {
        for table in as_list(tables).unwrap_or_default() {
            self.newline();
            self.header(path, "[[", "]]");
            self.entries(path, table)?;
        }
        Ok(())
    }

    fn header(&mut self, path: &[String], open: &str, close: &str) {
        self.indent(path);
        let keys: Vec<String> = path.iter().map(|key| key_text(key)).collect();
        self.out.push_str(&format!("{open}{}{close}\n", keys.join(".")));
    }

    fn entries(&mut self, path: &[String], table: &Value) -> Written {
        for (key, item) in self.split_entries(table, path.len())?.into_iter().flatten() {
            self.step()?;
            let mut path = path.to_vec();
            path.push(key);
            self.entry(&path, &item)?;
        }
        Ok(())
    }

    fn element(&mut self, value: &Value, depth: usize) -> Written {
        self.step()?;
        match kind_of(value) {
            Kind::Nil => return Err(WriteError::refused(NIL_ELEMENT)),
            Kind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            Kind::Int => self.out.push_str(&as_int(value).unwrap_or_default().to_string()),
            Kind::Float => self.out.push_str(&number_text(as_float(value).unwrap_or_default())),
            Kind::Str => self.out.push_str(&quoted(value.as_str().unwrap_or_default())),
            Kind::Bytes => {
                let bytes = value.as_bytes().unwrap_or_default();
                let bytes: Vec<String> = bytes.iter().map(u8::to_string).collect();
                self.out.push_str(&format!("[{}]", bytes.join(", ")));
            }
            Kind::List => self.array(value, depth)?,
            Kind::Map => self.inline_table(value, depth)?,
            Kind::Native => self.out.push_str(&native_text(value)?),
            Kind::Foreign => {
                let json = to_json(value).map_err(WriteError::Failed)?;
                self.element(&from_json(&json), depth)?;
            }
        }
        Ok(())
    }

    fn array(&mut self, value: &Value, depth: usize) -> Written {
        self.out.push('[');
        for (at, item) in as_list(value).unwrap_or_default().iter().enumerate() {
            if at > 0 {
                self.out.push_str(", ");
            }
            self.element(item, depth + 1)?;
        }
        self.out.push(']');
        Ok(())
    }

    // A null is left out, and with it only the comma that would have followed it: Go's encoder
    // leaves `{a = 1, }` behind.
    fn inline_table(&mut self, table: &Value, depth: usize) -> Written {
        let entries: Vec<_> = self.split_entries(table, depth + 1)?.into_iter().flatten().collect();
        self.out.push('{');
        for (at, (key, item)) in entries.iter().enumerate() {
            if kind_of(item) == Kind::Nil {
                continue;
            }
            self.out.push_str(&key_text(key));
            self.out.push_str(" = ");
            self.element(item, depth + 1)?;
            if at + 1 < entries.len() {
                self.out.push_str(", ");
            }
        }
        self.out.push('}');
        Ok(())
    }
}

fn native_text(value: &Value) -> Result<String, WriteError> {
    if let Some(time) = downcast::<Time>(value) {
        return Ok(time.rfc3339());
    }
    match type_name(value) {
        "*semver.Version" => Ok(quoted(&value.to_string())),
        other => Err(WriteError::refused(format!("unsupported type: {other}"))),
    }
}

fn number_text(number: f64) -> String {
    let text = match number {
        n if n.is_nan() => return "nan".to_owned(),
        f64::INFINITY => return "inf".to_owned(),
        f64::NEG_INFINITY => return "-inf".to_owned(),
        n => float_text(n),
    };
    if text.contains(['.', 'e']) { text } else { format!("{text}.0") }
}

fn key_text(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x08' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\x0c' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A TOML document as a map.
///
/// # Errors
/// What is no TOML; the text names the line as Go's reader does, its words are our own.
pub(crate) fn read(text: &str) -> Result<Value, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let table: ::toml::Table = text.parse().map_err(|error: ::toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        format!("toml: line {line}: {}", error.message())
    })?;
    Ok(from_table(table))
}

fn from_table(table: ::toml::Table) -> Value {
    let entries = table.into_iter().map(|(key, item)| (key.into(), from_toml(item)));
    dict(entries.collect::<Entries>())
}

fn from_toml(value: ::toml::Value) -> Value {
    match value {
        ::toml::Value::String(text) => Value::from(text),
        ::toml::Value::Integer(number) => int64(number),
        ::toml::Value::Float(number) => Value::from(number),
        ::toml::Value::Boolean(flag) => Value::from(flag),
        ::toml::Value::Datetime(datetime) => time_value(datetime),
        ::toml::Value::Array(items) => list(items.into_iter().map(from_toml).collect()),
        ::toml::Value::Table(table) => from_table(table),
    }
}

// A date or a time alone is one of the year 0, at midnight, without a zone: all as Go fills it up.
fn time_value(datetime: ::toml::value::Datetime) -> Value {
    let date = datetime.date.map_or((0, 1, 1), |date| (date.year, date.month, date.day));
    let clock = datetime.time.map_or((0, 0, 0, 0), |time| {
        (time.hour, time.minute, time.second.unwrap_or(0), time.nanosecond.unwrap_or(0))
    });
    let offset_minutes = match datetime.offset {
        Some(::toml::value::Offset::Custom { minutes }) => minutes,
        Some(::toml::value::Offset::Z) | None => 0,
    };
    match Time::from_parts(date, clock, offset_minutes) {
        Some(time) => native(time),
        None => Value::from(datetime.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gotemplate::Limits;

    fn refusal(value: &Value, budget: &Budget) -> String {
        FuncError::from(write(value, budget).unwrap_err()).to_string()
    }

    #[test]
    fn a_map_that_contains_itself_is_refused() {
        let map = dict(Entries::new());
        as_dict(&map).unwrap().insert("self", map.clone());
        let text = refusal(&map, &Budget::default());
        assert_eq!(text, TOO_DEEP);
    }

    #[test]
    fn lists_that_share_their_items_spend_the_budget() {
        let mut items = list(vec![int64(1)]);
        for _ in 0..40 {
            items = list(vec![items.clone(), items]);
        }
        let budget = Budget::new(Limits { steps: 10_000, ..Limits::default() });
        assert!(refusal(&items, &budget).contains("steps"));
    }

    #[test]
    fn what_is_no_toml_names_its_line() {
        let error = read("a = 1\nb = \n").unwrap_err();
        assert!(error.starts_with("toml: line 2: "), "{error}");
    }
}
