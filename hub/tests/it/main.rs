//! The hub as a client sees it.

mod client;
mod durable;
mod life;
mod support;
