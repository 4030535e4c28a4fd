//! Figures beside their reach.
//!
//! Owns the words and the verdict. Knows nothing of how a figure was measured. Start at
//! [`Figures::add`].

use std::fmt;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// Printed for comparison only.
    None,
}

impl Reach {
    fn is_met(self, measured: f64) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(measured <= limit),
            Self::AtLeast(limit) => Some(measured >= limit),
            Self::None => None,
        }
    }
}

/// One measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// What it should be.
    pub reach: Reach,
    /// What it is.
    pub measured: f64,
    /// Unit, as it follows the number: `s`, `MB`, `/s`, empty.
    pub unit: &'static str,
    /// How it came about: other rounds, which writes.
    pub note: String,
}

impl Figure {
    fn number(&self, value: f64) -> String {
        let digits = match value.abs() {
            _ if self.unit.is_empty() && value.fract() == 0.0 => 0,
            value if value < 10.0 => 2,
            value if value < 100.0 => 1,
            _ => 0,
        };
        let space = if self.unit.is_empty() || self.unit.starts_with('/') { "" } else { " " };
        format!("{value:.digits$}{space}{}", self.unit)
    }

    fn reach_text(&self) -> String {
        match self.reach {
            Reach::AtMost(limit) => format!("<= {}", self.number(limit)),
            Reach::AtLeast(limit) => format!(">= {}", self.number(limit)),
            Reach::None => "-".to_owned(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.reach.is_met(self.measured) {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        }
    }
}

/// One line for a person who waits.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (measured, reach) = (self.number(self.measured), self.reach_text());
        write!(f, "{:44} {measured:>10} {reach:>12} {:6}", self.name, self.verdict())?;
        if self.note.is_empty() { Ok(()) } else { write!(f, "  {}", self.note) }
    }
}

/// All figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Keeps a figure and returns its line.
    pub fn add(&mut self, figure: Figure) -> String {
        let line = figure.to_string();
        self.0.push(figure);
        line
    }

    /// How many reaches were missed.
    #[must_use]
    pub fn missed_count(&self) -> usize {
        self.0.iter().filter(|figure| figure.verdict() == "MISSED").count()
    }

    /// The figures as a table for `docs/figures.md`.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = "| figure | reach | measured | |\n|---|--:|--:|---|\n".to_owned();
        for figure in &self.0 {
            let (reach, measured) = (figure.reach_text(), figure.number(figure.measured));
            let cells = [figure.name.as_str(), &reach, &measured, figure.verdict()];
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(reach: Reach, measured: f64) -> Figure {
        Figure { name: "n".into(), reach, measured, unit: "s", note: String::new() }
    }

    #[test]
    fn a_figure_says_whether_its_reach_was_met() {
        let mut figures = Figures::default();
        for (reach, measured, verdict) in [
            (Reach::AtMost(0.4), 0.4, "met"),
            (Reach::AtMost(0.4), 0.41, "MISSED"),
            (Reach::AtLeast(500.0), 499.0, "MISSED"),
            (Reach::None, 1.0, ""),
        ] {
            let line = figures.add(figure(reach, measured));
            assert!(line.trim_end().ends_with(verdict), "{line}");
        }
        assert_eq!(figures.missed_count(), 2);
        assert!(figures.to_markdown().contains("| n | <= 0.40 s | 0.41 s | MISSED |"));
    }
}
