//! Values: loading, and merging those of the user over those of charts.
//!
//! Owns Helm 4's rules for tables, nulls and globals. The user's values win; a null removes a
//! chart's default. Start at [`coalesce_values`].

use serde_json::{Map, Value as Json};

use super::chart::Chart;
use super::error::Error;

/// A table of values.
pub type Values = Map<String, Json>;

const GLOBAL: &str = "global";

/// Reads a values file: the tables of all its documents, later ones over earlier ones. Every
/// number is a float, as in Go.
///
/// # Errors
/// What is no YAML, or no table.
pub fn load_values(text: &str) -> Result<Values, String> {
    let mut values = Values::new();
    for document in split_documents(text) {
        let json = goyaml::from_str(document).map_err(|e| {
            format!("cannot unmarshal yaml document: error converting YAML to JSON: {e}")
        })?;
        match floats(json) {
            Json::Object(table) => values = merge_maps(values, table),
            Json::Null => {}
            _ => return Err("cannot unmarshal yaml document: it is not a map".to_owned()),
        }
    }
    Ok(values)
}

// A line that is nothing but `---` separates documents.
fn split_documents(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.strip_prefix("---").is_some_and(|rest| rest.trim().is_empty()) {
            documents.push(&text[start..at]);
            start = at + line.len();
        }
        at += line.len();
    }
    documents.push(&text[start..]);
    documents.retain(|document| !document.trim().is_empty());
    documents
}

/// Every number as the float that Go's decoder makes of it.
#[must_use]
pub(crate) fn floats(json: Json) -> Json {
    match json {
        Json::Number(number) => {
            let float = number.as_f64().and_then(serde_json::Number::from_f64);
            Json::Number(float.unwrap_or(number))
        }
        Json::Array(items) => Json::Array(items.into_iter().map(floats).collect()),
        Json::Object(table) => {
            Json::Object(table.into_iter().map(|(key, item)| (key, floats(item))).collect())
        }
        other => other,
    }
}

/// Merges `over` onto `base`; tables are merged, everything else is replaced.
#[must_use]
pub fn merge_maps(mut base: Values, over: Values) -> Values {
    for (key, item) in over {
        match (base.get_mut(&key), item) {
            (Some(Json::Object(known)), Json::Object(table)) => {
                *known = merge_maps(std::mem::take(known), table);
            }
            (_, item) => {
                base.insert(key, item);
            }
        }
    }
    base
}

/// What to do with nulls: see Helm's `CoalesceValues` and `MergeValues`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// A null removes a default, and is gone itself.
    Remove,
    /// Nulls stay, for a later merge to see.
    Keep,
}

/// The values a chart and its subcharts run with.
///
/// # Errors
/// [`Error::ValuesNotTable`] when a subchart's values are something else.
pub fn coalesce_values(chart: &Chart, values: &Values) -> Result<Values, Error> {
    let mut values = values.clone();
    coalesce(chart, &mut values, Nulls::Remove)?;
    Ok(values)
}

pub(crate) fn coalesce(chart: &Chart, dest: &mut Values, nulls: Nulls) -> Result<(), Error> {
    take_defaults(chart, dest, nulls);
    for dependency in &chart.dependencies {
        let name = dependency.name();
        let globals = dest.get(GLOBAL).cloned();
        let inner = dest.entry(name).or_insert_with(|| Json::Object(Values::new()));
        let Json::Object(inner) = inner else {
            return Err(Error::ValuesNotTable(name.to_owned()));
        };
        take_globals(inner, globals);
        coalesce(dependency, inner, nulls)?;
    }
    Ok(())
}

