//! The hub as a client sees it.

mod access;
mod apply;
mod client;
mod durable;
mod life;
mod simulation;
mod support;
