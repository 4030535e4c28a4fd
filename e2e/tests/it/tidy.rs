//! The rules of the code base that no compiler checks: arrows, purity, sizes, names, documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::peers::workspace;

/// The crates each crate may use. An arrow that is not here does not exist.
const ARROWS: [(&str, &[&str]); 12] = [
    ("goyaml", &[]),
    ("patch", &[]),
    ("gotemplate", &["goyaml"]),
    ("bundle-format", &["gotemplate", "goyaml"]),
    ("render", &["bundle-format", "gotemplate", "goyaml", "patch"]),
    ("runtime", &["bundle-format"]),
    ("hub", &["patch", "goyaml"]),
    ("gitjob", &["runtime", "bundle-format"]),
    ("controller", &["runtime", "bundle-format", "render"]),
    ("agent", &["runtime", "bundle-format", "render", "patch", "goyaml"]),
    (
        "cli",
        &[
            "goyaml",
            "patch",
            "gotemplate",
            "bundle-format",
            "render",
            "runtime",
            "hub",
            "gitjob",
            "controller",
            "agent",
        ],
    ),
    (
        "e2e",
        &[
            "goyaml",
            "patch",
            "gotemplate",
            "bundle-format",
            "render",
            "runtime",
            "hub",
            "gitjob",
            "controller",
            "agent",
            "cli",
        ],
    ),
];

/// The packages the project is built on: each a direct dependency with a real use.
const PACKAGES: [(&str, &str); 10] = [
    ("gix", "gix::"),
    ("kube", "kube::"),
    ("tokio", "tokio::"),
    ("serde_yaml", "serde_yaml::"),
    ("minijinja", "minijinja::"),
    ("sha2", "sha2::"),
    ("tar", "tar::"),
    ("flate2", "flate2::"),
    ("tracing", "tracing::"),
    ("notify", "notify::"),
];

/// The walk: each name is defined once, so that a text search is the index.
const WALK: [&str; 14] = [
    "resolve_head",
    "fetch_tree",
    "read_bundles",
    "publish_bundles",
    "observe_bundle",
    "match_targets",
    "place_targets",
    "resolve_target",
    "plan_rollout",
    "apply_rollout",
    "fetch_manifest",
    "render_manifest",
    "plan_apply",
    "execute",
];

/// Longest file, tests not counted.
const LINES_MAX: usize = 600;

/// Files that are longer and wait for their split. A file that got shorter leaves the list.
const TOO_LONG: [&str; 0] = [];

fn manifest(krate: &str) -> toml::Table {
    let path = workspace().join(krate).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).expect("each crate has a manifest");
    text.parse().expect("cargo has read it before us")
}

fn dependencies(krate: &str, section: &str) -> BTreeSet<String> {
    let table = manifest(krate);
    let names = table.get(section).and_then(toml::Value::as_table);
    names.into_iter().flat_map(toml::Table::keys).cloned().collect()
}

/// All Rust files below a folder of the workspace.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![workspace().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // A crate's own build folder is passed over; `src/target` is a module.
            let is_build = path.ends_with("target") && !path.ends_with("src/target");
            if path.is_dir() && !is_build {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn all_sources() -> Vec<PathBuf> {
    ARROWS.iter().flat_map(|(krate, _)| sources(krate)).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file just listed can be read")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap_or(path).display().to_string()
}

/// A file without its unit tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

fn expect_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn crates_use_only_what_the_arrows_allow() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(krate, _)| *krate).collect();
    let mut wrong = Vec::new();
    for (krate, allowed) in ARROWS {
        for name in dependencies(krate, "dependencies") {
            if ours.contains(name.as_str()) && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{krate} → {name}"));
            }
        }
    }
    expect_none(&wrong, "arrows that ARCHITECTURE.md does not have");
}

#[test]
fn every_member_of_the_workspace_has_its_arrows() {
    let text = read(&workspace().join("Cargo.toml"));
    let table: toml::Table = text.parse().expect("cargo has read it before us");
    let members = table["workspace"]["members"].as_array().expect("there are members");
    let members: BTreeSet<&str> = members.iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(members, ARROWS.iter().map(|(krate, _)| *krate).collect());
}

