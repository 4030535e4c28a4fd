//! The same requests to the hub and to a real kube-apiserver 1.36: the answers must be equal.
//!
//! Owns the comparison. The scripts are `tests/differential/scripts/*.yaml`; what the peer answered
//! is in `tests/differential/recorded`, written by `cargo xtask record-hub`, never by us. A
//! difference that stays is a line of `tests/differential/allowed.yaml`, which names its row in
//! COMPATIBILITY.md; a line that no longer excuses anything fails the test. Start at [`play`].

mod mask;
mod peer;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use regex::Regex;
use serde_json::{Value, json};

use mask::Mask;
use script::{Script, Step, Until};

/// Longest wait for what a controller does after an answer.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A raw answer.
pub(crate) struct Raw {
    code: u16,
    media: String,
    warnings: Vec<String>,
    body: Bytes,
}

/// Whom the scripts are played to.
enum Server {
    Hub(hub::Hub),
    Peer(peer::Peer),
}

impl Server {
    async fn send(&self, step: &Step, request: Request<Bytes>) -> Raw {
        match self {
            Server::Peer(peer) => peer.send(&step.auth, request).await,
            Server::Hub(hub) => {
                let (mut parts, body) = request.into_parts();
                let user = |name: &str, groups: &[&str]| hub::User {
                    name: name.to_owned(),
                    groups: groups.iter().map(|g| (*g).to_owned()).collect(),
                    uid: String::new(),
                };
                parts.extensions.insert(match step.auth.as_str() {
                    "admin" => user("admin", &["system:masters", "system:authenticated"]),
                    _ => user("system:anonymous", &["system:unauthenticated"]),
                });
                let answer = hub.answer(Request::from_parts(parts, Full::new(body))).await;
                let (parts, body) = answer.into_parts();
                let body = body.collect().await.expect("infallible").to_bytes();
                Raw::new(&parts, body)
            }
        }
    }
}

impl Raw {
    fn new(parts: &http::response::Parts, body: Bytes) -> Raw {
        let text = |v: &http::HeaderValue| v.to_str().unwrap_or_default().to_owned();
        Raw {
            code: parts.status.as_u16(),
            media: parts.headers.get("content-type").map(text).unwrap_or_default(),
            warnings: parts.headers.get_all("warning").iter().map(text).collect(),
            body,
        }
    }

    fn value(&self, step: &Step) -> Value {
        let text = || Value::String(String::from_utf8_lossy(&self.body).into_owned());
        if step.watch && self.code == 200 {
            let lines = self.body.split(|b| *b == b'\n').filter(|l| !l.is_empty());
            let events: Vec<Value> =
                lines.map(|l| serde_json::from_slice(l).unwrap_or_default()).collect();
            return Value::Array(events.into_iter().filter(|e| !is_idle_bookmark(e)).collect());
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|_| text())
    }
}

