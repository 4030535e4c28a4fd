//! Which subcharts are on, under which names, and what parents import from them.
//!
//! Owns aliases, conditions and tags; imports are in [`super::imports`]. Start at
//! [`process_dependencies`].

use gotemplate::funcs::semver::{Constraints, Version};
use serde_json::Value as Json;

use super::chart::Chart;
use super::error::Error;
use super::imports::process_imports;
use super::metadata::Dependency;
use super::values::{Nulls, Values, coalesce, leaf_at};

/// Whether a version meets a constraint; anything unreadable does not.
pub(crate) fn is_compatible(constraint: &str, version: &str) -> bool {
    match (Constraints::parse(constraint), Version::parse(version)) {
        (Ok(constraint), Ok(version)) => constraint.matches(&version),
        _ => false,
    }
}

/// Refuses a library chart: it only holds definitions for others.
///
/// # Errors
/// [`Error::NotInstallable`].
pub fn check_installable(chart: &Chart) -> Result<(), Error> {
    match &*chart.metadata.kind {
        "" | "application" => Ok(()),
        kind => Err(Error::NotInstallable(kind.to_owned())),
    }
}

/// Refuses a chart whose listed dependencies are not in `charts/`.
///
/// # Errors
/// [`Error::MissingDependencies`].
pub fn check_dependencies(chart: &Chart) -> Result<(), Error> {
    let there = |name: &str| chart.dependencies.iter().any(|child| child.name() == name);
    let listed = chart.metadata.dependencies.iter().flatten();
    let missing: Vec<&str> =
        listed.map(|dependency| &*dependency.name).filter(|name| !there(name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::MissingDependencies(missing.join(", "))) }
}

/// Switches subcharts on and off, renames them to their aliases, and takes over the values that
/// parents import.
///
/// # Errors
/// [`Error::ValuesNotTable`].
pub(crate) fn process_dependencies(chart: &mut Chart, values: &Values) -> Result<(), Error> {
    process_enabled(chart, values, "")?;
    process_imports(chart)
}

fn process_enabled(chart: &mut Chart, values: &Values, path: &str) -> Result<(), Error> {
    let Some(mut listed) = chart.metadata.dependencies.take() else { return Ok(()) };
    chart.dependencies = named_dependencies(&chart.dependencies, &mut listed);
    let mut merged = values.clone();
    coalesce(chart, &mut merged, Nulls::Remove)?;
    for dependency in &mut listed {
        dependency.enabled = true;
    }
    apply_tags(&mut listed, &merged);
    apply_conditions(&mut listed, &merged, path);
    let is_off =
        |name: &str| listed.iter().any(|dependency| !dependency.enabled && dependency.name == name);
    chart.dependencies.retain(|child| !is_off(child.name()));
    for child in &mut chart.dependencies {
        let path = format!("{path}{}.", child.name());
        process_enabled(child, &merged, &path)?;
    }
    let off: Vec<String> = listed.iter().filter(|d| !d.enabled).map(|d| d.name.clone()).collect();
    listed.retain(|dependency| !off.contains(&dependency.name));
    chart.metadata.dependencies = if listed.is_empty() { None } else { Some(listed) };
    Ok(())
}

// Charts nobody lists stay; a listed one appears once for each entry, under that entry's alias.
fn named_dependencies(charts: &[Chart], listed: &mut [Dependency]) -> Vec<Chart> {
    let meets = |chart: &Chart, dependency: &Dependency| {
        chart.name() == dependency.name
            && is_compatible(&dependency.version, &chart.metadata.version)
    };
    let mut named: Vec<Chart> = charts
        .iter()
        .filter(|chart| !listed.iter().any(|dependency| meets(chart, dependency)))
        .cloned()
        .collect();
    for dependency in listed {
        if let Some(chart) = charts.iter().find(|chart| meets(chart, dependency)) {
            let mut chart = chart.clone();
            if !dependency.alias.is_empty() {
                chart.metadata.name.clone_from(&dependency.alias);
            }
            named.push(chart);
        }
        if !dependency.alias.is_empty() {
            dependency.name.clone_from(&dependency.alias);
        }
    }
    named
}

fn apply_tags(listed: &mut [Dependency], values: &Values) {
    let Some(tags) = values.get("tags").and_then(Json::as_object) else { return };
    for dependency in listed {
        let flags = dependency.tags.iter().filter_map(|tag| tags.get(tag)?.as_bool());
        let flags: Vec<bool> = flags.collect();
        // One true tag is enough; no tag set at all leaves it on.
        dependency.enabled = flags.is_empty() || flags.contains(&true);
    }
}

fn apply_conditions(listed: &mut [Dependency], values: &Values, path: &str) {
    for dependency in listed {
        let conditions = dependency.condition.trim().split(',').filter(|c| !c.is_empty());
        let flag = conditions
            .filter_map(|condition| leaf_at(values, &format!("{path}{condition}"))?.as_bool())
            .next();
        if let Some(flag) = flag {
            dependency.enabled = flag;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use serde_json::json;

    fn table(json: Json) -> Values {
        json.as_object().cloned().unwrap_or_default()
    }

    fn child(name: &str, values: Json) -> Chart {
        let mut chart = Chart { values: Arc::new(table(values)), ..Chart::default() };
        chart.metadata.name = name.to_owned();
        chart.metadata.version = "1.2.3".to_owned();
        chart
    }

    fn parent(listed: Vec<Dependency>, children: Vec<Chart>) -> Chart {
        let mut chart = child("parent", json!({}));
        chart.metadata.dependencies = Some(listed);
        chart.dependencies = children;
        chart
    }

    fn dependency(name: &str) -> Dependency {
        Dependency { name: name.to_owned(), version: "^1.0".to_owned(), ..Dependency::default() }
    }

    #[test]
    fn a_condition_beats_a_tag() {
        let mut listed = dependency("db");
        listed.tags = vec!["backend".to_owned()];
        listed.condition = "db.enabled".to_owned();
        let values = table(json!({"tags": {"backend": false}, "db": {"enabled": true}}));
        let mut chart = parent(vec![listed], vec![child("db", json!({}))]);
        process_dependencies(&mut chart, &values).unwrap();
        assert_eq!(chart.dependencies.len(), 1);
    }

    #[test]
    fn one_chart_can_be_there_twice_under_aliases() {
        let mut second = dependency("db");
        second.alias = "cache".to_owned();
        let mut chart = parent(vec![dependency("db"), second], vec![child("db", json!({}))]);
        process_dependencies(&mut chart, &Values::new()).unwrap();
        let names: Vec<&str> = chart.dependencies.iter().map(Chart::name).collect();
        assert_eq!(names, ["db", "cache"]);
    }

    #[test]
    fn exported_values_reach_the_parent() {
        let mut listed = dependency("db");
        listed.import_values = vec![json!("data"), json!({"child": "net", "parent": "own.net"})];
        let values = json!({"exports": {"data": {"port": 5432}}, "net": {"a": 1}});
        let mut chart = parent(vec![listed], vec![child("db", values)]);
        process_dependencies(&mut chart, &Values::new()).unwrap();
        assert_eq!(chart.values["port"], json!(5432));
        assert_eq!(chart.values["own"], json!({"net": {"a": 1}}));
    }
}
