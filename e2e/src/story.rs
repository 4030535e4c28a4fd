//! Runs stories: tests that share one world and are told in order.
//!
//! Owns the order, the filter and what is printed. Knows nothing of what stories do. Start at
//! [`tell`].

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::world::World;

/// One test.
pub struct Story {
    /// Its name: a function's.
    pub name: &'static str,
    /// Whether all later ones need it: then they are not run when it fails, and it runs whatever
    /// the filter says.
    pub foundation: bool,
    /// The test.
    pub run: fn(&mut World) -> Result<()>,
}

/// Makes stories from functions: `stories![f; g; h]`, where those of the middle group are
/// foundations of the last.
#[macro_export]
macro_rules! stories {
    (@one $foundation:literal, $name:expr) => {
        $crate::story::Story { name: stringify!($name), foundation: $foundation, run: $name }
    };
    ($($first:expr),* ; $($base:expr),* ; $($last:expr),* $(,)?) => {
        vec![
            $($crate::stories!(@one false, $first),)*
            $($crate::stories!(@one true, $base),)*
            $($crate::stories!(@one false, $last),)*
        ]
    };
}

/// Set by `cargo xtask e2e`: the stories need a machine that only it asks for.
pub const SWITCH: &str = "FLEET_E2E";

/// Runs the stories whose name holds the first argument of the process, and prints what the
/// standard test runner prints.
#[expect(clippy::print_stdout, reason = "this is a test runner")]
pub fn tell(stories: &[Story], make: impl FnOnce() -> Result<World>) -> ExitCode {
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let chosen = choose(stories, &filter);
    if std::env::args().any(|word| word == "--list") {
        for story in chosen {
            println!("{}: test", story.name);
        }
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(SWITCH).is_none() {
        println!(
            "\nnot run: {} stories on real clusters. Run them: cargo xtask e2e",
            stories.len()
        );
        println!(
            "test result: ok. 0 passed; 0 failed; {} ignored; 0 measured; 0 filtered out\n",
            stories.len()
        );
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let started = Instant::now();
    let mut world = match make() {
        Ok(world) => world,
        Err(error) => {
            println!("no world to tell stories in: {error:#}");
            println!("test result: FAILED. 0 passed; {} failed; 0 ignored", chosen.len());
            return ExitCode::FAILURE;
        }
    };
    let failed = tell_each(&chosen, &mut world);
    if !failed.is_empty() {
        world.keep_files();
        println!("\nfailures:\n    {}", failed.join("\n    "));
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; \
         finished in {:.2}s\n",
        chosen.len() - failed.len(),
        failed.len(),
        stories.len() - chosen.len(),
        started.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The stories whose name holds `filter`, with the foundations that the last of them stands on.
fn choose<'a>(stories: &'a [Story], filter: &str) -> Vec<&'a Story> {
    let last = stories.iter().rposition(|story| story.name.contains(filter));
    let told = last.map_or(&stories[..0], |last| &stories[..=last]);
    told.iter().filter(|story| story.foundation || story.name.contains(filter)).collect()
}

/// The names of those that failed, or could not be run any more.
#[expect(clippy::print_stdout, reason = "this is a test runner")]
fn tell_each(chosen: &[&Story], world: &mut World) -> Vec<&'static str> {
    let mut failed: Vec<&str> = Vec::new();
    let mut broken = false;
    for story in chosen {
        if broken {
            println!("test {} ... FAILED (not run: a foundation failed)", story.name);
            failed.push(story.name);
            continue;
        }
        let started = Instant::now();
        let result = (story.run)(world);
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("test {} ... ok ({seconds:.1}s)", story.name),
            Err(error) => {
                println!("test {} ... FAILED ({seconds:.1}s)\n{error:#}\n", story.name);
                failed.push(story.name);
                broken = story.foundation;
            }
        }
    }
    failed
}
