//! Compares this crate with what Go was recorded to do (`tests/golden/record`).
//!
//! `GOYAML_GOLDEN=DIR cargo test -p goyaml` runs the same over recordings made elsewhere, of
//! which `tests/golden/record/main.go` tells how.

mod bounds;
mod generated;
mod go_golden;
mod places;
mod skim;
