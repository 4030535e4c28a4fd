//! Strings in quotes as Go's `strconv` writes them.
//!
//! Owns the escapes and which characters need one. Start at [`quote`].

use std::fmt::Write as _;

/// A string as `strconv.Quote` writes it.
pub fn quote(text: &str) -> String {
    quote_with(text, '"', false)
}

/// The same with quotes of another kind, and with escapes for everything beyond ASCII.
pub fn quote_with(text: &str, quote: char, ascii_only: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            c if c == quote || c == '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if !ascii_only && is_print(c) => out.push(c),
            c if u32::from(c) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if u32::from(c) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push(quote);
    out
}

/// Go's `unicode.IsPrint`.
pub fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // Rust's Debug escapes exactly the categories that Go does not count as printable; behind
    // another character it leaves combining marks alone, as Go does.
    !format!("{:?}", format!("a{c}")).contains('\\')
}
