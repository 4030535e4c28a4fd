//! Scans what stands before a node: directives, anchors, aliases and tags.
//!
//! Owns their spelling. Does not know what a tag means. Start at [`Scanner::fetch_tag`].

use super::{Kind, Scanner};
use crate::error::{Error, Mark};

/// `%41`
const ESCAPE_WIDTH: usize = 3;

impl<'a> Scanner<'a> {
    fn fail(&self, start: Mark, message: &str) -> Error {
        Error::scanner(self.cursor.mark(), start, message)
    }

    pub(super) fn fetch_directive(&mut self) -> Result<(), Error> {
        self.close_blocks(-1);
        self.drop_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.cursor.mark();
        self.cursor.skip_ascii(1);
        let name = self.take_word();
        if name.is_empty() {
            return Err(self.fail(start, "could not find expected directive name"));
        }
        if !self.cursor.is_blank_break_or_end(0) {
            return Err(self.fail(start, "found unexpected non-alphabetical character"));
        }
        let kind = match name {
            "YAML" => self.scan_version(start)?,
            "TAG" => self.scan_tag_directive(start)?,
            _ => return Err(self.fail(start, "found unknown directive name")),
        };
        self.cursor.skip_blanks();
        if self.cursor.peek(0) == b'#' {
            self.cursor.skip_to_break();
        }
        if !self.cursor.is_break_or_end(0) {
            return Err(self.fail(start, "did not find expected comment or line break"));
        }
        self.cursor.skip_break();
        self.push(kind, start);
        Ok(())
    }

