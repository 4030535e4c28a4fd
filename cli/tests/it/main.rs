//! The commands, judged from outside.

mod golden;
