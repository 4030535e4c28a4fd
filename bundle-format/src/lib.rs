//! The nouns of Fleet (API kinds, fleet.yaml) and its decisions (match, place, merge, roll out).
//!
//! Pure: no client, file, clock or random number.
//!
//! Nouns: [`api`] (kinds), [`fleet_yaml`], [`content`] (identities). Decisions, in the order of the
//! walk: [`read`] (folders to bundles), [`target`] (who may get one), [`placement`] (who does),
//! [`options`] (with which options), [`rollout`] (when), [`summary`] (how it went). [`plan`] puts
//! them together for one bundle; [`footprint`] tells which change of a cluster is anything to it.

#![warn(missing_docs)]

#[macro_use]
pub mod api;
pub mod charts;
pub mod content;
pub mod error;
pub mod fleet_yaml;
pub mod footprint;
pub mod options;
pub mod placement;
pub mod plan;
pub mod read;
pub mod rollout;
pub mod summary;
pub mod target;