    fn take_word(&mut self) -> &'a str {
        let from = self.cursor.pos();
        while self.cursor.is_word(0) {
            self.cursor.skip_ascii(1);
        }
        self.cursor.slice(from)
    }

    fn scan_version(&mut self, start: Mark) -> Result<Kind<'a>, Error> {
        self.cursor.skip_blanks();
        let major = self.scan_version_number(start)?;
        if self.cursor.peek(0) != b'.' {
            return Err(self.fail(start, "did not find expected digit or '.' character"));
        }
        self.cursor.skip_ascii(1);
        let minor = self.scan_version_number(start)?;
        Ok(Kind::VersionDirective { major, minor })
    }

    fn scan_version_number(&mut self, start: Mark) -> Result<u8, Error> {
        let from = self.cursor.pos();
        while self.cursor.peek(0).is_ascii_digit() {
            if self.cursor.pos() - from == 2 {
                return Err(self.fail(start, "found extremely long version number"));
            }
            self.cursor.skip_ascii(1);
        }
        let digits = self.cursor.slice(from);
        digits.parse().map_err(|_| self.fail(start, "did not find expected version number"))
    }

    fn scan_tag_directive(&mut self, start: Mark) -> Result<Kind<'a>, Error> {
        self.cursor.skip_blanks();
        let handle = self.scan_tag_handle(true, start)?;
        if !self.cursor.is_blank(0) {
            return Err(self.fail(start, "did not find expected whitespace"));
        }
        self.cursor.skip_blanks();
        let prefix = self.scan_tag_uri("", start)?;
        if !self.cursor.is_blank_break_or_end(0) {
            return Err(self.fail(start, "did not find expected whitespace or line break"));
        }
        Ok(Kind::TagDirective { handle, prefix })
    }

    pub(super) fn fetch_anchor(&mut self, is_alias: bool) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.cursor.mark();
        self.cursor.skip_ascii(1);
        let name = self.take_word();
        let ends_well = self.cursor.is_blank_break_or_end(0)
            || matches!(self.cursor.peek(0), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`');
        if name.is_empty() || !ends_well {
            return Err(self.fail(start, "did not find expected alphabetic or numeric character"));
        }
        self.push(if is_alias { Kind::Alias(name) } else { Kind::Anchor(name) }, start);
        Ok(())
    }

    pub(super) fn fetch_tag(&mut self) -> Result<(), Error> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.cursor.mark();
        let kind = if self.cursor.peek(1) == b'<' {
            self.scan_verbatim_tag(start)?
        } else {
            self.scan_short_tag(start)?
        };
        if !self.cursor.is_blank_break_or_end(0) {
            return Err(self.fail(start, "did not find expected whitespace or line break"));
        }
        self.push(kind, start);
        Ok(())
    }

    fn scan_verbatim_tag(&mut self, start: Mark) -> Result<Kind<'a>, Error> {
        self.cursor.skip_ascii(2);
        let suffix = self.scan_tag_uri("", start)?;
        if self.cursor.peek(0) != b'>' {
            return Err(self.fail(start, "did not find the expected '>'"));
        }
        self.cursor.skip_ascii(1);
        Ok(Kind::Tag { handle: "", suffix })
    }

    /// `!`, `!suffix`, `!!suffix` or `!handle!suffix`.
    fn scan_short_tag(&mut self, start: Mark) -> Result<Kind<'a>, Error> {
        let handle = self.scan_tag_handle(false, start)?;
        if handle.len() > 1 && handle.ends_with('!') {
            let suffix = self.scan_tag_uri("", start)?;
            return Ok(Kind::Tag { handle, suffix });
        }
        let suffix = self.scan_tag_uri(handle, start)?;
        if suffix.is_empty() {
            return Ok(Kind::Tag { handle: "", suffix: handle.to_owned() });
        }
        Ok(Kind::Tag { handle: "!", suffix })
    }

    fn scan_tag_handle(&mut self, in_directive: bool, start: Mark) -> Result<&'a str, Error> {
        if self.cursor.peek(0) != b'!' {
            return Err(self.fail(start, "did not find expected '!'"));
        }
        let from = self.cursor.pos();
        self.cursor.skip_ascii(1);
        self.take_word();
        if self.cursor.peek(0) == b'!' {
            self.cursor.skip_ascii(1);
        } else if in_directive && self.cursor.slice(from) != "!" {
            return Err(self.fail(start, "did not find expected '!'"));
        }
        Ok(self.cursor.slice(from))
    }

    /// Scans the rest of a tag. `head` is what was taken for a handle and was none: it belongs to
    /// the tag, less its `!`.
    fn scan_tag_uri(&mut self, head: &str, start: Mark) -> Result<String, Error> {
        let mut uri = head.get(1..).unwrap_or_default().as_bytes().to_vec();
        let mut found = !head.is_empty();
        while self.cursor.is_word(0) || b";/?:@&=+$,.!~*'()[]%".contains(&self.cursor.peek(0)) {
            if self.cursor.peek(0) == b'%' {
                self.scan_uri_escape(start, &mut uri)?;
            } else {
                uri.push(self.cursor.peek(0));
                self.cursor.skip_ascii(1);
            }
            found = true;
        }
        if !found {
            return Err(self.fail(start, "did not find expected tag URI"));
        }
        // What is no character all the same names no tag that anyone knows.
        Ok(String::from_utf8_lossy(&uri).into_owned())
    }

    /// Scans one character, which takes several escapes beyond ASCII.
    fn scan_uri_escape(&mut self, start: Mark, uri: &mut Vec<u8>) -> Result<(), Error> {
        let leading = self.scan_octet(start)?;
        let trailing_count = match leading {
            0x00..=0x7F => 0,
            0xC0..=0xDF => 1,
            0xE0..=0xEF => 2,
            0xF0..=0xF7 => 3,
            _ => return Err(self.fail(start, "found an incorrect leading UTF-8 octet")),
        };
        self.cursor.skip_ascii(ESCAPE_WIDTH);
        uri.push(leading);
        for _ in 0..trailing_count {
            let octet = self.scan_octet(start)?;
            if octet & 0xC0 != 0x80 {
                return Err(self.fail(start, "found an incorrect trailing UTF-8 octet"));
            }
            self.cursor.skip_ascii(ESCAPE_WIDTH);
            uri.push(octet);
        }
        Ok(())
    }

    /// The byte that `%41` stands for; the cursor stays in front of it.
    fn scan_octet(&self, start: Mark) -> Result<u8, Error> {
        let digit = |ahead| char::from(self.cursor.peek(ahead)).to_digit(16);
        match (self.cursor.peek(0), digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => Ok((high << 4 | low) as u8),
            _ => Err(self.fail(start, "did not find URI escaped octet")),
        }
    }
}
