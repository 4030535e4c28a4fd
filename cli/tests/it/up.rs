//! `fleet up` as a person uses it: the real program, its printed commands, kubectl when it is there.

use std::path::Path;
use std::process::Command;

use crate::up_support::{Cluster, FLEET, Up, fleet, has_program, quickstart, text, three_ports};

const GREETING: &str = "/api/v1/namespaces/quickstart/configmaps/greeting";
const BUNDLES: &str = "/apis/fleet.cattle.io/v1alpha1/bundles";

/// Runs a line as if it were pasted into a shell.
fn paste(home: &Path, line: &str) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).env("HOME", home).env_remove("GIT_AUTHOR_NAME");
    let output = shell.output().expect("sh runs");
    assert!(output.status.success(), "{line}\n{}", text(&output));
    text(&output)
}

fn commit(home: &Path, data: &Path, greeting: &str) {
    let folder = quickstart(data);
    let file = folder.join("namespace/greeting.yaml");
    let manifest = std::fs::read_to_string(&file).expect("it is there");
    let (head, _) = manifest.rsplit_once("text: ").expect("the last line");
    std::fs::write(&file, format!("{head}text: {greeting}\n")).expect("written");
    paste(home, &format!("git -C '{}' commit -qam '{greeting}'", folder.display()));
}

#[test]
fn two_members_get_the_quickstart_and_every_printed_command_works() {
    let home = tempfile::tempdir().expect("a folder");
    // A blank, so that the quoting counts.
    let data = home.path().join("my data");
    let shown = data.to_str().expect("text");
    let mut up = Up::start(home.path(), &["--data", shown, "--port", "0"]);
    let commands = up.wait_commands();
    eprintln!("{}", up.seen.lines().find(|line| line.contains("Ready after")).expect("told"));
    assert!(!up.seen.contains('\u{1b}'), "{}", up.seen);
    assert!(!up.seen.contains(r"\n"), "{}", up.seen);
    let [first, kubectl @ ..] = commands.as_slice() else { panic!("no commands: {}", up.seen) };
    paste(home.path(), first);
    let kubeconfig = data.join("kubeconfig");
    for member in ["member-1", "member-2"] {
        Cluster::of(&kubeconfig, member).wait(GREETING, "/data/text", "hello again");
    }
    let hub = Cluster::of(&kubeconfig, "hub");
    hub.wait(BUNDLES, "/items/0/status/display/readyClusters", "2/2");
    hub.wait(BUNDLES, "/items/1/status/display/readyClusters", "2/2");
    if !has_program("kubectl") {
        eprintln!("kubectl is not installed: its commands were not run");
    } else {
        let [bundles, greeting] = kubectl else { panic!("{commands:?}") };
        // Summaries come a moment after what they add up.
        let mut looks = (0..100).map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            paste(home.path(), bundles)
        });
        let ready = looks.find(|table| table.matches("2/2").count() == 4);
        assert!(ready.is_some(), "{}", paste(home.path(), bundles));
        assert!(paste(home.path(), greeting).contains("text: hello again"));
    }
    let down = fleet(home.path(), &["down", "--data", shown]).output().expect("runs");
    assert!(down.status.success() && text(&down) == "ended\n", "{}", text(&down));
    let (code, seen) = up.wait();
    assert!(code == Some(0) && seen.ends_with("\nended\n"), "{code:?} {seen}");
    let down = fleet(home.path(), &["down", "--data", shown]).output().expect("runs");
    assert_eq!(
        (down.status.code(), text(&down).as_str()),
        (Some(0), "note: no fleet runs there\n")
    );
}

const REGISTRATIONS: &str = "/apis/fleet.cattle.io/v1alpha1/clusterregistrations";
const ON_THE_HUB: [&str; 12] = [
    "/apis/fleet.cattle.io/v1alpha1/gitrepos",
    "/apis/fleet.cattle.io/v1alpha1/bundles",
    "/apis/fleet.cattle.io/v1alpha1/bundledeployments",
    "/apis/fleet.cattle.io/v1alpha1/contents",
    "/apis/fleet.cattle.io/v1alpha1/clusters",
    REGISTRATIONS,
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/api/v1/secrets",
    "/api/v1/configmaps",
    "/api/v1/serviceaccounts",
];
const ON_A_MEMBER: [&str; 5] = [
    "/api/v1/configmaps",
    "/api/v1/secrets",
    "/api/v1/namespaces",
    "/apis/apps/v1/deployments",
    "/api/v1/serviceaccounts",
];

fn everything(kubeconfig: &Path) -> Vec<String> {
    let mut all = Cluster::of(kubeconfig, "hub").objects(&ON_THE_HUB);
    for member in ["member-1", "member-2"] {
        all.extend(Cluster::of(kubeconfig, member).objects(&ON_A_MEMBER));
    }
    all
}

