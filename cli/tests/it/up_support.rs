//! A running `fleet up`, and clients of its clusters.

use std::io::BufRead as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) const FLEET: &str = env!("CARGO_BIN_EXE_fleet");

/// Longest wait for anything; a busy machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// `fleet up` in a process of its own, killed when dropped.
pub(crate) struct Up {
    child: Child,
    lines: Receiver<String>,
    pub(crate) seen: String,
}

/// `fleet` with a home of its own, so that no setting of whoever runs the tests counts.
pub(crate) fn fleet(home: &Path, line: &[&str]) -> Command {
    let mut command = Command::new(FLEET);
    command.args(line).env_clear().env("HOME", home).stdin(Stdio::null());
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env("PATH", path);
    command
}

impl Up {
    pub(crate) fn start(home: &Path, line: &[&str]) -> Up {
        Up::spawn(fleet(home, &[&["up"], line].concat()))
    }

    /// A command that runs `fleet up`.
    pub(crate) fn spawn(mut command: Command) -> Up {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let out = child.stdout.take().expect("piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in std::io::BufReader::new(out).lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        Up { child, lines, seen: String::new() }
    }

    /// Reads lines until one holds `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen += &format!("{line}\n");
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no {text:?} in\n{}", self.seen)
                }
            }
        }
    }

    /// The commands that are printed once everything is ready.
    pub(crate) fn wait_commands(&mut self) -> Vec<String> {
        self.wait_for("Ready after");
        let before = self.seen.len();
        self.wait_for("ends it");
        let printed = self.seen[before..].lines().filter_map(|line| line.strip_prefix("  "));
        printed.map(str::to_owned).collect()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for the end; the exit code, and everything it printed.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().expect("ours").code();
        self.seen.extend(self.lines.iter().map(|line| line + "\n"));
        (code, std::mem::take(&mut self.seen))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// A port that is free, as are the two after it.
pub(crate) fn three_ports() -> u16 {
    let bind = |port| TcpListener::bind(("127.0.0.1", port));
    let are_free = |port: &u16| (0..3).all(|offset| bind(port + offset).is_ok());
    let start = 20_000 + (std::process::id() % 9_000) as u16;
    (start..start + 1000).step_by(3).find(are_free).expect("some ports are free")
}

/// An administrator's client of one cluster of the kubeconfig.
pub(crate) struct Cluster {
    client: kube::Client,
    tokio: tokio::runtime::Runtime,
}

impl Cluster {
    pub(crate) fn of(kubeconfig: &Path, context: &str) -> Cluster {
        runtime::client::install_crypto_provider();
        let file = std::fs::read_to_string(kubeconfig).expect("it was written");
        let mut config = goyaml::from_str(&file).expect("YAML");
        config["current-context"] = context.into();
        let text = goyaml::to_string(&config);
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tokio = tokio.expect("a runtime");
        let client = runtime::client::from_kubeconfig_text(&text, "a test", "test");
        let client = tokio.block_on(client).expect("usable");
        Cluster { client, tokio }
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.tokio.block_on(runtime::objects::get(&self.client, path)).ok().flatten()
    }

    /// Waits until the value at `pointer` of the object at `path` is `expected`.
    pub(crate) fn wait(&self, path: &str, pointer: &str, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.get(path);
            let value = found.as_ref().and_then(|object| object.pointer(pointer));
            if value.is_some_and(|value| value == expected) {
                return;
            }
            assert!(Instant::now() < deadline, "{path}{pointer} is {value:?}, not {expected}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every object of the listed collections, without what a heartbeat changes.
    pub(crate) fn objects(&self, collections: &[&str]) -> Vec<String> {
        let mut all = Vec::new();
        for path in collections {
            let list = self.get(path).unwrap_or_else(|| panic!("no list {path}"));
            for item in list["items"].as_array().into_iter().flatten() {
                let mut item = item.clone();
                if path.ends_with("/clusters") {
                    item["metadata"]["resourceVersion"] = Value::Null;
                    item["metadata"]["managedFields"] = Value::Null;
                    item["status"]["agent"] = Value::Null;
                }
                all.push(format!("{path} {item}"));
            }
        }
        all
    }
}

/// `quickstart` in the data folder.
pub(crate) fn quickstart(data: &Path) -> PathBuf {
    data.join("quickstart")
}
