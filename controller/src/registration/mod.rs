//! How clusters join: tokens, requests, credentials and the agent itself.
//!
//! Owns everything between a ClusterRegistrationToken and an agent that may read its
//! BundleDeployments. Start at [`token`], then [`request`].

pub mod agent;
pub mod credentials;
pub mod orphans;
mod report;
pub mod request;
pub mod token;
