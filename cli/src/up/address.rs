//! Agents whose hub moved: another `--port`, or new free ones.
//!
//! Owns the one line of an agent's credential that says where its hub is. Start at [`follow_hub`].

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_format::api::labels;
use runtime::objects;
use serde_json::{Value, json};

use super::cluster::Cluster;

/// Whether the member's agent is registered; its credential then names the hub's address of today.
pub(super) async fn follow_hub(member: &Cluster, hub: &Cluster) -> anyhow::Result<bool> {
    let secrets = objects::core(labels::SYSTEM_NAMESPACE, "secrets");
    let path = format!("{secrets}/{}", labels::AGENT_NAME);
    let Some(secret) = objects::get(&member.client, &path).await? else { return Ok(false) };
    let text = secret["data"]["kubeconfig"].as_str().unwrap_or_default();
    let text = STANDARD.decode(text).context("reading the agent's credential")?;
    let mut config: Value = goyaml::from_str(&String::from_utf8_lossy(&text))?;
    if move_to(&mut config, &hub.url()) {
        let text = STANDARD.encode(goyaml::to_string(&config));
        let patch = json!({"data": {"kubeconfig": text}});
        objects::merge(&member.client, &path, &patch).await?;
    }
    Ok(true)
}

/// Puts `url` in the place of every server; `false` when it was there already.
fn move_to(config: &mut Value, url: &str) -> bool {
    let mut has_changed = false;
    for row in config["clusters"].as_array_mut().into_iter().flatten() {
        let server = &mut row["cluster"]["server"];
        has_changed |= *server != url;
        *server = url.into();
    }
    has_changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_address_is_a_change() {
        let mut config = json!({"clusters": [{"name": "c", "cluster": {"server": "https://a:1"}}]});
        assert!(!move_to(&mut config, "https://a:1"));
        assert!(move_to(&mut config, "https://a:2"));
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://a:2");
    }
}
