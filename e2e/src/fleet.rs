//! A fleet ready for work: a hub that serves, members that registered.
//!
//! Owns the shortest way there. Knows nothing of what is deployed. Start at [`install_fleet`].

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use serde_json::Value;

use crate::world::{World, kinds};

const TOKEN: &str = "
apiVersion: fleet.cattle.io/v1alpha1
kind: ClusterRegistrationToken
metadata: {name: members, namespace: default}
spec: {ttl: 24h}
";

/// Longest wait for a member to register.
const REGISTRATION: Duration = Duration::from_secs(60);

/// Installs the hub with `settings`, and registers every member in namespace `default` with label
/// `env: dev`.
///
/// # Errors
/// When a chart does not install or a member does not register in time.
pub fn install_fleet(world: &World, settings: &[&str]) -> Result<()> {
    let address = world.hub_address()?;
    let address: Vec<&str> = address.iter().map(String::as_str).collect();
    world.install_hub(&[&address, settings].concat())?;
    world.hub.apply(TOKEN)?;
    let values = world.wait_until("the token's values", REGISTRATION, || {
        let secret = world.hub.get(kinds::SECRET, "default", "members")?;
        Ok(secret.as_ref().and_then(|secret| secret["data"]["values"].as_str().map(str::to_owned)))
    })?;
    let values = base64::engine::general_purpose::STANDARD.decode(values)?;
    let values = String::from_utf8(values).context("values are no text")?;
    for member in &world.members {
        let file = world.folder.join(format!("{}-values.yaml", member.name));
        std::fs::write(&file, format!("{values}labels:\n  env: dev\n"))?;
        let file = file.display().to_string();
        world.install(member, "fleet-agent", &["--values", &file])?;
    }
    world.wait_until("all members to be ready", REGISTRATION, || {
        let clusters = world.hub.list(kinds::CLUSTER, "default")?;
        let ready = |cluster: &&Value| cluster["status"]["display"]["readyBundles"] == "1/1";
        Ok((clusters.iter().filter(ready).count() == world.members.len()).then_some(()))
    })
}