/// When a server tells an idle watcher where it is, is its own affair.
fn is_idle_bookmark(event: &Value) -> bool {
    event["type"] == "BOOKMARK" && event["object"]["metadata"]["annotations"].is_null()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

fn scripts() -> Vec<Script> {
    let only = std::env::var("HUB_SCRIPT").unwrap_or_default();
    let files = std::fs::read_dir(folder().join("scripts")).expect("scripts");
    let mut paths: Vec<PathBuf> = files.map(|f| f.expect("entry").path()).collect();
    paths.sort();
    let chosen = paths.into_iter().filter(|p| p.to_string_lossy().contains(&only));
    chosen.map(|path| Script::read(&path)).collect()
}

/// Plays one script and returns the masked answer of every step.
async fn play(server: &Server, script: &Script) -> Vec<Value> {
    let mut mask = Mask::default();
    let mut saved = BTreeMap::new();
    let mut answers = Vec::new();
    for step in &script.steps {
        if std::env::var("HUB_TRACE").is_ok() {
            eprintln!("{} / {}", script.name, step.name);
        }
        let mut waited = Duration::ZERO;
        let raw = loop {
            let raw = server.send(step, step.request(&saved)).await;
            let done = step.until.as_ref().is_none_or(|until| holds(until, &raw, step));
            if !done && waited > PATIENCE {
                eprintln!("{} / {}: it did not happen: {}", script.name, step.name, raw.code);
            }
            if done || waited > PATIENCE {
                break raw;
            }
            waited += POLL;
            tokio::time::sleep(POLL).await;
        };
        let value = raw.value(step);
        for (name, pointer) in &step.save {
            let found = value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            saved.insert(name.clone(), found.to_owned());
        }
        let body = step.select(mask.value(value));
        let mut answer = json!({"step": step.name, "code": raw.code, "body": body});
        if raw.media != "application/json" {
            answer["media"] = raw.media.into();
        }
        if !raw.warnings.is_empty() {
            answer["warnings"] = json!(raw.warnings);
        }
        answers.push(answer);
    }
    answers
}

fn holds(until: &Until, raw: &Raw, step: &Step) -> bool {
    match until {
        Until::Code(code) => raw.code == *code,
        Until::Is(pointer, wanted) => raw.value(step).pointer(pointer) == Some(wanted),
        Until::Has(pointer) => raw.value(step).pointer(pointer).is_some_and(|v| !v.is_null()),
    }
}

fn recorded_path(script: &Script) -> PathBuf {
    folder().join("recorded").join(format!("{}.json", script.name))
}

fn recorded(script: &Script) -> Vec<Value> {
    let path = recorded_path(script);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask record-hub`", path.display()));
    serde_json::from_str(&text).expect("a recording is JSON")
}

/// One place where two answers differ.
struct Difference {
    script: String,
    step: String,
    at: String,
    peer: Value,
    ours: Value,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { script, step, at, peer, ours } = self;
        write!(f, "{script} / {step} {at}\n    peer: {peer}\n    ours: {ours}")
    }
}

fn differences(script: &Script, peer: &[Value], ours: &[Value]) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut pairs = Pairs::default();
    assert_eq!(peer.len(), ours.len(), "{}: record it again", script.name);
    for (peer, ours) in peer.iter().zip(ours) {
        let step = ours["step"].as_str().unwrap_or_default();
        let mut report = |at: &str, peer: &Value, ours: &Value| {
            found.push(Difference {
                script: script.name.clone(),
                step: step.to_owned(),
                at: at.to_owned(),
                peer: peer.clone(),
                ours: ours.clone(),
            });
        };
        if peer["code"] != ours["code"] {
            // Then everything differs: one difference, shown by what is read first.
            let brief = |answer: &Value| {
                let message = answer["body"]["message"].as_str().unwrap_or_default();
                json!(format!("{} {message}", answer["code"]))
            };
            report("/code", &brief(peer), &brief(ours));
            continue;
        }
        compare(peer, ours, "", &mut pairs, &mut report);
    }
    found
}

/// Which numbered id of the peer is which of ours: one more object on one side shifts the numbers
/// of all that follow, which is no difference.
#[derive(Default)]
struct Pairs {
    peer: BTreeMap<String, String>,
    ours: BTreeMap<String, String>,
}

static NUMBERED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"<(uid|rv)-\d+>").expect("a pattern"));

impl Pairs {
    /// Whether the texts are equal but for the numbers, and those belong together.
    fn match_texts(&mut self, a: &str, b: &str) -> bool {
        if NUMBERED.replace_all(a, "<$1>") != NUMBERED.replace_all(b, "<$1>") {
            return false;
        }
        let pairs = NUMBERED.find_iter(a).zip(NUMBERED.find_iter(b));
        pairs.fold(true, |all, (a, b)| {
            let (a, b) = (a.as_str().to_owned(), b.as_str().to_owned());
            let known = self.peer.entry(a.clone()).or_insert_with(|| b.clone()) == &b;
            let back = self.ours.entry(b).or_insert_with(|| a.clone()) == &a;
            all && known && back
        })
    }
}

fn compare(
    a: &Value,
    b: &Value,
    at: &str,
    pairs: &mut Pairs,
    report: &mut impl FnMut(&str, &Value, &Value),
) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let keys: BTreeSet<&String> = x.keys().chain(y.keys()).collect();
            for key in keys {
                let at = format!("{at}/{}", key.replace('/', "~1"));
                let side = |m: &serde_json::Map<String, Value>| m.get(key).cloned();
                compare(
                    &side(x).unwrap_or("<absent>".into()),
                    &side(y).unwrap_or("<absent>".into()),
                    &at,
                    pairs,
                    report,
                );
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (i, (a, b)) in x.iter().zip(y).enumerate() {
                compare(a, b, &format!("{at}/{i}"), pairs, report);
            }
        }
        (Value::String(x), Value::String(y)) if pairs.match_texts(x, y) => {}
        _ if a == b && !a.is_string() => {}
        _ => report(at, a, b),
    }
}

/// A difference that stays, and where it is explained.
struct Allowed {
    script: String,
    step: String,
    at: String,
    row: String,
}

fn allowed() -> Vec<Allowed> {
    let text = std::fs::read_to_string(folder().join("allowed.yaml")).expect("allowed.yaml");
    let list = goyaml::from_str(&text).expect("YAML");
    let rows = list.as_array().cloned().unwrap_or_default();
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| Allowed {
            script: text(row, "script"),
            step: text(row, "step"),
            at: text(row, "at"),
            row: text(row, "row"),
        })
        .collect()
}

impl Allowed {
    fn excuses(&self, difference: &Difference) -> bool {
        let any = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
            Some(prefix) => text.starts_with(prefix),
            None => pattern == text,
        };
        any(&self.script, &difference.script)
            && any(&self.step, &difference.step)
            && any(&self.at, &difference.at)
    }
}

/// First cells of the rows of COMPATIBILITY.md's section on the embedded server.
fn compatibility_rows() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../COMPATIBILITY.md");
    let text = std::fs::read_to_string(path).expect("COMPATIBILITY.md");
    let section = text.split("## The embedded API server").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| Some(row.split(" |").next()?.trim().to_owned())).collect()
}

/// A hub whose clock stands still: managed fields are ordered by time first, and the peer's scripts
/// were each over within a second.
fn hub_of_one_second() -> hub::Hub {
    let now = jiff::Timestamp::now();
    let options = hub::Options { clock: Some(Arc::new(move || now)), ..hub::Options::default() };
    hub::Hub::open(&options).expect("a hub in memory")
}

#[tokio::test(start_paused = true)]
async fn the_hub_answers_as_the_recorded_kube_apiserver_did() {
    let allowed = allowed();
    let (mut used, mut unexplained) = (BTreeSet::new(), Vec::new());
    for script in scripts() {
        let server = Server::Hub(hub_of_one_second());
        let ours = play(&server, &script).await;
        for difference in differences(&script, &recorded(&script), &ours) {
            match allowed.iter().position(|a| a.excuses(&difference)) {
                Some(i) => drop(used.insert(i)),
                None => unexplained.push(difference.to_string()),
            }
        }
    }
    let count = unexplained.len();
    assert!(unexplained.is_empty(), "{count} differences:\n{}", unexplained.join("\n"));
    if std::env::var("HUB_SCRIPT").is_ok() {
        return;
    }
    let rows = compatibility_rows();
    for (i, allowed) in allowed.iter().enumerate() {
        let Allowed { script, step, at, row } = allowed;
        assert!(rows.contains(row), "COMPATIBILITY.md has no row {row:?} for the embedded server");
        assert!(used.contains(&i), "no longer different, remove it: {script} / {step} {at}");
    }
}

/// Plays every script to a fresh peer; `None` without `FLEET_KUBEBOX`.
async fn play_to_peer() -> Option<Vec<(Script, Vec<Value>)>> {
    let server = Server::Peer(peer::Peer::start().await?);
    let mut all = Vec::new();
    for script in scripts() {
        let answers = play(&server, &script).await;
        all.push((script, answers));
    }
    Some(all)
}

#[tokio::test]
async fn the_recording_is_what_the_peer_says_today() {
    let Some(played) = play_to_peer().await else {
        eprintln!("skipped: FLEET_KUBEBOX names no kube-apiserver");
        return;
    };
    let stale = played.iter().flat_map(|(script, now)| differences(script, &recorded(script), now));
    let stale: Vec<String> = stale.map(|d| d.to_string()).collect();
    assert!(stale.is_empty(), "the peer (ours: today) and its recording:\n{}", stale.join("\n"));
}

#[tokio::test]
#[ignore = "writes the recordings: run by `cargo xtask record-hub`"]
async fn record() {
    let played = play_to_peer().await.expect("FLEET_KUBEBOX names the kube-apiserver to record");
    for (script, answers) in played {
        let mut text = String::from("[\n");
        let lines: Vec<String> = answers.iter().map(Value::to_string).collect();
        text.push_str(&lines.join(",\n"));
        text.push_str("\n]\n");
        std::fs::write(recorded_path(&script), text).expect("written");
    }
}
