//! What one pass over a Bundle writes: decided here, written by [`super::apply`].
//!
//! Pure. Start at [`deployments::plan_deployments`], then [`standing::Standing`] and
//! [`status::plan_status`].

pub mod deployments;
pub mod policy;
pub mod standing;
pub mod status;
