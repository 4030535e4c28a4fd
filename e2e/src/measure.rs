//! What the figures are read from: the API server's counters and `/proc`.
//!
//! Owns reading and subtracting. Knows nothing of scenarios. Start at [`Writes::of`].

use std::collections::BTreeMap;

use anyhow::Result;

use crate::cluster::Cluster;

/// Writes that an API server answered, by resource (`bundles`, `bundles/status`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes(BTreeMap<String, u64>);

const WRITING: [&str; 5] = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];

impl Writes {
    /// All since the API server started.
    ///
    /// # Errors
    /// When its metrics cannot be read.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        Ok(Self::parse(&cluster.metrics()?))
    }

    fn parse(metrics: &str) -> Self {
        let mut writes = BTreeMap::new();
        for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            if !WRITING.iter().any(|verb| label(line, "verb") == *verb) {
                continue;
            }
            let (resource, sub) = (label(line, "resource"), label(line, "subresource"));
            let name =
                if sub.is_empty() { resource.to_owned() } else { format!("{resource}/{sub}") };
            let count = line.rsplit(' ').next().and_then(|text| text.parse::<f64>().ok());
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a counter is a whole number that is not negative"
            )]
            let count = count.unwrap_or_default() as u64;
            *writes.entry(name).or_default() += count;
        }
        Self(writes)
    }

    /// What was written since `before`, without what the stand-in and Kubernetes write themselves.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let foreign = [
            "pods",
            "nodes",
            "deployments/status",
            "endpoints",
            "endpointslices",
            "serviceaccounts/token",
        ];
        let mut writes = BTreeMap::new();
        for (name, count) in &self.0 {
            let more = count - before.0.get(name).copied().unwrap_or_default().min(*count);
            let base = name.split('/').next().unwrap_or(name);
            if more > 0 && !foreign.contains(&base) && !foreign.contains(&name.as_str()) {
                writes.insert(name.clone(), more);
            }
        }
        Self(writes)
    }

    /// How many there are, leases not counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().filter(|(name, _)| *name != "leases").map(|(_, count)| count).sum()
    }
}

impl std::fmt::Display for Writes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<(&String, &u64)> = self.0.iter().collect();
        parts.sort_by(|a, b| b.1.cmp(a.1));
        let parts: Vec<String> =
            parts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(f, "{}", if parts.is_empty() { "none".to_owned() } else { parts.join(", ") })
    }
}

/// The value of a label in a line of the text format.
fn label<'a>(line: &'a str, name: &str) -> &'a str {
    let start = line.find(&format!("{name}=\"")).map(|at| at + name.len() + 2);
    // `resource` is also the end of `subresource`: the sign before tells them apart.
    let start = start.filter(|at| {
        let before = line.as_bytes().get(at - name.len() - 3);
        before.is_some_and(|byte| matches!(byte, b'{' | b','))
    });
    let Some(start) = start else { return second_label(line, name) };
    line[start..].split('"').next().unwrap_or_default()
}

fn second_label<'a>(line: &'a str, name: &str) -> &'a str {
    let found = line.find(&format!(",{name}=\""));
    found.map_or("", |at| line[at + name.len() + 3..].split('"').next().unwrap_or_default())
}

/// Memory of a process in MB: resident now, and at most.
#[must_use]
pub fn memory(process: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"
apiserver_request_total{code="200",component="apiserver",dry_run="",group="fleet.cattle.io",resource="bundles",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 4
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="POST",version="v1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="GET",version="v1"} 9
"#;

    #[test]
    fn writes_are_counted_by_resource_and_subresource() {
        let writes = Writes::parse(METRICS);
        assert_eq!(writes.to_string(), "bundles/status 4, secrets 2");
        assert_eq!(writes.since(&writes).total(), 0);
    }
}
