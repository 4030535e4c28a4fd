//! What `kubectl get` shows of our kinds, against what it printed for the reference.

use bundle_format::api::BundleSummary;
use bundle_format::api::crds::definitions;
use bundle_format::summary::ready_message;
use serde_json::Value;

/// One recorded table.
struct Table {
    /// What follows `kubectl get`.
    words: &'static str,
    header: &'static str,
    rows: Vec<&'static str>,
}

impl Table {
    fn plural(&self) -> &str {
        self.words.split([' ', '.']).next().unwrap_or_default()
    }

    /// The last column of the row of an object.
    fn status(&self, namespace: &str, name: &str) -> Option<&str> {
        let row = self.rows.iter().find(|row| {
            let mut cells = row.split_whitespace();
            cells.next() == Some(namespace) && cells.next() == Some(name)
        })?;
        Some(row.get(self.header.find("STATUS")?..).unwrap_or_default().trim())
    }
}

fn recorded_tables() -> Vec<Table> {
    let recorded = include_str!("../golden/kubectl-tables/tables.txt");
    let tables = recorded.split("$ kubectl get ").skip(1).map(|text| {
        let mut lines = text.lines();
        let (words, header) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        Table { words, header, rows: lines.collect() }
    });
    tables.collect()
}

/// The columns of a kind in `kubectl get -A`.
fn columns(crd: &Value, is_wide: bool) -> Vec<String> {
    let spec = &crd["spec"];
    let own = spec["versions"][0]["additionalPrinterColumns"].as_array();
    let is_shown = |column: &&Value| is_wide || column["priority"].as_i64().unwrap_or(0) == 0;
    let shown = own.into_iter().flatten().filter(is_shown);
    let shown = shown.map(|column| column["name"].as_str().unwrap_or_default().to_uppercase());
    let namespace = (spec["scope"] == "Namespaced").then_some("NAMESPACE");
    let before = namespace.into_iter().chain(["NAME"]).map(str::to_owned);
    let after = own.is_none().then(|| "AGE".to_owned());
    before.chain(shown).chain(after).collect()
}

#[test]
fn tables_have_the_columns_of_the_reference_in_its_order() {
    let definitions = definitions();
    let tables = recorded_tables();
    assert_eq!(tables.len(), 11, "of eight kinds, three of them wide as well");
    for table in &tables {
        let is_it = |crd: &&Value| crd["spec"]["names"]["plural"] == table.plural();
        let crd = definitions.iter().find(is_it).expect(table.words);
        let wanted: Vec<&str> = table.header.split_whitespace().collect();
        assert_eq!(columns(crd, table.words.ends_with("-o wide")), wanted, "{}", table.words);
    }
}

#[test]
fn the_status_column_has_the_words_of_the_reference() {
    let tables = recorded_tables();
    let objects = include_str!("../golden/kubectl-tables/summaries.json");
    let objects: Vec<Value> = serde_json::from_str(objects).expect("JSON");
    assert_eq!(objects.len(), 8);
    for object in &objects {
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let table = tables.iter().find(|table| table.plural() == text("plural")).expect("a table");
        let wanted = table.status(text("namespace"), text("name")).expect("a row");
        let summary: BundleSummary =
            serde_json::from_value(object["summary"].clone()).expect("a summary");
        let counted = if text("plural") == "bundles" { "Cluster" } else { "Bundle" };
        assert_eq!(ready_message(&summary, counted), wanted, "{}", text("name"));
    }
}

// The kinds of which no table was recorded, as the reference's `fleet-api.md` lists their columns.
#[test]
fn kinds_without_a_recorded_table_have_the_columns_the_reference_lists() {
    let definitions = definitions();
    for (plural, wanted) in [
        ("bundlenamespacemappings", "NAMESPACE NAME AGE"),
        ("gitreporestrictions", "NAMESPACE NAME DEFAULT-SERVICEACCOUNT ALLOWED-SERVICEACCOUNTS"),
        ("helmops", "NAMESPACE NAME REPO CHART VERSION BUNDLEDEPLOYMENTS-READY STATUS"),
        ("imagescans", "NAMESPACE NAME REPOSITORY LATEST"),
        ("policies", "NAMESPACE NAME AGE"),
        ("schedules", "NAMESPACE NAME SCHEDULE DURATION ACTIVE NEXTSTART"),
    ] {
        let is_it = |crd: &&Value| crd["spec"]["names"]["plural"] == plural;
        let crd = definitions.iter().find(is_it).expect(plural);
        assert_eq!(columns(crd, false).join(" "), wanted, "{plural}");
    }
}
