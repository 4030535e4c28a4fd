//! Judged by what Helm printed.

mod command;
mod corpus;
