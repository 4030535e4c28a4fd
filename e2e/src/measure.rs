//! What the figures are read from: the API server's counters and `/proc`.
//!
//! Owns reading and subtracting, and which requests count as a write of ours. Knows nothing of
//! scenarios. Start at [`Requests::of`].

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;

const WRITING: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];
const READING: [&str; 3] = ["GET", "LIST", "WATCH"];

/// Answers that change nothing in the store: questions that are asked by POST.
const QUESTIONS: [&str; 5] = [
    "tokenreviews",
    "selfsubjectreviews",
    "subjectaccessreviews",
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
];

/// What only Kubernetes and the stand-in for its kubelet write in the scenarios: no process of ours
/// has the right to (`e2e/tests/golden/rbac.yaml`), and no bundle of the scenarios holds one.
const FOREIGN: [&str; 8] = [
    "pods",
    "pods/status",
    "pods/binding",
    "nodes",
    "deployments/status",
    "endpoints",
    "endpointslices",
    "serviceaccounts/token",
];

/// How an API server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Done,
    /// 409: somebody else wrote first, or it exists already. Nothing was stored.
    Conflict,
    /// Any other refusal. Nothing was stored.
    Refused,
}

/// Requests that an API server answered, by verb, resource (`bundles`, `bundles/status`) and
/// outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests(BTreeMap<(String, String, Outcome), u64>);

impl Requests {
    /// All since the API server started.
    ///
    /// # Errors
    /// When its metrics cannot be read, or do not look like those of an API server.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        let requests = Self::parse(&cluster.metrics()?)?;
        ensure!(!requests.0.is_empty(), "{} counts no requests", cluster.name);
        Ok(requests)
    }

    fn parse(metrics: &str) -> Result<Self> {
        let mut requests = BTreeMap::new();
        for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let verb = label(line, "verb");
            let is_known = WRITING.contains(&verb) || READING.contains(&verb);
            if !is_known || !label(line, "dry_run").is_empty() {
                continue;
            }
            let (resource, sub) = (label(line, "resource"), label(line, "subresource"));
            let name =
                if sub.is_empty() { resource.to_owned() } else { format!("{resource}/{sub}") };
            let outcome = match label(line, "code") {
                "409" => Outcome::Conflict,
                code if code.starts_with('2') || code == "0" => Outcome::Done,
                _ => Outcome::Refused,
            };
            let count = line.rsplit(' ').next().and_then(|text| text.parse::<f64>().ok());
            let count = count.with_context(|| format!("no count in {line}"))?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a counter is a whole number that is not negative"
            )]
            let count = count as u64;
            *requests.entry((verb.to_owned(), name, outcome)).or_default() += count;
        }
        Ok(Self(requests))
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let more = self.0.iter().filter_map(|(key, count)| {
            let more = count.saturating_sub(before.0.get(key).copied().unwrap_or_default());
            (more > 0).then(|| (key.clone(), more))
        });
        Self(more.collect())
    }

    fn count(&self, keep: impl Fn(&str, &str, Outcome) -> bool) -> u64 {
        let kept = self.0.iter().filter(|((verb, name, outcome), _)| keep(verb, name, *outcome));
        kept.map(|(_, count)| count).sum()
    }

    /// Objects stored or deleted, without leases and without what only Kubernetes writes.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.count(|verb, name, outcome| {
            is_write(verb, name) && name != "leases" && outcome == Outcome::Done
        })
    }

    /// Writes of leases, which are not in [`Requests::writes`].
    #[must_use]
    pub fn leases(&self) -> u64 {
        self.count(|verb, name, _| is_write(verb, name) && name == "leases")
    }

    /// Objects and lists that were read; watches are not counted, they end when they end.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.count(|verb, _, _| verb == "GET" || verb == "LIST")
    }

    /// The reads by resource, most first.
    #[must_use]
    pub fn describe_reads(&self) -> String {
        describe(self.0.iter().filter(|((verb, _, _), _)| verb == "GET" || verb == "LIST"))
    }
}

fn is_write(verb: &str, name: &str) -> bool {
    WRITING.contains(&verb) && !FOREIGN.contains(&name) && !QUESTIONS.contains(&name)
}

/// The writes by verb and resource, most first, and what was left out.
impl std::fmt::Display for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |wanted: Outcome| {
            describe(self.0.iter().filter(|((verb, name, outcome), _)| {
                is_write(verb, name) && name != "leases" && *outcome == wanted
            }))
        };
        write!(f, "{}", of(Outcome::Done))?;
        let left_out = [("409", of(Outcome::Conflict)), ("refused", of(Outcome::Refused))];
        for (why, text) in left_out.iter().filter(|(_, text)| text != "none") {
            write!(f, "; not counted, {why}: {text}")?;
        }
        match self.leases() {
            0 => Ok(()),
            leases => write!(f, "; leases {leases}"),
        }
    }
}

