//! Cuts a text of several YAML documents into its documents.
//!
//! Owns the separator rule of Helm. Does not look inside a document. Start at [`documents`].

/// One document of a text, and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The text between two separators, without the white space in front of it.
    pub text: &'a str,
    /// The line on which `text` starts, counted from 1.
    pub first_line: usize,
}

/// Splits at each line that starts with `---`, and leaves out documents of nothing but white
/// space.
///
/// What follows the dashes on their line belongs to the next document, blanks aside. That is how
/// Helm splits a rendered template (Helm 4.3, `(?m)^---[ \t]*`), and the reason why
/// `---apiVersion: v1` works there. A document of comments only is a document.
pub fn documents(text: &str) -> Vec<Document<'_>> {
    let mut found = Vec::new();
    // Helm trims the whole text first: dashes after leading blanks do separate.
    let mut start = skip_white_space(text, 0, text.len());
    let mut line = 1 + count_lines(&text[..start]);
    loop {
        let separator = find_separator(text, start);
        let end = separator.unwrap_or(text.len());
        let first = skip_white_space(text, start, end);
        if first < end {
            let first_line = line + count_lines(&text[start..first]);
            found.push(Document { text: &text[first..end], first_line });
        }
        let Some(separator) = separator else { return found };
        line += count_lines(&text[start..separator]);
        let after = &text[separator + 3..];
        start = text.len() - after.trim_start_matches([' ', '\t']).len();
    }
}

fn count_lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Where something other than white space starts, at most `end`.
fn skip_white_space(text: &str, start: usize, end: usize) -> usize {
    end - text[start..end].trim_start().len()
}

/// The next `---` at the start of a line. What is left of a line after dashes is not its start.
fn find_separator(text: &str, from: usize) -> Option<usize> {
    let is_line_start = text[..from].trim_start().is_empty() || text[..from].ends_with('\n');
    if is_line_start && text[from..].starts_with("---") {
        return Some(from);
    }
    text[from..].find("\n---").map(|at| from + at + 1)
}
