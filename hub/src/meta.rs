//! Reading and stamping `metadata`, and the two outside facts a server needs: time and chance.
//!
//! Owns [`World`], the only place where the hub looks at a clock or draws a random number, so that
//! one seed and a virtual clock repeat a run. Start at [`World`].

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// Clock and randomness of one hub.
#[derive(Clone)]
pub(crate) struct World {
    clock: Clock,
    random: Arc<Mutex<StdRng>>,
}

impl World {
    pub(crate) fn new(clock: Option<Clock>, seed: Option<u64>) -> World {
        let random = seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
        World {
            clock: clock.unwrap_or_else(|| Arc::new(jiff::Timestamp::now)),
            random: Arc::new(Mutex::new(random)),
        }
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        (self.clock)()
    }

    /// The time as `metadata` writes it: whole seconds, UTC.
    pub(crate) fn stamp(&self) -> String {
        self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    fn with_random<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A random (version 4) UUID.
    pub(crate) fn uid(&self) -> String {
        let mut b: [u8; 16] = self.with_random(Rng::random);
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// The five characters that follow a `generateName`.
    pub(crate) fn name_suffix(&self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.with_random(|r| {
            (0..5).map(|_| char::from(LETTERS[r.random_range(0..LETTERS.len())])).collect()
        })
    }

    pub(crate) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        self.with_random(|r| {
            let mut bytes = [0; N];
            r.fill(&mut bytes[..]);
            bytes
        })
    }
}

/// `metadata` of an object, made if it is not there.
pub(crate) fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    object_mut(&mut object["metadata"])
}

/// The value as an object, made one if it is something else.
pub(crate) fn object_mut(slot: &mut Value) -> &mut Map<String, Value> {
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("made an object just above")
}

/// A text field of `metadata`, empty when absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

pub(crate) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

pub(crate) fn has_finalizer(object: &Value, name: &str) -> bool {
    finalizers(object).any(|f| f == name)
}

pub(crate) fn remove_finalizer(object: &mut Value, name: &str) {
    let metadata = metadata_mut(object);
    if let Some(Value::Array(list)) = metadata.get_mut("finalizers") {
        list.retain(|f| f != name);
        if list.is_empty() {
            metadata.remove("finalizers");
        }
    }
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub(crate) fn revision(object: &Value) -> u64 {
    text(object, "resourceVersion").parse().unwrap_or(0)
}
