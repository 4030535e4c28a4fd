//! The charts, rendered by the real helm.

use anyhow::{Result, ensure};
use e2e::peers::workspace;
use e2e::world::{SYSTEM, World};

fn chart(name: &str) -> String {
    workspace().join("charts").join(name).display().to_string()
}

fn template(world: &World, name: &str, settings: &[&str]) -> Result<String> {
    let path = chart(name);
    let words = ["template", name, &path, "-n", SYSTEM, "--kube-version", "1.36.0"];
    world.hub.helm(&[&words[..], settings].concat())
}

/// Rendered with default values, the roles of the hub are those of the golden file, which holds no
/// star. `FLEET_GOLDEN=record` writes it anew: read the difference before you commit it.
pub(crate) fn rights_are_those_of_the_golden(world: &mut World) -> Result<()> {
    let rendered = template(world, "fleet", &["--show-only", "templates/rbac.yaml"])?;
    let golden = workspace().join("e2e/tests/golden/rbac.yaml");
    if std::env::var_os("FLEET_GOLDEN").is_some_and(|value| value == "record") {
        std::fs::write(&golden, &rendered)?;
    }
    ensure!(std::fs::read_to_string(&golden)? == rendered, "rights changed:\n{rendered}");
    ensure!(!rendered.contains('*'), "a star in the rights of the hub");
    Ok(())
}

/// A value that we do not serve fails and says what to do.
pub(crate) fn unserved_values_fail(world: &mut World) -> Result<()> {
    for (setting, words) in [
        ("shards[0].id=a", "shards are not served yet"),
        ("helmops.enabled=true", "HelmOps are not served yet"),
        ("imagescan.enabled=true", "image scans are not served yet"),
        ("clusterEnqueueDelay=1s", "clusterEnqueueDelay has no effect"),
        ("agentCheckinInterval=1d", "agentCheckinInterval"),
    ] {
        let path = chart("fleet");
        let said =
            world.hub.helm_fails(&["template", "fleet", &path, "-n", SYSTEM, "--set", setting])?;
        ensure!(said.contains(words), "{setting}: {said}");
    }
    Ok(())
}

/// The agent's chart refuses what could never work, in the words scripts know.
pub(crate) fn agent_chart_guards(world: &mut World) -> Result<()> {
    let path = chart("fleet-agent");
    let url = "apiServerURL=https://hub.example.com";
    let cases: [(&[&str], &str); 4] = [
        (
            &["fleet-agent", &path, "-n", "elsewhere"],
            "This chart must be installed in the cattle-fleet-system namespace",
        ),
        (
            &["other", &path, "-n", SYSTEM],
            "This chart must be installed with release name fleet-agent",
        ),
        (
            &["fleet-agent", &path, "-n", SYSTEM],
            "apiServerURL is required to be set, and most likely also apiServerCA",
        ),
        (
            &["fleet-agent", &path, "-n", SYSTEM, "--set", url],
            "tokenName is required to be set to the name of the ClusterRegistrationToken used for \
             this registration",
        ),
    ];
    for (words, message) in cases {
        let said = world.hub.helm_fails(&[&["template"], words].concat())?;
        ensure!(said.contains(message), "{words:?}: {said}");
    }
    Ok(())
}
