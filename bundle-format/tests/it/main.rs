//! Everything of this crate that is judged from outside.

mod crds;
mod tables;
