//! What gitjob decides, without doing it.
//!
//! Owns the rules of polling, restriction and publishing. No file in here is `async` or holds a
//! client or a clock. Start at [`publish::plan_publish`].

pub mod poll;
pub mod publish;
pub mod restrict;
