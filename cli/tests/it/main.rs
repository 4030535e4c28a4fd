//! The commands, judged from outside.

mod golden;
mod story;
mod up;
mod up_support;
