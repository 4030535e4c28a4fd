//! What a chart may ask of the member cluster while it is rendered.
//!
//! Owns the way out of a render: time, randomness, look-ups in the name of the deployment's account. Must not know
//! charts. Start at [`ClusterHost`].

use std::fmt;

use render::Host;
use runtime::{chain, world};
use serde_json::Value;
use tokio::runtime::Handle;

use super::member::Member;
use crate::plan::ObjectKey;

/// The member cluster as a chart sees it. Use it on a thread that may block.
pub struct ClusterHost {
    member: Member,
    tasks: Handle,
}

impl ClusterHost {
    /// Looks things up as `member`, which must be the deployment's account (CVE-2026-41050: never the agent's).
    #[must_use]
    pub fn new(member: Member) -> Self {
        Self { member, tasks: Handle::current() }
    }
}

impl fmt::Debug for ClusterHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterHost")
    }
}

impl Host for ClusterHost {
    fn now_unix_nanos(&self) -> i128 {
        world::now().as_nanosecond()
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        // Without randomness of the system, a chart's passwords would be guessable: better no chart at all.
        if world::fill_random(buffer).is_err() {
            tracing::error!("the system gives no random numbers");
            std::process::abort();
        }
    }

    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, String> {
        if world::is_simulated() {
            // Nobody else would run while this thread waits for the answer.
            return Err("lookup is not served in a simulation".to_owned());
        }
        let key = ObjectKey {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let found = self.tasks.block_on(async {
            if name.is_empty() { self.member.list(&key).await } else { self.member.get(&key).await }
        });
        found.map_err(|error| chain(&error))
    }
}