#[test]
fn a_restart_changes_nothing_and_goes_on_also_after_a_kill_and_on_other_ports() {
    let home = tempfile::tempdir().expect("a folder");
    let data = home.path().join("data");
    let (shown, kubeconfig) = (data.to_str().expect("text"), data.join("kubeconfig"));
    let port = three_ports().to_string();
    let line = ["--data", shown, "--port", &port];
    let mut up = Up::start(home.path(), &line);
    up.wait_commands();
    // The last status writes of the first start.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let before = everything(&kubeconfig);
    up.signal("-TERM");
    assert_eq!(up.wait().0, Some(0));

    let mut up = Up::start(home.path(), &line);
    up.wait_commands();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let after = everything(&kubeconfig);
    let changed: Vec<&String> = after.iter().filter(|object| !before.contains(object)).collect();
    assert!(changed.is_empty() && after.len() == before.len(), "{changed:#?}");
    up.signal("-KILL");
    up.wait();

    let mut up = Up::start(home.path(), &["--data", shown, "--port", "0"]);
    up.wait_commands();
    commit(home.path(), &data, "after the move");
    for member in ["member-1", "member-2"] {
        Cluster::of(&kubeconfig, member).wait(GREETING, "/data/text", "after the move");
    }
    let registrations = Cluster::of(&kubeconfig, "hub").objects(&[REGISTRATIONS]);
    assert_eq!(registrations.len(), 2, "nobody registered anew");
    let second =
        fleet(home.path(), &["up", "--data", shown, "--port", "0"]).output().expect("runs");
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second).contains("runs on") && text(&second).contains("fleet down --data"));
    let fewer = fleet(home.path(), &["up", "--data", shown, "--members", "1"]).output();
    assert!(!fewer.expect("runs").status.success());
    up.signal("-INT");
    assert_eq!(up.wait().0, Some(0));
}

#[test]
fn memory_keeps_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let shown = home.path().to_str().expect("text");
    let mut up = Up::start(home.path(), &["--memory", "--data", shown, "--port", "0"]);
    up.wait_commands();
    up.signal("-INT");
    let (code, seen) = up.wait();
    assert!(code == Some(0) && seen.contains("nothing is kept"), "{code:?} {seen}");
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("there").flatten().collect();
    let left: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn what_cannot_start_says_what_to_do() {
    let home = tempfile::tempdir().expect("a folder");
    let at = |name: &str| home.path().join(name).to_str().expect("text").to_owned();
    std::fs::write(at("file"), "").expect("written");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let port = taken.local_addr().expect("bound").port().to_string();
    let (data, below_file, empty) = (at("data"), at("file/data"), at(""));
    for (line, code, parts) in [
        (vec!["--data", &data, "--port", &port], 1, ["--port", port.as_str()]),
        (vec!["--data", &below_file], 1, ["--data", "file/data"]),
        (vec!["--data", &data, "--repo", &empty], 1, ["git init", "no Git repository"]),
        (vec!["--data", &data, "--repo", "nowhere"], 1, ["--repo nowhere", "No such file"]),
        (vec!["--data", &data, "--repo", "http://127.0.0.1:1/x.git"], 1, ["--branch", "refused"]),
        (vec!["--members", "0"], 2, ["--members", "1..=100"]),
        (vec!["--data", &data, "--members", "20", "--port", "65530"], 1, ["--port", "20 members"]),
    ] {
        let output = fleet(home.path(), &[&["up"], line.as_slice()].concat()).output();
        let output = output.expect("runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{line:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{line:?}: {said}");
        }
    }
}

/// The README shows what a terminal shows; `script` makes one.
#[test]
fn the_readme_shows_what_up_prints() {
    if !has_program("script") {
        eprintln!("script is not installed: the README was not compared");
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let port = three_ports().to_string();
    let line = format!("{FLEET} up --port {port}");
    let mut terminal = Command::new("script");
    terminal.args(["-qfec", &line, "/dev/null"]).env_clear().env("HOME", home.path());
    terminal.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    terminal.env("TERM", "xterm").env("NO_COLOR", "1");
    let mut up = Up::spawn(terminal);
    up.wait_for("ends it");
    let seen = std::mem::take(&mut up.seen);
    let down = fleet(home.path(), &["down"]).status().expect("runs");
    assert!(down.success());
    let readme = include_str!("../../../README.md");
    let block = readme.split("```text\na hub and").nth(1).expect("the README shows it");
    let block = format!("a hub and{}", block.split("```").next().unwrap_or_default());
    assert_eq!(normal(&seen, home.path(), &port), normal(&block, Path::new("/home/you"), "17443"));
}

/// What a terminal shows in the end, without what differs between two runs.
fn normal(printed: &str, home: &Path, port: &str) -> String {
    let home = home.to_str().expect("text");
    let first: u16 = port.parse().expect("a number");
    let mut lines: Vec<String> = Vec::new();
    for line in printed.replace("\u{1b}[?7l", "").replace("\u{1b}[?7h", "").lines() {
        let mut line = line.trim_end();
        if let Some((up, rest)) =
            line.strip_prefix("\u{1b}[").and_then(|l| l.split_once("A\u{1b}[J"))
        {
            let drawn: usize = up.parse().expect("a number of lines");
            lines.truncate(lines.len() - drawn);
            line = rest;
        }
        let mut line = line.replace(home, "HOME").replace(FLEET, "target/debug/fleet");
        for offset in 0..3 {
            line = line.replace(&format!(":{}", first + offset), &format!(":PORT{offset}"));
        }
        lines.push(match line.split_once(" at ").or(line.split_once("Ready after ")) {
            Some((start, end)) => {
                format!("{start} {}", end.split_once(' ').map_or("", |(_, rest)| rest))
            }
            None => line,
        });
    }
    lines.join("\n")
}
