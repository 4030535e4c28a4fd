//! Which functions of the program run, for the linker to lay side by side (see `cli/build.rs`).
//!
//! The processes of a story run under valgrind's callgrind, which writes what each has executed.
//! Start at [`watched_program`], tell the story with it, then [`order`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Basic blocks between two notes of a process: killed processes lose what came after the last.
const NOTE_EVERY: u32 = 20_000_000;

/// Writes into `folder` a program named `fleet` that runs `program` under callgrind, whose notes
/// come into the same folder; returns its path.
///
/// # Errors
/// When the folder cannot be written.
pub fn watched_program(folder: &Path, program: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("fleet");
    let script = format!(
        "#!/bin/sh\nexec valgrind -q --tool=callgrind --demangle=no --dump-every-bb={NOTE_EVERY} \
         --callgrind-out-file='{}/note.%p' '{}' \"$@\"\n",
        folder.display(),
        program.display()
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// The functions of `program` that the notes in `folder` tell of, those first which most kinds of
/// processes run, and those together which the same kinds run.
///
/// # Errors
/// When a note cannot be read, or there is none.
pub fn order(folder: &Path, program: &Path) -> Result<Vec<String>> {
    let mut kinds_of = BTreeMap::<String, BTreeSet<String>>::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !is_note(&path) {
            continue;
        }
        let note = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let Some(kind) = kind(&note, program) else { continue };
        for function in functions(&note, program) {
            kinds_of.entry(function).or_default().insert(kind.clone());
        }
    }
    ensure!(!kinds_of.is_empty(), "no process left a note; is valgrind installed?");
    let mut functions: Vec<_> = kinds_of.into_iter().collect();
    functions.sort_by(|(left_name, left), (right_name, right)| {
        (right.len(), left, left_name).cmp(&(left.len(), right, right_name))
    });
    Ok(functions.into_iter().map(|(name, _)| name).collect())
}

/// Whether it is `note.PROCESS`, which a process wrote at its end, or `note.PROCESS.NUMBER`.
fn is_note(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("note."))
}

/// The first word after the program's name: `hub`, `controller`, `agent` …
fn kind(note: &str, program: &Path) -> Option<String> {
    let command = note.lines().find_map(|line| line.strip_prefix("cmd:"))?;
    let words = command.trim_start().strip_prefix(program.to_str()?)?;
    words.split_whitespace().next().map(str::to_owned)
}

/// The names of the functions of `program` that ran, without those that have an address only. A
/// name is told once, with a number that stands for it later; the same holds for objects.
fn functions(note: &str, program: &Path) -> BTreeSet<String> {
    let mut objects = BTreeMap::new();
    let mut names = BTreeMap::new();
    let mut is_ours = false;
    let mut ran = BTreeSet::new();
    for line in note.lines() {
        let Some((key, rest)) = line.split_once("=(") else { continue };
        let Some((number, name)) = rest.split_once(')') else { continue };
        match key {
            "ob" | "cob" => {
                let object = told(&mut objects, number, name);
                if key == "ob" {
                    is_ours = Path::new(object) == program;
                }
            }
            "fn" | "cfn" => {
                let function = told(&mut names, number, name);
                if key == "fn" && is_ours && !function.starts_with(['0', '(']) {
                    ran.insert(function.to_owned());
                }
            }
            _ => {}
        }
    }
    ran
}

/// What the number stands for. A function within its own recursion has `'2` at the end.
fn told<'a>(held: &mut BTreeMap<&'a str, &'a str>, number: &'a str, name: &'a str) -> &'a str {
    let name = name.trim_start();
    if !name.is_empty() {
        let base = name.rsplit_once('\'').map_or(name, |(base, _)| base);
        held.insert(number, base);
    }
    held.get(number).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "# callgrind format\ncmd:  /p/fleet agent register\n\n\
        ob=(1) /lib/libc.so\nfn=(1) memcpy\n0 1\n\
        ob=(2) /p/fleet\nfn=(2) _ZN5agent3runE\n0 1\n\
        cob=(1)\ncfn=(1)\ncalls=1 0\n0 4\ncfn=(3) _ZN5agent5otherE\ncalls=1 0\n0 4\n\
        fn=(4) _ZN5agent4walkE'2\n0 1\nfn=(3)\n0 1\n";

    #[test]
    fn functions_of_the_program_are_read() {
        let names = ["_ZN5agent3runE", "_ZN5agent4walkE", "_ZN5agent5otherE"];
        let read = functions(NOTE, Path::new("/p/fleet"));
        assert_eq!(read.into_iter().collect::<Vec<_>>(), names);
    }

    #[test]
    fn what_all_run_comes_first() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let hub = "cmd: /p/fleet hub\nob=(1) /p/fleet\nfn=(1) _ZN5agent5otherE\nfn=(2) _ZN3hubE\n";
        fs::write(folder.path().join("note.1.1"), NOTE)?;
        fs::write(folder.path().join("note.2.1"), hub)?;
        let names = ["_ZN5agent5otherE", "_ZN5agent3runE", "_ZN5agent4walkE", "_ZN3hubE"];
        assert_eq!(order(folder.path(), Path::new("/p/fleet"))?, names);
        Ok(())
    }
}
