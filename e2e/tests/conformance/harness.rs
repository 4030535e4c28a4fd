//! The harness itself: what the other stories take for granted.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::world::{World, kinds};

/// Three clusters answer, each with its own CA and one node.
pub(crate) fn clusters_answer(world: &mut World) -> Result<()> {
    for cluster in std::iter::once(&world.hub).chain(&world.members) {
        let nodes = cluster.kubectl(&["get", "nodes"])?;
        ensure!(nodes.contains("hostlet") && nodes.contains("Ready"), "{nodes}");
    }
    Ok(())
}

const WORKLOAD: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example.com/web}]}
";

/// A Deployment gets its pods and becomes ready; scaled down, it loses one; deleted, it loses all.
pub(crate) fn pods_tell_the_truth(world: &mut World) -> Result<()> {
    let member = &world.members[0];
    member.apply(WORKLOAD)?;
    member.kubectl(&["rollout", "status", "deployment/web", "--timeout=20s"])?;
    let pods = member.kubectl(&["get", "pods", "-l", "app=web"])?;
    ensure!(pods.matches("1/1     Running").count() == 2, "{pods}");
    member.kubectl(&["scale", "deployment/web", "--replicas=1"])?;
    let within = Duration::from_secs(20);
    world.wait_until("one pod", within, || Ok((member.pods("web")?.len() == 1).then_some(())))?;
    member.delete(kinds::WORKLOAD, "default", "web")?;
    world.wait_until("no pod", within, || Ok(member.pods("web")?.is_empty().then_some(())))
}