fn describe<'a>(counts: impl Iterator<Item = (&'a (String, String, Outcome), &'a u64)>) -> String {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for ((verb, name, _), count) in counts {
        *sums.entry(format!("{verb} {name}")).or_default() += count;
    }
    let mut parts: Vec<(String, u64)> = sums.into_iter().collect();
    parts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let parts: Vec<String> = parts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// The value of a label in a line of the text format; empty when it is not there.
fn label<'a>(line: &'a str, name: &str) -> &'a str {
    // `resource` is also the end of `subresource`: the sign before tells them apart.
    let found = ['{', ','].iter().find_map(|sign| line.split_once(&format!("{sign}{name}=\"")));
    found.and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
}

/// Memory of a process in MB of 2^20 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessMemory {
    /// Resident now (`VmRSS`), files included: the figure that the reaches are about.
    pub resident: f64,
    /// Resident at most since the start (`VmHWM`).
    pub peak: f64,
    /// Resident and of no file: what the process itself filled (`RssAnon`).
    pub anonymous: f64,
    /// Resident, shared pages divided by those who share them (`Pss` of `smaps_rollup`).
    pub proportional: f64,
}

impl ProcessMemory {
    /// Reads `/proc`.
    ///
    /// # Errors
    /// When the process is gone, is not `program` (a wrapper that did not become it yet), or
    /// `/proc` says nothing of its memory.
    pub fn of(process: u32, program: &str) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{process}/{file}");
            std::fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let name = read("comm")?;
        ensure!(name.trim() == program, "process {process} is {}, not {program}", name.trim());
        let (status, rollup) = (read("status")?, read("smaps_rollup")?);
        Ok(Self {
            resident: megabytes(&status, "VmRSS:")?,
            peak: megabytes(&status, "VmHWM:")?,
            anonymous: megabytes(&status, "RssAnon:")?,
            proportional: megabytes(&rollup, "Pss:")?,
        })
    }
}

/// Memory of a process, whatever its program, in MB of 2^20 bytes: resident now.
///
/// # Errors
/// When `/proc` says nothing of it.
pub fn resident(process: u32) -> Result<f64> {
    status_field(process, "VmRSS:")
}

/// What [`resident`] was at most since the start of the process.
///
/// # Errors
/// When `/proc` says nothing of it.
pub fn peak(process: u32) -> Result<f64> {
    status_field(process, "VmHWM:")
}

fn status_field(process: u32, field: &str) -> Result<f64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    megabytes(&status, field)
}

fn megabytes(text: &str, field: &str) -> Result<f64> {
    let line = text.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).with_context(|| format!("/proc has no {field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"
apiserver_request_total{code="200",component="apiserver",dry_run="",group="fleet.cattle.io",resource="bundles",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 4
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="POST",version="v1"} 2
apiserver_request_total{code="409",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="POST",version="v1"} 3
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="secrets",scope="namespace",subresource="",verb="DELETECOLLECTION",version="v1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="All",group="",resource="secrets",scope="resource",subresource="",verb="APPLY",version="v1"} 7
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 5
apiserver_request_total{code="201",component="apiserver",dry_run="",group="authorization.k8s.io",resource="subjectaccessreviews",scope="cluster",subresource="",verb="POST",version="v1"} 8
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="GET",version="v1"} 9
"#;

    #[test]
    fn what_was_stored_is_counted_by_verb_and_resource_and_the_rest_is_named() {
        let requests = Requests::parse(METRICS).unwrap();
        assert_eq!(requests.writes(), 7);
        assert_eq!(
            requests.to_string(),
            "PATCH bundles/status 4, POST secrets 2, DELETECOLLECTION secrets 1; \
             not counted, 409: POST secrets 3; leases 5"
        );
        assert_eq!((requests.reads(), requests.leases()), (9, 5));
    }

    #[test]
    fn only_what_is_new_counts() {
        let requests = Requests::parse(METRICS).unwrap();
        assert_eq!(requests.since(&requests), Requests::default());
        assert_eq!(requests.since(&Requests::default()), requests);
    }

    #[test]
    fn memory_of_a_process_that_is_gone_or_another_is_an_error() {
        let own = std::process::id();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        let memory = ProcessMemory::of(own, name.trim()).unwrap();
        assert!(memory.resident > 1.0 && memory.peak >= memory.resident, "{memory:?}");
        assert!(ProcessMemory::of(own, "sh").is_err());
        assert!(ProcessMemory::of(u32::MAX, "fleet").is_err());
    }
}
