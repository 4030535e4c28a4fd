//! What a person sees while it runs: repositories, bundles, clusters.
//!
//! Owns the picture and how it changes: redrawn in place on a terminal, one line for each change
//! elsewhere. Start at [`Picture::observe`] and [`Board::show`].

use anyhow::Context as _;
use bundle_format::api::labels;
use kube::Client;
use runtime::objects;
use serde_json::Value;

use crate::Ui;
use crate::ui::Paint;

/// Rows on a terminal; the smallest ones have 24 lines.
const ROWS_MAX: usize = 18;

/// Width of the bar.
const BAR: usize = 20;

/// One line: what it is, how far it is, what is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    kind: &'static str,
    name: String,
    progress: String,
    note: String,
    is_ready: bool,
}

/// The state of everything at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    rows: Vec<Row>,
}

fn ready_condition(object: &Value) -> (bool, String) {
    let rows = object["status"]["conditions"].as_array().into_iter().flatten();
    let ready = rows.into_iter().find(|c| c["type"] == "Ready");
    let message = ready.and_then(|c| c["message"].as_str()).unwrap_or_default();
    (ready.is_some_and(|c| c["status"] == "True"), message.to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Picture {
    /// Reads the hub.
    pub(super) async fn observe(hub: &Client) -> anyhow::Result<Picture> {
        let mut rows = Vec::new();
        for (plural, kind, field) in [
            ("gitrepos", "repo", "readyBundleDeployments"),
            ("bundles", "bundle", "readyClusters"),
            ("clusters", "cluster", "readyBundles"),
        ] {
            let path = format!("/apis/{}/{plural}", labels::API_VERSION);
            let list = objects::get(hub, &path).await?.with_context(|| format!("no {plural}"))?;
            for object in list["items"].as_array().into_iter().flatten() {
                rows.push(row(kind, object, field));
            }
        }
        Ok(Picture { rows })
    }

    /// Whether every bundle is on every cluster it goes to, and there is one.
    pub(super) fn is_ready(&self) -> bool {
        let bundles = || self.rows.iter().filter(|r| r.kind == "bundle");
        bundles().next().is_some() && self.rows.iter().all(|r| r.is_ready)
    }

    /// Bundles that are ready, and all of them.
    fn bundle_counts(&self) -> (usize, usize) {
        let bundles: Vec<&Row> = self.rows.iter().filter(|r| r.kind == "bundle").collect();
        (bundles.iter().filter(|r| r.is_ready).count(), bundles.len())
    }
}

fn row(kind: &'static str, object: &Value, field: &str) -> Row {
    let (is_ready, message) = ready_condition(object);
    let mut progress = text(&object["status"]["display"][field]).to_owned();
    if kind == "repo" {
        let commit = text(&object["status"]["commit"]);
        let short = commit.get(..7).unwrap_or("-");
        progress = format!("{progress} at {short}");
    }
    // A count of its own says more than a condition that may not have caught up.
    let (have, want) = progress.split_once('/').unwrap_or_default();
    let counts = have == want.split(' ').next().unwrap_or_default() && !have.is_empty();
    Row {
        kind,
        name: text(&object["metadata"]["name"]).to_owned(),
        is_ready: is_ready && counts && have != "0",
        progress,
        note: message,
    }
}

/// The picture on the screen, or in the log.
pub(super) struct Board {
    shown: Picture,
    lines_count: usize,
}

impl Board {
    pub(super) fn new() -> Board {
        Board { shown: Picture::default(), lines_count: 0 }
    }

    /// Shows what changed.
    pub(super) fn show(&mut self, picture: &Picture, ui: &mut Ui) -> anyhow::Result<()> {
        if *picture == self.shown {
            return Ok(());
        }
        let text = if ui.is_terminal() { self.redraw(picture, ui) } else { self.changes(picture) };
        self.shown = picture.clone();
        ui.out(&text)?;
        ui.flush()
    }

    /// Other text was printed: the next picture starts below it.
    pub(super) fn leave(&mut self) {
        self.lines_count = 0;
    }

    fn redraw(&mut self, picture: &Picture, ui: &Ui) -> String {
        let mut text = String::new();
        if self.lines_count > 0 {
            // Up to the first line of the last picture, and clear from there.
            text.push_str(&format!("\u{1b}[{}A\u{1b}[J", self.lines_count));
        }
        let lines = table(picture, ui);
        self.lines_count = lines.len();
        // A line that wraps would be two, and the count of lines wrong: the terminal cuts it.
        text.push_str("\u{1b}[?7l");
        for line in lines {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text + "\u{1b}[?7h"
    }

    fn changes(&self, picture: &Picture) -> String {
        let is_new = |row: &&Row| !self.shown.rows.contains(row);
        let line = |row: &Row| {
            let state = if row.is_ready { "ready" } else { "waiting" };
            format!("{} {}: {} {state} {}", row.kind, row.name, row.progress, row.note)
        };
        let rows = picture.rows.iter().filter(is_new);
        rows.map(|row| line(row).trim_end().to_owned() + "\n").collect()
    }
}

/// The rows that fit on the smallest screens; those that wait are more interesting.
fn rows_to_show(picture: &Picture) -> Vec<&Row> {
    let surplus = picture.rows.len().saturating_sub(ROWS_MAX);
    let ready = picture.rows.iter().rev().filter(|row| row.is_ready).take(surplus);
    let hidden: Vec<&str> = ready.map(|row| row.name.as_str()).collect();
    let mut rows: Vec<&Row> = picture.rows.iter().collect();
    rows.retain(|row| !(row.is_ready && hidden.contains(&row.name.as_str())));
    rows.truncate(ROWS_MAX);
    rows
}

fn table(picture: &Picture, ui: &Ui) -> Vec<String> {
    let rows = rows_to_show(picture);
    let width = |f: fn(&Row) -> &str| rows.iter().map(|r| f(r).chars().count()).max().unwrap_or(0);
    let (names, progress) = (width(|r| &r.name), width(|r| &r.progress));
    let line = |row: &&Row| {
        let mark = match row.is_ready {
            true => ui.painted(Paint::Good, "✓"),
            false => ui.painted(Paint::Waiting, "…"),
        };
        let note: String = row.note.chars().filter(|c| !c.is_control()).take(200).collect();
        let note = ui.painted(Paint::Faint, &note);
        let (kind, name, so_far) = (row.kind, &row.name, &row.progress);
        format!("{mark} {kind:<8} {name:<names$}  {so_far:<progress$}  {note}")
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    if rows.len() < picture.rows.len() {
        lines.push(format!("  and {} more", picture.rows.len() - rows.len()));
    }
    let (ready, all) = picture.bundle_counts();
    let filled = (ready * BAR).checked_div(all).unwrap_or(0);
    let bar = ui.painted(Paint::Good, &"█".repeat(filled)) + &"░".repeat(BAR - filled);
    lines.push(format!("  bundles  {bar} {ready}/{all}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bundle(ready: &str, message: &str) -> Row {
        let status = if message.is_empty() { "True" } else { "False" };
        row(
            "bundle",
            &json!({"metadata": {"name": "web"}, "status": {"display": {"readyClusters": ready},
            "conditions": [{"type": "Ready", "status": status, "message": message}]}}),
            "readyClusters",
        )
    }

    #[test]
    fn a_bundle_is_ready_when_its_count_and_its_condition_say_so() {
        for (progress, message, expected) in [
            ("2/2", "", true),
            ("1/2", "", false),
            ("2/2", "NotReady(1)", false),
            ("0/0", "", false),
            ("", "", false),
        ] {
            let picture = Picture { rows: vec![bundle(progress, message)] };
            assert_eq!(picture.is_ready(), expected, "{progress} {message}");
        }
    }

    #[test]
    fn a_log_gets_one_line_for_each_change_and_no_colours() {
        let (mut ui, captured) = Ui::captured();
        let mut board = Board::new();
        for progress in ["1/2", "1/2", "2/2"] {
            board.show(&Picture { rows: vec![bundle(progress, "")] }, &mut ui).expect("shown");
        }
        assert_eq!(captured.out(), "bundle web: 1/2 waiting\nbundle web: 2/2 ready\n");
    }

    #[test]
    fn a_terminal_gets_a_table_that_is_drawn_anew_in_its_place() {
        let (mut ui, captured) = Ui::captured_terminal(false);
        let mut board = Board::new();
        for progress in ["1/2", "2/2"] {
            board.show(&Picture { rows: vec![bundle(progress, "")] }, &mut ui).expect("shown");
        }
        let drawn = [
            "\u{1b}[?7l… bundle   web  1/2\n  bundles  ░░░░░░░░░░░░░░░░░░░░ 0/1\n\u{1b}[?7h",
            "\u{1b}[2A\u{1b}[J",
            "\u{1b}[?7l✓ bundle   web  2/2\n  bundles  ████████████████████ 1/1\n\u{1b}[?7h",
        ];
        assert_eq!(captured.out(), drawn.concat());
        let (mut ui, captured) = Ui::captured_terminal(true);
        let picture = Picture { rows: vec![bundle("2/2", "")] };
        Board::new().show(&picture, &mut ui).expect("shown");
        assert!(captured.out().contains("\u{1b}[32m✓\u{1b}[0m bundle"), "{}", captured.out());
    }

    #[test]
    fn more_rows_than_a_screen_has_hide_ready_ones_first() {
        let named = |number: usize| {
            let progress = if number == 25 { "0/2" } else { "2/2" };
            Row { name: format!("web-{number}"), ..bundle(progress, "") }
        };
        let picture = Picture { rows: (0..30).map(named).collect() };
        let rows = rows_to_show(&picture);
        assert_eq!(rows.len(), ROWS_MAX);
        assert_eq!(rows.last().expect("one").name, "web-25");
    }
}
