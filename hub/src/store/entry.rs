//! One stored object, as text or packed.
//!
//! Owns how an object's text is kept. An object is plain while its last change is in the history
//! window; once it is older it is packed, to about a third, and unpacked for each read. So what
//! changes often costs no time, and what only lies there costs little memory: 100,000
//! BundleDeployments are 300 MB of text. Start at [`Entry::bytes`].

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::Value;

/// Shorter texts stay as they are: packing would save less than the bookkeeping.
const PACKED_BYTES_MIN: usize = 512;

/// `metadata.labels`.
pub(crate) type Labels = BTreeMap<String, String>;

/// One stored object: JSON text whose `metadata.resourceVersion` is `revision`.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) revision: u64,
    text: Text,
}

#[derive(Debug)]
enum Text {
    Plain(Bytes),
    Packed { bytes: Box<[u8]>, plain_len: u32 },
}

impl Entry {
    pub(crate) fn new(revision: u64, text: Bytes) -> Entry {
        Entry { revision, text: Text::Plain(text) }
    }

    /// The object's JSON text.
    pub(crate) fn bytes(&self) -> Bytes {
        match &self.text {
            Text::Plain(text) => text.clone(),
            Text::Packed { bytes, plain_len } => {
                let mut text = Vec::with_capacity(*plain_len as usize);
                let unpacked = DeflateDecoder::new(&bytes[..]).read_to_end(&mut text);
                unpacked.expect("what was packed in this process unpacks");
                text.into()
            }
        }
    }

    /// How many bytes [`Entry::bytes`] has.
    pub(crate) fn len(&self) -> usize {
        match &self.text {
            Text::Plain(text) => text.len(),
            Text::Packed { plain_len, .. } => *plain_len as usize,
        }
    }

    /// The same object in less memory; `None` when it is packed, or better as it is.
    pub(crate) fn packed(&self) -> Option<Entry> {
        let Text::Plain(text) = &self.text else { return None };
        let plain_len = u32::try_from(text.len()).ok()?;
        if text.len() < PACKED_BYTES_MIN {
            return None;
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).ok()?;
        let bytes = encoder.finish().ok()?.into_boxed_slice();
        Some(Entry { revision: self.revision, text: Text::Packed { bytes, plain_len } })
    }

    /// The object as a tree. Not kept: a parsed object costs five times its text.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.bytes()).unwrap_or_default()
    }

    /// The object's labels, without reading the rest.
    pub(crate) fn labels(&self) -> Labels {
        #[derive(serde::Deserialize)]
        struct Object {
            metadata: Metadata,
        }
        #[derive(serde::Deserialize)]
        struct Metadata {
            #[serde(default)]
            labels: Option<Labels>,
        }
        let object: Result<Object, _> = serde_json::from_slice(&self.bytes());
        object.ok().and_then(|o| o.metadata.labels).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_object_is_smaller_and_reads_the_same() {
        let text = Bytes::from(format!(r#"{{"data": "{}"}}"#, "text ".repeat(1000)));
        let plain = Entry::new(7, text.clone());
        let packed = plain.packed().expect("long enough");
        let Text::Packed { bytes, .. } = &packed.text else { panic!("not packed") };
        assert!(bytes.len() * 3 < text.len(), "{} of {}", bytes.len(), text.len());
        assert_eq!((packed.revision, packed.bytes(), packed.len()), (7, text.clone(), text.len()));
        assert!(packed.packed().is_none() && Entry::new(1, "{}".into()).packed().is_none());
    }
}
