//! The commands, judged from outside.

mod golden;
mod story;
