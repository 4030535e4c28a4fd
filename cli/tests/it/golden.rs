//! What Rancher Fleet 0.16's own command line made of 128 folders, compared with ours.
//!
//! The recorded answers lie beside the workspace, never in it: in `$FLEET_BUNDLES`, else in
//! `../shared/bundles`. Without them the test says so and checks nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cli::Ui;
use cli::apply::{self, ApplyArgs};
use cli::target::{self, TargetArgs};
use serde_json::Value;

/// The folder of the recorded answers.
fn recorded() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/bundles");
    let folder = std::env::var_os("FLEET_BUNDLES").map_or(beside, PathBuf::from);
    folder.join("manifest.json").is_file().then_some(folder)
}

struct Case {
    name: String,
    path: String,
    error: Option<String>,
}

fn cases(folder: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    cases
        .iter()
        .map(|case| Case {
            name: text(&case["case"]),
            path: text(&case["path"]),
            error: (case["result"] == "error").then(|| text(&case["stderr"])),
        })
        .collect()
}

/// `fleet apply -n golden --targets-file targets.yaml -o - case PATH`.
fn apply(folder: &Path, case: &Case) -> Result<Vec<Value>, String> {
    let args = ApplyArgs {
        name: "case".to_owned(),
        paths: vec![case.path.clone()],
        output: Some("-".into()),
        namespace: "golden".to_owned(),
        commit: Some(String::new()),
        targets_file: Some(folder.join("targets.yaml")),
        ..Default::default()
    };
    let (mut ui, captured) = Ui::captured();
    let done = apply::run_in(&folder.join(&case.name).join("input"), &args, &mut ui);
    done.map(|()| documents(&captured.out())).map_err(|error| format!("{error:#}"))
}

/// `fleet target -n golden -b BUNDLE --world world.yaml`.
fn target(folder: &Path, bundle: &Value) -> Result<Vec<Value>, String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), goyaml::to_string(bundle)).expect("it can be written");
    let args = TargetArgs {
        bundle_file: file.path().to_owned(),
        world: Some(folder.join("world.yaml")),
        namespace: Some("golden".to_owned()),
        dump_input_list: false,
        format: Default::default(),
    };
    let (mut ui, captured) = Ui::captured();
    let done = target::run(&args, &mut ui);
    done.map(|()| documents(&captured.out())).map_err(|error| format!("{error:#}"))
}

/// Documents, also where the recorded ones have no `---` between them.
fn documents(text: &str) -> Vec<Value> {
    let start = "apiVersion: fleet.cattle.io/v1alpha1\n";
    let separated = text.replace(&format!("\n{start}"), &format!("\n---\n{start}"));
    let parsed = goyaml::documents(&separated);
    parsed.iter().map(|document| goyaml::from_str(document.text).expect("YAML")).collect()
}

fn key(object: &Value) -> String {
    let metadata = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{} {}/{}",
        text(&object["kind"]),
        text(&metadata["namespace"]),
        text(&metadata["name"])
    )
}

fn by_key(objects: Vec<Value>) -> BTreeMap<String, Value> {
    objects.into_iter().map(|object| (key(&object), object)).collect()
}

fn compare(what: &str, ours: Vec<Value>, recorded: Vec<Value>, problems: &mut Vec<String>) {
    let (mut ours, recorded) = (by_key(ours), by_key(recorded));
    for (key, theirs) in recorded {
        let Some(own) = ours.remove(&key) else {
            problems.push(format!("{what}: {key} is missing"));
            continue;
        };
        if own != theirs {
            let (own, theirs) = (goyaml::to_string(&own), goyaml::to_string(&theirs));
            problems.push(format!("{what}: {key} differs\n{}", first_difference(&own, &theirs)));
        }
    }
    problems.extend(ours.keys().map(|key| format!("{what}: {key} is too much")));
}

fn first_difference(own: &str, theirs: &str) -> String {
    let mut lines = own.lines().zip(theirs.lines());
    match lines.find(|(own, theirs)| own != theirs) {
        Some((own, theirs)) => format!("    ours:   {own}\n    theirs: {theirs}"),
        None => "    one is longer".to_owned(),
    }
}

/// The cause in a recorded error; what stands before it is the peer's way of saying where.
fn cause(recorded: &str) -> &str {
    recorded.rsplit("yaml: ").next().filter(|_| recorded.contains("yaml: ")).unwrap_or_else(|| {
        ["failed to process bundle: validating fleet.yaml: ", "failed to process bundle: "]
            .iter()
            .find_map(|prefix| recorded.strip_prefix(prefix))
            .unwrap_or(recorded)
    })
}

#[test]
fn every_recorded_folder_becomes_what_the_peer_made_of_it() {
    let Some(folder) = recorded() else {
        eprintln!("SKIPPED: the recorded bundles are not here; set FLEET_BUNDLES to their folder");
        return;
    };
    let (mut problems, mut counts) = (Vec::new(), (0, 0, 0, 0));
    for case in cases(&folder) {
        let read = |file: &str| std::fs::read_to_string(folder.join(&case.name).join(file));
        let bundles = match (apply(&folder, &case), &case.error) {
            (Ok(bundles), None) => bundles,
            (Err(error), Some(recorded)) if error.contains(cause(recorded)) => {
                counts.3 += 1;
                continue;
            }
            (Ok(_), Some(recorded)) => {
                problems.push(format!("{}: no error, but {recorded}", case.name));
                continue;
            }
            (Err(error), recorded) => {
                problems.push(format!("{}: {error}\n    recorded: {recorded:?}", case.name));
                continue;
            }
        };
        let recorded_bundles = documents(&read("bundle.yaml").expect("recorded bundles"));
        counts.0 += recorded_bundles.len();
        compare(&case.name, bundles.clone(), recorded_bundles, &mut problems);

        let recorded_targets = read("targets.yaml").expect("recorded targets");
        let targeted: Result<Vec<Vec<Value>>, String> =
            bundles.iter().map(|bundle| target(&folder, bundle)).collect();
        match (targeted, recorded_targets.strip_prefix("# error: ")) {
            (Ok(objects), None) => {
                let recorded = documents(&recorded_targets);
                let contents = recorded.iter().filter(|object| object["kind"] == "Content").count();
                counts.1 += contents;
                counts.2 += recorded.len() - contents;
                compare(&case.name, objects.concat(), recorded, &mut problems);
            }
            (Err(error), Some(recorded)) if error.contains(recorded.trim()) => counts.3 += 1,
            (targeted, recorded) => {
                let error = targeted.err();
                problems.push(format!("{}: {error:?}\n    recorded: {recorded:?}", case.name));
            }
        }
    }
    let (bundles, contents, deployments, errors) = counts;
    eprintln!("{bundles} bundles, {contents} contents, {deployments} deployments, {errors} errors");
    assert!(problems.is_empty(), "{} differences:\n{}", problems.len(), problems.join("\n"));
}
