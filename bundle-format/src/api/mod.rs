//! All kinds of `fleet.cattle.io/v1alpha1`: their fields, constants and names.
//!
//! Owns what is on the wire. Must not know clients, clocks or decisions. Read [`wire`] for how
//! fields are read and written, then the kind you need.

#[macro_use]
pub mod wire;

pub mod bundle;
pub mod bundle_deployment;
pub mod cluster;
pub mod cluster_group;
pub mod condition;
pub mod content;
pub mod crds;
pub mod git_repo;
pub mod helm_op;
pub mod image_scan;
pub mod labels;
pub mod names;
pub mod namespace_mapping;
pub mod options;
pub mod policy;
pub mod registration;
pub mod restriction;
pub mod schedule;
pub mod selector;

pub use bundle::*;
pub use bundle_deployment::*;
pub use cluster::*;
pub use cluster_group::*;
pub use condition::{Condition, ConditionState, condition_is_true, find_condition, set_condition};
pub use content::*;
pub use git_repo::*;
pub use helm_op::*;
pub use image_scan::*;
pub use namespace_mapping::*;
pub use options::*;
pub use policy::*;
pub use registration::*;
pub use restriction::*;
pub use schedule::*;
pub use selector::*;
pub use wire::{GoDuration, Object};
