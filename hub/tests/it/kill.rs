//! What kill -9 and a damaged file leave behind.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hub::{Hub, OpenError, Options, StoreError};
use serde_json::{Value, json};

use crate::support::{config_map, delete, get, merge, post};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const CHILD_DATA: &str = "HUB_TEST_CHILD_DATA";
const ROUNDS: u64 = 6;
const WRITERS: usize = 4;

fn open(folder: &Path) -> Result<Hub, OpenError> {
    Hub::open(&Options { data: Some(folder.to_owned()), ..Options::default() })
}

/// Waits for the lock: the worker of a dropped hub lets go on its next wake-up.
async fn reopen(folder: &Path) -> Hub {
    for _ in 0..1000 {
        match open(folder) {
            Err(OpenError::Store(StoreError::InUse { .. })) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            other => return other.expect("opened"),
        }
    }
    panic!("still in use");
}

fn revision(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    text.parse().expect("a resourceVersion")
}

/// The process that is killed: it writes for ever and says what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other side of the kill -9 test, started by it"]
async fn child_writes_until_it_is_killed() {
    let Some(data) = std::env::var_os(CHILD_DATA) else { return };
    let hub = open(Path::new(&data)).expect("opened");
    let writers = (0..WRITERS).map(|writer| {
        let hub = hub.clone();
        tokio::spawn(async move {
            for i in 0_u64.. {
                write_one(&hub, &format!("w{writer}-{}", i % 20), i).await;
            }
        })
    });
    futures::future::join_all(writers.collect::<Vec<_>>()).await;
}

/// Creates, changes or deletes one object and acknowledges it on standard output.
async fn write_one(hub: &Hub, name: &str, i: u64) {
    let path = format!("{MAPS}/{name}");
    let made = post(hub, MAPS, config_map(name)).await;
    let line = if made.code == 201 {
        format!("is {name} {}", revision(&made.body))
    } else if i.is_multiple_of(3) {
        // What is announced may or may not have happened; what is acknowledged has.
        say(&format!("deleting {name}"));
        assert_eq!(delete(hub, &path).await.code, 200);
        format!("gone {name}")
    } else {
        let changed = merge(hub, &path, json!({"data": {"a": i.to_string()}})).await;
        assert_eq!(changed.code, 200, "{}", changed.body);
        format!("is {name} {}", revision(&changed.body))
    };
    say(&line);
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {line}").expect("the parent reads");
    out.flush().expect("the parent reads");
}

fn start_child(data: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "--nocapture", "kill::child_writes_until_it_is_killed"])
        .env(CHILD_DATA, data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started")
}

/// What the parent knows about an object.
enum Known {
    At(u64),
    Gone,
    /// A deletion was begun.
    Either,
}

/// Lets the child write `count` acknowledgements, kills it, and returns all it said.
fn write_and_kill(data: &Path, count: usize, known: &mut BTreeMap<String, Known>) {
    let mut child = start_child(data);
    let mut said = 0;
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for line in lines.map_while(Result::ok) {
        // The last line may be cut; the harness has lines of its own.
        let Some(line) = line.find("ack ").map(|at| line[at + 4..].to_owned()) else { continue };
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["is", name, revision] => {
                let Ok(revision) = revision.parse() else { continue };
                known.insert((*name).to_owned(), Known::At(revision));
            }
            ["gone", name] => drop(known.insert((*name).to_owned(), Known::Gone)),
            ["deleting", name] => drop(known.insert((*name).to_owned(), Known::Either)),
            _ => {}
        }
        said += 1;
        if said == count {
            child.kill().expect("killed");
        }
    }
    drop(child.wait());
    assert!(said >= count, "the child wrote only {said} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("folder");
    let mut known = BTreeMap::new();
    let mut newest = 0;
    for round in 0..ROUNDS {
        let count = 40 + usize::try_from(round * 37 % 100).expect("small");
        write_and_kill(folder.path(), count, &mut known);
        let hub = reopen(folder.path()).await;
        for (name, known) in &known {
            let found = get(&hub, &format!("{MAPS}/{name}")).await;
            match known {
                Known::Either => {}
                // A creation after the deletion may have been cut off before it was told.
                Known::Gone => assert!(
                    found.code == 404 || revision(&found.body) > newest,
                    "round {round}: {name} is back"
                ),
                Known::At(at) => {
                    assert_eq!(found.code, 200, "round {round}: {name} is lost");
                    assert!(revision(&found.body) >= *at, "round {round}: {name} is older");
                }
            }
        }
        let probe = post(&hub, MAPS, config_map(&format!("probe-{round}"))).await;
        assert_eq!(probe.code, 201);
        let highest =
            known.values().filter_map(|k| if let Known::At(at) = k { Some(*at) } else { None });
        newest = newest.max(highest.max().unwrap_or(0));
        assert!(revision(&probe.body) > newest, "round {round}: the revision went back");
        newest = revision(&probe.body);
        watch_from_before(&hub).await;
        drop(hub);
    }
}

/// The history does not outlive the process: an old version is 410, and says so in the stream.
async fn watch_from_before(hub: &Hub) {
    let path = format!("{MAPS}?watch=1&resourceVersion=1&timeoutSeconds=1");
    let request = http::Request::get(path).body(String::new()).expect("request");
    let body = hub.answer(request).await.into_body();
    let bytes = http_body_util::BodyExt::collect(body).await.expect("body").to_bytes();
    let event: Value = serde_json::from_slice(&bytes).expect("one event");
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
}

/// Opens a copy of the data whose file went through `damage`.
async fn open_damaged(folder: &Path, damage: impl Fn(&mut Vec<u8>)) -> Result<Hub, String> {
    let copy = tempfile::tempdir().expect("folder").keep();
    std::fs::create_dir_all(copy.join("pki")).expect("folder");
    let mut bytes = std::fs::read(folder.join("hub.redb")).expect("the data file");
    damage(&mut bytes);
    std::fs::write(copy.join("hub.redb"), bytes).expect("written");
    let opened = open(&copy).map_err(|e| e.to_string());
    drop(std::fs::remove_dir_all(&copy));
    opened
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_repaired_or_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("folder");
    write_and_kill(folder.path(), 60, &mut BTreeMap::new());
    let length = std::fs::metadata(folder.path().join("hub.redb")).expect("file").len();
    let length = usize::try_from(length).expect("small");
    for part in 1..8 {
        let from = length - length * part / 16;
        let cut = open_damaged(folder.path(), |bytes| bytes.truncate(from)).await;
        let garbage = open_damaged(folder.path(), |bytes| bytes[from..].fill(0xa5)).await;
        for (what, opened) in [("cut", cut), ("overwritten", garbage)] {
            match opened {
                // Repaired, or the tail held nothing: then everything that is there can be read.
                Ok(hub) => {
                    let list = get(&hub, MAPS).await;
                    assert_eq!(list.code, 200, "{what} at {from}");
                    let items = list.body["items"].as_array().cloned().unwrap_or_default();
                    assert!(items.iter().all(|o| o["metadata"]["uid"].is_string()), "{what}");
                }
                Err(why) => assert!(why.contains("hub.redb"), "{what} at {from}: {why}"),
            }
        }
    }
}
