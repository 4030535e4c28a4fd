//! What a parent chart imports from its subcharts' values (`import-values`).
//!
//! Owns Helm's rule that an imported table is the subchart's own, not a copy: where two imports
//! hold the same table, the second is merged into the first one's source, and the subchart's
//! templates see it. Start at [`process_imports`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value as Json;

use super::chart::Chart;
use super::error::Error;
use super::metadata::Dependency;
use super::values::{Nulls, Values, coalesce, coalesce_tables};

/// How many values a chart with imports may have: imports of imports multiply.
const MAX_VALUES: u64 = 1_000_000;
/// How deep they may be nested: an import of a table into itself has no end.
const MAX_DEPTH: u64 = 500;

/// Takes over what a chart and those below it import into the chart's own defaults.
///
/// # Errors
/// [`Error::ValuesNotTable`], and [`Error::TooLarge`] for imports that multiply or never end.
pub(crate) fn process_imports(chart: &mut Chart) -> Result<(), Error> {
    for child in &mut chart.dependencies {
        process_imports(child)?;
    }
    let Some(listed) = chart.metadata.dependencies.take() else { return Ok(()) };
    let mut merged = Values::new();
    coalesce(chart, &mut merged, Nulls::Keep)?;
    if listed.iter().any(|dependency| !dependency.import_values.is_empty()) {
        merged = with_imports(merged, &listed)?;
    }
    chart.values = Arc::new(merged);
    chart.metadata.dependencies = Some(listed.into_iter().map(with_full_imports).collect());
    Ok(())
}

fn with_imports(merged: Values, listed: &[Dependency]) -> Result<Values, Error> {
    let merged = shared(merged);
    let imported = Table::default();
    let mut bound = Bound::default();
    for dependency in listed {
        for import in &dependency.import_values {
            let (child, parent) = match import {
                Json::String(export) => (format!("exports.{export}"), ".".to_owned()),
                Json::Object(pair) => (path_of(pair.get("child")), path_of(pair.get("parent"))),
                _ => continue,
            };
            if let Some(table) = table_at(&merged, &format!("{}.{child}", dependency.name)) {
                bound.merge(&imported, &below(&parent, table), 0)?;
            }
        }
    }
    let mut values = bound.copy(&merged, 0)?;
    coalesce_tables(&mut values, bound.copy(&imported, 0)?, Nulls::Keep);
    Ok(values)
}

fn path_of(json: Option<&Json>) -> String {
    match json {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Null) | None => "<nil>".to_owned(),
        Some(other) => other.to_string(),
    }
}

// Templates see the short form of an import written out.
fn with_full_imports(mut dependency: Dependency) -> Dependency {
    for import in &mut dependency.import_values {
        if let Json::String(export) = import {
            *import = serde_json::json!({"child": format!("exports.{export}"), "parent": "."});
        }
    }
    dependency
}

/// A table that may be in several places at once, as Go's maps are.
type Table = Rc<RefCell<BTreeMap<String, Node>>>;

#[derive(Clone)]
enum Node {
    Table(Table),
    Leaf(Json),
}

fn shared(values: Values) -> Table {
    let node = |item| match item {
        Json::Object(table) => Node::Table(shared(table)),
        leaf => Node::Leaf(leaf),
    };
    Rc::new(RefCell::new(values.into_iter().map(|(key, item)| (key, node(item))).collect()))
}

fn table_at(table: &Table, path: &str) -> Option<Table> {
    path.split('.').try_fold(table.clone(), |table, name| match table.borrow().get(name) {
        Some(Node::Table(inner)) => Some(inner.clone()),
        Some(Node::Leaf(_)) | None => None,
    })
}

// `a.b` and a table → {a: {b: table}}.
fn below(path: &str, table: Table) -> Table {
    if path == "." {
        return table;
    }
    path.rsplit('.').fold(table, |inner, name| {
        Rc::new(RefCell::new(BTreeMap::from([(name.to_owned(), Node::Table(inner))])))
    })
}

#[derive(Default)]
struct Bound {
    values: u64,
}

impl Bound {
    fn take(&mut self, depth: u64) -> Result<(), Error> {
        self.values += 1;
        let (bound, what, limit) = match (self.values > MAX_VALUES, depth > MAX_DEPTH) {
            (true, _) => ("import values", "imported values", MAX_VALUES),
            (_, true) => ("import depth", "levels of imported values", MAX_DEPTH),
            _ => return Ok(()),
        };
        Err(Error::TooLarge { bound, what, limit })
    }

    /// Fills `dest` up from `source`, whose tables are then in both. What `dest` says wins: its
    /// nulls even in `source`.
    fn merge(&mut self, dest: &Table, source: &Table, depth: u64) -> Result<(), Error> {
        self.take(depth)?;
        if Rc::ptr_eq(dest, source) {
            return Ok(());
        }
        for (key, item) in dest.borrow().iter() {
            if matches!(item, Node::Leaf(Json::Null)) {
                source.borrow_mut().insert(key.clone(), Node::Leaf(Json::Null));
            }
        }
        let items = source.borrow().clone();
        for (key, item) in items {
            self.take(depth)?;
            let known = dest.borrow().get(&key).cloned();
            match (known, item) {
                (None, item) => {
                    dest.borrow_mut().insert(key, item);
                }
                (Some(Node::Table(known)), Node::Table(table)) => {
                    self.merge(&known, &table, depth + 1)?;
                }
                (Some(_), _) => {}
            }
        }
        Ok(())
    }

    fn copy(&mut self, table: &Table, depth: u64) -> Result<Values, Error> {
        let mut values = Values::new();
        for (key, item) in table.borrow().iter() {
            self.take(depth)?;
            let item = match item {
                Node::Table(table) => Json::Object(self.copy(table, depth + 1)?),
                Node::Leaf(leaf) => leaf.clone(),
            };
            values.insert(key.clone(), item);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listed(imports: Json) -> Vec<Dependency> {
        let text = json!({"name": "x", "version": "1.0.0", "apiVersion": "v2", "dependencies": [
            {"name": "sub", "version": "1.0.0", "import-values": imports}
        ]});
        let metadata = super::super::metadata::Metadata::parse(&text.to_string()).unwrap();
        metadata.dependencies.unwrap()
    }

    // helm 4.3.1 dies of a stack overflow here.
    #[test]
    fn a_table_imported_into_itself_is_refused() {
        let values = json!({"sub": {"extra": {"inside": {"one": 1}}}});
        let imports = json!([
            {"child": "extra", "parent": "own"},
            {"child": "extra", "parent": "own.inside"}
        ]);
        let values = values.as_object().cloned().unwrap();
        let error = with_imports(values, &listed(imports)).unwrap_err();
        assert!(matches!(error, Error::TooLarge { bound: "import depth", .. }), "{error}");
    }
}
