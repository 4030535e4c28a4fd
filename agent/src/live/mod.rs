//! The cluster side: what the plans of [`crate::plan`] become when they meet an API server.
//!
//! Owns every call to the member cluster. Must not decide anything: what to write, what counts as drift and what
//! is ready comes from `plan`. Start at [`member::Member`], then [`execute::execute`].

pub mod discovery;
pub mod execute;
pub mod hooks;
pub mod host;
pub mod member;
pub mod observe;
pub mod recent;
pub mod releases;
pub mod wait;
pub mod watch;
