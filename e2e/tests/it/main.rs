//! Tests of the whole that need cargo and git only.

mod charts;
mod crds;
mod tidy;
mod walk;
