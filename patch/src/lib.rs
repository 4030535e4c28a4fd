//! Every way to change a Kubernetes object, as pure functions on plain JSON values.
//!
//! Owns JSON patch, merge patch, strategic merge patch, field sets and the merge of server-side
//! apply. Knows nothing of clients, stores, kinds or requests: what a type looks like comes in as a
//! [`schema::Schema`]. Start at [`json`] for the untyped patches and [`schema`] for the facts that
//! the typed ones need.

pub mod json;
pub mod schema;