#[test]
fn plan_folders_are_pure() {
    let forbidden =
        ["async ", ".await", "Client", "SystemTime", "Instant", "tokio::", "std::fs", "std::env"];
    let mut wrong = Vec::new();
    for path in all_sources() {
        if !path.components().any(|part| part.as_os_str() == "plan") {
            continue;
        }
        let text = read(&path);
        for (number, line) in without_tests(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if forbidden.iter().any(|word| code.contains(word)) {
                wrong.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    expect_none(&wrong, "code in a plan/ folder decides; it does not read, write or wait");
}

#[test]
fn one_seed_can_repeat_what_the_processes_do() {
    let outside =
        ["Timestamp::now()", "SystemTime::now", "OsRng", "rand::rng()", "process::id() %"];
    let mut wrong = Vec::new();
    for path in all_sources() {
        let name = shown(&path);
        let is_process = ["runtime/src", "controller/src", "gitjob/src", "agent/src"]
            .iter()
            .any(|folder| name.starts_with(folder));
        // `world.rs` is the seam itself; a shutdown by signal has no seed.
        let is_exempt = ["world.rs", "shutdown.rs", "http_server.rs"];
        if !is_process || is_exempt.iter().any(|file| name.ends_with(file)) {
            continue;
        }
        let text = read(&path);
        let lines: Vec<&str> = without_tests(&text).lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let is_random = code.contains("select! {")
                && lines.get(at + 1).is_none_or(|next| next.trim() != "biased;");
            if is_random || outside.iter().any(|word| code.contains(word)) {
                wrong.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    expect_none(
        &wrong,
        "ask runtime::world, and poll in order (biased): the simulation repeats it",
    );
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for path in all_sources() {
        let text = read(&path);
        let count = without_tests(&text).lines().count();
        // Tables are data: their length says nothing.
        let is_table = text.starts_with("//! Table:") || text.contains("@generated");
        let is_test = path.to_string_lossy().contains("/tests/");
        let is_long = count > LINES_MAX && !is_table && !is_test;
        if is_long != TOO_LONG.contains(&shown(&path).as_str()) {
            wrong.push(format!("{}: {count} lines", shown(&path)));
        }
    }
    expect_none(&wrong, "split these files by job, or take them off the list TOO_LONG");
}

#[test]
fn the_ten_packages_are_direct_dependencies_in_use() {
    let readme = read(&workspace().join("README.md"));
    let mut wrong = Vec::new();
    for (package, used) in PACKAGES {
        let users: Vec<&str> = ARROWS
            .iter()
            .map(|(krate, _)| *krate)
            .filter(|krate| dependencies(krate, "dependencies").contains(package))
            .filter(|krate| {
                let folder = format!("{krate}/src");
                sources(&folder).iter().any(|path| read(path).contains(used))
            })
            .collect();
        if users.is_empty() {
            wrong.push(format!("{package}: no crate depends on it and uses it"));
        }
        if !readme.contains(&format!("`{package}`")) {
            wrong.push(format!("{package}: the README does not name it"));
        }
    }
    expect_none(&wrong, "the packages this project is built on");
}

#[test]
fn names_of_the_walk_are_defined_once() {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for path in all_sources().iter().filter(|path| !shown(path).contains("/tests/")) {
        let text = read(path);
        for name in WALK {
            let count = without_tests(&text).matches(&format!("pub fn {name}(")).count()
                + without_tests(&text).matches(&format!("pub async fn {name}(")).count()
                + without_tests(&text).matches(&format!("pub fn {name}<")).count()
                + without_tests(&text).matches(&format!("pub async fn {name}<")).count();
            found.entry(name).or_default().extend(std::iter::repeat_n(shown(path), count));
        }
    }
    let twice = found.iter().filter(|(_, places)| places.len() > 1);
    let wrong: Vec<String> =
        twice.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect();
    expect_none(&wrong, "defined more than once");
    let architecture = read(&workspace().join("ARCHITECTURE.md"));
    let missing: Vec<String> = WALK
        .iter()
        .filter(|name| !architecture.contains(&format!("::{name}`")))
        .map(|name| (*name).to_owned())
        .collect();
    expect_none(&missing, "not in ARCHITECTURE.md");
}

#[test]
fn tests_named_in_the_checklist_exist() {
    let mut code = String::new();
    for path in all_sources() {
        code.push_str(&read(&path));
    }
    let mut wrong = Vec::new();
    for line in read(&workspace().join("docs/checklist.md")).lines() {
        let Some(cells) = line.strip_prefix("| ") else { continue };
        let cells: Vec<&str> = cells.split(" | ").collect();
        let is_row = cells[0].split_once('-').is_some_and(|(area, number)| {
            area.bytes().all(|byte| byte.is_ascii_uppercase()) && number.parse::<u32>().is_ok()
        });
        let Some(state) = cells.last().filter(|_| is_row) else { continue };
        let state = state.trim_end_matches(" |").trim();
        let tests: Vec<&str> = state.split('`').skip(1).step_by(2).collect();
        for test in &tests {
            let name = test.rsplit("::").next().unwrap_or(test);
            if !code.contains(&format!("fn {name}(")) {
                wrong.push(format!("{}: no test {test}", cells[0]));
            }
        }
        if tests.is_empty() && !state.starts_with("open") && !state.starts_with("*differs*") {
            wrong.push(format!(
                "{}: {state:?} is neither a test, nor *differs*, nor open",
                cells[0]
            ));
        }
    }
    expect_none(&wrong, "docs/checklist.md");
}

/// One crate that asks for insertion order would change the bytes of every identity.
#[test]
fn json_maps_stay_sorted() {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(workspace())
        .args([
            "tree",
            "--locked",
            "--offline",
            "--workspace",
            "-e",
            "features",
            "-i",
            "serde_json",
        ])
        .output()
        .expect("cargo runs us, so it can be started");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(tree.contains("serde_json"), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!tree.contains("preserve_order"), "somebody enables serde_json/preserve_order");
}
