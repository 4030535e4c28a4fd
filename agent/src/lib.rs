//! BundleDeployments to objects in the cluster.
//!
//! Owns the agent of a member cluster: registration, heartbeat, and for each BundleDeployment the way from its
//! content to running objects and back to its status. Meets the hub only through API objects. Start at
//! [`plan::apply::plan_apply`] for what is decided, [`release`] for what stays behind.

pub mod plan;
pub mod release;
