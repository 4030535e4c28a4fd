//! What happened: every request with its virtual time, its answer and a digest of its body.
//!
//! Owns the hash by which two runs are compared, and the last lines for whoever looks at a failure.
//! Start at [`Trace::note`].
//!
//! Not hashed: the data of Secrets. Tokens are ES256 signatures by keys that the crypto library
//! makes from the system's randomness; no seed reaches them. Their names, keys and revisions are.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// Lines kept for people.
const KEPT_COUNT: usize = 400;

/// The record of one run.
pub(crate) struct Trace {
    hash: Sha256,
    started: Instant,
    last: VecDeque<String>,
    count: u64,
    all: Option<String>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        // `FLEET_TRACE=file`: the whole record, to compare two runs line by line.
        let all = std::env::var_os("FLEET_TRACE").map(|_| String::new());
        Self { hash: Sha256::new(), started: Instant::now(), last: VecDeque::new(), count: 0, all }
    }

    /// Adds a line.
    pub(crate) fn note(&mut self, text: &str) {
        let millis = self.started.elapsed().as_millis();
        let line = format!("{:>9}.{:03} {text}", millis / 1000, millis % 1000);
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        self.count += 1;
        if let Some(all) = &mut self.all {
            let _ = writeln!(all, "{line}");
        }
        if self.last.len() == KEPT_COUNT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The hash of all lines.
    pub(crate) fn digest(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    /// Number of lines.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The last `count` lines.
    pub(crate) fn tail(&self, count: usize) -> String {
        let from = self.last.len().saturating_sub(count);
        self.last.range(from..).fold(String::new(), |text, line| text + line + "\n")
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let (Some(path), Some(all)) = (std::env::var_os("FLEET_TRACE"), &self.all) {
            use std::io::Write as _;
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            drop(file.and_then(|mut file| file.write_all(all.as_bytes())));
        }
    }
}

/// A short digest of a request's body; of a Secret, only its shape.
pub(crate) fn digest_body(path: &str, body: &[u8]) -> String {
    if body.is_empty() {
        return "-".to_owned();
    }
    let is_secret = path.contains("/secrets");
    if !is_secret {
        return hex(&Sha256::digest(body))[..12].to_owned();
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return "?".to_owned() };
    for part in ["data", "stringData"] {
        for (_, text) in value[part].as_object_mut().into_iter().flatten() {
            *text = Value::Null;
        }
    }
    hex(&Sha256::digest(value.to_string()))[..12].to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
