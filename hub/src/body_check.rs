//! Fields that a JSON body names twice.
//!
//! Owns one pass over the text: a parsed object has forgotten them. Pure. Start at
//! [`repeated_fields`].

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Most findings of one body.
const MAX_COUNT: usize = 100;

/// Deepest nesting that is looked into.
const MAX_DEPTH: usize = 100;

/// The paths of fields that stand twice in one object of a JSON body.
pub(crate) fn repeated_fields(content_type: &str, body: &[u8]) -> Vec<String> {
    if !(content_type.is_empty() || content_type.starts_with("application/json")) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let walk = Walk { path: String::new(), depth: 0, found: &mut found };
    // What is no JSON is refused elsewhere, with its own words.
    drop(walk.deserialize(&mut deserializer));
    found
}

struct Walk<'a> {
    path: String,
    depth: usize,
    found: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.depth > MAX_DEPTH || self.found.len() >= MAX_COUNT {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let dot = if self.path.is_empty() { "" } else { "." };
            let path = format!("{}{dot}{key}", self.path);
            if !seen.insert(key) && self.found.len() < MAX_COUNT {
                self.found.push(path.clone());
            }
            map.next_value_seed(Walk { path, depth: self.depth + 1, found: self.found })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut i = 0;
        loop {
            let path = format!("{}[{i}]", self.path);
            let walk = Walk { path, depth: self.depth + 1, found: self.found };
            if list.next_element_seed(walk)?.is_none() {
                return Ok(());
            }
            i += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
