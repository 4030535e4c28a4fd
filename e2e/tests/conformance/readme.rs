//! The README's tutorial, run as it is written.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::Cluster;
use e2e::peers::workspace;
use e2e::process::run;
use e2e::world::World;

/// File with the titles of the paragraphs whose commands were run.
const FOLLOWED: &str = "followed";
/// What the README calls the user's own hub.
const HUB_ADDRESS: &str = "https://hub.example.com:6443";
/// What the README calls the user's own repository.
const REPOSITORY: &str = "https://git.example.com/tutorial.git";

/// Runs the shell lines of the tutorial's paragraph that begins with `title`, as an administrator
/// of `cluster` would; `repo` stands for the user's repository.
pub(crate) fn follow(world: &World, cluster: &Cluster, title: &str, repo: &str) -> Result<()> {
    let folder = user_folder(world)?;
    let lines = block(title)?.replace(HUB_ADDRESS, &world.hub.server).replace(REPOSITORY, repo);
    let path = format!("{}:/usr/bin:/bin", folder.join("bin").display());
    let mut shell = cluster.command(Path::new("/bin/sh"));
    let done = run(shell.current_dir(&folder).args(["-euc", &lines]).env("PATH", path));
    done.with_context(|| format!("the README's {title:?}\n{}", world.diagnosis()))?;
    let mut followed = OpenOptions::new().create(true).append(true).open(folder.join(FOLLOWED))?;
    Ok(writeln!(followed, "{title}")?)
}

fn tutorial() -> Result<String> {
    let readme = std::fs::read_to_string(workspace().join("README.md"))?;
    let tutorial = readme.split("\n## Tutorial\n").nth(1).context("README.md has no tutorial")?;
    Ok(tutorial.split("\n## ").next().unwrap_or_default().to_owned())
}

/// The shell block under `**title`.
fn block(title: &str) -> Result<String> {
    let tutorial = tutorial()?;
    let paragraph = tutorial.split(&format!("\n**{title}")).nth(1);
    let paragraph = paragraph.with_context(|| format!("the tutorial has no {title:?}"))?;
    let lines = paragraph.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    Ok(lines.context("no shell lines")?.to_owned())
}

/// Every shell block of the tutorial was run by a story before this one.
pub(crate) fn every_command_was_run(world: &mut World) -> Result<()> {
    let followed = std::fs::read_to_string(user_folder(world)?.join(FOLLOWED))?;
    let tutorial = tutorial()?;
    let blocks = tutorial.match_indices("```sh\n").map(|(at, _)| {
        let title = tutorial[..at].rsplit("\n**").next().unwrap_or_default();
        title.split("**").next().unwrap_or_default()
    });
    for title in blocks {
        let is_run = followed.lines().any(|line| title.starts_with(line));
        ensure!(is_run, "no story runs the commands under {title:?}; run were:\n{followed}");
    }
    Ok(())
}

/// A folder as a user has it after `git clone`, with helm and kubectl on the path.
fn user_folder(world: &World) -> Result<PathBuf> {
    let folder = world.folder.join("user");
    if folder.exists() {
        return Ok(folder);
    }
    let peers = &world.hub.peers;
    std::fs::create_dir_all(folder.join("bin"))?;
    let link = |from: &Path, to: PathBuf| std::os::unix::fs::symlink(from, to);
    link(&peers.helm, folder.join("bin/helm"))?;
    link(&peers.kubectl, folder.join("bin/kubectl"))?;
    link(&workspace().join("charts"), folder.join("charts"))?;
    std::fs::write(folder.join("ca.pem"), &world.hub.ca_pem)?;
    Ok(folder)
}
