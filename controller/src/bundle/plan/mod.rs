//! What one pass over a Bundle writes: decided here, written by [`super::apply`].
//!
//! Pure. Start at [`deployments::plan_deployments`], then [`status::plan_status`].

pub mod deployments;
pub mod policy;
pub mod status;
