//! The public seams of `runtime`, driven the way processes use them.

mod cache;
mod fake_api;
mod lease;
mod queue;
