//! What every Flotilla process shares.
//!
//! Owns the API client, the caches, the work queue, time, leadership, conditions, events, metrics
//! and shutdown. Knows nothing of GitRepos, Bundles or charts: a process brings its kinds along.
//!
//! A reconciler is wired like this: a [`cache::Cache`] per kind calls back on each change, the
//! callback adds a key to a [`control_loop::Queue`], the queue runs one pass per key at a time, and
//! the pass ends with [`control_loop::NextWake`] or an error whose
//! [`bundle_format::error::ErrorClass`] decides on the retry. Start at [`control_loop`].

pub mod backoff;
pub mod cache;
pub mod client;
pub mod clock;
pub mod conditions;
pub mod control_loop;
pub mod events;
pub mod gate;
pub mod http_server;
pub mod lease;
pub mod metrics;
pub mod objects;
pub mod pace;
pub mod proxy;
pub mod shutdown;
pub mod status;
pub mod telemetry;
pub mod world;

pub use bundle_format::error::{Classify, ErrorClass, chain};
pub use cache::{Cache, Change, ObjectKey};
pub use client::ApiError;
pub use clock::Clock;
pub use control_loop::{NextWake, Queue};
