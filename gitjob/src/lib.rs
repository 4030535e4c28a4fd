//! GitRepo sources to Bundles.
//!
//! Owns the way from a git commit to Bundle objects. Knows nothing of clusters or deployments: it
//! meets the controller only through API objects. Start at [`git`].

pub mod git;
pub mod net;
