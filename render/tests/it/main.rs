//! Judged by what Helm printed.

mod bundles;
mod command;
mod corpus;
