//! The commands, judged from outside.

#![expect(
    clippy::panic,
    reason = "a test ends, loudly, where what it takes for granted does not hold"
)]

mod golden;
mod story;
mod up;
mod up_support;
