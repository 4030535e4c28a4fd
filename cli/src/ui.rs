//! What a person or a script sees of a command.
//!
//! Owns the two output streams, colours and the form of errors. Must not know any command. Start at
//! [`Ui`].

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde::Serialize;

/// Set to `true` by scripts that want errors as one line of JSON.
const JSON_OUTPUT_ENV: &str = "FLEET_JSON_OUTPUT";

/// The output of a command: results on one stream, everything else on the other.
pub struct Ui {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    has_colors: bool,
    is_terminal: bool,
    paints: bool,
    has_json_errors: bool,
}

/// Standard output in large pieces; the library's own writes at each line. Whoever prints flushes.
fn standard_output() -> Box<dyn Write + Send> {
    const PIECE: usize = 64 << 10;
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(out) => Box::new(io::BufWriter::with_capacity(PIECE, File::from(out))),
        Err(_) => Box::new(io::BufWriter::new(io::stdout())),
    }
}

/// What a part of the result looks like on a terminal.
#[derive(Clone, Copy, Debug)]
pub enum Paint {
    /// Done, well.
    Good,
    /// Not done yet.
    Waiting,
    /// Less important.
    Faint,
}

/// How structured results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Documents separated by `---`.
    #[default]
    Yaml,
    /// One object per line.
    Json,
}

impl Ui {
    /// The terminal or the pipes of this process. Colours only on a terminal, and not when
    /// `NO_COLOR` is set.
    pub fn of_process() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|value| value == "dumb");
        let is_terminal = io::stdout().is_terminal() && !is_dumb;
        Self {
            out: standard_output(),
            err: Box::new(io::stderr()),
            has_colors: io::stderr().is_terminal() && !no_color,
            is_terminal,
            paints: is_terminal && !no_color,
            has_json_errors: std::env::var(JSON_OUTPUT_ENV).is_ok_and(|value| value == "true"),
        }
    }

    /// Output kept in memory, for tests and for commands that run inside others.
    pub fn captured() -> (Self, Captured) {
        let captured = Captured::default();
        let ui = Self {
            out: Box::new(captured.out.clone()),
            err: Box::new(captured.err.clone()),
            has_colors: false,
            is_terminal: false,
            paints: false,
            has_json_errors: false,
        };
        (ui, captured)
    }

    /// [`Ui::captured`] that takes itself for a terminal.
    pub fn captured_terminal(paints: bool) -> (Self, Captured) {
        let (ui, captured) = Self::captured();
        (Self { is_terminal: true, paints, ..ui }, captured)
    }

    /// Whether the result goes to a terminal that a picture can be redrawn on.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// The text in the colour of `paint`, where the result goes to a terminal with colours.
    pub fn painted(&self, paint: Paint, text: &str) -> String {
        if !self.paints || text.is_empty() {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => 32,
            Paint::Waiting => 33,
            Paint::Faint => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Writes a part of the result, as it is.
    pub fn out(&mut self, text: &str) -> anyhow::Result<()> {
        self.out.write_all(text.as_bytes()).context("writing the result")
    }

    /// Writes objects of the result.
    pub fn objects(&mut self, objects: &[serde_json::Value], format: Format) -> anyhow::Result<()> {
        self.out(&format_objects(objects, format))
    }

    /// Writes everything that was held back.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush().context("writing the result")
    }

    /// Tells something that stops nothing.
    pub fn warn(&mut self, text: &str) {
        self.tell("warning", "\u{1b}[33m", text);
    }

    /// Tells what is being done.
    pub fn note(&mut self, text: &str) {
        self.tell("note", "\u{1b}[36m", text);
    }

    /// Tells why the command failed: as text, or as one line of JSON where scripts asked for it.
    pub fn fail(&mut self, error: &anyhow::Error) {
        let text = chain(error);
        if !self.has_json_errors {
            return self.tell("error", "\u{1b}[31m", &text);
        }
        let line = JsonError {
            time: jiff::Timestamp::now().to_string(),
            level: "error",
            msg: "Fleet cli failed",
            fleet_error_message: &text,
        };
        let line = serde_json::to_string(&line).unwrap_or_default();
        // Nothing is left to do when even the error cannot be written.
        let _ = writeln!(self.err, "{line}");
    }

    fn tell(&mut self, word: &str, color: &str, text: &str) {
        let line = match self.has_colors {
            true => format!("{color}{word}:\u{1b}[0m {text}"),
            false => format!("{word}: {text}"),
        };
        let _ = writeln!(self.err, "{line}");
    }
}

/// The keys that scripts of the reference read.
#[derive(Serialize)]
struct JsonError<'a> {
    time: String,
    level: &'a str,
    msg: &'a str,
    #[serde(rename = "fleetErrorMessage")]
    fleet_error_message: &'a str,
}

/// Objects as text.
pub(crate) fn format_objects(objects: &[serde_json::Value], format: Format) -> String {
    match format {
        Format::Yaml => objects.iter().map(goyaml::to_string).collect::<Vec<_>>().join("---\n"),
        Format::Json => objects.iter().map(goyaml::json::encode).collect(),
    }
}

/// An error and its causes on one line; a cause whose words are in the line already is left out.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |line, cause| {
        match (line.is_empty(), line.ends_with(&cause)) {
            (true, _) => cause,
            (false, true) => line,
            (false, false) => format!("{line}: {cause}"),
        }
    })
}

/// What a [`Ui::captured`] has written.
#[derive(Clone, Default)]
pub struct Captured {
    out: SharedBytes,
    err: SharedBytes,
}

impl Captured {
    /// The result.
    pub fn out(&self) -> String {
        self.out.text()
    }

    /// Warnings, notes and errors.
    pub fn err(&self) -> String {
        self.err.text()
    }
}

#[derive(Clone, Default)]
struct SharedBytes(Arc<Mutex<Vec<u8>>>);

impl SharedBytes {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for SharedBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_each_once() {
        let (mut ui, captured) = Ui::captured();
        let error = anyhow::anyhow!("no such file").context("reading a: no such file");
        ui.fail(&error.context("apply"));
        assert_eq!(captured.err(), "error: apply: reading a: no such file\n");
    }

    #[test]
    fn scripts_get_errors_as_one_line_of_json() {
        let (mut ui, captured) = Ui::captured();
        ui.has_json_errors = true;
        ui.fail(&anyhow::anyhow!("boom"));
        let line: serde_json::Value = serde_json::from_str(&captured.err()).expect("JSON");
        assert_eq!(
            (&line["msg"], &line["fleetErrorMessage"]),
            (&"Fleet cli failed".into(), &"boom".into())
        );
    }
}
