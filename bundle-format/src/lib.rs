//! The nouns of Fleet (API kinds, fleet.yaml) and its decisions (match, place, merge, roll out).
//!
//! Pure: no client, file, clock or random number. Start at [`api`].

pub mod api;
pub mod error;
