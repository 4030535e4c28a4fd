//! Every way to change a Kubernetes object, as pure functions on plain JSON values.
//!
//! Owns JSON patch, merge patch, strategic merge patch, field sets and the merge of server-side
//! apply. Knows nothing of clients, stores, kinds or requests: what a type looks like comes in as a
//! [`schema::Schema`]. Start at [`json`] and [`merge`] for the untyped patches, at [`strategic`]
//! for that of kubectl, and at [`apply`] for server-side apply.
#![warn(missing_docs)]

pub mod apply;
pub mod fields;
pub mod json;
pub mod managed;
pub mod merge;
pub mod path;
pub mod schema;
pub mod strategic;
pub mod typed;