fn take_defaults(chart: &Chart, dest: &mut Values, nulls: Nulls) {
    for (key, default) in chart.values.iter() {
        match dest.get_mut(key) {
            Some(Json::Null) if nulls == Nulls::Remove => {
                dest.remove(key);
            }
            Some(Json::Object(table)) => {
                if let Json::Object(default) = default {
                    // A subchart's table is merged: its own turn to remove nulls comes later.
                    let is_child = chart.dependencies.iter().any(|child| child.name() == key);
                    let nulls = if is_child { Nulls::Keep } else { nulls };
                    let mut default = default.clone();
                    if nulls == Nulls::Remove {
                        remove_nulls(&mut default);
                    }
                    coalesce_tables(table, default, nulls);
                }
            }
            Some(_) => {}
            None if nulls == Nulls::Keep => {
                dest.insert(key.clone(), default.clone());
            }
            None if default.is_null() => {}
            None => {
                let mut default = default.clone();
                if let Json::Object(table) = &mut default {
                    remove_nulls(table);
                }
                dest.insert(key.clone(), default);
            }
        }
    }
}

// The parent's globals over the child's.
fn take_globals(child: &mut Values, globals: Option<Json>) {
    let mut own = match child.get(GLOBAL) {
        None => Values::new(),
        Some(Json::Object(table)) => table.clone(),
        Some(_) => return,
    };
    let globals = match globals {
        None => Values::new(),
        Some(Json::Object(table)) => table,
        Some(_) => return,
    };
    for (key, item) in globals {
        match (item, own.get_mut(&key)) {
            (Json::Object(mut table), Some(Json::Object(known))) => {
                coalesce_tables(&mut table, std::mem::take(known), Nulls::Keep);
                own.insert(key, Json::Object(table));
            }
            (Json::Object(_), Some(_)) | (_, Some(Json::Object(_))) => {}
            (item, _) => {
                own.insert(key, item);
            }
        }
    }
    child.insert(GLOBAL.to_owned(), Json::Object(own));
}

/// Fills `dest` up from `source`; what `dest` says wins.
pub(crate) fn coalesce_tables(dest: &mut Values, source: Values, nulls: Nulls) {
    for (key, item) in source {
        match dest.get_mut(&key) {
            None => {
                dest.insert(key, item);
            }
            Some(Json::Null) if nulls == Nulls::Remove && !item.is_null() => {
                dest.remove(&key);
            }
            Some(Json::Object(table)) => {
                if let Json::Object(item) = item {
                    coalesce_tables(table, item, nulls);
                }
            }
            Some(_) => {}
        }
    }
}

fn remove_nulls(table: &mut Values) {
    table.retain(|_, item| !item.is_null());
    for item in table.values_mut() {
        if let Json::Object(table) = item {
            remove_nulls(table);
        }
    }
}

/// The table at a path of names separated by dots.
#[must_use]
pub fn table_at<'a>(values: &'a Values, path: &str) -> Option<&'a Values> {
    path.split('.').try_fold(values, |table, name| table.get(name)?.as_object())
}

/// What is at a path, unless it is a table.
pub(crate) fn leaf_at<'a>(values: &'a Values, path: &str) -> Option<&'a Json> {
    let (table, name) = match path.rsplit_once('.') {
        Some((tables, name)) => (table_at(values, tables)?, name),
        None => (values, path),
    };
    table.get(name).filter(|item| !item.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table(json: Json) -> Values {
        json.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn documents_of_a_values_file_are_merged() {
        let values = load_values("a: 1\nb: {x: p}\n---\nb: {z: q}\n").unwrap();
        assert_eq!(Json::Object(values), json!({"a": 1.0, "b": {"x": "p", "z": "q"}}));
    }

    #[test]
    fn a_null_removes_a_default() {
        let values = table(json!({"a": {"x": 1, "y": 2}, "b": 1}));
        let chart = Chart { values: values.into(), ..Chart::default() };
        let values = table(json!({"a": {"x": null}, "b": null, "c": null}));
        let merged = coalesce_values(&chart, &values).unwrap();
        assert_eq!(Json::Object(merged), json!({"a": {"y": 2}, "c": null}));
    }
}
